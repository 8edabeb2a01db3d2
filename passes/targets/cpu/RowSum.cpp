//===- RowSum.cpp - sums inside a row, in one order on every target -------===//

#include "passes/targets/cpu/RowSum.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/IR/Matchers.h"
#include "passes/targets/cpu/ProductEpilogue.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

Values hadal::zeroPartials(KernelBuilder &b, Type element) {
  return Values(kPartialSums / b.shape.lanes, b.zeros(b.vectorOf(b.shape.lanes, element)));
}

//===----------------------------------------------------------------------===//
// Vectors of a row
//===----------------------------------------------------------------------===//

static std::optional<int64_t> constantOf(Value v) {
  APInt constant;
  if (matchPattern(v, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}

/// Adds up to 32 elements from `first` on: `valid` of them, or as many as `count` says where that
/// is negative.
static Values addGroup(KernelBuilder &b, Value first, int64_t valid, Value count, Values partials,
                       AddVector add) {
  int64_t lanes = b.shape.lanes, vectors = kPartialSums / lanes, sums = partials.size() / vectors;
  for (int64_t v = 0; v < vectors; ++v) {
    RowVector here{b.add(first, v * lanes), {}, -1};
    if (valid >= 0) {
      here.valid = std::min(lanes, valid - v * lanes);
      if (here.valid <= 0)
        break;
      if (here.valid < lanes)
        here.mask = b.maskOf(lanes, b.index(here.valid));
    } else {
      here.mask = b.maskOf(lanes, b.sub(count, b.index(v * lanes)));
    }
    Values before;
    for (int64_t s = 0; s < sums; ++s)
      before.push_back(partials[s * vectors + v]);
    Values after = add(here, before);
    for (int64_t s = 0; s < sums; ++s)
      partials[s * vectors + v] = here.mask ? b.select(here.mask, after[s], before[s]) : after[s];
  }
  return partials;
}

Values hadal::addRow(KernelBuilder &b, Value first, Value last, Values partials, AddVector add) {
  auto from = constantOf(first), to = constantOf(last);
  Value count, whole;
  int64_t rest = -1;
  if (from && to) {
    rest = std::max<int64_t>(*to - *from, 0) % kPartialSums;
    whole = b.index(std::max(*to, *from) - rest);
  } else {
    count = b.max(b.sub(last, first), b.index(0));
    whole = b.add(first, b.mul(b.div(count, kPartialSums), kPartialSums));
    count = b.rem(count, kPartialSums);
  }
  partials = b.carry(first, whole, kPartialSums, partials, [&](Value i, Values partials) {
    return addGroup(b, i, kPartialSums, {}, partials, add);
  });
  return rest == 0 ? partials : addGroup(b, whole, rest, count, partials, add);
}

Value hadal::foldPartials(KernelBuilder &b, ArrayRef<Value> partials) {
  Values left(partials);
  while (left.size() > 1) {
    size_t half = left.size() / 2;
    for (size_t i = 0; i < half; ++i)
      left[i] = b.addf(left[i], left[i + half]);
    left.resize(half);
  }
  Value sum = left[0];
  for (int64_t half = b.shape.lanes / 2; half; half /= 2) {
    auto part = [&](int64_t from) -> Value {
      return vector::ExtractStridedSliceOp::create(b, sum, ArrayRef<int64_t>{from},
                                                   ArrayRef<int64_t>{half}, ArrayRef<int64_t>{1});
    };
    sum = b.addf(part(0), part(half));
  }
  return vector::ExtractOp::create(b, sum, 0);
}

Value hadal::sumRow(KernelBuilder &b, Type element, Value first, Value last,
                    function_ref<Value(RowVector here, Value sum)> add) {
  return foldPartials(
      b, addRow(b, first, last, zeroPartials(b, element),
                [&](RowVector here, Values sums) -> Values { return {add(here, sums[0])}; }));
}

//===----------------------------------------------------------------------===//
// Sums of linalg
//===----------------------------------------------------------------------===//

/// The addition that makes result `i` of the payload, if the graph leaves its order open.
static arith::AddFOp openSum(linalg::GenericOp generic, unsigned i) {
  auto sum = generic.getBody()->getTerminator()->getOperand(i).getDefiningOp<arith::AddFOp>();
  bool isOpen = sum && sum->hasOneUse() &&
                bitEnumContainsAll(sum.getFastmath(), arith::FastMathFlags::reassoc) &&
                llvm::is_contained(sum->getOperands(), generic.getRegionOutputArgs()[i]) &&
                generic.getRegionOutputArgs()[i].hasOneUse();
  return isOpen ? sum : nullptr;
}

bool hadal::isRowSum(linalg::LinalgOp op) {
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (!generic || generic.getNumLoops() == 0)
    return false;
  auto iterators = generic.getIteratorTypesArray();
  unsigned parallel = generic.getNumParallelLoops();
  auto isSum = [](utils::IteratorType t) { return t == utils::IteratorType::reduction; };
  if (parallel == iterators.size() ||
      !llvm::all_of(ArrayRef(iterators).drop_front(parallel), isSum))
    return false;
  for (unsigned i = 0; i < generic.getNumDpsInits(); ++i)
    if (!openSum(generic, i))
      return false;
  return llvm::all_of(generic.getBody()->without_terminator(), [](Operation &inner) {
    return isa<linalg::IndexOp, arith::ConstantOp>(inner) ||
           (OpTrait::hasElementwiseMappableTraits(&inner) && inner.getNumResults() == 1);
  });
}

bool hadal::isAlongLoop(AffineMap map, unsigned loop) {
  return map.getNumResults() &&
         map.getResults().back() == getAffineDimExpr(loop, map.getContext()) &&
         llvm::none_of(map.getResults().drop_back(),
                       [&](AffineExpr e) { return e.isFunctionOfDim(loop); });
}

Values hadal::indicesAt(KernelBuilder &b, AffineMap map, ArrayRef<Value> at) {
  Values place;
  for (AffineExpr e : map.getResults()) {
    SmallVector<OpFoldResult> dims;
    for (Value v : at)
      dims.push_back(v ? OpFoldResult(v) : b.getIndexAttr(0));
    place.push_back(
        getValueOrCreateConstantIndexOp(b, b.getLoc(),
                                        affine::makeComposedFoldedAffineApply(
                                            b, b.getLoc(), AffineMap::get(at.size(), 0, e), dims)));
  }
  return place;
}

namespace {

/// Writes the loops of a row sum.
class RowSumLoops {
public:
  RowSumLoops(KernelBuilder &b, linalg::GenericOp op)
      : b(b), op(op), last(op.getNumLoops() - 1), at(op.getNumLoops()) {}

  void write() {
    auto ranges = cast<linalg::LinalgOp>(op.getOperation()).createLoopRanges(b, op.getLoc());
    for (Range range : ranges)
      sizes.push_back(getValueOrCreateConstantIndexOp(b, op.getLoc(), range.size));
    writeRows(0);
  }

private:
  void writeRows(unsigned loop) {
    if (loop < op.getNumParallelLoops())
      return b.loop(b.index(0), sizes[loop], 1, [&](Value i) {
        at[loop] = i;
        writeRows(loop + 1);
      });
    Values partials;
    for (OpOperand &init : op.getDpsInitsMutable())
      partials.append(zeroPartials(b, getElementTypeOrSelf(init.get().getType())));
    partials = sum(loop, partials);
    size_t vectors = partials.size() / op.getNumDpsInits();
    for (auto [i, init] : llvm::enumerate(op.getDpsInitsMutable())) {
      Values place = indices(init);
      Value all = foldPartials(b, ArrayRef(partials).slice(i * vectors, vectors));
      b.store(b.addf(b.load(init.get(), place), all), init.get(), place);
    }
  }

  Values sum(unsigned loop, Values partials) {
    if (loop < last)
      return b.carry(b.index(0), sizes[loop], 1, partials, [&](Value i, Values partials) {
        at[loop] = i;
        return sum(loop + 1, partials);
      });
    return addRow(b, b.index(0), sizes[last], partials,
                  [&](RowVector here, Values sums) { return addVector(here, sums); });
  }

  /// Where the loops are in the memory of `operand`.
  Values indices(OpOperand &operand) {
    return indicesAt(b, op.getMatchingIndexingMap(&operand), at);
  }

  Value read(OpOperand &operand, RowVector here) {
    int64_t lanes = b.shape.lanes;
    auto type = dyn_cast<MemRefType>(operand.get().getType());
    if (!type)
      return b.splat(operand.get(), lanes);
    AffineMap map = op.getMatchingIndexingMap(&operand);
    at[last] = here.at;
    if (!map.isFunctionOfDim(last))
      return b.splat(b.load(operand.get(), indices(operand)), lanes);
    if (isAlongLoop(map, last) && type.areTrailingDimsContiguous(1))
      return b.loadVector(operand.get(), indices(operand), lanes, here.mask);
    Values elements; // that are apart; the last one stands for those that do not exist
    for (int64_t lane = 0; lane < lanes; ++lane) {
      at[last] = b.add(here.at, lane);
      if (here.mask)
        at[last] = b.min(at[last], b.sub(sizes[last], b.index(1)));
      elements.push_back(b.load(operand.get(), indices(operand)));
    }
    return vector::FromElementsOp::create(b, b.vectorOf(lanes, type.getElementType()), elements);
  }

  Values addVector(RowVector here, ArrayRef<Value> sums) {
    int64_t lanes = b.shape.lanes;
    IRMapping map;
    for (OpOperand *operand : op.getDpsInputOperands())
      if (BlockArgument argument = op.getMatchingBlockArgument(operand); !argument.use_empty())
        map.map(argument, read(*operand, here));
    for (auto [argument, sum] : llvm::zip(op.getRegionOutputArgs(), sums))
      map.map(argument, sum);
    for (auto index : op.getBody()->getOps<linalg::IndexOp>()) {
      bool isLast = index.getDim() == last;
      Value v = b.splat(isLast ? here.at : at[index.getDim()], lanes);
      if (isLast)
        v = b.add(v, vector::StepOp::create(b, b.vectorOf(lanes, b.getIndexType())));
      map.map(index.getResult(), v);
    }
    for (Operation &inner : *op.getBody())
      for (Value v : inner.getOperands())
        if (v.getParentBlock() != op.getBody() && !matchPattern(v, m_Constant()))
          map.map(v, b.splat(v, lanes));
    clonePayload(b, op, map, lanes);
    Values next;
    for (Value yielded : op.getBody()->getTerminator()->getOperands()) {
      next.push_back(map.lookup(yielded));
      next.back().getDefiningOp<arith::AddFOp>().setFastmath(arith::FastMathFlags::none);
    }
    return next;
  }

  KernelBuilder &b;
  linalg::GenericOp op;
  unsigned last;
  Values at;    ///< of each loop
  Values sizes; ///< of each loop
};

} // namespace

void hadal::writeRowSum(KernelBuilder &b, linalg::GenericOp op) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(op);
  RowSumLoops(b, op).write();
}
