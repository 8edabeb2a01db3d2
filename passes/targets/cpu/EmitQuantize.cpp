// fp8.quantize and fp8.dequantize between buffers. A task is a row of blocks.
#include "dialects/fp8/Fp8.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/Kernel.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

Value hadal::encodeE4M3(KernelBuilder &b, Value x) {
  Type i32 = b.getI32Type();
  Value bits = arith::BitcastOp::create(b, i32, x);
  Value sign = arith::AndIOp::create(b, arith::ShRUIOp::create(b, bits, b.i32(24)), b.i32(0x80));
  Value size = math::AbsFOp::create(b, x);
  Value isNumber = arith::CmpFOp::create(b, arith::CmpFPredicate::ORD, x, x);
  size = arith::MinNumFOp::create(b, size, b.f32(448));
  Value sizeBits = arith::BitcastOp::create(b, i32, size);
  // Normal codes: round to nearest even at mantissa bit 20, then move the exponent's bias from 127
  // to 7.
  Value odd = arith::AndIOp::create(b, arith::ShRUIOp::create(b, sizeBits, b.i32(20)), b.i32(1));
  Value rounded = b.add(b.add(sizeBits, b.i32(0x7ffff)), odd);
  Value normal = b.sub(arith::ShRUIOp::create(b, rounded, b.i32(20)), b.i32(120 << 3));
  // Below 2^-6 codes step by 2^-9, which is the last bit of 2^14.
  Value shifted = b.addf(size, b.f32(16384));
  Value small = b.sub(arith::BitcastOp::create(b, i32, shifted),
                      arith::BitcastOp::create(b, i32, b.f32(16384)));
  Value isSmall = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, size, b.f32(0x1p-6f));
  Value code = b.select(isNumber, b.select(isSmall, small, normal), b.i32(0x7f));
  return arith::TruncIOp::create(b, b.getI8Type(), arith::OrIOp::create(b, code, sign));
}

static void emitQuantizeOp(Kernel &kernel, fp8::QuantizeOp op) {
  KernelBuilder &b = kernel.b;
  Value x = kernel.memory(op.getX()), q = kernel.memory(op.getQ()),
        scale = kernel.memory(op.getScale());
  int64_t blockM = op.getBlock()[0], blockK = op.getBlock()[1];
  Value rows = b.dim(x, 0), columns = b.dim(x, 1);
  b.loop(kernel.begin, kernel.end, 1, [&](Value blockRow) {
    Value m0 = b.mul(blockRow, blockM), m1 = b.min(b.add(m0, blockM), rows);
    b.loop(b.index(0), b.ceilDiv(columns, blockK), 1, [&](Value blockColumn) {
      Value k0 = b.mul(blockColumn, blockK), k1 = b.min(b.add(k0, blockK), columns);
      Value largest = b.carry(m0, m1, 1, {b.f32(0)}, [&](Value m, Values most) {
        return b.carry(k0, k1, 1, most, [&](Value k, Values most) {
          return Values{b.maxf(most[0], math::AbsFOp::create(b, b.load(x, {m, k})))};
        });
      })[0];
      Value isZero = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, largest, b.f32(0));
      Value s = b.select(isZero, b.f32(1), b.divf(largest, b.f32(448)));
      b.store(s, scale, {blockRow, blockColumn});
      b.loop(m0, m1, 1, [&](Value m) {
        b.loop(k0, k1, 1, [&](Value k) {
          b.store(encodeE4M3(b, b.divf(b.load(x, {m, k}), s)), q, {m, k});
        });
      });
    });
  });
  kernel.finish({kernel.resultDim(1, 0)}, 0);
}

static void emitDequantizeOp(Kernel &kernel, fp8::DequantizeOp op) {
  KernelBuilder &b = kernel.b;
  Value q = kernel.memory(op.getQ()), scale = kernel.memory(op.getScale()),
        out = kernel.memory(op.getResult());
  auto type = cast<RankedTensorType>(op.getResult().getType());
  Type format = cast<RankedTensorType>(op.getQ().getType()).getElementType();
  int64_t rank = type.getRank(), blockM = op.getBlock()[0], blockK = op.getBlock()[1];
  Value rows = b.dim(out, rank - 2), columns = b.dim(out, rank - 1);
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    SmallVector<Value> batch;
    Value m = task;
    if (rank == 3) {
      batch.push_back(b.div(task, rows));
      m = b.rem(task, rows);
    }
    auto at = [&](Value i, Value j) {
      SmallVector<Value> index(batch);
      index.append({i, j});
      return index;
    };
    b.loop(b.index(0), columns, 1, [&](Value k) {
      Value s = b.load(scale, at(b.div(m, blockM), b.div(k, blockK)));
      b.store(b.mulf(decodeF8(b, b.load(q, at(m, k)), format), s), out, at(m, k));
    });
  });
  AffineExpr tasks = kernel.resultDim(0, rank - 2);
  if (rank == 3)
    tasks = tasks * kernel.resultDim(0, 0);
  kernel.finish({tasks}, 0);
}

/// What the kernels below do not know.
template <typename Op> static bool isNew(Op op) {
  return op.getOffsets() || op.getPow2() || op.codeFormat() != fp8::Format::E4M3 ||
         llvm::is_contained(op.getBlock(), 0);
}

LogicalResult hadal::emitQuantize(Kernel &kernel, Operation *op) {
  if (auto quantize = dyn_cast<fp8::QuantizeOp>(op);
      quantize && (isNew(quantize) || quantize.getX().getType().getRank() != 2))
    return op->emitOpError("has no kernel yet");
  if (auto dequantize = dyn_cast<fp8::DequantizeOp>(op); dequantize && isNew(dequantize))
    return op->emitOpError("has no kernel yet");
  if (failed(kernel.wantMemory(op, op->getOperands())))
    return failure();
  if (auto quantize = dyn_cast<fp8::QuantizeOp>(op))
    emitQuantizeOp(kernel, quantize);
  else
    emitDequantizeOp(kernel, cast<fp8::DequantizeOp>(op));
  return success();
}
