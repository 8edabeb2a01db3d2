//===- Steps.cpp - references for sample and train --------------------------===//

#include "test/reference/Reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace hadal::reference;

/// Ids of a row, largest value first, lower ids first among equals.
static std::vector<int64_t> descending(const std::vector<double> &row) {
  std::vector<int64_t> ids(row.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) { return row[a] > row[b]; });
  return ids;
}

static std::vector<double> rowOf(const Reals &x, int64_t row) {
  auto begin = x.values.begin() + row * x.dim(1);
  return {begin, begin + x.dim(1)};
}

Integers hadal::reference::argmax(const Reals &logits) {
  Integers ids({logits.dim(0)});
  for (int64_t r = 0; r < logits.dim(0); ++r)
    ids(r) = descending(rowOf(logits, r))[0];
  return ids;
}

// The sets of top_k, top_p and min_p are each a beginning of the ids in descending order.
Integers hadal::reference::chooseTokens(const Reals &logits, const Reals &temperature,
                                        const Integers &topK, const Reals &topP, const Reals &minP,
                                        const Reals &uniform) {
  Integers chosen({logits.dim(0)});
  for (int64_t r = 0; r < logits.dim(0); ++r) {
    std::vector<double> weights = rowOf(logits, r);
    double most = *std::max_element(weights.begin(), weights.end());
    for (double &w : weights)
      w = std::exp((w - most) / temperature(r));
    std::vector<int64_t> ids = descending(weights);
    ids.resize(static_cast<size_t>(std::min(topK(r), logits.dim(1))));
    double total = 0, sum = 0;
    for (int64_t id : ids)
      total += weights[id];
    size_t count = 0;
    while (count < ids.size() && sum < topP(r) * total)
      sum += weights[ids[count++]];
    while (count && weights[ids[count - 1]] < minP(r))
      --count;
    ids.resize(count);
    std::sort(ids.begin(), ids.end());
    double inside = 0;
    for (int64_t id : ids)
      inside += weights[id];
    double reached = 0;
    for (int64_t id : ids)
      if ((reached += weights[id]) > uniform(r) * inside) {
        chosen(r) = id;
        break;
      }
  }
  return chosen;
}

static double logOfSum(const std::vector<double> &row) {
  double most = *std::max_element(row.begin(), row.end()), sum = 0;
  for (double x : row)
    sum += std::exp(x - most);
  return most + std::log(sum);
}

Reals hadal::reference::nll(const Reals &logits, const Integers &targets) {
  Reals nll({logits.dim(0)});
  for (int64_t r = 0; r < logits.dim(0); ++r)
    nll(r) = logOfSum(rowOf(logits, r)) - logits(r, targets(r));
  return nll;
}

LogProbabilities hadal::reference::logProbabilities(const Reals &logits, const Integers &ids,
                                                    int64_t top) {
  int64_t rows = logits.dim(0);
  LogProbabilities found{Reals({rows}), Integers({rows, top}), Reals({rows, top})};
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> row = rowOf(logits, r);
    double all = logOfSum(row);
    found.chosen(r) = row[ids(r)] - all;
    std::vector<int64_t> order = descending(row);
    for (int64_t p = 0; p < top; ++p) {
      found.topIds(r, p) = order[p];
      found.top(r, p) = row[order[p]] - all;
    }
  }
  return found;
}

Reals hadal::reference::penalize(const Reals &logits, const Reals &penalty, const Integers &offsets,
                                 const Integers &seen) {
  Reals penalized = logits;
  for (int64_t r = 0; r < logits.dim(0); ++r)
    for (int64_t i = offsets(r); i < offsets(r + 1); ++i) {
      double x = logits(r, seen(i));
      // One rounding to f32.
      penalized(r, seen(i)) = static_cast<float>(x < 0 ? x * penalty(r) : x / penalty(r));
    }
  return penalized;
}

Reals hadal::reference::squareSums(const Reals &x, int64_t block) {
  Reals sums({x.dim(0), (x.dim(1) + block - 1) / block});
  for (int64_t t = 0; t < x.dim(0); ++t)
    for (int64_t i = 0; i < x.dim(1); ++i)
      sums(t, i / block) += x(t, i) * x(t, i);
  return sums;
}

Reals hadal::reference::sumRows(const Reals &x) {
  Reals sums({x.dim(0)});
  for (int64_t t = 0; t < x.dim(0); ++t)
    for (int64_t i = 0; i < x.dim(1); ++i)
      sums(t) += x(t, i);
  return sums;
}

Reals hadal::reference::norm(const Reals &sums) {
  Reals norm({1});
  for (double sum : sums.values)
    norm(0) += sum;
  norm(0) = static_cast<float>(std::sqrt(norm(0)));
  return norm;
}
