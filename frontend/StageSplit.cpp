//===- StageSplit.cpp - layers over pipeline stages -------------------------===//

#include "frontend/StageSplit.h"

#include <algorithm>
#include <limits>

using namespace hadal;
using namespace hadal::frontend;

std::vector<int64_t> frontend::splitLayers(const std::vector<double> &layers, int64_t stages,
                                           double first, double last) {
  int64_t count = static_cast<int64_t>(layers.size());
  std::vector<double> before(count + 1, 0);
  for (int64_t i = 0; i < count; ++i)
    before[i + 1] = before[i] + layers[i];
  // best[s][n]: the least sum of squares of the first s stages with n layers; from[s][n]: those of
  // the first s - 1.
  constexpr double none = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> best(stages + 1, std::vector<double>(count + 1, none));
  std::vector<std::vector<int64_t>> from(stages + 1, std::vector<int64_t>(count + 1, 0));
  best[0][0] = 0;
  for (int64_t s = 1; s <= stages; ++s)
    for (int64_t n = 0; n <= count; ++n)
      for (int64_t m = 0; m <= n - (s < stages || stages == 1 ? 1 : 0); ++m) {
        double cost = before[n] - before[m] + (s == 1 ? first : 0) + (s == stages ? last : 0),
               sum = best[s - 1][m] + cost * cost;
        if (sum < best[s][n])
          best[s][n] = sum, from[s][n] = m;
      }
  std::vector<int64_t> split(stages);
  for (int64_t s = stages, n = count; s > 0; n = from[s][n], --s)
    split[s - 1] = n - from[s][n];
  return split;
}

std::vector<int64_t> frontend::stageLayers(const ModelConfig &c, int64_t depths, int64_t stages) {
  auto h = double(c.hiddenSize), heads = double(c.heads), rank = double(c.latentRank);
  double query = heads * double(c.queryDim());
  double attention = c.queryRank ? double(*c.queryRank) * (h + query) : h * query;
  attention += h * (rank + double(c.ropeDim)) + rank * heads * double(c.nopeDim + c.valueDim) +
               heads * double(c.valueDim) * h;
  double dense = attention + 3 * h * double(c.denseWidth);
  double routed = attention + h * double(c.experts) +
                  3 * h * double(c.expertWidth) * double(c.expertsPerToken + c.sharedExperts);
  double head = h * double(c.vocabSize);
  std::vector<double> layers;
  for (int64_t i = 0; i < c.layers; ++i)
    layers.push_back(c.isDense(i) ? dense : routed);
  return splitLayers(layers, stages, 0,
                     head + double(depths) * ((c.experts ? routed : dense) + 2 * h * h + head));
}
