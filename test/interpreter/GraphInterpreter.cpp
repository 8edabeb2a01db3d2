//===- GraphInterpreter.cpp ---------------------------------------------===//

#include "GraphInterpreter.h"

#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace hadal::frontend {

namespace {

Array dequantize(const Array &q, const Array &scale, ArrayRef<int64_t> block) {
  Array result = q;
  size_t rank = q.shape.size();
  int64_t rows = q.shape[rank - 2], columns = q.shape[rank - 1];
  int64_t scaleRows = scale.shape[rank - 2], scaleColumns = scale.shape[rank - 1];
  for (size_t i = 0; i < q.data.size(); ++i) {
    int64_t column = i % columns, row = i / columns % rows, expert = i / columns / rows;
    result.data[i] *=
        scale.data[(expert * scaleRows + row / block[0]) * scaleColumns + column / block[1]];
  }
  return result;
}

/// A number, or a tensor whose elements are listed or all the same.
Array constant(Attribute value) {
  auto number = [](const auto &v) {
    if constexpr (std::is_same_v<std::decay_t<decltype(v)>, APInt>)
      return static_cast<double>(v.getSExtValue());
    else
      return v.convertToDouble();
  };
  if (auto integer = dyn_cast<IntegerAttr>(value))
    return {{},
            {integer.getValue().getBitWidth() == 1 ? double(integer.getValue().getBoolValue())
                                                   : double(integer.getInt())}};
  if (auto real = dyn_cast<FloatAttr>(value))
    return {{}, {real.getValueAsDouble()}};
  auto dense = cast<DenseElementsAttr>(value);
  Array array = Array::zeros(dense.getType().getShape());
  size_t i = 0;
  if (isa<FloatType>(dense.getElementType()))
    for (APFloat v : dense.getValues<APFloat>())
      array.data[i++] = number(v);
  else
    for (APInt v : dense.getValues<APInt>())
      array.data[i++] = number(v);
  return array;
}

} // namespace

void GraphInterpreter::evaluate(Operation *op) {
  if (exchange && exchange(op, values))
    return;
  if (evaluateMla(op, values) || evaluateMoe(op, values) || evaluateTensor(op, values))
    return;
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    std::string unknown = evaluateLinalg(linalgOp, values);
    if (!unknown.empty())
      complaint = unknown;
    return;
  }
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](arith::ConstantOp o) { values[o] = constant(o.getValue()); })
      .Case<ml_program::GlobalLoadConstOp, ml_program::GlobalLoadOp>(
          [&](auto o) { values[o] = parameter(o.getGlobal().getRootReference().getValue()); })
      .Case([&](fp8::DequantizeOp o) {
        values[o] = dequantize(values.at(o.getQ()), values.at(o.getScale()), o.getBlock());
      })
      .Default([&](Operation *other) {
        ScalarFunction function = scalarFunction(other);
        if (!function) {
          complaint = other->getName().getStringRef().str();
          return;
        }
        SmallVector<double> operands;
        for (Value v : other->getOperands())
          operands.push_back(values.at(v).data[0]);
        values[other->getResult(0)] = {{}, {function(other, operands.data())}};
      });
}

std::vector<Array> GraphInterpreter::evaluate(func::FuncOp function,
                                              const std::vector<Array> &arguments) {
  Block &body = function.getBody().front();
  for (auto [argument, value] : llvm::zip_equal(body.getArguments(), arguments))
    values[argument] = value;
  for (Operation &op : body.without_terminator()) {
    evaluate(&op);
    if (!complaint.empty())
      return {};
  }
  std::vector<Array> results;
  for (Value value : body.getTerminator()->getOperands())
    results.push_back(values.at(value));
  return results;
}

std::map<std::string, Array> GraphInterpreter::run(func::FuncOp function,
                                                   const std::vector<Array> &arguments) {
  std::map<std::string, Array> named;
  std::vector<Array> results = evaluate(function, arguments);
  for (auto [i, value] : llvm::enumerate(results))
    if (auto name = function.getResultAttrOfType<StringAttr>(i, kNameAttr))
      named[name.str()] = value;
  return named;
}

} // namespace hadal::frontend
