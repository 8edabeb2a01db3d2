//===- Compile.h - a graph to what hadal-compile writes ---------*- C++ -*-===//

#ifndef HADAL_PASSES_MODULE_COMPILE_H
#define HADAL_PASSES_MODULE_COMPILE_H

#include "dialects/job/Options.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace hadal {

struct CompileOptions {
  std::string target = "native";      ///< a processor or a GPU
  std::string targetOption = "--cpu"; ///< what a person said it with, for errors
  std::string tiers;                  ///< of a GPU's kernels: "serial,rows"; empty: all
  std::string ptxas = "auto";         ///< auto, off or a path
  /// module, exe, graph, gradients, memory, pipeline, kernels, hopper, llvm, asm, ptx, sass, object
  std::string emit = "module";
  std::string output;      ///< empty: standard output (text forms only)
  job::Settings settings;  ///< written into the graph
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

/// The same as the payload of a module file (moduleBytes makes the file of it); `emit` and `output`
/// mean nothing.
llvm::Expected<std::vector<std::byte>> compilePayload(mlir::ModuleOp module,
                                                      const CompileOptions &options);

} // namespace hadal

#endif // HADAL_PASSES_MODULE_COMPILE_H
