// Programs that walk the memory of parameters, however it lies: what those who make them share.
#pragma once
#include "dialects/exec/Exec.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// Adds programs, kernels and states to a module, one after the other.
class ParameterPrograms {
protected:
  ParameterPrograms(mlir::ModuleOp module, int64_t lanes)
      : module(module), lanes(lanes), shape(vectorShapeFor(lanes)), b(module.getContext()) {}

  /// Elements of one partial sum of squares: the order of a global sum does not depend on who holds
  /// which parameter.
  static constexpr int64_t sumBlock = 4096;
  /// Elements of one task of the other walks.
  static constexpr int64_t taskElements = 16384;

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
      return "gradient." + name + ".use" + std::to_string(use);
    }
  };

  mlir::LogicalResult readTrainables();
  mlir::func::FuncOp kernel(llvm::StringRef name, llvm::ArrayRef<mlir::Type> elements,
                            mlir::AffineExpr tasks, int64_t rank,
                            llvm::function_ref<void(KernelBuilder &, mlir::func::FuncOp,
                                                    mlir::Value begin, mlir::Value end)>
                                body);
  void walk(KernelBuilder &k, mlir::Value begin, mlir::Value end, mlir::Value elements,
            llvm::function_ref<void(mlir::Value, int64_t)> at);
  exec::ProgramOp program(llvm::StringRef name, llvm::ArrayRef<llvm::StringRef> registers = {});
  mlir::Value argument(llvm::StringRef name, llvm::ArrayRef<mlir::AffineExpr> shape,
                       mlir::Type element, bool output);
  mlir::Value get(llvm::StringRef symbol) {
    return exec::GetOp::create(b, module.getLoc(), exec::BufferType::get(b.getContext()),
                               mlir::FlatSymbolRefAttr::get(b.getStringAttr(symbol)));
  }
  void state(llvm::StringRef name, int64_t elements, mlir::Type element);
  void launch(mlir::func::FuncOp kernel, llvm::ArrayRef<mlir::Value> buffers,
              llvm::ArrayRef<mlir::AffineExpr> scalars,
              llvm::ArrayRef<mlir::AffineExpr> offsets = {});
  mlir::AffineExpr constant(int64_t c) { return b.getAffineConstantExpr(c); }
  mlir::Value temporary(mlir::AffineExpr bytes);

  mlir::ModuleOp module;
  int64_t lanes;
  VectorShape shape;
  mlir::OpBuilder b;
  exec::ProgramOp current;
  llvm::SmallVector<Trained> trained; ///< by readTrainables()
};

/// Adds what lays parameters out, and draws the first of them:
///   draw               normal numbers that depend on a key and on their place alone
///   pack.*, unpack.*   between a checkpoint's tensor and its place in a state
mlir::LogicalResult addLayouts(mlir::ModuleOp module, int64_t lanes);

} // namespace hadal
