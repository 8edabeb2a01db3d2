//===- FormChunks.h - a chunk as a program of commands ----------*- C++ -*-===//

#ifndef HADAL_PASSES_PROGRAMS_FORMCHUNKS_H
#define HADAL_PASSES_PROGRAMS_FORMCHUNKS_H

#include "passes/programs/ModuleBuffers.h"

namespace hadal {

/// Turns a function with `hadal.chunk` (--hadal-cut-chunks) whose calls name programs into a
/// program itself: calls on stream 0, sends, receives and exchanges on stream 1, and events where
/// one reads what the other makes.
mlir::LogicalResult formChunk(ModuleBuffers &shared, mlir::func::FuncOp f);

} // namespace hadal

#endif // HADAL_PASSES_PROGRAMS_FORMCHUNKS_H
