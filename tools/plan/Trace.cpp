//===- Trace.cpp - a simulated step as a trace --------------------===//

#include "runtime/TraceEvents.h"
#include "tools/plan/Report.h"
#include "tools/plan/Timelines.h"

using namespace hadal;
using namespace hadal::plan;

namespace {
enum Thread : unsigned { Forward, Backward, Compute, Exchange };
} // namespace

/// "layer 3", "layers 3 to 5", or nothing.
static std::string layersOf(const Part &part) {
  if (part.firstLayer < 0)
    return "";
  return part.firstLayer == part.lastLayer
             ? format("layer %lld", (long long)part.firstLayer)
             : format("layers %lld to %lld", (long long)part.firstLayer, (long long)part.lastLayer);
}

static void addParts(TraceEvents &trace, unsigned rank, const ItemSpan &span) {
  for (const PartSpan &part : span.timing->parts) {
    std::string name = part.part->name + (part.backward ? " (B)" : " (F)"),
                layers = layersOf(*part.part);
    TraceEvents::Args args = {{"part", part.part->name}};
    if (!layers.empty())
      args["layers"] = layers;
    trace.add(rank, Compute + unsigned(part.part->lane), "part",
              layers.empty() ? name : name + ", " + layers, 1e6 * (span.begin + part.begin),
              1e6 * (part.end - part.begin), std::move(args));
  }
}

static void addRank(TraceEvents &trace, const Plan &plan, unsigned r) {
  trace.nameProcess(r, format("pipeline rank %u", r));
  for (auto [thread, name] : {std::pair(Forward, "forward"),
                              {Backward, "backward"},
                              {Compute, "compute"},
                              {Exchange, "exchange"}})
    trace.nameThread(r, thread, name);
  const RankResult &rank = plan.result.ranks[r];
  const schedule::Order &order = plan.schedule.orders[r];
  for (size_t i = 0; i < order.size(); ++i) {
    const ItemSpan &span = rank.spans[i];
    uint32_t stage = stageOf(plan.schedule, r, order[i].direction);
    const StageWork &work = plan.work.stages[stage];
    TraceEvents::Args args = {{"micro_batch", order[i].microBatch}, {"stage", stage}};
    if (work.layers > 0)
      args["layers"] = format("%lld to %lld", (long long)work.firstLayer,
                              (long long)(work.firstLayer + work.layers - 1));
    trace.add(r, order[i].kind == ChunkKind::Forward ? Forward : Backward, "chunk",
              toString(order[i]), 1e6 * span.begin, 1e6 * (span.end - span.begin), std::move(args));
    bool secondOfPair = span.paired && !order[i].paired;
    if (!secondOfPair)
      addParts(trace, r, span);
  }
  trace.add(r, Compute, "optimizer", "optimizer", 1e6 * plan.result.pipelineSeconds,
            1e6 * rank.rows.optimizer);
}

Status plan::writeTrace(const Plan &plan, const std::string &path) {
  TraceEvents trace;
  for (size_t r = 0; r < plan.result.ranks.size(); ++r)
    addRank(trace, plan, unsigned(r));
  return writeTraceFile(path, "a simulated step on " + plan.cluster.name, {&trace.text(), 1});
}
