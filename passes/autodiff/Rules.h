//===- Rules.h - what rules and the sweep share -----------------*- C++ -*-===//
//
// What the rules of differentiation and the reverse sweep know of each other.
//
// A rule reads an op and the gradients of its results and adds to the gradients of its operands. It
// sees of the sweep only `Adjoints`. A new op's rule is a function, and a line in the table of its
// file.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_AUTODIFF_RULES_H
#define HADAL_PASSES_AUTODIFF_RULES_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"

namespace hadal::autodiff {

/// The gradients of values, while they are being summed. Ops are made at the builder's insertion
/// point. One thread at a time.
class Adjoints {
public:
  /// `varied` holds the values that depend on what the gradient is taken of.
  Adjoints(mlir::ImplicitLocOpBuilder &b, mlir::DenseSet<mlir::Value> varied)
      : b(b), varied(std::move(varied)) {}

  mlir::ImplicitLocOpBuilder &b;

  /// True if `value`'s gradient is of use.
  bool wants(mlir::Value value) const { return varied.contains(value); }

  /// The sum of what has been added for `value`; null where nothing was.
  mlir::Value of(mlir::Value value);

  /// Adds a tensor of `value`'s type, element by element.
  void add(mlir::Value value, mlir::Value contribution);

  /// Adds what `make` computes into an init of `value`'s type: zeros, or the sum so far where
  /// `value` is a parameter, so that a parameter's gradient is one chain of sums that never exists
  /// in parts. A parameter's sums may be kept by segments of the rows: then its gradient is of
  /// `type`, larger than the parameter.
  void addInto(mlir::Value value, llvm::function_ref<mlir::Value(mlir::Value init)> make,
               mlir::RankedTensorType type = {});

  /// Adds a gradient of a slice of `value`. Slices wait until the sum is asked for: where they are
  /// all of `value`, they are put together, and nothing is added.
  void addSlice(mlir::tensor::ExtractSliceOp slice, mlir::Value gradient);

  /// From now on `value` has what was known of `old`.
  void replace(mlir::Value old, mlir::Value value);

  /// Loads of one global are one parameter: all are known by the first.
  void join(mlir::Value load, mlir::Value firstLoad) { parameters[load] = firstLoad; }
  bool isParameter(mlir::Value value) const { return parameters.contains(value); }

  /// Size `dim` of `value`; where it is dynamic, an index value that exists already if there is
  /// one.
  mlir::OpFoldResult sizeOf(mlir::Value value, int64_t dim);
  llvm::SmallVector<mlir::OpFoldResult> sizesOf(mlir::Value value);
  mlir::Value empty(mlir::RankedTensorType type, llvm::ArrayRef<mlir::OpFoldResult> shape);
  mlir::Value emptyLike(mlir::Value value);
  mlir::Value filled(mlir::Value init, double number);
  mlir::Value zerosLike(mlir::Value value) { return filled(emptyLike(value), 0); }

private:
  struct Sum {
    mlir::Value value;
    llvm::SmallVector<std::pair<mlir::tensor::ExtractSliceOp, mlir::Value>> slices;
  };
  mlir::Value key(mlir::Value value) const {
    auto known = parameters.find(value);
    return known == parameters.end() ? value : known->second;
  }
  void placeSlices(mlir::Value value, Sum &sum);

  mlir::DenseSet<mlir::Value> varied;
  mlir::DenseMap<mlir::Value, mlir::Value> parameters;
  mlir::DenseMap<mlir::Value, Sum> sums;
  mlir::DenseMap<std::pair<mlir::Value, int64_t>, mlir::OpFoldResult> sizes;
};

/// Adds to the gradients of the operands that are wanted. Emits an error where it cannot.
using Rule = llvm::LogicalResult (*)(mlir::Operation *op, Adjoints &adjoints);

/// Rules by the names of ops.
using RuleTable = llvm::StringMap<Rule>;
void addTensorRules(RuleTable &table);
void addMlaRules(RuleTable &table);
void addMoeRules(RuleTable &table);

/// The rule of every linalg op: its payload in reverse. LinalgRules.cpp.
llvm::LogicalResult differentiateLinalg(mlir::Operation *op, Adjoints &adjoints);

/// Inserts into `block`, a linalg op's payload, what turns gradients of the values that it yields
/// into the gradient of `target`, and returns that; null where the yielded values do not depend on
/// `target`. `seeds` holds a scalar for each yielded value, or null. Arguments in `perRow` do not
/// change in the innermost loops. ScalarRules.cpp.
llvm::FailureOr<mlir::Value> differentiateScalars(mlir::Block &block,
                                                  llvm::ArrayRef<mlir::Value> seeds,
                                                  mlir::Value target, mlir::Operation *owner,
                                                  llvm::ArrayRef<mlir::BlockArgument> perRow);

} // namespace hadal::autodiff

#endif // HADAL_PASSES_AUTODIFF_RULES_H
