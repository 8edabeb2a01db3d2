//===- Rows.cpp - which kernels have one block per row --------------------===//

#include "passes/targets/hopper/Rows.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/targets/hopper/EmitRows.h"
#include "passes/targets/hopper/GridKernel.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;

/// Runs `body` on the op as what it is; false where it is none that has a kernel to itself.
static bool withRowOp(Operation *op, auto body) {
  return llvm::TypeSwitch<Operation *, bool>(op)
      .Case<mla::RotationOp, mla::RopeOp, mla::CacheAppendOp, mla::AppendCodesOp, fp8::DequantizeOp,
            moe::DispatchOp, moe::CombineOp, moe::RouteOp, moe::PlanOp, sample::ArgmaxOp,
            sample::NllOp, sample::LogProbabilitiesOp, sample::PenalizeOp>([&](auto op) {
        body(op);
        return true;
      })
      .Default(false);
}

/// Forms that experts on several ranks alone need stay serial.
static bool canLower(Operation *op) {
  if (auto combine = dyn_cast<moe::CombineOp>(op))
    return !combine.getPartial() && !filledWith(combine.getWeights());
  if (auto dequantize = dyn_cast<fp8::DequantizeOp>(op))
    return !dequantize.getOffsets() && dequantize.getBlock()[1] != 1 &&
           dequantize.codeFormat() != fp8::Format::E5M6;
  if (auto plan = dyn_cast<moe::PlanOp>(op))
    return !plan.getChoices() && !plan.getSegments();
  return withRowOp(op, [](auto) {});
}

/// The op that has the kernel to itself, or null.
static Operation *rowOpOf(func::FuncOp f) {
  Operation *found = nullptr;
  for (Operation &op : f.getBody().front().without_terminator()) {
    if (isCloned(&op))
      continue;
    if (found || !canLower(&op))
      return nullptr;
    found = &op;
  }
  Operation *terminator = f.getBody().front().getTerminator();
  bool returnsAll = found && llvm::all_of(found->getResults(), [&](Value v) {
                      return llvm::is_contained(terminator->getOperands(), v);
                    });
  return returnsAll && terminator->getNumOperands() == found->getNumResults() ? found : nullptr;
}

bool hadal::canLowerRows(func::FuncOp f) {
  if (!isPlainKernel(f))
    return false;
  llvm::SmallDenseSet<Value> returned;
  for (Value v : f.getBody().front().getTerminator()->getOperands())
    if (isa<BlockArgument>(v) || !returned.insert(v).second)
      return false;
  return rowOpOf(f) || canLowerRowElements(f);
}

LogicalResult hadal::lowerRows(func::FuncOp f) {
  Kernel kernel(f, VectorShape{/*lanes=*/4, /*rows=*/1, /*panel=*/16});
  if (Operation *op = rowOpOf(f)) {
    SmallVector<Value> read;
    auto destinations = dyn_cast<DestinationStyleOpInterface>(op);
    for (OpOperand &operand : op->getOpOperands())
      if (!destinations || !destinations.isDpsInit(&operand))
        read.push_back(operand.get());
    if (failed(kernel.wantMemory(op, read)))
      return failure();
    withRowOp(op, [&](auto op) { emitRow(kernel, op); });
  } else if (failed(emitRowElements(kernel))) {
    return failure();
  }
  // Whatever order the graph leaves open is written now: LLVM keeps it.
  kernel.lowered.walk([](arith::AddFOp sum) { sum.setFastmath(arith::FastMathFlags::none); });
  StringAttr name = f.getSymNameAttr();
  f.erase();
  kernel.lowered.setSymName(name);
  return success();
}
