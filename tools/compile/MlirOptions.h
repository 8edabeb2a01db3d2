//===- MlirOptions.h - what hadal-compile has of mlir-opt ---------*- C++ -*-===//
//
// The options --mlir-..., which print IR after passes, time them or write what crashed one, and
// diagnostics with the line of the source.
//
//===------------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_COMPILE_MLIROPTIONS_H
#define HADAL_TOOLS_COMPILE_MLIROPTIONS_H

#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/SourceMgr.h"

namespace hadal {

/// Takes the options --mlir-... out of the arguments and has MLIR read them; before there is a
/// context. What is wrong with them is told on stderr.
class MlirOptions {
public:
  /// False: one of them is wrong.
  bool take(int &argc, char **argv);

  /// Whether there were any.
  bool any() const { return found; }

  /// What they say of a pass manager. `isVerbose` names each pass on stderr as it runs.
  llvm::LogicalResult apply(mlir::PassManager &pm, bool isVerbose) const;

private:
  bool found = false;
};

/// Prints the first of the context's errors during its life: "graph.mlir:3:8: error: ...", with the
/// line and a caret, where they lie in a file, else "hadal-compile: loc("layers.3.mlp"): ...".
/// One thread at a time.
class Diagnostics {
public:
  Diagnostics(mlir::MLIRContext &context, llvm::SourceMgr &sources);

  /// Whether there was one.
  bool any() const { return isTold; }

private:
  mlir::SourceMgrDiagnosticHandler inFiles;
  mlir::ScopedDiagnosticHandler elsewhere; ///< asked first
  bool isTold = false;
};

} // namespace hadal

#endif // HADAL_TOOLS_COMPILE_MLIROPTIONS_H
