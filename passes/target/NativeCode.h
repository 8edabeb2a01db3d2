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

/// What is wanted besides, or instead of, code.
enum class CodeForm { SharedObject, Assembly, LlvmIr };

/// Told how many of a module's parts are compiled; called from one thread at a time.
using CodeProgress = std::function<void(size_t done, size_t total)>;

/// The kernels of `module` (LLVM dialect functions, nothing else) as a shared object that defines
/// their entries and needs nothing but memcpy, memmove and memset, or as text. Uses all cores that
/// this process may use; the bytes do not depend on how many these are.
llvm::Expected<std::string> compileKernels(mlir::ModuleOp module, const CpuTarget &target,
                                           CodeForm form, const CodeProgress &progress = nullptr);

} // namespace hadal
