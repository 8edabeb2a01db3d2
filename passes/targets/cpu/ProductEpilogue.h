//===- ProductEpilogue.h - what follows a product's sum ---------*- C++ -*-===//
//
// What a product's kernel does to each element before it is stored.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_PRODUCTEPILOGUE_H
#define HADAL_PASSES_TARGETS_CPU_PRODUCTEPILOGUE_H

#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Kernel.h"

namespace hadal {

/// Clones the payload of a generic, but for its terminator, on vectors of `lanes`; `map` has
/// vectors for the block arguments that it reads, and for results that are not to be cloned, and
/// afterwards for what the terminator yields. Only for payloads that run on vectors, but for the
/// ops that `special` gives a vector for; it returns null for all others.
void clonePayload(KernelBuilder &b, mlir::linalg::GenericOp generic, mlir::IRMapping &map,
                  int64_t lanes, llvm::function_ref<mlir::Value(mlir::Operation &)> special = {});

/// A linalg.generic on [rows, outputs] that reads the results of one or two products and, element
/// by element or along a row or a column, other tensors. One thread at a time.
class ProductEpilogue {
public:
  ProductEpilogue() = default;
  ProductEpilogue(Kernel &kernel, mlir::linalg::GenericOp generic,
                  llvm::ArrayRef<Product> products);

  explicit operator bool() const { return bool(generic); }
  /// The result for `lanes` outputs of `row` from `column` on, of which `valid` are there; `sums`:
  /// of each product.
  mlir::Value apply(KernelBuilder &b, llvm::ArrayRef<mlir::Value> sums, mlir::Value row,
                    mlir::Value column, int64_t valid) const;

private:
  mlir::linalg::GenericOp generic;
  llvm::SmallVector<int> productOf;        // of each input, or -1
  llvm::SmallVector<mlir::Value> memories; // of each other input
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_PRODUCTEPILOGUE_H
