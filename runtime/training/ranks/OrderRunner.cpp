//===- OrderRunner.cpp - a rank's order of chunks -----------------------===//

#include "runtime/training/ranks/OrderRunner.h"

#include "runtime/module/CheckRanks.h"

using namespace hadal;

OrderRunner::OrderRunner(Executor &executor, const RankLayout &layout, Comm &comm, Trace *trace,
                         const ParallelOptions &options)
    : executor(executor), layout(layout), runner(executor, layout, comm, trace, options) {
  plans.resize(layout.stages());
  for (unsigned direction = 0; direction < layout.directions(); ++direction) {
    unsigned stage = layout.stageOf(layout.ppOf(layout.rank), direction);
    plans[stage] = StagePlan::of(executor.module().tables(), stage);
  }
}

/// What a micro-batch has when its forward chunk begins.
Result<std::unique_ptr<MicroBatchValues>>
OrderRunner::valuesOf(unsigned stage, const fb::Chunk &chunk, const Step &step) {
  unsigned number = chunk.micro_batch(),
           owner = layout.ownerOf(chunk.direction(), layout.dpOf(layout.rank),
                                  layout.epOf(layout.rank));
  int64_t place = (owner * layout.groups + number / layout.groupSize()) * step.filled +
                  number % layout.groupSize();
  auto values = std::make_unique<MicroBatchValues>(plans[stage], chunk.direction(), number);
  HADAL_TRY(step.batches[place].visit(
      step.counts,
      [&](const std::string &name, int64_t value) -> Status {
        values->setRegister(name, value);
        return {};
      },
      [&](const std::string &name, const TensorView &view) -> Status {
        return values->setInput(name, view, executor, runner.memory());
      }));
  return values;
}

/// The chunks of the item at `first`.
Result<std::vector<RunningChunk>> OrderRunner::prepare(const fb::Order &order, uint32_t first,
                                                       const Step &step) {
  std::vector<RunningChunk> item;
  for (uint32_t at = first, end = endOfItem(order, first); at < end; ++at) {
    const fb::Chunk *chunk = order.chunks()->Get(at);
    unsigned direction = chunk->direction(), number = chunk->micro_batch();
    // A smaller step leaves the end of each group out, on all ranks alike; one without gradients
    // has no way back.
    if (number % layout.groupSize() >= step.filled ||
        (step.pass == Pass::Forward && chunk->kind() != fb::ChunkKind_Forward))
      continue;
    unsigned stage = layout.stageOf(layout.ppOf(layout.rank), direction);
    std::string name = chunkName(*chunk);
    std::unique_ptr<MicroBatchValues> &values = inFlight[{stage, number}];
    if (chunk->kind() == fb::ChunkKind_Forward) {
      if (values)
        return invalidArgument(name + ": comes twice");
      values = HADAL_TRY(valuesOf(stage, *chunk, step));
    } else if (!values) {
      return invalidArgument(name + ": its forward chunk has not run");
    }
    item.emplace_back(std::move(name), *values, programsLastFirst(chunk->kind()));
  }
  return item;
}

Status OrderRunner::run(int64_t number, std::span<const MicroBatch> batches,
                        const std::vector<int32_t> &stepCounts, const Hooks &hooks, Pass pass) {
  Step step{batches, stepCounts, pass,
            static_cast<int64_t>(batches.size()) / (layout.groups * layout.owners())};
  inFlight.clear();
  const fb::Order &order =
      *executor.module().tables().training()->ranks()->orders()->Get(layout.ppOf(layout.rank));
  StageProgram last = pass == Pass::Forward ? StageProgram::Forward : StageProgram::WeightGrad;
  std::string name = "step " + std::to_string(number);
  return runner.run({.name = name,
                     .errorPrefix = name + ", ",
                     .order = &order,
                     .prepare = [&](uint32_t first) { return prepare(order, first, step); },
                     .enter = [&](const RunningChunk &chunk, uint32_t at) -> Status {
                       return hooks.enter && chunk.run->program.lastAdding.count(at)
                                  ? hooks.enter(chunk.plan->stage)
                                  : Status();
                     },
                     .done = [&](const RunningChunk &chunk, StageProgram program) -> Status {
                       unsigned stage = chunk.plan->stage, microBatch = chunk.values->number;
                       if (program == last)
                         inFlight.erase({stage, microBatch});
                       return hooks.done ? hooks.done(stage, microBatch, program) : Status();
                     }});
}
