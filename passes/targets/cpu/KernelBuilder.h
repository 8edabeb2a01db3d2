//===- KernelBuilder.h - what the kernel emitters write with ----*- C++ -*-===//
//
// What the kernel emitters write with: short names for index arithmetic, loops and vectors over an
// OpBuilder.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_KERNELBUILDER_H
#define HADAL_PASSES_TARGETS_CPU_KERNELBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace hadal {

/// The register file that kernels are shaped for.
struct VectorShape {
  int64_t lanes = 8;  ///< f32 lanes of a vector register
  int64_t rows = 6;   ///< rows of a matmul tile
  int64_t panel = 16; ///< outputs of a packed weight panel
  bool pairs = false; ///< AVX-512-BF16 multiplies pairs of bf16 (Bf16Pairs.h) faster than f32
  bool tiles = false; ///< AMX multiplies tiles of bf16
};

/// The shape for `lanes` f32 lanes: 4 (NEON, SSE), 8 (AVX2) or 16 (AVX-512).
inline VectorShape vectorShapeFor(int64_t lanes) {
  // AVX-512 has 32 registers: 12 rows of two vectors are 24 accumulators.
  return {lanes, lanes == 16 ? 12 : 6, std::max<int64_t>(16, 2 * lanes)};
}

class KernelBuilder : public mlir::ImplicitLocOpBuilder {
public:
  using Value = mlir::Value;
  using Values = mlir::SmallVector<mlir::Value>;
  KernelBuilder(mlir::Location loc, VectorShape shape)
      : ImplicitLocOpBuilder(loc, loc.getContext()), shape(shape) {}

  const VectorShape shape;

  // Constants.
  Value index(int64_t v) { return mlir::arith::ConstantIndexOp::create(*this, v); }
  Value i32(int64_t v) { return mlir::arith::ConstantOp::create(*this, getI32IntegerAttr(v)); }
  Value f32(float v) { return mlir::arith::ConstantOp::create(*this, getF32FloatAttr(v)); }
  Value f64(double v) { return mlir::arith::ConstantOp::create(*this, getF64FloatAttr(v)); }
  Value zeros(mlir::Type type) { return mlir::arith::ConstantOp::create(*this, getZeroAttr(type)); }

  /// `element` as it is where `v` is one number, a vector of them where it is a vector.
  static mlir::Type like(Value v, mlir::Type element) {
    auto type = mlir::dyn_cast<mlir::VectorType>(v.getType());
    return type ? mlir::VectorType::get(type.getShape(), element) : element;
  }
  /// `number` in each lane that `v` has.
  Value constantLike(Value v, mlir::TypedAttr number) {
    auto type = mlir::dyn_cast<mlir::VectorType>(like(v, number.getType()));
    return mlir::arith::ConstantOp::create(
        *this, type ? mlir::DenseElementsAttr::get(type, mlir::Attribute(number)) : number);
  }

  // Index arithmetic.
  Value add(Value a, Value b) { return mlir::arith::AddIOp::create(*this, a, b); }
  Value add(Value a, int64_t b) { return b ? add(a, index(b)) : a; }
  Value sub(Value a, Value b) { return mlir::arith::SubIOp::create(*this, a, b); }
  Value mul(Value a, Value b) { return mlir::arith::MulIOp::create(*this, a, b); }
  Value mul(Value a, int64_t b) { return b == 1 ? a : mul(a, index(b)); }
  Value div(Value a, Value b) { return mlir::arith::DivUIOp::create(*this, a, b); }
  Value div(Value a, int64_t b) { return b == 1 ? a : div(a, index(b)); }
  Value rem(Value a, Value b) { return mlir::arith::RemUIOp::create(*this, a, b); }
  Value rem(Value a, int64_t b) { return rem(a, index(b)); }
  Value ceilDiv(Value a, int64_t b) { return b == 1 ? a : div(add(a, b - 1), b); }
  Value min(Value a, Value b) { return mlir::arith::MinSIOp::create(*this, a, b); }
  Value max(Value a, Value b) { return mlir::arith::MaxSIOp::create(*this, a, b); }
  Value toIndex(Value i) { return mlir::arith::IndexCastOp::create(*this, getIndexType(), i); }
  Value toI32(Value i) { return mlir::arith::IndexCastOp::create(*this, getI32Type(), i); }
  Value compare(mlir::arith::CmpIPredicate p, Value a, Value b) {
    return mlir::arith::CmpIOp::create(*this, p, a, b);
  }
  Value less(Value a, Value b) { return compare(mlir::arith::CmpIPredicate::slt, a, b); }
  Value equal(Value a, Value b) { return compare(mlir::arith::CmpIPredicate::eq, a, b); }
  Value select(Value c, Value a, Value b) { return mlir::arith::SelectOp::create(*this, c, a, b); }

  // Floats, scalar or vector.
  Value addf(Value a, Value b) { return mlir::arith::AddFOp::create(*this, a, b); }
  Value subf(Value a, Value b) { return mlir::arith::SubFOp::create(*this, a, b); }
  Value mulf(Value a, Value b) { return mlir::arith::MulFOp::create(*this, a, b); }
  Value divf(Value a, Value b) { return mlir::arith::DivFOp::create(*this, a, b); }
  Value maxf(Value a, Value b) { return mlir::arith::MaximumFOp::create(*this, a, b); }
  Value greater(Value a, Value b) {
    return mlir::arith::CmpFOp::create(*this, mlir::arith::CmpFPredicate::OGT, a, b);
  }
  Value fma(Value a, Value b, Value c) { return mlir::vector::FMAOp::create(*this, a, b, c); }
  Value widen(Value v); ///< f16 or bf16 scalar or vector to f32; f32 as it is
  Value splat(Value scalar, int64_t lanes) {
    return mlir::vector::BroadcastOp::create(
        *this, mlir::VectorType::get({lanes}, scalar.getType()), scalar);
  }
  mlir::VectorType vectorOf(int64_t lanes, mlir::Type t) {
    return mlir::VectorType::get({lanes}, t);
  }

  // Memory.
  Value load(Value memref, mlir::ValueRange at) {
    return mlir::memref::LoadOp::create(*this, memref, at);
  }
  void store(Value v, Value memref, mlir::ValueRange at) {
    mlir::memref::StoreOp::create(*this, v, memref, at);
  }
  Value loadVector(Value memref, mlir::ValueRange at, int64_t lanes, int64_t valid = -1);
  /// The lanes that `mask` has, all of them where it is null; zeros in the others.
  Value loadVector(Value memref, mlir::ValueRange at, int64_t lanes, Value mask);
  /// The mask of the first `valid` lanes; null where that is null.
  Value maskOf(int64_t lanes, Value valid);
  void storeVector(Value v, Value memref, mlir::ValueRange at, int64_t valid = -1);
  Value dim(Value memref, int64_t d);
  /// Asks for the line of `at`; `near`: 3 for the first cache, 2 for the second.
  void prefetch(Value memref, mlir::ValueRange at, bool isWrite, unsigned near) {
    mlir::memref::PrefetchOp::create(*this, memref, at, isWrite, near, /*isDataCache=*/true);
  }
  /// The columns of a square block of f32 whose rows are vectors of 4, 8 or 16 lanes, all in
  /// registers.
  Values transpose(Values rows);
  /// As many rows as a vector has lanes, `width` elements each, transposed square by square:
  /// `load(row, d, valid)` gives a row's elements from d on, `store(v, d, i)` takes element d + i
  /// of all rows.
  void transposeRows(mlir::ArrayRef<Value> rows, int64_t width,
                     llvm::function_ref<Value(Value, Value, int64_t)> load,
                     llvm::function_ref<void(Value, Value, int64_t)> store);
  /// A typed view of `scratch` (memref<?xi8>) that begins at byte `offset`; advances `offset` past
  /// it, 64-byte aligned.
  Value scratchView(Value scratch, int64_t &offset, mlir::ArrayRef<int64_t> dims,
                    mlir::Type element);

  // Control.
  void loop(Value lo, Value hi, int64_t step, llvm::function_ref<void(Value)> body);
  void loop(int64_t lo, int64_t hi, int64_t step, llvm::function_ref<void(Value)> body) {
    loop(index(lo), index(hi), step, body);
  }
  Values carry(Value lo, Value hi, int64_t step, Values init,
               llvm::function_ref<Values(Value, Values)> body);
  void when(Value condition, llvm::function_ref<void()> body);
  void choose(Value condition, llvm::function_ref<void()> yes, llvm::function_ref<void()> no);
  /// Runs `body` of the case that `value` equals, if any.
  void switchOn(Value value, mlir::ArrayRef<int64_t> cases, llvm::function_ref<void(int64_t)> body);
  Values choose(Value condition, mlir::TypeRange types, llvm::function_ref<Values()> yes,
                llvm::function_ref<Values()> no);
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_KERNELBUILDER_H
