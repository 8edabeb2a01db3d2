//===- Timeline.cpp - how long a schedule takes --------------------------===//

#include "runtime/schedule/Timeline.h"
#include "runtime/schedule/Walk.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::schedule;

double Timeline::bubble() const {
  return busy.empty() ? 0 : end - *std::min_element(busy.begin(), busy.end());
}

static double costOf(const Costs &costs, ChunkKind kind) {
  switch (kind) {
  case ChunkKind::Forward: return costs.forward;
  case ChunkKind::Backward: return costs.inputGrad + costs.weightGrad;
  case ChunkKind::InputGrad: return costs.inputGrad;
  case ChunkKind::WeightGrad: return costs.weightGrad;
  }
  return 0;
}

double StageCosts::pair(uint32_t forward, uint32_t backward) const {
  if (stages.size() == 1)
    return stages[0].pair;
  return of(forward).forward + of(backward).inputGrad + of(backward).weightGrad;
}

Costs StageCosts::mean() const {
  if (stages.size() == 1)
    return stages[0];
  Costs mean{0, 0, 0, 0};
  for (const Costs &costs : stages)
    for (double Costs::*cost : {&Costs::forward, &Costs::inputGrad, &Costs::weightGrad})
      mean.*cost += costs.*cost / double(stages.size());
  mean.pair = mean.forward + mean.inputGrad + mean.weightGrad;
  return mean;
}

double StageCosts::least() const {
  double least = stages[0].forward;
  for (const Costs &costs : stages)
    least = std::min({least, costs.forward, costs.inputGrad, costs.weightGrad,
                      stages.size() == 1 ? costs.pair : costs.forward});
  return least;
}

std::string StageCosts::text(double time) const {
  char text[32];
  if (!inSeconds())
    std::snprintf(text, sizeof text, "%.6g", time);
  else if (time >= 1 || time == 0)
    std::snprintf(text, sizeof text, "%.4g s", time);
  else
    std::snprintf(text, sizeof text, time >= 1e-3 ? "%.4g ms" : "%.4g us",
                  time * (time >= 1e-3 ? 1e3 : 1e6));
  return text;
}

Result<Timeline> schedule::timeline(const Schedule &s, const StageCosts &costs) {
  HADAL_TRY(verify(s));
  Timeline line;
  line.busy.resize(s.orders.size());
  for (const Order &order : s.orders)
    line.spans.emplace_back(order.size());
  std::vector<double> done(eventCount(s)), clock(s.orders.size());
  walk(s, [&](uint32_t rank, size_t first, size_t count) {
    const Order &order = s.orders[rank];
    auto stage = [&](size_t item) { return stageOf(s, rank, order[item].direction); };
    double begin = clock[rank], took = count == 2
                                           ? costs.pair(stage(first), stage(first + 1))
                                           : costOf(costs.of(stage(first)), order[first].kind);
    for (size_t i = first; i < first + count; ++i)
      for (const Event &e : needs(s, rank, order[i]))
        begin = std::max(begin, done[numberOf(s, e)]);
    clock[rank] = begin + took;
    line.busy[rank] += took;
    line.end = std::max(line.end, clock[rank]);
    for (size_t i = first; i < first + count; ++i) {
      line.spans[rank][i] = {begin, clock[rank]};
      for (const Event &e : makes(s, rank, order[i]))
        done[numberOf(s, e)] = clock[rank];
    }
  });
  return line;
}

double schedule::bubbleFormula(const Schedule &s, const Costs &c) {
  double whole = c.inputGrad + c.weightGrad, depth = s.ranks - 1;
  if (s.name == "1f1b")
    return depth * (c.forward + whole);
  if (s.name == "zb1p")
    return depth * (c.forward + c.inputGrad) -
           (std::min(s.ranks, s.microBatches) - 1) * c.weightGrad;
  if (s.name == "dualpipe")
    depth = s.ranks / 2 - 1;
  return depth * (c.pair + whole - 3 * c.weightGrad);
}
