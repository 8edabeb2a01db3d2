//===- GraphInterpreter.h - a graph evaluated with plain loops ----------===//
//
// Evaluates what the frontend builds in double, one op after another, by the ops' descriptions and without any
// lowering: an answer to "is the graph right?" that no pass, kernel or runtime has a part in. For small models only.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_FRONTEND_GRAPHINTERPRETER_H
#define HADAL_TEST_FRONTEND_GRAPHINTERPRETER_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace hadal::frontend {

/// A tensor, or a scalar when the shape is empty. Integers are held exactly.
struct Array {
  std::vector<int64_t> shape;
  std::vector<double> data;

  static Array zeros(std::vector<int64_t> shape);
  int64_t dim(size_t i) const { return shape[i]; }
};

class GraphInterpreter {
public:
  /// `parameter` gives a global's value by its symbol name, shaped like the global.
  explicit GraphInterpreter(std::function<Array(llvm::StringRef)> parameter) : parameter(std::move(parameter)) {}

  /// The results of `function` by their exec.name. `arguments` are in order.
  std::map<std::string, Array> run(mlir::func::FuncOp function, const std::vector<Array> &arguments);

  /// Set where an op is not known.
  std::string complaint;

private:
  void evaluate(mlir::Operation *op);
  const Array &get(mlir::Value value) { return values.at(value); }

  std::function<Array(llvm::StringRef)> parameter;
  struct Values {
    std::map<void *, Array> map;
    Array &at(mlir::Value v) { return map.at(v.getAsOpaquePointer()); }
    Array &operator[](mlir::Value v) { return map[v.getAsOpaquePointer()]; }
  } values;
};

} // namespace hadal::frontend

#endif // HADAL_TEST_FRONTEND_GRAPHINTERPRETER_H
