//===- EmitPanelCopy.cpp - copies into panels and out of them -------------===//
//
// Copies between a weight as a checkpoint holds it, [N, K] or [E, N, K], and panels
// (kPanelsLayout): linalg.copy where one side lies in panels. A task is a panel: its rows are read
// (or written) side by side, blocks are transposed in registers.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {
class PanelCopyEmitter {
public:
  PanelCopyEmitter(Kernel &kernel, Value plain, Value packed, RankedTensorType type)
      : kernel(kernel), b(kernel.b), plain(plain), packed(packed),
        layout(PanelLayout::of(type, b.shape)), batch(type.getRank() == 3 ? type.getDimSize(0) : 1),
        lanes(b.shape.lanes) {}

  void emit(bool pack) {
    b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
      Value panel = b.rem(task, layout.panels()), matrix = b.div(task, layout.panels());
      auto rows = [&](int64_t valid) {
        auto columns = [&](Value k, int64_t count) {
          auto block = [&](Value n, int64_t present) {
            turn(pack, task, matrix, b.add(b.mul(panel, layout.panel), n), n, present, k, count);
          };
          // A loop, where all blocks are alike: turning one is much code.
          if (valid == layout.panel)
            return b.loop(0, layout.panel, lanes, [&](Value n) { block(n, lanes); });
          for (int64_t n = 0; n < layout.panel; n += lanes)
            block(b.index(n), std::clamp<int64_t>(valid - n, 0, lanes));
        };
        int64_t whole = layout.k / lanes * lanes;
        b.loop(0, whole, lanes, [&](Value k) { columns(k, lanes); });
        if (layout.k % lanes)
          columns(b.index(whole), layout.k % lanes);
      };
      int64_t rest = layout.n % layout.panel;
      if (!rest)
        rows(layout.panel);
      else
        b.choose(
            b.equal(panel, b.index(layout.panels() - 1)), [&] { rows(rest); },
            [&] { rows(layout.panel); });
      if (pack && layout.k % 2)
        for (int64_t n = 0; n < layout.panel; n += lanes)
          b.storeVector(zero(), packed, {inPanel(task, b.index(layout.k), b.index(n))});
    });
    kernel.finish({b.getAffineConstantExpr(batch * layout.panels())}, 0);
  }

private:
  Value zero() { return b.zeros(b.vectorOf(lanes, b.getF32Type())); }
  Value inPanel(Value task, Value k, Value lane) {
    return b.add(b.add(b.mul(task, layout.panelElements()), b.mul(k, layout.panel)), lane);
  }
  SmallVector<Value> inPlain(Value matrix, Value n, Value k) {
    if (cast<MemRefType>(plain.getType()).getRank() == 3)
      return {matrix, n, k};
    return {n, k};
  }
  /// One block: rows n.. (of them `valid` are there) by columns k.. (`count`).
  void turn(bool pack, Value task, Value matrix, Value n, Value lane, int64_t valid, Value k,
            int64_t count) {
    Values block;
    for (int64_t i = 0; i < lanes; ++i) {
      if (pack ? i >= valid : i >= count)
        block.push_back(zero());
      else if (pack)
        block.push_back(
            b.widen(b.loadVector(plain, inPlain(matrix, b.add(n, i), k), lanes, count)));
      else
        block.push_back(b.loadVector(packed, {inPanel(task, b.add(k, i), lane)}, lanes));
    }
    block = b.transpose(block);
    for (int64_t i = 0; i < (pack ? count : valid); ++i) {
      if (pack)
        b.storeVector(block[i], packed, {inPanel(task, b.add(k, i), lane)});
      else
        b.storeVector(block[i], plain, inPlain(matrix, b.add(n, i), k), count);
    }
  }

  Kernel &kernel;
  KernelBuilder &b;
  Value plain, packed;
  PanelLayout layout;
  int64_t batch, lanes;
};
} // namespace

LogicalResult hadal::emitPanelCopy(Kernel &kernel, Operation *op) {
  auto copy = cast<linalg::CopyOp>(op);
  Value from = copy.getInputs()[0], to = copy.getResult(0);
  bool pack = kernel.inPanels(to);
  Value source = kernel.memory(from), destination = kernel.memory(to);
  if (!source || !destination)
    return kernel.tensors.emitError(
        "panel copy kernel wants its operands to be arguments or views of them");
  PanelCopyEmitter(kernel, pack ? source : destination, pack ? destination : source,
                   cast<RankedTensorType>(to.getType()))
      .emit(pack);
  return success();
}
