//===- Sections.h - a chunk's function in sections --------------*- C++ -*-===//

#ifndef HADAL_PASSES_PROGRAMS_SECTIONS_H
#define HADAL_PASSES_PROGRAMS_SECTIONS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringMap.h"

namespace hadal {

/// Whether `op`, which may be null, is an exchange between ranks.
bool isExchange(mlir::Operation *op);

/// Holds a function to what can be cut. A failure has been reported.
mlir::LogicalResult checkCuttable(mlir::func::FuncOp f);

/// Replaces `f` by the chunk `name`, which calls its sections, NAME.0 and on, and exchanges between
/// them. Values without a name are called KIND.NUMBER. `shapes` has the sizes of values that
/// earlier chunks of the stage have handed on, and gets those of this one.
mlir::LogicalResult cutFunction(mlir::func::FuncOp f, const std::string &name, llvm::StringRef kind,
                                llvm::StringMap<mlir::AffineMap> &shapes);

} // namespace hadal

#endif // HADAL_PASSES_PROGRAMS_SECTIONS_H
