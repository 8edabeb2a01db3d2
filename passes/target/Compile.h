// From a graph to what hadal-compile writes.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <string>

namespace hadal {

struct CompileOptions {
  std::string cpu = "native";
  std::string emit = "module"; ///< module, exe, graph, memory, kernels, llvm, asm, object
  std::string output;          ///< empty: standard output (text forms only)
  int64_t pageTokens = 64;
  std::string moments = "fp32";   ///< of a training module's optimizer: fp32 or bf16
  std::string products = "auto";  ///< of weights that training reads and writes: fma, tiles (AMX),
                                  ///< or auto: tiles where the CPU has them
  std::string recompute = "none"; ///< of a training module: none, report or all
  bool average = false;           ///< a training module keeps a moving average of the weights
  std::string runner;             ///< the hadal-run that --emit=exe makes a copy of
  std::string cacheFolder; ///< finished modules, by what they were made from; empty: none are kept
  /// Told what is being done, and how far it has come; called from one thread at a time.
  std::function<void(llvm::StringRef what, uint64_t done, uint64_t total)> progress;
};

/// Runs the pipelines and writes the result: atomically, or not at all. Details of a failure have
/// been reported through the context's diagnostics; the error says in a line what failed.
llvm::Error compile(mlir::ModuleOp module, const CompileOptions &options);

} // namespace hadal
