// The payload of a linalg op in reverse: one scalar op after the other.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "passes/autodiff/Rules.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal::autodiff;

namespace {

class ScalarSweep {
public:
  ScalarSweep(Block &block, Operation *owner) : block(block), owner(owner), b(owner->getLoc(), owner->getContext()) {
    b.setInsertionPoint(block.getTerminator());
  }

  FailureOr<Value> run(ArrayRef<Value> seeds, Value target) {
    active.insert(target);
    SmallVector<Operation *> forward;
    for (Operation &op : block.without_terminator())
      if (llvm::any_of(op.getOperands(), [&](Value v) { return active.contains(v); })) {
        forward.push_back(&op);
        for (Value result : op.getResults())
          if (isa<FloatType>(result.getType()))
            active.insert(result);
      }
    for (auto [yielded, seed] : llvm::zip_equal(block.getTerminator()->getOperands(), seeds))
      if (seed)
        add(yielded, seed);
    for (Operation *op : llvm::reverse(forward))
      if (Value g = op->getNumResults() == 1 ? gradients.lookup(op->getResult(0)) : Value(); g && failed(differentiate(op, g)))
        return owner->emitOpError() << "has no gradient: its payload uses " << op->getName();
    return gradients.lookup(target);
  }

private:
  void add(Value v, Value g) {
    if (!active.contains(v))
      return;
    Value &sum = gradients[v];
    sum = sum ? Value(arith::AddFOp::create(b, sum, g)) : g;
  }
  bool isActive(Value v) const { return active.contains(v); }
  Value constant(double number, Value like) { return arith::ConstantOp::create(b, b.getFloatAttr(like.getType(), number)); }
  Value mul(Value x, Value y) {
    if (matchPattern(x, m_OneFloat()))
      return y;
    if (matchPattern(y, m_OneFloat()))
      return x;
    return arith::MulFOp::create(b, x, y);
  }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, x, y); }
  Value neg(Value x) { return arith::NegFOp::create(b, x); }

  /// Adds to the gradients of the op's operands; `g` is its result's.
  LogicalResult differentiate(Operation *op, Value g) {
    return llvm::TypeSwitch<Operation *, LogicalResult>(op)
        .Case([&](arith::AddFOp o) {
          add(o.getLhs(), g);
          add(o.getRhs(), g);
          return success();
        })
        .Case([&](arith::SubFOp o) {
          add(o.getLhs(), g);
          if (isActive(o.getRhs()))
            add(o.getRhs(), neg(g));
          return success();
        })
        .Case([&](arith::MulFOp o) {
          if (isActive(o.getLhs()))
            add(o.getLhs(), mul(g, o.getRhs()));
          if (isActive(o.getRhs()))
            add(o.getRhs(), mul(g, o.getLhs()));
          return success();
        })
        .Case([&](arith::DivFOp o) {
          Value scaled = div(g, o.getRhs());
          add(o.getLhs(), scaled);
          if (isActive(o.getRhs()))
            add(o.getRhs(), neg(mul(scaled, o)));
          return success();
        })
        .Case([&](arith::NegFOp o) { return single(o.getOperand(), neg(g)); })
        .Case([&](arith::ExtFOp o) { return single(o.getIn(), arith::TruncFOp::create(b, o.getIn().getType(), g)); })
        .Case([&](arith::TruncFOp o) { return single(o.getIn(), arith::ExtFOp::create(b, o.getIn().getType(), g)); })
        .Case([&](arith::SelectOp o) {
          Value zero = constant(0, g);
          if (isActive(o.getTrueValue()))
            add(o.getTrueValue(), arith::SelectOp::create(b, o.getCondition(), g, zero));
          if (isActive(o.getFalseValue()))
            add(o.getFalseValue(), arith::SelectOp::create(b, o.getCondition(), zero, g));
          return success();
        })
        // Where both are equal the left one takes all: any split is a subgradient.
        .Case([&](arith::MaximumFOp o) { return chosen(o.getLhs(), o.getRhs(), arith::CmpFPredicate::OGE, g); })
        .Case([&](arith::MinimumFOp o) { return chosen(o.getLhs(), o.getRhs(), arith::CmpFPredicate::OLE, g); })
        .Case([&](math::ExpOp o) { return single(o.getOperand(), mul(g, o)); })
        .Case([&](math::LogOp o) { return single(o.getOperand(), div(g, o.getOperand())); })
        .Case([&](math::SqrtOp o) { return single(o.getOperand(), div(mul(g, constant(0.5, g)), o)); })
        .Case([&](math::RsqrtOp o) {
          Value cube = mul(mul(o, o), o);
          return single(o.getOperand(), mul(g, mul(constant(-0.5, g), cube)));
        })
        .Case([&](math::TanhOp o) {
          return single(o.getOperand(), mul(g, arith::SubFOp::create(b, constant(1, g), mul(o, o))));
        })
        .Case([&](math::PowFOp o) -> LogicalResult {
          if (isActive(o.getRhs()))
            return failure();
          Value less = arith::SubFOp::create(b, o.getRhs(), constant(1, g));
          Value power = math::PowFOp::create(b, o.getLhs(), less);
          return single(o.getLhs(), mul(g, mul(o.getRhs(), power)));
        })
        .Case([&](math::FmaOp o) {
          if (isActive(o.getA()))
            add(o.getA(), mul(g, o.getB()));
          if (isActive(o.getB()))
            add(o.getB(), mul(g, o.getA()));
          add(o.getC(), g);
          return success();
        })
        .Default([](Operation *) { return failure(); });
  }

  LogicalResult single(Value operand, Value g) {
    add(operand, g);
    return success();
  }

  LogicalResult chosen(Value left, Value right, arith::CmpFPredicate leftWins, Value g) {
    Value zero = constant(0, g), wins = arith::CmpFOp::create(b, leftWins, left, right);
    if (isActive(left))
      add(left, arith::SelectOp::create(b, wins, g, zero));
    if (isActive(right))
      add(right, arith::SelectOp::create(b, wins, zero, g));
    return success();
  }

  Block &block;
  Operation *owner;
  ImplicitLocOpBuilder b;
  DenseSet<Value> active;
  DenseMap<Value, Value> gradients;
};

} // namespace

FailureOr<Value> hadal::autodiff::differentiateScalars(Block &block, ArrayRef<Value> seeds, Value target, Operation *owner) {
  return ScalarSweep(block, owner).run(seeds, target);
}
