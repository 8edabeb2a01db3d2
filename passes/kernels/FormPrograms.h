// The parts of --exec-form-programs that stand on their own.
#pragma once
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/kernels/KernelBuilder.h"

namespace hadal {

/// Ops that move no data: slices and reshapes.
bool isView(mlir::Operation *op);
/// The value whose memory `v` is all or a part of, through views.
mlir::Value rootOf(mlir::Value v);
/// Ops that cost no launch: views, initial values, sizes, parameters. Kernels hold copies of them.
bool isFree(mlir::Operation *op);

/// Where a function is cut, each part has its own copy of such an op instead of getting its result
/// from another part: it costs no launch, or is a constant.
bool isCloned(mlir::Operation *op);
/// The operands of `op` and what its regions read from `block`.
llvm::SmallVector<mlir::Value> readsOf(mlir::Operation *op, mlir::Block &block);
/// Names of a function's registers: `exec.registers`, or else one for each dynamic size of its
/// arguments.
llvm::SmallVector<mlir::Attribute> registersOf(mlir::func::FuncOp f);

/// The operand that an op of the destination-style family changes a part of, or adds to; null for
/// other ops. Its kernel writes in place.
mlir::OpOperand *destinationOf(mlir::Operation *op);

/// Which ops share a kernel: a partition of a block's ops that are not free, each group in order,
/// groups in the order of their last ops.
struct Grouping {
  explicit Grouping(mlir::Block &block);
  llvm::SmallVector<llvm::SmallVector<mlir::Operation *>> groups;
};

/// Dynamic sizes as functions of a program's registers.
class Sizes {
public:
  void set(mlir::Value tensor, unsigned dim, mlir::AffineExpr size) { dims[{tensor, dim}] = size; }
  mlir::FailureOr<mlir::AffineExpr> dim(mlir::Value tensor, unsigned d);
  mlir::FailureOr<mlir::AffineExpr> index(mlir::Value v);

private:
  mlir::FailureOr<mlir::AffineExpr> compute(mlir::Value tensor, unsigned d);
  llvm::DenseMap<std::pair<mlir::Value, unsigned>, mlir::AffineExpr> dims;
};

/// A kernel's name for people: what it computes and the sizes that matter.
std::string describe(llvm::ArrayRef<mlir::Operation *> group);

} // namespace hadal
