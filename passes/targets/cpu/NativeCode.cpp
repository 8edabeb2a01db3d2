//===- NativeCode.cpp - LLVM IR to a shared object -----------------------===//

#include "passes/targets/cpu/NativeCode.h"
#include "lld/Common/Driver.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Target/TargetMachine.h"
#include <mutex>
#include <optional>

LLD_HAS_DRIVER(elf)

using namespace mlir;
using namespace hadal;

static std::unique_ptr<llvm::TargetMachine> createMachine(const Processor &processor,
                                                          std::string &error) {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
  });
  llvm::Triple triple(processor.triple);
  const llvm::Target *found = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!found)
    return nullptr;
  std::string features;
  for (const std::string &f : processor.features)
    features += (features.empty() ? "+" : ",+") + f;
  // The generic CPU with named features: a CPU's name would bring features that the system may
  // mask.
  StringRef cpu = triple.isNVPTX() ? StringRef(processor.name)
                  : triple.isX86() ? "x86-64"
                                   : "generic";
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(triple, cpu, features, llvm::TargetOptions(), llvm::Reloc::PIC_,
                                 std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

/// PTX of several kernels is one text: what a kernel has beside its entry is named after that.
static void nameGlobals(llvm::Module &module) {
  if (!module.getFunction(kernelEntry()))
    return; // several kernels, under their own names
  size_t count = 0;
  for (llvm::GlobalVariable &global : module.globals())
    if (!global.getName().starts_with("llvm."))
      global.setName(kernelEntry() + "_" + std::to_string(count++));
}

/// Kernels, compiled in a context of their own. Without a form: an object.
static llvm::Expected<std::string> compilePart(ModuleOp part, const Processor &processor,
                                               std::optional<CodeForm> form = std::nullopt) {
  std::string error;
  auto machine = createMachine(processor, error);
  if (!machine)
    return llvm::createStringError(error);
  // The translation aligns loads and stores by it: without one, 64-bit numbers to 4 bytes, which a
  // GPU then moves in halves.
  if (machine->getTargetTriple().isNVPTX())
    part->setAttr(
        LLVM::LLVMDialect::getDataLayoutAttrName(),
        StringAttr::get(part.getContext(), machine->createDataLayout().getStringRepresentation()));
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module = translateModuleToLLVMIR(part, context);
  if (!module)
    return llvm::createStringError("kernels do not translate to LLVM IR");
  module->setTargetTriple(machine->getTargetTriple());
  module->setDataLayout(machine->createDataLayout());
  if (machine->getTargetTriple().isNVPTX())
    nameGlobals(*module);
  for (llvm::Function &f : *module) {
    if (f.isIntrinsic())
      continue;
    if (machine->getTargetTriple().isX86())
      f.addFnAttr("prefer-vector-width", "512");
    if (machine->getTargetTriple().isX86())
      f.addFnAttr("tune-cpu", processor.name.rfind("x86-64", 0) == 0 ? "generic" : processor.name);
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
      return llvm::createStringError("no code generator for " + processor.triple);
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
        !llvm::is_contained({"memcpy", "memmove", "memset", "_GLOBAL_OFFSET_TABLE_"}, *name) &&
        !name->starts_with("hadal_emu_"))
      return llvm::createStringError(
          "a kernel calls %s, which no kernel may: this operation has no code for the target",
          name->str().c_str());
  }
  return llvm::Error::success();
}

/// No kernel may lean on a library.
static llvm::Error checkPtx(StringRef text) {
  if (size_t at = text.find(".extern .func"); at != text.npos)
    return llvm::createStringError(
        "a kernel calls %s, which no kernel may: this operation has no code for the target",
        text.substr(at).split(';').first.str().c_str());
  return llvm::Error::success();
}

// An object holds names as plain strings, each with a zero after it: a shorter one fits in there.
const std::string &hadal::kernelEntry() {
  static const std::string name = "hadal_kernel_" + std::string(243, 'k');
  return name;
}

/// Names the entry, and what is named after it ("ENTRY.params").
static llvm::Error nameEntry(std::string &object, StringRef name) {
  const std::string &entry = kernelEntry();
  if (name.size() > entry.size())
    return llvm::createStringError("wants names of kernels of at most %zu bytes, got %s",
                                   entry.size(), name.str().c_str());
  size_t found = 0;
  for (size_t at = object.find(entry); at != object.npos; at = object.find(entry, at)) {
    StringRef rest = StringRef(object).substr(at + entry.size());
    std::string renamed = name.str() + rest.take_front(rest.find('\0')).str();
    found += rest.starts_with(StringRef("\0", 1));
    size_t end = at + entry.size() + rest.find('\0');
    std::fill(llvm::copy(renamed, object.begin() + at), object.begin() + end, '\0');
  }
  if (found != 1)
    return llvm::createStringError("kernels' object is malformed");
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

/// The entries of kernels, in order.
static auto entriesOf(ModuleOp module) {
  return llvm::make_filter_range(module.getOps<LLVM::LLVMFuncOp>(), [](LLVM::LLVMFuncOp f) {
    return !f.isExternal() && f.getLinkage() == LLVM::Linkage::External;
  });
}

/// What an entry needs: all that it names, and what is named after it. In the module's order.
static SmallVector<Operation *> membersOf(ModuleOp module, LLVM::LLVMFuncOp entry) {
  SymbolTable symbols(module);
  llvm::SetVector<Operation *> found;
  found.insert(entry);
  for (auto global : module.getOps<LLVM::GlobalOp>())
    if (global.getSymName().starts_with((entry.getSymName() + ".").str()))
      found.insert(global);
  for (size_t i = 0; i < found.size(); ++i)
    if (auto uses = SymbolTable::getSymbolUses(found[i]))
      for (const SymbolTable::SymbolUse &use : *uses)
        if (Operation *named = symbols.lookup(use.getSymbolRef().getRootReference()))
          found.insert(named);
  SmallVector<Operation *> members;
  for (Operation &op : *module.getBody())
    if (found.contains(&op))
      members.push_back(&op);
  return members;
}

/// Each kernel, with what it needs, as a module of its own.
static SmallVector<OwningOpRef<ModuleOp>> partsOf(ModuleOp module) {
  SmallVector<OwningOpRef<ModuleOp>> modules;
  for (LLVM::LLVMFuncOp entry : entriesOf(module)) {
    modules.push_back(ModuleOp::create(module.getLoc()));
    ModuleOp part = *modules.back();
    part->setAttrs(module->getAttrs());
    OpBuilder b = OpBuilder::atBlockEnd(part.getBody());
    StringRef name = entry.getSymName();
    // "k" and "k.params" are what others look up; what else is named after it is its own.
    llvm::StringMap<std::string> renamed;
    for (Operation *member : membersOf(module, entry)) {
      b.clone(*member);
      StringRef old = SymbolTable::getSymbolName(member).getValue(), rest = old;
      if (rest.consume_front(name) && (rest.empty() || rest.starts_with(".")))
        renamed[old] = rest == ".body" ? "body" : kernelEntry() + rest.str();
    }
    AttrTypeReplacer replacer;
    replacer.addReplacement([&](FlatSymbolRefAttr symbol) -> std::optional<Attribute> {
      auto known = renamed.find(symbol.getValue());
      return known == renamed.end() ? std::optional<Attribute>()
                                    : FlatSymbolRefAttr::get(symbol.getContext(), known->second);
    });
    for (Operation &op : *part.getBody()) {
      if (auto known = renamed.find(SymbolTable::getSymbolName(&op).getValue());
          known != renamed.end())
        SymbolTable::setSymbolName(&op, known->second);
      replacer.recursivelyReplaceElementsIn(&op);
    }
  }
  if (modules.empty())
    modules.push_back(ModuleOp::create(module.getLoc()));
  return modules;
}

std::vector<std::string> hadal::kernelNames(ModuleOp module) {
  std::vector<std::string> names;
  for (LLVM::LLVMFuncOp entry : entriesOf(module))
    names.push_back(entry.getSymName().str());
  return names;
}

llvm::Expected<std::string> hadal::printKernels(ModuleOp module, const Processor &processor,
                                                CodeForm form) {
  return compilePart(module, processor, form);
}

llvm::Expected<std::vector<std::string>>
hadal::compileKernels(ModuleOp module, const Processor &processor, const CodeProgress &progress) {
  std::string error;
  if (!createMachine(processor, error))
    return llvm::createStringError(error);
  bool isPtx = llvm::Triple(processor.triple).isNVPTX();
  SmallVector<OwningOpRef<ModuleOp>> modules = partsOf(module);
  std::vector<std::string> objects(modules.size()), errors(modules.size());
  std::mutex telling;
  size_t done = 0;
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(modules.size()));
  for (size_t i = 0; i < modules.size(); ++i)
    pool.async([&, i] {
      auto result = compilePart(*modules[i], processor,
                                isPtx ? std::optional(CodeForm::Assembly) : std::nullopt);
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
    if (auto failure = isPtx ? checkPtx(object) : checkSymbols(object))
      return std::move(failure);
  return objects;
}

llvm::Expected<std::string> hadal::linkKernels(ArrayRef<NamedPart> kernels) {
  std::vector<std::string> objects;
  for (const NamedPart &kernel : kernels) {
    objects.push_back(kernel.bytes.str());
    if (!kernel.name.empty())
      if (auto failure = nameEntry(objects.back(), kernel.name))
        return std::move(failure);
  }
  return link(objects);
}
