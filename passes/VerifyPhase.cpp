//===- VerifyPhase.cpp - which ops may exist after which phase --------------===//
//
// The table of dialects/README.md as a pass. It changes nothing.
//
//===------------------------------------------------------------------------===//

#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "passes/Passes.h"
#include "passes/analysis/Products.h"

namespace hadal {
#define GEN_PASS_DEF_HADALVERIFYPHASE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

enum Phase { Graph, Sharded, Scheduled, Kernels };
constexpr StringRef kPhases[] = {"graph", "sharded", "scheduled", "kernels"};

/// Upstream's dialects of ops on tensors, and of kernels.
constexpr StringRef kTensorDialects[] = {"affine", "arith",      "builtin", "func",  "linalg",
                                         "math",   "ml_program", "scf",     "tensor"};
constexpr StringRef kKernelDialects[] = {"affine", "arith",  "builtin", "cf",    "exec",
                                         "func",   "hopper", "llvm",    "math",  "memref",
                                         "nvvm",   "scf",    "ub",      "vector"};

/// The phase that an op of hadal's first stands in. They all end with the kernels.
struct FirstPhase {
  StringRef op;
  Phase phase;
};
constexpr FirstPhase kFirstPhases[] = {
    // What the frontend writes.
    {"fp8.dequantize", Graph},
    {"mla.attention", Graph},
    {"mla.rope", Graph},
    {"mla.rotation", Graph},
    {"moe.balance_loss", Graph},
    {"moe.combine", Graph},
    {"moe.dispatch", Graph},
    {"moe.grouped_matmul", Graph},
    {"moe.plan", Graph},
    {"moe.route", Graph},
    {"moe.update_bias", Graph},
    // --mla-append-cache, --mla-absorb and --moe-shard-experts.
    {"exec.state", Sharded},
    {"mla.append_codes", Sharded},
    {"mla.cache_append", Sharded},
    {"mla.latent_attention", Sharded},
    {"moe.exchange", Sharded},
    {"moe.exchange_counts", Sharded},
    {"moe.plan_sends", Sharded},
    // --hadal-differentiate, --hadal-split-backward, --moe-encode-exchanges and
    // --fp8-fold-dequantize.
    {"fp8.grouped_matmul", Scheduled},
    {"fp8.matmul", Scheduled},
    {"fp8.quantize", Scheduled},
    {"fp8.weight_grad", Scheduled},
    {"mla.attention_grad", Scheduled},
    {"moe.balance_loss_grad", Scheduled},
    {"moe.combine_grad", Scheduled},
    {"moe.count", Scheduled},
    {"moe.grouped_weight_grad", Scheduled},
    {"moe.route_grad", Scheduled},
    {"moe.scatter_add", Scheduled},
    // A person, or --exec-order-chunks.
    {"exec.order", Sharded},
};

/// Of ops that are their own adjoints with an attribute, when that may stand there.
Phase firstPhaseOf(Operation *op, Phase listed) {
  if (auto rope = dyn_cast<mla::RopeOp>(op); rope && rope.getAdjoint())
    return Scheduled;
  if (auto product = dyn_cast<moe::GroupedMatmulOp>(op); product && product.getTranspose())
    return Scheduled;
  return listed;
}

struct VerifyPhase : public hadal::impl::HadalVerifyPhaseBase<VerifyPhase> {
  using HadalVerifyPhaseBase::HadalVerifyPhaseBase;

  LogicalResult verifyTensors(Operation *op, Phase phase) {
    if (phase == Scheduled && op->hasAttr(job::kDifferentiateAttr))
      return op->emitOpError() << "wants --hadal-differentiate before the phase scheduled";
    if (!llvm::is_contained(kTensorDialects, op->getName().getDialectNamespace())) {
      const FirstPhase *known = llvm::find_if(kFirstPhases, [&](const FirstPhase &entry) {
        return entry.op == op->getName().getStringRef();
      });
      if (known == std::end(kFirstPhases))
        return op->emitOpError() << "may not stand in the phase " << kPhases[phase];
      if (Phase first = firstPhaseOf(op, known->phase); first > phase)
        return op->emitOpError() << "may not stand in the phase " << kPhases[phase]
                                 << ", comes with the phase " << kPhases[first];
    }
    // What is rounded and what is recomputed is chosen by part.
    if ((matchProduct(op) || matchWeightGradient(op)) && !job::partAttrOf(op))
      return op->emitOpError() << "is a product of no part of the model: wants " << job::kPartAttr
                               << " = #job.part<\"NAME\">";
    return success();
  }

  LogicalResult verifyKernels(Operation *op) {
    if (!llvm::is_contained(kKernelDialects, op->getName().getDialectNamespace()))
      return op->emitOpError() << "may not stand in the phase kernels";
    if (isa<func::FuncOp>(op) && !op->hasAttr(kLaunchAttr))
      return op->emitOpError() << "wants to be a kernel in the phase kernels (" << kLaunchAttr
                               << ")";
    return success();
  }

  void runOnOperation() override {
    SmallVector<Phase> wanted;
    for (auto [phase, isWanted] :
         {std::pair(Graph, bool(graph)), std::pair(Sharded, bool(sharded)),
          std::pair(Scheduled, bool(scheduled)), std::pair(Kernels, bool(kernels))})
      if (isWanted)
        wanted.push_back(phase);
    if (wanted.size() != 1) {
      getOperation().emitError() << "hadal-verify-phase wants one phase (graph, sharded, "
                                    "scheduled, kernels), got "
                                 << wanted.size();
      return signalPassFailure();
    }
    WalkResult walked = getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      bool isRight = succeeded(wanted.front() == Kernels ? verifyKernels(op)
                                                         : verifyTensors(op, wanted.front()));
      return isRight ? WalkResult::advance() : WalkResult::interrupt();
    });
    if (walked.wasInterrupted())
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};

} // namespace
