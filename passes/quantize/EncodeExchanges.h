// What passes say of exchanges whose rows are encoded.
#ifndef HADAL_PASSES_QUANTIZE_ENCODEEXCHANGES_H
#define HADAL_PASSES_QUANTIZE_ENCODEEXCHANGES_H

#include "dialects/moe/Moe.h"
#include "mlir/IR/Builders.h"

namespace hadal {

/// The exchange of `sent` [C, W] instead of the rows of `op`; they are not rounded any more.
mlir::Value exchangeInstead(mlir::OpBuilder &b, moe::ExchangeOp op, mlir::Value sent);

} // namespace hadal

#endif // HADAL_PASSES_QUANTIZE_ENCODEEXCHANGES_H
