// Gradients of weights: OUT[n, k] += sum over rows t, ascending, of gradient[t, n] * X[t, k].
//
// One operand runs along the vectors, the other is broadcast. Where OUT lies in panels of outputs,
// vectors run over n (a panel of the gradient) and k is broadcast; where it lies plainly, vectors
// run over k and n is broadcast. Both operands are rows of T, so a block of T is copied first:
// vectors as [t][panel], broadcast values as [tile][t][rows of the tile]. Then the inner loop reads
// two streams. OUT's tile stays in registers over a block and waits in memory between blocks, so
// each element remains one chain of fused multiply-adds that starts from init.
//
//   task   one expert: vectors' panels [p0, p1) x broadcast range [a0, a1)
//     block of rows      copy the range and the panels
//       panel            tiles of 6 x 16 (or 8 x 32)
#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"
#include "passes/targets/cpu/ProductTasks.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

class WeightGradientEmitter {
public:
  WeightGradientEmitter(Kernel &kernel, WeightGradient g) : kernel(kernel), b(kernel.b), g(g) {}
  LogicalResult emit();

private:
  /// One operand: rows of `size` values, row t at source[t] if there is one.
  struct Operand {
    Value memory, source;
    int64_t size;
  };
  struct Place {
    Value expert;        // or null
    Value panel, copied; // of the vectors; among the copied ones
    Value first;         // of the broadcast values
    Value isFirst;       // block of rows
  };
  Value rowOf(const Operand &operand, Value t) {
    return operand.source ? b.toIndex(b.load(operand.source, {t})) : t;
  }
  void emitTask(Value expert, Value from, Value to, Value chunk, Value range);
  void copyRange(Value t0, Value count, Value a0, Value tiles, Value isLast);
  void copyPanels(Value t0, Value count, Value p0, Value p1);
  void tile(int64_t height, Value tileAt, Value count, Place at);
  Value place(Value base, Value panel, Value expert, Value a, int64_t vector, bool store, Value v,
              int64_t valid);
  void onLastPanel(Value panel, function_ref<void(bool)> body);
  int64_t validLanes(bool last, int64_t vector) {
    return last ? std::clamp<int64_t>(vectorSide.size % panel - vector * b.shape.lanes, 0,
                                      b.shape.lanes)
                : b.shape.lanes;
  }

  Kernel &kernel;
  KernelBuilder &b;
  WeightGradient g;
  Operand broadcastSide, vectorSide;
  Value out, init; // init: null where out holds it or it is zero
  bool inPanels = false, zero = false, inPlace = false;
  int64_t panel = 0, vectors = 0, panels = 0;
  int64_t height = 0, range = 0; // of a tile, of a task; broadcast values
  int64_t panelsOfTask = 1;
  static constexpr int64_t block = 256; // rows
  Value copiedRange, copiedPanels;
};

void WeightGradientEmitter::onLastPanel(Value at, function_ref<void(bool)> body) {
  if (vectorSide.size % panel == 0)
    return body(false);
  b.choose(
      b.equal(at, b.index(panels - 1)), [&] { body(true); }, [&] { body(false); });
}

/// Loads or stores one vector of `memory` (out or init).
Value WeightGradientEmitter::place(Value memory, Value panelAt, Value expert, Value a,
                                   int64_t vector, bool store, Value v, int64_t valid) {
  int64_t lanes = b.shape.lanes;
  SmallVector<Value> at;
  if (cast<MemRefType>(memory.getType()).getRank() == 1) { // panels
    PanelLayout layout = PanelLayout::of(g.n, g.k, b.getF32Type(), 1, b.shape);
    Value matrix = expert ? b.add(b.mul(expert, panels), panelAt) : panelAt;
    at = {b.add(b.add(b.mul(matrix, layout.panelElements()), b.mul(a, panel)), vector * lanes)};
    // Lanes without an output are there, and hold zero.
    if (store && valid < lanes) {
      SmallVector<bool> present;
      for (int64_t lane = 0; lane < lanes; ++lane)
        present.push_back(lane < valid);
      Value mask = arith::ConstantOp::create(
          b, DenseElementsAttr::get(b.vectorOf(lanes, b.getI1Type()), present));
      v = arith::SelectOp::create(b, mask, v, b.zeros(v.getType()));
    }
    valid = lanes;
  } else {
    at = {a, b.add(b.mul(panelAt, panel), vector * lanes)};
    if (expert)
      at.insert(at.begin(), expert);
  }
  if (!store)
    return valid ? b.loadVector(memory, at, lanes, valid)
                 : b.zeros(b.vectorOf(lanes, b.getF32Type()));
  if (valid)
    b.storeVector(v, memory, at, valid);
  return {};
}

/// [tile][t][height], tiles a line further apart than they are long: powers of two would meet in
/// one set of the cache.
void WeightGradientEmitter::copyRange(Value t0, Value count, Value a0, Value tiles, Value isLast) {
  int64_t stride = block * height + 16, rest = broadcastSide.size % height;
  auto copy = [&](Value row, Value column, Value to, int64_t n) {
    for (int64_t i = 0; i < n;) {
      int64_t width = n - i >= 8 ? 8 : n - i >= 4 ? 4 : n - i >= 2 ? 2 : 1;
      b.storeVector(b.loadVector(broadcastSide.memory, {row, b.add(column, i)}, width), copiedRange,
                    {b.add(to, i)});
      i += width;
    }
  };
  b.loop(b.index(0), count, 1, [&](Value t) {
    Value row = rowOf(broadcastSide, b.add(t0, t)), at = b.mul(t, height);
    b.loop(b.index(0), tiles, 1, [&](Value i) {
      copy(row, b.add(a0, b.mul(i, height)), b.add(b.mul(i, stride), at), height);
    });
    if (rest)
      b.when(isLast, [&] {
        copy(row, b.add(a0, b.mul(tiles, height)), b.add(b.mul(tiles, stride), at), rest);
      });
  });
}

/// [panel][t][lanes], a row after the other: its panels stand side by side.
void WeightGradientEmitter::copyPanels(Value t0, Value count, Value p0, Value p1) {
  int64_t lanes = b.shape.lanes;
  bool partial = vectorSide.size % panel;
  Value whole = partial ? b.min(p1, b.index(panels - 1)) : p1;
  b.loop(b.index(0), count, 1, [&](Value t) {
    Value row = rowOf(vectorSide, b.add(t0, t));
    auto copy = [&](Value p, bool last) {
      for (int64_t v = 0; v < vectors; ++v) {
        int64_t valid = validLanes(last, v);
        Value loaded = valid ? b.loadVector(vectorSide.memory,
                                            {row, b.add(b.mul(p, panel), v * lanes)}, lanes, valid)
                             : b.zeros(b.vectorOf(lanes, b.getF32Type()));
        b.storeVector(loaded, copiedPanels, {b.sub(p, p0), t, b.index(v * lanes)});
      }
    };
    b.loop(p0, whole, 1, [&](Value p) { copy(p, false); });
    if (partial)
      b.when(b.less(whole, p1), [&] { copy(whole, true); });
  });
}

/// `tileAt` counts from the beginning of the range; `tileRows` is its height or what is left of the
/// operand.
void WeightGradientEmitter::tile(int64_t tileRows, Value tileAt, Value count, Place at) {
  int64_t lanes = b.shape.lanes;
  Type type = b.vectorOf(lanes, b.getF32Type());
  Value a0 = b.add(at.first, b.mul(tileAt, height)), base = b.mul(tileAt, block * height + 16);
  onLastPanel(at.panel, [&](bool last) {
    auto load = [&](Value memory) {
      Values acc;
      for (int64_t r = 0; r < tileRows; ++r)
        for (int64_t v = 0; v < vectors; ++v)
          acc.push_back(
              place(memory, at.panel, at.expert, b.add(a0, r), v, false, {}, validLanes(last, v)));
      return acc;
    };
    Values acc;
    if (inPlace)
      acc = load(out);
    else
      acc = b.choose(
          at.isFirst, SmallVector<Type>(tileRows * vectors, type),
          [&] { return zero ? Values(tileRows * vectors, b.zeros(type)) : load(init); },
          [&] { return load(out); });
    auto step = [&](Value t, Values acc) {
      Values row;
      for (int64_t v = 0; v < vectors; ++v)
        row.push_back(b.loadVector(copiedPanels, {at.copied, t, b.index(v * lanes)}, lanes));
      Value from = b.add(base, b.mul(t, height));
      for (int64_t r = 0; r < tileRows; ++r) {
        Value x = b.splat(b.load(copiedRange, {b.add(from, r)}), lanes);
        for (int64_t v = 0; v < vectors; ++v)
          acc[r * vectors + v] = b.fma(x, row[v], acc[r * vectors + v]);
      }
      return acc;
    };
    // The next tile's sums come from further away than those of the loop.
    if (inPanels)
      for (int64_t line = 0; line < tileRows * panel; line += 16) {
        Value next = b.add(b.mul(b.add(a0, tileRows), panel), line);
        Value matrix = at.expert ? b.add(b.mul(at.expert, panels), at.panel) : at.panel;
        PanelLayout layout = PanelLayout::of(g.n, g.k, b.getF32Type(), 1, b.shape);
        b.prefetch(out, b.add(b.mul(matrix, layout.panelElements()), next), /*isWrite=*/true, 3);
      }
    Value main = b.mul(b.div(count, 4), 4);
    acc = b.carry(b.index(0), main, 4, acc, [&](Value t, Values acc) {
      for (int64_t i = 0; i < 4; ++i)
        acc = step(b.add(t, i), acc);
      return acc;
    });
    acc = b.carry(main, count, 1, acc, step);
    for (int64_t r = 0; r < tileRows; ++r)
      for (int64_t v = 0; v < vectors; ++v)
        place(out, at.panel, at.expert, b.add(a0, r), v, true, acc[r * vectors + v],
              validLanes(last, v));
  });
}

void WeightGradientEmitter::emitTask(Value expert, Value from, Value to, Value chunk,
                                     Value rangeAt) {
  int64_t ranges = llvm::divideCeil(broadcastSide.size, range), rest = broadcastSide.size % height;
  Value a0 = b.mul(rangeAt, range), isLast = b.equal(rangeAt, b.index(ranges - 1));
  Value tiles = b.div(b.min(b.sub(b.index(broadcastSide.size), a0), b.index(range)), height);
  Value p0 = b.mul(chunk, panelsOfTask), p1 = b.min(b.add(p0, panelsOfTask), b.index(panels));
  // Without rows there is still something to write where init is elsewhere.
  Value end = inPlace ? to : b.max(to, b.add(from, 1));
  b.loop(from, end, block, [&](Value t0) {
    Value count = b.min(b.sub(to, t0), b.index(block));
    copyRange(t0, count, a0, tiles, isLast);
    copyPanels(t0, count, p0, p1);
    b.loop(p0, p1, 1, [&](Value p) {
      Place at{expert, p, b.sub(p, p0), a0, b.equal(t0, from)};
      b.loop(b.index(0), tiles, 1, [&](Value i) { tile(height, i, count, at); });
      bool padded = inPanels && !inPlace && broadcastSide.size % 2;
      if (rest || padded)
        b.when(isLast, [&] {
          if (rest)
            tile(rest, tiles, count, at);
          if (padded) // panels have an even number of rows
            for (int64_t v = 0; v < vectors; ++v)
              place(out, p, expert, b.index(broadcastSide.size), v, true,
                    b.zeros(b.vectorOf(b.shape.lanes, b.getF32Type())), b.shape.lanes);
        });
    });
  });
}

LogicalResult WeightGradientEmitter::emit() {
  out = kernel.memory(g.result());
  Value rows = kernel.memory(g.rows), gradient = kernel.memory(g.gradient);
  if (g.init)
    init = kernel.memory(g.init);
  if (!out || !rows || !gradient || (g.init && !init))
    return kernel.tensors.emitError(
        "weight gradient kernel wants its operands to be arguments or views of them");
  zero = !g.init;
  inPlace = init == out;
  inPanels = kernel.inPanels(g.result());
  if (g.init && kernel.inPanels(g.init) != inPanels)
    return kernel.tensors.emitError("weight gradient kernel wants init and result to lie alike");
  Value source = g.source ? kernel.memory(g.source) : Value();
  Operand x{rows, source, g.k}, dy{gradient, {}, g.n};
  broadcastSide = inPanels ? x : dy, vectorSide = inPanels ? dy : x;
  panel = b.shape.panel, vectors = panel / b.shape.lanes, height = b.shape.rows;
  panels = llvm::divideCeil(vectorSide.size, panel);
  // Copied values, copied panels and the part of OUT stay in the second cache: 1.25 MB where
  // vectors are as wide as in processors that have 2 MB, half a megabyte elsewhere. Smaller
  // matrices are cut further, for there to be tasks enough.
  bool wide = b.shape.lanes == 16;
  // Parts alike: a short one at the end would copy the other operand for little.
  auto evenly = [](int64_t size, int64_t most) {
    return llvm::divideCeil(size, llvm::divideCeil(size, most));
  };
  range =
      llvm::alignTo(evenly(broadcastSide.size, llvm::alignTo(wide ? 512 : 256, height)), height);
  panelsOfTask = evenly(panels, (wide ? 256 : 128) / panel);
  int64_t chunks = llvm::divideCeil(panels, panelsOfTask);
  while (range >= 16 * height && g.batch * chunks * llvm::divideCeil(broadcastSide.size, range) < 8)
    range = llvm::alignTo(range / 2, height);

  int64_t scratchBytes = 0;
  copiedRange = b.scratchView(kernel.scratch, scratchBytes,
                              {(range / height + 1) * (block * height + 16)}, b.getF32Type());
  copiedPanels =
      b.scratchView(kernel.scratch, scratchBytes, {panelsOfTask, block, panel}, b.getF32Type());
  int64_t ranges = llvm::divideCeil(broadcastSide.size, range);
  auto tasks =
      forWeightGradientTasks(kernel, g, inPlace, chunks, ranges,
                             [&](Value expert, Value from, Value to, Value chunk, Value rangeAt) {
                               emitTask(expert, from, to, chunk, rangeAt);
                             });
  kernel.finish(tasks, scratchBytes);
  return success();
}

} // namespace

LogicalResult hadal::emitWeightGradient(Kernel &kernel, const WeightGradient &gradient) {
  return WeightGradientEmitter(kernel, gradient).emit();
}
