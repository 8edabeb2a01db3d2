//===- CrossEntropy.h - the loss of predicting tokens -----------*- C++ -*-===//

#ifndef HADAL_FRONTEND_LOSSES_CROSSENTROPY_H
#define HADAL_FRONTEND_LOSSES_CROSSENTROPY_H

#include "frontend/Blocks.h"

namespace hadal::frontend {

/// -log softmax(logits)[target] of each row, 0 where the target is -1. `logits` [T, V] f32,
/// `targets` [T] i32 -> [T] f32.
mlir::Value crossEntropy(GraphBuilder &b, mlir::Value logits, mlir::Value targets);

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_LOSSES_CROSSENTROPY_H
