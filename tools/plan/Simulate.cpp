//===- Simulate.cpp - a step, event by event ----------------------===//

#include "tools/plan/Simulate.h"
#include "runtime/schedule/Walk.h"
#include "tools/plan/Optimizer.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::plan;
using schedule::Chunk;

namespace {

class Simulator {
public:
  Simulator(const schedule::Schedule &s, const StepWork &work, const Layout &layout,
            const Cluster &cluster)
      : s(s), work(work), layout(layout), cluster(cluster),
        timing(cluster, work, plan::hasPairs(s)) {}

  StepResult run();

private:
  const ChunkTiming &timingOf(uint32_t rank, const Chunk *chunks, size_t count);
  double arrival(const schedule::Event &event, uint32_t rank) const;
  void send(uint32_t rank, const Chunk &chunk, double end, double ready);
  Memory memory(uint32_t rank) const;

  const schedule::Schedule &s;
  const StepWork &work;
  const Layout &layout;
  const Cluster &cluster;
  Timing timing;
  StepResult result;
  std::vector<double> done, arrived,
      port; ///< events; events at the neighbour; when a rank's link is free
};

const ChunkTiming &Simulator::timingOf(uint32_t rank, const Chunk *chunks, size_t count) {
  uint32_t stage = stageOf(s, rank, chunks[0].direction),
           other = count == 2 ? stageOf(s, rank, chunks[1].direction) : 0;
  auto [place, added] =
      result.timings.try_emplace({count == 2 ? 4 : int(chunks[0].kind), stage, other});
  if (!added)
    return place->second;
  const StageWork &w = work.stages[stage];
  if (count == 2) {
    const StageWork &back = work.stages[other];
    return place->second =
               work.overlap ? timing.pair(w.forward, back.inputGrad, back.weightGrad)
                            : timing.oneAfterTheOther(w.forward, back.inputGrad, back.weightGrad);
  }
  switch (chunks[0].kind) {
  case ChunkKind::Forward: return place->second = timing.chunk(w.forward);
  case ChunkKind::Backward: return place->second = timing.backward(w.inputGrad, w.weightGrad);
  case ChunkKind::InputGrad: return place->second = timing.chunk(w.inputGrad);
  case ChunkKind::WeightGrad: return place->second = timing.chunk(w.weightGrad);
  }
  return place->second;
}

/// When a rank has what `event` made, here or at a neighbour.
double Simulator::arrival(const schedule::Event &event, uint32_t rank) const {
  size_t number = numberOf(s, event);
  for (uint32_t d = 0; d < directions(s); ++d)
    if (stageOf(s, rank, d) == event.stage && (s.name != "dualpipe" || d == event.direction))
      return done[number];
  return arrived[number];
}

/// What a chunk leaves for the neighbouring stage goes over the rank's link when the link is free.
void Simulator::send(uint32_t rank, const Chunk &chunk, double end, double ready) {
  uint32_t stage = stageOf(s, rank, chunk.direction);
  for (const schedule::Event &event : makes(s, rank, chunk)) {
    size_t number = numberOf(s, event);
    done[number] = end;
    bool message = event.what == schedule::Event::Output
                       ? stage + 1 < work.stages.size()
                       : event.what == schedule::Event::InputGradient && stage > 0;
    if (!message)
      continue;
    const Link &link =
        layout.pp * layout.ep * layout.dp > cluster.gpusPerNode ? cluster.ib : cluster.nvlink;
    double &free = port[rank];
    free = std::max(free, ready) + work.stages[stage].messageBytes / link.rate;
    arrived[number] = free + link.latency;
  }
}

Memory Simulator::memory(uint32_t rank) const {
  Memory m;
  double copies = double(layout.dp) * (s.name == "dualpipe" ? 2 : 1);
  for (uint32_t d = 0; d < directions(s); ++d) {
    const StageWork &stage = work.stages[stageOf(s, rank, d)];
    double here = stage.replicatedParameters + stage.expertParameters;
    m.weights += here * work.weightBytes;
    m.gradients += here * work.gradientBytes;
    m.optimizer += (stage.replicatedParameters / (copies * double(layout.ep)) +
                    stage.expertParameters / copies) *
                   (work.masterBytes + work.momentBytes);
  }
  if (!work.activationPeaks.empty()) {
    m.activations = work.activationPeaks[rank];
    return m;
  }
  double live = 0;
  for (const Chunk &chunk : s.orders[rank]) {
    double bytes = work.stages[stageOf(s, rank, chunk.direction)].activationBytes;
    if (chunk.kind == ChunkKind::Forward)
      m.activations = std::max(m.activations, live += bytes);
    else if (chunk.kind != ChunkKind::InputGrad)
      live -= bytes;
  }
  return m;
}

StepResult Simulator::run() {
  size_t ranks = s.orders.size();
  done.resize(eventCount(s));
  arrived.resize(eventCount(s));
  port.resize(ranks);
  result.ranks.resize(ranks);
  std::vector<double> clock(ranks);
  for (size_t r = 0; r < ranks; ++r)
    result.ranks[r].spans.resize(s.orders[r].size());
  walk(s, [&](uint32_t rank, size_t first, size_t count) {
    const Chunk *chunks = &s.orders[rank][first];
    const ChunkTiming &took = timingOf(rank, chunks, count);
    RankResult &r = result.ranks[rank];
    double begin = clock[rank];
    for (size_t i = 0; i < count; ++i)
      for (const schedule::Event &event : needs(s, rank, chunks[i]))
        begin = std::max(begin, arrival(event, rank));
    r.rows.bubble += begin - clock[rank];
    clock[rank] = begin + took.seconds;
    r.exposed += took.exposed;
    double &row = count == 2                                ? r.rows.pairs
                  : chunks[0].kind == ChunkKind::Forward    ? r.rows.forward
                  : chunks[0].kind == ChunkKind::WeightGrad ? r.rows.weight
                                                            : r.rows.backward;
    row += took.seconds;
    r.pairs += count == 2;
    for (size_t i = 0; i < count; ++i) {
      r.spans[first + i] = {begin, clock[rank], &took, count == 2};
      // The reference implementation sends what an item makes at its end (deepseek-ai/DualPipe,
      // _commit_and_wait_comm), our chunk programs when it is there.
      double ready = chunks[i].kind == ChunkKind::Forward ? took.outputAt : took.gradientAt;
      send(rank, chunks[i], clock[rank], work.messagesAtOnce ? begin + ready : clock[rank]);
    }
  });
  result.pipelineSeconds = *std::max_element(clock.begin(), clock.end());
  std::vector<double> optimizer = optimizerSeconds(s, work, layout, cluster);
  result.optimizerSeconds = *std::max_element(optimizer.begin(), optimizer.end());
  for (size_t r = 0; r < ranks; ++r) {
    Rows &rows = result.ranks[r].rows;
    // The gradient's norm joins all ranks before the optimizer, the next step begins when the last
    // is done.
    rows.bubble += result.pipelineSeconds - clock[r] + result.optimizerSeconds - optimizer[r];
    rows.optimizer = optimizer[r];
    result.ranks[r].memory = memory(uint32_t(r));
    for (double Rows::*row : {&Rows::forward, &Rows::bubble, &Rows::backward, &Rows::weight,
                              &Rows::pairs, &Rows::optimizer})
      result.mean.*row += rows.*row / double(ranks);
  }
  return std::move(result);
}

} // namespace

bool plan::hasPairs(const schedule::Schedule &schedule) {
  for (const schedule::Order &order : schedule.orders)
    for (const Chunk &chunk : order)
      if (chunk.paired)
        return true;
  return false;
}

StepResult plan::simulate(const schedule::Schedule &schedule, const StepWork &work,
                          const Layout &layout, const Cluster &cluster) {
  return Simulator(schedule, work, layout, cluster).run();
}
