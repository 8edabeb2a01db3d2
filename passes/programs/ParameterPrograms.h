//===- ParameterPrograms.h - programs over parameters -----------*- C++ -*-===//
//
// Programs that walk the memory of parameters, however it lies: what those who make them share.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_PROGRAMS_PARAMETERPROGRAMS_H
#define HADAL_PASSES_PROGRAMS_PARAMETERPROGRAMS_H

#include "dialects/exec/Exec.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "passes/programs/OptimizerKernels.h"
#include "runtime/module/Names.h"

namespace hadal {

/// Adds programs, kernels and states to a module, one after the other.
class ParameterPrograms {
protected:
  explicit ParameterPrograms(mlir::ModuleOp module) : module(module), b(module.getContext()) {}

  struct Trained {
    std::string name;
    std::string layout;          ///< what its programs are named by
    exec::LayoutAttr memory;     ///< how its state lies; null: as stored
    mlir::RankedTensorType type; ///< of one tensor
    int64_t count, elements;     ///< tensors, and elements of each as it lies
    bool correction;
    int64_t blocks() const { return llvm::divideCeil(elements, sumBlock); }
    /// The gradient's sum of a use after the first.
    std::string useState(int64_t use) const {
      return names::state::gradient + name + ".use" + std::to_string(use);
    }
  };

  mlir::LogicalResult readTrainables();
  exec::ProgramOp program(llvm::StringRef name, llvm::ArrayRef<llvm::StringRef> registers = {});
  mlir::Value argument(llvm::StringRef name, llvm::ArrayRef<mlir::AffineExpr> shape,
                       mlir::Type element, bool output);
  mlir::Value get(llvm::StringRef symbol) {
    return exec::GetOp::create(b, module.getLoc(), exec::BufferType::get(b.getContext()),
                               mlir::FlatSymbolRefAttr::get(b.getStringAttr(symbol)));
  }
  void state(llvm::StringRef name, int64_t elements, mlir::Type element,
             exec::LayoutAttr layout = {});
  void launch(mlir::func::FuncOp kernel, llvm::ArrayRef<mlir::Value> buffers,
              llvm::ArrayRef<mlir::AffineExpr> scalars,
              llvm::ArrayRef<mlir::AffineExpr> offsets = {});
  /// Over the registers of the current program.
  mlir::AffineMap map(mlir::AffineExpr e) {
    return mlir::AffineMap::get(0, current.getRegisters().size(), e);
  }
  mlir::AffineExpr constant(int64_t c) { return b.getAffineConstantExpr(c); }
  mlir::Value temporary(mlir::AffineExpr bytes);

  mlir::ModuleOp module;
  mlir::OpBuilder b;
  exec::ProgramOp current;
  llvm::SmallVector<Trained> trained; ///< by readTrainables()
};

/// Adds what lays parameters out, and draws the first of them:
///   draw               normal numbers that depend on a key and on their place alone
///   pack.*, unpack.*   between a checkpoint's tensor and its place in a state
///   magnitude          the bits of the largest magnitude: whether all is finite, and what is
///   largest widen, narrow      between BF16 moments, where there are any, and f32
mlir::LogicalResult addLayouts(mlir::ModuleOp module);

} // namespace hadal

#endif // HADAL_PASSES_PROGRAMS_PARAMETERPROGRAMS_H
