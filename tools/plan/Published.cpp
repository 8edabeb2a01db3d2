//===- Published.cpp - the step that was measured -----------------===//

#include "tools/plan/Published.h"

#include "runtime/schedule/Timeline.h"

using namespace hadal;
using namespace hadal::plan;

bool plan::isPublishedStep(const Plan &plan) {
  const Layout &l = plan.layout;
  return plan.work.model == "deepseek_v3 671B" && l.schedule == "dualpipe" && l.pp == 16 &&
         l.ep == 64 && l.dp == 2 && l.nodes == 8 && l.sequences == 15360 && l.sequence == 4096 &&
         l.microBatch == 1 && !l.evenSplit && l.precision == Precision::Fp8;
}

Result<Breakdown> plan::breakDown(const WorkSource &source, const Plan &plan) {
  Breakdown b;
  size_t middle = plan.work.stages.size() / 2;
  const StageWork &stage = plan.work.stages[middle];
  Timing timing(plan.cluster, plan.work, true);
  b.pairSeconds = timing.pair(stage.forward, stage.inputGrad, stage.weightGrad).seconds;
  schedule::Costs costs{timing.chunk(stage.forward).seconds, timing.chunk(stage.inputGrad).seconds,
                        timing.chunk(stage.weightGrad).seconds, b.pairSeconds};
  b.formulaBubble = schedule::bubbleFormula(plan.schedule, costs);

  for (size_t r = 0; r < plan.schedule.orders.size(); ++r) {
    bool pairedBefore = false;
    for (const schedule::Chunk &chunk : plan.schedule.orders[r]) {
      if (chunk.kind == ChunkKind::Backward && !pairedBefore)
        b.weightsInside +=
            timing
                .chunk(plan.work.stages[stageOf(plan.schedule, uint32_t(r), chunk.direction)]
                           .weightGrad)
                .seconds /
            double(plan.schedule.orders.size());
      pairedBefore = chunk.paired;
    }
  }

  StepWork still = plan.work;
  for (StageWork &each : still.stages)
    each.messageBytes = 0;
  double withoutMessages = simulate(plan.schedule, still, plan.layout, plan.cluster).mean.bubble;
  b.messageBubble = plan.result.mean.bubble - withoutMessages;
  StepWork even = still;
  for (StageWork &each : even.stages)
    each = still.stages[middle];
  b.unevenBubble =
      withoutMessages - simulate(plan.schedule, even, plan.layout, plan.cluster).mean.bubble;

  Cluster balanced = plan.cluster;
  balanced.sequenceLoadVariation = 0;
  auto other = HADAL_TRY(makePlan(source, plan.layout, balanced));
  const StageWork &same = other->work.stages[middle];
  b.balancedPairSeconds = Timing(balanced, other->work, true)
                              .pair(same.forward, same.inputGrad, same.weightGrad)
                              .seconds;
  return b;
}
