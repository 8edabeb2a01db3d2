//===- KernelEntries.cpp - the entries that the runtime calls ------------===//

#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"
#include "passes/targets/cpu/EntryParts.h"
#include "llvm/ADT/TypeSwitch.h"

namespace hadal {
#define GEN_PASS_DEF_HADALKERNELENTRIES
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

//===----------------------------------------------------------------------===//
// What entries of all targets share
//===----------------------------------------------------------------------===//

void hadal::makeBody(LLVM::LLVMFuncOp kernel) {
  MLIRContext *context = kernel.getContext();
  kernel.setSymName((kernel.getSymName() + ".body").str());
  kernel.setLinkage(LLVM::Linkage::Internal);
  kernel.setPassthroughAttr(ArrayAttr::get(context, {StringAttr::get(context, "alwaysinline")}));
  unsigned part = 0;
  for (Attribute attribute : kernel->getAttrOfType<ArrayAttr>(kSignatureAttr)) {
    kernel.setArgAttr(part + 1, LLVM::LLVMDialect::getNoAliasAttrName(), UnitAttr::get(context));
    part += 3 + 2 * cast<MemRefType>(cast<TypeAttr>(attribute).getValue()).getRank();
  }
}

/// Appends the parts of one memref: base twice, offset, sizes, strides.
static void appendParts(ImplicitLocOpBuilder &b, MemRefType type, Value base,
                        function_ref<Value()> nextSize, SmallVectorImpl<Value> &out) {
  auto i64 = [&](int64_t v) -> Value {
    return LLVM::ConstantOp::create(b, b.getI64Type(), b.getI64IntegerAttr(v));
  };
  SmallVector<Value> sizes, strides(type.getRank());
  for (int64_t d : type.getShape())
    sizes.push_back(ShapedType::isDynamic(d) ? nextSize() : i64(d));
  Value stride = i64(1);
  for (int64_t d = type.getRank() - 1; d >= 0; --d) {
    strides[d] = stride;
    if (d)
      stride = LLVM::MulOp::create(b, stride, sizes[d]);
  }
  out.append({base, base, i64(0)});
  out.append(sizes);
  out.append(strides);
}

SmallVector<Value> hadal::bufferParts(ImplicitLocOpBuilder &b, LLVM::LLVMFuncOp body,
                                      function_ref<Value(int64_t)> address,
                                      function_ref<Value(int64_t)> scalar) {
  SmallVector<Value> parts;
  int64_t next = 0;
  for (auto [i, attribute] : llvm::enumerate(body->getAttrOfType<ArrayAttr>(kSignatureAttr)))
    appendParts(
        b, cast<MemRefType>(cast<TypeAttr>(attribute).getValue()), address(i),
        [&] { return scalar(next++); }, parts);
  return parts;
}

SmallVector<Value> hadal::scratchParts(ImplicitLocOpBuilder &b, Value base) {
  SmallVector<Value> parts;
  appendParts(b, MemRefType::get({int64_t(1) << 46}, b.getI8Type()), base, {}, parts);
  return parts;
}

//===----------------------------------------------------------------------===//
// Entries of processors
//===----------------------------------------------------------------------===//

namespace {

struct KernelEntries : public hadal::impl::HadalKernelEntriesBase<KernelEntries> {
  void addEntry(LLVM::LLVMFuncOp kernel) {
    std::string name = kernel.getSymName().str();
    makeBody(kernel);
    ImplicitLocOpBuilder b(kernel.getLoc(), kernel);
    Type pointer = LLVM::LLVMPointerType::get(&getContext()), i64 = b.getI64Type();
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(&getContext()),
                                            {pointer, pointer, i64, i64, pointer});
    auto entry = LLVM::LLVMFuncOp::create(b, name, type);
    b.setInsertionPointToStart(entry.addEntryBlock(b));
    auto element = [&](Value table, Type of, int64_t i) -> Value {
      Value at = LLVM::GEPOp::create(b, pointer, of, table, ArrayRef<LLVM::GEPArg>{int32_t(i)});
      return LLVM::LoadOp::create(b, of, at);
    };
    SmallVector<Value> operands = bufferParts(
        b, kernel, [&](int64_t i) { return element(entry.getArgument(0), pointer, i); },
        [&](int64_t i) { return element(entry.getArgument(1), i64, i); });
    operands.append({entry.getArgument(2), entry.getArgument(3)});
    operands.append(scratchParts(b, entry.getArgument(4)));
    LLVM::CallOp::create(b, kernel, operands);
    LLVM::ReturnOp::create(b, ValueRange{});
  }

  /// bf16 lies in memory only, and moves as integers. Where the target has no registers of bf16,
  /// LLVM rounds each element again on its way (through a mask, into another block), by a library's
  /// function.
  static Type bitsOf(Type type) {
    auto i16 = IntegerType::get(type.getContext(), 16);
    if (type.isBF16())
      return i16;
    auto vector = dyn_cast<VectorType>(type);
    return vector && vector.getElementType().isBF16() ? Type(vector.clone(i16)) : Type();
  }

  void loadAsIntegers(LLVM::LoadOp load) {
    Type bits = bitsOf(load.getType());
    if (!bits)
      return;
    Type type = load.getType();
    load.getResult().setType(bits);
    ImplicitLocOpBuilder b(load.getLoc(), load->getBlock(), std::next(load->getIterator()));
    auto cast = LLVM::BitcastOp::create(b, type, load.getResult());
    load.getResult().replaceAllUsesExcept(cast, cast);
  }

  void loadAsIntegers(LLVM::MaskedLoadOp load) {
    Type bits = bitsOf(load.getType());
    if (!bits)
      return;
    ImplicitLocOpBuilder b(load.getLoc(), load);
    Value otherwise = LLVM::BitcastOp::create(b, bits, load.getPassThru());
    Value loaded = LLVM::MaskedLoadOp::create(b, bits, load.getData(), load.getMask(), otherwise,
                                              load.getAlignmentAttr());
    load.replaceAllUsesWith(LLVM::BitcastOp::create(b, load.getType(), loaded).getResult());
    load.erase();
  }

  /// bf16 is the upper half of an f32.
  void widenAsIntegers(LLVM::FPExtOp extension) {
    Type bits = bitsOf(extension.getArg().getType()), type = extension.getType();
    if (!bits || !getElementTypeOrSelf(type).isF32())
      return;
    ImplicitLocOpBuilder b(extension.getLoc(), extension);
    auto vector = dyn_cast<VectorType>(type);
    Type wide = vector ? Type(vector.clone(b.getI32Type())) : Type(b.getI32Type());
    TypedAttr sixteen = b.getI32IntegerAttr(16);
    if (vector)
      sixteen = SplatElementsAttr::get(cast<ShapedType>(wide), b.getI32IntegerAttr(16));
    Value x = LLVM::BitcastOp::create(b, bits, extension.getArg());
    x = LLVM::ShlOp::create(b, LLVM::ZExtOp::create(b, wide, x),
                            LLVM::ConstantOp::create(b, wide, sixteen));
    extension.replaceAllUsesWith(LLVM::BitcastOp::create(b, type, x).getResult());
    extension.erase();
  }

  /// f32 to bf16 rounds to the nearest, ties to even; NaN stays NaN.
  void narrowAsIntegers(LLVM::FPTruncOp truncation) {
    Type type = truncation.getType(), bits = bitsOf(type), from = truncation.getArg().getType();
    if (!bits || !getElementTypeOrSelf(from).isF32())
      return;
    ImplicitLocOpBuilder b(truncation.getLoc(), truncation);
    auto vector = dyn_cast<VectorType>(from);
    Type wide = vector ? Type(vector.clone(b.getI32Type())) : Type(b.getI32Type());
    auto constant = [&](int32_t v) -> Value {
      TypedAttr value = b.getI32IntegerAttr(v);
      if (vector)
        value = SplatElementsAttr::get(cast<ShapedType>(wide), b.getI32IntegerAttr(v));
      return LLVM::ConstantOp::create(b, wide, value);
    };
    Value x = LLVM::BitcastOp::create(b, wide, truncation.getArg()),
          upper = LLVM::LShrOp::create(b, x, constant(16));
    Value half =
        LLVM::AddOp::create(b, constant(0x7FFF), LLVM::AndOp::create(b, upper, constant(1)));
    Value rounded = LLVM::LShrOp::create(b, LLVM::AddOp::create(b, x, half), constant(16));
    Value quiet = LLVM::OrOp::create(b, upper, constant(0x40));
    Value isNumber =
        LLVM::FCmpOp::create(b, LLVM::FCmpPredicate::ord, truncation.getArg(), truncation.getArg());
    Value chosen =
        LLVM::TruncOp::create(b, bits, LLVM::SelectOp::create(b, isNumber, rounded, quiet));
    truncation.replaceAllUsesWith(LLVM::BitcastOp::create(b, type, chosen).getResult());
    truncation.erase();
  }

  void storeAsIntegers(LLVM::StoreOp store) {
    if (Type bits = bitsOf(store.getValue().getType())) {
      ImplicitLocOpBuilder b(store.getLoc(), store);
      store.getValueMutable().assign(LLVM::BitcastOp::create(b, bits, store.getValue()));
    }
  }

  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      llvm::TypeSwitch<Operation *>(op)
          .Case<LLVM::LoadOp, LLVM::MaskedLoadOp>([&](auto load) { loadAsIntegers(load); })
          .Case([&](LLVM::StoreOp store) { storeAsIntegers(store); })
          .Case([&](LLVM::FPExtOp extension) { widenAsIntegers(extension); })
          .Case([&](LLVM::FPTruncOp truncation) { narrowAsIntegers(truncation); });
    });
    for (auto f : llvm::make_early_inc_range(getOperation().getOps<LLVM::LLVMFuncOp>()))
      if (auto launch = f->getAttrOfType<exec::LaunchAttr>(kLaunchAttr);
          f->hasAttr(kSignatureAttr) && !(launch && launch.isGrid()))
        addEntry(f);
  }
};
} // namespace
