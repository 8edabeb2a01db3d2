//===- BuildTraining.h - the loss of a model as an MLIR module ----------===//

#ifndef HADAL_FRONTEND_BUILDTRAINING_H
#define HADAL_FRONTEND_BUILDTRAINING_H

#include "dialects/job/Options.h"
#include "frontend/Parameters.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

namespace hadal::frontend {

using job::TrainingOptions;

/// What of `options` cannot be, in one line; empty where all is well.
std::string checkRanks(const ModelConfig &config, const TrainingOptions &options);

/// The same of a checkpoint's block scales, which training reads in one element type.
std::string checkScales(const ModelDescription &model);

/// Builds and verifies the training graph: a private mutable ml_program.global for each parameter,
/// named as in the checkpoint, and one function
///
///     @loss(token_ids [T] i32, positions [T] i32, offsets [S+1] i32, targets [T] i32,
///           counts [2+D] i32,
///           for each depth d = 1 .. D of multi-token prediction: mtp.d.rows, mtp.d.token_ids,
///           mtp.d.positions, mtp.d.targets [T_d] i32, mtp.d.offsets [S+1] i32)
///         -> the total, losses [1+D+R] (main, each depth's, each routing layer's balance),
///            loads [E] i32 for each layer that routes
///
/// marked `hadal.differentiate`. With more than one rank it is one function per pipeline stage,
/// @stage.0, @stage.1 ...: the first has the embedding, the last the head and MTP; others take `x`
/// [T, H] after the other arguments and give `y` [T, H] after the other results. A target of -1
/// predicts nothing. `counts` are the whole step's: predictions of the main model, of each depth,
/// and sequences; every loss is a sum over this micro-batch divided by them, so losses and
/// gradients of micro-batches add up. Row i of depth d is made of row rows[i] of depth d-1's
/// representation (depth 0: the main model's, after its norm) and the embedding of token_ids[i].
/// `job.training`, `job.trainables` and `job.model` of the module say what a driver needs to know,
/// under the names of the tables in runtime/module/Module.fbs. Source: DeepSeek-V3,
/// arXiv:2412.19437, §2.1.2 eq. 17-20 (balance), §2.2 (MTP).
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> buildTraining(mlir::MLIRContext &context,
                                                                 const ModelConfig &config,
                                                                 const TrainingOptions &options);

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_BUILDTRAINING_H
