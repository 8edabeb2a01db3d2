// The compiler's phases as pipelines. Each is also a pipeline of hadal-opt under the name given.
#pragma once
#include "mlir/Pass/PassManager.h"
#include <string>

namespace hadal {

struct PipelineOptions {
  int64_t lanes = 8;
  int64_t pageTokens = 64;
  int64_t vocabulary = 0;         ///< 0: the module generates no text
  std::string moments = "fp32";   ///< element type of the optimizer's moments: fp32 or bf16
  std::string precision = "fp32"; ///< of the products of a training step: fp32 or bf16
  std::string recompute = "none"; ///< what the backward half computes again: none, report or all
  bool average = false;           ///< keep a moving average of the weights
  int64_t ranks = 1, expertRanks = 1, nodes = 1; ///< of a training job
  std::string dispatch = "fp32",
              combine =
                  "fp32"; ///< what rows travel as between expert-parallel ranks: fp32, bf16 or fp8
  bool tiles = false;     ///< products of weights in panels run in AMX tiles
  int64_t capacity = 0;   ///< most rows from one of these to another; 0: any number
  bool verifyPhases = false; ///< hold the module to its phases on the way (--hadal-verify-phase)
};

/// "hadal-graph-to-kernels": graph -> programs and kernels on memrefs.
void buildGraphToKernels(mlir::OpPassManager &pm, const PipelineOptions &options);
/// The halves of "hadal-loss-to-kernels": a loss on mutable globals -> losses and gradients that
/// add up in globals, as a graph; these -> programs, with the optimizer's, and kernels on memrefs.
void buildLossToGradients(mlir::OpPassManager &pm, const PipelineOptions &options);
void buildGradientsToKernels(mlir::OpPassManager &pm, const PipelineOptions &options);
/// "hadal-kernels-to-llvm": kernels on memrefs -> LLVM dialect, in a module that holds nothing
/// else.
void buildKernelsToLlvm(mlir::OpPassManager &pm);

/// Registers passes and pipelines.
void registerHadalPasses();

} // namespace hadal
