//===- RowMoves.cpp - rows that go elsewhere ------------------------------===//

#include "passes/quantize/RowMoves.h"
#include "dialects/moe/Moe.h"

using namespace mlir;
using namespace hadal;

Value hadal::moveInstead(OpBuilder &b, Operation *move, Value rows) {
  Operation *other = b.clone(*move);
  other->setOperand(0, rows);
  if (auto exchange = dyn_cast<moe::ExchangeOp>(other)) {
    if (exchange.getLike() == move->getOperand(0)) // for its size
      exchange.getLikeMutable().assign(rows);
    exchange.removeFormatAttr();
    exchange.removeFormatBackAttr();
  }
  auto type = cast<RankedTensorType>(rows.getType());
  int64_t count = cast<RankedTensorType>(move->getResult(0).getType()).getDimSize(0);
  other->getResult(0).setType(type.clone({count, type.getDimSize(1)}));
  return other->getResult(0);
}

Value hadal::gatherRows(OpBuilder &b, Location loc, Value rows, Value source) {
  auto type = cast<RankedTensorType>(rows.getType());
  int64_t count = cast<RankedTensorType>(source.getType()).getDimSize(0);
  return moe::DispatchOp::create(b, loc, type.clone({count, type.getDimSize(1)}), rows, source);
}
