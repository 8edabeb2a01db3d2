//===- Expr.h - sizes and offsets of a program --------------------------===//
//
// An Expr is a postfix list of (opcode, operand) pairs over 64-bit integers and the registers of a
// program. Every arithmetic step is checked: overflow and division by zero are errors, floordiv and
// mod round towards minus infinity.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_EXPR_H
#define HADAL_RUNTIME_MODULE_EXPR_H

#include "runtime/Result.h"

#include <cstdint>
#include <span>
#include <string>

namespace hadal {

enum class ExprOp : int64_t { Constant, Register, Add, Multiply, FloorDiv, CeilDiv, Mod, Min };

/// An Expr has at most this many pairs, and never needs a deeper stack.
inline constexpr size_t maxExprPairs = 256;

/// Checks that `code` is well-formed: whole pairs, at least one and at most maxExprPairs, known
/// opcodes, registers below `registerCount`, operand 0 for binary ops, exactly one value left.
/// Evaluation relies on it.
Status checkExpr(std::span<const int64_t> code, size_t registerCount);

/// The value of a checked Expr. InvalidArgument on overflow or division by zero.
Result<int64_t> evaluate(std::span<const int64_t> code, std::span<const int64_t> registers);

/// "ceildiv(tokens, 64) * 4096"; registers without a name print as r0, r1, ... For a checked Expr.
std::string toString(std::span<const int64_t> code,
                     std::span<const std::string_view> registerNames);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_EXPR_H
