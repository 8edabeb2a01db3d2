//===- PlanMemory.cpp - temporaries whose lives do not meet share slots --===//

#include "dialects/exec/Exec.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "passes/Passes.h"

namespace hadal {
#define GEN_PASS_DEF_EXECPLANMEMORY
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// Bytes when every register is `typical`; only compares sizes, nothing depends on it being right.
int64_t typicalBytes(AffineMap bytes, int64_t typical) {
  SmallVector<Attribute> registers(bytes.getNumSymbols(),
                                   IntegerAttr::get(IndexType::get(bytes.getContext()), typical));
  SmallVector<Attribute> folded;
  if (failed(bytes.constantFold(registers, folded)))
    return 0;
  return cast<IntegerAttr>(folded[0]).getInt();
}

struct PlanMemory : public hadal::impl::ExecPlanMemoryBase<PlanMemory> {
  using ExecPlanMemoryBase::ExecPlanMemoryBase;

  void plan(exec::ProgramOp program) {
    Block &body = program.getBody().front();
    DenseMap<Operation *, unsigned> order;
    for (auto [i, op] : llvm::enumerate(body))
      order[&op] = i;
    struct Live {
      exec::TemporaryOp op;
      unsigned first = ~0u, last = 0;
      int64_t bytes;
    };
    SmallVector<Live> lives;
    for (auto temporary : body.getOps<exec::TemporaryOp>()) {
      Live live{temporary, ~0u, 0, typicalBytes(temporary.getBytes(), 64)};
      for (Operation *user : temporary->getUsers()) {
        unsigned at =
            order[body.findAncestorOpInBlock(*user)]; // inside a repeat it lives through all of it
        live.first = std::min(live.first, at), live.last = std::max(live.last, at);
      }
      lives.push_back(live);
    }
    llvm::stable_sort(lives, [](const Live &a, const Live &b) { return a.first < b.first; });
    struct Slot {
      unsigned freeAfter;
      int64_t bytes;
    };
    SmallVector<Slot> slots;
    OpBuilder b(program);
    for (Live &live : lives) {
      // A command reads all its operands while it writes: a slot is free only after the command
      // that last touched it.
      int best = -1;
      for (auto [i, slot] : llvm::enumerate(slots)) {
        if (slot.freeAfter >= live.first)
          continue;
        auto waste = [&](const Slot &s) { return std::abs(s.bytes - live.bytes); };
        if (best < 0 || waste(slot) < waste(slots[best]))
          best = i;
      }
      if (best < 0) {
        best = slots.size();
        slots.push_back({0, 0});
      }
      slots[best].freeAfter = live.last;
      slots[best].bytes = std::max(slots[best].bytes, live.bytes);
      live.op.setSlotAttr(b.getI64IntegerAttr(best));
    }
    program->setAttr("slots", b.getI64IntegerAttr(slots.size()));
  }

  void runOnOperation() override {
    for (auto program : getOperation().getOps<exec::ProgramOp>())
      plan(program);
  }
};
} // namespace
