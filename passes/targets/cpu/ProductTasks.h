//===- ProductTasks.h - which part of a product is a task -------*- C++ -*-===//
//
// Which part of a product or of a weight gradient is a task: the loops over a kernel's tasks,
// whichever way they are computed.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_PRODUCTTASKS_H
#define HADAL_PASSES_TARGETS_CPU_PRODUCTTASKS_H

#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Kernel.h"

namespace hadal {

/// How long the parts of `size` are that are no longer than `most`, as few as possible and all
/// alike but for the last one.
inline int64_t evenly(int64_t size, int64_t most) {
  return llvm::divideCeil(size, llvm::divideCeil(size, most));
}

/// Where an element of the product's operand or result is in `memory`, laid out as stored;
/// `batch` counts where that has matrices of its own for each.
llvm::SmallVector<mlir::Value> leftPlace(const Product &p, mlir::Value memory, mlir::Value row,
                                         mlir::Value k, mlir::Value batch);
llvm::SmallVector<mlir::Value> rightPlace(const Product &p, mlir::Value memory, mlir::Value n,
                                          mlir::Value k, mlir::Value batch);
llvm::SmallVector<mlir::Value> outPlace(const Product &p, mlir::Value memory, mlir::Value row,
                                        mlir::Value n, mlir::Value batch);

/// Rows of a task at most, a multiple of `multiple`, where outputs are cut in `parts`. Rows of a
/// matrix with few outputs are cut further, so that there are enough tasks.
int64_t rowsOfTasks(const Product &p, int64_t parts, int64_t multiple);

/// Blocks of `rows` rows alike, multiples of `multiple`, and no longer than `most`, itself one: a
/// short one at the end would read the weights for a few rows.
mlir::Value rowsOfBlock(KernelBuilder &b, mlir::Value rows, int64_t most, int64_t multiple);

/// How a product's outputs and rows are cut.
struct ProductCut {
  int64_t panels, panelsOfTask; ///< of outputs
  int64_t rowsOfTask, multiple; ///< rows of a task at most; what they are a multiple of
  int64_t parts() const { return llvm::divideCeil(panels, panelsOfTask); }
};

/// Loops over the kernel's tasks. Each is `block` of rows [m0, m1) and panels [p0, p1) of matrix
/// `batch` (null where there is but one). In a grouped product it has all rows of an expert.
/// Returns the number of tasks for Kernel::finish.
llvm::SmallVector<mlir::AffineExpr>
forProductTasks(Kernel &kernel, const Product &p, const ProductCut &cut,
                llvm::function_ref<void(mlir::Value m0, mlir::Value m1, mlir::Value batch,
                                        mlir::Value p0, mlir::Value p1)>
                    block);

/// Loops over a weight gradient's tasks: of each expert's matrix (or the one there is: `expert` is
/// null), `strips` times `ranges` parts. If `inPlace`, experts without rows may be left out;
/// otherwise every matrix is written. Returns the number of tasks.
llvm::SmallVector<mlir::AffineExpr> forWeightGradientTasks(
    Kernel &kernel, const WeightGradient &g, bool inPlace, int64_t strips, int64_t ranges,
    llvm::function_ref<void(mlir::Value expert, mlir::Value strip, mlir::Value range)> part);

/// The rows [from, to) whose products an expert's matrix gets: of one group, or of each segment's,
/// ascending; of all `count` rows where there are no groups.
void forGroups(Kernel &kernel, const WeightGradient &g, mlir::Value expert, mlir::Value count,
               llvm::function_ref<void(mlir::Value group, mlir::Value from, mlir::Value to)> rows);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_PRODUCTTASKS_H
