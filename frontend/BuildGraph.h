//===- BuildGraph.h - a model description as an MLIR module -------------===//

#ifndef HADAL_FRONTEND_BUILDGRAPH_H
#define HADAL_FRONTEND_BUILDGRAPH_H

#include "dialects/job/Job.h"
#include "frontend/Parameters.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

namespace hadal::frontend {

/// Builds and verifies the inference graph: a private ml_program.global for each parameter, named
/// as in the checkpoint, and one function
///
///     @forward(token_ids [T] i32, positions [T] i32, offsets [B+1] i32, logit_row_ids [R] i32)
///         -> logits [R, V], hidden.0 .. hidden.L [T, H],
///            router.k.topk_ids [T, K] i32 and router.k.topk_weights [T, K] for each layer k that
///            routes,
///            cache.k.ckv [T, rk] and cache.k.k_rope [T, dr] for each layer k
///
/// whose arguments and results carry these names as `exec.name`. The module's `job.model` says
/// what a driver needs to know, under the names of table Model in runtime/module/Module.fbs. Loads
/// the dialects it needs into the context. A failure has been reported through the context's
/// diagnostics.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> buildGraph(mlir::MLIRContext &context,
                                                              const ModelDescription &model);

/// What is wrong with the expert-parallel `ranks` of an inference module for this model, in a line;
/// empty when nothing is.
std::string checkRanks(const ModelConfig &config, const job::RankOptions &ranks);

/// `job.ranks` of the module that buildGraph made; nothing for one rank.
void setRanks(mlir::ModuleOp module, const job::RankOptions &ranks);

/// `job.model`: the fields of table Model. Null, with a diagnostic, where one is out of its range.
job::ModelAttr modelAttribute(mlir::MLIRContext *context, const ModelConfig &config);

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_BUILDGRAPH_H
