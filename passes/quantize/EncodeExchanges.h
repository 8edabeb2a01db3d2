// What passes say of exchanges whose rows are encoded.
#pragma once
#include "dialects/moe/Moe.h"
#include "mlir/IR/Builders.h"

namespace hadal {

/// The exchange of `sent` [C, W] instead of the rows of `op`; they are not rounded any more.
mlir::Value exchangeInstead(mlir::OpBuilder &b, moe::ExchangeOp op, mlir::Value sent);

} // namespace hadal
