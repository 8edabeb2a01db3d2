//===- Balance.h - how evenly experts are chosen ----------------*- C++ -*-===//
//
// How evenly experts are chosen: the loss that pulls on it, the loads that a step counts, and the
// bias that moves by them. Source: DeepSeek-V3, arXiv:2412.19437, §2.1.2.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_FRONTEND_LOSSES_BALANCE_H
#define HADAL_FRONTEND_LOSSES_BALANCE_H

#include "frontend/Blocks.h"

namespace hadal::frontend {

/// Rows that each expert of a layer got. [E] i32
mlir::Value expertLoads(GraphBuilder &b, const ModelConfig &c, const Blocks::Experts &experts);

/// The sequence-wise balance loss of a layer, unweighted. `offsets` [S+1] i32 says where sequences
/// begin. [S] f32
mlir::Value balanceLoss(GraphBuilder &b, const ModelConfig &c, const Blocks::Experts &experts,
                        mlir::Value offsets);

/// Builds @balance at the end of the module: moves the correction bias of each of `layers`, where
/// the model has one, by `step` as the step's loads say, and returns how far the loads are from
/// even, max / mean - 1 of each layer, as "violation" [layers] f32.
void buildBalance(GraphBuilder &b, const ModelConfig &c, llvm::ArrayRef<int64_t> layers,
                  double step);

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_LOSSES_BALANCE_H
