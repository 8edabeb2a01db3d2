//===- GraphJob.h - the options of a graph that is read from a file -*- C++ -*-===//

#ifndef HADAL_TOOLS_COMPILE_GRAPHJOB_H
#define HADAL_TOOLS_COMPILE_GRAPHJOB_H

#include "mlir/IR/BuiltinOps.h"

#include <CLI/CLI.hpp>

#include <string>

namespace hadal {

/// A graph's text says what its job is (--seq, --pp ...), and so need not be told. What the command
/// line says otherwise, in one line; empty where they agree.
std::string disagreement(const CLI::App &app, mlir::ModuleOp graph);

} // namespace hadal

#endif // HADAL_TOOLS_COMPILE_GRAPHJOB_H
