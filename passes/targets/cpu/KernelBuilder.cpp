//===- KernelBuilder.cpp - vectors, loops and memory of emitters ---------===//

#include "passes/targets/cpu/KernelBuilder.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

Value KernelBuilder::widen(Value v) {
  Type element = getElementTypeOrSelf(v.getType());
  if (element.isF32())
    return v;
  Type wide = isa<VectorType>(v.getType())
                  ? Type(VectorType::get(cast<VectorType>(v.getType()).getShape(), getF32Type()))
                  : Type(getF32Type());
  return arith::ExtFOp::create(*this, wide, v);
}

Value KernelBuilder::loadVector(Value memref, ValueRange at, int64_t lanes, int64_t valid) {
  bool isWhole = valid < 0 || valid == lanes;
  return loadVector(memref, at, lanes, isWhole ? Value() : maskOf(lanes, index(valid)));
}

Value KernelBuilder::loadVector(Value memref, ValueRange at, int64_t lanes, Value mask) {
  auto type = vectorOf(lanes, cast<MemRefType>(memref.getType()).getElementType());
  if (!mask)
    return vector::LoadOp::create(*this, type, memref, at);
  return vector::MaskedLoadOp::create(*this, type, memref, at, mask, zeros(type));
}

Value KernelBuilder::maskOf(int64_t lanes, Value valid) {
  return valid ? vector::CreateMaskOp::create(*this, vectorOf(lanes, getI1Type()), valid) : Value();
}

void KernelBuilder::storeVector(Value v, Value memref, ValueRange at, int64_t valid) {
  int64_t lanes = cast<VectorType>(v.getType()).getNumElements();
  if (valid < 0 || valid == lanes) {
    vector::StoreOp::create(*this, v, memref, at);
    return;
  }
  // LLVM 22 makes a store of four bytes of a masked one of one narrow lane that was truncated.
  if (valid == 1 && cast<VectorType>(v.getType()).getElementTypeBitWidth() < 32)
    return store(vector::ExtractOp::create(*this, v, 0), memref, at);
  vector::MaskedStoreOp::create(*this, memref, at, maskOf(lanes, index(valid)), v);
}

Value KernelBuilder::dim(Value memref, int64_t d) {
  auto type = cast<MemRefType>(memref.getType());
  if (!type.isDynamicDim(d))
    return index(type.getDimSize(d));
  return memref::DimOp::create(*this, memref, d);
}

// Blocks of four lanes first, by the unpack instructions that stay within 128 bits; then whole
// blocks change places.
Values KernelBuilder::transpose(Values rows) {
  int64_t lanes = rows.size();
  auto shuffle = [&](Value a, Value c, function_ref<int64_t(int64_t)> from) {
    SmallVector<int64_t> mask;
    for (int64_t lane = 0; lane < lanes; ++lane)
      mask.push_back(from(lane));
    return vector::ShuffleOp::create(*this, a, c, mask).getResult();
  };
  auto within = [&](Value a, Value c,
                    std::array<int64_t, 4> from) { // 0..3 of a, 4..7 of c, in each four lanes
    return shuffle(a, c, [&](int64_t lane) {
      return lane / 4 * 4 + from[lane % 4] % 4 + from[lane % 4] / 4 * lanes;
    });
  };
  for (int64_t i = 0; i < lanes; i += 4) {
    Value low = within(rows[i], rows[i + 1], {0, 4, 1, 5}),
          high = within(rows[i], rows[i + 1], {2, 6, 3, 7});
    Value low2 = within(rows[i + 2], rows[i + 3], {0, 4, 1, 5}),
          high2 = within(rows[i + 2], rows[i + 3], {2, 6, 3, 7});
    rows[i] = within(low, low2, {0, 1, 4, 5});
    rows[i + 1] = within(low, low2, {2, 3, 6, 7});
    rows[i + 2] = within(high, high2, {0, 1, 4, 5});
    rows[i + 3] = within(high, high2, {2, 3, 6, 7});
  }
  for (int64_t d = 4; d < lanes; d *= 2)
    for (int64_t i = 0; i < lanes; ++i) {
      if (i & d)
        continue;
      Value a = rows[i], c = rows[i + d];
      rows[i] = shuffle(a, c, [&](int64_t lane) { return lane & d ? lanes + lane - d : lane; });
      rows[i + d] = shuffle(a, c, [&](int64_t lane) { return lane & d ? lanes + lane : lane + d; });
    }
  return rows;
}

void KernelBuilder::transposeRows(ArrayRef<Value> rows, int64_t width,
                                  function_ref<Value(Value, Value, int64_t)> load,
                                  function_ref<void(Value, Value, int64_t)> store) {
  int64_t lanes = rows.size(), whole = width / lanes * lanes;
  auto square = [&](Value d, int64_t valid) {
    Values vectors;
    for (Value row : rows)
      vectors.push_back(load(row, d, valid));
    vectors = transpose(vectors);
    for (int64_t i = 0; i < valid; ++i)
      store(vectors[i], d, i);
  };
  loop(0, whole, lanes, [&](Value d) { square(d, lanes); });
  if (whole < width)
    square(index(whole), width - whole);
}

Value KernelBuilder::scratchView(Value scratch, int64_t &offset, ArrayRef<int64_t> dims,
                                 Type element) {
  auto type = MemRefType::get(dims, element);
  Value view = memref::ViewOp::create(*this, type, scratch, index(offset), ValueRange{});
  int64_t bytes = type.getNumElements() * ((element.getIntOrFloatBitWidth() + 7) / 8);
  offset += (bytes + 63) / 64 * 64;
  return view;
}

void KernelBuilder::loop(Value lo, Value hi, int64_t step, function_ref<void(Value)> body) {
  auto op = scf::ForOp::create(*this, lo, hi, index(step));
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.getBody());
  body(op.getInductionVar());
}

Values KernelBuilder::carry(Value lo, Value hi, int64_t step, Values init,
                            function_ref<Values(Value, Values)> body) {
  auto op = scf::ForOp::create(*this, lo, hi, index(step), init);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.getBody());
  Values carried(op.getRegionIterArgs().begin(), op.getRegionIterArgs().end());
  Values next = body(op.getInductionVar(), carried);
  if (!init.empty())
    scf::YieldOp::create(*this, next);
  return Values(op.getResults().begin(), op.getResults().end());
}

void KernelBuilder::when(Value condition, function_ref<void()> body) {
  auto op = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.thenBlock());
  body();
}

void KernelBuilder::choose(Value condition, function_ref<void()> yes, function_ref<void()> no) {
  auto op = scf::IfOp::create(*this, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.thenBlock());
  yes();
  setInsertionPointToStart(op.elseBlock());
  no();
}

void KernelBuilder::switchOn(Value value, ArrayRef<int64_t> cases,
                             function_ref<void(int64_t)> body) {
  auto op = scf::IndexSwitchOp::create(*this, TypeRange{}, value, cases, cases.size());
  OpBuilder::InsertionGuard guard(*this);
  for (auto [i, c] : llvm::enumerate(cases)) {
    setInsertionPointToStart(&op.getCaseRegions()[i].emplaceBlock());
    body(c);
    scf::YieldOp::create(*this);
  }
  setInsertionPointToStart(&op.getDefaultRegion().emplaceBlock());
  scf::YieldOp::create(*this);
}

Values KernelBuilder::choose(Value condition, TypeRange types, function_ref<Values()> yes,
                             function_ref<Values()> no) {
  auto op = scf::IfOp::create(*this, types, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.thenBlock());
  scf::YieldOp::create(*this, yes());
  setInsertionPointToStart(op.elseBlock());
  scf::YieldOp::create(*this, no());
  return Values(op.getResults().begin(), op.getResults().end());
}
