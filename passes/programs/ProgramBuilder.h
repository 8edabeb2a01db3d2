//===- ProgramBuilder.h - a function as it becomes a program ----*- C++ -*-===//
//
// A function on tensors as it becomes a program: FormPrograms.cpp, and PackWeights.cpp for the
// right operands of its products.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_PROGRAMS_PROGRAMBUILDER_H
#define HADAL_PASSES_PROGRAMS_PROGRAMBUILDER_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/IRMapping.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/analysis/Sizes.h"
#include "passes/programs/FormPrograms.h"
#include "passes/programs/ModuleBuffers.h"

namespace hadal {

/// What an element, and all of a tensor of static shape as stored, take in memory.
inline int64_t elementBytes(mlir::Type t) { return (t.getIntOrFloatBitWidth() + 7) / 8; }
inline int64_t tensorBytes(mlir::RankedTensorType t) {
  return t.getNumElements() * elementBytes(t.getElementType());
}

/// One thread at a time.
class ProgramBuilder {
public:
  ProgramBuilder(ModuleBuffers &shared, const Target &target, mlir::func::FuncOp f)
      : shared(shared), target(target), f(f), b(f.getContext()) {}
  mlir::LogicalResult build();

private:
  mlir::LogicalResult checkTypes();
  mlir::LogicalResult readArguments();
  mlir::LogicalResult requireInputs();
  /// A group of ops on its way to a kernel and its launch.
  struct GroupKernel {
    llvm::ArrayRef<mlir::Operation *> group;
    mlir::OpOperand *destination;                ///< that the last op writes over, or null
    llvm::SmallVector<mlir::Value> inputs = {};  ///< in the order of the kernel's arguments
    llvm::SmallVector<mlir::Value> results = {}; ///< that something outside reads
    mlir::IRMapping mapping = {};                ///< to the kernel's values
    mlir::func::FuncOp function = {};
    bool isWritten(mlir::Value v) const { return destination && v == destination->get(); }
  };
  mlir::LogicalResult launchGroup(llvm::ArrayRef<mlir::Operation *> group);
  mlir::LogicalResult formKernel(GroupKernel &kernel);
  mlir::LogicalResult cloneGroup(GroupKernel &kernel, mlir::OpBuilder &k);
  mlir::LogicalResult bring(mlir::Value v, GroupKernel &kernel, mlir::OpBuilder &k);
  mlir::LogicalResult bindKernel(GroupKernel &kernel, llvm::SmallVector<mlir::Value> &bound,
                                 llvm::SmallVector<mlir::AffineMap> &scalars);
  mlir::LogicalResult addScalars(mlir::Value v, mlir::Operation *op,
                                 llvm::SmallVector<mlir::AffineMap> &scalars);
  mlir::FailureOr<mlir::Value> bufferOf(mlir::Value tensor, mlir::Operation *reader);

  // Tensors that are laid out for their readers: PackWeights.cpp.
  /// What an exec.relayout reads of memory.
  struct Relaid {
    exec::RelayoutOp op;
    llvm::SmallVector<mlir::Operation *> views = {}; ///< from there to what is laid out, in order
    mlir::Value source = {}, scale = {};             ///< `scale` of f8 that is widened, or null
    bool isOfParameters() const;
  };
  /// The memory that the parts share (or the only one has); `reader` is about to be launched.
  mlir::FailureOr<mlir::Value> laidOut(llvm::ArrayRef<exec::RelayoutOp> relayouts,
                                       mlir::Operation *reader);
  mlir::FailureOr<Relaid> relaid(exec::RelayoutOp op);
  int64_t relayoutBytes(exec::RelayoutOp op);
  mlir::func::FuncOp emptyRelayout(llvm::ArrayRef<mlir::Type> sources, mlir::RankedTensorType type,
                                   exec::LayoutAttr layout);
  mlir::FailureOr<mlir::func::FuncOp> relayoutKernel(const Relaid &from, bool ofOne);
  void packPart(const Relaid &part, mlir::func::FuncOp kernel, mlir::StringAttr to, int64_t bytes);
  mlir::FailureOr<mlir::Value> madeBuffer(mlir::Value made);
  mlir::StringAttr widenedParameter(mlir::linalg::GenericOp widening);
  mlir::FailureOr<mlir::Value> packedWeight(llvm::ArrayRef<Relaid> parts);
  mlir::FailureOr<mlir::Value> stackedBuffer(mlir::ml_program::GlobalLoadConstOp load);

  mlir::FailureOr<mlir::Value> temporary(mlir::RankedTensorType type, mlir::Value tensor);
  void placeStores();
  mlir::LogicalResult storeGlobals();
  mlir::FailureOr<mlir::AffineExpr> bytesOf(mlir::Value tensor);
  mlir::Value placeOf(mlir::Value result);
  mlir::FailureOr<mlir::Value> destinationBuffer(mlir::OpOperand &destination);
  mlir::LogicalResult launchFill(mlir::linalg::FillOp fill, mlir::Value place);
  mlir::AffineExpr flops(llvm::ArrayRef<mlir::Operation *> group);
  mlir::AffineMap map(mlir::AffineExpr e) {
    return mlir::AffineMap::get(0, registers.size(), e, f.getContext());
  }
  mlir::Value get(mlir::StringAttr symbol) {
    mlir::Value &known = gets[symbol];
    if (!known) {
      mlir::OpBuilder at = mlir::OpBuilder::atBlockBegin(&program.getBody().front());
      known = exec::GetOp::create(at, f.getLoc(), exec::BufferType::get(f.getContext()),
                                  mlir::FlatSymbolRefAttr::get(symbol));
    }
    return known;
  }

  ModuleBuffers &shared;
  const Target &target;
  mlir::func::FuncOp f;
  mlir::OpBuilder b;
  exec::ProgramOp program;
  Sizes sizes;
  llvm::SmallVector<llvm::StringRef> registers;
  llvm::DenseMap<mlir::Value, mlir::Value> buffers; // tensor -> !exec.buffer
  llvm::DenseMap<mlir::Value, mlir::Value> outputs; // tensor -> the output it is returned in
  llvm::DenseMap<mlir::StringAttr, mlir::Value> gets;
};

/// Weights that are widened only to be packed need no launch: packing widens them. Nor do codes and
/// scales of parameters, which are made once.
bool isPackedAway(llvm::ArrayRef<mlir::Operation *> group);
} // namespace hadal

#endif // HADAL_PASSES_PROGRAMS_PROGRAMBUILDER_H
