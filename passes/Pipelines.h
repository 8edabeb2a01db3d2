//===- Pipelines.h - the compiler's phases as pipelines ---------*- C++ -*-===//
//
// The compiler's phases as pipelines. Each is also a pipeline of hadal-opt under the name given.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_PIPELINES_H
#define HADAL_PASSES_PIPELINES_H

#include "dialects/job/Options.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"
#include <string>

namespace hadal {

/// What hadal's passes are told: by hadal-compile what the graph says of its job (readJob), by
/// hadal-opt as --hadal-graph-to-kernels="target=x86-64-v3 page-tokens=32". Defaults are those of
/// dialects/job/Options.h.
struct PipelineOptions : public mlir::PassPipelineOptions<PipelineOptions> {
  Option<std::string> target{*this, "target", llvm::cl::desc("what kernels are made for"),
                             llvm::cl::init("host")};
  Option<int64_t> pageTokens{*this, "page-tokens",
                             llvm::cl::desc("positions of a page of the latent cache"),
                             llvm::cl::init(job::defaultPageTokens)};
  Option<std::string> cache{*this, "cache", llvm::cl::desc("what latents are kept in: fp32 or fp8"),
                            llvm::cl::init("fp32")};
  Option<int64_t> vocabulary{*this, "vocabulary",
                             llvm::cl::desc("logits of a row; 0: the module generates no text"),
                             llvm::cl::init(0)};
  Option<std::string> moments{
      *this, "moments", llvm::cl::desc("element type of the optimizer's moments: fp32 or bf16"),
      llvm::cl::init("fp32")};
  Option<bool> average{*this, "average", llvm::cl::desc("keep a moving average of the weights"),
                       llvm::cl::init(false)};
  Option<std::string> precision{*this, "precision",
                                llvm::cl::desc("of the products of a training step: fp32, bf16 or "
                                               "fp8"),
                                llvm::cl::init(job::TrainingOptions().precision)};
  Option<std::string> fp8{*this, "fp8",
                          llvm::cl::desc("options of --fp8-quantize, with the precision fp8"),
                          llvm::cl::init("")};
  Option<std::string> recompute{
      *this, "recompute",
      llvm::cl::desc("what the backward half computes again: none, report or all"),
      llvm::cl::init("none")};
  Option<int64_t> ranks{*this, "ranks", llvm::cl::desc("ranks of a training job"),
                        llvm::cl::init(1)};
  Option<int64_t> expertRanks{*this, "expert-ranks", llvm::cl::desc("expert-parallel ranks"),
                              llvm::cl::init(job::RankOptions().ep)};
  Option<int64_t> nodes{*this, "nodes", llvm::cl::desc("nodes that the expert-parallel ranks span"),
                        llvm::cl::init(job::RankOptions().nodes)};
  Option<std::string> dispatch{
      *this, "dispatch", llvm::cl::desc("what rows travel as to the experts: fp32, bf16 or fp8"),
      llvm::cl::init(job::RankOptions().dispatch)};
  Option<std::string> combine{*this, "combine",
                              llvm::cl::desc("what rows travel as on the way back: fp32 or bf16"),
                              llvm::cl::init(job::RankOptions().combine)};
  Option<int64_t> capacity{
      *this, "capacity",
      llvm::cl::desc("most rows from one expert-parallel rank to another; 0: any number"),
      llvm::cl::init(job::RankOptions().capacity)};
  Option<bool> verifyPhases{
      *this, "verify-phases",
      llvm::cl::desc("hold the module to its phases on the way (--hadal-verify-phase)"),
      llvm::cl::init(false)};
};

/// All options but `target`, from the attributes of `module` (`job.settings`, `job.ranks` ...).
void readJob(mlir::ModuleOp module, PipelineOptions &options);

/// Whether `text` has options of --fp8-quantize and nothing else: their values are its affair.
mlir::LogicalResult
checkFp8Options(llvm::StringRef text,
                llvm::function_ref<mlir::LogicalResult(const llvm::Twine &)> error);

/// "hadal-graph-to-kernels": graph -> programs and kernels on memrefs.
void buildGraphToKernels(mlir::OpPassManager &pm, const PipelineOptions &options);
/// "hadal-loss-to-kernels" is both, one after the other: a loss on mutable globals -> losses and
/// gradients that add up in globals, as a graph; these -> programs, with the optimizer's, and
/// kernels on memrefs.
void buildLossToGradients(mlir::OpPassManager &pm, const PipelineOptions &options);
void buildGradientsToKernels(mlir::OpPassManager &pm, const PipelineOptions &options);
/// Registers passes and pipelines; with these "hadal-kernels-to-llvm": the code passes of a target
/// (option `target`) over a module that holds nothing but kernels on memory.
void registerHadalPasses();

/// Prints the passes in running order, then the pipelines: a line each, "--NAME  what it does".
/// Wants registerHadalPasses.
void listHadalPasses(llvm::raw_ostream &out);

} // namespace hadal

#endif // HADAL_PASSES_PIPELINES_H
