//===- Request.cpp - what hadal-compile is asked for ----------------------===//

#include "tools/compile/Request.h"
#include "passes/targets/Target.h"
#include "runtime/File.h"
#include "runtime/module/StagePlaces.h"
#include "tools/CommandLine.h"
#include "tools/Help.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <iterator>
#include <limits>

using namespace hadal;

bool CompileRequest::isGraph() const {
  return !isStream(input) && !llvm::sys::fs::is_directory(input) &&
         llvm::sys::path::filename(input) != "config.json";
}

//===----------------------------------------------------------------------===//
// Options
//===----------------------------------------------------------------------===//

static bool isGpu(llvm::StringRef target) { return target.starts_with("sm_"); }

/// The targets by name; the host's is what users know as native.
static std::vector<std::string> namesOfTargets() {
  std::vector<std::string> names = targetNames();
  llvm::replace(names, std::string("host"), std::string("native"));
  return names;
}

/// Those that are processors.
static std::vector<std::string> processorNames() {
  std::vector<std::string> names = namesOfTargets();
  llvm::erase_if(names, [](const std::string &name) { return isGpu(name); });
  return names;
}

static void declareGeneral(CLI::App &app, CompileRequest &request) {
  app.add_option("INPUT", request.input,
                 "Folder with config.json (deepseek_v3, deepseek_v2, kimi_k2, glm4_moe_lite, "
                 "youtu), or a .mlir file; - or a pipe: the text of either file")
      ->type_name(kData)
      ->required();
  app.add_option("-o,--output", request.output,
                 "File to write; text goes to standard output without it")
      ->type_name(kOutputFile);
  app.add_option("--mode", request.mode, "What the module is for")
      ->check(oneOf({"generate", "train"}))
      ->capture_default_str();
  app.add_option("--cpu", request.cpu, "Processor to generate code for; native is this machine's")
      ->check(oneOf(processorNames()))
      ->capture_default_str();
  app.add_option("--target", request.target,
                 "What to generate code for: a GPU, or a processor as --cpu names it. sm_90a: a "
                 "Hopper GPU, as PTX and, with ptxas, machine code; sm_90a-emulated: the same "
                 "kernels for the device that stands in for one")
      ->check(oneOf(namesOfTargets()));
  app.add_option("--tiers", request.tiers,
                 "For a GPU: kinds of kernels that may be made, a list such as serial,rows. "
                 "serial: one task per thread, the CPU's arithmetic bit for bit; rows: one block "
                 "per row; tensor: products on tensor cores (default: all)")
      ->type_name("LIST");
  app.add_option("--ptxas", request.ptxas,
                 "For a GPU: the assembler. auto: HADAL_PTXAS, or the one that this machine has; "
                 "off: none, and a driver assembles the PTX; else its path")
      ->type_name("auto|off|PATH")
      ->capture_default_str();
  app.add_option(
         "--emit", request.emit,
         "What to write. module: the module file; exe: an executable that carries it; graph: the "
         "frontend's IR, which hadal-compile reads again; pipeline: the passes from there to "
         "kernels, as hadal-opt --pass-pipeline takes them; "
         "gradients: the graph of a training module with its gradients; memory: what they keep, as "
         "a table; precision: what each product and each kept tensor of it is computed in, as a "
         "table; kernels: "
         "programs and kernels on memrefs; hopper: a GPU's kernels with their synchronization; "
         "llvm: LLVM IR; asm: assembly; ptx: a GPU's; sass: what ptxas makes of it, disassembled; "
         "object: the shared object; "
         "checkpoint: the folder's weights, with --quantize, as a folder")
      ->check(oneOf({"module", "exe", "graph", "pipeline", "gradients", "memory", "precision",
                     "kernels", "hopper", "llvm", "asm", "ptx", "sass", "object", "checkpoint"}))
      ->capture_default_str();
  app.add_option("--quantize", request.quantize,
                 "What --emit=checkpoint makes of the weights of attention, MLPs and experts. fp8: "
                 "E4M3 with a scale for 128 x 128 of them, as Hugging Face has FP8 models")
      ->check(oneOf({"fp8"}));
}

/// What products and the cache compute in, and how it is compiled.
static void declareSettings(CLI::App &app, CompileRequest &request) {
  app.add_option("--page-tokens", request.settings.pageTokens,
                 "Positions in one page of the latent cache")
      ->check(wholeNumberWithin(1, 65536))
      ->default_str(std::to_string(job::defaultPageTokens));
  app.add_option(
         "--cache", request.settings.cache,
         "What generation keeps latents in. fp8: E4M3 with a scale for 128 of them, a third "
         "of the memory at DeepSeek-V3's sizes; keys stay in f32")
      ->check(oneOf({"fp32", "fp8"}))
      ->default_str("fp32");
  app.add_option("--products", request.settings.products,
                 "How f32 products with trained weights are computed. fma: chains of fused "
                 "multiply-adds; tiles: in AMX, as sums "
                 "of bf16 products, no less exact and faster; auto: tiles in a training module "
                 "where the CPU has them")
      ->check(oneOf({"auto", "fma", "tiles"}))
      ->default_str("auto");
  app.add_option("--precision", request.training.precision,
                 "What products compute with; sums and master weights stay in f32. fp32: rows in "
                 "f32, weights of generation as the checkpoint has them; bf16: rows and trained "
                 "weights rounded to it, in generation the rows that meet BF16 weights; fp8: E4M3 "
                 "codes with scales in all Linears and experts. "
                 "Training takes the recipe of the DeepSeek-V3 report; generation quantizes rows "
                 "as they come, in tiles of 1 x 128, and once the weights of a checkpoint that is "
                 "not FP8, in 128 x 128")
      ->check(oneOf({"fp32", "bf16", "fp8"}))
      ->capture_default_str();
  app.add_flag("-v,--verbose", request.isVerbose, "Name each pass on stderr as it runs");
  app.add_flag(
      "--no-cache", request.noCache,
      "Compile anew, and keep nothing. Without it finished modules and kernels are kept, each up "
      "to HADAL_CACHE_BYTES (2 GiB), in "
      "HADAL_CACHE_DIR (~/.cache/hadal), and compiling the same again takes them from there");
}

static void declareTraining(CLI::App &app, CompileRequest &request) {
  auto *train = app.add_option_group("Training", "with --mode=train");
  train->add_option("--seq", request.training.sequence, "Tokens in one row; must be given")
      ->check(wholeNumberWithin(2, 1 << 24));
  train->add_option("--micro-batch", request.training.microBatch, "Rows in one micro-batch")
      ->check(wholeNumberWithin(1, 1 << 20))
      ->capture_default_str();
  train->add_option("--micro-batches", request.training.microBatches, "Micro-batches in one step")
      ->check(wholeNumberWithin(1, 1 << 20))
      ->capture_default_str();
  train
      ->add_option("--mtp-weight", request.training.mtpWeight,
                   "Weight of the multi-token prediction loss; 0 leaves its layers out")
      ->check(numberWithin(0, 1e6))
      ->capture_default_str();
  train
      ->add_option("--balance-weight", request.training.balanceWeight,
                   "Weight of the sequence-wise balance loss")
      ->check(numberWithin(0, 1e6))
      ->capture_default_str();
  train
      ->add_option("--bias-step", request.training.biasStep,
                   "How far a router's correction bias moves after a step")
      ->check(numberWithin(0, 1e6))
      ->capture_default_str();
  train
      ->add_option("--fp8", request.settings.fp8,
                   "With --precision=fp8: options of the pass fp8-quantize, to study what they do, "
                   "such as \"accumulate=hopper interval=0\"")
      ->type_name("LIST");
  train
      ->add_option("--moments", request.settings.moments, "Element type of the optimizer's moments")
      ->check(oneOf({"fp32", "bf16"}))
      ->default_str("fp32, with --precision=fp8 bf16");
  train
      ->add_option("--recompute", request.settings.recompute,
                   "Activations that the backward half computes again; report: those of the "
                   "DeepSeek-V3 report")
      ->check(oneOf({"none", "report", "all"}))
      ->default_str("none");
  train->add_flag("--average", request.average,
                  "Keep an exponential moving average of the weights");
}

static void declareRanks(CLI::App &app, CompileRequest &request) {
  auto *many = app.add_option_group(
      kRankOptions, "run as mpirun -n PP*EP*DP hadal-run train, or with --mode=generate as "
                    "mpirun -n EP hadal-run generate, logits or score");
  auto positive = wholeNumberWithin(1, int64_t(1) << 20);
  many->add_option("--pp", request.training.ranks.pp, "Pipeline ranks: the layers in stages")
      ->check(positive)
      ->capture_default_str();
  many->add_option("--ep", request.training.ranks.ep,
                   "Expert-parallel ranks: each holds a share of every layer's experts, and has "
                   "micro-batches (or sequences) of its own")
      ->check(positive)
      ->capture_default_str();
  many->add_option("--dp", request.training.ranks.dp, "Data-parallel ranks")
      ->check(positive)
      ->capture_default_str();
  many->add_option("--nodes", request.training.ranks.nodes,
                   "Nodes that one expert-parallel group spans: a token crosses to a node once")
      ->check(positive)
      ->capture_default_str();
  many->add_option("--schedule", request.training.ranks.schedule, "Order of the pipeline's chunks")
      ->check(oneOf({std::begin(scheduleNames), std::end(scheduleNames)}))
      ->capture_default_str();
  many->add_option("--sum-groups", request.training.sumGroups,
                   "Groups of micro-batches whose gradients are summed apart, then in a tree: "
                   "equal groups, equal bits on any "
                   "layout (default: as many as there are owners of micro-batches)")
      ->check(positive);
  many->add_option("--overlap", request.overlap, "Communicate for one chunk while another computes")
      ->check(oneOf({"on", "off"}))
      ->capture_default_str();
  many->add_option("--reduction", request.reduction,
                   "Order of sums over micro-batches and ranks. ordered: equal --sum-groups give "
                   "equal bits on any layout; fast: "
                   "one chain per rank, then MPI's own reductions, without memory for groups; bits "
                   "then depend on layout and MPI")
      ->check(oneOf({"ordered", "fast"}))
      ->capture_default_str();
  many->add_option(
          "--dispatch", request.training.ranks.dispatch,
          "Element type of rows on their way to experts of other ranks; fp8 is E4M3 with "
          "scales. Only with fp32 are sums those of one rank; with --precision=fp8 rows are "
          "codes on one rank, too, and always travel so")
      ->check(oneOf({"fp32", "bf16", "fp8"}))
      ->capture_default_str();
  many->add_option("--combine", request.training.ranks.combine,
                   "Element type of rows on the way back")
      ->check(oneOf({"fp32", "bf16"}))
      ->capture_default_str();
  many->add_option("--exchange-capacity", request.training.ranks.capacity,
                   "Most rows from one expert-parallel rank to another in an exchange; more are an "
                   "error (default: any number)")
      ->check(positive);
}

void hadal::declareOptions(CLI::App &app, CompileRequest &request) {
  declareGeneral(app, request);
  declareSettings(app, request);
  declareTraining(app, request);
  declareRanks(app, request);
}

//===----------------------------------------------------------------------===//
// What does not go together
//===----------------------------------------------------------------------===//

/// What --emit=checkpoint and --quantize want of each other, and of the rest.
static std::string problemOfCheckpoint(const CLI::App &app, const CompileRequest &request) {
  if (!request.writesCheckpoint())
    return request.quantize.empty() ? "" : "--quantize: is for --emit=checkpoint";
  if (request.quantize.empty())
    return "--emit=checkpoint wants --quantize=fp8";
  if (request.isGraph() || isStream(request.input))
    return "--emit=checkpoint wants a folder with config.json and safetensors, got " +
           nameOfInput(request.input);
  if (isStream(request.output))
    return "--emit=checkpoint: -o wants the name of a new folder, got " + request.output;
  for (const char *name : {"--mode", "--cpu", "--target", "--tiers", "--ptxas", "--page-tokens",
                           "--cache", "--products", "--precision", "--ep"})
    if (app.get_option(name)->count())
      return std::string(name) + ": means nothing to --emit=checkpoint";
  return "";
}

/// An option that means nothing in what is asked for.
static std::string uselessOption(const CLI::App &app, const CompileRequest &request) {
  if (request.isGraph())
    return "";
  if (request.trains() && app.get_option("--seq")->empty())
    return "--mode=train wants --seq=TOKENS";
  if (!request.trains())
    for (const char *name :
         {"--pp", "--dp", "--schedule", "--sum-groups", "--overlap", "--reduction", "--micro-batch",
          "--micro-batches", "--seq", "--mtp-weight", "--balance-weight", "--bias-step", "--fp8",
          "--moments", "--recompute", "--average"})
      if (app.get_option(name)->count())
        return std::string(name) + ": is for --mode=train" +
               (name == std::string("--pp") || name == std::string("--dp")
                    ? "; --mode=generate takes --ep"
                    : "");
  if (request.trains() && request.settings.cache)
    return "--cache: is for --mode=generate";
  if (request.settings.fp8 && request.training.precision != "fp8")
    return "--fp8: is for --precision=fp8";
  if (request.training.ranks.ep == 1)
    for (const char *name : {"--dispatch", "--combine", "--exchange-capacity"})
      if (const CLI::Option *option = app.get_option(name);
          option->count() && option->as<std::string>() != "fp32")
        return std::string(name) + ": is for rows that go from one expert-parallel rank to "
                                   "another; wants --ep of 2 or more";
  return "";
}

/// What says twice what code is for, or says of a processor what is a GPU's.
static std::string problemOfTarget(const CLI::App &app, const CompileRequest &request) {
  bool hasTarget = app.get_option("--target")->count();
  if (hasTarget && app.get_option("--cpu")->count())
    return "--cpu: is the same as --target, which says " + request.target;
  for (const char *name : {"--tiers", "--ptxas"})
    if (app.get_option(name)->count() && !(hasTarget && isGpu(request.target)))
      return std::string(name) + ": is for --target=sm_90a";
  return "";
}

/// What cannot be written where it is wanted: said before the work, not after it.
static std::string problemOfOutput(const CompileRequest &request) {
  if (request.emit == "exe" && request.training.ranks.count() > 1)
    return "--emit=exe: an executable carries a module for one rank, got " +
           std::to_string(request.training.ranks.count()) + " ranks";
  if (llvm::StringRef folder =
          llvm::sys::path::parent_path(llvm::StringRef(request.output).rtrim('/'));
      !folder.empty() && !llvm::sys::fs::is_directory(folder))
    return request.output + ": there is no folder '" + folder.str() + "'";
  return "";
}

std::string hadal::problemOf(const CLI::App &app, const CompileRequest &request) {
  bool isText = llvm::is_contained({"graph", "pipeline", "gradients", "memory", "precision",
                                    "kernels", "hopper", "llvm", "asm", "ptx", "sass"},
                                   request.emit);
  if (request.output.empty() && !isText)
    return "wants -o FILE to write the " + request.emit + " to";
  if (std::string problem = problemOfCheckpoint(app, request); !problem.empty())
    return problem;
  if (std::string problem = uselessOption(app, request); !problem.empty())
    return problem;
  if (std::string problem = problemOfTarget(app, request); !problem.empty())
    return problem;
  if (std::string problem = problemOfOutput(request); !problem.empty())
    return problem;
  // Places and counts of a step's tokens are i32.
  const frontend::TrainingOptions &training = request.training;
  int64_t stepRows = training.microBatch * training.microBatches;
  if (request.trains() && training.sequence > 0 &&
      stepRows > std::numeric_limits<int32_t>::max() / training.sequence)
    return "--micro-batches, --micro-batch and --seq want a step of less than 2^31 tokens";
  if (!isStream(request.input) && !llvm::sys::fs::exists(request.input))
    return request.input + ": no such file or folder";
  return "";
}
