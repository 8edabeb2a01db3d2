//===- RowBlock.h - the threads of a block that share a row ---------------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_ROWBLOCK_H
#define HADAL_PASSES_TARGETS_HOPPER_ROWBLOCK_H

#include "passes/targets/cpu/Kernel.h"

namespace hadal {

/// Writes what a block does with its row. Shared memory is byte offsets (dialects/hopper).
class RowBlock {
public:
  using Value = mlir::Value;
  /// `width`: elements of a row; there is one thread for every four of them, within bounds.
  RowBlock(Kernel &kernel, int64_t width);

  Kernel &kernel;
  KernelBuilder &b;
  const int64_t threads, warps;
  Value row;                ///< the block's task, an index
  Value thread, warp, lane; ///< indices

  /// Runs `body` on each of `count` places `lanes` apart, in turn by the block's threads.
  void places(int64_t count, int64_t lanes, llvm::function_ref<void(Value at)> body);
  /// Runs `body` on each of `count` numbers, in turn by the block's warps.
  void byWarps(Value count, llvm::function_ref<void(Value number)> body);

  /// Takes bytes of shared memory.
  int64_t share(int64_t bytes);
  /// `type` from `element` (of its element type) after byte `offset` on.
  Value loadShared(int64_t offset, Value element, mlir::Type type);
  void storeShared(Value v, int64_t offset, Value element);
  /// Threads wait for each other.
  void barrier();

  /// Vectors of memory, in as few accesses as the memory's layout allows.
  Value load(Value memref, mlir::ValueRange at, int64_t lanes);
  void store(Value v, Value memref, mlir::ValueRange at);

  /// The value of lane (this xor `distance`): f32, i32 or f64.
  Value shuffle(Value v, int64_t distance);
  /// All lanes get what `join` makes of their values, in the order of a halving tree; either of two
  /// values may come first.
  Value acrossLanes(Value v, llvm::function_ref<Value(Value, Value)> join);
  /// A row's sum, of elements first .. last-1, by one warp: all lanes get it.
  Value sumRow(mlir::Type element, Value first, Value last,
               llvm::function_ref<Value(Value i, Value sum)> add);

  /// Declares the launch, one block for each of `tasks`.
  void finish(mlir::AffineExpr tasks);

private:
  int64_t sharedBytes = 0;
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_ROWBLOCK_H
