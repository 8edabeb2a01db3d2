//===- MlaLoops.cpp - ops of mla, as their descriptions say -------------===//

#include "GraphInterpreter.h"

#include "dialects/mla/Mla.h"

#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace hadal::frontend {

namespace {

std::pair<Array, Array> rotation(const Array &positions, mla::RotationOp op) {
  auto frequencies = llvm::to_vector(op.getFrequencies().getValues<float>());
  auto half = static_cast<int64_t>(frequencies.size());
  Array cos = Array::zeros({positions.dim(0), half}), sin = cos;
  double magnitude = op.getMagnitude().convertToFloat();
  for (int64_t t = 0; t < positions.dim(0); ++t)
    for (int64_t j = 0; j < half; ++j) {
      float angle =
          static_cast<float>(positions.data[t]) * frequencies[j]; // rounded to f32 by definition
      cos.data[t * half + j] = std::cos(static_cast<double>(angle)) * magnitude;
      sin.data[t * half + j] = std::sin(static_cast<double>(angle)) * magnitude;
    }
  return {cos, sin};
}

Array rope(const Array &x, const Array &cos, const Array &sin, bool interleave, bool adjoint) {
  Array result = Array::zeros(x.shape);
  int64_t heads = x.dim(1), dim = x.dim(2), half = dim / 2;
  for (int64_t row = 0; row < x.dim(0) * heads; ++row)
    for (int64_t j = 0; j < half; ++j) {
      int64_t first = row * dim + (interleave ? 2 * j : j),
              second = row * dim + (interleave ? 2 * j + 1 : half + j);
      int64_t rotatedFirst = row * dim + j, rotatedSecond = row * dim + half + j;
      double c = cos.data[row / heads * half + j], s = sin.data[row / heads * half + j];
      if (adjoint) {
        double a = x.data[rotatedFirst], b = x.data[rotatedSecond];
        result.data[first] = a * c + b * s;
        result.data[second] = b * c - a * s;
      } else {
        double a = x.data[first], b = x.data[second];
        result.data[rotatedFirst] = a * c - b * s;
        result.data[rotatedSecond] = b * c + a * s;
      }
    }
  return result;
}

/// Calls `pair`(t, s, h, score) for each query t and each key s that it sees.
template <typename Op, typename Pair> void forScores(Op op, Values &values, Pair pair) {
  const Array &qn = values.at(op.getQNope()), &qr = values.at(op.getQRope()),
              &kn = values.at(op.getKNope());
  const Array &kr = values.at(op.getKRope()), &offsets = values.at(op.getOffsets());
  int64_t heads = qn.dim(1), dn = qn.dim(2), dr = qr.dim(2);
  for (size_t b = 0; b + 1 < offsets.data.size(); ++b)
    for (auto t = int64_t(offsets.data[b]); t < int64_t(offsets.data[b + 1]); ++t)
      for (int64_t h = 0; h < heads; ++h)
        for (auto s = int64_t(offsets.data[b]); s <= t; ++s) {
          double score = 0;
          for (int64_t i = 0; i < dn; ++i)
            score += qn.data[(t * heads + h) * dn + i] * kn.data[(s * heads + h) * dn + i];
          for (int64_t i = 0; i < dr; ++i)
            score += qr.data[(t * heads + h) * dr + i] * kr.data[s * dr + i];
          pair(t, s, h, score * op.getScale().convertToFloat());
        }
}

void attention(mla::AttentionOp op, Values &values) {
  const Array &v = values.at(op.getV());
  int64_t heads = v.dim(1), dv = v.dim(2);
  Array lse = Array::zeros({v.dim(0), heads}), largest = lse, result = Array::zeros(v.shape);
  std::fill(largest.data.begin(), largest.data.end(), -INFINITY);
  forScores(op, values, [&](int64_t t, int64_t, int64_t h, double score) {
    largest.data[t * heads + h] = std::max(largest.data[t * heads + h], score);
  });
  forScores(op, values, [&](int64_t t, int64_t, int64_t h, double score) {
    lse.data[t * heads + h] += std::exp(score - largest.data[t * heads + h]);
  });
  for (size_t i = 0; i < lse.data.size(); ++i)
    lse.data[i] = largest.data[i] + std::log(lse.data[i]);
  forScores(op, values, [&](int64_t t, int64_t s, int64_t h, double score) {
    double p = std::exp(score - lse.data[t * heads + h]);
    for (int64_t i = 0; i < dv; ++i)
      result.data[(t * heads + h) * dv + i] += p * v.data[(s * heads + h) * dv + i];
  });
  if (op.getLse())
    values[op.getLse()] = lse;
  values[op.getResult()] = result;
}

void attentionGrad(mla::AttentionGradOp op, Values &values) {
  const Array &qn = values.at(op.getQNope()), &qr = values.at(op.getQRope()),
              &kn = values.at(op.getKNope());
  const Array &kr = values.at(op.getKRope()), &v = values.at(op.getV()),
              &g = values.at(op.getGradient());
  const Array &lse = values.at(op.getLse()), &delta = values.at(op.getDelta());
  int64_t heads = qn.dim(1), dn = qn.dim(2), dr = qr.dim(2), dv = v.dim(2);
  Array dqn = Array::zeros(qn.shape), dqr = Array::zeros(qr.shape), dkn = dqn, dkr = dqr,
        dValue = Array::zeros(v.shape);
  forScores(op, values, [&](int64_t t, int64_t s, int64_t h, double score) {
    int64_t query = t * heads + h, key = s * heads + h;
    double p = std::exp(score - lse.data[query]), dp = 0;
    for (int64_t i = 0; i < dv; ++i) {
      dp += g.data[query * dv + i] * v.data[key * dv + i];
      dValue.data[key * dv + i] += p * g.data[query * dv + i];
    }
    double ds = p * (dp - delta.data[query]) * op.getScale().convertToFloat();
    for (int64_t i = 0; i < dn; ++i) {
      dqn.data[query * dn + i] += ds * kn.data[key * dn + i];
      dkn.data[key * dn + i] += ds * qn.data[query * dn + i];
    }
    for (int64_t i = 0; i < dr; ++i) {
      dqr.data[query * dr + i] += ds * kr.data[s * dr + i];
      dkr.data[key * dr + i] += ds * qr.data[query * dr + i];
    }
  });
  values[op.getQNopeGrad()] = dqn;
  values[op.getQRopeGrad()] = dqr;
  values[op.getKNopeGrad()] = dkn;
  values[op.getKRopeGrad()] = dkr;
  values[op.getVGrad()] = dValue;
}

} // namespace

bool evaluateMla(Operation *op, Values &values) {
  return llvm::TypeSwitch<Operation *, bool>(op)
      .Case([&](mla::RotationOp o) {
        auto [cos, sin] = rotation(values.at(o.getPositions()), o);
        values[o.getCos()] = cos;
        values[o.getSin()] = sin;
        return true;
      })
      .Case([&](mla::RopeOp o) {
        values[o] = rope(values.at(o.getX()), values.at(o.getCos()), values.at(o.getSin()),
                         o.getInterleave(), o.getAdjoint());
        return true;
      })
      .Case([&](mla::AttentionOp o) {
        attention(o, values);
        return true;
      })
      .Case([&](mla::AttentionGradOp o) {
        attentionGrad(o, values);
        return true;
      })
      .Default([](Operation *) { return false; });
}

} // namespace hadal::frontend
