//===- TensorLoops.cpp - shapes and slices ------------------------------===//

#include "GraphInterpreter.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>

using namespace mlir;

namespace hadal::frontend {

namespace {

std::vector<int64_t> sizesOf(ArrayRef<OpFoldResult> sizes, Values &values) {
  std::vector<int64_t> numbers;
  for (OpFoldResult size : sizes) {
    auto value = dyn_cast<Value>(size);
    numbers.push_back(value ? static_cast<int64_t>(values.at(value).data[0])
                            : cast<IntegerAttr>(cast<Attribute>(size)).getInt());
  }
  return numbers;
}

/// Calls `element`(place in the whole, place in the slice) for each element of a slice.
template <typename Op, typename Element>
void forSlice(Op op, Values &values, const Array &whole, Element element) {
  auto offsets = sizesOf(op.getMixedOffsets(), values), sizes = sizesOf(op.getMixedSizes(), values);
  auto strides = sizesOf(op.getMixedStrides(), values);
  int64_t count = 1;
  for (int64_t size : sizes)
    count *= size;
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, place = 0, step = 1;
    for (size_t d = sizes.size(); d-- > 0;) {
      place += (offsets[d] + rest % sizes[d] * strides[d]) * step;
      rest /= sizes[d];
      step *= whole.dim(d);
    }
    element(place, i);
  }
}

/// The static sizes of `type`, and for its "?" what is left.
std::vector<int64_t> reshaped(const Array &array, RankedTensorType type) {
  std::vector<int64_t> shape(type.getShape());
  int64_t known = 1, dynamic = 0;
  for (int64_t size : shape)
    ShapedType::isDynamic(size) ? ++dynamic : known *= size;
  for (int64_t &size : shape)
    if (ShapedType::isDynamic(size))
      size = static_cast<int64_t>(array.data.size()) / known;
  return dynamic <= 1 ? shape : std::vector<int64_t>();
}

} // namespace

bool evaluateTensor(Operation *op, Values &values) {
  bool known = true;
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](tensor::DimOp o) {
        values[o] = {{},
                     {static_cast<double>(values.at(o.getSource()).dim(*o.getConstantIndex()))}};
      })
      .Case(
          [&](tensor::EmptyOp o) { values[o] = Array::zeros(sizesOf(o.getMixedSizes(), values)); })
      .Case<tensor::ExpandShapeOp, tensor::CollapseShapeOp>([&](auto o) {
        Array array = values.at(o.getSrc());
        array.shape = reshaped(array, o.getResultType());
        values[o] = array;
      })
      .Case([&](tensor::CastOp o) { values[o] = Array(values.at(o.getSource())); })
      .Case([&](tensor::ExtractSliceOp o) {
        const Array &whole = values.at(o.getSource());
        std::vector<int64_t> shape;
        auto sizes = sizesOf(o.getMixedSizes(), values);
        auto dropped = o.getDroppedDims();
        for (size_t d = 0; d < sizes.size(); ++d)
          if (!dropped.test(d))
            shape.push_back(sizes[d]);
        Array slice = Array::zeros(shape);
        forSlice(o, values, whole,
                 [&](int64_t place, int64_t i) { slice.data[i] = whole.data[place]; });
        values[o] = slice;
      })
      .Case([&](tensor::InsertSliceOp o) {
        Array whole = values.at(o.getDest());
        const Array &slice = values.at(o.getSource());
        forSlice(o, values, whole,
                 [&](int64_t place, int64_t i) { whole.data[place] = slice.data[i]; });
        values[o] = whole;
      })
      .Case([&](tensor::ConcatOp o) {
        auto dim = static_cast<size_t>(o.getDim());
        std::vector<int64_t> shape = values.at(o.getInputs()[0]).shape;
        shape[dim] = 0;
        for (Value input : o.getInputs())
          shape[dim] += values.at(input).dim(dim);
        Array whole = Array::zeros(shape);
        int64_t begin = 0, inner = 1;
        for (size_t d = dim + 1; d < shape.size(); ++d)
          inner *= shape[d];
        for (Value input : o.getInputs()) {
          const Array &part = values.at(input);
          int64_t width = part.dim(dim) * inner;
          for (size_t row = 0; width && row < part.data.size() / width; ++row)
            std::copy_n(part.data.begin() + row * width, width,
                        whole.data.begin() + row * shape[dim] * inner + begin);
          begin += width;
        }
        values[o] = whole;
      })
      .Default([&](Operation *) { known = false; });
  return known;
}

} // namespace hadal::frontend
