//===- EmitQuantize.cpp - fp8.quantize and fp8.dequantize -----------------===//
//
// Tiles of one column are taken in strips of columns, each lane with a scale of its own; other
// tiles in vectors along their rows, under one scale. A task of quantize is a tile, all tiles of a
// row where they are of one row, or a strip of them; one of dequantize is a row.
//
//===----------------------------------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/Kernel.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace hadal;
using fp8::Format;
using Values = KernelBuilder::Values;

namespace {

/// What both ops say of tiles, and how their tensors are read and written in vectors.
class Tiles {
public:
  template <typename Op>
  Tiles(Kernel &kernel, Op op, Value matrix)
      : kernel(kernel), b(kernel.b), rank(cast<MemRefType>(matrix.getType()).getRank()),
        lanes(b.shape.lanes), bm(op.getBlock()[0]), bk(op.getBlock()[1]), format(op.codeFormat()),
        q(kernel.memory(op.getQ())), scale(kernel.memory(op.getScale())) {
    columns = cast<MemRefType>(matrix.getType()).getDimSize(rank - 1);
    if (bk == 0 || bk > columns)
      bk = columns;
    rows = b.dim(matrix, rank - 2);
    if (op.getOffsets()) {
      offsets = kernel.memory(op.getOffsets());
      groups = op.getOffsets().getType().getDimSize(0) - 1;
    }
  }

protected:
  /// Runs `body` on vectors of columns first .. first+width-1: `together` of them at a time, then
  /// the rest. The body takes a vector's column, its lanes that are there, and its place among
  /// those at a time; it returns what is carried.
  Values
  vectors(Value first, int64_t width, int64_t together, Values carried,
          function_ref<Values(Value column, int64_t valid, int64_t place, Values carried)> body) {
    int64_t step = together * lanes, whole = width / step * step;
    auto several = [&](Value from, int64_t count, Values carried) {
      for (int64_t at = 0; at < count; at += lanes)
        carried = body(b.add(from, at), std::min(lanes, count - at), at / lanes, carried);
      return carried;
    };
    if (whole == step)
      carried = several(first, step, carried);
    else if (whole)
      carried = b.carry(first, b.add(first, whole), step, carried,
                        [&](Value from, Values carried) { return several(from, step, carried); });
    return several(b.add(first, whole), width - whole, carried);
  }

  /// Where an element of a matrix is: in a stack, of matrix `batch`.
  Values at(Value row, Value column) const {
    return batch ? Values{batch, row, column} : Values{row, column};
  }

  /// The row of scales where group `group` begins.
  Value firstTile(Value group) {
    if (bm == 0)
      return group;
    return b.add(b.div(b.toIndex(b.load(offsets, {group})), bm), group);
  }
  /// The last group whose `start` is not above `place`; starts ascend.
  Value groupOf(Value place, function_ref<Value(Value group)> start) {
    return b.carry(
        b.index(0), b.index(llvm::Log2_64_Ceil(groups)), 1, {b.index(0), b.index(groups)},
        [&](Value, Values range) {
          Value middle = b.div(b.add(range[0], range[1]), 2);
          Value isAbove = b.less(place, start(middle));
          return Values{b.select(isAbove, range[0], middle), b.select(isAbove, middle, range[1])};
        })[0];
  }
  /// The rows of tile `tile`, none where no group has such a tile.
  std::pair<Value, Value> rowsOf(Value tile) {
    if (!offsets) {
      if (bm == 0)
        return {b.index(0), rows};
      Value first = b.mul(tile, bm);
      return {first, b.min(b.add(first, bm), rows)};
    }
    Value group = groupOf(tile, [&](Value g) { return firstTile(g); });
    Value first = b.toIndex(b.load(offsets, {group})),
          last = b.toIndex(b.load(offsets, {b.add(group, 1)}));
    if (bm == 0)
      return {first, last};
    first = b.add(first, b.mul(b.sub(tile, firstTile(group)), bm));
    return {first, b.min(b.add(first, bm), last)};
  }
  /// The row of scales of `row`.
  Value tileOf(Value row) {
    if (!offsets)
      return bm ? b.div(row, bm) : b.index(0);
    auto start = [&](Value g) { return b.toIndex(b.load(offsets, {g})); };
    Value group = groupOf(row, start);
    return bm ? b.add(firstTile(group), b.div(b.sub(row, start(group)), bm)) : group;
  }

  Kernel &kernel;
  KernelBuilder &b;
  int64_t rank, lanes, bm, bk, columns, groups = 0;
  Format format;
  Value q, scale, offsets, rows;
  Value batch; ///< the matrix of a stack
};

class Quantizer : Tiles {
public:
  Quantizer(Kernel &kernel, fp8::QuantizeOp op)
      : Tiles(kernel, op, kernel.memory(op.getX())), x(kernel.memory(op.getX())),
        pow2(op.getPow2()) {
    isContiguous = cast<MemRefType>(x.getType()).areTrailingDimsContiguous(1);
  }

  void emit() { bk == 1 ? emitColumns() : bm == 1 ? emitRows() : emitTiles(); }

  /// The tiles of a row from column `first` on, which is a tile's, up to `last`, which is the end
  /// or a tile's first, too; all of them where both are null. Tiles are of one row.
  void quantizeRow(Value row, Value first = {}, Value last = {}) {
    int64_t whole = columns / bk * bk;
    auto tile = [&](Value column, int64_t width) { quantizeTile(row, row, row, column, width); };
    Value begin = first ? first : b.index(0), end = b.index(whole);
    b.loop(begin, last ? b.min(last, end) : end, bk, [&](Value column) { tile(column, bk); });
    if (whole == columns)
      return;
    auto rest = [&] { tile(b.index(whole), columns - whole); };
    last ? b.when(b.less(b.index(whole), last), rest) : rest();
  }

private:
  Value loadX(Value row, Value column, int64_t valid) {
    if (isContiguous)
      return b.widen(b.loadVector(x, at(row, column), lanes, valid));
    Values elements; // a view whose elements are apart
    for (int64_t lane = 0; lane < lanes; ++lane)
      elements.push_back(lane < valid ? b.widen(b.load(x, at(row, b.add(column, lane))))
                                      : b.f32(0));
    return vector::FromElementsOp::create(b, b.vectorOf(lanes, b.getF32Type()), elements);
  }

  void store(Value codes, Value row, Value column, int64_t valid) {
    auto bytes = [&](Value v) -> Value {
      int64_t size = cast<VectorType>(v.getType()).getNumElements();
      return arith::TruncIOp::create(b, b.vectorOf(size, b.getI8Type()), v);
    };
    if (format != Format::E5M6)
      return b.storeVector(bytes(codes), q, at(row, column), valid);
    Value four = b.constantLike(codes, b.getI32IntegerAttr(4));
    b.storeVector(bytes(arith::ShRUIOp::create(b, codes, four)), q, at(row, column), valid);
    // Pairs of lower halves: the second one's stands 8 bits above the first one's. Beside the last
    // code of an odd number are zeros.
    SmallVector<int32_t> kept(lanes, 15);
    std::fill(kept.begin() + valid, kept.end(), 0);
    Value low =
        arith::AndIOp::create(b, codes, arith::ConstantOp::create(b, b.getI32VectorAttr(kept)));
    Value pairs = vector::BitCastOp::create(b, b.vectorOf(lanes / 2, b.getI16Type()), bytes(low));
    Value above = arith::ShRUIOp::create(b, pairs, b.constantLike(pairs, b.getI16IntegerAttr(4)));
    Value place = b.add(b.div(column, 2), columns);
    b.storeVector(bytes(arith::OrIOp::create(b, pairs, above)), q, at(row, place),
                  llvm::divideCeil(valid, 2));
  }

  Value noBits() { return b.zeros(b.vectorOf(lanes, b.getI32Type())); }

  /// Columns column .. column+width-1 of rows m0 .. m1-1 under one scale, which has row `tile`.
  void quantizeTile(Value tile, Value m0, Value m1, Value column, int64_t width) {
    constexpr int64_t chains = 4;
    auto largest = [&](Value row, Values most) {
      return vectors(column, width, chains, most,
                     [&](Value k, int64_t valid, int64_t place, Values most) {
                       most[place] = largerBits(b, most[place], loadX(row, k, valid));
                       return most;
                     });
    };
    Values most(chains, noBits());
    most = bm == 1 ? largest(m0, most) : b.carry(m0, m1, 1, most, largest);
    for (int64_t i = 1; i < chains; ++i)
      most[0] = arith::MaxSIOp::create(b, most[0], most[i]);
    Value amax = vector::ReductionOp::create(b, vector::CombiningKind::MAXSI, most[0]);
    Value found = scaleOf(b, amax, format, pow2);
    b.store(found, scale, at(tile, b.div(column, bk)));
    Value divisor = b.splat(divisorOf(b, found, pow2), lanes);
    encodeRows(amax, m0, m1, [&](Value row, bool isFinite) {
      vectors(column, width, isFinite ? chains : 1, {},
              [&](Value k, int64_t valid, int64_t, Values) {
                Value codes = encode(b, loadX(row, k, valid), divisor, format, pow2, isFinite);
                store(codes, row, k, valid);
                return Values{};
              });
    });
  }

  /// Runs `encodeRow` on the rows of a tile, or of several whose largest number has the bits
  /// `amax`.
  void encodeRows(Value amax, Value m0, Value m1,
                  function_ref<void(Value row, bool isFinite)> encodeRow) {
    auto rowsOfTile = [&](bool isFinite) {
      if (bm == 1)
        return encodeRow(m0, isFinite);
      b.loop(m0, m1, 1, [&](Value row) { encodeRow(row, isFinite); });
    };
    b.choose(
        b.less(amax, b.i32(0x7f800000)), [&] { rowsOfTile(true); }, [&] { rowsOfTile(false); });
  }

  /// A strip of tiles of one column.
  void quantizeStrip(Value tile, Value m0, Value m1, Value column, int64_t width) {
    int64_t count = llvm::divideCeil(width, lanes);
    auto valid = [&](int64_t v) { return std::min(lanes, width - v * lanes); };
    auto from = [&](int64_t v) { return b.add(column, v * lanes); };
    Values most = b.carry(m0, m1, 1, Values(count, noBits()), [&](Value row, Values most) {
      for (int64_t v = 0; v < count; ++v)
        most[v] = largerBits(b, most[v], loadX(row, from(v), valid(v)));
      return most;
    });
    Values divisors;
    for (int64_t v = 0; v < count; ++v) {
      Value found = scaleOf(b, most[v], format, pow2);
      b.storeVector(found, scale, at(tile, from(v)), valid(v));
      divisors.push_back(divisorOf(b, found, pow2));
    }
    for (int64_t v = 1; v < count; ++v)
      most[0] = arith::MaxSIOp::create(b, most[0], most[v]);
    Value amax = vector::ReductionOp::create(b, vector::CombiningKind::MAXSI, most[0]);
    encodeRows(amax, m0, m1, [&](Value row, bool isFinite) {
      for (int64_t v = 0; v < count; ++v) {
        Value x = loadX(row, from(v), valid(v));
        store(encode(b, x, divisors[v], format, pow2, isFinite), row, from(v), valid(v));
      }
    });
  }

  /// Runs `body` on part `part` of columns that are cut in parts of `width`.
  void ofPart(Value part, int64_t width, function_ref<void(Value column, int64_t width)> body) {
    int64_t parts = llvm::divideCeil(columns, width), rest = columns % width;
    Value column = b.mul(part, width);
    if (!rest)
      return body(column, width);
    if (parts == 1)
      return body(column, rest);
    b.choose(
        b.equal(part, b.index(parts - 1)), [&] { body(column, rest); },
        [&] { body(column, width); });
  }

  /// Tasks are parts of rows of tiles: `body` takes the tile's row of scales and the part.
  void emitParts(int64_t parts, function_ref<void(Value tile, Value part)> body) {
    Value tiles = b.dim(scale, rank - 2);
    b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
      Value tile = b.div(task, parts), part = b.rem(task, parts);
      if (rank == 3)
        batch = b.div(tile, tiles), tile = b.rem(tile, tiles);
      body(tile, part);
    });
    AffineExpr tasks = kernel.resultDim(1, rank - 2) * parts;
    kernel.finish({rank == 3 ? tasks * kernel.resultDim(1, 0) : tasks}, 0);
  }

  void emitColumns() {
    // Eight vectors of largest numbers stay in registers; strips begin at even columns.
    int64_t width = 8 * lanes;
    emitParts(llvm::divideCeil(columns, width), [&](Value tile, Value part) {
      auto [m0, m1] = rowsOf(tile);
      ofPart(part, width, [&, m0 = m0, m1 = m1](Value column, int64_t width) {
        quantizeStrip(tile, m0, m1, column, width);
      });
    });
  }

  void emitTiles() {
    emitParts(llvm::divideCeil(columns, bk), [&](Value tile, Value part) {
      auto [m0, m1] = rowsOf(tile);
      ofPart(part, bk, [&, m0 = m0, m1 = m1](Value column, int64_t width) {
        quantizeTile(tile, m0, m1, column, width);
      });
    });
  }

  void emitRows() {
    emitParts(1, [&](Value row, Value) { quantizeRow(row); });
  }

  Value x;
  bool pow2, isContiguous;
};

class Dequantizer : Tiles {
public:
  Dequantizer(Kernel &kernel, fp8::DequantizeOp op)
      : Tiles(kernel, op, kernel.memory(op.getResult())), out(kernel.memory(op.getResult())),
        codes(op.getQ().getType().getElementType()) {}

  void emit() {
    b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
      Value row = task;
      if (rank == 3)
        batch = b.div(task, rows), row = b.rem(task, rows);
      Value tile = tileOf(row);
      if (bk == 1)
        return widenColumns(row, b.index(0), columns, [&](Value column, int64_t valid) {
          return b.loadVector(scale, at(tile, column), lanes, valid);
        });
      auto part = [&](Value column, int64_t width) {
        Value one = b.splat(b.load(scale, at(tile, b.div(column, bk))), lanes);
        widenColumns(row, column, width, [&](Value, int64_t) { return one; });
      };
      b.loop(0, columns / bk * bk, bk, [&](Value column) { part(column, bk); });
      if (int64_t rest = columns % bk)
        part(b.index(columns - rest), rest);
    });
    AffineExpr tasks = kernel.resultDim(0, rank - 2);
    kernel.finish({rank == 3 ? tasks * kernel.resultDim(0, 0) : tasks}, 0);
  }

private:
  Value loadCodes(Value row, Value column, int64_t valid) {
    Value first = b.loadVector(q, at(row, column), lanes, valid);
    if (format != Format::E5M6)
      return decodeF8(b, first, codes);
    // The upper 12 bits of an f16: 8, then 4.
    Type i16 = b.getI16Type();
    auto constant = [&](Value like, int64_t v) {
      return b.constantLike(like, b.getI16IntegerAttr(v));
    };
    Value place = b.add(b.div(column, 2), columns);
    Value pairs = b.loadVector(q, at(row, place), lanes / 2, llvm::divideCeil(valid, 2));
    pairs = arith::ExtUIOp::create(b, b.vectorOf(lanes / 2, i16), pairs);
    pairs = arith::OrIOp::create(b, pairs, arith::ShLIOp::create(b, pairs, constant(pairs, 4)));
    pairs = arith::AndIOp::create(b, pairs, constant(pairs, 0x0f0f));
    Value low = vector::BitCastOp::create(b, b.vectorOf(lanes, b.getI8Type()), pairs);
    Value high = arith::ExtUIOp::create(b, b.vectorOf(lanes, i16), first);
    low = arith::ExtUIOp::create(b, b.vectorOf(lanes, i16), low);
    Value bits = arith::OrIOp::create(b, arith::ShLIOp::create(b, high, constant(high, 8)),
                                      arith::ShLIOp::create(b, low, constant(low, 4)));
    return b.widen(arith::BitcastOp::create(b, b.vectorOf(lanes, b.getF16Type()), bits));
  }

  void widenColumns(Value row, Value column, int64_t width,
                    function_ref<Value(Value column, int64_t valid)> scales) {
    vectors(column, width, 4, {}, [&](Value k, int64_t valid, int64_t, Values) {
      b.storeVector(b.mulf(loadCodes(row, k, valid), scales(k, valid)), out, at(row, k), valid);
      return Values{};
    });
  }

  Value out;
  Type codes;
};

} // namespace

void hadal::quantizeRow(Kernel &kernel, fp8::QuantizeOp op, Value row, Value first, Value last) {
  Quantizer(kernel, op).quantizeRow(row, first, last);
}

LogicalResult hadal::emitQuantize(Kernel &kernel, Operation *op) {
  if (failed(kernel.wantMemory(op, op->getOperands())))
    return failure();
  if (auto quantize = dyn_cast<fp8::QuantizeOp>(op))
    Quantizer(kernel, quantize).emit();
  else
    Dequantizer(kernel, cast<fp8::DequantizeOp>(op)).emit();
  return success();
}
