//===- CompileCache.h - modules and kernels by what they were made from -===//
//
// A folder of module files. A file's name is a digest of everything that its bytes depend on: the
// graph (but for locations, which nothing reads), the options, the target, and the compiler itself.
// Two compilers may use a folder at once: files come whole, by a rename, and one that is removed
// while it is read stays readable.
//
// Kernels have a folder beside it: another layout of a model, another --recompute or --mtp-weight
// is another module, most of whose kernels are the same.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGET_COMPILECACHE_H
#define HADAL_PASSES_TARGET_COMPILECACHE_H

#include "mlir/IR/BuiltinOps.h"
#include "passes/targets/Target.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace hadal {

class CompileCache {
public:
  /// `folder` is made when the first module is stored; empty: nothing is found and nothing stored.
  /// The least recently used modules go once all take more than HADAL_CACHE_BYTES (2 GiB where it
  /// is not set).
  explicit CompileCache(std::string folder);

  /// HADAL_CACHE_DIR, or $XDG_CACHE_HOME/hadal, or ~/.cache/hadal; in it the folder "modules".
  static std::string defaultFolder();

  /// The name of what `graph` becomes with these options. `options` holds all of them that are not
  /// in the graph.
  static std::string keyOf(mlir::ModuleOp graph, const Target &target, llvm::StringRef options);

  /// The payload of a module; none where there is no such file, or one that is damaged (which is
  /// removed).
  std::optional<std::vector<std::byte>> find(llvm::StringRef key) const;

  /// Keeps a payload. A folder that cannot be written to is no error: the next compilation takes as
  /// long as this one.
  void store(llvm::StringRef key, llvm::ArrayRef<std::byte> payload) const;

private:
  std::string folder;
};

/// Objects of kernels, as compileKernels makes them. One thread at a time.
class KernelCache {
public:
  /// `moduleFolder`: that of the modules, or empty, and nothing is found and nothing stored.
  KernelCache(llvm::StringRef moduleFolder, const Target &target);

  /// The name of what a kernel becomes. `text`: the kernel on memrefs, but for its own name.
  std::string keyOf(llvm::StringRef text) const;

  /// None where there is no such file, or one that is damaged (which is removed).
  std::optional<std::string> find(llvm::StringRef key) const;

  /// Keeps an object; what cannot be written is no error.
  void store(llvm::StringRef key, llvm::StringRef object) const;

  /// Removes the least recently used ones beyond HADAL_CACHE_BYTES.
  void prune() const;

private:
  std::string folder, compiler;
};

} // namespace hadal

#endif // HADAL_PASSES_TARGET_COMPILECACHE_H
