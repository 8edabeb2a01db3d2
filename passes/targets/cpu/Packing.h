//===- Packing.h - how packed weights lie in memory -------------*- C++ -*-===//
//
// How weights lie in memory once packed: the one place that kernels, pack kernels and the module's
// sizes read it from.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_PACKING_H
#define HADAL_PASSES_TARGETS_CPU_PACKING_H

#include "dialects/exec/Exec.h"
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// The layout of a tensor [N, K] or [E, N, K] of f32 whose memory is panels, PanelLayout::of(N, K,
/// f32, 1, shape), experts one after the other. Unlike packed weights such a tensor is read in both
/// directions and written.
inline constexpr llvm::StringLiteral kPanelsLayout = "cpu.panels";
inline bool isPanels(exec::LayoutAttr layout) {
  return layout && layout.getName() == kPanelsLayout;
}
/// That of a product's weights that only it reads: panels of its outputs, PanelLayout::of(its N,
/// its K, element, parts, shape), matrices of a batch one after the other. Both of a pair are parts
/// of one memory.
inline constexpr llvm::StringLiteral kPackedLayout = "cpu.packed";
inline bool isPacked(exec::LayoutAttr layout) {
  return layout && layout.getName() == kPackedLayout;
}

/// Weights [n, k] in panels of `panel` outputs: [panels][paddedK][panel] with K interleaved in
/// pairs where an element is narrower than f32: element (k, lane) of a panel stands at (k / 2) * 2
/// * panel + 2 * lane + k % 2. A pair of products that share their left operand (`products` == 2:
/// gate and up) share panels, each a half of the lanes. Missing outputs and the odd k are zero.
struct PanelLayout {
  int64_t n, k;
  mlir::Type element;
  int64_t panel;
  int64_t products; ///< that share panels: 1 or 2

  static PanelLayout of(int64_t n, int64_t k, mlir::Type element, int64_t products,
                        VectorShape shape) {
    return {n, k, element, products == 2 ? std::max(shape.panel, 2 * shape.lanes) : shape.panel,
            products};
  }
  /// Of a tensor [N, K] or [E, N, K] that lies in panels (kPanelsLayout).
  static PanelLayout of(mlir::RankedTensorType tensor, VectorShape shape) {
    auto sizes = tensor.getShape().take_back(2);
    return of(sizes[0], sizes[1], tensor.getElementType(), 1, shape);
  }
  /// Of a tensor that lies as kPackedLayout.
  static PanelLayout of(mlir::RankedTensorType tensor, exec::LayoutAttr layout, VectorShape shape) {
    unsigned rank = tensor.getRank();
    return of(tensor.getDimSize(layout.outputDim(rank)), tensor.getDimSize(layout.innerDim(rank)),
              tensor.getElementType(), layout.getParts(), shape);
  }
  int64_t width() const { return panel / products; } ///< outputs of one product in a panel
  bool areWhole() const { return n % width() == 0; } ///< whether outputs fill the last panel
  int64_t panels() const { return llvm::divideCeil(n, width()); }
  int64_t paddedK() const { return (k + 1) / 2 * 2; }
  int64_t panelElements() const { return paddedK() * panel; }
  /// The number of panel `panel` among those of all matrices, and where it begins in memory;
  /// `batch` is null where there is but one matrix.
  mlir::Value numberOf(KernelBuilder &b, mlir::Value panel, mlir::Value batch) const {
    return batch ? b.add(b.mul(batch, panels()), panel) : panel;
  }
  mlir::Value base(KernelBuilder &b, mlir::Value panel, mlir::Value batch) const {
    return b.mul(numberOf(b, panel, batch), panelElements());
  }
  /// The body, told whether the panel is one that outputs do not fill.
  void onLast(KernelBuilder &b, mlir::Value panel, llvm::function_ref<void(bool)> body) const {
    if (areWhole())
      return body(false);
    b.choose(
        b.equal(panel, b.index(panels() - 1)), [&] { body(true); }, [&] { body(false); });
  }
  /// How many outputs there are in a panel's vector of `lanes`: `last` as onLast says.
  int64_t valid(bool last, int64_t vector, int64_t lanes) const {
    int64_t before = vector % (width() / lanes) * lanes; // of its product
    return last ? std::clamp<int64_t>(n % width() - before, 0, lanes) : lanes;
  }
  bool pairs() const { return !element.isF32(); }
  int64_t elementBytes() const { return element.getIntOrFloatBitWidth() / 8; }
  /// Of one matrix (one expert, one head); 64-byte aligned.
  int64_t bytes() const { return panels() * panelElements() * elementBytes(); }
  /// Scratch for one panel of f8 weights widened to f32.
  int64_t widenedBytes() const { return pairs() ? paddedK() * panel * 4 : 0; }
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_PACKING_H
