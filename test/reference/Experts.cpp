//===- Experts.cpp - references for moe -------------------------------------===//

#include "test/reference/Reference.h"

#include <algorithm>
#include <cmath>

using namespace hadal::reference;

/// The indices of the `count` largest values, largest first, ties to the lower index.
static std::vector<int64_t> largest(const std::vector<double> &values, int64_t count) {
  std::vector<int64_t> order(values.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<int64_t>(i);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return values[a] > values[b] || (values[a] == values[b] && a < b);
  });
  order.resize(static_cast<size_t>(count));
  return order;
}

/// Of one token: sigmoids (DeepSeek-V3, eq. 15), or a softmax over all experts (DeepSeek-V2,
/// arXiv:2405.04434, eq. 22).
static std::vector<double> affinitiesOf(const Reals &logits, int64_t t, bool softmax) {
  std::vector<double> result;
  double sum = 0;
  for (int64_t e = 0; e < logits.dim(1); ++e)
    sum += std::exp(logits(t, e));
  for (int64_t e = 0; e < logits.dim(1); ++e)
    result.push_back(softmax ? std::exp(logits(t, e)) / sum : 1 / (1 + std::exp(-logits(t, e))));
  return result;
}

/// The derivative of affinity `to` by logit `by`.
static double affinitySlope(const std::vector<double> &s, int64_t to, int64_t by, bool softmax) {
  if (softmax)
    return s[to] * ((to == by ? 1 : 0) - s[by]);
  return to == by ? s[to] * (1 - s[to]) : 0;
}

/// The chosen experts of one row of biased scores, ascending.
static std::vector<int64_t> chosenExperts(std::vector<double> biased, const RouteOptions &options) {
  int64_t each = static_cast<int64_t>(biased.size()) / options.groups;
  if (options.groupLimit < options.groups) {
    std::vector<double> groupScores;
    for (int64_t g = 0; g < options.groups; ++g) {
      std::vector<double> group(biased.begin() + g * each, biased.begin() + (g + 1) * each);
      std::vector<int64_t> best = largest(group, options.groupMaximum ? 1 : 2);
      groupScores.push_back(group[best[0]] + (options.groupMaximum ? 0 : group[best[1]]));
    }
    std::vector<int64_t> kept = largest(groupScores, options.groupLimit);
    for (int64_t e = 0; e < static_cast<int64_t>(biased.size()); ++e)
      if (std::find(kept.begin(), kept.end(), e / each) == kept.end())
        biased[e] = -INFINITY;
  }
  std::vector<int64_t> chosen = largest(biased, options.topK);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

// DeepSeek-V3, arXiv:2412.19437, section 2.1.2: eq. 15 (affinity), 16 (choice with the bias), 13
// (normalised weight).
Routing hadal::reference::route(const Reals &logits, const Reals &bias, const RouteOptions &options,
                                const std::optional<Integers> &forced) {
  int64_t tokens = logits.dim(0);
  Routing result{Reals({tokens, options.topK}), Integers({tokens, options.topK})};
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<double> affinity = affinitiesOf(logits, t, options.softmax), biased = affinity;
    for (int64_t e = 0; e < static_cast<int64_t>(bias.values.size()); ++e)
      biased[e] += bias(e);
    std::vector<int64_t> chosen = chosenExperts(biased, options);
    double sum = 0;
    for (int64_t k = 0; k < options.topK; ++k) {
      if (forced)
        chosen[k] = (*forced)(t, k);
      sum += affinity[chosen[k]];
    }
    for (int64_t k = 0; k < options.topK; ++k) {
      result.experts(t, k) = chosen[k];
      result.weights(t, k) =
          affinity[chosen[k]] / (options.normalize ? sum + 1e-20 : 1) * options.scale;
    }
  }
  return result;
}

// MegaBlocks, arXiv:2211.15841, section 5.1: tokens sorted by expert.
/// The block of each token.
static std::vector<int64_t> blocksOf(int64_t tokens, const std::optional<Integers> &counts) {
  std::vector<int64_t> blocks;
  for (int64_t s = 0; counts && s < counts->dim(0) / 2; ++s)
    blocks.insert(blocks.end(), (*counts)(2 * s), s);
  if (!counts)
    blocks.resize(tokens);
  return blocks;
}

Plan hadal::reference::plan(const Integers &experts, int64_t expertCount,
                            const std::optional<Integers> &segments) {
  int64_t tokens = experts.dim(0), choices = experts.dim(1), rows = 0, active = 0;
  int64_t groups = (segments ? segments->dim(0) / 2 : 1) * expertCount;
  std::vector<int64_t> blocks = blocksOf(tokens, segments);
  for (int64_t expert : experts.values)
    rows += expert >= 0;
  Plan result{Integers({rows}), Integers({tokens, choices}), Integers({groups + 1}),
              Integers({groups})};
  std::fill(result.active.values.begin(), result.active.values.end(), -1);
  std::fill(result.position.values.begin(), result.position.values.end(), -1);
  int64_t row = 0;
  for (int64_t g = 0; g < groups; ++g) {
    result.offsets(g) = row;
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t k = 0; k < choices; ++k)
        if (experts(t, k) == g % expertCount && blocks[t] == g / expertCount) {
          result.source(row) = t;
          result.position(t, k) = row++;
        }
    if (row > result.offsets(g))
      result.active(active++) = g;
  }
  result.offsets(groups) = row;
  return result;
}

Sends hadal::reference::planSends(const Integers &experts, int64_t expertCount, int64_t parts,
                                  const std::optional<Integers> &received) {
  int64_t tokens = experts.dim(0), choices = experts.dim(1), each = expertCount / parts, row = 0;
  int64_t segments = received ? received->dim(0) / 2 : 1, most = tokens * std::min(choices, parts);
  std::vector<int64_t> blocks = blocksOf(tokens, received);
  Sends result{Integers({most}), Integers({tokens, parts}), Integers({most, choices}),
               Integers({parts, segments, 2})};
  std::fill(result.slots.values.begin(), result.slots.values.end(), -1);
  std::fill(result.ids.values.begin(), result.ids.values.end(), -1);
  for (int64_t p = 0; p < parts; ++p)
    for (int64_t s = 0; s < segments; ++s)
      for (int64_t t = 0; t < tokens; ++t) {
        if (blocks[t] != s)
          continue;
        int64_t found = 0;
        for (int64_t k = 0; k < choices; ++k)
          if (experts(t, k) >= 0 && experts(t, k) / each == p) {
            result.ids(row, k) = experts(t, k) % each;
            ++found;
          }
        if (!found)
          continue;
        result.counts(p, s, 0) += 1;
        result.counts(p, s, 1) += found;
        result.slots(t, p) = row;
        result.source(row++) = t;
      }
  return result;
}

Reals hadal::reference::dispatch(const Reals &x, const Integers &source) {
  Reals result({source.dim(0), x.dim(1)});
  for (int64_t r = 0; r < source.dim(0); ++r)
    for (int64_t i = 0; i < x.dim(1); ++i)
      result(r, i) = x(source(r), i);
  return result;
}

/// The weights and left rows of each result element go to `dot`.
template <typename Dot>
static Reals groupedProduct(const Reals &rows, const Reals &weights, const Integers &offsets,
                            const std::optional<Integers> &source, Dot dot) {
  Reals result({source ? source->dim(0) : rows.dim(0), weights.dim(1)});
  for (int64_t g = 0; g + 1 < offsets.dim(0); ++g)
    for (int64_t r = offsets(g); r < offsets(g + 1); ++r)
      for (int64_t n = 0; n < weights.dim(1); ++n)
        result(r, n) = dot(source ? (*source)(r) : r, g % weights.dim(0), n);
  return result;
}

// MegaBlocks, section 4: y_r = x_r W_e(r)^T.
Reals hadal::reference::groupedMatmul(const Reals &rows, const Reals &weights,
                                      const Integers &offsets,
                                      const std::optional<Integers> &source) {
  return groupedProduct(rows, weights, offsets, source, [&](int64_t left, int64_t e, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < rows.dim(1); ++k)
      sum += rows(left, k) * weights(e, n, k);
    return sum;
  });
}

Reals hadal::reference::groupedMatmulChain(const Reals &rows, const Reals &weights,
                                           const Integers &offsets,
                                           const std::optional<Integers> &source) {
  return groupedProduct(rows, weights, offsets, source, [&](int64_t left, int64_t e, int64_t n) {
    float sum = 0;
    for (int64_t k = 0; k < rows.dim(1); ++k)
      sum = std::fmaf(static_cast<float>(rows(left, k)), static_cast<float>(weights(e, n, k)), sum);
    return static_cast<double>(sum);
  });
}

/// sum(lo, hi) of the op's description: empty where no choice falls into the range.
static std::optional<float> treeSum(const std::vector<std::pair<int64_t, float>> &leaves,
                                    int64_t lo, int64_t hi) {
  std::optional<float> sum;
  auto join = [&](std::optional<float> part) {
    if (part)
      sum = sum ? *sum + *part : *part;
  };
  if (hi - lo == 1) {
    for (auto [expert, value] : leaves)
      if (expert == lo)
        join(value);
    return sum;
  }
  int64_t mid = lo + (hi - lo) / 2;
  join(treeSum(leaves, lo, mid));
  join(treeSum(leaves, mid, hi));
  return sum;
}

// DeepSeek-V3, section 2.1.2, eq. 12 (the routed part), summed in the halving
// tree over expert ids (dialects/README.md).
Reals hadal::reference::combine(const Reals &rows, const Integers &position,
                                const Integers &experts, const Reals &weights,
                                int64_t expertCount) {
  Reals result({position.dim(0), rows.dim(1)});
  for (int64_t t = 0; t < position.dim(0); ++t)
    for (int64_t i = 0; i < rows.dim(1); ++i) {
      std::vector<std::pair<int64_t, float>> leaves;
      for (int64_t k = 0; k < position.dim(1); ++k)
        if (position(t, k) >= 0)
          leaves.push_back({experts(t, k), static_cast<float>(weights(t, k)) *
                                               static_cast<float>(rows(position(t, k), i))});
      result(t, i) = treeSum(leaves, 0, expertCount).value_or(0);
    }
  return result;
}

// y_t = sum_k w_tk rows_pos(t,k): the gradients of a sum of products.
CombineGradients hadal::reference::combineGradients(const Reals &rows, const Integers &position,
                                                    const Reals &weights, const Reals &gradient) {
  CombineGradients result{Reals(rows.shape), Reals(weights.shape)};
  for (int64_t t = 0; t < position.dim(0); ++t)
    for (int64_t k = 0; k < position.dim(1); ++k)
      for (int64_t i = 0; position(t, k) >= 0 && i < rows.dim(1); ++i) {
        result.rows(position(t, k), i) += weights(t, k) * gradient(t, i);
        result.weights(t, k) += rows(position(t, k), i) * gradient(t, i);
      }
  return result;
}

// w_k = scale s_k / S, S = sum_j s_j: dw_k/ds_j = scale ([k = j] / S - s_k / S^2).
Reals hadal::reference::routeGradient(const Reals &logits, const Integers &experts,
                                      const Reals &gradient, bool normalize, double scale,
                                      bool softmax) {
  Reals result(logits.shape);
  int64_t topK = experts.dim(1);
  for (int64_t t = 0; t < logits.dim(0); ++t) {
    std::vector<double> s = affinitiesOf(logits, t, softmax);
    double sum = 0;
    for (int64_t k = 0; k < topK; ++k)
      sum += s[experts(t, k)];
    for (int64_t j = 0; j < topK; ++j) {
      double ds = 0;
      for (int64_t k = 0; k < topK; ++k) {
        double slope =
            normalize ? (k == j ? 1 / sum : 0) - s[experts(t, k)] / (sum * sum) : (k == j ? 1 : 0);
        ds += gradient(t, k) * scale * slope;
      }
      for (int64_t e = 0; e < logits.dim(1); ++e)
        result(t, e) += ds * affinitySlope(s, experts(t, j), e, softmax);
    }
  }
  return result;
}

// DeepSeek-V3, section 2.1.2, eq. 17-20 without alpha; DeepSeek-V2, arXiv:2405.04434, eq. 23-25,
// counts what was chosen.
Balance hadal::reference::balanceLoss(const Reals &logits, const Integers &offsets, int64_t topK,
                                      bool softmax, const std::optional<Integers> &chosen) {
  int64_t experts = logits.dim(1), sequences = offsets.dim(0) - 1;
  Balance result{Reals({sequences}), Reals({sequences, experts})};
  for (int64_t q = 0; q < sequences; ++q) {
    auto tokens = static_cast<double>(offsets(q + 1) - offsets(q));
    std::vector<double> mean(static_cast<size_t>(experts));
    for (int64_t t = offsets(q); t < offsets(q + 1); ++t) {
      std::vector<double> affinity = affinitiesOf(logits, t, softmax);
      double sum = 0;
      for (double s : affinity)
        sum += s;
      std::vector<int64_t> choice = largest(affinity, topK);
      for (int64_t k = 0; chosen && k < topK; ++k)
        choice[k] = (*chosen)(t, k);
      for (int64_t e : choice)
        result.fractions(q, e) +=
            static_cast<double>(experts) / (static_cast<double>(topK) * tokens);
      for (int64_t e = 0; e < experts; ++e)
        mean[e] += affinity[e] / sum / tokens;
    }
    for (int64_t e = 0; e < experts; ++e)
      result.loss(q) += result.fractions(q, e) * mean[e];
  }
  return result;
}

// P_e = mean_t s_te / Z_t: ds_te'/Z has the slope ([e = e'] - s_te / Z) / Z.
Reals hadal::reference::balanceLossGradient(const Reals &logits, const Integers &offsets,
                                            const Reals &fractions, const Reals &gradient,
                                            bool softmax) {
  Reals result(logits.shape);
  int64_t experts = logits.dim(1);
  for (int64_t q = 0; q + 1 < offsets.dim(0); ++q)
    for (int64_t t = offsets(q); t < offsets(q + 1); ++t) {
      std::vector<double> s = affinitiesOf(logits, t, softmax);
      double sum = 0;
      for (double value : s)
        sum += value;
      for (int64_t to = 0; to < experts; ++to) {
        double ds = 0;
        for (int64_t e = 0; e < experts; ++e)
          ds += fractions(q, e) * ((e == to ? 1 : 0) - s[e] / sum) / sum;
        ds *= gradient(q) / static_cast<double>(offsets(q + 1) - offsets(q));
        for (int64_t by = 0; by < experts; ++by)
          result(t, by) += ds * affinitySlope(s, to, by, softmax);
      }
    }
  return result;
}

Reals hadal::reference::scatterAdd(const Reals &rows, const Integers &ids, Reals init) {
  for (int64_t r = 0; r < rows.dim(0); ++r)
    for (int64_t i = 0; i < rows.dim(1); ++i)
      init(ids(r), i) = static_cast<float>(init(ids(r), i)) + static_cast<float>(rows(r, i));
  return init;
}

// Wang et al., arXiv:2408.15664, algorithm 1: b_i += u * sign(mean load - load_i).
Reals hadal::reference::updateBias(const Reals &bias, const Integers &load, float step) {
  Reals result(bias.shape);
  int64_t total = 0;
  for (int64_t rows : load.values)
    total += rows;
  for (int64_t e = 0; e < bias.dim(0); ++e) {
    int64_t missing = total - bias.dim(0) * load(e);
    float change = missing > 0 ? step : missing < 0 ? -step : 0;
    result(e) = static_cast<float>(bias(e)) + change;
  }
  return result;
}
