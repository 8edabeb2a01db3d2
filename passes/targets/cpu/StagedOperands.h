//===- StagedOperands.h - operands of a product as its tiles read them ----===//
//
// Rows and panels of weights are decoded (or rounded halves joined to pairs) once into scratch,
// for many tiles: f32 step by step, or two steps at a time as pairs of bf16 (Bf16Pairs.h), of which
// the earlier one is the upper half; for AMX, whose order is its own, the lower one.
//
//   rows    [row][steps]             a row of the left operand after the other
//   panels  [panel][steps][outputs]  of the right one
//   scales  [row][parts]; [panel][parts][outputs] where they differ from output to output
//
// A sum falls into parts, each of which has its place here, filled up with zeros to a multiple of
// four steps, or of those of an AMX tile: they add nothing to a chain that starts from zero.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_TARGETS_CPU_STAGEDOPERANDS_H
#define HADAL_PASSES_TARGETS_CPU_STAGEDOPERANDS_H

#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"

namespace hadal {

/// The parts of a sum over `size` steps: `length` steps each that share scales; a tile's last one
/// and the sum's last tile may be short.
struct SumParts {
  int64_t size, tile, length;
  int64_t unit = 4; ///< a part's place is a multiple of so many steps

  /// Of a product of codes.
  static SumParts of(const Product &p, int64_t unit = 4);
  /// One that is not promoted, cut into parts that go on with the same chain.
  static SumParts of(int64_t size, int64_t length) { return {size, size, std::min(size, length)}; }
  int64_t ofTile() const { return llvm::divideCeil(tile, length); }
  int64_t count() const { return size / tile * ofTile() + llvm::divideCeil(size % tile, length); }
  int64_t padded() const { return llvm::alignTo(length, unit); } ///< steps that a part takes here
  /// True if all parts have a multiple of `steps` steps.
  bool areMultiples(int64_t steps) const {
    return tile % length == 0 && length % steps == 0 && size % steps == 0;
  }
  mlir::Value tileOf(KernelBuilder &b, mlir::Value part) const { return b.div(part, ofTile()); }
  mlir::Value begin(KernelBuilder &b, mlir::Value part) const;
  mlir::Value steps(KernelBuilder &b, mlir::Value part) const;
};

/// One thread at a time.
class StagedOperands {
public:
  using Value = mlir::Value;
  /// `pairs`: as bf16, for dotPairs or AMX.
  StagedOperands(Kernel &kernel, llvm::ArrayRef<Product> products, bool pairs);

  /// Finds what the product reads; reports what is missing.
  mlir::LogicalResult findMemory();
  /// Takes scratch for `rows` rows and `panels` panels of `parts` parts at a time.
  void place(int64_t rows, int64_t panels, const SumParts &parts, int64_t atOnce, int64_t &offset);
  /// The same for `rows` rows of the whole sum, as f32 unless these are pairs in memory, too: for
  /// weights that are decoded in registers.
  void placeWhole(int64_t rows, const SumParts &parts, int64_t &offset);

  /// Parts [t0, t1) of `count` rows from `row` on; those beyond `last` are row `last` again.
  void stageRows(Value row, Value count, Value last, Value batch, Value t0, Value t1);
  /// Those of a panel, as the panel `slot` here.
  void stagePanel(Value panel, Value slot, Value batch, Value t0, Value t1);
  /// All parts of rows, for the weights as they are stored.
  void stageWhole(Value row, Value count, Value last, Value batch);

  /// Asks for a share of codes that are staged later: those of `panelCount` panels from `panel` on
  /// and of the steps of `atOnce` parts from part `t` on, as they are stored; share `share` of
  /// `shares`.
  void prefetch(Value batch, Value panel, int64_t panelCount, Value t, int64_t atOnce, Value share,
                Value shares);
  /// True if they come from memory for a task alone.
  bool prefetches() const { return lie == Lie::Plain && isCode(); }

  /// What is staged for lanes: one number (or pair) of a row, a vector of a panel's numbers (or
  /// pairs). `step` counts f32 or pairs, from the first part's first one on.
  Value left(Value row, Value step);
  Value right(Value slot, Value step, int64_t vector);
  /// Of stageWhole, and of weights in memory. Step `k` of the panel that begins at `base`: the
  /// vectors of k and k + 1, or of their pairs and null; `count` vectors in one.
  Value leftWhole(Value row, Value step);
  std::pair<Value, Value> rightInMemory(Value base, Value k, int64_t vector, int64_t count = 1);

  /// Scales of a row's and a vector of outputs' part, in all lanes. Part `t` counts from `t0` on
  /// for rows and for panels that are staged. `whole`: of stageWhole; `slot`: null where the panel
  /// is not staged.
  Value leftScale(Value row, Value t, bool whole);
  Value rightScale(Value panel, Value slot, Value batch, Value part, Value t, int64_t vector);

  int64_t vectors() const { return layout.panel / b.shape.lanes; } ///< of a panel
  /// Which product a panel's vector belongs to, and its first output.
  unsigned productOf(int64_t vector) const { return vector / (vectors() / products.size()); }
  Value columnOf(Value panel, int64_t vector);
  /// True if tiles may read the weights from memory, two steps at a time.
  bool readsInRegisters() const { return lie == Lie::Packed && hasUniformScales(); }
  bool hasLeftScale() const { return bool(first.leftScale); }
  int64_t unit() const { return pairs ? 2 : 1; } ///< steps of an element
  /// All that is staged, for AMX: element (row, step) of rows and (slot, step, output) of panels.
  Value stagedRows() const { return rows; }
  Value stagedPanels() const { return panels; }

  const PanelLayout layout; ///< of the outputs
  const bool pairs;

private:
  /// How weights lie: as stored; in panels that are read in both directions; packed for this
  /// product.
  enum class Lie { Plain, Panels, Packed };
  bool isCode() const { return mlir::isa<mlir::Float8E4M3FNType, mlir::Float8E5M2Type>(element); }
  bool hasUniformScales() const;
  void forParts(Value t0, Value t1,
                llvm::function_ref<void(Value begin, Value steps, Value at)> body);
  mlir::SmallVector<Value> loadSteps(int64_t count, mlir::VectorType type, Value valid,
                                     bool isWhole,
                                     llvm::function_ref<Value(int64_t i, Value valid)> load);
  Value staged(Value raw, mlir::Type format, float times, bool inPairs);
  void stageRows(Value row, Value count, Value last, Value batch, Value t0, Value t1, bool whole);
  void stageRow(Value row, Value from, Value batch, Value t0, Value t1, bool whole);
  void stageAlongOutputs(Value panel, Value slot, Value batch, Value t0, Value t1, int64_t vector,
                         int64_t count, int64_t valid);
  void stageAcross(Value panel, Value slot, Value batch, Value t0, Value t1, int64_t vector);
  void stageCodesAcross(Value panel, Value slot, Value batch, Value t0, Value t1);
  void stageScales(Value panel, Value slot, Value batch, Value t0, Value t1);
  Value outputsAt(Value panel, Value batch, Value k, int64_t vector, int64_t lanes, int64_t valid);
  Value codePairs(Value panel, Value batch, Value k, Value isLast, int64_t vector, int64_t valid);
  void put(Value v, Value slot, Value step, int64_t vector);
  Value scaleOf(Value panel, Value batch, Value part, int64_t vector, Value lane);

  Kernel &kernel;
  KernelBuilder &b;
  llvm::SmallVector<Product> products;
  const Product &first;
  mlir::Type element; ///< of the weights
  PanelLayout stored; ///< of weights in panels
  /// Weights are here times 1 / f8Factor of theirs, and rows times that factor: codes of a chain.
  bool movesFactor = false;
  Lie lie = Lie::Plain;
  bool alongOutputs = false; ///< weights of a step lie side by side
  SumParts parts{1, 1, 1}, wholeParts{1, 1, 1};
  Value leftMemory, source, leftScaleMemory;
  llvm::SmallVector<Value> rights, scales;
  Value rows, panels, rowScales, outputScales, wholeRows, wholeScales;
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_STAGEDOPERANDS_H
