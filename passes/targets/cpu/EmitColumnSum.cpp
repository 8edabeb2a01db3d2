//===- EmitColumnSum.cpp - sums over rows ---------------------------------===//
//
// Sums over rows: out[c] = init[c] + sum over t, ascending, of a payload of row t; the gradients of
// norm weights and biases. A task is a strip of columns that walks all rows with its sums in
// registers.
//
//===----------------------------------------------------------------------===//

#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/ProductEpilogue.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

/// What a payload reads: an element of the matrix, one per row, one per column, one at all.
enum class Kind { Whole, Row, Column, Scalar };
struct Input {
  Value memory;
  Kind kind;
};

} // namespace

/// Of each input, what it is; `rows` becomes the number of rows.
static FailureOr<SmallVector<Input>> readInputs(Kernel &kernel, linalg::GenericOp generic,
                                                unsigned columnLoop, Value &rows) {
  SmallVector<Input> inputs;
  for (OpOperand *operand : generic.getDpsInputOperands()) {
    AffineMap map = generic.getMatchingIndexingMap(operand);
    Input input{{}, Kind::Scalar};
    if (map.getNumResults() == 2)
      input.kind = Kind::Whole;
    else if (map.getNumResults() == 1)
      input.kind = map.getDimPosition(0) == columnLoop ? Kind::Column : Kind::Row;
    input.memory = input.kind == Kind::Scalar
                       ? kernel.b.clone(*operand->get().getDefiningOp())->getResult(0)
                       : kernel.memory(operand->get());
    if (!input.memory)
      return kernel.tensors.emitError(
          "column sum kernel wants its operands to be arguments or views of them");
    if (!rows && (input.kind == Kind::Whole || input.kind == Kind::Row))
      rows = kernel.b.dim(input.memory, 0);
    inputs.push_back(input);
  }
  return inputs;
}

LogicalResult hadal::emitColumnSum(Kernel &kernel, Operation *op) {
  auto generic = cast<linalg::GenericOp>(op);
  KernelBuilder &b = kernel.b;
  int64_t lanes = b.shape.lanes;
  bool columnsFirst = generic.getIteratorTypesArray()[0] == utils::IteratorType::parallel;
  unsigned columnLoop = columnsFirst ? 0 : 1;
  Value out = kernel.memory(generic.getResult(0)), initial = generic.getDpsInits()[0];
  Value init = isZeroFill(initial) ? Value() : kernel.memory(initial);
  if (!out || (!init && !isZeroFill(initial)))
    return kernel.tensors.emitError("column sum kernel wants its init to be zero or an argument");
  int64_t columns = cast<MemRefType>(out.getType()).getDimSize(0);

  Value rows;
  auto inputs = readInputs(kernel, generic, columnLoop, rows);
  if (failed(inputs))
    return failure();
  auto add = generic.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  BlockArgument carried = generic.getRegionOutputArgs()[0];

  // Strips of whole cache lines, at most eight chains.
  int64_t vectors = std::min<int64_t>(8, llvm::divideCeil(columns, lanes)), strip = vectors * lanes;
  int64_t strips = llvm::divideCeil(columns, strip);
  auto sum = [&](Value column0, int64_t width) { // columns of this strip
    int64_t count = llvm::divideCeil(width, lanes);
    auto valid = [&](int64_t v) { return std::min(lanes, width - v * lanes); };
    auto at = [&](int64_t v) { return b.add(column0, v * lanes); };
    Values acc;
    for (int64_t v = 0; v < count; ++v)
      acc.push_back(init ? b.loadVector(init, {at(v)}, lanes, valid(v))
                         : b.zeros(b.vectorOf(lanes, b.getF32Type())));
    acc = b.carry(b.index(0), rows, 1, acc, [&](Value row, Values acc) {
      for (int64_t v = 0; v < count; ++v) {
        IRMapping map;
        for (auto [operand, input] : llvm::zip(generic.getDpsInputOperands(), *inputs)) {
          BlockArgument argument = generic.getMatchingBlockArgument(operand);
          if (argument.use_empty())
            continue;
          Value in =
              input.kind == Kind::Whole ? b.loadVector(input.memory, {row, at(v)}, lanes, valid(v))
              : input.kind == Kind::Column ? b.loadVector(input.memory, {at(v)}, lanes, valid(v))
              : input.kind == Kind::Row    ? b.splat(b.load(input.memory, {row}), lanes)
                                           : b.splat(input.memory, lanes);
          map.map(argument, in);
        }
        map.map(carried, acc[v]);
        clonePayload(b, generic, map, lanes);
        acc[v] = map.lookup(add.getResult());
      }
      return acc;
    });
    for (int64_t v = 0; v < count; ++v)
      b.storeVector(acc[v], out, {at(v)}, valid(v));
  };
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    Value column0 = b.mul(task, strip);
    if (columns % strip == 0)
      return sum(column0, strip);
    if (strips == 1)
      return sum(column0, columns);
    b.choose(
        b.equal(task, b.index(strips - 1)), [&] { sum(column0, columns % strip); },
        [&] { sum(column0, strip); });
  });
  kernel.finish({b.getAffineConstantExpr(strips)}, 0);
  return success();
}
