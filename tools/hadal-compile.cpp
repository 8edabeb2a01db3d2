// hadal-compile: a model description (or a graph) to a module.
#include "dialects/Dialects.h"
#include "frontend/BuildGraph.h"
#include "frontend/BuildTraining.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Transforms/Passes.h"
#include "passes/Pipelines.h"
#include "passes/target/Compile.h"
#include "passes/target/CompileCache.h"
#include "runtime/File.h"
#include "runtime/FileKind.h"
#include "tools/CommandLine.h"
#include "tools/Help.h"
#include "tools/OutOfMemory.h"
#include "tools/Progress.h"
#include "tools/compile/GraphJob.h"
#include "tools/compile/MlirOptions.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

#include <limits>
#include <optional>
#include <utility>

using namespace hadal;

namespace {

int fail(const std::string &message) {
  llvm::errs() << "hadal-compile: " << message << "\n";
  return 1;
}

/// What INPUT says: a model, or functions.
struct Input {
  std::optional<frontend::ModelDescription> model;
  std::string configText;                      ///< of a model
  mlir::OwningOpRef<mlir::ModuleOp> functions; ///< null for a model
};

/// Functions in MLIR's text, which goes to `sources`: errors show its lines. Files of known other
/// formats are named, before MLIR's parser says less of them.
std::optional<Input> readMlir(mlir::MLIRContext &context, const MappedFile &file,
                              llvm::SourceMgr &sources) {
  Status status = refuseForeignFile(file.path(), file.bytes(),
                                    "a folder with config.json or a .mlir file", FileKind::Empty);
  if (!status.ok())
    return fail(status.error().message), std::nullopt;
  llvm::StringRef text(reinterpret_cast<const char *>(file.bytes().data()), file.bytes().size());
  // A copy, which ends with a zero, as the parser wants.
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(text, file.path()), {});
  Input input;
  input.functions = mlir::parseSourceFile<mlir::ModuleOp>(sources, &context);
  return input.functions ? std::optional(std::move(input)) : std::nullopt;
}

std::optional<Input> modelInput(llvm::Expected<frontend::ModelDescription> model,
                                Result<std::string> configText) {
  if (!model)
    return fail(llvm::toString(model.takeError())), std::nullopt;
  if (!configText.ok())
    return fail(configText.error().message), std::nullopt;
  for (const std::string &note : model->notes)
    llvm::errs() << "hadal-compile: note: " << note << "\n";
  Input input;
  input.model = std::move(*model);
  input.configText = std::move(configText.value());
  return input;
}

/// Reads a folder with config.json, a .mlir file, or what a stream holds of either: there a
/// config.json stands alone, without the headers beside it.
std::optional<Input> readInput(mlir::MLIRContext &context, const std::string &path,
                               int64_t mtpDepth, llvm::SourceMgr &sources) {
  if (llvm::sys::fs::is_directory(path))
    return modelInput(frontend::readModelDescription(path, mtpDepth),
                      readTextFile(path + "/config.json"));
  auto file = MappedFile::openInput(path);
  if (!file.ok())
    return fail(file.error().message), std::nullopt;
  if (!file->isStream() || recogniseFile(file->bytes()) != FileKind::Json)
    return readMlir(context, *file, sources);
  std::string text(reinterpret_cast<const char *>(file->bytes().data()), file->bytes().size());
  return modelInput(frontend::parseModelDescription(text, file->path()), text);
}

/// The graph of INPUT. `training` is null for inference, which `ranks` is for.
mlir::OwningOpRef<mlir::ModuleOp> graphOf(mlir::MLIRContext &context, const std::string &path,
                                          frontend::TrainingOptions *training,
                                          const frontend::InferenceRanks &ranks,
                                          llvm::SourceMgr &sources) {
  int64_t mtpDepth = training && training->mtpWeight != 0 ? std::numeric_limits<int64_t>::max() : 0;
  std::optional<Input> input = readInput(context, path, mtpDepth, sources);
  if (!input)
    return {};
  if (!input->model)
    return std::move(input->functions);
  const frontend::ModelConfig &config = input->model->config;
  std::string problem =
      training ? frontend::checkRanks(config, *training) : frontend::checkRanks(config, ranks);
  if (!problem.empty()) {
    fail(problem);
    return {};
  }
  if (training)
    training->configText = std::move(input->configText);
  auto graph = training ? frontend::buildTraining(context, config, *training)
                        : frontend::buildGraph(context, *input->model);
  if (!training && mlir::succeeded(graph))
    frontend::setRanks(**graph, ranks);
  return mlir::succeeded(graph) ? std::move(*graph) : mlir::OwningOpRef<mlir::ModuleOp>();
}

} // namespace

int main(int argc, char **argv) {
  sayWhereMemoryEnds("hadal-compile");
  startTool("hadal-compile");
  registerHadalPasses(); // whose names --mlir-print-ir-after=NAME knows
  mlir::registerTransformsPasses();
  MlirOptions mlirOptions;
  if (!mlirOptions.take(argc, argv))
    return 1;
  CLI::App app{"Compiles a model description into a module that hadal-run executes. INPUT is a "
               "folder with a Hugging Face "
               "config.json (and the checkpoint, whose headers are checked, if it is there), or a "
               ".mlir file whose public "
               "functions become programs.",
               "hadal-compile"};
  app.footer("  hadal-compile model/ -o m.hadal                          to generate text\n"
             "  hadal-compile model/ --mode=train --seq=128 -o t.hadal   to train\n"
             "  hadal-compile model/ --emit=exe -o model-run             an executable\n"
             "  hadal-compile graph.mlir -o f.hadal                      functions of your own\n"
             "  hadal-compile model/ --emit=graph                        the frontend's IR\n"
             "  hadal-compile model/ --emit=pipeline                     its passes\n"
             "  hadal-compile model/ -o m.hadal --mlir-timing            times its passes");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", HADAL_VERSION, "Print the version and exit");
  app.get_help_ptr()->description("Print this help and exit");
  std::string input, mode = "generate", cpu = "native", emit = "module", output;
  app.add_option("INPUT", input,
                 "Folder with config.json (deepseek_v3, deepseek_v2, kimi_k2, glm4_moe_lite, "
                 "youtu), or a .mlir file; - or a pipe: the text of either file")
      ->type_name(kData)
      ->required();
  app.add_option("-o,--output", output, "File to write; text goes to standard output without it")
      ->type_name(kOutputFile);
  app.add_option("--mode", mode, "What the module is for")
      ->check(oneOf({"generate", "train"}))
      ->capture_default_str();
  app.add_option("--cpu", cpu, "Processor to generate code for; native is this machine's")
      ->check(oneOf({"native", "x86-64-v3", "x86-64-v4", "x86-64-v4+amx", "aarch64"}))
      ->capture_default_str();
  app.add_option(
         "--emit", emit,
         "What to write. module: the module file; exe: an executable that carries it; graph: the "
         "frontend's IR, which hadal-compile reads again; pipeline: the passes from there to "
         "kernels, as hadal-opt --pass-pipeline takes them; "
         "gradients: the graph of a training module with its gradients; memory: what they keep, as "
         "a table; kernels: "
         "programs and kernels on memrefs; llvm: LLVM IR; asm: assembly; object: the shared object")
      ->check(oneOf({"module", "exe", "graph", "pipeline", "gradients", "memory", "kernels", "llvm",
                     "asm", "object"}))
      ->capture_default_str();
  frontend::TrainingOptions training;
  CompileOptions options;
  CompileSettings &settings = options.settings;
  app.add_option("--page-tokens", settings.pageTokens, "Positions in one page of the latent cache")
      ->check(wholeNumberWithin(1, 65536))
      ->default_str(std::to_string(frontend::defaultPageTokens));
  app.add_option("--products", settings.products,
                 "How f32 products with trained weights are computed. fma: chains of fused "
                 "multiply-adds; tiles: in AMX, as sums "
                 "of bf16 products, no less exact and faster; auto: tiles in a training module "
                 "where the CPU has them")
      ->check(oneOf({"auto", "fma", "tiles"}))
      ->default_str("auto");
  bool isVerbose = false;
  app.add_flag("-v,--verbose", isVerbose, "Name each pass on stderr as it runs");
  bool noCache = false;
  app.add_flag(
      "--no-cache", noCache,
      "Compile anew, and keep nothing. Without it finished modules and kernels are kept, each up "
      "to HADAL_CACHE_BYTES (2 GiB), in "
      "HADAL_CACHE_DIR (~/.cache/hadal), and compiling the same again takes them from there");
  auto *train = app.add_option_group("Training", "with --mode=train");
  train->add_option("--seq", training.sequence, "Tokens in one row; must be given")
      ->check(wholeNumberWithin(2, 1 << 24));
  train->add_option("--micro-batch", training.microBatch, "Rows in one micro-batch")
      ->check(wholeNumberWithin(1, 1 << 20))
      ->capture_default_str();
  train->add_option("--micro-batches", training.microBatches, "Micro-batches in one step")
      ->check(wholeNumberWithin(1, 1 << 20))
      ->capture_default_str();
  train
      ->add_option("--mtp-weight", training.mtpWeight,
                   "Weight of the multi-token prediction loss; 0 leaves its layers out")
      ->check(numberWithin(0, 1e6))
      ->capture_default_str();
  train
      ->add_option("--balance-weight", training.balanceWeight,
                   "Weight of the sequence-wise balance loss")
      ->check(numberWithin(0, 1e6))
      ->capture_default_str();
  train
      ->add_option("--bias-step", training.biasStep,
                   "How far a router's correction bias moves after a step")
      ->check(numberWithin(0, 1e6))
      ->capture_default_str();
  train
      ->add_option("--precision", training.precision,
                   "Element type of products' operands; sums and master weights stay in f32")
      ->check(oneOf({"fp32", "bf16"}))
      ->capture_default_str();
  train->add_option("--moments", settings.moments, "Element type of the optimizer's moments")
      ->check(oneOf({"fp32", "bf16"}))
      ->default_str("fp32");
  train
      ->add_option("--recompute", settings.recompute,
                   "Activations that the backward half computes again; report: those of the "
                   "DeepSeek-V3 report")
      ->check(oneOf({"none", "report", "all"}))
      ->default_str("none");
  bool average = false;
  train->add_flag("--average", average, "Keep an exponential moving average of the weights");
  auto *many = app.add_option_group(
      kRankOptions, "run as mpirun -n PP*EP*DP hadal-run train, or with --mode=generate as "
                    "mpirun -n EP hadal-run generate, logits or score");
  auto positive = wholeNumberWithin(1, int64_t(1) << 20);
  many->add_option("--pp", training.pipelineRanks, "Pipeline ranks: the layers in stages")
      ->check(positive)
      ->capture_default_str();
  many->add_option("--ep", training.expertRanks,
                   "Expert-parallel ranks: each holds a share of every layer's experts, and has "
                   "micro-batches (or sequences) of its own")
      ->check(positive)
      ->capture_default_str();
  many->add_option("--dp", training.dataRanks, "Data-parallel ranks")
      ->check(positive)
      ->capture_default_str();
  many->add_option("--nodes", training.nodes,
                   "Nodes that one expert-parallel group spans: a token crosses to a node once")
      ->check(positive)
      ->capture_default_str();
  many->add_option("--schedule", training.schedule, "Order of the pipeline's chunks")
      ->check(oneOf({"1f1b", "zb1p", "dualpipe", "dualpipev"}))
      ->capture_default_str();
  many->add_option("--sum-groups", training.sumGroups,
                   "Groups of micro-batches whose gradients are summed apart, then in a tree: "
                   "equal groups, equal bits on any "
                   "layout (default: as many as there are owners of micro-batches)")
      ->check(positive);
  std::string overlap = "on", reduction = "ordered";
  many->add_option("--overlap", overlap, "Communicate for one chunk while another computes")
      ->check(oneOf({"on", "off"}))
      ->capture_default_str();
  many->add_option("--reduction", reduction,
                   "Order of sums over micro-batches and ranks. ordered: equal --sum-groups give "
                   "equal bits on any layout; fast: "
                   "one chain per rank, then MPI's own reductions, without memory for groups; bits "
                   "then depend on layout and MPI")
      ->check(oneOf({"ordered", "fast"}))
      ->capture_default_str();
  many->add_option("--dispatch", training.dispatch,
                   "Element type of rows on their way to experts of other ranks; fp8 is E4M3 with "
                   "scales. Only with fp32 are sums "
                   "those of one rank")
      ->check(oneOf({"fp32", "bf16", "fp8"}))
      ->capture_default_str();
  many->add_option("--combine", training.combine, "Element type of rows on the way back")
      ->check(oneOf({"fp32", "bf16"}))
      ->capture_default_str();
  many->add_option("--exchange-capacity", training.exchangeCapacity,
                   "Most rows from one expert-parallel rank to another in an exchange; more are an "
                   "error (default: any number)")
      ->check(positive);
  if (std::optional<int> status = parseCommandLine(app, argc, argv, "hadal-compile"))
    return *status;
  if (Status files = claimStandardFiles(app); !files.ok())
    return fail(files.error().message);
  if (average)
    settings.average = true;
  training.overlap = overlap == "on";
  training.fastReduction = reduction == "fast";
  bool text = emit == "graph" || emit == "pipeline" || emit == "gradients" || emit == "memory" ||
              emit == "kernels" || emit == "llvm" || emit == "asm";
  if (output.empty() && !text)
    return fail("wants -o FILE to write the " + emit + " to");
  // A graph says itself what it is for.
  bool isGraph = !isStream(input) && !llvm::sys::fs::is_directory(input) &&
                 llvm::sys::path::filename(input) != "config.json";
  if (!isGraph && mode == "train" && app.get_option("--seq")->empty())
    return fail("--mode=train wants --seq=TOKENS");
  if (!isGraph && mode == "generate")
    for (const char *name :
         {"--pp", "--dp", "--schedule", "--sum-groups", "--overlap", "--reduction", "--micro-batch",
          "--micro-batches", "--seq", "--mtp-weight", "--balance-weight", "--bias-step",
          "--precision", "--moments", "--recompute", "--average"})
      if (app.get_option(name)->count())
        return fail(std::string(name) + ": is for --mode=train" +
                    (name == std::string("--pp") || name == std::string("--dp")
                         ? "; --mode=generate takes --ep"
                         : ""));
  if (!isGraph && training.expertRanks == 1)
    for (const char *name : {"--dispatch", "--combine", "--exchange-capacity"})
      if (const CLI::Option *option = app.get_option(name);
          option->count() && option->as<std::string>() != "fp32")
        return fail(std::string(name) + ": is for rows that go from one expert-parallel rank to "
                                        "another; wants --ep of 2 or more");
  if (emit == "exe" && training.ranks() > 1)
    return fail("--emit=exe: an executable carries a module for one rank, got " +
                std::to_string(training.ranks()) + " ranks");
  // Said before the work, not after it.
  if (llvm::StringRef folder = llvm::sys::path::parent_path(output);
      !folder.empty() && !llvm::sys::fs::is_directory(folder))
    return fail(output + ": there is no folder '" + folder.str() + "'");
  frontend::InferenceRanks ranks{training.expertRanks, training.nodes, training.dispatch,
                                 training.combine, training.exchangeCapacity};
  // Places and counts of a step's tokens are i32.
  int64_t stepRows = training.microBatch * training.microBatches;
  if (mode == "train" && stepRows > std::numeric_limits<int32_t>::max() / training.sequence)
    return fail("--micro-batches, --micro-batch and --seq want a step of less than 2^31 tokens");
  if (!isStream(input) && !llvm::sys::fs::exists(input))
    return fail(input + ": no such file or folder");
  // DIR/config.json is DIR.
  if (llvm::sys::path::filename(input) == "config.json" && !llvm::sys::fs::is_directory(input)) {
    llvm::StringRef folder = llvm::sys::path::parent_path(input);
    input = folder.empty() ? "." : folder.str();
  }

  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllToLLVMIRTranslations(registry);
  registerHadalDialects(registry);
  mlir::MLIRContext context(registry);
  // One line: the first thing that is wrong, and where, without the IR around it.
  context.printOpOnDiagnostic(false);
  llvm::SourceMgr sources;
  Diagnostics diagnostics(context, sources);

  auto module = graphOf(context, input, mode == "train" ? &training : nullptr, ranks, sources);
  if (!module)
    return 1;
  if (mode == "train" && !(*module)->hasAttr("hadal.training"))
    return fail("--mode=train wants a folder with config.json, " + nameOfInput(input) +
                " holds functions");
  if (isGraph)
    if (std::string problem = disagreement(app, *module); !problem.empty())
      return fail(problem);
  if (emit == "exe" && ((*module)->hasAttr("hadal.ranks") || (*module)->hasAttr("hadal.inference")))
    return fail("--emit=exe: an executable carries a module for one rank, got a graph for many");
  options.cpu = cpu;
  options.emit = emit;
  options.output = output;
  options.runner = (llvm::sys::path::parent_path(llvm::sys::fs::getMainExecutable(
                        argv[0], reinterpret_cast<void *>(&main))) +
                    "/hadal-run")
                       .str();
  // What is taken from the cache runs no pass.
  options.cacheFolder =
      noCache || isVerbose || mlirOptions.any() ? "" : CompileCache::defaultFolder();
  options.configure = [&](mlir::PassManager &pm) { return mlirOptions.apply(pm, isVerbose); };
  Progress progress("reading");
  options.progress = [&](llvm::StringRef what, uint64_t done, uint64_t total) {
    progress.show(what, done, total);
  };
  auto error = compile(*module, options);
  progress.clear();
  if (!error)
    return finish("hadal-compile", 0);
  std::string problem = llvm::toString(std::move(error));
  return diagnostics.any() ? 1 : fail(problem);
}
