//===- Request.h - what hadal-compile is asked for ------------*- C++ -*-===//

#ifndef HADAL_TOOLS_COMPILE_REQUEST_H
#define HADAL_TOOLS_COMPILE_REQUEST_H

#include "frontend/BuildGraph.h"
#include "frontend/BuildTraining.h"
#include "passes/module/Compile.h"

#include <CLI/CLI.hpp>

#include <string>

namespace hadal {

/// The command line. Its defaults are those that --help shows.
struct CompileRequest {
  std::string input, output;
  std::string mode = "generate", cpu = "native", target, emit = "module", quantize;
  std::string tiers, ptxas = "auto";  ///< of a GPU's kernels
  frontend::TrainingOptions training; ///< whose ranks are those of generation, too
  job::Settings settings;
  std::string overlap = "on", reduction = "ordered";
  bool average = false, noCache = false, isVerbose = false;

  bool writesCheckpoint() const { return emit == "checkpoint"; }
  bool trains() const { return mode == "train"; }
  /// Whether INPUT is functions in MLIR's text, which say themselves what they are for.
  bool isGraph() const;
};

/// Declares all options; they are read into `request`, which must outlive `app`.
void declareOptions(CLI::App &app, CompileRequest &request);

/// Checks options against each other once they are read, before any work. What is wrong, in one
/// line, or an empty text.
std::string problemOf(const CLI::App &app, const CompileRequest &request);

} // namespace hadal

#endif // HADAL_TOOLS_COMPILE_REQUEST_H
