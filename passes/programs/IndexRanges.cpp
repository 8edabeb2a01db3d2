//===- IndexRanges.cpp - where the values of an index come from ----------===//
//
// Follows an index tensor that an op reads back to an argument, which gets a rule, or to ops whose
// results lie in range by what they are.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/KernelAttributes.h"
#include "dialects/moe/Moe.h"
#include "dialects/sample/Sample.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/programs/InputRules.h"
#include "passes/programs/ProgramBuilder.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;

/// The value that `v` has all elements of, in order; with `slices` some of them.
static Value throughReshapesAndSlices(Value v, bool slices) {
  while (true) {
    v = throughReshapes(v);
    auto slice = v.getDefiningOp<tensor::ExtractSliceOp>();
    if (!slice || !slices)
      return v;
    v = slice.getSource();
  }
}

//===----------------------------------------------------------------------===//
// What ops know of their results
//===----------------------------------------------------------------------===//

InputRules::Range InputRules::rangeOfScalar(Value v, linalg::LinalgOp linalgOp) {
  IntegerAttr number;
  if (matchPattern(v, m_Constant(&number))) {
    auto c = number.getValue().trySExtValue();
    return c && *c < INT64_MAX ? Range{constant(*c), constant(*c + 1)} : Range{};
  }
  if (auto argument = dyn_cast<BlockArgument>(v)) {
    if (argument.getOwner() == linalgOp.getBlock())
      return rangeOf(linalgOp->getOperand(argument.getArgNumber()));
    return {};
  }
  auto of = [&](unsigned i) { return rangeOfScalar(v.getDefiningOp()->getOperand(i), linalgOp); };
  auto larger = [](AffineExpr a, AffineExpr b) -> AffineExpr {
    auto x = known(a), y = known(b);
    return x && y ? (*x > *y ? a : b) : AffineExpr();
  };
  auto smaller = [&](AffineExpr a, AffineExpr b) -> AffineExpr {
    return larger(a, b) ? (larger(a, b) == a ? b : a) : AffineExpr();
  };
  return llvm::TypeSwitch<Operation *, Range>(v.getDefiningOp())
      .Case<linalg::IndexOp>([&](auto index) {
        return Range{constant(0), extent(linalgOp, index.getDim())};
      })
      .Case<arith::IndexCastOp, arith::ExtSIOp>([&](auto) { return of(0); })
      .Case<arith::IndexCastUIOp, arith::ExtUIOp>([&](auto op) -> Range {
        if (op.getIn().getType().isInteger(1))
          return {constant(0), constant(2)};
        Range in = of(0);
        return known(in.least) && *known(in.least) >= 0 ? in : Range{};
      })
      .Case<arith::MaxSIOp>([&](auto) -> Range {
        Range a = of(0), b = of(1);
        // At least the larger of what either is at least.
        AffineExpr least = a.least && b.least ? larger(a.least, b.least)
                           : a.least          ? a.least
                                              : b.least;
        return {least, larger(a.below, b.below)};
      })
      .Case<arith::MinSIOp>([&](auto) -> Range {
        Range a = of(0), b = of(1);
        AffineExpr below = a.below && b.below ? smaller(a.below, b.below)
                           : a.below          ? a.below
                                              : b.below;
        return {smaller(a.least, b.least), below ? below : a.below};
      })
      .Case<arith::RemUIOp>([&](auto) -> Range {
        Range by = of(1);
        auto c = known(by.least);
        return c && *c > 0 && known(by.below) == *c + 1 ? Range{constant(0), constant(*c)}
                                                        : Range{};
      })
      .Case<arith::SelectOp>([&](auto) -> Range {
        Range a = of(1), b = of(2);
        return {smaller(a.least, b.least), larger(a.below, b.below)};
      })
      .Default([](Operation *) { return Range{}; });
}

InputRules::Range InputRules::rangeOf(Value tensor) {
  Value v = rootOf(tensor);
  auto result = dyn_cast<OpResult>(v);
  if (!result)
    return {};
  return llvm::TypeSwitch<Operation *, Range>(result.getOwner())
      .Case<moe::RouteOp>([&](auto op) -> Range {
        if (v == op.getExperts())
          return {constant(0), constant(op.getLogits().getType().getDimSize(1))};
        return {};
      })
      .Case<moe::PlanOp>([&](auto op) -> Range {
        AffineExpr rows = dim(op.getSource(), 0), zero = constant(0);
        if (v == op.getSource())
          return {zero, dim(op.getExperts(), 0)};
        if (v == op.getPosition())
          return {op.getChoices() ? constant(-1) : zero, rows};
        if (v == op.getActive())
          return {constant(-1), dim(op.getActive(), 0)};
        return {zero, rows ? rows + 1 : AffineExpr()};
      })
      .Case<moe::PlanSendsOp>([&](auto op) -> Range {
        if (v == op.getSource())
          return {constant(0), dim(op.getExperts(), 0)};
        if (v == op.getSlots())
          return {constant(-1), dim(op.getSource(), 0)};
        if (v == op.getIds())
          return {constant(-1), constant(int64_t(op.getExpertCount()) / int64_t(op.getParts()))};
        return {};
      })
      .Case<sample::ArgmaxOp, sample::ChooseOp>([&](auto op) -> Range {
        return {constant(0), dim(op.getLogits(), 1)};
      })
      .Case<sample::LogProbabilitiesOp>([&](auto op) -> Range {
        // There may be fewer than are asked for.
        if (v == op.getTopIds())
          return {constant(-1), dim(op.getLogits(), 1)};
        return {};
      })
      .Case<arith::ConstantOp>([&](auto op) -> Range {
        auto values = dyn_cast<DenseIntElementsAttr>(op.getValue());
        if (!values || values.empty() || values.getElementType().isInteger(1))
          return {};
        int64_t least = INT64_MAX, most = INT64_MIN;
        for (const APInt &n : values.template getValues<APInt>())
          least = std::min(least, n.getSExtValue()), most = std::max(most, n.getSExtValue());
        return most < INT64_MAX ? Range{constant(least), constant(most + 1)} : Range{};
      })
      // Rows of other ranks are made as this rank's are; a bound that is a size there is another
      // here.
      .Case<moe::ExchangeOp>([&](auto op) -> Range {
        Range sent = rangeOf(op.getX());
        return known(sent.least) && known(sent.below) ? sent : Range{};
      })
      .Case<linalg::LinalgOp>([&](linalg::LinalgOp op) -> Range {
        if (!op.getBlock() || op.getNumReductionLoops())
          return {};
        return rangeOfScalar(op.getBlock()->getTerminator()->getOperand(result.getResultNumber()),
                             op);
      })
      .Default([](Operation *) { return Range{}; });
}

//===----------------------------------------------------------------------===//
// What is wanted of them
//===----------------------------------------------------------------------===//

LogicalResult InputRules::refuse(Want want) {
  InFlightDiagnostic error = want.op->emitOpError()
                             << "wants " << want.name << " to be an argument of the function, or ";
  if (want.kind == "values")
    return error
           << "values that are sure to lie in range, as arith.maxsi and arith.minsi make them";
  return error << "what moe.plan makes";
}

LogicalResult InputRules::prove(Range has, Want want) {
  if (want.range.least) {
    if (!has.least)
      return refuse(want);
    if (failed(atLeast(want.op, has.least, want.range.least)))
      return failure();
  }
  if (!want.range.below)
    return success();
  if (!has.below)
    return refuse(want);
  return atLeast(want.op, want.range.below, has.below);
}

LogicalResult InputRules::wantScalar(Value v, linalg::LinalgOp linalgOp, Want want) {
  if (auto argument = dyn_cast<BlockArgument>(v)) {
    if (argument.getOwner() == linalgOp.getBlock())
      return this->want(linalgOp->getOperand(argument.getArgNumber()), want);
    return refuse(want);
  }
  Operation *op = v.getDefiningOp();
  auto again = [&](unsigned i, Range range) {
    Want other = want;
    other.range = range;
    return wantScalar(op->getOperand(i), linalgOp, other);
  };
  if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::TruncIOp>(op))
    return again(0, want.range);
  if (isa<arith::IndexCastUIOp, arith::ExtUIOp>(op) && !op->getOperand(0).getType().isInteger(1))
    return again(0, {constant(0), want.range.below});
  if (auto extract = dyn_cast<tensor::ExtractOp>(op))
    return this->want(extract.getTensor(), want);
  if (isa<arith::AddIOp, arith::SubIOp>(op)) {
    Range by = rangeOfScalar(op->getOperand(1), linalgOp);
    if (auto c = known(by.least);
        c && known(by.below) == *c + 1 && want.range.least && want.range.below) {
      int64_t shift = isa<arith::AddIOp>(op) ? -*c : *c;
      return again(0, {want.range.least + shift, want.range.below + shift});
    }
  }
  if (isa<arith::MaxSIOp, arith::MinSIOp>(op)) {
    // One end is sure by the operand that has it; what is left is asked of both.
    Range left = want.range, here = rangeOfScalar(v, linalgOp);
    if (left.least && here.least && isNonNegative(simple(here.least - left.least)))
      left.least = {};
    if (left.below && here.below && isNonNegative(simple(left.below - here.below)))
      left.below = {};
    if (!left.least && !left.below)
      return success();
    if (left.least && left.below)
      return prove(here, want);
    return success(succeeded(again(0, left)) && succeeded(again(1, left)));
  }
  if (isa<arith::SelectOp>(op))
    return success(succeeded(again(1, want.range)) && succeeded(again(2, want.range)));
  return prove(rangeOfScalar(v, linalgOp), want);
}

LogicalResult InputRules::wantOfLinalg(linalg::LinalgOp op, unsigned result, Want want) {
  if (!op.getBlock())
    return refuse(want);
  Value yielded = op.getBlock()->getTerminator()->getOperand(result);
  if (want.kind == "values" && !op.getNumReductionLoops())
    return wantScalar(yielded, op, want);
  // The same elements in the same order, in another width.
  while (Operation *cast = yielded.getDefiningOp()) {
    if (!isa<arith::IndexCastOp, arith::ExtSIOp, arith::TruncIOp>(cast))
      return refuse(want);
    yielded = cast->getOperand(0);
  }
  auto argument = cast<BlockArgument>(yielded);
  if (argument.getOwner() != op.getBlock())
    return refuse(want);
  OpOperand &operand = op->getOpOperand(argument.getArgNumber());
  if (!op.getMatchingIndexingMap(&operand).isIdentity() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(result)).isIdentity())
    return refuse(want);
  return this->want(operand.get(), want);
}

LogicalResult InputRules::wantOfConstant(DenseIntElementsAttr values, Want want) {
  if (want.kind != "offsets")
    return refuse(want);
  int64_t before = 0;
  for (auto [i, n] : llvm::enumerate(values.getValues<APInt>())) {
    if (n.getSExtValue() < before || (i == 0 && n.getSExtValue() != 0))
      return want.op->emitOpError() << "wants " << want.name << " that ascend from 0";
    before = n.getSExtValue();
  }
  if (values.empty())
    return want.op->emitOpError() << "wants " << want.name << " that ascend from 0, has none";
  return equal(want.op, want.range.below, constant(before));
}

LogicalResult InputRules::wantOfResult(OpResult result, Want want) {
  Operation *op = result.getOwner();
  if (auto plan = dyn_cast<moe::PlanOp>(op)) {
    if (want.kind == "groups")
      return result == plan.getActive() && want.offsets == plan.getOffsets() ? success()
                                                                             : refuse(want);
    if (want.kind == "offsets")
      return result == plan.getOffsets()
                 ? equal(want.op, want.range.below, dim(plan.getSource(), 0))
                 : refuse(want);
    if (want.kind == "distinct" && result != plan.getPosition())
      return refuse(want);
    return want.kind == "values" || want.kind == "distinct" ? prove(rangeOf(result), want)
                                                            : refuse(want);
  }
  if (auto sends = dyn_cast<moe::PlanSendsOp>(op); sends && want.kind == "distinct")
    return result == sends.getSlots() ? prove(rangeOf(result), want) : refuse(want);
  // Counts that ranks exchange are sums of what they have; the registers follow them.
  if (isa<moe::ExchangeCountsOp>(op) && want.kind == "counts")
    return success();
  if (isa<moe::ExchangeOp>(op) && want.kind == "present")
    return success();
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    auto values = dyn_cast<DenseIntElementsAttr>(constant.getValue());
    if (!values)
      return refuse(want);
    if (want.kind == "values")
      return values.empty() ? success() : prove(rangeOf(result), want);
    return wantOfConstant(values, want);
  }
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op); insert && want.kind == "values")
    return success(succeeded(this->want(insert.getSource(), want)) &&
                   succeeded(this->want(insert.getDest(), want)));
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    return wantOfLinalg(linalgOp, result.getResultNumber(), want);
  return want.kind == "values" ? prove(rangeOf(result), want) : refuse(want);
}

LogicalResult InputRules::want(Value tensor, Want want) {
  // Reshapes keep elements and order; a slice keeps elements.
  Value v = throughReshapesAndSlices(tensor, /*slices=*/want.kind == "values");
  if (want.offsets)
    want.offsets = throughReshapesAndSlices(want.offsets, false);
  if (auto result = dyn_cast<OpResult>(v))
    return wantOfResult(result, want);
  auto argument = cast<BlockArgument>(v);
  if (argument.getOwner() != &f.getBody().front() ||
      f.getArgAttr(argument.getArgNumber(), kStateAttr))
    return refuse(want);
  BlockArgument offsets;
  if (want.offsets) {
    offsets = dyn_cast<BlockArgument>(want.offsets);
    if (!offsets)
      return refuse(want);
  }
  AffineExpr least = want.range.least ? simple(want.range.least) : constant(INT64_MIN);
  AffineExpr below = want.range.below ? simple(want.range.below) : constant(INT64_MAX);
  add(Content{want.kind, argument, least, below, offsets});
  return success();
}
