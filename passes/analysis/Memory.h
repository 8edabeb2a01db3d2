//===- Memory.h - what a training job will take -----------------*- C++ -*-===//
//
// Known when its module is written.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_ANALYSIS_MEMORY_H
#define HADAL_PASSES_ANALYSIS_MEMORY_H

#include "dialects/job/Job.h"
#include "mlir/IR/BuiltinOps.h"

namespace hadal {

/// The registers of the program `gradients` for a whole micro-batch, from `job.training`.
llvm::SmallVector<int64_t> microBatchRegisters(job::TrainingAttr training);

/// Bytes of memory at the peak of a step: the module's states, the temporaries of its largest
/// program at the sizes of a whole micro-batch (as --exec-plan-memory laid them out), and the
/// process around them. Data files are not counted. 0, unknown, on many ranks.
int64_t predictPeakBytes(mlir::ModuleOp module, job::TrainingAttr training);

} // namespace hadal

#endif // HADAL_PASSES_ANALYSIS_MEMORY_H
