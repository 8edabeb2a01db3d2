// hadal-compile: a model description (or a graph) to a module.
#include "dialects/Dialects.h"
#include "frontend/BuildGraph.h"
#include "frontend/BuildTraining.h"
#include "runtime/File.h"
#include "passes/target/Compile.h"
#include "tools/NumberWithin.h"
#include "tools/OutOfMemory.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

#include <CLI/CLI.hpp>

#include <limits>

using namespace hadal;

namespace {

int fail(const std::string &message) {
  llvm::errs() << "hadal-compile: " << message << "\n";
  return 1;
}

/// Reads a folder with config.json, or a .mlir file. `training` is null for inference, which `ranks` is for.
mlir::OwningOpRef<mlir::ModuleOp> readInput(mlir::MLIRContext &context, const std::string &input, frontend::TrainingOptions *training,
                                            const frontend::InferenceRanks &ranks) {
  if (!llvm::sys::fs::is_directory(input))
    return mlir::parseSourceFile<mlir::ModuleOp>(input, &context);
  auto description = frontend::readModelDescription(input);
  if (!description) {
    llvm::errs() << "hadal-compile: " << llvm::toString(description.takeError()) << "\n";
    return {};
  }
  if (training) {
    auto text = readTextFile(input + "/config.json");
    if (!text.ok()) {
      fail(text.error().message);
      return {};
    }
    training->configText = text.value();
    if (std::string problem = frontend::checkRanks(description->config, *training); !problem.empty()) {
      fail(problem);
      return {};
    }
  }
  if (std::string problem = training ? "" : frontend::checkRanks(description->config, ranks); !problem.empty()) {
    fail(problem);
    return {};
  }
  auto graph = training ? frontend::buildTraining(context, description->config, *training) : frontend::buildGraph(context, *description);
  if (!training && mlir::succeeded(graph))
    frontend::setRanks(**graph, ranks);
  return mlir::succeeded(graph) ? std::move(*graph) : mlir::OwningOpRef<mlir::ModuleOp>();
}

} // namespace

int main(int argc, char **argv) {
  sayWhereMemoryEnds("hadal-compile");
  CLI::App app{"hadal-compile: compile a model description into a module.\n\n"
               "INPUT is a folder with a Hugging Face config.json (and, if it is there, the checkpoint, whose headers are checked),\n"
               "or a .mlir file whose public functions become programs.\n\n"
               "  hadal-compile model/ --mode=generate -o m.hadal\n"
               "  hadal-compile graph.mlir -o f.hadal\n"};
  std::string input, mode = "generate", cpu = "native", emit = "module", output;
  int64_t pageTokens = frontend::defaultPageTokens;
  app.add_option("INPUT", input, "folder with config.json, or a .mlir file")->required();
  app.add_option("--mode", mode, "what the module is for: generate or train")->check(CLI::IsMember({"generate", "train"}))->capture_default_str();
  app.add_option("--cpu", cpu, "native, x86-64-v3, x86-64-v4, x86-64-v4+amx or aarch64")->capture_default_str();
  app.add_option("--emit", emit,
                 "module: the module file; exe: an executable that carries it; graph: the frontend's IR; gradients: the graph of a\n"
                 "training module with its gradients; memory: what they keep, as a table; kernels: programs and kernels on memrefs; llvm: LLVM IR; asm: assembly; object: the shared object")
      ->check(CLI::IsMember({"module", "exe", "graph", "gradients", "memory", "kernels", "llvm", "asm", "object"}))
      ->capture_default_str();
  app.add_option("--page-tokens", pageTokens, "positions of a page of the latent cache")->check(CLI::Range(1, 65536))->capture_default_str();
  frontend::TrainingOptions training;
  CompileOptions options;
  app.add_option("--products", options.products,
                 "f32 products with a model's trained weights: fma, chains of fused multiply-adds; tiles, in AMX as sums of bf16 products,\n"
                 "no less exact and faster; auto: a training module in tiles where the CPU has them")
      ->check(CLI::IsMember({"auto", "fma", "tiles"}))->capture_default_str();
  auto *train = app.add_option_group("Training", "with --mode=train");
  train->add_option("--micro-batch", training.microBatch, "rows of a micro-batch")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  auto *sequence = train->add_option("--seq", training.sequence, "tokens of a row")->check(CLI::Range(2, 1 << 24));
  train->add_option("--micro-batches", training.microBatches, "micro-batches of a step")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  train->add_option("--mtp-weight", training.mtpWeight, "weight of the multi-token prediction loss; 0 leaves its layers out")
      ->check(numberWithin(0, 1e6))->capture_default_str();
  train->add_option("--balance-weight", training.balanceWeight, "weight of the sequence-wise balance loss")->check(numberWithin(0, 1e6))->capture_default_str();
  train->add_option("--bias-step", training.biasStep, "what a router's correction bias moves by after a step")->check(numberWithin(0, 1e6))->capture_default_str();
  train->add_option("--precision", training.precision, "operands of products: fp32, or bf16 (sums and master weights stay in f32)")->check(CLI::IsMember({"fp32", "bf16"}))->capture_default_str();
  train->add_option("--moments", options.moments, "element type of the optimizer's moments: fp32 or bf16")->check(CLI::IsMember({"fp32", "bf16"}))->capture_default_str();
  train->add_option("--recompute", options.recompute, "activations that the backward half computes again: none, report (the report's choice) or all")
      ->check(CLI::IsMember({"none", "report", "all"}))->capture_default_str();
  train->add_flag("--average", options.average, "keep an exponential moving average of the weights");
  auto *many = app.add_option_group("Many ranks", "world = pp * ep * dp ranks: mpirun -n WORLD hadal-run train ...\n"
                                                   "With --mode=generate --ep ranks: mpirun -n EP hadal-run generate|logits|score ...");
  auto positive = CLI::Range(int64_t(1), int64_t(1) << 20);
  many->add_option("--pp", training.pipelineRanks, "pipeline ranks: the layers in stages")->check(positive)->capture_default_str();
  many->add_option("--ep", training.expertRanks, "expert-parallel ranks: each holds a share of every layer's experts, and has micro-batches (or sequences) of its own")
      ->check(positive)->capture_default_str();
  many->add_option("--dp", training.dataRanks, "data-parallel ranks")->check(positive)->capture_default_str();
  many->add_option("--nodes", training.nodes, "nodes that one expert-parallel group spans: a token crosses to a node once")->check(positive)->capture_default_str();
  many->add_option("--dispatch", training.dispatch, "what rows travel as to the experts of other ranks: fp32, bf16 or fp8 (E4M3 with scales); but for fp32 sums\n"
                                                    "are not those of one rank")
      ->check(CLI::IsMember({"fp32", "bf16", "fp8"}))->capture_default_str();
  many->add_option("--combine", training.combine, "what rows travel as on the way back: fp32 or bf16")->check(CLI::IsMember({"fp32", "bf16"}))->capture_default_str();
  many->add_option("--exchange-capacity", training.exchangeCapacity, "most rows from one expert-parallel rank to another in an exchange; more are an error (any number)")
      ->check(positive);
  many->add_option("--schedule", training.schedule, "of the pipeline's chunks: 1f1b, zb1p, dualpipe or dualpipev")
      ->check(CLI::IsMember({"1f1b", "zb1p", "dualpipe", "dualpipev"}))->capture_default_str();
  many->add_option("--sum-groups", training.sumGroups, "groups of micro-batches whose gradients are summed apart, then in a tree: equal groups, equal bits on any\n"
                                                       "layout (as many as there are owners of micro-batches)")->check(positive);
  std::string overlap = "on", reduction = "ordered";
  many->add_option("--overlap", overlap, "communication of a chunk behind the computation of another: on or off")->check(CLI::IsMember({"on", "off"}))->capture_default_str();
  many->add_option("--reduction", reduction, "order of sums over micro-batches and ranks: ordered (equal --sum-groups, equal bits on any layout) or fast (one chain a rank, then\n"
                                                   "MPI's own reductions: no memory for groups; bits depend on the layout and the MPI)")
      ->check(CLI::IsMember({"ordered", "fast"}))->capture_default_str();
  app.add_option("-o,--output", output, "file to write (text goes to standard output without it, or with -)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &e) {
    if (e.get_exit_code() == 0)
      return app.exit(e);
    return fail(std::string(e.what()) + " (see --help)");
  }
  training.overlap = overlap == "on";
  training.fastReduction = reduction == "fast";
  bool text = emit == "graph" || emit == "gradients" || emit == "memory" || emit == "kernels" || emit == "llvm" || emit == "asm";
  if (text && output == "-")
    output.clear();
  if (output.empty() && !text)
    return fail("wants -o FILE to write the " + emit + " to");
  if (mode == "train" && sequence->empty())
    return fail("--mode=train wants --seq=TOKENS");
  if (mode == "generate")
    for (const char *name : {"--pp", "--dp", "--schedule", "--sum-groups", "--overlap", "--reduction", "--micro-batch", "--micro-batches", "--seq", "--mtp-weight",
                             "--balance-weight", "--bias-step", "--moments", "--recompute", "--average"})
      if (app.get_option(name)->count())
        return fail(std::string(name) + ": is for --mode=train" + (name == std::string("--pp") || name == std::string("--dp") ? "; --mode=generate takes --ep" : ""));
  if (emit == "exe" && training.ranks() > 1)
    return fail("--emit=exe: an executable carries a module for one rank, got " + std::to_string(training.ranks()) + " ranks");
  // Said before the work, not after it.
  if (llvm::StringRef folder = llvm::sys::path::parent_path(output); !folder.empty() && !llvm::sys::fs::is_directory(folder))
    return fail(output + ": there is no folder '" + folder.str() + "'");
  frontend::InferenceRanks ranks{training.expertRanks, training.nodes, training.dispatch, training.combine, training.exchangeCapacity};
  // Places and counts of a step's tokens are i32.
  int64_t stepRows = training.microBatch * training.microBatches;
  if (mode == "train" && stepRows > std::numeric_limits<int32_t>::max() / training.sequence)
    return fail("--micro-batches, --micro-batch and --seq want a step of less than 2^31 tokens");
  llvm::sys::fs::file_status status;
  if (llvm::sys::fs::status(input, status))
    return fail(input + ": no such file or folder");
  if (status.type() != llvm::sys::fs::file_type::regular_file && status.type() != llvm::sys::fs::file_type::directory_file)
    return fail(input + ": wants a folder or a regular file");

  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllToLLVMIRTranslations(registry);
  registerHadalDialects(registry);
  mlir::MLIRContext context(registry);
  // One line an error: what is wrong and where, without the IR around it.
  context.printOpOnDiagnostic(false);
  context.getDiagEngine().registerHandler([](mlir::Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error)
      llvm::errs() << "hadal-compile: " << diagnostic.getLocation() << ": " << diagnostic << "\n";
    return mlir::success();
  });

  auto module = readInput(context, input, mode == "train" ? &training : nullptr, ranks);
  if (!module)
    return 1;
  if (mode == "train" && !(*module)->hasAttr("hadal.training"))
    return fail("--mode=train wants a folder with config.json, " + input + " holds functions");
  options.cpu = cpu;
  options.emit = emit;
  options.output = output;
  options.pageTokens = pageTokens;
  options.runner = (llvm::sys::path::parent_path(llvm::sys::fs::getMainExecutable(argv[0], reinterpret_cast<void *>(&main))) + "/hadal-run").str();
  if (auto error = compile(*module, options))
    return fail(llvm::toString(std::move(error)));
  return 0;
}
