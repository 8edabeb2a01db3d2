//===- SumOverParts.h - rows that came back from parts, summed --*- C++ -*-===//

#ifndef HADAL_PASSES_SHARD_SUMOVERPARTS_H
#define HADAL_PASSES_SHARD_SUMOVERPARTS_H

#include "dialects/moe/Moe.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace hadal {

/// A token's rows, one for each part that `sends` sent it to, add up in the halving tree over
/// parts. `sizes` [T, P]: those of its slots. Returns [T, H], of `type`.
mlir::Value sumOverParts(mlir::ImplicitLocOpBuilder &b, mlir::Type type, mlir::Value rows,
                         moe::PlanSendsOp sends, llvm::ArrayRef<mlir::OpFoldResult> sizes);

} // namespace hadal

#endif // HADAL_PASSES_SHARD_SUMOVERPARTS_H
