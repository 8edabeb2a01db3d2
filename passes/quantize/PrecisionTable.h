//===- PrecisionTable.h - precision, product by product ---------*- C++ -*-===//
//
// In which precision a training step computes, and keeps what its backward half reads.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_QUANTIZE_PRECISIONTABLE_H
#define HADAL_PASSES_QUANTIZE_PRECISIONTABLE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace hadal {

/// One line per product and per tensor kept for the backward half, by parts of the model in order
/// of the forward half: the part; the product's direction (Fprop, Dgrad, Wgrad) or "kept"; format,
/// tile (rows x columns, "*" for all) and scales of its operands, both where they differ; how its
/// sum is formed; bytes of its operands, or of what is kept, in one micro-batch. Products that are
/// computed again have no second line. `registers` as those of memoryTable (Saved.h).
std::string precisionTable(mlir::func::FuncOp f, llvm::ArrayRef<int64_t> registers);

} // namespace hadal

#endif // HADAL_PASSES_QUANTIZE_PRECISIONTABLE_H
