// How parameters lie in their states: the programs between them and a checkpoint's tensors, and the
// one that draws first values.
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/programs/ParameterPrograms.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

namespace {

class Layouts : ParameterPrograms {
public:
  Layouts(ModuleOp module, int64_t lanes) : ParameterPrograms(module, lanes) {}
  LogicalResult build();

private:
  void draw();
  void layouts();
  void packQuantized(const Trained &t, job::QuantizationAttr block);
  func::FuncOp widenKernel(RankedTensorType from);
  func::FuncOp layOutKernel(const Trained &t, Type element, bool pack);
};

/// Standard normal numbers: a hash of the key and the place gives two uniform numbers, those a
/// normal one (Box and Muller).
void Layouts::draw() {
  Type f32 = b.getF32Type();
  func::FuncOp kernel = this->kernel(
      "draw_normal", {b.getI32Type(), f32, f32}, b.getAffineSymbolExpr(2).ceilDiv(taskElements), 1,
      [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
        Type i64 = k.getI64Type();
        Value key = f.getArgument(0), out = f.getArgument(2);
        auto c64 = [&](uint64_t v) {
          return arith::ConstantOp::create(k, k.getI64IntegerAttr(int64_t(v))).getResult();
        };
        auto wide = [&](Value v) { return arith::ExtUIOp::create(k, i64, v).getResult(); };
        auto right = [&](Value v, uint64_t by) {
          return arith::ShRUIOp::create(k, v, c64(by)).getResult();
        };
        Value high = arith::ShLIOp::create(k, wide(k.load(key, {k.index(0)})), c64(32));
        Value seed = arith::OrIOp::create(k, high, wide(k.load(key, {k.index(1)})));
        // splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
        auto hash = [&](Value v) {
          for (auto [shift, factor] :
               {std::pair<uint64_t, uint64_t>{30, 0xBF58476D1CE4E5B9}, {27, 0x94D049BB133111EB}})
            v = k.mul(arith::XOrIOp::create(k, v, right(v, shift)), c64(factor));
          return arith::XOrIOp::create(k, v, right(v, 31)).getResult();
        };
        Value mean = k.load(f.getArgument(1), {k.index(0)}),
              deviation = k.load(f.getArgument(1), {k.index(1)});
        Value base = hash(seed);
        k.loop(k.mul(begin, taskElements), k.min(k.mul(end, taskElements), k.dim(out, 0)), 1,
               [&](Value i) {
                 Value place = arith::IndexCastOp::create(k, i64, i);
                 Value bits =
                     hash(k.add(base, k.mul(k.add(place, c64(1)), c64(0x9E3779B97F4A7C15))));
                 // 24 bits each; the first is never 0.
                 auto uniform = [&](Value v, float plus) {
                   Value u = arith::UIToFPOp::create(k, f32, v);
                   return k.mulf(k.addf(u, k.f32(plus)), k.f32(0x1p-24f));
                 };
                 Value u1 = uniform(right(bits, 40), 0.5f),
                       u2 = uniform(arith::AndIOp::create(k, right(bits, 8), c64(0xFFFFFF)), 0);
                 Value radius =
                     math::SqrtOp::create(k, k.mulf(k.f32(-2), math::LogOp::create(k, u1)));
                 Value normal =
                     k.mulf(radius, math::CosOp::create(k, k.mulf(u2, k.f32(6.283185307179586f))));
                 k.store(k.addf(mean, k.mulf(deviation, normal)), out, {i});
               });
      });
  program("draw", {"elements"});
  AffineExpr n = b.getAffineSymbolExpr(0);
  Value key = argument("key", constant(2), b.getI32Type(), false),
        scale = argument("scale", constant(2), f32, false);
  Value values = argument("values", n, f32, true);
  launch(kernel, {key, scale, values}, {constant(2), constant(2), n});
}

/// The kernel, on tensors, that copies a tensor to one of f32.
func::FuncOp Layouts::widenKernel(RankedTensorType from) {
  std::string name = llvm::formatv("copy_{0}", from.getElementType());
  for (int64_t d : from.getShape())
    name += "_" + std::to_string(d);
  if (auto known = module.lookupSymbol<func::FuncOp>(name))
    return known;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(module.getBody());
  auto to = from.clone(b.getF32Type());
  auto f = func::FuncOp::create(b, module.getLoc(), name, b.getFunctionType(from, to));
  f.setPrivate();
  f->setAttr(kKernelAttr, b.getUnitAttr());
  b.setInsertionPointToEnd(f.addEntryBlock());
  Value empty = tensor::EmptyOp::create(b, module.getLoc(), to.getShape(), to.getElementType());
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(from.getRank()));
  SmallVector<utils::IteratorType> iterators(from.getRank(), utils::IteratorType::parallel);
  Value copy =
      linalg::GenericOp::create(b, module.getLoc(), to, f.getArgument(0), empty, maps, iterators,
                                [](OpBuilder &b, Location loc, ValueRange args) {
                                  Value v = args[0];
                                  if (!v.getType().isF32())
                                    v = arith::ExtFOp::create(b, loc, b.getF32Type(), v);
                                  linalg::YieldOp::create(b, loc, v);
                                })
          .getResult(0);
  func::ReturnOp::create(b, module.getLoc(), copy);
  return f;
}

/// The kernel, on tensors, that copies a tensor as a checkpoint holds it (its elements widened) to
/// where it lies as parameters do, or back.
func::FuncOp Layouts::layOutKernel(const Trained &t, Type element, bool pack) {
  auto plain = RankedTensorType::get(t.type.getShape(), element);
  if (!t.memory)
    return widenKernel(plain);
  std::string name = llvm::formatv("{0}_{1}_{2}", pack ? "pack" : "unpack",
                                   t.memory.getName().rsplit('.').second, element);
  for (int64_t d : plain.getShape())
    name += "_" + std::to_string(d);
  if (auto known = module.lookupSymbol<func::FuncOp>(name))
    return known;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(module.getBody());
  RankedTensorType from = pack ? plain : t.type, to = pack ? t.type : plain;
  auto f = func::FuncOp::create(b, module.getLoc(), name, b.getFunctionType(from, to));
  f.setPrivate();
  f->setAttr(kKernelAttr, b.getUnitAttr());
  if (pack)
    f.setResultAttr(0, kLayoutAttr, t.memory);
  else
    f.setArgAttr(0, kLayoutAttr, t.memory);
  b.setInsertionPointToEnd(f.addEntryBlock());
  Value empty = tensor::EmptyOp::create(b, module.getLoc(), to.getShape(), to.getElementType());
  Value copied = linalg::CopyOp::create(b, module.getLoc(), f.getArgument(0), empty).getResult(0);
  func::ReturnOp::create(b, module.getLoc(), copied);
  return f;
}

void Layouts::layouts() {
  llvm::StringSet<> done;
  for (const Trained &t : trained) {
    if (!done.insert(t.layout).second)
      continue;
    SmallVector<AffineExpr> dims;
    for (int64_t d : t.type.getShape())
      dims.push_back(constant(d));
    auto make = [&](StringRef name, Type element, bool pack) {
      func::FuncOp kernel = layOutKernel(t, element, pack);
      program((name + t.layout).str());
      Value tensor = argument("tensor", dims, element, !pack),
            packed = argument("packed", constant(t.elements), b.getF32Type(), pack);
      launch(kernel, pack ? ArrayRef<Value>{tensor, packed} : ArrayRef<Value>{packed, tensor}, {});
    };
    make("pack.f32.", b.getF32Type(), true);
    make("pack.bf16.", b.getBF16Type(), true);
    make("pack.f16.", b.getF16Type(), true);
    make("unpack.", b.getF32Type(), false);
    if (auto block = job::quantizationOf(module); block && t.type.getRank() == 2)
      packQuantized(t, block);
  }
}

/// Quantized weights, widened on their way: pack.f8.LAYOUT takes them and one scale per block.
void Layouts::packQuantized(const Trained &t, job::QuantizationAttr block) {
  ArrayRef<int64_t> shape = t.type.getShape();
  SmallVector<int64_t> blocks{int64_t(llvm::divideCeil(shape[0], block.getRows())),
                              int64_t(llvm::divideCeil(shape[1], block.getColumns()))};
  Type f8 = Float8E4M3FNType::get(b.getContext()), f32 = b.getF32Type();
  std::string name = llvm::formatv("dequantize_{0}x{1}", shape[0], shape[1]);
  auto widen = module.lookupSymbol<func::FuncOp>(name);
  if (!widen) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(module.getBody());
    auto q = RankedTensorType::get(shape, f8), scale = RankedTensorType::get(blocks, f32),
         whole = RankedTensorType::get(shape, f32);
    widen = func::FuncOp::create(b, module.getLoc(), name, b.getFunctionType({q, scale}, whole));
    widen.setPrivate();
    widen->setAttr(kKernelAttr, b.getUnitAttr());
    b.setInsertionPointToEnd(widen.addEntryBlock());
    Value made = fp8::DequantizeOp::create(
        b, module.getLoc(), whole, widen.getArgument(0), widen.getArgument(1),
        b.getDenseI64ArrayAttr({block.getRows(), block.getColumns()}));
    func::ReturnOp::create(b, module.getLoc(), made);
  }
  func::FuncOp pack = layOutKernel(t, f32, true);
  program("pack.f8." + t.layout);
  auto constants = [&](ArrayRef<int64_t> sizes) {
    return llvm::map_to_vector(sizes, [&](int64_t d) { return constant(d); });
  };
  Value tensor = argument("tensor", constants(shape), f8, false),
        scale = argument("scale", constants(blocks), f32, false);
  Value packed = argument("packed", constant(t.elements), f32, true),
        wide = temporary(constant(shape[0] * shape[1] * 4));
  launch(widen, {tensor, scale, wide}, {});
  launch(pack, {wide, packed}, {});
}

LogicalResult Layouts::build() {
  if (failed(readTrainables()))
    return failure();
  draw();
  layouts();
  return success();
}

} // namespace

LogicalResult hadal::addLayouts(ModuleOp module, int64_t lanes) {
  return Layouts(module, lanes).build();
}
