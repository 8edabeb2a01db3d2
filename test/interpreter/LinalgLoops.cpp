//===- LinalgLoops.cpp - linalg ops, by their payloads ------------------===//

#include "GraphInterpreter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace hadal::frontend {

namespace {

bool compareFloats(arith::CmpFPredicate predicate, double a, double b) {
  using P = arith::CmpFPredicate;
  switch (predicate) {
  case P::OEQ: return a == b;
  case P::OGT: return a > b;
  case P::OGE: return a >= b;
  case P::OLT: return a < b;
  case P::OLE: return a <= b;
  case P::UNE:
  case P::ONE: return a != b;
  default: llvm_unreachable("a comparison that no test uses");
  }
}

bool compareIntegers(arith::CmpIPredicate predicate, double a, double b) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq: return a == b;
  case P::ne: return a != b;
  case P::slt:
  case P::ult: return a < b;
  case P::sle:
  case P::ule: return a <= b;
  case P::sgt:
  case P::ugt: return a > b;
  case P::sge:
  case P::uge: return a >= b;
  }
  llvm_unreachable("all predicates stand above");
}

} // namespace

ScalarFunction scalarFunction(Operation *op) {
  using F = ScalarFunction;
  return llvm::TypeSwitch<Operation *, F>(op)
      .Case<arith::AddFOp, arith::AddIOp>(
          [](auto) -> F { return [](Operation *, const double *v) { return v[0] + v[1]; }; })
      .Case<arith::SubFOp, arith::SubIOp>(
          [](auto) -> F { return [](Operation *, const double *v) { return v[0] - v[1]; }; })
      .Case<arith::MulFOp, arith::MulIOp>(
          [](auto) -> F { return [](Operation *, const double *v) { return v[0] * v[1]; }; })
      .Case([](arith::DivFOp) -> F {
        return [](Operation *, const double *v) { return v[0] / v[1]; };
      })
      .Case<arith::DivSIOp, arith::DivUIOp>([](auto) -> F {
        return [](Operation *, const double *v) { return std::trunc(v[0] / v[1]); };
      })
      .Case<arith::MaximumFOp, arith::MaxSIOp>([](auto) -> F {
        return [](Operation *, const double *v) { return std::max(v[0], v[1]); };
      })
      .Case<arith::MinimumFOp, arith::MinSIOp>([](auto) -> F {
        return [](Operation *, const double *v) { return std::min(v[0], v[1]); };
      })
      .Case([](arith::NegFOp) -> F { return [](Operation *, const double *v) { return -v[0]; }; })
      .Case<arith::ExtFOp, arith::TruncFOp, arith::SIToFPOp, arith::UIToFPOp, arith::IndexCastOp,
            arith::ExtSIOp, arith::ExtUIOp>(
          [](auto) -> F { return [](Operation *, const double *v) { return v[0]; }; })
      .Case([](arith::SelectOp) -> F {
        return [](Operation *, const double *v) { return v[0] != 0 ? v[1] : v[2]; };
      })
      .Case([](arith::CmpFOp) -> F {
        return [](Operation *op, const double *v) -> double {
          return compareFloats(cast<arith::CmpFOp>(op).getPredicate(), v[0], v[1]);
        };
      })
      .Case([](arith::CmpIOp) -> F {
        return [](Operation *op, const double *v) -> double {
          return compareIntegers(cast<arith::CmpIOp>(op).getPredicate(), v[0], v[1]);
        };
      })
      .Case([](math::ExpOp) -> F {
        return [](Operation *, const double *v) { return std::exp(v[0]); };
      })
      .Case([](math::LogOp) -> F {
        return [](Operation *, const double *v) { return std::log(v[0]); };
      })
      .Case([](math::SqrtOp) -> F {
        return [](Operation *, const double *v) { return std::sqrt(v[0]); };
      })
      .Case([](math::RsqrtOp) -> F {
        return [](Operation *, const double *v) { return 1 / std::sqrt(v[0]); };
      })
      .Case([](math::TanhOp) -> F {
        return [](Operation *, const double *v) { return std::tanh(v[0]); };
      })
      .Case([](math::PowFOp) -> F {
        return [](Operation *, const double *v) { return std::pow(v[0], v[1]); };
      })
      .Case([](math::FmaOp) -> F {
        return [](Operation *, const double *v) { return v[0] * v[1] + v[2]; };
      })
      .Case([](arith::ConstantOp) -> F {
        return [](Operation *op, const double *) -> double {
          Attribute value = cast<arith::ConstantOp>(op).getValue();
          if (auto real = dyn_cast<FloatAttr>(value))
            return real.getValueAsDouble();
          return static_cast<double>(cast<IntegerAttr>(value).getInt());
        };
      })
      .Default([](Operation *) -> F { return nullptr; });
}

namespace {

/// The loops of one op. Its payload is numbered first: each value has a slot, and each op a
/// function of slots.
class Loops {
public:
  Loops(linalg::LinalgOp op, Values &values) : op(op), values(values) {}

  std::string run() {
    for (OpOperand &operand : op->getOpOperands())
      bind(operand);
    for (BlockArgument argument : op.getBlock()->getArguments())
      slots[argument] = scalars.size(), scalars.push_back(0);
    for (Operation &inner : op.getBlock()->without_terminator())
      if (!number(inner))
        return inner.getName().getStringRef().str();
    for (Value yielded : op.getBlock()->getTerminator()->getOperands())
      yields.push_back(slot(yielded));
    unsigned inputs = op.getNumDpsInputs();
    std::vector<int64_t> point(bounds.size());
    if (isProduct())
      product(point, 0);
    else if (!llvm::is_contained(bounds, 0))
      do {
        for (size_t i = 0; i < arrays.size(); ++i)
          scalars[i] = arrays[i].data[place(i, point)];
        for (const Step &step : steps)
          evaluate(step, point);
        for (size_t r = 0; r < yields.size(); ++r)
          arrays[inputs + r].data[place(inputs + r, point)] = scalars[yields[r]];
      } while (advance(point));
    for (auto [r, result] : llvm::enumerate(op->getResults()))
      values[result] = arrays[inputs + r];
    return "";
  }

private:
  struct Step {
    Operation *op;
    ScalarFunction function;
    SmallVector<size_t> operands;
    size_t result;
  };

  void bind(OpOperand &operand) {
    Array array = values.at(operand.get());
    AffineMap map = op.getMatchingIndexingMap(&operand);
    bounds.resize(op.getNumLoops());
    std::vector<int64_t> strides(op.getNumLoops());
    int64_t step = 1;
    for (unsigned d = map.getNumResults(); d-- > 0;) {
      if (auto dim = dyn_cast<AffineDimExpr>(map.getResult(d))) {
        bounds[dim.getPosition()] = array.dim(d);
        strides[dim.getPosition()] += step;
      }
      step *= array.dim(d);
    }
    arrays.push_back(std::move(array));
    steppings.push_back(std::move(strides));
  }

  int64_t place(size_t operand, const std::vector<int64_t> &point) {
    int64_t at = 0;
    for (size_t d = 0; d < point.size(); ++d)
      at += steppings[operand][d] * point[d];
    return at;
  }

  bool advance(std::vector<int64_t> &point) {
    for (size_t d = point.size(); d-- > 0;) {
      if (++point[d] < bounds[d])
        return true;
      point[d] = 0;
    }
    return false;
  }

  /// out += left * right and nothing else: most of the work, done without looking at the payload.
  bool isProduct() {
    auto isA = [&](size_t i, StringRef name) {
      return steps[i].op->getName().getStringRef() == name;
    };
    return steps.size() == 2 && arrays.size() == 3 && linalg::isaContractionOpInterface(op) &&
           isA(0, arith::MulFOp::getOperationName()) && isA(1, arith::AddFOp::getOperationName());
  }

  void product(std::vector<int64_t> &point, size_t loop) {
    if (loop + 1 < bounds.size()) {
      for (point[loop] = 0; point[loop] < bounds[loop]; ++point[loop])
        product(point, loop + 1);
      point[loop] = 0;
      return;
    }
    double *left = &arrays[0].data[place(0, point)], *right = &arrays[1].data[place(1, point)],
           *out = &arrays[2].data[place(2, point)];
    int64_t l = steppings[0][loop], r = steppings[1][loop], o = steppings[2][loop];
    for (int64_t i = 0; i < bounds[loop]; ++i)
      out[i * o] += left[i * l] * right[i * r];
  }

  size_t slot(Value v) {
    auto [known, fresh] = slots.try_emplace(v, scalars.size());
    if (fresh) // from outside
      scalars.push_back(values.at(v).data[0]);
    return known->second;
  }

  bool number(Operation &inner) {
    Step step{&inner, scalarFunction(&inner), {}, 0};
    if (!step.function && !isa<linalg::IndexOp, tensor::ExtractOp>(inner))
      return false;
    bool extract = isa<tensor::ExtractOp>(inner);
    for (Value v : inner.getOperands().drop_front(extract))
      step.operands.push_back(slot(v));
    step.result = slots[inner.getResult(0)] = scalars.size();
    scalars.push_back(0);
    steps.push_back(step);
    return true;
  }

  void evaluate(const Step &step, const std::vector<int64_t> &point) {
    double operands[8];
    for (auto [i, operand] : llvm::enumerate(step.operands))
      operands[i] = scalars[operand];
    if (step.function) {
      scalars[step.result] = step.function(step.op, operands);
    } else if (auto index = dyn_cast<linalg::IndexOp>(step.op)) {
      scalars[step.result] = static_cast<double>(point[index.getDim()]);
    } else {
      const Array &array = values.at(cast<tensor::ExtractOp>(step.op).getTensor());
      int64_t at = 0;
      for (size_t i = 0; i < step.operands.size(); ++i)
        at = at * array.dim(i) + static_cast<int64_t>(operands[i]);
      scalars[step.result] = array.data[at];
    }
  }

  linalg::LinalgOp op;
  Values &values;
  std::vector<Array> arrays;                   ///< of the operands
  std::vector<std::vector<int64_t>> steppings; ///< of each operand, a step a loop
  std::vector<int64_t> bounds;
  DenseMap<Value, size_t> slots;
  std::vector<double> scalars;
  std::vector<Step> steps;
  SmallVector<size_t> yields;
};

} // namespace

std::string evaluateLinalg(linalg::LinalgOp op, Values &values) { return Loops(op, values).run(); }

} // namespace hadal::frontend
