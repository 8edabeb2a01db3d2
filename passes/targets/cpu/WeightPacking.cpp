//===- WeightPacking.cpp - kernels that lay tensors out -------------------===//

#include "passes/targets/cpu/WeightPacking.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"
#include "runtime/module/Module_generated.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

namespace {
/// A matrix (or a batch of them) inside a contiguous tensor: element (batch, n, k) stands at
/// offset + batch * batchStride + n * nStride + k * kStride of `base`.
struct MatrixView {
  Value base;
  Value scale; ///< block scales of f8 weights that are widened while they are packed, or null
  int64_t blockN = 0, blockK = 0; ///< of `scale`, over the rows and columns of `base`
  int64_t columns = 0;            ///< of `base` as a matrix; for the scales
  int64_t offset = 0, batchStride = 0, nStride = 0, kStride = 0;
};

/// One packing job: where it reads, the layout it fills, which product of the panels.
struct PackJob {
  MatrixView view;
  PanelLayout layout;
  int64_t product = 0;
  int64_t batch = 1; ///< matrices, one after the other
};

/// Element (i...) of a view stands at offset + sum(i * strides).
struct Strided {
  Value base;
  int64_t offset = 0;
  SmallVector<int64_t> strides;
};

SmallVector<int64_t> contiguous(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int i = int(shape.size()) - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

FailureOr<Strided> trace(Value v) {
  auto type = cast<RankedTensorType>(v.getType());
  Operation *op = v.getDefiningOp();
  if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op)) {
    auto inner = trace(slice.getSource());
    if (failed(inner))
      return failure();
    auto dropped = slice.getDroppedDims();
    Strided out{inner->base, inner->offset, {}};
    for (unsigned d = 0; d < inner->strides.size(); ++d) {
      if (ShapedType::isDynamic(slice.getStaticOffsets()[d]) ||
          ShapedType::isDynamic(slice.getStaticStrides()[d]))
        return failure();
      out.offset += slice.getStaticOffsets()[d] * inner->strides[d];
      if (!dropped.test(d))
        out.strides.push_back(inner->strides[d] * slice.getStaticStrides()[d]);
    }
    return out;
  }
  if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(op)) {
    auto inner = trace(expand.getSrc());
    if (failed(inner) || !type.hasStaticShape())
      return failure();
    Strided out{inner->base, inner->offset, SmallVector<int64_t>(type.getRank())};
    for (auto [d, group] : llvm::enumerate(expand.getReassociationIndices())) {
      int64_t stride = inner->strides[d];
      for (int64_t i : llvm::reverse(group)) {
        out.strides[i] = stride;
        stride *= type.getDimSize(i);
      }
    }
    return out;
  }
  if (!type.hasStaticShape())
    return failure();
  return Strided{v, 0, contiguous(type.getShape())};
}
} // namespace

/// The job of a relayout into packed weights; failure where it is of no static slice.
static FailureOr<PackJob> jobOf(exec::RelayoutOp relayout, const VectorShape &shape) {
  auto strided = trace(relayout.getSource());
  if (failed(strided))
    return failure();
  exec::LayoutAttr layout = relayout.getLayoutAttr();
  auto type = cast<RankedTensorType>(relayout.getType());
  unsigned n = layout.outputDim(type.getRank()), k = layout.innerDim(type.getRank());
  PackJob job{{}, PanelLayout::of(type, layout, shape), layout.getPart()};
  MatrixView &view = job.view;
  view.base = strided->base;
  view.offset = strided->offset;
  view.nStride = strided->strides[n], view.kStride = strided->strides[k];
  for (unsigned d = 0; d < type.getRank(); ++d)
    if (d != n && d != k)
      job.batch = type.getDimSize(d), view.batchStride = strided->strides[d];
  if (auto dequantize = view.base.getDefiningOp<fp8::DequantizeOp>()) {
    auto type = cast<RankedTensorType>(dequantize.getQ().getType());
    if (type.getRank() == 2 && dequantize.isOfBlocks()) {
      view.base = dequantize.getQ(), view.scale = dequantize.getScale();
      view.blockN = dequantize.getBlock()[0], view.blockK = dequantize.getBlock()[1];
      view.columns = type.getDimSize(1);
    }
  }
  return job;
}

/// The type in which a kernel moves elements that it does not compute with. As integers: a bf16
/// that is chosen or shuffled may reach LLVM's back end as a value in f32 that it wants to round
/// again.
static Type movedType(Type element) {
  unsigned width = element.getIntOrFloatBitWidth();
  return width < 32 ? IntegerType::get(element.getContext(), width) : element;
}

/// An empty lowered kernel that writes the second of flat buffers, beside `tensors`; `b` stands in
/// its body.
static func::FuncOp flatKernel(KernelBuilder &b, func::FuncOp tensors, SmallVector<Type> types,
                               int64_t tasks) {
  b.setInsertionPointAfter(tensors);
  SmallVector<int64_t> access(types.size(), fb::Access_Read);
  access[1] = fb::Access_Write;
  types.append(
      {b.getIndexType(), b.getIndexType(), MemRefType::get({ShapedType::kDynamic}, b.getI8Type())});
  auto kernel = func::FuncOp::create(b, (tensors.getSymName() + "_lowered").str(),
                                     b.getFunctionType(types, {}));
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, b.getUnitAttr());
  kernel->setAttr(kLaunchAttr,
                  exec::LaunchAttr::get(b.getContext(),
                                        AffineMapAttr::get(b.getConstantAffineMap(tasks)),
                                        b.getDenseI64ArrayAttr(access), /*scratch_bytes=*/0));
  b.setInsertionPointToEnd(kernel.addEntryBlock());
  return kernel;
}

static func::FuncOp copyKernel(func::FuncOp tensors, RankedTensorType type, VectorShape shape) {
  constexpr int64_t block = 1 << 16;
  int64_t elements = type.getNumElements();
  KernelBuilder b(tensors.getLoc(), shape);
  auto memory = MemRefType::get({elements}, movedType(type.getElementType()));
  func::FuncOp kernel = flatKernel(b, tensors, {memory, memory}, llvm::divideCeil(elements, block));
  Value from = kernel.getArgument(0), to = kernel.getArgument(1);
  b.loop(b.mul(kernel.getArgument(2), block),
         b.min(b.mul(kernel.getArgument(3), block), b.index(elements)), 1,
         [&](Value i) { b.store(b.load(from, {i}), to, {i}); });
  func::ReturnOp::create(b);
  return kernel;
}

/// One panel of plain f32 whose rows or columns are contiguous, in vectors; blocks of rows are
/// transposed in registers. Element (n, k) stands at `source` + n * nStride + k * kStride of
/// `from`; lanes begin at `to`'s `place`.
static void packVectors(KernelBuilder &b, const PackJob &job, Value from, Value to, Value panel,
                        Value source, Value place) {
  const MatrixView &v = job.view;
  const PanelLayout &l = job.layout;
  int64_t lanes = b.shape.lanes, width = l.width();
  Value zero = b.zeros(b.vectorOf(lanes, b.getF32Type()));
  auto put = [&](Value x, Value k, int64_t lane) {
    b.storeVector(x, to, {b.add(b.add(place, b.mul(k, l.panel)), lane)});
  };
  auto rows = [&](int64_t present) {
    Value n0 = b.mul(panel, width);
    auto at = [&](int64_t n, Value k) {
      return b.add(b.add(source, b.mul(b.add(n0, n), v.nStride)), b.mul(k, v.kStride));
    };
    for (int64_t lane = 0; lane < width; lane += lanes) {
      int64_t valid = std::clamp<int64_t>(present - lane, 0, lanes);
      if (v.nStride == 1) {
        b.loop(0, l.k, 1, [&](Value k) {
          put(valid ? b.loadVector(from, {at(lane, k)}, lanes, valid) : zero, k, lane);
        });
        continue;
      }
      auto turn = [&](Value k, int64_t count) {
        KernelBuilder::Values block;
        for (int64_t i = 0; i < lanes; ++i)
          block.push_back(i < valid ? b.loadVector(from, {at(lane + i, k)}, lanes, count) : zero);
        block = b.transpose(block);
        for (int64_t i = 0; i < count; ++i)
          put(block[i], b.add(k, i), lane);
      };
      int64_t whole = l.k / lanes * lanes;
      b.loop(0, whole, lanes, [&](Value k) { turn(k, lanes); });
      if (l.k % lanes)
        turn(b.index(whole), l.k % lanes);
    }
  };
  if (l.n % width)
    b.choose(
        b.equal(panel, b.index(l.panels() - 1)), [&] { rows(l.n % width); }, [&] { rows(width); });
  else
    rows(width);
  if (l.k % 2)
    for (int64_t lane = 0; lane < width; lane += lanes)
      put(zero, b.index(l.k), lane);
}

static func::FuncOp packKernel(func::FuncOp tensors, const PackJob &job, VectorShape shape) {
  const MatrixView &v = job.view;
  const PanelLayout &l = job.layout;
  KernelBuilder b(tensors.getLoc(), shape);
  auto base = cast<RankedTensorType>(v.base.getType());
  Type source = movedType(base.getElementType()), element = movedType(l.element);
  SmallVector<Type> types{MemRefType::get({base.getNumElements()}, source),
                          MemRefType::get({job.batch * l.panels() * l.panelElements()}, element)};
  int64_t scaleColumns = 0;
  if (v.scale) {
    auto type = cast<RankedTensorType>(v.scale.getType());
    scaleColumns = type.getDimSize(1);
    types.push_back(MemRefType::get({type.getNumElements()}, b.getF32Type()));
  }
  unsigned bindings = types.size();
  func::FuncOp kernel = flatKernel(b, tensors, types, job.batch * l.panels());
  Block *entry = &kernel.getBody().front();
  Value from = entry->getArgument(0), to = entry->getArgument(1),
        scale = v.scale ? entry->getArgument(2) : Value();
  Value begin = entry->getArgument(bindings), end = entry->getArgument(bindings + 1);
  int64_t width = l.width(), lane0 = job.product * width;
  b.loop(begin, end, 1, [&](Value task) {
    Value batch = b.div(task, l.panels()), panel = b.rem(task, l.panels());
    Value panelAt = b.mul(task, l.panelElements()),
          sourceAt = b.add(b.mul(batch, v.batchStride), v.offset);
    if (source.isF32() && element.isF32() && !scale && (v.kStride == 1 || v.nStride == 1))
      return packVectors(b, job, from, to, panel, sourceAt, b.add(panelAt, lane0));
    b.loop(0, width, 1, [&](Value lane) {
      Value n = b.add(b.mul(panel, width), lane);
      Value present = b.less(n, b.index(l.n)), row = b.add(sourceAt, b.mul(n, v.nStride));
      b.loop(0, l.paddedK(), 1, [&](Value k) {
        Value inside = arith::AndIOp::create(b, present, b.less(k, b.index(l.k)));
        Value value = b.choose(
            inside, TypeRange{element},
            [&]() -> KernelBuilder::Values {
              Value at = b.add(row, b.mul(k, v.kStride)), x = b.load(from, {at});
              if (scale) {
                Value block = b.add(b.mul(b.div(b.div(at, v.columns), v.blockN), scaleColumns),
                                    b.div(b.rem(at, v.columns), v.blockK));
                x = b.mulf(decodeF8(b, x, base.getElementType()), b.load(scale, {block}));
              }
              return {x};
            },
            [&]() -> KernelBuilder::Values { return {b.zeros(element)}; })[0];
        Value place =
            l.pairs() ? b.add(b.add(b.mul(b.div(k, 2), 2 * l.panel), b.mul(b.add(lane, lane0), 2)),
                              b.rem(k, 2))
                      : b.add(b.mul(k, l.panel), b.add(lane, lane0));
        b.store(value, to, {b.add(panelAt, place)});
      });
    });
  });
  func::ReturnOp::create(b);
  return kernel;
}

/// Holds the kernel to what FormPrograms makes: its relayout reads the first argument and the
/// third, and is written in place of the second.
static LogicalResult checkArguments(func::FuncOp kernel, Value base, Value scale) {
  auto isArgument = [&](Value v, unsigned i) {
    auto argument = dyn_cast<BlockArgument>(v);
    return argument && argument.getArgNumber() == i;
  };
  if (!cast<RankedTensorType>(base.getType()).hasStaticShape() ||
      (scale && !cast<RankedTensorType>(scale.getType()).hasStaticShape()))
    return kernel.emitError("relayout kernel wants tensors of static shape");
  if (kernel.getNumArguments() != (scale ? 3 : 2) || kernel.getNumResults() != 1 ||
      !kernel.getArgAttr(1, kInPlaceAttr) || !isArgument(base, 0) ||
      (scale && !isArgument(scale, 2)))
    return kernel.emitError("relayout kernel wants a source, memory that it writes in place, and "
                            "scales where it widens f8");
  return success();
}

FailureOr<bool> hadal::lowerRelayout(func::FuncOp kernel, VectorShape shape) {
  Operation *terminator = kernel.getBody().front().getTerminator();
  auto relayout = terminator->getNumOperands() == 1
                      ? terminator->getOperand(0).getDefiningOp<exec::RelayoutOp>()
                      : exec::RelayoutOp();
  if (!relayout)
    return false;
  func::FuncOp lowered;
  if (exec::LayoutAttr layout = relayout.getLayoutAttr()) {
    if (!isPacked(layout) || relayout.getType().getShape().size() > 3)
      return relayout.emitError() << "wants a matrix, or a stack of them, to lie as "
                                  << kPackedLayout << ", got " << layout;
    auto job = jobOf(relayout, shape);
    if (failed(job))
      return relayout.emitError("wants weights of static shape, or static slices of such");
    if (failed(checkArguments(kernel, job->view.base, job->view.scale)))
      return failure();
    if (kernel.getArgAttr(1, kLayoutAttr) != layout)
      return relayout.emitOpError() << "wants memory that lies as " << layout;
    lowered = packKernel(kernel, *job, shape);
  } else {
    if (failed(checkArguments(kernel, relayout.getSource(), {})))
      return failure();
    lowered = copyKernel(kernel, cast<RankedTensorType>(relayout.getType()), shape);
  }
  StringAttr name = kernel.getSymNameAttr();
  kernel.erase();
  lowered.setSymName(name);
  return true;
}
