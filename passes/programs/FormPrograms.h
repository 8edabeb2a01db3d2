//===- FormPrograms.h - the parts of --exec-form-programs -------*- C++ -*-===//
#ifndef HADAL_PASSES_PROGRAMS_FORMPROGRAMS_H
#define HADAL_PASSES_PROGRAMS_FORMPROGRAMS_H

#include "dialects/exec/Exec.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Block.h"
#include "mlir/IR/SymbolTable.h"

#include <string>

namespace hadal {

class Target;

/// Which ops share a kernel: a partition of a block's ops that are not free, each group in order,
/// groups in the order of their last ops.
struct Grouping {
  Grouping(mlir::Block &block, const Target &target);
  llvm::SmallVector<llvm::SmallVector<mlir::Operation *>> groups;
};

/// How `v` lies by its exec.relayout, or the global that it is; null: as stored. A sum that goes on
/// from another lies where that one does.
exec::LayoutAttr layoutOf(mlir::Value v, const mlir::SymbolTable &symbols);

/// A returned value becomes a copy of what it was, which has memory of its own.
mlir::linalg::CopyOp returnCopy(mlir::OpOperand &returned);

/// A kernel's name for people: what it computes and the sizes that matter.
std::string describe(llvm::ArrayRef<mlir::Operation *> group);

} // namespace hadal

#endif // HADAL_PASSES_PROGRAMS_FORMPROGRAMS_H
