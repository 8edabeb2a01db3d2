//===- Adjoints.cpp - sums of gradients while they are made --------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Sizes.h"
#include "passes/autodiff/Rules.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::autodiff;

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

/// Follows a size to the value that it was first taken from: a chain of ops over the same rows asks
/// for one tensor.dim.
static OpFoldResult firstSize(ImplicitLocOpBuilder &b, Value value, int64_t dim) {
  while (auto result = dyn_cast<OpResult>(value)) {
    Block steps; // dropped: only the last step is written
    OpBuilder step(b.getContext());
    step.setInsertionPointToEnd(&steps);
    auto size = reifySize(step, result, dim);
    if (failed(size))
      break;
    auto found = dyn_cast<Value>(*size);
    // Rows that came from other ranks have this size themselves: the backward part does not see the
    // op that counted them.
    if (found && registerOf(found))
      break;
    auto dimOp = found ? found.getDefiningOp<tensor::DimOp>() : tensor::DimOp();
    if (!dimOp || !dimOp.getConstantIndex())
      return found && found.getParentBlock() == &steps ? *reifySize(b, result, dim) : *size;
    value = dimOp.getSource();
    dim = *dimOp.getConstantIndex();
    if (!cast<RankedTensorType>(value.getType()).isDynamicDim(dim))
      return b.getIndexAttr(cast<RankedTensorType>(value.getType()).getDimSize(dim));
  }
  for (Operation *user : value.getUsers())
    if (auto known = dyn_cast<tensor::DimOp>(user);
        known && known.getConstantIndex() == dim && known->getBlock() == b.getInsertionBlock())
      return known.getResult();
  return tensor::DimOp::create(b, value, dim).getResult();
}

OpFoldResult Adjoints::sizeOf(Value value, int64_t dim) {
  auto type = cast<RankedTensorType>(value.getType());
  if (!type.isDynamicDim(dim))
    return b.getIndexAttr(type.getDimSize(dim));
  OpFoldResult &size = sizes[{value, dim}];
  if (!size)
    size = firstSize(b, value, dim);
  return size;
}

SmallVector<OpFoldResult> Adjoints::sizesOf(Value value) {
  SmallVector<OpFoldResult> all;
  for (int64_t dim = 0; dim < cast<RankedTensorType>(value.getType()).getRank(); ++dim)
    all.push_back(sizeOf(value, dim));
  return all;
}

Value Adjoints::empty(RankedTensorType type, ArrayRef<OpFoldResult> shape) {
  SmallVector<Value> dynamic;
  for (auto [dim, size] : llvm::enumerate(shape))
    if (type.isDynamicDim(dim))
      dynamic.push_back(getValueOrCreateConstantIndexOp(b, b.getLoc(), size));
  return tensor::EmptyOp::create(b, type, dynamic);
}

Value Adjoints::emptyLike(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return empty(RankedTensorType::get(type.getShape(), type.getElementType()), sizesOf(value));
}

Value Adjoints::filled(Value init, double number) {
  Value scalar =
      arith::ConstantOp::create(b, b.getFloatAttr(getElementTypeOrSelf(init.getType()), number));
  return linalg::FillOp::create(b, scalar, init).getResult(0);
}

//===----------------------------------------------------------------------===//
// Sums
//===----------------------------------------------------------------------===//

static Value addTensors(ImplicitLocOpBuilder &b, Value x, Value y, Value init) {
  AffineMap identity = b.getMultiDimIdentityMap(cast<RankedTensorType>(init.getType()).getRank());
  SmallVector<utils::IteratorType> iterators(identity.getNumDims(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, TypeRange{init.getType()}, ValueRange{x, y}, ValueRange{init},
                                   ArrayRef<AffineMap>{identity, identity, identity}, iterators,
                                   [](OpBuilder &nested, Location loc, ValueRange v) {
                                     Value sum = arith::AddFOp::create(nested, loc, v[0], v[1]);
                                     linalg::YieldOp::create(nested, loc, sum);
                                   })
      .getResult(0);
}

Value Adjoints::of(Value value) {
  auto known = sums.find(key(value));
  if (known == sums.end())
    return Value();
  if (!known->second.slices.empty())
    placeSlices(key(value), known->second);
  return known->second.value;
}

void Adjoints::add(Value value, Value contribution) {
  if (!wants(value))
    return;
  Value &sum = sums[key(value)].value;
  sum = sum ? addTensors(b, sum, contribution, emptyLike(value)) : contribution;
}

void Adjoints::addInto(Value value, llvm::function_ref<Value(Value)> make, RankedTensorType type) {
  if (!wants(value))
    return;
  if (!isParameter(value))
    return add(value, make(zerosLike(value)));
  Value sum = of(value);
  if (!sum)
    sum = type ? filled(tensor::EmptyOp::create(b, type, ValueRange()), 0) : zerosLike(value);
  Value next = make(sum);
  sums[key(value)].value = next;
}

void Adjoints::addSlice(tensor::ExtractSliceOp slice, Value gradient) {
  if (wants(slice.getSource()))
    sums[key(slice.getSource())].slices.push_back({slice, gradient});
}

void Adjoints::replace(Value old, Value value) {
  if (varied.erase(old))
    varied.insert(value);
  if (auto known = sums.find(old); known != sums.end()) {
    Sum sum = known->second;
    sums.erase(known);
    sums[value] = sum;
  }
  for (int64_t dim = 0; dim < cast<RankedTensorType>(old.getType()).getRank(); ++dim)
    sizes.erase({old, dim});
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

namespace {
/// Where a slice lies in its source along one dimension: from its first element to its last.
struct Span {
  bool whole;
  std::optional<int64_t> begin, extent;
};
} // namespace

static Span spanOf(Adjoints &adjoints, tensor::ExtractSliceOp slice, int64_t dim) {
  OpFoldResult size = slice.getMixedSizes()[dim], begin = slice.getMixedOffsets()[dim];
  auto stride = getConstantIntValue(slice.getMixedStrides()[dim]),
       count = getConstantIntValue(size);
  bool whole = stride == 1 && isConstantIntValue(begin, 0) &&
               size == adjoints.sizeOf(slice.getSource(), dim);
  std::optional<int64_t> extent;
  if (stride && count)
    extent = (*count - 1) * *stride + 1;
  return {whole, getConstantIntValue(begin), extent};
}

/// True if it can be seen that the slices share no element.
static bool areDisjoint(Adjoints &adjoints, tensor::ExtractSliceOp a, tensor::ExtractSliceOp b) {
  for (int64_t dim = 0; dim < a.getSourceType().getRank(); ++dim) {
    Span x = spanOf(adjoints, a, dim), y = spanOf(adjoints, b, dim);
    if (x.begin && x.extent && y.begin && y.extent &&
        (*x.begin + *x.extent <= *y.begin || *y.begin + *y.extent <= *x.begin))
      return true;
  }
  return false;
}

/// True if it can be seen that slices that share no element are all of their source: they cut one
/// dimension of it.
static bool areAll(Adjoints &adjoints, ArrayRef<std::pair<tensor::ExtractSliceOp, Value>> slices) {
  std::optional<int64_t> cut;
  int64_t covered = 0;
  RankedTensorType source = tensor::ExtractSliceOp(slices.front().first).getSourceType();
  for (auto [cutOut, gradient] : slices)
    for (int64_t dim = 0; dim < source.getRank(); ++dim) {
      tensor::ExtractSliceOp slice = cutOut;
      Span span = spanOf(adjoints, slice, dim);
      if (span.whole)
        continue;
      if (!isConstantIntValue(slice.getMixedStrides()[dim], 1) || !span.extent ||
          (cut && *cut != dim))
        return false;
      cut = dim;
      covered += *span.extent;
    }
  return cut ? covered == source.getDimSize(*cut) : slices.size() == 1;
}

void Adjoints::placeSlices(Value value, Sum &sum) {
  // Slices that share elements go to different buffers, which are added.
  SmallVector<SmallVector<std::pair<tensor::ExtractSliceOp, Value>>> buffers;
  for (auto &entry : sum.slices) {
    auto fits = [&](auto &buffer) {
      return llvm::all_of(
          buffer, [&](auto &other) { return areDisjoint(*this, other.first, entry.first); });
    };
    auto place = llvm::find_if(buffers, fits);
    if (place == buffers.end())
      buffers.push_back({entry});
    else
      place->push_back(entry);
  }
  sum.slices.clear();
  for (auto &buffer : buffers) {
    Value all = areAll(*this, buffer) ? emptyLike(value) : zerosLike(value);
    for (auto [slice, gradient] : buffer)
      all = tensor::InsertSliceOp::create(b, gradient, all, slice.getMixedOffsets(),
                                          slice.getMixedSizes(), slice.getMixedStrides());
    sum.value = sum.value ? addTensors(b, sum.value, all, emptyLike(value)) : all;
  }
}
