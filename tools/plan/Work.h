//===- Work.h - what a training step asks of a cluster --------------------===//
//
// Work has no times in it: arithmetic by kind of kernel, bytes of memory, bytes of messages. Two
// sources make it, a model's config.json (ModelWork.h) and a compiled module (ModuleWork.h);
// Timing.h turns it into seconds on a cluster, Simulate.h runs it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_PLAN_WORK_H
#define HADAL_TOOLS_PLAN_WORK_H

#include <cstdint>
#include <string>
#include <vector>

namespace hadal::plan {

/// Kernels that reach the same share of a peak, as the cluster file names them: "gemm" ...
/// "elementwise".
enum class KernelKind : uint8_t {
  Gemm,
  GroupedGemm,
  WeightGrad,
  GroupedWeightGrad,
  Attention,
  AttentionGrad,
  Elementwise
};
inline constexpr size_t kernelKinds = 7;
enum class Precision : uint8_t { Bf16, Fp8 };

/// Kernels of one kind that run one after the other.
struct Kernels {
  KernelKind kind = KernelKind::Elementwise;
  Precision precision = Precision::Bf16;
  double flops = 0;
  double bytes = 0;  ///< of memory read and written; all of it for elementwise kernels, else what
                     ///< does not hide behind the arithmetic
  double length = 0; ///< of the sums (K), for products
  double launches = 1;
  bool routed = false; ///< its size is the number of rows that were routed here
};

/// Links that an exchange or a message uses.
enum class Lane : uint8_t { Compute, Exchange };
enum class ExchangeKind : uint8_t { Dispatch, Combine };

/// A part of a chunk: arithmetic (attention, MLP), or an exchange among expert-parallel ranks
/// (dispatch, combine). Parts of a chunk run in order, but for fillers: weight gradients, which
/// only wait for the part `after`.
struct Part {
  std::string name; ///< "attention", "dispatch" ...
  Lane lane = Lane::Compute;
  std::vector<Kernels> kernels;
  ExchangeKind exchange = ExchangeKind::Dispatch;
  double nodeBytes = 0; ///< sent over InfiniBand
  double linkBytes = 0; ///< sent over NVLink
  int after = -1; ///< weight gradients: the part of the input gradient that makes their operands
  int64_t firstLayer = -1, lastLayer = -1; ///< of the model that it belongs to; -1: none
};

using Parts = std::vector<Part>;

/// Of all kernels.
inline double flopsOf(const Parts &parts) {
  double sum = 0;
  for (const Part &part : parts)
    for (const Kernels &kernels : part.kernels)
      sum += kernels.flops;
  return sum;
}

/// A pipeline stage's work on one micro-batch, and what it keeps.
struct StageWork {
  int64_t firstLayer = 0, layers = 0;
  Parts forward, inputGrad, weightGrad;
  double messageBytes =
      0; ///< of activations for the next stage, and as many of gradients for the one before
  double activationBytes = 0;      ///< kept between forward and weight gradient
  double replicatedParameters = 0; ///< elements that all data ranks have
  double expertParameters = 0;     ///< elements of this rank's share
};

/// All ranks' work for a step.
struct StepWork {
  std::string model;
  std::vector<StageWork> stages;
  std::vector<double> activationPeaks; ///< of pipeline ranks, where the orders are a module's own;
                                       ///< else counted by chunks
  double tokens = 0;                   ///< of the step, on all ranks
  double tokenFlopsCausal =
      0; ///< forward and backward of the main model; attention counts the half that the mask leaves
  double tokenFlopsFull = 0; ///< attention counts all pairs of tokens
  double expertsPerRank = 0; ///< 0: nothing is routed
  double expertRanks = 1, expertNodes = 1;
  double sequencesPerExchange =
      0; ///< that meet in an exchange: a micro-batch's on all expert-parallel ranks
  bool messagesAtOnce = false; ///< messages leave when they are ready, not when their item ends
  bool overlap = true;         ///< chunks issued together run side by side, not one after the other
  double weightBytes = 2, gradientBytes = 4, masterBytes = 4,
         momentBytes = 4; ///< of one element; both moments
};

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_WORK_H
