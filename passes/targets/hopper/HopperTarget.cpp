//===- HopperTarget.cpp - Hopper GPUs, and the device that stands in --------===//

#include "passes/targets/hopper/HopperTarget.h"
#include "dialects/fp8/Fp8.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Transforms/Passes.h"
#include "passes/Passes.h"
#include "passes/analysis/Products.h"
#include "passes/targets/cpu/NativeCode.h"
#include "passes/targets/cpu/SharedKernels.h"
#include "passes/targets/hopper/GridKernel.h"
#include "passes/targets/hopper/Products.h"
#include "passes/targets/hopper/Rows.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <mutex>

using namespace mlir;
using namespace hadal;

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

static constexpr StringRef kNames[] = {"sm_90a", "sm_90a-emulated"};

ArrayRef<StringRef> hadal::hopperTargetNames() { return kNames; }

bool hadal::isHopperTarget(StringRef name) {
  return llvm::is_contained(kNames, name.split(':').first);
}

/// "serial,rows"; all of them where nothing is said.
static llvm::Expected<Tiers> tiersOf(StringRef text) {
  if (text.empty())
    return Tiers();
  Tiers tiers{false, false};
  for (StringRef tier : llvm::split(text, ',')) {
    if (tier == "rows")
      tiers.rows = true;
    else if (tier == "tensor")
      tiers.tensor = true;
    else if (tier != "serial")
      return llvm::createStringError("wants tiers among serial, rows and tensor, got " + tier);
  }
  return tiers;
}

/// The name of a target of these tiers: one way to write each.
static std::string nameOf(StringRef base, const Tiers &tiers) {
  if (tiers.rows && tiers.tensor)
    return base.str();
  return (base + ":serial" + (tiers.rows ? ",rows" : "") + (tiers.tensor ? ",tensor" : "")).str();
}

llvm::Expected<std::unique_ptr<const Target>> hadal::makeHopperTarget(StringRef name,
                                                                      StringRef ptxas) {
  auto [base, text] = name.split(':');
  auto tiers = tiersOf(text);
  if (!tiers)
    return tiers.takeError();
  std::string known = nameOf(base, *tiers);
  if (base == "sm_90a") {
    auto found = findPtxas(ptxas);
    if (!found)
      return found.takeError();
    return std::make_unique<HopperTarget>(known, *tiers, nullptr, *found);
  }
  bool isArm = llvm::Triple(llvm::sys::getDefaultTargetTriple()).isAArch64();
  auto host = findTarget(isArm ? "aarch64" : "x86-64-v3");
  if (!host)
    return host.takeError();
  return std::make_unique<HopperTarget>(known, *tiers, &(*host)->processor(), std::nullopt);
}

/// Serial kernels: a GPU's threads have few registers, and LLVM takes long over wide tiles. Panels
/// are as wide as those of most CPUs.
static constexpr VectorShape kSerialShape = {/*lanes=*/4, /*rows=*/1, /*panel=*/16};
/// Threads of a block of a serial kernel: a warp, so that few tasks spread over the device.
static constexpr int64_t kSerialThreads = 32;

static Processor processorOf(const Processor *host) {
  if (!host)
    return {"nvptx64-nvidia-cuda", "sm_90a", {"ptx88"}};
  return {host->triple, "sm_90a", host->features};
}

HopperTarget::HopperTarget(std::string name, Tiers tiers, const Processor *host,
                           std::optional<Ptxas> ptxas)
    : known(std::move(name)), tiers(tiers), isEmulated(host), about(processorOf(host)),
      compiled(host ? *host : about), serial(compiled, kSerialShape), ptxas(std::move(ptxas)) {}

bool HopperTarget::emits(CodeForm form) const {
  switch (form) {
  case CodeForm::Binary: return isEmulated;
  case CodeForm::Ptx: return !isEmulated;
  case CodeForm::Disassembly: return ptxas && !ptxas->disassembler.empty();
  case CodeForm::Assembly:
  case CodeForm::LlvmIr: return true;
  }
  return false;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// Tensor cores take weights as stored, whatever else reads them.
exec::LayoutAttr HopperTarget::layoutOf(RankedTensorType type,
                                        ArrayRef<OpOperand *> readers) const {
  bool inTensorCores = tiers.tensor && llvm::any_of(readers, [](OpOperand *reader) {
                         return canLowerProduct(reader->getOwner());
                       });
  return inTensorCores ? exec::LayoutAttr() : serial.layoutOf(type, readers);
}

/// True if tensor cores make the rows that `op` is, or what it goes over.
static bool isOfTensorCores(Operation *op) {
  return canLowerProduct(op) ||
         (isEpilogue(op) && llvm::any_of(productsUnder(cast<linalg::GenericOp>(op)),
                                         [](const Product &p) { return canLowerProduct(p.op); }));
}

/// What the CPU's kernels share, but that rows of tensor cores are quantized by a kernel of their
/// own: tiles of scales are no part of a product's box.
bool HopperTarget::sharesKernel(Operation *producer, Operation *consumer) const {
  if (tiers.tensor && isa<fp8::QuantizeOp>(consumer) && isOfTensorCores(producer))
    return false;
  return serial.sharesKernel(producer, consumer);
}

LogicalResult HopperTarget::lower(func::FuncOp kernel) const {
  if (tiers.tensor && isProductKernel(kernel))
    return lowerProduct(kernel);
  if (tiers.rows && canLowerRows(kernel))
    return lowerRows(kernel);
  auto module = kernel->getParentOfType<ModuleOp>();
  StringAttr name = kernel.getSymNameAttr();
  if (failed(serial.lower(kernel)))
    return failure();
  auto lowered = module.lookupSymbol<func::FuncOp>(name);
  auto launch = lowered->getAttrOfType<exec::LaunchAttr>(kLaunchAttr);
  // With scratch there are no more threads than the device runs at a time: each has its own.
  int64_t scratch = llvm::alignTo(launch.getScratchBytes(), 64);
  launchAsGrid(lowered, {.tier = "serial",
                         .threads = kSerialThreads,
                         .scratchBytes = scratch,
                         .persistent = scratch != 0});
  return success();
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

void HopperTarget::addCodePasses(OpPassManager &pm) const {
  // First the ops that are a GPU's own instructions, while memory is memrefs.
  pm.addPass(isEmulated ? createHopperToEmulator() : createHopperToNvvm());
  serial.addCodePasses(pm);
  HadalGridEntriesOptions options;
  options.emulated = isEmulated;
  pm.addPass(createHadalGridEntries(options));
  if (!isEmulated)
    pm.addPass(createConvertNVVMToLLVMPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

llvm::Expected<CodeObject> HopperTarget::emit(ModuleOp kernels, CodeForm form) const {
  if (form == CodeForm::LlvmIr || (form == CodeForm::Assembly && isEmulated)) {
    auto text = printKernels(kernels, compiled, form);
    if (!text)
      return text.takeError();
    return CodeObject{form, std::move(*text), {}};
  }
  auto parts = emitParts(kernels, nullptr);
  if (!parts)
    return parts.takeError();
  std::vector<std::string> names = kernelNames(kernels);
  if (names.empty())
    names.emplace_back(); // where there is no kernel
  std::vector<NamedPart> named;
  for (auto [name, part] : llvm::zip_equal(names, *parts))
    named.push_back({name, part, {}, {}});
  if (form != CodeForm::Disassembly)
    return link(named);
  std::string text;
  auto assembled = assemble(named, nullptr);
  if (!assembled)
    return assembled.takeError();
  for (const std::string &one : *assembled) {
    auto kernel = assembledFromBytes(one);
    auto part = kernel ? disassemble(*ptxas, kernel->code) : kernel.takeError();
    if (!part)
      return part.takeError();
    text += *part;
  }
  return CodeObject{form, std::move(text), {}};
}

llvm::Expected<std::vector<std::string>>
HopperTarget::emitParts(ModuleOp kernels, const CodeProgress &progress) const {
  return compileKernels(kernels, compiled, progress);
}

/// The PTX of a part, its entry under its name.
static std::string namedPtx(const NamedPart &part) {
  std::string text;
  for (StringRef rest = part.bytes; !rest.empty();) {
    auto [before, after] = rest.split(kernelEntry());
    text += before;
    if (before.size() != rest.size())
      text += part.name;
    rest = after;
  }
  return text;
}

llvm::Expected<std::vector<std::string>>
HopperTarget::assemble(ArrayRef<NamedPart> parts, const CodeProgress &progress) const {
  std::vector<std::string> made(parts.size()), errors(parts.size());
  std::mutex telling;
  size_t done = 0;
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(parts.size()));
  for (size_t i = 0; i < parts.size(); ++i)
    pool.async([&, i] {
      auto one = hadal::assemble(*ptxas, parts[i].name, namedPtx(parts[i]));
      if (one)
        made[i] = toBytes(*one);
      else
        errors[i] = llvm::toString(one.takeError());
      std::lock_guard lock(telling);
      if (progress)
        progress(++done, parts.size());
    });
  pool.wait();
  for (const std::string &error : errors)
    if (!error.empty())
      return llvm::createStringError(error);
  return made;
}

/// PTX allows letters, digits, _ and $.
static bool canName(StringRef name) {
  return !name.empty() && !llvm::isDigit(name[0]) &&
         llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_' || c == '$'; });
}

llvm::Expected<CodeObject> HopperTarget::link(ArrayRef<NamedPart> parts) const {
  if (isEmulated) {
    auto code = linkKernels(parts);
    if (!code)
      return code.takeError();
    return CodeObject{CodeForm::Binary, std::move(*code), {}};
  }
  CodeObject code{CodeForm::Ptx, "", {}};
  for (const NamedPart &part : parts) {
    if (!part.name.empty() && (!canName(part.name) || part.name.size() > kernelEntry().size()))
      return llvm::createStringError("wants names of kernels of letters, digits and _, got " +
                                     part.name);
    // The head, which names version and processor, is there once.
    std::string text = namedPtx(part);
    StringRef rest = text, head = ".address_size 64\n";
    if (!code.bytes.empty())
      rest = rest.substr(rest.find(head) + head.size());
    code.bytes += rest;
    if (part.assembled.empty())
      continue;
    auto assembled = assembledFromBytes(part.assembled);
    if (!assembled)
      return assembled.takeError();
    code.assembled.push_back(std::move(*assembled));
  }
  return code;
}
