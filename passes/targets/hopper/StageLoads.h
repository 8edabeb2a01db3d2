//===- StageLoads.h - who fills the stages of a product, and how ----------===//
//
// An operand whose elements the tensor cores take as stored, rows of K 16 bytes apart or a
// multiple, is copied by hardware (TMA). Any other one 128 threads load, weights of f32 from where
// hardware has copied them, all else from the device's memory: rows that are gathered,
// f32, codes that become bf16, odd strides, K not innermost. Beyond K both have zeros; rows beyond
// the end are whatever they are, and their sums are not stored.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_STAGELOADS_H
#define HADAL_PASSES_TARGETS_HOPPER_STAGELOADS_H

#include "dialects/exec/Exec.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/hopper/ProductShape.h"

namespace hadal {

/// A tile of a block: rows [row, rowEnd) of matrix `batch` (null where there is but one), outputs
/// from `column` on.
struct ProductTile {
  mlir::Value row, rowEnd, batch, column;
};

class StageLoads {
public:
  using Value = mlir::Value;
  StageLoads(Kernel &kernel, const ProductShape &shape);

  /// Maps of what hardware copies, for the launch; adds an argument for each to the kernel.
  mlir::ArrayAttr addTensorMaps();
  bool anyByThreads() const;
  bool anyByHardware() const;
  /// Arrivals at a stage's full barrier.
  int64_t arrivals() const {
    return (anyByThreads() ? ProductShape::warpgroup : 0) + anyByHardware();
  }
  /// Whether hardware copies weights of f32 for threads to make parts of.
  bool anyFloats() const;
  /// One thread asks for a stage's tiles of block `k` of K that hardware copies: those that tensor
  /// cores take, or `floats`, into a pipeline of their own.
  void copy(Value pipeline, Value stage, const ProductTile &tile, Value k, bool floats);
  /// Thread `thread` of the 128 loads its part of the others.
  void load(Value thread, Value stage, const ProductTile &tile, Value k);

private:
  struct Operand {
    mlir::Value tensor, memory;
    int batch, row, k; ///< positions of its dimensions; the row may be an output
    int64_t rowsOfTile, parts;
    int64_t offset; ///< in a stage
    bool isLeft;
    int64_t floatOffset; ///< in a stage, of the tile in f32
    bool byHardware = false, hasFloats = false;
    Value map; ///< of a hardware copy
  };
  bool isCopied(const Operand &o, bool floats) const;
  exec::TensorMapAttr mapOf(const Operand &o);
  Value loadFloats(const Operand &o, Value base, Value row, Value at);
  llvm::SmallVector<Value> piece(const Operand &o, Value row, Value k, Value batch);
  llvm::SmallVector<Value> partsOf(Value loaded, int64_t parts);
  Value upperHalves(Value words);

  Kernel &kernel;
  KernelBuilder &b;
  const ProductShape &shape;
  llvm::SmallVector<Operand, 3> operands;
  Value source; ///< of gathered rows, or null
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_STAGELOADS_H
