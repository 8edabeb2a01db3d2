//===- FormPrograms.h - the parts of --exec-form-programs -------*- C++ -*-===//
#pragma once
#include "mlir/IR/Block.h"

#include <string>

namespace hadal {

/// Which ops share a kernel: a partition of a block's ops that are not free, each group in order,
/// groups in the order of their last ops.
struct Grouping {
  explicit Grouping(mlir::Block &block);
  llvm::SmallVector<llvm::SmallVector<mlir::Operation *>> groups;
};

/// A kernel's name for people: what it computes and the sizes that matter.
std::string describe(llvm::ArrayRef<mlir::Operation *> group);

} // namespace hadal
