//===- GraphInterpreter.cpp ---------------------------------------------===//

#include "GraphInterpreter.h"

#include "dialects/fp8/Fp8.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir;

namespace hadal::frontend {

Array Array::zeros(std::vector<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return {std::move(shape), std::vector<double>(count)};
}

namespace {

//===----------------------------------------------------------------------===//
// mla
//===----------------------------------------------------------------------===//

std::pair<Array, Array> rotation(const Array &positions, mla::RotationOp op) {
  auto frequencies = llvm::to_vector(op.getFrequencies().getValues<float>());
  auto half = static_cast<int64_t>(frequencies.size());
  Array cos = Array::zeros({positions.dim(0), half}), sin = cos;
  double magnitude = op.getMagnitude().convertToFloat();
  for (int64_t t = 0; t < positions.dim(0); ++t)
    for (int64_t j = 0; j < half; ++j) {
      float angle = static_cast<float>(positions.data[t]) * frequencies[j]; // rounded to f32 by definition
      cos.data[t * half + j] = std::cos(static_cast<double>(angle)) * magnitude;
      sin.data[t * half + j] = std::sin(static_cast<double>(angle)) * magnitude;
    }
  return {cos, sin};
}

Array rope(const Array &x, const Array &cos, const Array &sin, bool interleave) {
  Array result = Array::zeros(x.shape);
  int64_t heads = x.dim(1), dim = x.dim(2), half = dim / 2;
  for (int64_t row = 0; row < x.dim(0) * heads; ++row)
    for (int64_t j = 0; j < half; ++j) {
      double a = x.data[row * dim + (interleave ? 2 * j : j)];
      double b = x.data[row * dim + (interleave ? 2 * j + 1 : half + j)];
      double c = cos.data[row / heads * half + j], s = sin.data[row / heads * half + j];
      result.data[row * dim + j] = a * c - b * s;
      result.data[row * dim + half + j] = b * c + a * s;
    }
  return result;
}

Array attention(const Array &qn, const Array &qr, const Array &kn, const Array &kr, const Array &v,
                const Array &offsets, double scale) {
  int64_t heads = qn.dim(1), dn = qn.dim(2), dr = qr.dim(2), dv = v.dim(2);
  Array result = Array::zeros({qn.dim(0), heads, dv});
  for (size_t b = 0; b + 1 < offsets.data.size(); ++b)
    for (auto t = int64_t(offsets.data[b]); t < int64_t(offsets.data[b + 1]); ++t)
      for (int64_t h = 0; h < heads; ++h) {
        auto begin = int64_t(offsets.data[b]);
        std::vector<double> scores;
        for (int64_t s = begin; s <= t; ++s) {
          double score = 0;
          for (int64_t i = 0; i < dn; ++i)
            score += qn.data[(t * heads + h) * dn + i] * kn.data[(s * heads + h) * dn + i];
          for (int64_t i = 0; i < dr; ++i)
            score += qr.data[(t * heads + h) * dr + i] * kr.data[s * dr + i];
          scores.push_back(score * scale);
        }
        double largest = *std::max_element(scores.begin(), scores.end()), sum = 0;
        for (double &score : scores)
          sum += score = std::exp(score - largest);
        for (size_t s = 0; s < scores.size(); ++s)
          for (int64_t i = 0; i < dv; ++i)
            result.data[(t * heads + h) * dv + i] += scores[s] / sum * v.data[((begin + s) * heads + h) * dv + i];
      }
  return result;
}

//===----------------------------------------------------------------------===//
// moe
//===----------------------------------------------------------------------===//

/// The `count` largest of `values`, ties to the lower place, ascending.
std::vector<int64_t> largest(const std::vector<double> &values, int64_t count) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return values[a] > values[b]; });
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

std::pair<Array, Array> route(const Array &logits, const Array &bias, moe::RouteOp op) {
  int64_t experts = logits.dim(1), topK = op.getTopK(), groups = op.getGroups(), groupSize = experts / groups;
  Array weights = Array::zeros({logits.dim(0), topK}), chosen = weights;
  for (int64_t t = 0; t < logits.dim(0); ++t) {
    std::vector<double> affinity(experts), biased(experts), groupScore;
    for (int64_t e = 0; e < experts; ++e) {
      affinity[e] = 1 / (1 + std::exp(-logits.data[t * experts + e]));
      biased[e] = affinity[e] + bias.data[e];
    }
    for (int64_t g = 0; g < groups; ++g) {
      std::vector<double> group(biased.begin() + g * groupSize, biased.begin() + (g + 1) * groupSize);
      std::sort(group.rbegin(), group.rend());
      groupScore.push_back(group[0] + group[1]);
    }
    std::vector<int64_t> kept = largest(groupScore, op.getGroupLimit());
    for (int64_t e = 0; e < experts; ++e)
      if (!llvm::is_contained(kept, e / groupSize))
        biased[e] = -std::numeric_limits<double>::infinity();
    std::vector<int64_t> choice = largest(biased, topK);
    double sum = 0;
    for (int64_t e : choice)
      sum += affinity[e];
    for (int64_t k = 0; k < topK; ++k) {
      chosen.data[t * topK + k] = static_cast<double>(choice[k]);
      double weight = affinity[choice[k]] / (op.getNormalize() ? sum + 1e-20 : 1.0);
      weights.data[t * topK + k] = weight * op.getScale().convertToFloat();
    }
  }
  return {weights, chosen};
}

struct Plan {
  Array source, position, offsets, active;
};

Plan plan(const Array &chosen, int64_t experts) {
  int64_t rows = chosen.dim(0) * chosen.dim(1);
  Plan p{Array::zeros({rows}), Array::zeros(chosen.shape), Array::zeros({experts + 1}), Array::zeros({experts})};
  int64_t row = 0, active = 0;
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t i = 0; i < rows; ++i)
      if (static_cast<int64_t>(chosen.data[i]) == e) {
        p.source.data[row] = static_cast<double>(i / chosen.dim(1));
        p.position.data[i] = static_cast<double>(row++);
      }
    p.offsets.data[e + 1] = static_cast<double>(row);
    if (p.offsets.data[e + 1] > p.offsets.data[e])
      p.active.data[active++] = static_cast<double>(e);
  }
  std::fill(p.active.data.begin() + active, p.active.data.end(), -1.0);
  return p;
}

Array gatherRows(const Array &x, const Array &source) {
  Array result = Array::zeros({source.dim(0), x.dim(1)});
  for (int64_t r = 0; r < source.dim(0); ++r)
    std::copy_n(x.data.begin() + int64_t(source.data[r]) * x.dim(1), x.dim(1), result.data.begin() + r * x.dim(1));
  return result;
}

/// result[r] = x[r] W^T, W being [N, K] at `weights`.
void productRow(const Array &x, int64_t r, const double *weights, Array &result) {
  int64_t size = result.dim(1), depth = x.dim(1);
  for (int64_t n = 0; n < size; ++n) {
    double sum = 0;
    for (int64_t k = 0; k < depth; ++k)
      sum += x.data[r * depth + k] * weights[n * depth + k];
    result.data[r * size + n] = sum;
  }
}

Array groupedMatmul(const Array &x, const Array &weights, const Array &offsets) {
  Array result = Array::zeros({x.dim(0), weights.dim(1)});
  for (int64_t e = 0; e < weights.dim(0); ++e)
    for (auto r = int64_t(offsets.data[e]); r < int64_t(offsets.data[e + 1]); ++r)
      productRow(x, r, weights.data.data() + e * weights.dim(1) * weights.dim(2), result);
  return result;
}

Array combine(const Array &rows, const Array &position, const Array &weights) {
  int64_t choices = position.dim(1), size = rows.dim(1);
  Array result = Array::zeros({position.dim(0), size});
  for (int64_t i = 0; i < position.dim(0) * choices; ++i)
    for (int64_t j = 0; j < size; ++j)
      result.data[i / choices * size + j] += weights.data[i] * rows.data[int64_t(position.data[i]) * size + j];
  return result;
}

//===----------------------------------------------------------------------===//
// fp8, tensor
//===----------------------------------------------------------------------===//

Array dequantize(const Array &q, const Array &scale, ArrayRef<int64_t> block) {
  Array result = q;
  size_t rank = q.shape.size();
  int64_t rows = q.shape[rank - 2], columns = q.shape[rank - 1];
  int64_t scaleRows = scale.shape[rank - 2], scaleColumns = scale.shape[rank - 1];
  for (size_t i = 0; i < q.data.size(); ++i) {
    int64_t column = i % columns, row = i / columns % rows, expert = i / columns / rows;
    result.data[i] *= scale.data[(expert * scaleRows + row / block[0]) * scaleColumns + column / block[1]];
  }
  return result;
}

/// A slice of the last dimension, all strides 1 and all other dimensions whole: what the frontend builds.
Array sliceLast(const Array &x, int64_t begin, int64_t size) {
  std::vector<int64_t> shape = x.shape;
  shape.back() = size;
  Array result = Array::zeros(shape);
  for (size_t row = 0; row < x.data.size() / x.shape.back(); ++row)
    std::copy_n(x.data.begin() + row * x.shape.back() + begin, size, result.data.begin() + row * size);
  return result;
}

} // namespace

//===----------------------------------------------------------------------===//
// linalg.generic and the rest
//===----------------------------------------------------------------------===//

namespace {

class GenericBody {
public:
  GenericBody(linalg::GenericOp op, std::function<const Array &(Value)> outer) : op(op), outer(std::move(outer)) {}

  Array run() {
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    std::vector<int64_t> bounds(op.getNumLoops());
    for (OpOperand &operand : op->getOpOperands())
      for (auto [i, expr] : llvm::enumerate(maps[operand.getOperandNumber()].getResults()))
        bounds[cast<AffineDimExpr>(expr).getPosition()] = outer(operand.get()).dim(i);
    Array result = outer(op.getDpsInits()[0]);
    std::vector<int64_t> point(bounds.size());
    if (llvm::is_contained(bounds, 0))
      return result;
    while (true) {
      scalars.clear();
      for (OpOperand &operand : op->getOpOperands()) {
        unsigned i = operand.getOperandNumber();
        bool init = i == op.getNumDpsInputs();
        const Array &array = init ? result : outer(operand.get());
        set(op.getBody()->getArgument(i), array.data[place(maps[i], array, point)]);
      }
      result.data[place(maps.back(), result, point)] = body(point);
      size_t d = bounds.size();
      while (d && ++point[d - 1] == bounds[d - 1])
        point[--d] = 0;
      if (!d)
        return result;
    }
  }

  std::string complaint;

private:
  static int64_t place(AffineMap map, const Array &array, const std::vector<int64_t> &point) {
    int64_t at = 0;
    for (auto [i, expr] : llvm::enumerate(map.getResults()))
      at = at * array.dim(i) + point[cast<AffineDimExpr>(expr).getPosition()];
    return at;
  }

  void set(Value v, double x) { scalars[v] = x; }
  double get(Value v) {
    auto known = scalars.find(v);
    return known == scalars.end() ? outer(v).data[0] : known->second;
  }

  double body(const std::vector<int64_t> &point) {
    for (Operation &inner : *op.getBody()) {
      if (auto yield = dyn_cast<linalg::YieldOp>(inner))
        return get(yield.getOperand(0));
      llvm::TypeSwitch<Operation *>(&inner)
          .Case([&](arith::ConstantOp o) { set(o, cast<FloatAttr>(o.getValue()).getValueAsDouble()); })
          .Case([&](arith::AddFOp o) { set(o, get(o.getLhs()) + get(o.getRhs())); })
          .Case([&](arith::MulFOp o) { set(o, get(o.getLhs()) * get(o.getRhs())); })
          .Case([&](arith::DivFOp o) { set(o, get(o.getLhs()) / get(o.getRhs())); })
          .Case([&](arith::NegFOp o) { set(o, -get(o.getOperand())); })
          .Case([&](arith::ExtFOp o) { set(o, get(o.getIn())); })
          .Case([&](arith::IndexCastOp o) { set(o, get(o.getIn())); })
          .Case([&](math::SqrtOp o) { set(o, std::sqrt(get(o.getOperand()))); })
          .Case([&](math::ExpOp o) { set(o, std::exp(get(o.getOperand()))); })
          .Case([&](linalg::IndexOp o) { set(o, static_cast<double>(point[o.getDim()])); })
          .Case([&](tensor::ExtractOp o) {
            const Array &array = outer(o.getTensor());
            int64_t at = 0;
            for (auto [i, index] : llvm::enumerate(o.getIndices()))
              at = at * array.dim(i) + static_cast<int64_t>(get(index));
            set(o, array.data[at]);
          })
          .Default([&](Operation *other) { complaint = other->getName().getStringRef().str(); });
    }
    return 0;
  }

  linalg::GenericOp op;
  std::function<const Array &(Value)> outer;
  DenseMap<Value, double> scalars;
};

} // namespace

void GraphInterpreter::evaluate(Operation *op) {
  auto shaped = [&](Value result, Array array, Value like) {
    // Dynamic sizes come from `like`'s rows.
    auto type = cast<RankedTensorType>(result.getType());
    array.shape.assign(type.getShape().begin(), type.getShape().end());
    if (type.isDynamicDim(0))
      array.shape[0] = get(like).dim(0);
    values[result] = std::move(array);
  };
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](arith::ConstantOp o) {
        double value = isa<IntegerAttr>(o.getValue())
                           ? static_cast<double>(cast<IntegerAttr>(o.getValue()).getInt())
                           : cast<FloatAttr>(o.getValue()).getValueAsDouble();
        values[o] = {{}, {value}};
      })
      .Case([&](ml_program::GlobalLoadConstOp o) {
        values[o] = parameter(o.getGlobal().getRootReference().getValue());
      })
      .Case([&](tensor::DimOp o) {
        values[o] = {{}, {static_cast<double>(get(o.getSource()).dim(*o.getConstantIndex()))}};
      })
      .Case([&](tensor::EmptyOp o) {
        std::vector<int64_t> shape(o.getType().getShape());
        auto size = o.getDynamicSizes().begin();
        for (int64_t &s : shape)
          if (ShapedType::isDynamic(s))
            s = static_cast<int64_t>(get(*size++).data[0]);
        values[o] = Array::zeros(shape);
      })
      .Case([&](tensor::ExpandShapeOp o) { shaped(o, get(o.getSrc()), o.getSrc()); })
      .Case([&](tensor::CollapseShapeOp o) { shaped(o, get(o.getSrc()), o.getSrc()); })
      .Case([&](tensor::ExtractSliceOp o) {
        values[o] = sliceLast(get(o.getSource()), o.getStaticOffsets().back(), o.getStaticSizes().back());
      })
      .Case([&](linalg::FillOp o) {
        Array array = get(o.getOutputs()[0]);
        std::fill(array.data.begin(), array.data.end(), get(o.getInputs()[0]).data[0]);
        values[o.getResult(0)] = array;
      })
      .Case([&](linalg::GenericOp o) {
        GenericBody body(o, [&](Value v) -> const Array & { return get(v); });
        values[o.getResult(0)] = body.run();
        if (!body.complaint.empty())
          complaint = body.complaint;
      })
      .Case([&](linalg::MatmulOp o) {
        if (!isa<linalg::MatmulTransposeBOp>(o.getOperation()))
          complaint = "a matmul that does not transpose its weights";
        const Array &x = get(o.getInputs()[0]), &weights = get(o.getInputs()[1]);
        Array result = Array::zeros({x.dim(0), weights.dim(0)});
        for (int64_t r = 0; r < x.dim(0); ++r)
          productRow(x, r, weights.data.data(), result);
        values[o.getResult(0)] = result;
      })
      .Case([&](fp8::DequantizeOp o) { values[o] = dequantize(get(o.getQ()), get(o.getScale()), o.getBlock()); })
      .Case([&](mla::RotationOp o) {
        std::tie(values[o.getCos()], values[o.getSin()]) = rotation(get(o.getPositions()), o);
      })
      .Case([&](mla::RopeOp o) {
        values[o] = rope(get(o.getX()), get(o.getCos()), get(o.getSin()), o.getInterleave());
      })
      .Case([&](mla::AttentionOp o) {
        values[o.getResult()] = attention(get(o.getQNope()), get(o.getQRope()), get(o.getKNope()), get(o.getKRope()),
                                          get(o.getV()), get(o.getOffsets()), o.getScale().convertToFloat());
      })
      .Case([&](moe::RouteOp o) {
        std::tie(values[o.getWeights()], values[o.getExperts()]) = route(get(o.getLogits()), get(o.getBias()), o);
      })
      .Case([&](moe::PlanOp o) {
        Plan p = plan(get(o.getExperts()), o.getExpertCount());
        values[o.getSource()] = p.source;
        values[o.getPosition()] = p.position;
        values[o.getOffsets()] = p.offsets;
        values[o.getActive()] = p.active;
      })
      .Case([&](moe::DispatchOp o) { values[o] = gatherRows(get(o.getX()), get(o.getSource())); })
      .Case([&](moe::GroupedMatmulOp o) {
        values[o] = groupedMatmul(get(o.getRows()), get(o.getWeights()), get(o.getOffsets()));
      })
      .Case([&](moe::CombineOp o) {
        values[o] = combine(get(o.getRows()), get(o.getPosition()), get(o.getWeights()));
      })
      .Default([&](Operation *other) { complaint = other->getName().getStringRef().str(); });
}

std::map<std::string, Array> GraphInterpreter::run(func::FuncOp function, const std::vector<Array> &arguments) {
  Block &body = function.getBody().front();
  for (auto [argument, value] : llvm::zip_equal(body.getArguments(), arguments))
    values[argument] = value;
  std::map<std::string, Array> results;
  for (Operation &op : body) {
    if (auto end = dyn_cast<func::ReturnOp>(op)) {
      for (auto [i, value] : llvm::enumerate(end.getOperands()))
        results[function.getResultAttrOfType<StringAttr>(i, "exec.name").str()] = get(value);
      break;
    }
    evaluate(&op);
    if (!complaint.empty())
      break;
  }
  return results;
}

} // namespace hadal::frontend
