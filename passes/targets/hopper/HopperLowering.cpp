//===- HopperLowering.cpp - what both lowerings of hopper ops share -------===//

#include "passes/targets/hopper/HopperLowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::hopper;

Value Lowering::barrier(Value pipeline, StringRef side, Value stage) {
  PipelineOp p = pipelineOf(pipeline);
  int64_t first = p.getOffset() + (side == "full" ? 0 : 8 * p.getStages());
  return add(arith::MulIOp::create(b, stage, i32(8)), i32(first));
}

Value Lowering::descriptor(Value byte) {
  Value at = arith::AndIOp::create(b, shiftRight(byte, 4), i32(0x3fff));
  return arith::OrIOp::create(b, arith::ExtUIOp::create(b, b.getI64Type(), at), i64(kDescriptor));
}

/// Its threads run the body: warpgroups are numbers of warps, divided by four.
void Lowering::lowerRole(RoleOp role) {
  Value group = shiftRight(WarpIdOp::create(b, b.getI32Type()), 2);
  Value within = arith::SubIOp::create(b, group, i32(role.getFirst()));
  Value isHere = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, within, i32(role.getCount()));
  auto choice = scf::IfOp::create(b, isHere, /*withElseRegion=*/false);
  Block *block = choice.thenBlock();
  b.setInsertionPointToStart(block);
  setRegisters(role);
  Block &body = role.getBody().front();
  body.getArgument(0).replaceAllUsesWith(within);
  block->getOperations().splice(b.getInsertionPoint(), body.getOperations());
  role.erase();
}

/// The ops that are the same arithmetic on both.
bool Lowering::lowerArithmetic(Operation *op) {
  auto done = [&](ValueRange values) {
    op->replaceAllUsesWith(values);
    op->erase();
    return true;
  };
  if (isa<LaneIdOp>(op))
    return done(Value(arith::AndIOp::create(b, threadId(), i32(31))));
  if (auto swizzle = dyn_cast<SwizzleOp>(op)) {
    Value row = arith::AndIOp::create(b, shiftRight(swizzle.getOffset(), 3), i32(0x70));
    return done(Value(arith::XOrIOp::create(b, swizzle.getOffset(), row)));
  }
  if (auto advance = dyn_cast<AdvanceOp>(op)) {
    Value next = add(advance.getStage(), i32(1));
    Value wraps = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, next,
                                        i32(pipelineOf(advance.getPipeline()).getStages()));
    Value other = arith::XOrIOp::create(b, advance.getPhase(), i32(1));
    return done({arith::SelectOp::create(b, wraps, i32(0), next),
                 arith::SelectOp::create(b, wraps, other, advance.getPhase())});
  }
  if (auto promote = dyn_cast<PromoteOp>(op)) {
    Value upper = promote.getUpper(), lower = promote.getLower();
    Value four = vector::FromElementsOp::create(b, VectorType::get({4}, b.getF32Type()),
                                                ValueRange{upper, upper, lower, lower});
    SmallVector<int64_t> lanes;
    for (int64_t i = 0, n = cast<VectorType>(promote.getType()).getNumElements(); i < n; ++i)
      lanes.push_back(i % 4);
    Value scales = vector::ShuffleOp::create(b, four, four, lanes);
    return done(Value(vector::FMAOp::create(b, promote.getPart(), scales, promote.getSums())));
  }
  return false;
}

void Lowering::countLaterProducts() {
  kernel.walk([&](AwaitOp await) {
    llvm::SmallPtrSet<Operation *, 4> begun;
    for (Operation *op = productOf(await.getPending())->getNextNode(); op != await;
         op = op->getNextNode()) {
      if (isa<MmaOp>(op))
        begun.insert(op);
      else if (auto other = dyn_cast<AwaitOp>(op)) // its product is done, and all before that one
        begun.remove_if(
            [&](Operation *mma) { return !productOf(other.getPending())->isBeforeInBlock(mma); });
    }
    later[await] = begun.size();
  });
}

bool Lowering::run() {
  countLaterProducts();
  SmallVector<Operation *> ops, pipelines;
  auto isOurs = [](Operation *op) { return isa<HopperDialect>(op->getDialect()); };
  // Roles first: they make ops of their own, and their bodies move.
  SmallVector<RoleOp> roles;
  kernel.walk([&](RoleOp role) { roles.push_back(role); });
  for (RoleOp role : roles) {
    b.setLoc(role.getLoc());
    b.setInsertionPoint(role);
    lowerRole(role);
  }
  kernel.walk([&](Operation *op) {
    if (isOurs(op))
      (isa<PipelineOp>(op) ? pipelines : ops).push_back(op);
  });
  for (Operation *op : ops) {
    b.setLoc(op->getLoc());
    b.setInsertionPoint(op);
    if (op->hasAttr(kDroppedAttr) && !isa<AwaitOp>(op) && op->getNumResults() == 0)
      op->erase();
    else if (!lowerArithmetic(op))
      lower(op);
  }
  for (Operation *op : pipelines)
    op->erase();
  return !ops.empty() || !pipelines.empty();
}
