//===- Expr.cpp - sizes and offsets of a program --------------------------===//

#include "runtime/module/Expr.h"

#include <algorithm>
#include <array>
#include <vector>

namespace hadal {

Status checkExpr(std::span<const int64_t> code, size_t registerCount) {
  if (code.empty() || code.size() % 2 || code.size() / 2 > maxExprPairs)
    return invalidFile("expression wants 1 to " + std::to_string(maxExprPairs) + " pairs, has " +
                       std::to_string(code.size()) + " numbers");
  size_t depth = 0;
  for (size_t i = 0; i < code.size(); i += 2) {
    int64_t operand = code[i + 1];
    switch (static_cast<ExprOp>(code[i])) {
    case ExprOp::Constant: ++depth; continue;
    case ExprOp::Register:
      if (operand < 0 || static_cast<uint64_t>(operand) >= registerCount)
        return invalidFile("expression reads register " + std::to_string(operand) + " of " +
                           std::to_string(registerCount));
      ++depth;
      continue;
    case ExprOp::Add:
    case ExprOp::Multiply:
    case ExprOp::FloorDiv:
    case ExprOp::CeilDiv:
    case ExprOp::Mod:
    case ExprOp::Min:
      if (operand != 0 || depth < 2)
        return invalidFile("expression is malformed at pair " + std::to_string(i / 2));
      --depth;
      continue;
    }
    return invalidFile("expression has unknown opcode " + std::to_string(code[i]));
  }
  if (depth != 1)
    return invalidFile("expression leaves " + std::to_string(depth) + " values, wants 1");
  return {};
}

Result<int64_t> evaluate(std::span<const int64_t> code, std::span<const int64_t> registers) {
  std::array<int64_t, maxExprPairs> stack;
  size_t top = 0;
  for (size_t i = 0; i < code.size(); i += 2) {
    auto op = static_cast<ExprOp>(code[i]);
    if (op == ExprOp::Constant) {
      stack[top++] = code[i + 1];
      continue;
    }
    if (op == ExprOp::Register) {
      stack[top++] = registers[static_cast<size_t>(code[i + 1])];
      continue;
    }
    int64_t b = stack[--top], &a = stack[top - 1];
    bool overflow = false;
    bool divides = op == ExprOp::FloorDiv || op == ExprOp::CeilDiv || op == ExprOp::Mod;
    if (divides && (b == 0 || (a == INT64_MIN && b == -1)))
      return invalidArgument("a size divides " + std::to_string(a) + " by " + std::to_string(b));
    switch (op) {
    case ExprOp::Add: overflow = __builtin_add_overflow(a, b, &a); break;
    case ExprOp::Multiply: overflow = __builtin_mul_overflow(a, b, &a); break;
    case ExprOp::FloorDiv: a = a / b - (a % b != 0 && (a < 0) != (b < 0)); break;
    case ExprOp::CeilDiv: a = a / b + (a % b != 0 && (a < 0) == (b < 0)); break;
    case ExprOp::Mod: a = a % b + ((a % b != 0 && (a < 0) != (b < 0)) ? b : 0); break;
    default: a = std::min(a, b); break; // Min: checkExpr lets nothing else pass
    }
    if (overflow)
      return invalidArgument("a size overflows 64 bits");
  }
  return stack[0];
}

std::string toString(std::span<const int64_t> code,
                     std::span<const std::string_view> registerNames) {
  std::vector<std::string> stack;
  for (size_t i = 0; i < code.size(); i += 2) {
    auto op = static_cast<ExprOp>(code[i]);
    auto operand = static_cast<size_t>(code[i + 1]);
    if (op == ExprOp::Constant) {
      stack.push_back(std::to_string(code[i + 1]));
    } else if (op == ExprOp::Register) {
      stack.push_back(operand < registerNames.size() && !registerNames[operand].empty()
                          ? std::string(registerNames[operand])
                          : "r" + std::to_string(operand));
    } else {
      std::string b = std::move(stack.back());
      stack.pop_back();
      std::string &a = stack.back();
      switch (op) {
      case ExprOp::Add: a = "(" + a + " + " + b + ")"; break;
      case ExprOp::Multiply: a = a + " * " + b; break;
      case ExprOp::FloorDiv: a = "floordiv(" + a + ", " + b + ")"; break;
      case ExprOp::CeilDiv: a = "ceildiv(" + a + ", " + b + ")"; break;
      case ExprOp::Mod: a = "mod(" + a + ", " + b + ")"; break;
      default: a = "min(" + a + ", " + b + ")"; break;
      }
    }
  }
  std::string text = std::move(stack.back());
  if (text.size() > 2 && text.front() == '(' && text.find(')') == text.size() - 1)
    text = text.substr(1, text.size() - 2);
  return text;
}

} // namespace hadal
