//===- GraphQueries.h - what passes ask of ops and values -----------------===//
//
// Questions about a function of one block that more than one pass asks. Nothing here changes IR.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_ANALYSIS_GRAPHQUERIES_H
#define HADAL_PASSES_ANALYSIS_GRAPHQUERIES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace hadal {

/// Ops that move no data: slices and reshapes.
bool isView(mlir::Operation *op);
/// The value whose memory `v` is all or a part of, through views.
mlir::Value rootOf(mlir::Value v);
/// The value whose memory `v` is a whole, reshaped.
mlir::Value throughReshapes(mlir::Value v);

/// Ops that cost no launch: views, initial values, sizes, parameters. Kernels hold copies of them.
bool isFree(mlir::Operation *op);
/// Where a function is cut, each part has its own copy of such an op instead of getting its result
/// from another part: it costs no launch, is a constant, or @pack makes it (isMadeByPack).
bool isCloned(mlir::Operation *op);

/// The operands of `op` and what its regions read from `block`.
llvm::SmallVector<mlir::Value> readsOf(mlir::Operation *op, mlir::Block &block);

/// The operand that an op in destination style (DestinationStyleOpInterface) changes a part of, or
/// adds to; null for other ops. Its kernel writes in place.
mlir::OpOperand *destinationOf(mlir::Operation *op);

/// Names of a function's registers: `exec.registers`, or else one for each dynamic size of its
/// arguments.
llvm::SmallVector<mlir::Attribute> registersOf(mlir::func::FuncOp f);

/// The register of the program that holds the index `v`; null where none does.
mlir::StringAttr registerOf(mlir::Value v);

} // namespace hadal

#endif // HADAL_PASSES_ANALYSIS_GRAPHQUERIES_H
