//===- ExpertRanks.cpp - programs of an inference module over ranks ----===//

#include "runtime/ranks/ExpertRanks.h"

#include "runtime/Abi.h"

using namespace hadal;

static RankLayout layoutOf(const Comm &comm) {
  RankLayout layout;
  layout.ep = comm.size();
  layout.rank = comm.rank();
  return layout;
}

ExpertRanks::ExpertRanks(Executor &executor, Comm &comm, Trace *trace, Comm::Seconds timeout)
    : layout(layoutOf(comm)), runner(executor, layout, comm, trace, {timeout}) {}

const StagePlan &ExpertRanks::planOf(const fb::Program &program) {
  auto known = plans.find(&program);
  if (known == plans.end())
    known = plans.emplace(&program, StagePlan::ofProgram(program)).first;
  return known->second;
}

/// What the driver gives a program. An empty list has no address; null means that a value is not
/// there yet.
std::unique_ptr<MicroBatchValues> ExpertRanks::valuesOf(const RankProgram &of, unsigned place) {
  const StagePlan &plan = planOf(*of.program);
  const PlannedProgram &program = plan.programs[0];
  auto values = std::make_unique<MicroBatchValues>(plan, 0, place);
  for (size_t i = 0; i < of.registers.size(); ++i)
    values->registers[program.registers[i]] = of.registers[i];
  for (uint32_t i = 0; i < of.arguments.size(); ++i)
    if (of.arguments[i] || of.isBound[i]) {
      MicroBatchValues::Value &value = values->valueOf(program, i);
      value.data = of.arguments[i] ? of.arguments[i] : nothing.get();
      value.bytes = of.bytes[i];
    }
  return values;
}

Status ExpertRanks::run(std::span<RankProgram> programs) {
  if (!nothing)
    nothing = HADAL_TRY(runner.memory().take(HADAL_ALIGNMENT));
  std::vector<std::unique_ptr<MicroBatchValues>> all;
  for (RankProgram &program : programs)
    all.push_back(valuesOf(program, unsigned(all.size())));
  auto chunksOf = [&](uint32_t) -> Result<std::vector<RunningChunk>> {
    std::vector<RunningChunk> chunks;
    for (size_t i = 0; i < all.size(); ++i)
      chunks.emplace_back(programs[i].program->name()->str(), *all[i],
                          std::vector{StageProgram::Forward});
    return chunks;
  };
  return runner.run({.name = "run " + std::to_string(++number),
                     .errorPrefix = "",
                     .order = nullptr,
                     .prepare = chunksOf,
                     .called = [&](const RunningChunk &chunk, const RunStatistics &statistics) {
                       RunStatistics &sum = programs[chunk.values->number].statistics;
                       sum.launches += statistics.launches;
                       sum.flops += statistics.flops;
                     }});
}
