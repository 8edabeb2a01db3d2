//===- ModuleBuffers.h - what the programs of a module share ----*- C++ -*-===//
//
// What the programs of a module share: kernels, parameters, packed weights, states.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_PROGRAMS_MODULEBUFFERS_H
#define HADAL_PASSES_PROGRAMS_MODULEBUFFERS_H

#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"

namespace hadal {

/// One thread at a time.
class ModuleBuffers {
public:
  explicit ModuleBuffers(mlir::ModuleOp module) : module(module), symbols(module) {}

  mlir::OpBuilder atEnd() { return mlir::OpBuilder::atBlockEnd(module.getBody()); }

  /// The exec.parameter of a global, made on first use.
  exec::ParameterOp parameter(mlir::ml_program::GlobalLoadConstOp load);

  mlir::ml_program::GlobalOp global(mlir::Value v);

  /// How a global lies in memory, as --exec-assign-layouts has said; null: as stored.
  static exec::LayoutAttr layoutOf(mlir::ml_program::GlobalOp global) {
    return global->getAttrOfType<exec::LayoutAttr>(kLayoutAttr);
  }

  /// The state that holds a mutable global, made on first use.
  mlir::StringAttr state(mlir::ml_program::GlobalOp global);

  /// Says in job.trainables how each parameter lies.
  void describeTrainables();

  /// Holds parameters and states to what has memory: tensors of numbers whose sizes are known, and
  /// whose values no module has to hold.
  mlir::LogicalResult checkGlobals();

  exec::ProgramOp packProgram();

  /// Equal kernels are one: the known one that computes the same, or `kernel`, named after `what`.
  mlir::func::FuncOp shareKernel(mlir::func::FuncOp kernel, llvm::StringRef what);

  /// The same for kernels that lay a tensor out, named `what` alone where nothing else is.
  mlir::func::FuncOp shareRelayout(mlir::func::FuncOp kernel, llvm::StringRef what);

  template <typename Op> Op insert(Op op) {
    symbols.insert(op);
    return op;
  }

  mlir::ModuleOp module;
  mlir::SymbolTable symbols;
  llvm::StringMap<mlir::StringAttr> weights; ///< by what they hold

private:
  llvm::StringMap<mlir::func::FuncOp> kernels, relayouts; ///< by what they compute
  exec::ProgramOp pack;                                   ///< made on first use
};

} // namespace hadal

#endif // HADAL_PASSES_PROGRAMS_MODULEBUFFERS_H
