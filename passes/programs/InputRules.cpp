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

std::optional<int64_t> InputRules::known(AffineExpr e) {
  if (auto c = dyn_cast_or_null<AffineConstantExpr>(e))
    return c.getValue();
  return std::nullopt;
}

static std::string text(AffineExpr e) {
  std::string out;
  llvm::raw_string_ostream(out) << e;
  return out;
}

bool InputRules::isNonNegative(AffineExpr e) {
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
// What ops want of their operands
//===----------------------------------------------------------------------===//

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

template <typename Op> LogicalResult InputRules::activeGroups(Op op) {
  return want(op.getActive(),
              {op, "active", "groups", {constant(-1), dim(op.getActive(), 0)}, op.getOffsets()});
}

/// Rows of scales in `tiles` of `block` rows, which may be those of groups.
template <typename Op>
LogicalResult InputRules::rowTiles(Op op, AffineExpr rows, int64_t block, AffineExpr tiles) {
  if (!op.getOffsets())
    return block ? equal(op, tiles, rows ? rows.ceilDiv(block) : rows) : success();
  if (failed(offsets(op, op.getOffsets(), rows)))
    return failure();
  if (!block)
    return success();
  int64_t groups = op.getOffsets().getType().getDimSize(0) - 1;
  return equal(op, tiles, rows ? rows.floorDiv(block) + groups : rows);
}

/// Offsets and active groups of `all` rows, and where the rows come from.
template <typename Op> LogicalResult InputRules::grouped(Op op, AffineExpr all) {
  if (failed(offsets(op, op.getOffsets(), all)) || failed(activeGroups(op)))
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
      .Case<mla::AppendCodesOp>([&](auto o) {
        return values(op, "slots", o.getSlots(), dim(o.getCodes(), 0), 0, "distinct");
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
        return rowTiles(o, dim(o.getQ(), d), o.getBlock()[0], dim(o.getScale(), d));
      })
      .Case<fp8::WeightGradOp>([&](auto o) -> LogicalResult {
        AffineExpr rows = dim(o.getX(), 0);
        if (failed(rowTiles(o, rows, o.getBlock()[0], dim(o.getXScale(), 0))))
          return failure();
        return o.getActive() ? activeGroups(o) : success();
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
