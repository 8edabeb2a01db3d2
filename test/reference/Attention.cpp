//===- Attention.cpp - references for mla -----------------------------------===//

#include "test/reference/Reference.h"

#include <algorithm>
#include <cmath>

using namespace hadal::reference;

// RoFormer, arXiv:2104.09864, section 3.2.2; the angle is an f32 product, as every implementation
// computes it: at position 100,000 its rounding is visible.
Rotation hadal::reference::rotation(const Integers &positions,
                                    const std::vector<float> &frequencies, float magnitude) {
  int64_t tokens = positions.dim(0), pairs = static_cast<int64_t>(frequencies.size());
  Rotation result{Reals({tokens, pairs}), Reals({tokens, pairs})};
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t j = 0; j < pairs; ++j) {
      float angle = static_cast<float>(positions(t)) * frequencies[j];
      result.cos(t, j) = std::cos(static_cast<double>(angle)) * magnitude;
      result.sin(t, j) = std::sin(static_cast<double>(angle)) * magnitude;
    }
  return result;
}

// RoFormer, eq. 34: a' = a cos - b sin, b' = b cos + a sin.
Reals hadal::reference::rope(const Reals &x, const Reals &cos, const Reals &sin, bool interleave) {
  int64_t tokens = x.dim(0), heads = x.dim(1), pairs = x.dim(2) / 2;
  Reals result(x.shape);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t j = 0; j < pairs; ++j) {
        double a = interleave ? x(t, h, 2 * j) : x(t, h, j);
        double b = interleave ? x(t, h, 2 * j + 1) : x(t, h, pairs + j);
        result(t, h, j) = a * cos(t, j) - b * sin(t, j);
        result(t, h, pairs + j) = b * cos(t, j) + a * sin(t, j);
      }
  return result;
}

// The rotation by the opposite angle, from all a' and then all b' back to the pairs' places.
Reals hadal::reference::ropeAdjoint(const Reals &x, const Reals &cos, const Reals &sin,
                                    bool interleave) {
  int64_t tokens = x.dim(0), heads = x.dim(1), pairs = x.dim(2) / 2;
  Reals result(x.shape);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t j = 0; j < pairs; ++j) {
        double a = x(t, h, j), b = x(t, h, pairs + j);
        (interleave ? result(t, h, 2 * j) : result(t, h, j)) = a * cos(t, j) + b * sin(t, j);
        (interleave ? result(t, h, 2 * j + 1) : result(t, h, pairs + j)) =
            b * cos(t, j) - a * sin(t, j);
      }
  return result;
}

/// p_i = exp(s_i) / sum of exp(s_j), after the largest score is taken from all.
static void softmax(std::vector<double> &scores) {
  double most = -INFINITY, sum = 0;
  for (double s : scores)
    most = std::max(most, s);
  for (double &s : scores)
    sum += s = std::exp(s - most);
  for (double &s : scores)
    s /= sum;
}

// DeepSeek-V3, arXiv:2412.19437, section 2.1.1, eq. 10: o_t,i = sum_j softmax_j(q_t,i . k_j,i /
// sqrt(dn+dr)) v_j,i.
Reals hadal::reference::attention(const Reals &qNope, const Reals &qRope, const Reals &kNope,
                                  const Reals &kRope, const Reals &v, const Integers &offsets,
                                  double scale) {
  Reals result(v.shape);
  for (int64_t b = 0; b + 1 < offsets.dim(0); ++b)
    for (int64_t t = offsets(b); t < offsets(b + 1); ++t)
      for (int64_t h = 0; h < qNope.dim(1); ++h) {
        std::vector<double> p;
        for (int64_t s = offsets(b); s <= t; ++s) {
          double score = 0;
          for (int64_t i = 0; i < qNope.dim(2); ++i)
            score += qNope(t, h, i) * kNope(s, h, i);
          for (int64_t i = 0; i < qRope.dim(2); ++i)
            score += qRope(t, h, i) * kRope(s, i);
          p.push_back(score * scale);
        }
        softmax(p);
        for (int64_t i = 0; i < v.dim(2); ++i)
          for (int64_t s = offsets(b); s <= t; ++s)
            result(t, h, i) += p[s - offsets(b)] * v(s, h, i);
      }
  return result;
}

/// The scores of row t of a sequence that begins at row `first`, head h.
static std::vector<double> scores(const Reals &qNope, const Reals &qRope, const Reals &kNope,
                                  const Reals &kRope, int64_t first, int64_t t, int64_t h,
                                  double scale) {
  std::vector<double> result;
  for (int64_t s = first; s <= t; ++s) {
    double score = 0;
    for (int64_t i = 0; i < qNope.dim(2); ++i)
      score += qNope(t, h, i) * kNope(s, h, i);
    for (int64_t i = 0; i < qRope.dim(2); ++i)
      score += qRope(t, h, i) * kRope(s, i);
    result.push_back(score * scale);
  }
  return result;
}

Reals hadal::reference::attentionLse(const Reals &qNope, const Reals &qRope, const Reals &kNope,
                                     const Reals &kRope, const Integers &offsets, double scale) {
  Reals result({qNope.dim(0), qNope.dim(1)});
  for (int64_t b = 0; b + 1 < offsets.dim(0); ++b)
    for (int64_t t = offsets(b); t < offsets(b + 1); ++t)
      for (int64_t h = 0; h < qNope.dim(1); ++h) {
        double most = -INFINITY, sum = 0;
        std::vector<double> all = scores(qNope, qRope, kNope, kRope, offsets(b), t, h, scale);
        for (double s : all)
          most = std::max(most, s);
        for (double s : all)
          sum += std::exp(s - most);
        result(t, h) = most + std::log(sum);
      }
  return result;
}

// With p = softmax(s) and o = sum_j p_j v_j: dv_j = p_j g, dp_j = g . v_j, ds_j = p_j (dp_j - sum_i
// p_i dp_i).
AttentionGradients hadal::reference::attentionGradients(const Reals &qNope, const Reals &qRope,
                                                        const Reals &kNope, const Reals &kRope,
                                                        const Reals &v, const Integers &offsets,
                                                        const Reals &gradient, double scale) {
  AttentionGradients result{Reals(qNope.shape), Reals(qRope.shape), Reals(kNope.shape),
                            Reals(qRope.shape), Reals(v.shape)};
  for (int64_t b = 0; b + 1 < offsets.dim(0); ++b)
    for (int64_t t = offsets(b); t < offsets(b + 1); ++t)
      for (int64_t h = 0; h < qNope.dim(1); ++h) {
        std::vector<double> p = scores(qNope, qRope, kNope, kRope, offsets(b), t, h, scale),
                            dp(p.size());
        softmax(p);
        double mean = 0;
        for (size_t j = 0; j < p.size(); ++j) {
          int64_t s = offsets(b) + static_cast<int64_t>(j);
          for (int64_t i = 0; i < v.dim(2); ++i) {
            dp[j] += gradient(t, h, i) * v(s, h, i);
            result.v(s, h, i) += p[j] * gradient(t, h, i);
          }
          mean += p[j] * dp[j];
        }
        for (size_t j = 0; j < p.size(); ++j) {
          int64_t s = offsets(b) + static_cast<int64_t>(j);
          double ds = p[j] * (dp[j] - mean) * scale;
          for (int64_t i = 0; i < qNope.dim(2); ++i) {
            result.qNope(t, h, i) += ds * kNope(s, h, i);
            result.kNope(s, h, i) += ds * qNope(t, h, i);
          }
          for (int64_t i = 0; i < qRope.dim(2); ++i) {
            result.qRope(t, h, i) += ds * kRope(s, i);
            result.kRope(s, h, i) += ds * qRope(t, h, i);
          }
        }
      }
  return result;
}

// DeepSeek-V2, arXiv:2405.04434, section 2.1.2: with W_k absorbed, score = q'.c + q_rope.k and the
// result stays latent.
Reals hadal::reference::latentAttention(const Reals &qLatent, const Reals &qRope,
                                        const Reals &cache, const Integers &pageTable,
                                        const Integers &positions, const Integers &offsets,
                                        double scale, int64_t pageTokens) {
  int64_t latent = qLatent.dim(2), sequence = 0;
  Reals result(qLatent.shape);
  for (int64_t b = 0; b < qLatent.dim(0); ++b) {
    while (offsets(sequence + 1) <= b)
      ++sequence;
    for (int64_t h = 0; h < qLatent.dim(1); ++h) {
      auto row = [&](int64_t q) {
        return pageTable(sequence, q / pageTokens) * pageTokens + q % pageTokens;
      };
      std::vector<double> p;
      for (int64_t q = 0; q <= positions(b); ++q) {
        double score = 0;
        for (int64_t i = 0; i < latent; ++i)
          score += qLatent(b, h, i) * cache(row(q), i);
        for (int64_t i = 0; i < qRope.dim(2); ++i)
          score += qRope(b, h, i) * cache(row(q), latent + i);
        p.push_back(score * scale);
      }
      softmax(p);
      for (int64_t i = 0; i < latent; ++i)
        for (int64_t q = 0; q <= positions(b); ++q)
          result(b, h, i) += p[q] * cache(row(q), i);
    }
  }
  return result;
}

// DeepSeek-V3, section 2.1.1: c_t^KV and k_t^R are what is cached.
Reals hadal::reference::cacheAppend(const Reals &ckv, const Reals &kRope, const Integers &slots,
                                    Reals cache) {
  for (int64_t t = 0; t < slots.dim(0); ++t) {
    for (int64_t i = 0; i < ckv.dim(1); ++i)
      cache(slots(t), i) = ckv(t, i);
    for (int64_t i = 0; i < kRope.dim(1); ++i)
      cache(slots(t), ckv.dim(1) + i) = kRope(t, i);
  }
  return cache;
}
