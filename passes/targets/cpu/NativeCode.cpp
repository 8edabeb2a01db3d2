//===- NativeCode.cpp - LLVM IR to a shared object -----------------------===//

#include "passes/targets/cpu/NativeCode.h"
#include "lld/Common/Driver.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "runtime/device/CpuFeatures.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include <mutex>
#include <optional>

LLD_HAS_DRIVER(elf)

using namespace mlir;
using namespace hadal;

/// Features that kernels profit from and that a runtime can ask a CPU about.
static constexpr const char *x86Features[] = {
    "sse3",     "ssse3",    "sse4.1",   "sse4.2",   "popcnt",   "avx",     "avx2",
    "fma",      "f16c",     "bmi",      "bmi2",     "lzcnt",    "movbe",   "avx512f",
    "avx512bw", "avx512cd", "avx512dq", "avx512vl", "amx-bf16", "amx-tile"};
static constexpr size_t v3Count = 13,
                        v4Count = 18; // x86-64-v3 ends before AVX-512, x86-64-v4 before AMX

llvm::Expected<CpuTarget> CpuTarget::parse(StringRef name) {
  CpuTarget target;
  target.cpu = name.str();
  auto wide = [&] {
    return llvm::is_contained(target.features, "avx512f") ? 16
           : llvm::is_contained(target.features, "avx2")  ? 8
                                                          : 4;
  };
  llvm::Triple host(llvm::sys::getDefaultTargetTriple());
  if (name == "native" && host.isX86()) {
    target.triple = host.str();
    target.cpu = llvm::sys::getHostCPUName().str();
    for (const char *feature : x86Features)
      if (std::binary_search(cpuFeatures().begin(), cpuFeatures().end(), feature))
        target.features.push_back(feature);
    target.lanes = wide();
    if (!llvm::is_contained(target.features, "fma"))
      return llvm::createStringError(
          "--cpu=native wants a CPU with fused multiply-add, %s has none", target.cpu.c_str());
    return target;
  }
  if (name == "x86-64-v3" || name == "x86-64-v4" || name == "x86-64-v4+amx") {
    target.triple = "x86_64-unknown-linux-gnu";
    target.features.assign(x86Features,
                           name.ends_with("amx")
                               ? std::end(x86Features)
                               : x86Features + (name.ends_with("v3") ? v3Count : v4Count));
    target.lanes = wide();
    return target;
  }
  if (name == "aarch64" || (name == "native" && host.isAArch64())) {
    target.triple = "aarch64-unknown-linux-gnu";
    target.cpu = "generic";
    target.features = {"neon"};
    target.lanes = 4;
    return target;
  }
  return llvm::createStringError(
      "--cpu wants native, x86-64-v3, x86-64-v4, x86-64-v4+amx or aarch64, got %s",
      name.str().c_str());
}

bool CpuTarget::hasTiles() const {
  return llvm::is_contained(features, "amx-bf16") && llvm::is_contained(features, "amx-tile");
}

void CpuTarget::dropTiles() {
  llvm::erase_if(features, [](StringRef f) { return f.starts_with("amx-"); });
}

static std::unique_ptr<llvm::TargetMachine> createMachine(const CpuTarget &target,
                                                          std::string &error) {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
  });
  llvm::Triple triple(target.triple);
  const llvm::Target *found = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!found)
    return nullptr;
  std::string features;
  for (const std::string &f : target.features)
    features += (features.empty() ? "+" : ",+") + f;
  // The generic CPU with named features: a CPU's name would bring features that the system may
  // mask.
  StringRef cpu = triple.isX86() ? "x86-64" : "generic";
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(triple, cpu, features, llvm::TargetOptions(), llvm::Reloc::PIC_,
                                 std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

/// Kernels, compiled in a context of their own. Without a form: an object.
static llvm::Expected<std::string> compilePart(ModuleOp part, const CpuTarget &target,
                                               std::optional<CodeForm> form = std::nullopt) {
  std::string error;
  auto machine = createMachine(target, error);
  if (!machine)
    return llvm::createStringError(error);
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module = translateModuleToLLVMIR(part, context);
  if (!module)
    return llvm::createStringError("kernels do not translate to LLVM IR");
  module->setTargetTriple(machine->getTargetTriple());
  module->setDataLayout(machine->createDataLayout());
  for (llvm::Function &f : *module) {
    f.addFnAttr("prefer-vector-width", "512");
    if (machine->getTargetTriple().isX86())
      f.addFnAttr("tune-cpu", target.cpu.rfind("x86-64", 0) == 0 ? "generic" : target.cpu);
    f.setDSOLocal(!f.isDeclaration());
  }
  if (auto failure = makeOptimizingTransformer(3, 0, machine.get())(module.get()))
    return std::move(failure);
  llvm::SmallVector<char> bytes;
  llvm::raw_svector_ostream out(bytes);
  if (form == CodeForm::LlvmIr) {
    module->print(out, nullptr);
  } else {
    llvm::legacy::PassManager passes;
    auto type = form == CodeForm::Assembly ? llvm::CodeGenFileType::AssemblyFile
                                           : llvm::CodeGenFileType::ObjectFile;
    if (machine->addPassesToEmitFile(passes, out, nullptr, type))
      return llvm::createStringError("no code generator for " + target.triple);
    passes.run(*module);
  }
  return std::string(bytes.begin(), bytes.end());
}

/// No kernel may lean on a library: only the memory functions that LLVM itself makes of loops are
/// left open.
static llvm::Error checkSymbols(StringRef object) {
  auto file = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(object, "kernels"));
  if (!file)
    return file.takeError();
  for (const llvm::object::SymbolRef &symbol : (*file)->symbols()) {
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    if (!flags || !name)
      return llvm::createStringError("kernels' object is malformed");
    if ((*flags & llvm::object::SymbolRef::SF_Undefined) && !name->empty() &&
        !llvm::is_contained({"memcpy", "memmove", "memset", "_GLOBAL_OFFSET_TABLE_"}, *name))
      return llvm::createStringError(
          "a kernel calls %s, which no kernel may: this operation has no code for the target",
          name->str().c_str());
  }
  return llvm::Error::success();
}

/// What entries are called until they are linked. Names lie in the object as they are, each with a
/// zero after it: a shorter one takes its place.
static const std::string &kernelEntry() {
  static const std::string name = "hadal_kernel_" + std::string(243, 'k');
  return name;
}

static llvm::Error nameEntry(std::string &object, StringRef name) {
  const std::string &entry = kernelEntry();
  if (name.size() > entry.size())
    return llvm::createStringError("wants names of kernels of at most %zu bytes, got %s",
                                   entry.size(), name.str().c_str());
  size_t at = object.find(entry);
  if (at == object.npos || object.find(entry, at + entry.size()) != object.npos)
    return llvm::createStringError("kernels' object is malformed");
  std::fill_n(llvm::copy(name, object.begin() + at), entry.size() - name.size(), '\0');
  return llvm::Error::success();
}

static llvm::Expected<std::string> link(ArrayRef<std::string> objects) {
  // lld reads and writes files; they live for the call only.
  SmallVector<llvm::SmallString<128>> paths(objects.size() + 1);
  struct Remove {
    SmallVector<llvm::SmallString<128>> &paths;
    ~Remove() {
      for (auto &p : paths)
        if (!p.empty())
          llvm::sys::fs::remove(p);
    }
  } remove{paths};
  for (auto [i, path] : llvm::enumerate(paths)) {
    int descriptor;
    if (auto code = llvm::sys::fs::createTemporaryFile("hadal", i < objects.size() ? "o" : "so",
                                                       descriptor, path))
      return llvm::createStringError(code, "cannot make a temporary file: %s",
                                     code.message().c_str());
    llvm::raw_fd_ostream out(descriptor, /*shouldClose=*/true);
    if (i < objects.size())
      out << objects[i];
    out.close();
    if (std::error_code code = out.error()) {
      out.clear_error(); // a stream that dies with an error ends the program
      return llvm::createStringError(code, "%s: %s", path.c_str(), code.message().c_str());
    }
  }
  SmallVector<const char *> arguments{"ld.lld", "-shared",     "--gc-sections",
                                      "-z",     "noexecstack", "--hash-style=gnu",
                                      "-s",     "-o",          paths.back().c_str()};
  for (auto &p : MutableArrayRef(paths).drop_back())
    arguments.push_back(p.c_str());
  std::string messages;
  llvm::raw_string_ostream out(messages);
  auto result = lld::lldMain(arguments, out, out, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode)
    return llvm::createStringError("linking the kernels failed: " +
                                   StringRef(messages).trim().split('\n').first);
  auto buffer = llvm::MemoryBuffer::getFile(paths.back());
  if (!buffer)
    return llvm::createStringError(buffer.getError(), "%s: %s", paths.back().c_str(),
                                   buffer.getError().message().c_str());
  return (*buffer)->getBuffer().str();
}

/// Each kernel, an entry and its body, as a module of its own.
static SmallVector<OwningOpRef<ModuleOp>> partsOf(ModuleOp module) {
  SmallVector<OwningOpRef<ModuleOp>> modules;
  llvm::StringMap<ModuleOp> partOf;
  for (auto f : module.getOps<LLVM::LLVMFuncOp>()) {
    StringRef kernel = f.getSymName();
    bool isBody = kernel.consume_back(".body");
    ModuleOp &part = partOf[kernel];
    if (!part) {
      modules.push_back(ModuleOp::create(module.getLoc()));
      part = *modules.back();
      part->setAttrs(module->getAttrs());
    }
    OpBuilder b = OpBuilder::atBlockEnd(part.getBody());
    auto copy = cast<LLVM::LLVMFuncOp>(b.clone(*f));
    copy.setSymName(isBody ? "body" : kernelEntry());
    copy.walk([](LLVM::CallOp call) {
      if (call.getCallee() && call.getCallee()->ends_with(".body"))
        call.setCallee("body");
    });
  }
  if (modules.empty())
    modules.push_back(ModuleOp::create(module.getLoc()));
  return modules;
}

llvm::Expected<std::string> hadal::printKernels(ModuleOp module, const CpuTarget &target,
                                                CodeForm form) {
  return compilePart(module, target, form);
}

llvm::Expected<std::vector<std::string>>
hadal::compileKernels(ModuleOp module, const CpuTarget &target, const CodeProgress &progress) {
  std::string error;
  if (!createMachine(target, error))
    return llvm::createStringError(error);
  SmallVector<OwningOpRef<ModuleOp>> modules = partsOf(module);
  std::vector<std::string> objects(modules.size()), errors(modules.size());
  std::mutex telling;
  size_t done = 0;
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(modules.size()));
  for (size_t i = 0; i < modules.size(); ++i)
    pool.async([&, i] {
      auto result = compilePart(*modules[i], target);
      if (result)
        objects[i] = std::move(*result);
      else
        errors[i] = llvm::toString(result.takeError());
      std::lock_guard lock(telling);
      if (progress)
        progress(++done, modules.size());
    });
  pool.wait();
  for (const std::string &e : errors)
    if (!e.empty())
      return llvm::createStringError(e);
  for (const std::string &object : objects)
    if (auto failure = checkSymbols(object))
      return std::move(failure);
  return objects;
}

llvm::Expected<std::string> hadal::linkKernels(ArrayRef<NamedObject> kernels) {
  std::vector<std::string> objects;
  for (const NamedObject &kernel : kernels) {
    objects.push_back(kernel.object.str());
    if (!kernel.name.empty())
      if (auto failure = nameEntry(objects.back(), kernel.name))
        return std::move(failure);
  }
  return link(objects);
}
