//===- CpuTarget.cpp - processors as targets ------------------------------===//

#include "passes/targets/cpu/CpuTarget.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"
#include "passes/Passes.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/NativeCode.h"
#include "runtime/device/CpuFeatures.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace mlir;
using namespace hadal;

//===----------------------------------------------------------------------===//
// Names and features
//===----------------------------------------------------------------------===//

static constexpr StringRef kX86Triple = "x86_64-unknown-linux-gnu";

/// Features that kernels profit from and that a runtime can ask a CPU about.
static constexpr const char *x86Features[] = {
    "sse3",     "ssse3",    "sse4.1",   "sse4.2",   "popcnt",     "avx",      "avx2",
    "fma",      "f16c",     "bmi",      "bmi2",     "lzcnt",      "movbe",    "avx512f",
    "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512bf16", "amx-bf16", "amx-tile"};
// x86-64-v3 ends before AVX-512, x86-64-v4 before AVX-512-BF16, and that before AMX.
static constexpr size_t v3Count = 13, v4Count = 18, bf16Count = 19;

static constexpr StringRef kNames[] = {"host",      "aarch64",       "x86-64-v2+fma", "x86-64-v3",
                                       "x86-64-v4", "x86-64-v4+amx", "x86-64-v4+bf16"};

ArrayRef<StringRef> hadal::cpuTargetNames() { return kNames; }

static bool has(const Processor &processor, StringRef feature) {
  return llvm::is_contained(processor.features, feature);
}

static VectorShape shapeOf(const Processor &processor) {
  VectorShape shape = vectorShapeFor(has(processor, "avx512f") ? 16
                                     : has(processor, "avx2")  ? 8
                                                               : 4);
  // These go with vectors of 16 lanes. Processors with tiles multiply pairs at 0.6 of the rate of
  // f32 (Sapphire Rapids), those without at 1.6 (Zen 5).
  bool inPairs = shape.lanes == 16 && has(processor, "avx512bf16");
  shape.tiles = inPairs && has(processor, "amx-bf16") && has(processor, "amx-tile");
  shape.pairs = inPairs && !shape.tiles;
  return shape;
}

static StringRef nameOf(const Processor &processor, const VectorShape &shape) {
  if (!llvm::Triple(processor.triple).isX86())
    return "aarch64";
  return shape.tiles         ? "x86-64-v4+amx"
         : shape.pairs       ? "x86-64-v4+bf16"
         : shape.lanes == 16 ? "x86-64-v4"
         : shape.lanes == 8  ? "x86-64-v3"
                             : "x86-64-v2+fma";
}

static llvm::Expected<Processor> hostProcessor() {
  llvm::Triple host(llvm::sys::getDefaultTargetTriple());
  if (host.isAArch64())
    return Processor{"aarch64-unknown-linux-gnu", "generic", {"neon"}};
  if (!host.isX86())
    return llvm::createStringError("no code is made for this machine (" + host.getArchName() + ")");
  Processor processor{host.str(), llvm::sys::getHostCPUName().str(), {}};
  for (const char *feature : x86Features)
    if (std::binary_search(cpuFeatures().begin(), cpuFeatures().end(), feature))
      processor.features.push_back(feature);
  if (!has(processor, "fma"))
    return llvm::createStringError("wants a CPU with fused multiply-add, " + processor.name +
                                   " has none");
  return processor;
}

llvm::Expected<std::unique_ptr<const Target>> hadal::makeCpuTarget(StringRef name) {
  auto make = [](Processor processor) { return std::make_unique<CpuTarget>(std::move(processor)); };
  if (name == "host") {
    auto host = hostProcessor();
    if (!host)
      return host.takeError();
    return make(std::move(*host));
  }
  if (name == "aarch64")
    return make({"aarch64-unknown-linux-gnu", "generic", {"neon"}});
  if (name == "x86-64-v2+fma")
    return make({kX86Triple.str(),
                 name.str(),
                 {"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "fma", "f16c"}});
  size_t count = name.ends_with("amx")    ? std::size(x86Features)
                 : name.ends_with("bf16") ? bf16Count
                 : name.ends_with("v3")   ? v3Count
                                          : v4Count;
  return make({kX86Triple.str(), name.str(), {x86Features, x86Features + count}});
}

CpuTarget::CpuTarget(Processor processor) : CpuTarget(processor, shapeOf(processor)) {}

CpuTarget::CpuTarget(Processor processor, VectorShape kernelShape)
    : about(std::move(processor)), shape(kernelShape), known(nameOf(about, shape)) {
  if (!shape.tiles)
    return;
  Processor rest = about;
  llvm::erase_if(rest.features,
                 [](StringRef f) { return f.starts_with("amx-") || f == "avx512bf16"; });
  plain = std::make_unique<const CpuTarget>(std::move(rest));
}

const Target &CpuTarget::withoutMatrixUnits() const { return plain ? *plain : *this; }

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

LogicalResult CpuTarget::lower(func::FuncOp kernel) const { return lowerKernel(kernel, shape); }

void CpuTarget::addCodePasses(OpPassManager &pm) const {
  // bf16 lies in memory only: operations on it widen, and round what they store.
  pm.addNestedPass<func::FuncOp>(arith::createArithEmulateUnsupportedFloats({{"bf16"}, "f32"}));
  pm.addNestedPass<func::FuncOp>(math::createMathExtendToSupportedTypes());
  // Polynomials before the rest: what they are made of is simplified with all else.
  pm.addNestedPass<func::FuncOp>(createHadalExpandMath());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addNestedPass<func::FuncOp>(createConvertVectorToSCFPass());
  // Views become base, offset and strides before memrefs become pointers.
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  // Last, because it needs to see memrefs as the parts they became.
  pm.addPass(createHadalKernelEntries());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

llvm::Expected<CodeObject> CpuTarget::emit(ModuleOp kernels, CodeForm form) const {
  if (form != CodeForm::Binary) {
    auto text = printKernels(kernels, about, form);
    if (!text)
      return text.takeError();
    return CodeObject{form, std::move(*text), {}};
  }
  auto parts = emitParts(kernels, nullptr);
  if (!parts)
    return parts.takeError();
  std::vector<std::string> names = kernelNames(kernels);
  if (names.empty())
    names.emplace_back(); // links where there is no kernel
  std::vector<NamedPart> named;
  for (auto [name, part] : llvm::zip_equal(names, *parts))
    named.push_back({name, part, {}, {}});
  return link(named);
}

llvm::Expected<std::vector<std::string>> CpuTarget::emitParts(ModuleOp kernels,
                                                              const CodeProgress &progress) const {
  return compileKernels(kernels, about, progress);
}

llvm::Expected<CodeObject> CpuTarget::link(ArrayRef<NamedPart> parts) const {
  auto code = linkKernels(parts);
  if (!code)
    return code.takeError();
  return CodeObject{CodeForm::Binary, std::move(*code), {}};
}
