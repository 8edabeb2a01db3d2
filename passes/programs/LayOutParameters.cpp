//===- LayOutParameters.cpp - how parameters lie in states ----------------===//
//
// How parameters lie in their states: the programs between them and a checkpoint's tensors, and the
// one that draws first values.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/programs/ParameterPrograms.h"
#include "runtime/module/Names.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

namespace {

class Layouts : ParameterPrograms {
public:
  explicit Layouts(ModuleOp module) : ParameterPrograms(module) {}
  LogicalResult build();

private:
  void draw();
  void magnitude();
  void conversions();
  void layouts();
  void packQuantized(const Trained &t, job::QuantizationAttr block);
  func::FuncOp kernel(const std::string &name, ArrayRef<Type> from, RankedTensorType to,
                      function_ref<Value(ValueRange)> body);
  Value emptyOf(RankedTensorType type);
  func::FuncOp widenKernel(RankedTensorType from);
  func::FuncOp layOutKernel(const Trained &t, Type element, bool pack);
};

/// Standard normal numbers, each a function of the key and of its place.
void Layouts::draw() {
  Type f32 = b.getF32Type();
  func::FuncOp kernel = addDrawNormal(module);
  program(names::program::draw, {names::reg::elements});
  AffineExpr n = b.getAffineSymbolExpr(0);
  Value key = argument(names::argument::key, constant(2), b.getI32Type(), false),
        scale = argument(names::argument::scale, constant(2), f32, false);
  Value values = argument(names::argument::values, n, f32, true);
  launch(kernel, {key, scale, values}, n);
}

/// The bits of the largest magnitude: of blocks, of what is left, of all.
void Layouts::magnitude() {
  func::FuncOp ofFloats = addLargestMagnitude(module), ofBits = addLargest(module);
  program(names::program::magnitude, {names::reg::elements});
  AffineExpr n = b.getAffineSymbolExpr(0), one = constant(1), zero = constant(0),
             blocks = n.floorDiv(sumBlock), rest = n % sumBlock;
  Value values = argument(names::argument::values, n, b.getF32Type(), false),
        largest = argument(names::argument::largest, one, b.getI32Type(), true),
        each = temporary((blocks + 1) * 4);
  launch(ofFloats, {values, each}, {blocks, constant(sumBlock), blocks}, {zero, zero});
  launch(ofFloats, {values, each}, {one, rest, one}, {blocks * (sumBlock * 4), blocks * 4});
  launch(ofBits, {each, largest}, {one, blocks + 1, one});
}

/// Between BF16 moments and f32, for the programs that lay parameters out.
void Layouts::conversions() {
  Type f32 = b.getF32Type(), bf16 = b.getBF16Type();
  AffineExpr n = b.getAffineSymbolExpr(0);
  for (auto [name, from, to] :
       {std::tuple(names::program::widen, bf16, f32), {names::program::narrow, f32, bf16}}) {
    func::FuncOp kernel = addConversion(module, from, to);
    program(name, {names::reg::elements});
    Value given = argument(names::argument::from, n, from, false),
          made = argument(names::argument::to, n, to, true);
    launch(kernel, {given, made}, {n, n});
  }
}

/// The kernel, on tensors, of this name: known, or one that returns what `body` makes of its
/// arguments.
func::FuncOp Layouts::kernel(const std::string &name, ArrayRef<Type> from, RankedTensorType to,
                             function_ref<Value(ValueRange)> body) {
  if (auto known = module.lookupSymbol<func::FuncOp>(name))
    return known;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(module.getBody());
  auto f = func::FuncOp::create(b, module.getLoc(), name, b.getFunctionType(from, to));
  f.setPrivate();
  f->setAttr(kKernelAttr, b.getUnitAttr());
  b.setInsertionPointToEnd(f.addEntryBlock());
  func::ReturnOp::create(b, module.getLoc(), body(f.getArguments()));
  return f;
}

Value Layouts::emptyOf(RankedTensorType type) {
  return tensor::EmptyOp::create(b, module.getLoc(), type.getShape(), type.getElementType());
}

/// "pack_f16_64_32" of "pack_f16" and a tensor of these sizes.
static std::string sized(std::string name, RankedTensorType type) {
  for (int64_t d : type.getShape())
    name += "_" + std::to_string(d);
  return name;
}

/// The kernel that copies a tensor to one of f32.
func::FuncOp Layouts::widenKernel(RankedTensorType from) {
  auto to = from.clone(b.getF32Type());
  return kernel(sized(llvm::formatv("copy_{0}", from.getElementType()), from), from, to,
                [&](ValueRange arguments) -> Value {
                  Value empty = emptyOf(to);
                  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(from.getRank()));
                  SmallVector<utils::IteratorType> iterators(from.getRank(),
                                                             utils::IteratorType::parallel);
                  auto widen = [](OpBuilder &b, Location loc, ValueRange args) {
                    linalg::YieldOp::create(b, loc, fp8::widen(b, loc, args[0]));
                  };
                  return linalg::GenericOp::create(b, module.getLoc(), to, arguments, empty, maps,
                                                   iterators, widen)
                      .getResult(0);
                });
}

/// The kernel that copies a tensor as a checkpoint holds it (its elements widened) to where it lies
/// as parameters do, or back.
func::FuncOp Layouts::layOutKernel(const Trained &t, Type element, bool pack) {
  auto plain = RankedTensorType::get(t.type.getShape(), element);
  if (!t.memory)
    return widenKernel(plain);
  std::string name = llvm::formatv("{0}_{1}_{2}", pack ? "pack" : "unpack",
                                   t.memory.getName().rsplit('.').second, element);
  RankedTensorType from = pack ? plain : t.type, to = pack ? t.type : plain;
  auto f = kernel(sized(name, plain), from, to, [&](ValueRange arguments) {
    return linalg::CopyOp::create(b, module.getLoc(), arguments[0], emptyOf(to)).getResult(0);
  });
  if (pack)
    f.setResultAttr(0, kLayoutAttr, t.memory);
  else
    f.setArgAttr(0, kLayoutAttr, t.memory);
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
      Value tensor = argument(names::argument::tensor, dims, element, !pack),
            packed = argument(names::argument::packed, constant(t.elements), b.getF32Type(), pack);
      launch(kernel, pack ? ArrayRef<Value>{tensor, packed} : ArrayRef<Value>{packed, tensor}, {});
    };
    make(names::program::packF32, b.getF32Type(), true);
    make(names::program::packBf16, b.getBF16Type(), true);
    make(names::program::packF16, b.getF16Type(), true);
    make(names::program::unpack, b.getF32Type(), false);
    if (auto block = job::quantizationOf(module); block && t.type.getRank() == 2)
      packQuantized(t, block);
  }
}

/// The type that a checkpoint has scales in.
static Type typeOfScales(job::QuantizationAttr block) {
  MLIRContext *context = block.getContext();
  if (block.getScales() == "bf16")
    return BFloat16Type::get(context);
  if (block.getScales() == "e8m0")
    return Float8E8M0FNUType::get(context);
  return Float32Type::get(context);
}

/// Quantized weights, widened on their way: pack.f8.LAYOUT takes them and one scale per block.
void Layouts::packQuantized(const Trained &t, job::QuantizationAttr block) {
  ArrayRef<int64_t> shape = t.type.getShape();
  SmallVector<int64_t> blocks{int64_t(llvm::divideCeil(shape[0], block.getRows())),
                              int64_t(llvm::divideCeil(shape[1], block.getColumns()))};
  Type f8 = Float8E4M3FNType::get(b.getContext()), f32 = b.getF32Type();
  std::string name = llvm::formatv("dequantize_{0}x{1}", shape[0], shape[1]);
  auto q = RankedTensorType::get(shape, f8), scales = RankedTensorType::get(blocks, f32),
       whole = RankedTensorType::get(shape, f32);
  func::FuncOp widen = kernel(name, {q, scales}, whole, [&](ValueRange arguments) -> Value {
    return fp8::DequantizeOp::create(b, module.getLoc(), whole, arguments[0], arguments[1],
                                     ArrayRef<int64_t>{block.getRows(), block.getColumns()});
  });
  func::FuncOp pack = layOutKernel(t, f32, true);
  program(names::program::packF8 + t.layout);
  auto constants = [&](ArrayRef<int64_t> sizes) {
    return llvm::map_to_vector(sizes, [&](int64_t d) { return constant(d); });
  };
  Type stored = typeOfScales(block);
  Value tensor = argument(names::argument::tensor, constants(shape), f8, false),
        scale = argument(names::argument::scale, constants(blocks), stored, false);
  Value packed = argument(names::argument::packed, constant(t.elements), f32, true),
        wide = temporary(constant(shape[0] * shape[1] * 4));
  if (!stored.isF32()) {
    Value from = std::exchange(scale, temporary(constant(blocks[0] * blocks[1] * 4)));
    launch(widenKernel(RankedTensorType::get(blocks, stored)), {from, scale}, {});
  }
  launch(widen, {tensor, scale, wide}, {});
  launch(pack, {wide, packed}, {});
}

LogicalResult Layouts::build() {
  if (failed(readTrainables()))
    return failure();
  draw();
  layouts();
  magnitude();
  if (llvm::any_of(module.getOps<exec::StateOp>(), [](exec::StateOp s) {
        return s.getSymName().starts_with(names::state::firstMoment) && s.getElement().isBF16();
      }))
    conversions();
  return success();
}

} // namespace

LogicalResult hadal::addLayouts(ModuleOp module) { return Layouts(module).build(); }
