//===- InputRules.cpp - what the arguments of a function must hold -------===//

#include "passes/programs/InputRules.h"
#include "dialects/Shapes.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "dialects/sample/Sample.h"
#include "dialects/train/Train.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/programs/ProgramBuilder.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;

static std::optional<int64_t> known(AffineExpr e) {
  if (auto c = dyn_cast_or_null<AffineConstantExpr>(e))
    return c.getValue();
  return std::nullopt;
}

static std::string text(AffineExpr e) {
  std::string out;
  llvm::raw_string_ostream(out) << e;
  return out;
}

/// True if `e` is never below 0 where symbols, which are sizes, are not.
static bool isNonNegative(AffineExpr e) {
  if (auto c = known(e))
    return *c >= 0;
  if (isa<AffineSymbolExpr>(e))
    return true;
  auto binary = dyn_cast<AffineBinaryOpExpr>(e);
  if (!binary)
    return false;
  if (e.getKind() == AffineExprKind::Mod)
    return true;
  return isNonNegative(binary.getLHS()) && isNonNegative(binary.getRHS());
}

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

AffineExpr InputRules::simple(AffineExpr e) {
  return simplifyAffineExpr(e, 0, registersOf(f).size());
}

void InputRules::add(Content rule) {
  for (const Content &old : contentRules)
    if (old.kind == rule.kind && old.argument == rule.argument && old.least == rule.least &&
        old.below == rule.below && old.offsets == rule.offsets)
      return;
  contentRules.push_back(rule);
}

void InputRules::add(Size rule) {
  for (const Size &old : sizeRulesFound)
    if (old.size == rule.size && old.wanted == rule.wanted && old.atLeast == rule.atLeast)
      return;
  sizeRulesFound.push_back(rule);
}

LogicalResult InputRules::equal(Operation *op, AffineExpr a, AffineExpr b) {
  if (!a || !b)
    return success();
  a = simple(a), b = simple(b);
  if (auto difference = known(simple(a - b))) {
    if (*difference == 0)
      return success();
    return op->emitOpError() << "has sizes that never agree: " << text(a) << " and " << text(b);
  }
  // The size of one argument is told by that of an earlier one.
  auto number = [](AffineExpr e) {
    auto symbol = dyn_cast<AffineSymbolExpr>(e);
    return symbol ? int64_t(symbol.getPosition()) : -1;
  };
  if (number(b) > number(a))
    std::swap(a, b);
  add(Size{a, b, false});
  return success();
}

LogicalResult InputRules::atLeast(Operation *op, AffineExpr size, AffineExpr least) {
  if (!size || !least)
    return success();
  AffineExpr difference = simple(size - least);
  if (isNonNegative(difference))
    return success();
  if (known(difference))
    return op->emitOpError() << "reads further than there is: wants a size (" << text(simple(size))
                             << ") of at least " << text(simple(least));
  add(Size{simple(size), simple(least), true});
  return success();
}

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

/// What an op's verifier calls by one name is one size.
LogicalResult InputRules::readNamedSizes(Operation *op) {
  SizeNotes written;
  if (failed(op->getName().verifyInvariants(op)))
    return failure();
  llvm::StringMap<AffineExpr> sizeOf;
  for (const SizeNotes::Note &note : written.notes) {
    AffineExpr size = dim(note.value, note.dim);
    if (!size)
      continue;
    if (note.more && failed(atLeast(op, size, constant(note.more))))
      return failure();
    auto [place, fresh] = sizeOf.try_emplace(note.name, size - note.more);
    if (!fresh && failed(equal(op, size - note.more, place->second)))
      return failure();
  }
  return success();
}

AffineExpr InputRules::extent(linalg::LinalgOp op, unsigned loop) {
  AffineExpr found;
  for (OpOperand &operand : op->getOpOperands())
    for (auto [d, place] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
      if (auto at = dyn_cast<AffineDimExpr>(place); at && at.getPosition() == loop) {
        AffineExpr size = dim(operand.get(), d);
        if (size && (!found || known(size)))
          found = size;
      }
  return found;
}

LogicalResult InputRules::readLinalgSizes(linalg::LinalgOp op) {
  SmallVector<AffineExpr> extents;
  for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
    extents.push_back(extent(op, loop));
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<RankedTensorType>(operand.get().getType()))
      continue;
    for (auto [d, place] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults())) {
      AffineExpr size = dim(operand.get(), d);
      if (auto at = dyn_cast<AffineDimExpr>(place)) {
        if (failed(equal(op, size, extents[at.getPosition()])))
          return failure();
        continue;
      }
      // The furthest element: sums of loops, or one place.
      SmallVector<AffineExpr> last;
      bool isSimple = true;
      for (auto [loop, e] : llvm::enumerate(extents)) {
        isSimple &= e || !place.isFunctionOfDim(loop);
        last.push_back(e ? e - 1 : constant(0));
      }
      place.walk([&](AffineExpr e) {
        isSimple &= e.getKind() != AffineExprKind::Mod && (!known(e) || *known(e) >= 0);
      });
      if (!isSimple)
        return op->emitOpError() << "reads at " << text(place) << ", which may be outside";
      if (failed(atLeast(op, size, place.replaceDims(last) + 1)))
        return failure();
    }
  }
  return success();
}

LogicalResult InputRules::readSlice(Operation *op, Value whole, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> lengths,
                                    ArrayRef<OpFoldResult> strides) {
  auto indexOf = [&](OpFoldResult v) -> AffineExpr {
    if (auto c = getConstantIntValue(v))
      return constant(*c);
    auto e = sizes.index(cast<Value>(v));
    return failed(e) ? AffineExpr() : *e;
  };
  for (auto [d, offset, length, stride] : llvm::enumerate(offsets, lengths, strides)) {
    AffineExpr first = indexOf(offset), count = indexOf(length), step = indexOf(stride),
               size = dim(whole, d);
    if (!first || !count || !known(step))
      return op->emitOpError() << "wants offsets and sizes that are functions of the arguments' "
                                  "sizes, and constant strides";
    if (*known(step) < 1)
      return op->emitOpError() << "wants positive strides";
    if (failed(atLeast(op, first, constant(0))) || failed(atLeast(op, count, constant(0))))
      return failure();
    if (known(count) == 0)
      continue;
    if (failed(atLeast(op, size, first + (count - 1) * *known(step) + 1)))
      return failure();
  }
  return success();
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
// What ops want of their operands
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

/// Indices of tensor.extract in a payload.
LogicalResult InputRules::readExtracts(linalg::LinalgOp op) {
  WalkResult walk = op->walk([&](tensor::ExtractOp extract) {
    for (auto [d, index] : llvm::enumerate(extract.getIndices()))
      if (failed(wantScalar(
              index, op,
              {extract, "the index", "values", {constant(0), dim(extract.getTensor(), d)}})))
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

LogicalResult InputRules::values(Operation *op, StringRef name, Value v, AffineExpr below,
                                 int64_t least, StringRef kind) {
  return want(v, {op, name, kind, {constant(least), below}});
}

LogicalResult InputRules::offsets(Operation *op, Value v, AffineExpr end) {
  return want(v, {op, "offsets", "offsets", {constant(0), end}});
}

LogicalResult InputRules::counts(Operation *op, Value v, AffineExpr all) {
  return want(v, {op, "counts", "counts", {constant(0), all}});
}

/// Offsets and active groups of `all` rows, and where the rows come from.
template <typename Op> LogicalResult InputRules::grouped(Op op, AffineExpr all) {
  if (failed(offsets(op, op.getOffsets(), all)) ||
      failed(
          want(op.getActive(),
               {op, "active", "groups", {constant(-1), dim(op.getActive(), 0)}, op.getOffsets()})))
    return failure();
  return op.getSource() ? values(op, "source", op.getSource(), dim(op.getRows(), 0)) : success();
}

/// A combination, or its adjoint: its rows are those of all choices unless some may be missing.
template <typename Op> LogicalResult InputRules::combination(Op op, StringRef kind) {
  AffineExpr tokens = dim(op.getPosition(), 0), all = dim(op.getRows(), 0);
  if (!op.getPartial() && tokens &&
      failed(equal(op, all, tokens * op.getPosition().getType().getDimSize(1))))
    return failure();
  if constexpr (std::is_same_v<Op, moe::CombineOp>)
    if (failed(values(op, "experts", op.getExperts(), constant(op.getExpertCount()),
                      op.getPartial() ? -1 : 0)))
      return failure();
  return values(op, "position", op.getPosition(), all, op.getPartial() ? -1 : 0, kind);
}

LogicalResult InputRules::readMlaOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<mla::AttentionOp, mla::AttentionGradOp>(
          [&](auto o) { return offsets(op, o.getOffsets(), dim(o.getQNope(), 0)); })
      .Case<mla::CacheAppendOp>([&](auto o) {
        return values(op, "slots", o.getSlots(), dim(o.getCache(), 0), 0, "distinct");
      })
      .Case<mla::LatentAttentionOp>([&](auto o) -> LogicalResult {
        int64_t page = o.getPageTokens();
        AffineExpr pages = dim(o.getPageTable(), 1), slots = dim(o.getCache(), 0);
        if (failed(equal(op, slots ? slots % page : slots, constant(0))))
          return failure();
        if (failed(
                values(op, "page_table", o.getPageTable(), slots ? slots.floorDiv(page) : slots)))
          return failure();
        if (o.getOffsets() && failed(offsets(op, o.getOffsets(), dim(o.getQLatent(), 0))))
          return failure();
        return values(op, "positions", o.getPositions(), pages ? pages * page : pages);
      })
      .Default([](Operation *) { return success(); });
}

LogicalResult InputRules::readMoeOp(Operation *op) {
  auto rows = [&](Value v) { return dim(v, 0); };
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<moe::RouteOp>([&](auto o) {
        return o.getForced() ? values(op, "forced", o.getForced(), dim(o.getLogits(), 1))
                             : success();
      })
      .Case<moe::PlanOp>([&](auto o) -> LogicalResult {
        if (failed(values(op, "experts", o.getExperts(), constant(o.getExpertCount()),
                          o.getChoices() ? -1 : 0)))
          return failure();
        if (o.getChoices() &&
            failed(want(o.getExperts(),
                        {op, "experts", "present", {constant(0), rows(o.getSource())}})))
          return failure();
        return o.getSegments() ? counts(op, o.getSegments(), rows(o.getExperts())) : success();
      })
      .Case<moe::PlanSendsOp>([&](auto o) -> LogicalResult {
        if (failed(values(op, "experts", o.getExperts(), constant(o.getExpertCount()), -1)))
          return failure();
        return o.getReceived() ? counts(op, o.getReceived(), rows(o.getExperts())) : success();
      })
      .Case<moe::DispatchOp>(
          [&](auto o) { return values(op, "source", o.getSource(), rows(o.getX())); })
      .Case<moe::GroupedMatmulOp>([&](auto o) { return grouped(o, rows(o.getResult())); })
      .Case<moe::GroupedWeightGradOp>([&](auto o) { return grouped(o, rows(o.getGradient())); })
      .Case<moe::CombineOp>([&](auto o) { return combination(o, "values"); })
      .Case<moe::CombineGradOp>([&](auto o) { return combination(o, "distinct"); })
      .Case<moe::RouteGradOp>(
          [&](auto o) { return values(op, "experts", o.getExperts(), dim(o.getLogits(), 1)); })
      .Case<moe::BalanceLossOp>([&](auto o) -> LogicalResult {
        if (o.getExperts() && failed(values(op, "experts", o.getExperts(), dim(o.getLogits(), 1))))
          return failure();
        return offsets(op, o.getOffsets(), rows(o.getLogits()));
      })
      .Case<moe::BalanceLossGradOp>(
          [&](auto o) { return offsets(op, o.getOffsets(), rows(o.getLogits())); })
      .Case<moe::ScatterAddOp>(
          [&](auto o) { return values(op, "ids", o.getIds(), rows(o.getInit())); })
      .Default([](Operation *) { return success(); });
}

LogicalResult InputRules::readFp8Op(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<fp8::GroupedMatmulOp>([&](auto o) { return grouped(o, dim(o.getResult(), 0)); })
      .Case<fp8::QuantizeOp, fp8::DequantizeOp>([&](auto o) -> LogicalResult {
        unsigned d = o.getQ().getType().getRank() - 2;
        AffineExpr all = dim(o.getQ(), d);
        return equal(op, dim(o.getScale(), d), all ? all.ceilDiv(o.getBlock()[0]) : all);
      })
      .Default([](Operation *) { return success(); });
}

LogicalResult InputRules::readSampleOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<sample::NllOp>(
          [&](auto o) { return values(op, "targets", o.getTargets(), dim(o.getLogits(), 1)); })
      .Case<sample::LogProbabilitiesOp>(
          [&](auto o) { return values(op, "ids", o.getIds(), dim(o.getLogits(), 1)); })
      .Case<sample::PenalizeOp>([&](auto o) -> LogicalResult {
        if (failed(values(op, "seen", o.getSeen(), dim(o.getLogits(), 1))))
          return failure();
        return offsets(op, o.getOffsets(), dim(o.getSeen(), 0));
      })
      .Default([](Operation *) { return success(); });
}

LogicalResult InputRules::readTensorOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<tensor::ExtractSliceOp>([&](auto o) {
        return readSlice(op, o.getSource(), o.getMixedOffsets(), o.getMixedSizes(),
                         o.getMixedStrides());
      })
      .Case<tensor::InsertSliceOp>([&](auto o) {
        return readSlice(op, o.getDest(), o.getMixedOffsets(), o.getMixedSizes(),
                         o.getMixedStrides());
      })
      .Case<tensor::CastOp>([&](auto o) -> LogicalResult {
        auto to = dyn_cast<RankedTensorType>(o.getType());
        if (!to || !isa<RankedTensorType>(o.getSource().getType()))
          return op->emitOpError() << "wants ranked tensors";
        for (int64_t d = 0; d < to.getRank(); ++d)
          if (!to.isDynamicDim(d) &&
              failed(equal(op, dim(o.getSource(), d), constant(to.getDimSize(d)))))
            return failure();
        return success();
      })
      .Case<tensor::ExpandShapeOp>([&](auto o) -> LogicalResult {
        for (auto [s, group] : llvm::enumerate(o.getReassociationIndices())) {
          AffineExpr product = constant(1);
          for (int64_t d : group) {
            AffineExpr size = dim(o.getResult(), d);
            product = product && size ? product * size : AffineExpr();
          }
          if (failed(equal(op, dim(o.getSrc(), s), product)))
            return failure();
        }
        return success();
      })
      .Case<linalg::LinalgOp>([&](auto o) {
        return success(succeeded(readLinalgSizes(o)) && succeeded(readExtracts(o)));
      })
      .Default([](Operation *) { return success(); });
}

LogicalResult InputRules::readOp(Operation *op) {
  Dialect *dialect = op->getDialect();
  if (isa_and_nonnull<moe::MoeDialect, mla::MlaDialect, fp8::Fp8Dialect, sample::SampleDialect,
                      train::TrainDialect>(dialect) &&
      failed(readNamedSizes(op)))
    return failure();
  if (isa_and_nonnull<moe::MoeDialect>(dialect))
    return readMoeOp(op);
  if (isa_and_nonnull<mla::MlaDialect>(dialect))
    return readMlaOp(op);
  if (isa_and_nonnull<fp8::Fp8Dialect>(dialect))
    return readFp8Op(op);
  if (isa_and_nonnull<sample::SampleDialect>(dialect))
    return readSampleOp(op);
  return readTensorOp(op);
}

LogicalResult InputRules::derive() {
  for (Operation &op : f.getBody().front().without_terminator())
    if (failed(readOp(&op)))
      return failure();
  return success();
}
