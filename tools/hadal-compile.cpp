//===- hadal-compile.cpp - a model description to a module ----------------===//

#include "dialects/Dialects.h"
#include "dialects/job/Job.h"
#include "frontend/BuildGraph.h"
#include "frontend/BuildTraining.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Transforms/Passes.h"
#include "passes/Pipelines.h"
#include "passes/module/Compile.h"
#include "passes/module/CompileCache.h"
#include "runtime/File.h"
#include "runtime/FileKind.h"
#include "tools/CommandLine.h"
#include "tools/Help.h"
#include "tools/OutOfMemory.h"
#include "tools/Progress.h"
#include "tools/compile/GraphJob.h"
#include "tools/compile/MlirOptions.h"
#include "tools/compile/QuantizeCheckpoint.h"
#include "tools/compile/Request.h"
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

/// The graph of INPUT.
mlir::OwningOpRef<mlir::ModuleOp> graphOf(mlir::MLIRContext &context, const std::string &path,
                                          CompileRequest &request, llvm::SourceMgr &sources) {
  frontend::TrainingOptions *training = request.trains() ? &request.training : nullptr;
  const job::RankOptions &ranks = request.training.ranks;
  int64_t mtpDepth = training && training->mtpWeight != 0 ? std::numeric_limits<int64_t>::max() : 0;
  std::optional<Input> input = readInput(context, path, mtpDepth, sources);
  if (!input)
    return {};
  if (!input->model)
    return std::move(input->functions);
  const frontend::ModelConfig &config = input->model->config;
  std::string problem =
      training ? frontend::checkRanks(config, *training) : frontend::checkRanks(config, ranks);
  if (problem.empty() && training)
    problem = frontend::checkScales(*input->model);
  if (!problem.empty()) {
    fail(problem);
    return {};
  }
  input->model->quantizesRows = request.training.precision == "fp8";
  if (training)
    training->configText = std::move(input->configText);
  auto graph = training ? frontend::buildTraining(context, config, *training)
                        : frontend::buildGraph(context, *input->model);
  if (!training && mlir::succeeded(graph)) {
    frontend::setRanks(**graph, ranks);
    if (request.training.precision == "bf16")
      (*graph)->getOperation()->setAttr(job::kBf16ValuesAttr, mlir::UnitAttr::get(&context));
  }
  return mlir::succeeded(graph) ? std::move(*graph) : mlir::OwningOpRef<mlir::ModuleOp>();
}

} // namespace

/// Compiles what is asked for. The exit status.
static int compile(CLI::App &app, CompileRequest &request, const MlirOptions &mlirOptions,
                   const std::string &runner) {
  if (request.average)
    request.settings.average = true;
  request.training.ranks.overlap = request.overlap == "on";
  request.training.ranks.fastReduction = request.reduction == "fast";
  bool isGraph = request.isGraph();
  // DIR/config.json is DIR.
  std::string input = request.input;
  if (llvm::sys::path::filename(input) == "config.json" && !llvm::sys::fs::is_directory(input)) {
    llvm::StringRef folder = llvm::sys::path::parent_path(request.input);
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

  bool showsPasses = request.isVerbose || mlirOptions.any();
  // What is taken from the cache runs no pass.
  std::string cacheFolder = request.noCache || showsPasses ? "" : CompileCache::defaultFolder();
  if (request.writesCheckpoint()) {
    Progress progress("quantizing");
    Status status =
        quantizeCheckpoint(context, input, request.output, cacheFolder,
                           [&](uint64_t done, uint64_t total) { progress.show(done, total); });
    progress.clear();
    return status ? finish("hadal-compile", 0) : fail(status.error().message);
  }
  auto module = graphOf(context, input, request, sources);
  if (!module)
    return 1;
  if (request.trains() && !job::trainingOf(*module))
    return fail("--mode=train wants a folder with config.json, " + nameOfInput(input) +
                " holds functions");
  if (isGraph)
    if (std::string problem = disagreement(app, *module); !problem.empty())
      return fail(problem);
  if (request.emit == "exe" && job::ranksOf(*module))
    return fail("--emit=exe: an executable carries a module for one rank, got a graph for many");

  CompileOptions options;
  options.settings = request.settings;
  options.target = request.target.empty() ? request.cpu : request.target;
  options.targetOption = request.target.empty() ? "--cpu" : "--target";
  options.tiers = request.tiers;
  options.ptxas = request.ptxas;
  options.emit = request.emit;
  options.output = request.output;
  options.runner = runner;
  options.cacheFolder = cacheFolder;
  options.configure = [&](mlir::PassManager &pm) {
    return mlirOptions.apply(pm, request.isVerbose);
  };
  Progress progress("reading");
  options.progress = [&](llvm::StringRef what, uint64_t done, uint64_t total) {
    progress.show(what, done, total);
  };
  auto error = hadal::compile(*module, options);
  progress.clear();
  if (!error)
    return finish("hadal-compile", 0);
  std::string problem = llvm::toString(std::move(error));
  return diagnostics.any() ? 1 : fail(problem);
}

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
             "  hadal-compile model/ --quantize=fp8 --emit=checkpoint -o model-fp8\n"
             "  hadal-compile model/ --emit=pipeline                     its passes\n"
             "  hadal-compile model/ -o m.hadal --mlir-timing            times its passes");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", HADAL_VERSION, "Print the version and exit");
  app.get_help_ptr()->description("Print this help and exit");
  CompileRequest request;
  declareOptions(app, request);
  if (std::optional<int> status = parseCommandLine(app, argc, argv, "hadal-compile"))
    return *status;
  if (Status files = claimStandardFiles(app); !files.ok())
    return fail(files.error().message);
  if (std::string problem = problemOf(app, request); !problem.empty())
    return fail(problem);
  std::string executable =
      llvm::sys::fs::getMainExecutable(argv[0], reinterpret_cast<void *>(&main));
  return compile(app, request, mlirOptions,
                 (llvm::sys::path::parent_path(executable) + "/hadal-run").str());
}
