//===- RowSum.h - sums inside a row, in one order on every target ---------===//
//
//   partial[j] = the row's elements j, j + 32, j + 64, ..., added in ascending order to +0
//   for half in 16, 8, 4, 2, 1: partial[j] += partial[j + half] for j < half
//   the sum is partial[0]
//
// The order depends on no vector width: 32 partial sums are two vectors of 16 lanes, four of 8,
// eight of 4, or the lanes of a GPU's warp. Elements that do not exist are not added.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_ROWSUM_H
#define HADAL_PASSES_TARGETS_CPU_ROWSUM_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

constexpr int64_t kPartialSums = 32;

/// The partial sums of a row's values of `element`: 32 / lanes vectors of zeros.
KernelBuilder::Values zeroPartials(KernelBuilder &b, mlir::Type element);

/// A vector of a row's elements.
struct RowVector {
  mlir::Value at;   ///< the first of them
  mlir::Value mask; ///< of those that exist; null: all of them
  int64_t valid;    ///< how many exist; -1 where only the run knows
};

/// Adds a vector of elements to the vectors of partial sums that it belongs to, one of each sum.
using AddVector =
    llvm::function_ref<KernelBuilder::Values(RowVector here, KernelBuilder::Values sums)>;

/// Adds elements first .. last-1 to `partials`, those of one sum after those of another; element
/// `first` goes to partial sum 0. `add` may do as it likes with lanes that do not exist.
KernelBuilder::Values addRow(KernelBuilder &b, mlir::Value first, mlir::Value last,
                             KernelBuilder::Values partials, AddVector add);

/// The halving tree over the partial sums of one sum.
mlir::Value foldPartials(KernelBuilder &b, llvm::ArrayRef<mlir::Value> partials);

/// One sum over elements first .. last-1; `add` takes and returns a vector of partial sums.
mlir::Value sumRow(KernelBuilder &b, mlir::Type element, mlir::Value first, mlir::Value last,
                   llvm::function_ref<mlir::Value(RowVector here, mlir::Value sum)> add);

/// True if each result of `op` is a sum whose order the graph leaves to the target (an addf marked
/// reassoc) over the last loop.
bool isRowSum(mlir::linalg::LinalgOp op);

/// Writes such an op on memory as loops, before it; loops outside the last one that sum, too, add
/// to the same partial sums in turn. The sum is added to what the result's memory holds.
void writeRowSum(KernelBuilder &b, mlir::linalg::GenericOp op);

/// True if element i of loop `loop` is next to element i + 1 where `map` accesses a tensor.
bool isAlongLoop(mlir::AffineMap map, unsigned loop);

/// Where an access by `map` is with the loops at `at`; null: at 0.
KernelBuilder::Values indicesAt(KernelBuilder &b, mlir::AffineMap map,
                                llvm::ArrayRef<mlir::Value> at);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_ROWSUM_H
