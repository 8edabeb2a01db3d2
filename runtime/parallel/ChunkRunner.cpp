#include "runtime/parallel/ChunkRunner.h"

#include "runtime/comm/Activity.h"

#include <algorithm>

using namespace hadal;

ChunkRunner::ChunkRunner(Executor &executor, const RankLayout &layout, Comm &comm, Trace *trace, const ParallelOptions &options)
    : executor(executor), layout(layout), comm(comm), trace(trace), options(options), pool(executor.device()),
      stream(layout, comm, pool, trace) {
  plans.resize(layout.stages());
  for (unsigned direction = 0; direction < layout.directions(); ++direction) {
    unsigned stage = layout.stageOf(layout.ppOf(layout.rank), direction);
    plans[stage] = StagePlan::of(executor.module().tables(), stage);
  }
}

Error ChunkRunner::failed(const Step &step, const Error &error) const {
  return {error.code, "rank " + std::to_string(layout.rank) + ": step " + std::to_string(step.number) + ", " + error.message};
}

/// The halves of the item at `at`: one, or two that are issued together.
Result<std::vector<ChunkRunner::Half>> ChunkRunner::prepare(const fb::Order &order, uint32_t at, const Step &step) {
  std::vector<Half> halves;
  for (bool more = true; more; ++at) {
    const fb::Chunk *chunk = order.chunks()->Get(at);
    more = chunk->paired();
    unsigned direction = chunk->direction(), number = chunk->micro_batch();
    unsigned stage = layout.stageOf(layout.ppOf(layout.rank), direction);
    std::string name = chunkName(chunk->kind(), direction, number);
    std::unique_ptr<MicroBatchValues> &values = inFlight[{stage, number}];
    if (chunk->kind() == fb::ChunkKind_Forward) {
      if (values)
        return invalidArgument(name + ": comes twice");
      unsigned owner = layout.ownerOf(direction, layout.dpOf(layout.rank), layout.epOf(layout.rank));
      values = HADAL_TRY(MicroBatchValues::create(plans[stage], step.batches[owner * layout.microBatches + number], step.counts, direction, number));
    } else if (!values) {
      return invalidArgument(name + ": its forward chunk has not run");
    }
    Half half{chunk, std::move(name), values.get(), partsOf(chunk->kind()), nullptr};
    half.lane = unsigned(halves.size());
    HADAL_TRY(begin(half));
    halves.push_back(std::move(half));
  }
  return halves;
}

/// Begins the next part of a half.
Status ChunkRunner::begin(Half &half) {
  half.run = std::make_unique<ChunkRun>(half.name, half.values->plan->programs[size_t(half.parts.back())], *half.values);
  half.parts.pop_back();
  return {};
}

Status ChunkRunner::run(int64_t number, std::span<const MicroBatch> batches, const std::vector<int32_t> &stepCounts, const Hooks &hooks) {
  Step step{number, batches, stepCounts, hooks};
  const fb::Order &order = *executor.module().tables().training()->ranks()->orders()->Get(layout.ppOf(layout.rank));
  uint32_t count = order.chunks()->size();
  inFlight.clear();
  std::vector<Half> next;
  // Runs that the stream knows must leave it before they die.
  auto leave = [&](std::vector<Half> &halves) {
    auto lock = stream.lock();
    for (Half &half : halves)
      if (half.run)
        stream.remove(*half.run);
  };
  for (uint32_t at = 0; at < count;) {
    std::vector<Half> halves = std::move(next);
    next.clear();
    if (halves.empty()) {
      auto prepared = prepare(order, at, step);
      if (!prepared.ok())
        return failed(step, prepared.error());
      halves = std::move(*prepared);
      auto lock = stream.lock();
      for (Half &half : halves)
        stream.add(*half.run);
    }
    at += uint32_t(halves.size());
    if (at < count && options.overlap) {
      // What the next chunks receive may come while these compute. A part of a micro-batch begins when the one before has ended, though.
      bool mayPrepare = order.chunks()->Get(at)->kind() != fb::ChunkKind_WeightGrad;
      auto prepared = mayPrepare ? prepare(order, at, step) : Result<std::vector<Half>>(std::vector<Half>());
      if (!prepared.ok()) {
        leave(halves);
        return failed(step, prepared.error());
      }
      next = std::move(*prepared);
      auto lock = stream.lock();
      for (Half &half : next)
        stream.add(*half.run);
    }
    Status status;
    if (options.overlap)
      status = runHalves(halves, step);
    else
      for (size_t i = 0; status.ok() && i < halves.size(); ++i)
        status = runHalves(std::span(&halves[i], 1), step);
    if (!status) {
      leave(halves);
      leave(next);
      return status;
    }
  }
  auto lock = stream.lock();
  while (stream.hasSends())
    HADAL_TRY(waitForMessages({}, step, lock));
  waitsSince.reset();
  return {};
}

Status ChunkRunner::runHalves(std::span<Half> halves, const Step &step) {
  Lock lock = stream.lock();
  for (Half &half : halves) {
    half.run->isAhead = false;
    half.run->limit = options.overlap ? UINT32_MAX : 0;
  }
  size_t turn = 0;
  while (!std::all_of(halves.begin(), halves.end(), [](const Half &half) { return half.isDone(); })) {
    if (Status status = stream.poll(); !status)
      return failed(step, status.error());
    bool moved = false;
    for (size_t i = 0; !moved && i < halves.size(); ++i) {
      size_t at = (turn + i) % halves.size();
      if (halves[at].isDone())
        continue;
      Progress progress = HADAL_TRY(advance(halves[at], step, lock));
      if (progress == Progress::None)
        continue;
      moved = true;
      turn = progress == Progress::Call ? at + 1 : at;
      if (waitsSince)
        waited += Comm::Seconds(Comm::Clock::now() - *waitsSince).count();
      waitsSince.reset();
    }
    if (!moved)
      HADAL_TRY(waitForMessages(halves, step, lock));
  }
  return {};
}

/// The next thing that stream 0 of a half can do.
Result<ChunkRunner::Progress> ChunkRunner::advance(Half &half, const Step &step, Lock &lock) {
  ChunkRun &run = *half.run;
  const auto &commands = run.program.streams[0];
  uint32_t at = run.isDone(0) ? UINT32_MAX : commands[run.next[0]];
  if (!options.overlap && run.limit != at) {
    run.limit = at;
    if (Status status = stream.poll(); !status)
      return failed(step, status.error());
  }
  if (!options.overlap && !run.isDone(0) && !run.hasArrived(at))
    return Progress::None;
  if (half.beginNs < 0)
    half.beginNs = trace ? trace->now() : 0;
  if (!run.isDone(0)) {
    const fb::Command *command = run.program.program->commands()->Get(at);
    switch (command->action_type()) {
    case fb::Action_Record:
      run.recorded.insert(command->action_as_Record()->event());
      break;
    case fb::Action_Wait:
      if (!run.recorded.count(command->action_as_Wait()->event()))
        return Progress::None;
      break;
    default: {
      Status status = call(half, at, *command->action_as_Call(), step, lock);
      if (!status)
        return failed(step, {status.error().code, run.name + ", " + CommStream::describe(run, at) + ": " + status.error().message});
      // What waits for this call may begin before the other half computes.
      for (++run.next[0]; !run.isDone(0); ++run.next[0]) {
        const fb::Command *next = run.program.program->commands()->Get(commands[run.next[0]]);
        if (next->action_type() != fb::Action_Record)
          break;
        run.recorded.insert(next->action_as_Record()->event());
      }
      return Progress::Call;
    }
    }
    ++run.next[0];
    return Progress::Some;
  }
  if (!run.isFinished())
    return Progress::None;

  stream.remove(run);
  Part part = run.program.part;
  half.run.reset();
  half.values->release(part);
  unsigned stage = half.values->plan->stage, number = half.values->number;
  if (!half.parts.empty()) {
    HADAL_TRY(begin(half));
    half.run->isAhead = false;
    half.run->limit = options.overlap ? UINT32_MAX : 0;
    stream.add(*half.run);
  }
  if (part == Part::WeightGrad)
    inFlight.erase({stage, number});
  if (step.hooks.done) {
    lock.unlock();
    Status status = step.hooks.done(stage, number, part);
    lock.lock();
    if (!status)
      return failed(step, {status.error().code, half.name + ": " + status.error().message});
  }
  if (half.isDone() && trace)
    trace->addChunk(half.name, half.beginNs, trace->now(), half.lane);
  return Progress::Some;
}

Status ChunkRunner::call(Half &half, uint32_t at, const fb::Call &call, const Step &step, Lock &lock) {
  ChunkRun &run = *half.run;
  const fb::Program &chunk = *run.program.program, &callee = *executor.module().tables().programs()->Get(call.program());
  for (uint32_t i = 0; i < call.arguments()->size(); ++i) {
    const fb::Binding *binding = call.arguments()->Get(i);
    if (binding->space() != fb::Space_Argument)
      continue;
    if (callee.arguments()->Get(i)->output())
      HADAL_TRY(run.values.allocate(pool, run.program, binding->index()));
    else if (!run.values.valueOf(run.program, binding->index()).data)
      return invalidArgument(callee.name()->str() + ": '" + chunk.arguments()->Get(binding->index())->name()->str() + "' was never written");
  }
  std::vector<int64_t> registers = run.values.registersOf(run.program);
  std::vector<std::byte *> arguments;
  std::vector<uint64_t> bytes;
  for (uint32_t i = 0; i < chunk.arguments()->size(); ++i) {
    auto &value = run.values.valueOf(run.program, i);
    arguments.push_back(value.data);
    bytes.push_back(value.bytes);
  }
  Activity::set("step %lld, %s, command %u: computes %s", static_cast<long long>(step.number), run.name.c_str(), at, callee.name()->c_str());
  lock.unlock();
  if (step.hooks.enter)
    step.hooks.enter(half.values->plan->stage);
  Status status = executor.call(chunk, call, registers, arguments, bytes);
  lock.lock();
  return status;
}

/// Waits for messages of these halves, or for others to take what was sent.
Status ChunkRunner::waitForMessages(std::span<Half> halves, const Step &step, Lock &lock) {
  auto now = Comm::Clock::now();
  if (!waitsSince) {
    waitsSince = now;
    for (Half &half : halves)
      if (auto missing = half.run ? stream.firstMissing(*half.run) : std::nullopt) {
        Activity::set("step %lld, %s from rank %u", static_cast<long long>(step.number), missing->second.c_str(), missing->first);
        break;
      }
  }
  if (now - *waitsSince > options.timeout) {
    std::string prefix = "step " + std::to_string(step.number) + ", ";
    for (Half &half : halves)
      if (auto missing = half.run ? stream.firstMissing(*half.run) : std::nullopt)
        return comm.timedOut(options.timeout, missing->first, prefix + missing->second);
    if (stream.hasSends())
      return comm.timedOut(options.timeout, stream.firstSend().first, prefix + stream.firstSend().second);
    for (Half &half : halves)
      if (half.run)
        return failed(step, invalidArgument(half.run->name + ": waits for an event that nothing records"));
  }
  Status status = stream.wait(lock);
  return status ? status : failed(step, status.error());
}
