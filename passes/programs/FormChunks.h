// A chunk of a pipeline stage as a program of commands.
#pragma once
#include "passes/programs/ModuleBuffers.h"

namespace hadal {

/// Turns a function with `hadal.chunk` (--hadal-cut-chunks) whose calls name programs into a
/// program itself: calls on stream 0, sends, receives and exchanges on stream 1, and events where
/// one reads what the other makes.
mlir::LogicalResult formChunk(ModuleBuffers &shared, mlir::func::FuncOp f);

} // namespace hadal
