//===- HopperLowering.h - what both lowerings of hopper ops share ---------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_HOPPERLOWERING_H
#define HADAL_PASSES_TARGETS_HOPPER_HOPPERLOWERING_H

#include "dialects/hopper/Hopper.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

namespace hadal::hopper {

/// A matrix descriptor of wgmma but for its address: rows of 128 bytes, swizzled, eight of them
/// 1024 bytes. PTX ISA 8.8, "Matrix descriptor format".
inline constexpr int64_t kDescriptor =
    (int64_t(1) << 62) | (int64_t(1024 >> 4) << 32) | (int64_t(1) << 16);

/// Bytes of a number or a vector that a thread loads or stores; its alignment, too.
inline unsigned sharedBytes(mlir::Type type) {
  auto vector = mlir::dyn_cast<mlir::VectorType>(type);
  return mlir::getElementTypeOrSelf(type).getIntOrFloatBitWidth() / 8 *
         (vector ? vector.getNumElements() : 1);
}

/// Rewrites the hopper ops of a kernel one by one. Who derives from it writes what differs.
class Lowering {
public:
  using Value = mlir::Value;
  explicit Lowering(mlir::func::FuncOp kernel) : kernel(kernel), b(kernel.getLoc(), kernel) {}
  virtual ~Lowering() = default;

  /// All of them; false where there are none.
  bool run();

protected:
  /// Replaces an op that is not arithmetic alone; a dropped await alone comes here, too.
  virtual void lower(mlir::Operation *op) = 0;
  virtual Value threadId() = 0;
  /// setmaxnreg.
  virtual void setRegisters(RoleOp role) = 0;

  Value i32(int64_t v) {
    return mlir::arith::ConstantOp::create(b, b.getI32IntegerAttr(int32_t(v)));
  }
  Value i64(int64_t v) { return mlir::arith::ConstantOp::create(b, b.getI64IntegerAttr(v)); }
  Value add(Value x, Value y) { return mlir::arith::AddIOp::create(b, x, y); }
  Value shiftRight(Value x, int64_t bits) { return mlir::arith::ShRUIOp::create(b, x, i32(bits)); }
  /// Byte offset in shared memory of a stage's barrier.
  Value barrier(Value pipeline, llvm::StringRef side, Value stage);
  /// The descriptor of what begins at this byte of shared memory; further k by whole bytes.
  Value descriptor(Value byte);
  Value further(Value descriptor, int64_t bytes) {
    return bytes ? mlir::arith::AddIOp::create(b, descriptor, i64(bytes >> 4)).getResult()
                 : descriptor;
  }

  /// How many groups of products may go on after an await: those begun after its own, and not
  /// awaited before.
  int64_t goingOn(AwaitOp await) const { return later.lookup(await); }

  mlir::func::FuncOp kernel;
  mlir::ImplicitLocOpBuilder b; ///< where the op is that is being lowered

private:
  bool lowerArithmetic(mlir::Operation *op);
  void countLaterProducts();
  void lowerRole(RoleOp role);

  llvm::DenseMap<mlir::Operation *, int64_t> later; ///< of each await
};

} // namespace hadal::hopper

#endif // HADAL_PASSES_TARGETS_HOPPER_HOPPERLOWERING_H
