// Kernels to machine code: LLVM dialect -> LLVM IR -> objects -> one shared object.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <string>
#include <vector>

namespace hadal {

/// What code is generated for.
struct CpuTarget {
  std::string triple;
  std::string cpu; ///< as the user named it; "native" becomes the host's name
  std::vector<std::string>
      features;      ///< LLVM names that generated code may use, and a module asks for at load
  int64_t lanes = 8; ///< f32 lanes of a vector register

  /// "native" (the host's features as the system offers them; never from the CPU's name, which
  /// hypervisors belie), "x86-64-v3", "x86-64-v4", "x86-64-v4+amx" or "aarch64". Others are an
  /// error that lists these.
  static llvm::Expected<CpuTarget> parse(llvm::StringRef name);

  bool hasTiles() const; ///< AMX with bf16
  void dropTiles();      ///< code does without, and runs where there are none
};

/// Forms of code that people read.
enum class CodeForm { Assembly, LlvmIr };

/// Told how many of a module's kernels are compiled; called from one thread at a time.
using CodeProgress = std::function<void(size_t done, size_t total)>;

/// All kernels of `module` (LLVM dialect functions, nothing else) as text.
llvm::Expected<std::string> printKernels(mlir::ModuleOp module, const CpuTarget &target,
                                         CodeForm form);

/// Objects of the kernels of `module`, one each, in order; one that is empty where there is none.
/// Whatever a kernel's name, its entry is called kernelEntry: kernels that compute the same become
/// the same bytes. They need nothing but memcpy, memmove and memset. Uses all cores that this
/// process may use.
llvm::Expected<std::vector<std::string>> compileKernels(mlir::ModuleOp module,
                                                        const CpuTarget &target,
                                                        const CodeProgress &progress = nullptr);

/// A shared object that defines the entry of each object under its name, which is no longer than
/// kernelEntry. An empty name is for an object without an entry.
struct NamedObject {
  llvm::StringRef name, object;
};
llvm::Expected<std::string> linkKernels(llvm::ArrayRef<NamedObject> kernels);

} // namespace hadal
