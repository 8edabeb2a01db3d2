//===- Pipelines.cpp - which passes run, in which order, and why ---------===//

#include "passes/Pipelines.h"
#include "dialects/exec/Exec.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "passes/Passes.h"
#include "passes/targets/Target.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace hadal;

void hadal::readJob(ModuleOp module, PipelineOptions &options) {
  job::SettingsAttr settings = job::settingsOf(module);
  options.moments = settings.getMoments().str();
  options.cache = settings.getCache().str();
  options.recompute = settings.getRecompute().str();
  options.average = settings.getAverage();
  if (job::ModelAttr model = job::modelOf(module)) {
    options.verifyPhases = true; // the frontend names all parts of a model
    options.vocabulary = model.getVocabSize();
    options.pageTokens = model.getPageTokens();
  }
  job::TrainingAttr training = job::trainingOf(module);
  if (training)
    options.precision = training.getPrecision().str();
  else if (module->hasAttr(job::kBf16ValuesAttr))
    options.precision = "bf16";
  options.fp8 = settings.getFp8().str();
  job::RanksAttr ranks = job::ranksOf(module);
  if (!ranks)
    return;
  options.ranks = training ? ranks.getOptions().count() : 1;
  options.expertRanks = ranks.getEp();
  options.nodes = ranks.getNodes();
  options.dispatch = ranks.getDispatch().str();
  options.combine = ranks.getCombine().str();
  options.capacity = ranks.getCapacity();
}

/// The phases that the compiler holds a model's module to: there all parts are wanted.
static void verifyScheduled(OpPassManager &pm, const PipelineOptions &options) {
  if (options.verifyPhases)
    pm.addPass(createHadalVerifyPhase(
        {.graph = false, .sharded = false, .scheduled = true, .kernels = false}));
}
static void verifyKernels(OpPassManager &pm, const PipelineOptions &options) {
  if (options.verifyPhases)
    pm.addPass(createHadalVerifyPhase(
        {.graph = false, .sharded = false, .scheduled = false, .kernels = true}));
}

static void shardExperts(OpPassManager &pm, const PipelineOptions &options) {
  pm.addPass(createMoeShardExperts({.ranks = options.expertRanks,
                                    .nodes = options.nodes,
                                    .dispatch = options.dispatch,
                                    .combine = options.combine,
                                    .capacity = options.capacity}));
}

LogicalResult hadal::checkFp8Options(StringRef text,
                                     function_ref<LogicalResult(const Twine &)> error) {
  // LLVM's parser prints by itself, in no form of ours, what lacks a value.
  for (StringRef word : llvm::split(text, ' '))
    if (!word.empty() && !word.contains('='))
      return error("wants NAME=VALUE, got '" + word + "'");
  return createFp8Quantize()->initializeOptions(text, [&](const Twine &wrong) {
    SmallString<128> line;
    StringRef said = wrong.toStringRef(line);
    said.consume_front("fp8-quantize "); // the option is what its user knows
    return error(said);
  });
}

/// Products take codes with scales where the precision is fp8.
static void quantize(OpPassManager &pm, const PipelineOptions &options) {
  if (options.precision != "fp8")
    return;
  std::unique_ptr<Pass> pass = createFp8Quantize();
  LogicalResult known = pass->initializeOptions(
      options.fp8, [](const Twine &) -> LogicalResult { return failure(); });
  assert(succeeded(known) && "checkFp8Options comes before");
  (void)known;
  pm.addPass(std::move(pass));
  // Before the backward half is split off, which would take codes of weights for values that cross.
  pm.addPass(createFp8WeightStates());
}

/// Hand-written graphs may call functions and use arith and math on tensors; the frontend's do not.
static void buildGraphToLinalg(OpPassManager &pm) {
  // First, because what follows looks into one function at a time.
  pm.addPass(createHadalInlineCalls());
  pm.addNestedPass<func::FuncOp>(createHadalFillConstants());
  pm.addNestedPass<func::FuncOp>(createConvertElementwiseToLinalgPass());
}

/// "mla-specialize": @forward -> the functions that serve it.
static void buildSpecialize(OpPassManager &pm, int64_t pageTokens, const std::string &cache) {
  // Early, because it copies @forward: what follows works on each copy.
  pm.addPass(createHadalMakePrograms());
  // Before attention changes: its expanded keys show where the latent comes from.
  pm.addPass(createMlaAppendCache({cache}));
  pm.addPass(createMlaAbsorb({pageTokens}));
}

void hadal::buildGraphToKernels(OpPassManager &pm, const PipelineOptions &options) {
  buildGraphToLinalg(pm);
  buildSpecialize(pm, options.pageTokens, options.cache);
  // Of each copy, and before weights are anything but parameters: a rank has a share of the stacks.
  if (options.expertRanks > 1)
    shardExperts(pm, options);
  // Rows that products read as codes travel as codes.
  pm.addPass(createFp8SinkDequantize());
  if (options.expertRanks > 1)
    pm.addPass(createMoeEncodeExchanges());
  // What is rounded joins what made it.
  if (options.precision == "bf16")
    pm.addPass(createHadalRoundProducts({options.precision}));
  // A bias and a residual become one op, and so one epilogue.
  pm.addNestedPass<func::FuncOp>(createHadalFuseElementwise());
  // After the specialization, which takes slices of dequantized weights: those are widened while
  // they are packed.
  pm.addPass(createFp8FoldDequantize());
  // Before kernels are formed, so that the gathered rows never exist.
  pm.addPass(createMoeFuseDispatch());
  // Equal sizes and constants once, so that equal kernels print equally.
  pm.addPass(createCSEPass());
  // Last, because what crosses between sections is what is left by then.
  if (options.expertRanks > 1)
    pm.addPass(createHadalCutChunks());
  verifyScheduled(pm, options);
  // Of what is left by now: how a tensor lies depends on all that reads it.
  pm.addPass(createExecAssignLayouts({options.target}));
  pm.addPass(createExecFormPrograms({options.target}));
  if (options.vocabulary > 0)
    pm.addPass(createExecAddSampling({options.vocabulary}));
  // Kernels say nothing about memory between launches; the programs alone decide it.
  pm.addPass(createExecPlanMemory());
  pm.addPass(createHadalLowerKernels({options.target}));
  verifyKernels(pm, options);
}

void hadal::buildLossToGradients(OpPassManager &pm, const PipelineOptions &options) {
  buildGraphToLinalg(pm);
  // Before differentiation, which makes the exchanges of the way back from those of the way there.
  if (options.expertRanks > 1)
    shardExperts(pm, options);
  pm.addPass(createHadalDifferentiate());
  // Right after it: the two gradient products take codes of their own, and what travels, is kept
  // or is computed again is codes by then.
  quantize(pm, options);
  // What rows are rounded to on the way has no gradient.
  if (options.expertRanks > 1)
    pm.addPass(createMoeEncodeExchanges());
  // Before the cut, so that weight gradients later read the tokens' rows and not the more rows that
  // they were gathered to.
  if (options.ranks > 1)
    pm.addPass(createMoeFuseDispatch());
  if (options.ranks > 1) {
    // Before the cut, too: after it nothing tells that two chunks compute the same.
    pm.addPass(createCSEPass());
    pm.addPass(createHadalRecompute({options.recompute}));
    // Before gradients lose their names in sums: which op belongs to which part is seen from the
    // results.
    pm.addPass(createHadalSplitBackward());
  }
  // After differentiation, which wants to see each contribution to a parameter's gradient by
  // itself.
  pm.addPass(createHadalAccumulateGradients());
  // The two gradient products of a weight round operands of their own.
  pm.addPass(createHadalRoundProducts({options.precision == "bf16" ? "bf16" : "fp32"}));
  pm.addNestedPass<func::FuncOp>(createHadalFuseElementwise());
  // Before kernels are formed, so that the gathered rows never exist.
  pm.addPass(createMoeFuseDispatch());
  // Also removes what only the differentiation needed.
  pm.addPass(createCSEPass());
  // Last, because what crosses between sections is what is left by then.
  if (options.ranks > 1)
    pm.addPass(createHadalCutChunks());
  // After CSE, which would merge the copies with what they are copies of.
  else
    pm.addPass(createHadalRecompute({options.recompute}));
  verifyScheduled(pm, options);
}

void hadal::buildGradientsToKernels(OpPassManager &pm, const PipelineOptions &options) {
  // Of what is left by now: how a tensor lies depends on all that reads it.
  pm.addPass(createExecAssignLayouts({options.target}));
  pm.addPass(createExecFormPrograms({options.target}));
  // It walks the memory of parameters, which has a form only now.
  pm.addPass(createExecAddOptimizer({options.moments, options.average}));
  pm.addPass(createExecPlanMemory());
  pm.addPass(createHadalLowerKernels({options.target}));
  // Last, because nothing before looks at them: the module file has them as they stand here.
  if (options.ranks > 1)
    pm.addPass(createExecOrderChunks());
  verifyKernels(pm, options);
}

/// In running order, as Passes.td has them.
static constexpr StringRef kPasses[] = {
    "hadal-verify-phase",     "hadal-inline-calls",         "hadal-fill-constants",
    "moe-shard-experts",      "hadal-differentiate",        "fp8-quantize",
    "fp8-weight-states",      "fp8-sink-dequantize",        "moe-encode-exchanges",
    "hadal-split-backward",   "hadal-accumulate-gradients", "hadal-round-products",
    "hadal-make-programs",    "mla-append-cache",           "mla-absorb",
    "hadal-fuse-elementwise", "fp8-fold-dequantize",        "moe-fuse-dispatch",
    "hadal-recompute",        "hadal-cut-chunks",           "exec-assign-layouts",
    "exec-form-programs",     "exec-add-sampling",          "exec-add-optimizer",
    "exec-plan-memory",       "hadal-lower-kernels",        "exec-order-chunks",
    "hopper-to-nvvm",         "hopper-to-emulator",         "hadal-expand-math",
    "hadal-kernel-entries",   "hadal-grid-entries",
};
static constexpr StringRef kPipelines[] = {"mla-specialize", "hadal-graph-to-kernels",
                                           "hadal-loss-to-kernels", "hadal-kernels-to-llvm"};

namespace {
struct SpecializeOptions : PassPipelineOptions<SpecializeOptions> {
  Option<std::string> cache{*this, "cache", llvm::cl::desc("what latents are kept in: fp32 or fp8"),
                            llvm::cl::init("fp32")};
  Option<int64_t> pageTokens{*this, "page-tokens",
                             llvm::cl::desc("positions of a page of the latent cache"),
                             llvm::cl::init(job::defaultPageTokens)};
};
struct CodeOptions : public PassPipelineOptions<CodeOptions> {
  Option<std::string> target{*this, "target", llvm::cl::desc("what the kernels were made for"),
                             llvm::cl::init("host")};
};
} // namespace

/// Unlike PassPipelineRegistration it can refuse a target.
static void registerCodePasses() {
  registerPassPipeline(
      kPipelines[3], "kernels on memory to what code is made of",
      [](OpPassManager &pm, StringRef text, function_ref<LogicalResult(const Twine &)> error) {
        CodeOptions options;
        if (failed(options.parseFromString(text)))
          return failure();
        auto target = findTarget(options.target);
        if (!target)
          return error(llvm::toString(target.takeError()));
        (*target)->addCodePasses(pm);
        return success();
      },
      [](function_ref<void(const detail::PassOptions &)> show) { show(CodeOptions()); });
}

/// The same: of the options of FP8.
static void registerLossPipeline() {
  registerPassPipeline(
      kPipelines[2], "a loss to gradients, programs and kernels on memrefs",
      [](OpPassManager &pm, StringRef text, function_ref<LogicalResult(const Twine &)> error) {
        PipelineOptions options;
        if (failed(options.parseFromString(text)) || failed(checkFp8Options(options.fp8, error)))
          return failure();
        buildLossToGradients(pm, options);
        buildGradientsToKernels(pm, options);
        return success();
      },
      [](function_ref<void(const detail::PassOptions &)> show) { show(PipelineOptions()); });
}

void hadal::registerHadalPasses() {
  registerCompilerPasses();
  PassPipelineRegistration<SpecializeOptions>(
      kPipelines[0], "@forward to prefill, inspect and decode",
      [](OpPassManager &pm, const SpecializeOptions &options) {
        buildSpecialize(pm, options.pageTokens, options.cache);
      });
  PassPipelineRegistration<PipelineOptions>(
      kPipelines[1], "graph to programs and kernels on memrefs", buildGraphToKernels);
  registerLossPipeline();
  registerCodePasses();
}

void hadal::listHadalPasses(raw_ostream &out) {
  size_t width = 0;
  for (StringRef name : kPasses)
    width = std::max(width, name.size());
  auto print = [&](StringRef name, const PassRegistryEntry *known) {
    assert(known && "registered above");
    out << "--" << left_justify(name, width) << "  " << known->getPassDescription() << "\n";
  };
  for (StringRef name : kPasses)
    print(name, PassInfo::lookup(name));
  for (StringRef name : kPipelines)
    print(name, PassPipelineInfo::lookup(name));
}
