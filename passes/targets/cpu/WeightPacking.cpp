//===- WeightPacking.cpp - the kernels that pack weights -----------------===//

#include "passes/targets/cpu/WeightPacking.h"
#include "dialects/fp8/Fp8.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/Kernel.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

namespace {
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

FailureOr<MatrixView> hadal::traceRight(const Product &product) {
  auto strided = trace(product.right);
  if (failed(strided))
    return failure();
  MatrixView view;
  view.base = strided->base;
  view.offset = strided->offset;
  view.nStride = strided->strides[product.rightN], view.kStride = strided->strides[product.rightK];
  if (product.rightBatch >= 0) {
    view.batchStride = strided->strides[product.rightBatch];
    view.stacked = product.rightBatch == 0 && strided->base == product.right;
  }
  if (auto dequantize = view.base.getDefiningOp<fp8::DequantizeOp>()) {
    auto type = cast<RankedTensorType>(dequantize.getQ().getType());
    if (type.getRank() == 2) {
      view.base = dequantize.getQ(), view.scale = dequantize.getScale();
      view.blockN = dequantize.getBlock()[0], view.blockK = dequantize.getBlock()[1];
      view.columns = type.getDimSize(1);
    }
  }
  return view;
}

/// The type in which a kernel moves elements that it does not compute with. As integers: a bf16
/// that is chosen or shuffled may reach LLVM's back end as a value in f32 that it wants to round
/// again.
static Type movedType(Type element) {
  unsigned width = element.getIntOrFloatBitWidth();
  return width < 32 ? IntegerType::get(element.getContext(), width) : element;
}

/// An empty lowered kernel on flat buffers; `b` stands in its body.
static func::FuncOp flatKernel(KernelBuilder &b, ModuleOp module, StringRef name,
                               SmallVector<Type> types, int64_t tasks) {
  b.setInsertionPointToEnd(module.getBody());
  unsigned bindings = types.size();
  types.append(
      {b.getIndexType(), b.getIndexType(), MemRefType::get({ShapedType::kDynamic}, b.getI8Type())});
  auto kernel = func::FuncOp::create(b, name, b.getFunctionType(types, {}));
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, b.getUnitAttr());
  kernel->setAttr(kLoweredAttr, b.getUnitAttr());
  kernel->setAttr("exec.bindings", b.getI64IntegerAttr(bindings));
  kernel->setAttr(kTasksAttr, AffineMapAttr::get(AffineMap::get(
                                  0, 0, b.getAffineConstantExpr(tasks), b.getContext())));
  kernel->setAttr(kScratchAttr, b.getI64IntegerAttr(0));
  b.setInsertionPointToEnd(kernel.addEntryBlock());
  return kernel;
}

func::FuncOp hadal::copyKernel(ModuleOp module, Type element, int64_t elements, VectorShape shape) {
  std::string name = llvm::formatv("copy_{0}_{1}", elements, element);
  if (auto known = module.lookupSymbol<func::FuncOp>(name))
    return known;
  constexpr int64_t block = 1 << 16;
  KernelBuilder b(module.getLoc(), shape);
  auto type = MemRefType::get({elements}, movedType(element));
  func::FuncOp kernel =
      flatKernel(b, module, name, {type, type}, llvm::divideCeil(elements, block));
  Value from = kernel.getArgument(0), to = kernel.getArgument(1);
  b.loop(b.mul(kernel.getArgument(2), block),
         b.min(b.mul(kernel.getArgument(3), block), b.index(elements)), 1,
         [&](Value i) { b.store(b.load(from, {i}), to, {i}); });
  func::ReturnOp::create(b);
  return kernel;
}

/// One panel of plain f32 whose rows or columns are contiguous, in vectors; blocks of rows are
/// turned in registers. Element (n, k) stands at `source` + n * nStride + k * kStride of `from`;
/// lanes begin at `to`'s `place`.
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

func::FuncOp hadal::packKernel(ModuleOp module, const PackJob &job, VectorShape shape) {
  const MatrixView &v = job.view;
  const PanelLayout &l = job.layout;
  std::string name =
      llvm::formatv("pack_{0}_{1}x{2}_{3}_{4}_{5}_{6}_{7}_{8}_{9}", job.sourceElement, l.n, l.k,
                    l.element, l.panel, l.halves, job.half, v.offset, v.nStride, v.kStride)
          .str();
  if (job.batch > 1)
    name += llvm::formatv("_{0}x{1}", job.batch, v.batchStride).str();
  if (v.scale)
    name += llvm::formatv("_scaled_{0}x{1}x{2}", v.blockN, v.blockK, v.columns).str();
  if (auto known = module.lookupSymbol<func::FuncOp>(name))
    return known;

  KernelBuilder b(module.getLoc(), shape);
  Type source = movedType(job.sourceElement), element = movedType(l.element);
  SmallVector<Type> types{MemRefType::get({job.sourceElements}, source),
                          MemRefType::get({job.batch * l.panels() * l.panelElements()}, element)};
  int64_t scaleColumns = 0;
  if (v.scale) {
    auto type = cast<RankedTensorType>(v.scale.getType());
    scaleColumns = type.getDimSize(1);
    types.push_back(MemRefType::get({type.getNumElements()}, b.getF32Type()));
  }
  unsigned bindings = types.size();
  func::FuncOp kernel = flatKernel(b, module, name, types, job.batch * l.panels());
  Block *entry = &kernel.getBody().front();
  Value from = entry->getArgument(0), to = entry->getArgument(1),
        scale = v.scale ? entry->getArgument(2) : Value();
  Value begin = entry->getArgument(bindings), end = entry->getArgument(bindings + 1);
  int64_t width = l.width(), lane0 = job.half * width;
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
                x = b.mulf(decodeE4M3(b, x), b.load(scale, {block}));
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
