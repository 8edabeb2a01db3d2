//===- MoeLoops.cpp - ops of moe, as their descriptions say -------------===//

#include "GraphInterpreter.h"

#include "dialects/moe/Moe.h"

#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

using namespace mlir;

namespace hadal::frontend {

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// The `count` largest of `values`, ties to the lower place, ascending.
std::vector<int64_t> largest(const std::vector<double> &values, int64_t count) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return values[a] > values[b]; });
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

/// s of a token: sigmoids of its logits, or their softmax.
std::vector<double> affinitiesOf(const Array &logits, int64_t t, bool softmax) {
  std::vector<double> s;
  for (int64_t e = 0; e < logits.dim(1); ++e) {
    double x = logits.data[t * logits.dim(1) + e];
    s.push_back(softmax ? std::exp(x) : sigmoid(x));
  }
  double sum = std::accumulate(s.begin(), s.end(), 0.0);
  for (double &value : s)
    value /= softmax ? sum : 1;
  return s;
}

std::pair<Array, Array> route(const Array &logits, const Array *bias, const Array *forced,
                              moe::RouteOp op) {
  int64_t experts = logits.dim(1), topK = op.getTopK(), groups = op.getGroups(),
          groupSize = experts / groups;
  Array weights = Array::zeros({logits.dim(0), topK}), chosen = weights;
  for (int64_t t = 0; t < logits.dim(0); ++t) {
    std::vector<double> affinity = affinitiesOf(logits, t, op.getSoftmax()), biased = affinity,
                        groupScore;
    for (int64_t e = 0; bias && e < experts; ++e)
      biased[e] += bias->data[e];
    for (int64_t g = 0; g < groups; ++g) {
      std::vector<double> group(biased.begin() + g * groupSize,
                                biased.begin() + (g + 1) * groupSize);
      std::sort(group.rbegin(), group.rend());
      groupScore.push_back(group[0] + (groupSize > 1 && !op.getGroupMaximum() ? group[1] : 0));
    }
    std::vector<int64_t> kept = largest(groupScore, op.getGroupLimit());
    for (int64_t e = 0; e < experts; ++e)
      if (!llvm::is_contained(kept, e / groupSize))
        biased[e] = -std::numeric_limits<double>::infinity();
    std::vector<int64_t> choice = largest(biased, topK);
    for (int64_t k = 0; forced && k < topK; ++k)
      choice[k] = static_cast<int64_t>(forced->data[t * topK + k]);
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

/// The first token of each block, and after the last: blocks of counts[0], counts[2] ... tokens;
/// without counts, one of all.
std::vector<int64_t> blocksOf(const Array *counts, int64_t tokens) {
  if (!counts)
    return {0, tokens};
  std::vector<int64_t> begins{0};
  for (size_t i = 0; i < counts->data.size(); i += 2)
    begins.push_back(begins.back() + static_cast<int64_t>(counts->data[i]));
  return begins;
}

Plan plan(const Array &chosen, const Array *segments, int64_t experts) {
  std::vector<int64_t> blocks = blocksOf(segments, chosen.dim(0));
  int64_t groups = (static_cast<int64_t>(blocks.size()) - 1) * experts;
  Plan p{{{0}, {}}, Array::zeros(chosen.shape), Array::zeros({groups + 1}), Array::zeros({groups})};
  std::fill(p.position.data.begin(), p.position.data.end(), -1.0);
  int64_t active = 0;
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t i = blocks[g / experts] * chosen.dim(1);
         i < blocks[g / experts + 1] * chosen.dim(1); ++i)
      if (static_cast<int64_t>(chosen.data[i]) == g % experts) {
        p.position.data[i] = static_cast<double>(p.source.data.size());
        p.source.data.push_back(static_cast<double>(i / chosen.dim(1)));
      }
    p.offsets.data[g + 1] = static_cast<double>(p.source.data.size());
    if (p.offsets.data[g + 1] > p.offsets.data[g])
      p.active.data[active++] = static_cast<double>(g);
  }
  p.source.shape = {static_cast<int64_t>(p.source.data.size())};
  std::fill(p.active.data.begin() + active, p.active.data.end(), -1.0);
  return p;
}

struct Sends {
  Array source, slots, ids, counts;
};

Sends planSends(const Array &chosen, const Array *received, moe::PlanSendsOp op) {
  int64_t tokens = chosen.dim(0), choices = chosen.dim(1), parts = op.getParts(),
          segments = op.getSegments();
  int64_t each = op.getExpertCount() / parts, most = tokens * std::min(choices, parts), row = 0;
  std::vector<int64_t> blocks = blocksOf(received, tokens);
  Sends s{Array::zeros({most}), Array::zeros({tokens, parts}), Array::zeros({most, choices}),
          Array::zeros({2 * parts * segments})};
  std::fill(s.slots.data.begin(), s.slots.data.end(), -1.0);
  std::fill(s.ids.data.begin(), s.ids.data.end(), -1.0);
  for (int64_t p = 0; p < parts; ++p)
    for (int64_t segment = 0; segment < segments; ++segment)
      for (int64_t t = blocks[segment]; t < blocks[segment + 1]; ++t) {
        int64_t found = 0;
        for (int64_t k = 0; k < choices; ++k) {
          auto id = static_cast<int64_t>(chosen.data[t * choices + k]);
          if (id < p * each || id >= (p + 1) * each)
            continue;
          ++found;
          s.ids.data[row * choices + k] = static_cast<double>(id - p * each);
        }
        if (!found)
          continue;
        s.counts.data[2 * (p * segments + segment)] += 1;
        s.counts.data[2 * (p * segments + segment) + 1] += static_cast<double>(found);
        s.slots.data[t * parts + p] = static_cast<double>(row);
        s.source.data[row++] = static_cast<double>(t);
      }
  return s;
}

Array gatherRows(const Array &x, const Array &source) {
  Array result = Array::zeros({source.dim(0), x.dim(1)});
  for (int64_t r = 0; r < source.dim(0); ++r)
    std::copy_n(x.data.begin() + int64_t(source.data[r]) * x.dim(1), x.dim(1),
                result.data.begin() + r * x.dim(1));
  return result;
}

/// Calls `row`(e, r) for each row r of each expert e.
template <typename Row> void forRows(const Array &offsets, Row row) {
  for (int64_t e = 0; e + 1 < offsets.dim(0); ++e)
    for (auto r = int64_t(offsets.data[e]); r < int64_t(offsets.data[e + 1]); ++r)
      row(e, r);
}

Array groupedMatmul(const Array &x, const Array &weights, const Array &offsets, bool transpose) {
  int64_t n = weights.dim(1), k = weights.dim(2), in = transpose ? n : k, out = transpose ? k : n;
  Array result = Array::zeros({x.dim(0), out});
  forRows(offsets, [&](int64_t g, int64_t r) {
    int64_t e = g % weights.dim(0);
    for (int64_t o = 0; o < out; ++o)
      for (int64_t i = 0; i < in; ++i)
        result.data[r * out + o] +=
            x.data[r * in + i] *
            weights.data[(e * n + (transpose ? i : o)) * k + (transpose ? o : i)];
  });
  return result;
}

Array groupedWeightGrad(const Array &x, const Array &gradient, const Array &offsets, Array result) {
  int64_t n = result.dim(1), k = result.dim(2);
  forRows(offsets, [&](int64_t e, int64_t r) {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < k; ++j)
        result.data[(e * n + i) * k + j] += gradient.data[r * n + i] * x.data[r * k + j];
  });
  return result;
}

/// The sum of the leaves (id, value) in [low, high), halves first; nothing where there are none.
/// Equal ids add in order.
std::optional<double> treeSum(const std::vector<std::pair<int64_t, double>> &leaves, int64_t low,
                              int64_t high) {
  std::optional<double> sum;
  auto join = [&](std::optional<double> more) {
    if (more)
      sum = sum ? *sum + *more : *more;
  };
  if (high - low == 1) {
    for (auto [id, value] : leaves)
      if (id == low)
        join(value);
  } else {
    int64_t middle = low + (high - low) / 2;
    join(treeSum(leaves, low, middle));
    join(treeSum(leaves, middle, high));
  }
  return sum;
}

Array combine(const Array &rows, const Array &position, const Array &experts, const Array &weights,
              int64_t count) {
  int64_t choices = position.dim(1), size = rows.dim(1);
  Array result = Array::zeros({position.dim(0), size});
  for (int64_t t = 0; t < position.dim(0); ++t)
    for (int64_t j = 0; j < size; ++j) {
      std::vector<std::pair<int64_t, double>> leaves;
      for (int64_t i = t * choices; i < (t + 1) * choices; ++i)
        if (position.data[i] >= 0)
          leaves.push_back(
              {experts.data[i], weights.data[i] * rows.data[int64_t(position.data[i]) * size + j]});
      result.data[t * size + j] = treeSum(leaves, 0, count).value_or(0);
    }
  return result;
}

std::pair<Array, Array> combineGrad(const Array &rows, const Array &position, const Array &weights,
                                    const Array &gradient) {
  int64_t choices = position.dim(1), size = rows.dim(1);
  Array rowsGrad = Array::zeros(rows.shape), weightsGrad = Array::zeros(weights.shape);
  for (int64_t i = 0; i < position.dim(0) * choices; ++i)
    for (int64_t j = 0; position.data[i] >= 0 && j < size; ++j) {
      int64_t row = int64_t(position.data[i]) * size + j;
      rowsGrad.data[row] = weights.data[i] * gradient.data[i / choices * size + j];
      weightsGrad.data[i] += rows.data[row] * gradient.data[i / choices * size + j];
    }
  return {rowsGrad, weightsGrad};
}

/// Takes gradients `d` of affinities `s` to the logits.
void throughAffinities(const std::vector<double> &s, const std::vector<double> &d, bool softmax,
                       double *out) {
  double mean = softmax ? std::inner_product(s.begin(), s.end(), d.begin(), 0.0) : 0;
  for (size_t e = 0; e < s.size(); ++e)
    out[e] = softmax ? s[e] * (d[e] - mean) : d[e] * s[e] * (1 - s[e]);
}

Array routeGrad(const Array &logits, const Array &chosen, const Array &gradient,
                moe::RouteGradOp op) {
  int64_t experts = logits.dim(1), topK = chosen.dim(1);
  Array result = Array::zeros(logits.shape);
  for (int64_t t = 0; t < logits.dim(0); ++t) {
    std::vector<double> s = affinitiesOf(logits, t, op.getSoftmax()), d(experts);
    auto expertOf = [&](int64_t k) { return int64_t(chosen.data[t * topK + k]); };
    double sum = 1e-20, dot = 0, scale = op.getScale().convertToFloat();
    for (int64_t k = 0; k < topK; ++k)
      sum += s[expertOf(k)];
    for (int64_t k = 0; k < topK; ++k)
      dot += gradient.data[t * topK + k] * s[expertOf(k)] / sum;
    for (int64_t k = 0; k < topK; ++k) {
      double g = gradient.data[t * topK + k];
      d[expertOf(k)] += op.getNormalize() ? scale * (g - dot) / sum : scale * g;
    }
    throughAffinities(s, d, op.getSoftmax(), &result.data[t * experts]);
  }
  return result;
}

std::pair<Array, Array> balanceLoss(const Array &logits, const Array &offsets, const Array *chosen,
                                    moe::BalanceLossOp op) {
  int64_t experts = logits.dim(1), sequences = offsets.dim(0) - 1, topK = op.getTopK();
  Array loss = Array::zeros({sequences}), fractions = Array::zeros({sequences, experts});
  for (int64_t q = 0; q < sequences; ++q) {
    double tokens = offsets.data[q + 1] - offsets.data[q];
    std::vector<double> mean(experts);
    for (auto t = int64_t(offsets.data[q]); t < int64_t(offsets.data[q + 1]); ++t) {
      std::vector<double> s = affinitiesOf(logits, t, op.getSoftmax());
      double sum = std::accumulate(s.begin(), s.end(), 0.0);
      std::vector<int64_t> choice = largest(s, topK);
      for (int64_t k = 0; chosen && k < topK; ++k)
        choice[k] = int64_t(chosen->data[t * topK + k]);
      for (int64_t e : choice)
        fractions.data[q * experts + e] += double(experts) / (double(topK) * tokens);
      for (int64_t e = 0; e < experts; ++e)
        mean[e] += s[e] / sum / tokens;
    }
    for (int64_t e = 0; e < experts; ++e)
      loss.data[q] += fractions.data[q * experts + e] * mean[e];
  }
  return {loss, fractions};
}

Array balanceLossGrad(const Array &logits, const Array &offsets, const Array &fractions,
                      const Array &gradient, bool softmax) {
  int64_t experts = logits.dim(1);
  Array result = Array::zeros(logits.shape);
  for (int64_t q = 0; q + 1 < offsets.dim(0); ++q)
    for (auto t = int64_t(offsets.data[q]); t < int64_t(offsets.data[q + 1]); ++t) {
      std::vector<double> s = affinitiesOf(logits, t, softmax), d;
      double sum = std::accumulate(s.begin(), s.end(), 0.0);
      double weighted = 0, tokens = offsets.data[q + 1] - offsets.data[q];
      for (int64_t e = 0; e < experts; ++e)
        weighted += fractions.data[q * experts + e] * s[e] / sum;
      for (int64_t e = 0; e < experts; ++e)
        d.push_back(gradient.data[q] / tokens * (fractions.data[q * experts + e] - weighted) / sum);
      throughAffinities(s, d, softmax, &result.data[t * experts]);
    }
  return result;
}

Array scatterAdd(const Array &rows, const Array &ids, Array result) {
  int64_t size = rows.dim(1);
  for (int64_t r = 0; r < rows.dim(0); ++r)
    for (int64_t j = 0; j < size; ++j)
      result.data[int64_t(ids.data[r]) * size + j] += rows.data[r * size + j];
  return result;
}

} // namespace

bool evaluateMoe(Operation *op, Values &values) {
  auto get = [&](Value v) -> const Array & { return values.at(v); };
  auto rowsOf = [&](auto o) {
    return o.getSource() ? gatherRows(get(o.getRows()), get(o.getSource())) : get(o.getRows());
  };
  bool known = true;
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](moe::RouteOp o) {
        const Array *forced = o.getForced() ? &get(o.getForced()) : nullptr;
        const Array *bias = o.getBias() ? &get(o.getBias()) : nullptr;
        auto [weights, chosen] = route(get(o.getLogits()), bias, forced, o);
        values[o.getWeights()] = weights;
        values[o.getExperts()] = chosen;
      })
      .Case([&](moe::PlanOp o) {
        Plan p = plan(get(o.getExperts()), o.getSegments() ? &get(o.getSegments()) : nullptr,
                      o.getExpertCount());
        values[o.getSource()] = p.source;
        values[o.getPosition()] = p.position;
        values[o.getOffsets()] = p.offsets;
        values[o.getActive()] = p.active;
      })
      .Case([&](moe::PlanSendsOp o) {
        Sends s =
            planSends(get(o.getExperts()), o.getReceived() ? &get(o.getReceived()) : nullptr, o);
        values[o.getSource()] = s.source;
        values[o.getSlots()] = s.slots;
        values[o.getIds()] = s.ids;
        values[o.getCounts()] = s.counts;
      })
      .Case([&](moe::DispatchOp o) { values[o] = gatherRows(get(o.getX()), get(o.getSource())); })
      .Case([&](moe::GroupedMatmulOp o) {
        values[o] =
            groupedMatmul(rowsOf(o), get(o.getWeights()), get(o.getOffsets()), o.getTranspose());
      })
      .Case([&](moe::GroupedWeightGradOp o) {
        values[o] = groupedWeightGrad(rowsOf(o), get(o.getGradient()), get(o.getOffsets()),
                                      get(o.getInit()));
      })
      .Case([&](moe::CombineOp o) {
        values[o] = combine(get(o.getRows()), get(o.getPosition()), get(o.getExperts()),
                            get(o.getWeights()), o.getExpertCount());
      })
      .Case([&](moe::CombineGradOp o) {
        auto [rows, weights] = combineGrad(get(o.getRows()), get(o.getPosition()),
                                           get(o.getWeights()), get(o.getGradient()));
        values[o.getRowsGrad()] = rows;
        values[o.getWeightsGrad()] = weights;
      })
      .Case([&](moe::RouteGradOp o) {
        values[o] = routeGrad(get(o.getLogits()), get(o.getExperts()), get(o.getGradient()), o);
      })
      .Case([&](moe::BalanceLossOp o) {
        const Array *chosen = o.getExperts() ? &get(o.getExperts()) : nullptr;
        auto [loss, fractions] = balanceLoss(get(o.getLogits()), get(o.getOffsets()), chosen, o);
        values[o.getLoss()] = loss;
        values[o.getFractions()] = fractions;
      })
      .Case([&](moe::BalanceLossGradOp o) {
        values[o] = balanceLossGrad(get(o.getLogits()), get(o.getOffsets()), get(o.getFractions()),
                                    get(o.getGradient()), o.getSoftmax());
      })
      .Case([&](moe::ScatterAddOp o) {
        values[o] = scatterAdd(get(o.getRows()), get(o.getIds()), get(o.getInit()));
      })
      .Default([&](Operation *) { known = false; });
  return known;
}

} // namespace hadal::frontend
