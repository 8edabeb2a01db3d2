//===- ScalarRules.cpp - the payload of a linalg op in reverse ------------===//
//
// The payload of a linalg op in reverse: one scalar op after the other.
//
// A gradient is kept as a product of two: a factor that changes in the innermost loops and one that
// does not. The latter is then computed once a row, not once an element: the sum that an RMSNorm's
// gradient needs has no division in it.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "passes/autodiff/Rules.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal::autodiff;

namespace {

/// The product of its parts; null stands for 1. A gradient has at least one part.
struct Gradient {
  Value varying, invariant;
  explicit operator bool() const { return varying || invariant; }
};

class ScalarSweep {
public:
  ScalarSweep(Block &block, Operation *owner, ArrayRef<BlockArgument> perRow)
      : block(block), owner(owner), b(owner->getLoc(), owner->getContext()),
        invariant(perRow.begin(), perRow.end()) {
    b.setInsertionPoint(block.getTerminator());
  }

  FailureOr<Value> run(ArrayRef<Value> seeds, Value target) {
    active.insert(target);
    SmallVector<Operation *> forward;
    for (Operation &op : block.without_terminator()) {
      if (OpTrait::hasElementwiseMappableTraits(&op) &&
          llvm::all_of(op.getOperands(), [&](Value v) { return isInvariant(v); }))
        invariant.insert_range(op.getResults());
      if (llvm::any_of(op.getOperands(), [&](Value v) { return active.contains(v); })) {
        forward.push_back(&op);
        for (Value result : op.getResults())
          if (isa<FloatType>(result.getType()))
            active.insert(result);
      }
    }
    for (auto [yielded, seed] : llvm::zip_equal(block.getTerminator()->getOperands(), seeds))
      if (seed)
        add(yielded, times({}, seed));
    for (Operation *op : llvm::reverse(forward))
      if (Gradient g = op->getNumResults() == 1 ? gradients.lookup(op->getResult(0)) : Gradient();
          g && failed(differentiate(op, g)))
        return owner->emitOpError() << "has no gradient: its payload uses " << op->getName();
    Gradient g = gradients.lookup(target);
    return g ? whole(g) : Value();
  }

private:
  void add(Value v, Gradient g) {
    if (!active.contains(v))
      return;
    Gradient &sum = gradients[v];
    if (!sum)
      sum = g;
    else if (!sum.varying && !g.varying)
      sum = {Value(), plus(sum.invariant, g.invariant)};
    else if (sum.varying && g.varying && sum.invariant == g.invariant)
      sum = {plus(sum.varying, g.varying), sum.invariant};
    else
      sum = {plus(whole(sum), whole(g)), Value()};
  }
  bool isActive(Value v) const { return active.contains(v); }
  bool isInvariant(Value v) const {
    return invariant.contains(v) || matchPattern(v, m_Constant()) ||
           (v.getParentBlock() != &block && v.getParentBlock());
  }
  Value constant(double number, Value like) {
    return arith::ConstantOp::create(b, b.getFloatAttr(like.getType(), number));
  }
  Value plus(Value x, Value y) { return arith::AddFOp::create(b, x, y); }
  Value mul(Value x, Value y) {
    if (!x || matchPattern(x, m_OneFloat()))
      return y;
    return matchPattern(y, m_OneFloat()) ? x : Value(arith::MulFOp::create(b, x, y));
  }
  Value whole(Gradient g) {
    return g.varying && g.invariant ? mul(g.varying, g.invariant)
           : g.varying              ? g.varying
                                    : g.invariant;
  }

  Gradient times(Gradient g, Value factor) {
    Value &part = isInvariant(factor) ? g.invariant : g.varying;
    part = mul(part, factor);
    return g;
  }
  Gradient over(Gradient g, Value divisor) {
    Value &part = isInvariant(divisor) ? g.invariant : g.varying;
    part = arith::DivFOp::create(b, part ? part : constant(1, divisor), divisor);
    return g;
  }
  Gradient negated(Gradient g) {
    Value &part = g.invariant ? g.invariant : g.varying;
    part = arith::NegFOp::create(b, part);
    return g;
  }

  /// Adds to the gradients of the op's operands; `g` is its result's.
  LogicalResult differentiate(Operation *op, Gradient g) {
    return llvm::TypeSwitch<Operation *, LogicalResult>(op)
        .Case([&](arith::AddFOp o) {
          add(o.getLhs(), g);
          return single(o.getRhs(), g);
        })
        .Case([&](arith::SubFOp o) {
          add(o.getLhs(), g);
          return isActive(o.getRhs()) ? single(o.getRhs(), negated(g)) : success();
        })
        .Case([&](arith::MulFOp o) { return product(o.getLhs(), o.getRhs(), g); })
        .Case([&](arith::DivFOp o) {
          Gradient scaled = over(g, o.getRhs());
          add(o.getLhs(), scaled);
          return isActive(o.getRhs()) ? single(o.getRhs(), negated(times(scaled, o))) : success();
        })
        .Case([&](arith::NegFOp o) { return single(o.getOperand(), negated(g)); })
        .Case([&](arith::ExtFOp o) {
          return single(o.getIn(),
                        {arith::TruncFOp::create(b, o.getIn().getType(), whole(g)), Value()});
        })
        .Case([&](arith::TruncFOp o) {
          return single(o.getIn(),
                        {arith::ExtFOp::create(b, o.getIn().getType(), whole(g)), Value()});
        })
        .Case([&](arith::SelectOp o) {
          return chosen(o.getTrueValue(), o.getFalseValue(), o.getCondition(), g);
        })
        // Where both are equal the left one takes all: any split is a subgradient.
        .Case([&](arith::MaximumFOp o) {
          Value wins = arith::CmpFOp::create(b, arith::CmpFPredicate::OGE, o.getLhs(), o.getRhs());
          return chosen(o.getLhs(), o.getRhs(), wins, g);
        })
        .Case([&](arith::MinimumFOp o) {
          Value wins = arith::CmpFOp::create(b, arith::CmpFPredicate::OLE, o.getLhs(), o.getRhs());
          return chosen(o.getLhs(), o.getRhs(), wins, g);
        })
        .Case([&](math::ExpOp o) { return single(o.getOperand(), times(g, o)); })
        .Case([&](math::LogOp o) { return single(o.getOperand(), over(g, o.getOperand())); })
        .Case([&](math::SqrtOp o) {
          return single(o.getOperand(), over(times(g, constant(0.5, o)), o));
        })
        .Case([&](math::RsqrtOp o) {
          return single(o.getOperand(), times(times(times(times(g, constant(-0.5, o)), o), o), o));
        })
        .Case([&](math::TanhOp o) {
          Value square = mul(o, o), slope = arith::SubFOp::create(b, constant(1, o), square);
          return single(o.getOperand(), times(g, slope));
        })
        .Case([&](math::PowFOp o) -> LogicalResult {
          if (isActive(o.getRhs()))
            return failure();
          Value less = arith::SubFOp::create(b, o.getRhs(), constant(1, o));
          Value power = math::PowFOp::create(b, o.getLhs(), less);
          return single(o.getLhs(), times(times(g, o.getRhs()), power));
        })
        .Case([&](math::FmaOp o) {
          add(o.getC(), g);
          return product(o.getA(), o.getB(), g);
        })
        .Default([](Operation *) { return failure(); });
  }

  LogicalResult single(Value operand, Gradient g) {
    add(operand, g);
    return success();
  }

  LogicalResult product(Value left, Value right, Gradient g) {
    if (left == right && isActive(left)) {
      Gradient half = times(g, left);
      add(left, half);
      add(left, half);
      return success();
    }
    if (isActive(left))
      add(left, times(g, right));
    if (isActive(right))
      add(right, times(g, left));
    return success();
  }

  LogicalResult chosen(Value left, Value right, Value leftWins, Gradient g) {
    Value all = whole(g), zero = constant(0, all);
    if (isActive(left))
      add(left, {arith::SelectOp::create(b, leftWins, all, zero), Value()});
    if (isActive(right))
      add(right, {arith::SelectOp::create(b, leftWins, zero, all), Value()});
    return success();
  }

  Block &block;
  Operation *owner;
  ImplicitLocOpBuilder b;
  DenseSet<Value> active, invariant;
  DenseMap<Value, Gradient> gradients;
};

} // namespace

FailureOr<Value> hadal::autodiff::differentiateScalars(Block &block, ArrayRef<Value> seeds,
                                                       Value target, Operation *owner,
                                                       ArrayRef<BlockArgument> perRow) {
  return ScalarSweep(block, owner, perRow).run(seeds, target);
}
