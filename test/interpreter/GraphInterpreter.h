//===- GraphInterpreter.h - a graph evaluated with plain loops ----------===//
//
// Evaluates what the frontend and the first passes build in double, one op after another, by the
// ops' descriptions and without any lowering: an answer to "is the graph right?" that no pass,
// kernel or runtime has a part in. For small models only.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_INTERPRETER_GRAPHINTERPRETER_H
#define HADAL_TEST_INTERPRETER_GRAPHINTERPRETER_H

#include "Array.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/StringRef.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace hadal::frontend {

/// The values of a function while it is evaluated.
class Values {
public:
  Array &at(mlir::Value v) { return map.at(v.getAsOpaquePointer()); }
  Array &operator[](mlir::Value v) { return map[v.getAsOpaquePointer()]; }

private:
  std::map<void *, Array> map;
};

class GraphInterpreter {
public:
  /// `parameter` gives a global's value by its symbol name, shaped like the global.
  explicit GraphInterpreter(std::function<Array(llvm::StringRef)> parameter)
      : parameter(std::move(parameter)) {}

  /// The results of `function`. `arguments` are in order.
  std::vector<Array> evaluate(mlir::func::FuncOp function, const std::vector<Array> &arguments);

  /// The same by their exec.name.
  std::map<std::string, Array> run(mlir::func::FuncOp function,
                                   const std::vector<Array> &arguments);

  /// Asked for ops that need other ranks (moe.exchange_counts, moe.exchange); false where it does
  /// not know `op`.
  std::function<bool(mlir::Operation *op, Values &values)> exchange;

  /// Set where an op is not known.
  std::string complaint;

private:
  void evaluate(mlir::Operation *op);

  std::function<Array(llvm::StringRef)> parameter;
  Values values;
};

// Each evaluates the ops of its kind; false where it does not know `op`.
bool evaluateMla(mlir::Operation *op, Values &values);
bool evaluateMoe(mlir::Operation *op, Values &values);
bool evaluateTensor(mlir::Operation *op, Values &values);

/// Any linalg op, by its payload. Returns the name of an op that it does not know, else "".
std::string evaluateLinalg(mlir::linalg::LinalgOp op, Values &values);

/// A scalar op of arith and math; null where it is not known.
using ScalarFunction = double (*)(mlir::Operation *op, const double *operands);
ScalarFunction scalarFunction(mlir::Operation *op);

} // namespace hadal::frontend

#endif // HADAL_TEST_INTERPRETER_GRAPHINTERPRETER_H
