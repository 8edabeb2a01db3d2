#include "runtime/training/ranks/OrderRunner.h"

#include "runtime/comm/Activity.h"
#include "runtime/module/CheckRanks.h"

#include <algorithm>

using namespace hadal;

OrderRunner::OrderRunner(Executor &executor, const RankLayout &layout, Comm &comm, Trace *trace,
                         const ParallelOptions &options)
    : executor(executor), layout(layout), trace(trace), options(options), pool(executor.device()),
      wait(comm, options.timeout), stream(layout, comm, executor.device(), pool, trace) {
  plans.resize(layout.stages());
  for (unsigned direction = 0; direction < layout.directions(); ++direction) {
    unsigned stage = layout.stageOf(layout.ppOf(layout.rank), direction);
    plans[stage] = StagePlan::of(executor.module().tables(), stage);
  }
}

Error OrderRunner::failed(const Step &step, const Error &error) const {
  return {error.code, "rank " + std::to_string(layout.rank) + ": step " +
                          std::to_string(step.number) + ", " + error.message};
}

bool OrderRunner::Half::has(StageProgram program) const {
  return run && (run->program.which == program ||
                 std::find(programs.begin(), programs.end(), program) != programs.end());
}

bool OrderRunner::Item::isDone() const {
  return std::all_of(halves.begin(), halves.end(), [](const Half &half) { return half.isDone(); });
}

/// The item at `first`. What its chunks receive first may come before they begin.
Result<OrderRunner::Item> OrderRunner::prepare(const fb::Order &order, uint32_t first,
                                               const Step &step) {
  Item item{first, {}};
  for (uint32_t at = first, end = endOfItem(order, first); at < end; ++at) {
    const fb::Chunk *chunk = order.chunks()->Get(at);
    unsigned direction = chunk->direction(), number = chunk->micro_batch();
    // A smaller step leaves the end of each group out, on all ranks alike; one without gradients
    // has no way back.
    if (number % layout.groupSize() >= step.filled ||
        (step.pass == Pass::Forward && chunk->kind() != fb::ChunkKind_Forward))
      continue;
    unsigned stage = layout.stageOf(layout.ppOf(layout.rank), direction);
    std::string name = chunkName(ChunkKind(chunk->kind()), direction, number);
    std::unique_ptr<MicroBatchValues> &values = inFlight[{stage, number}];
    if (chunk->kind() == fb::ChunkKind_Forward) {
      if (values)
        return invalidArgument(name + ": comes twice");
      unsigned owner =
          layout.ownerOf(direction, layout.dpOf(layout.rank), layout.epOf(layout.rank));
      int64_t filled = step.filled,
              place = (owner * layout.groups + number / layout.groupSize()) * filled +
                      number % layout.groupSize();
      values = std::make_unique<MicroBatchValues>(plans[stage], direction, number);
      HADAL_TRY(step.batches[place].visit(
          step.counts,
          [&](const std::string &name, int64_t value) -> Status {
            values->setRegister(name, value);
            return {};
          },
          [&](const std::string &name, const TensorView &view) -> Status {
            return values->setInput(name, view, executor, pool);
          }));
    } else if (!values) {
      return invalidArgument(name + ": its forward chunk has not run");
    }
    item.halves.push_back(
        {chunk, std::move(name), values.get(), programsLastFirst(chunk->kind()), nullptr});
    nextProgram(item.halves.back());
  }
  return item;
}

void OrderRunner::nextProgram(Half &half) {
  half.run = std::make_unique<ChunkRun>(
      half.name, half.values->plan->programs[size_t(half.programs.back())], *half.values);
  half.programs.pop_back();
}

Status OrderRunner::run(int64_t number, std::span<const MicroBatch> batches,
                        const std::vector<int32_t> &stepCounts, const Hooks &hooks, Pass pass) {
  Step step{number,     batches,
            stepCounts, hooks,
            pass,       static_cast<int64_t>(batches.size()) / (layout.groups * layout.owners())};
  inFlight.clear();
  Status status = runItems(
      *executor.module().tables().training()->ranks()->orders()->Get(layout.ppOf(layout.rank)),
      step);
  // Runs that the stream knows must leave it before they die.
  auto lock = stream.lock();
  for (Item &item : items)
    for (Half &half : item.halves)
      if (half.run)
        stream.remove(*half.run);
  items.clear();
  wait.reset();
  return status;
}

Status OrderRunner::runItems(const fb::Order &order, const Step &step) {
  uint32_t count = order.chunks()->size(), next = 0;
  Lock lock = stream.lock();
  while (true) {
    while (!items.empty() && items.front().isDone())
      items.pop_front();
    uint32_t first = items.empty() ? next : items.front().first;
    uint32_t end = first == count    ? count
                   : options.overlap ? endOfWindow(order, first)
                                     : endOfItem(order, first);
    while (next < end) {
      auto item = prepare(order, next, step);
      if (!item.ok())
        return failed(step, item.error());
      next = endOfItem(order, next);
      if (item->halves.empty())
        continue;
      items.push_back(std::move(*item));
      for (Half &half : items.back().halves)
        stream.add(*half.run);
    }
    if (items.empty() && next < count)
      continue;
    beginWhatMay();
    if (Status status = stream.poll(); !status)
      return failed(step, status.error());
    if (items.empty() && !stream.hasSends())
      return {};
    if (!HADAL_TRY(moveOn(step, lock)))
      HADAL_TRY(waitForMessages(step, lock));
  }
}

/// Parts of a micro-batch run one after the other, and chunks begin in their order; weight
/// gradients, which fill gaps, when they can.
void OrderRunner::beginWhatMay() {
  for (Item &item : items)
    for (Half &half : item.halves) {
      if (half.run && !half.hasBegun && half.values->ended == size_t(half.run->program.which)) {
        half.hasBegun = true;
        half.beginNs = trace ? trace->now() : 0;
        half.run->isAhead = false;
        half.run->limit = options.overlap ? UINT32_MAX : 0;
      }
      if (half.isDone() || (options.overlap && (half.hasBegun || half.isFiller())))
        continue;
      return;
    }
}

/// The last half before this one that has the same program still to end; null where none has.
const OrderRunner::Half *OrderRunner::sameProgramBefore(const Half &half) const {
  const Half *found = nullptr;
  for (const Item &item : items)
    for (const Half &before : item.halves) {
      if (&before == &half)
        return found;
      if (before.has(half.run->program.which) && before.values->plan == half.values->plan)
        found = &before;
    }
  return found;
}

/// Sums add up micro-batch by micro-batch, and groups of them end before the next begins.
bool OrderRunner::mayCall(const Half &half, uint32_t at) const {
  auto sums = half.run->program.lastAdding.find(at);
  const Half *before =
      sums == half.run->program.lastAdding.end() ? nullptr : sameProgramBefore(half);
  if (!before)
    return true;
  const ChunkRun &run = *before->run;
  return run.program.which == half.run->program.which &&
         (run.isDone(0) || run.program.streams[0][run.next[0]] > sums->second) &&
         before->values->number / layout.groupSize() == half.values->number / layout.groupSize();
}

/// Advances one half, the first that can. Whether any could.
Result<bool> OrderRunner::moveOn(const Step &step, Lock &lock) {
  for (bool fillers : {false, true})
    for (Item &item : items)
      for (size_t i = 0; i < item.halves.size(); ++i) {
        size_t at = (item.turn + i) % item.halves.size();
        Half &half = item.halves[at];
        if (half.isDone() || !half.hasBegun || half.isFiller() != fillers)
          continue;
        Progress progress = HADAL_TRY(advance(half, step, lock));
        if (progress == Progress::None)
          continue;
        endWait();
        item.turn = progress == Progress::Call ? at + 1 : at;
        return true;
      }
  return false;
}

/// The next thing that stream 0 of a half can do.
Result<OrderRunner::Progress> OrderRunner::advance(Half &half, const Step &step, Lock &lock) {
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
  if (!run.isDone(0)) {
    const fb::Command *command = run.program.program->commands()->Get(at);
    switch (command->action_type()) {
    case fb::Action_Record: run.recorded.insert(command->action_as_Record()->event()); break;
    case fb::Action_Wait:
      if (!run.recorded.count(command->action_as_Wait()->event()))
        return Progress::None;
      break;
    default: {
      if (!mayCall(half, at))
        return Progress::None;
      endWait();
      Status status = call(half, at, *command->action_as_Call(), step, lock);
      if (!status)
        return failed(step, {status.error().code, run.name + ", " + CommStream::describe(run, at) +
                                                      ": " + status.error().message});
      // What waits for this call may begin before the other half computes.
      ++run.next[0];
      takeRecords(run);
      return Progress::Call;
    }
    }
    ++run.next[0];
    return Progress::Some;
  }
  if (!run.isFinished() || sameProgramBefore(half))
    return Progress::None;

  stream.remove(run);
  StageProgram program = run.program.which;
  half.run.reset();
  half.values->release(program);
  unsigned stage = half.values->plan->stage, number = half.values->number;
  if (!half.programs.empty()) {
    nextProgram(half);
    half.run->isAhead = false;
    half.run->limit = options.overlap ? UINT32_MAX : 0;
    stream.add(*half.run);
  }
  if (program == (step.pass == Pass::Forward ? StageProgram::Forward : StageProgram::WeightGrad))
    inFlight.erase({stage, number});
  if (step.hooks.done) {
    lock.unlock();
    Status status = step.hooks.done(stage, number, program);
    lock.lock();
    if (!status)
      return failed(step, {status.error().code, half.name + ": " + status.error().message});
  }
  if (half.isDone() && trace) {
    const fb::Stage &table = *executor.module().tables().training()->ranks()->stages()->Get(stage);
    trace->addChunk(half.name, half.beginNs, trace->now(),
                    {stage, table.first_layer(), table.layers()});
  }
  return Progress::Some;
}

Status OrderRunner::call(Half &half, uint32_t at, const fb::Call &call, const Step &step,
                         Lock &lock) {
  ChunkRun &run = *half.run;
  const fb::Program &callee = *executor.module().tables().programs()->Get(call.program());
  CallOperands with = HADAL_TRY(operandsOf(run, callee, call, pool));
  Activity::set("step %lld, %s, command %u: computes %s", static_cast<long long>(step.number),
                run.name.c_str(), at, callee.name()->c_str());
  lock.unlock();
  Status status;
  if (step.hooks.enter && run.program.lastAdding.count(at))
    status = step.hooks.enter(half.values->plan->stage);
  if (status)
    status = executor.call(*run.program.program, call, with.registers, with.arguments, with.bytes);
  lock.lock();
  return status;
}

void OrderRunner::endWait() {
  auto ended = wait.end();
  if (!ended)
    return;
  waited += ended->count();
  if (trace)
    trace->addWait(trace->now() - int64_t(ended->count() * 1e9), trace->now());
}

/// Waits for messages of the window's chunks, or for others to take what was sent.
Status OrderRunner::waitForMessages(const Step &step, Lock &lock) {
  auto inStep = [&](const std::pair<unsigned, std::string> &peer) -> MessageWait::Peer {
    return std::pair(peer.first, "step " + std::to_string(step.number) + ", " + peer.second);
  };
  auto missing = [&]() -> MessageWait::Peer {
    for (const Item &item : items)
      for (const Half &half : item.halves)
        if (auto peer = half.run ? stream.firstMissing(*half.run) : std::nullopt)
          return inStep(*peer);
    return std::nullopt;
  };
  auto sending = [&] { return stream.hasSends() ? inStep(stream.firstSend()) : std::nullopt; };
  if (!HADAL_TRY(wait.goOn(missing, sending)))
    return failed(step, invalidArgument(items.front().halves.front().name +
                                        ": waits for an event that nothing records"));
  Status status = stream.wait(lock);
  return status ? status : failed(step, status.error());
}
