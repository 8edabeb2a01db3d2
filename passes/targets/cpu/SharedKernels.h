//===- SharedKernels.h - products and what runs on their rows -------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_SHAREDKERNELS_H
#define HADAL_PASSES_TARGETS_CPU_SHAREDKERNELS_H

#include "passes/analysis/Products.h"

namespace hadal {

/// The products whose results `epilogue` alone reads, element by element.
llvm::SmallVector<Product> productsUnder(mlir::linalg::GenericOp epilogue);

/// The other product of a pair under one epilogue (gate and up), whose weights lie side by side
/// with those of `product`.
std::optional<Product> pairOf(mlir::Operation *product);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_SHAREDKERNELS_H
