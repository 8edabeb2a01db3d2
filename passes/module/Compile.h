// From a graph to what hadal-compile writes.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <optional>
#include <string>

namespace hadal {

/// What a graph may be told of how it is compiled: attribute `hadal.settings` of the module, so
/// that its text compiles to what the graph compiled to. What is empty is for the graph to say.
struct CompileSettings {
  std::optional<std::string> moments;   ///< of a training module's optimizer: fp32 or bf16
  std::optional<std::string> products;  ///< of weights that training reads and writes: fma, tiles
                                        ///< (AMX), or auto: tiles where the CPU has them
  std::optional<std::string> recompute; ///< of a training module: none, report or all
  std::optional<bool> average;          ///< a training module keeps a moving average of the weights
  std::optional<int64_t> pageTokens;    ///< positions of a page of the latent cache (hadal.model)
};

struct CompileOptions {
  std::string cpu = "native";
  /// module, exe, graph, gradients, memory, pipeline, kernels, llvm, asm, object
  std::string emit = "module";
  std::string output; ///< empty: standard output (text forms only)
  CompileSettings settings;
  std::string runner;      ///< the hadal-run that --emit=exe makes a copy of
  std::string cacheFolder; ///< finished modules, by what they were made from; empty: none are kept
  /// Told what is being done, and how far it has come; called from one thread at a time.
  std::function<void(llvm::StringRef what, uint64_t done, uint64_t total)> progress;
  /// Told of each pass manager before it runs; may be null.
  std::function<llvm::LogicalResult(mlir::PassManager &)> configure;
};

/// Runs the pipelines and writes the result: atomically, or not at all. Details of a failure have
/// been reported through the context's diagnostics; the error says in a line what failed.
llvm::Error compile(mlir::ModuleOp module, const CompileOptions &options);

} // namespace hadal
