//===- States.h - what a training module keeps beside its parameters ------===//

#ifndef HADAL_PASSES_ANALYSIS_STATES_H
#define HADAL_PASSES_ANALYSIS_STATES_H

#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/SymbolTable.h"

namespace hadal {

/// The private mutable global `symbol`, which becomes the state `state` of the module; made by `b`
/// where `symbols` has none.
mlir::ml_program::GlobalOp stateGlobal(mlir::OpBuilder &b, mlir::Location loc,
                                       mlir::SymbolTable &symbols, llvm::StringRef symbol,
                                       mlir::Type type, llvm::StringRef state);

} // namespace hadal

#endif // HADAL_PASSES_ANALYSIS_STATES_H
