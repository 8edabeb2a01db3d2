//===- Recompute.cpp - activations that are computed again ---------------===//

#include "dialects/GraphOp.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "passes/Passes.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/autodiff/Saved.h"

namespace hadal {
#define GEN_PASS_DEF_HADALRECOMPUTE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

struct Recompute : public hadal::impl::HadalRecomputeBase<Recompute> {
  using HadalRecomputeBase::HadalRecomputeBase;

  /// Whether the backward half makes the op's result again rather than keep it.
  bool isRecomputed(Operation *op, const Halves &halves) {
    // What has effects happens once: a store, and what would have to be sent by other ranks again.
    auto asked = dyn_cast<GraphOpInterface>(op);
    if (!isMemoryEffectFree(op) || (asked && !asked.mayBeRecomputed()))
      return false;
    StringRef part = job::partOf(op);
    // Outside the layers: the last norm, and rows of the embedding, which a gather brings again.
    if (!part.starts_with("layers."))
      return part == "norm" || (part == "embed_tokens" && isa<moe::DispatchOp>(op));
    if (policy == "all")
      return !part.ends_with(".mlp_residual"); // the next layer's input
    if (halves.kept.contains(op))
      return false; // codes of SwiGLU's inputs and of attention's output
    if (auto quantize = dyn_cast<fp8::QuantizeOp>(op))
      if (Operation *maker = rootOf(quantize.getX()).getDefiningOp(); maker && !isFree(maker))
        return isRecomputed(maker, halves);
    return part.ends_with("norm") || part.ends_with(".q_b_proj") || part.ends_with(".kv_b_proj") ||
           part.ends_with("swiglu") || isa<mla::RopeOp>(op);
  }

  void recompute(func::FuncOp f) {
    Halves halves(f);
    Block &block = f.getBody().front();
    IRMapping copies;
    // A clone of a forward op, with clones of what it reads, where the backward half first needs
    // it.
    std::function<void(Operation *, OpBuilder &)> clone = [&](Operation *op, OpBuilder &b) {
      if (copies.contains(op->getResult(0)))
        return;
      auto make = [&](Value operand) {
        Operation *maker = operand.getDefiningOp();
        if (maker && maker->getBlock() == &block && halves.forward.contains(maker) &&
            (isFree(maker) ? !isa<ml_program::GlobalLoadOp>(maker) : isRecomputed(maker, halves)))
          clone(maker, b);
      };
      op->walk([&](Operation *inner) {
        for (Value operand : inner->getOperands())
          make(operand);
      });
      Operation *made = b.clone(*op, copies);
      made->setAttr(job::kRecomputedAttr, b.getUnitAttr());
      copied.insert(made);
    };
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (halves.forward.contains(&op) || copied.contains(&op))
        continue;
      OpBuilder b(&op);
      op.walk([&](Operation *inner) {
        for (OpOperand &operand : inner->getOpOperands()) {
          // Through views, to see whether what they look at is made again.
          Operation *maker = rootOf(operand.get()).getDefiningOp();
          if (!maker || !halves.forward.contains(maker) || isFree(maker) ||
              !isRecomputed(maker, halves))
            continue;
          clone(operand.get().getDefiningOp(), b);
          operand.set(copies.lookup(operand.get()));
        }
      });
    }
  }

  llvm::DenseSet<Operation *> copied;

  void runOnOperation() override {
    if (policy != "none" && policy != "report" && policy != "all") {
      getOperation().emitError() << "hadal-recompute wants the policy none, report or all, got "
                                 << policy;
      return signalPassFailure();
    }
    if (policy == "none")
      return;
    for (auto f : getOperation().getOps<func::FuncOp>())
      if (!f.isExternal() && f.getBody().hasOneBlock())
        recompute(f);
  }
};
} // namespace
