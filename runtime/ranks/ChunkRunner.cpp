//===- ChunkRunner.cpp - runs a rank's chunks ---------------------------===//

#include "runtime/ranks/ChunkRunner.h"

#include "runtime/comm/Activity.h"

using namespace hadal;

namespace {
/// What a call of a chunk's program hands on, as Executor::call takes it.
struct CallOperands {
  std::vector<int64_t> registers;
  std::vector<std::byte *> arguments; ///< of the chunk's program
  std::vector<uint64_t> bytes;        ///< of each of these
};
} // namespace

/// Gives the outputs of `call` memory, and says where all values are. InvalidArgument where an
/// input was never written. Under the lock of the chunk's stream.
static Result<CallOperands> operandsOf(ChunkRun &run, const fb::Program &callee,
                                       const fb::Call &call, MemoryPool &pool) {
  const fb::Program &program = *run.program.program;
  for (uint32_t i = 0; i < call.arguments()->size(); ++i) {
    const fb::Binding *binding = call.arguments()->Get(i);
    if (binding->space() != fb::Space_Argument)
      continue;
    if (callee.arguments()->Get(i)->output())
      HADAL_TRY(run.values.allocate(pool, run.program, binding->index()));
    else if (!run.values.valueOf(run.program, binding->index()).data)
      return invalidArgument(callee.name()->str() + ": '" +
                             program.arguments()->Get(binding->index())->name()->str() +
                             "' was never written");
  }
  CallOperands operands;
  operands.registers = run.values.registersOf(run.program);
  for (uint32_t i = 0; i < program.arguments()->size(); ++i) {
    auto &value = run.values.valueOf(run.program, i);
    operands.arguments.push_back(value.data);
    operands.bytes.push_back(value.bytes);
  }
  return operands;
}

/// Records of stream 0 that come next happen: what waits for a call may begin.
static void takeRecords(ChunkRun &run) {
  for (; !run.isDone(0); ++run.next[0]) {
    const fb::Command *next =
        run.program.program->commands()->Get(run.program.streams[0][run.next[0]]);
    if (next->action_type() != fb::Action_Record)
      return;
    run.recorded.insert(next->action_as_Record()->event());
  }
}

ChunkRunner::ChunkRunner(Executor &executor, const RankLayout &layout, Comm &comm, Trace *trace,
                         const ParallelOptions &options)
    : executor(executor), layout(layout), trace(trace), options(options), pool(executor.device()),
      comm(comm), stream(layout, comm, executor.device(), pool, trace) {}

Error ChunkRunner::failed(const Job &job, const Error &error) const {
  return {error.code,
          "rank " + std::to_string(layout.rank) + ": " + job.errorPrefix + error.message};
}

Status ChunkRunner::run(const Job &job) {
  Window window(job.order, options.overlap);
  Status status = runAll(job, window);
  // Runs that the stream knows must leave it before they die.
  auto lock = stream.lock();
  for (Window::Item &item : window.items)
    for (RunningChunk &chunk : item.chunks)
      if (chunk.run)
        stream.remove(*chunk.run);
  waitingSince.reset();
  return status;
}

/// What the chunks of an item receive first may come before they begin.
Result<std::vector<RunningChunk>> ChunkRunner::prepare(const Job &job, uint32_t first) {
  std::vector<RunningChunk> chunks = HADAL_TRY(job.prepare(first));
  for (RunningChunk &chunk : chunks)
    beginProgram(chunk);
  return chunks;
}

/// The stream knows the chunk's next program from now on.
void ChunkRunner::beginProgram(RunningChunk &chunk) {
  chunk.run = std::make_unique<ChunkRun>(
      chunk.name, chunk.plan->programs[size_t(chunk.programs.back())], *chunk.values);
  stream.add(*chunk.run);
}

/// Stream 0 of the program may go on, and stream 1 past what it receives first.
void ChunkRunner::start(ChunkRun &run) const {
  run.isAhead = false;
  run.limit = options.overlap ? UINT32_MAX : 0;
}

Status ChunkRunner::runAll(const Job &job, Window &window) {
  Lock lock = stream.lock();
  auto mayBegin = [](const RunningChunk &chunk) {
    return chunk.values->ended == size_t(chunk.programs.back());
  };
  auto begin = [&](RunningChunk &chunk) {
    chunk.beginNs = trace ? trace->now() : 0;
    start(*chunk.run);
  };
  while (true) {
    auto isLeft = window.refill([&](uint32_t first) { return prepare(job, first); });
    if (!isLeft.ok())
      return failed(job, isLeft.error());
    window.beginWhatMay(mayBegin, begin);
    if (Status status = stream.poll(); !status)
      return failed(job, status.error());
    if (!*isLeft && !stream.hasSends())
      return {};
    bool moved = HADAL_TRY(
        window.moveOn([&](RunningChunk &chunk) { return advance(job, window, chunk, lock); }));
    if (moved)
      endWait();
    else
      HADAL_TRY(waitForMessages(job, window, lock));
  }
}

/// Sums add up micro-batch by micro-batch, and groups of them end before the next begins.
bool ChunkRunner::mayCall(const Window &window, const RunningChunk &chunk, uint32_t at) const {
  const PlannedProgram &program = chunk.run->program;
  auto sums = program.lastAdding.find(at);
  const RunningChunk *before =
      sums == program.lastAdding.end() ? nullptr : window.sameProgramBefore(chunk);
  if (!before)
    return true;
  const ChunkRun &run = *before->run;
  return run.program.which == program.which &&
         (run.isDone(0) || run.program.streams[0][run.next[0]] > sums->second) &&
         before->values->number / layout.groupSize() == chunk.values->number / layout.groupSize();
}

/// The next thing that stream 0 of a chunk can do.
Result<ChunkProgress> ChunkRunner::advance(const Job &job, const Window &window,
                                           RunningChunk &chunk, Lock &lock) {
  ChunkRun &run = *chunk.run;
  uint32_t at = run.isDone(0) ? UINT32_MAX : run.program.streams[0][run.next[0]];
  if (!options.overlap && run.limit != at) {
    run.limit = at;
    if (Status status = stream.poll(); !status)
      return failed(job, status.error());
  }
  if (run.isDone(0)) {
    // Programs of a stage end in their order; those of inference have none.
    if (!run.isFinished() || (chunk.plan->table && window.sameProgramBefore(chunk)))
      return ChunkProgress::None;
    HADAL_TRY(endProgram(job, chunk, lock));
    return ChunkProgress::Some;
  }
  if (!options.overlap && !run.hasArrived(at))
    return ChunkProgress::None;
  const fb::Command *command = run.program.program->commands()->Get(at);
  if (auto *record = command->action_as_Record()) {
    run.recorded.insert(record->event());
  } else if (auto *wait = command->action_as_Wait()) {
    if (!run.recorded.count(wait->event()))
      return ChunkProgress::None;
  } else {
    if (!mayCall(window, chunk, at))
      return ChunkProgress::None;
    endWait();
    Status status = call(job, chunk, at, *command->action_as_Call(), lock);
    if (!status)
      return failed(job, {status.error().code, run.name + ", " + CommStream::describe(run, at) +
                                                   ": " + status.error().message});
    // What waits for this call may begin before the next chunk computes.
    ++run.next[0];
    takeRecords(run);
    return ChunkProgress::Call;
  }
  ++run.next[0];
  return ChunkProgress::Some;
}

Status ChunkRunner::endProgram(const Job &job, RunningChunk &chunk, Lock &lock) {
  stream.remove(*chunk.run);
  chunk.run.reset();
  StageProgram program = chunk.programs.back();
  chunk.programs.pop_back();
  chunk.values->release(program);
  if (!chunk.isDone()) {
    beginProgram(chunk);
    start(*chunk.run);
  }
  if (job.done) {
    lock.unlock();
    Status status = job.done(chunk, program);
    lock.lock();
    if (!status)
      return failed(job, {status.error().code, chunk.name + ": " + status.error().message});
  }
  if (!chunk.isDone() || !trace)
    return {};
  if (const fb::Stage *stage = chunk.plan->table)
    trace->addChunk(chunk.name, chunk.beginNs, trace->now(),
                    {chunk.plan->stage, stage->first_layer(), stage->layers()});
  else
    trace->addChunk(chunk.name, chunk.beginNs, trace->now());
  return {};
}

Status ChunkRunner::call(const Job &job, RunningChunk &chunk, uint32_t at, const fb::Call &call,
                         Lock &lock) {
  ChunkRun &run = *chunk.run;
  const fb::Program &callee = *executor.module().tables().programs()->Get(call.program());
  CallOperands with = HADAL_TRY(operandsOf(run, callee, call, pool));
  Activity::set("%s, %s, command %u: computes %s", job.name.c_str(), run.name.c_str(), at,
                callee.name()->c_str());
  lock.unlock();
  RunStatistics before = executor.totals();
  Status status = job.enter ? job.enter(chunk, at) : Status();
  if (status)
    status = executor.call(*run.program.program, call, with.registers, with.arguments, with.bytes);
  if (job.called)
    job.called(chunk, {executor.totals().launches - before.launches,
                       executor.totals().flops - before.flops});
  lock.lock();
  return status;
}

/// Something moved.
void ChunkRunner::endWait() {
  if (!waitingSince)
    return;
  Comm::Seconds wait = Comm::Clock::now() - *waitingSince;
  waitingSince.reset();
  waited += wait.count();
  if (trace)
    trace->addWait(trace->now() - int64_t(wait.count() * 1e9), trace->now());
}

/// Waits for messages of the window's chunks, or for others to take what was sent.
Status ChunkRunner::waitForMessages(const Job &job, const Window &window, Lock &lock) {
  using Peer = std::optional<std::pair<unsigned, std::string>>; // the rank, and what for
  auto inJob = [&](const std::pair<unsigned, std::string> &peer) -> Peer {
    return std::pair(peer.first, job.name + ", " + peer.second);
  };
  auto missing = [&]() -> Peer {
    for (const Window::Item &item : window.items)
      for (const RunningChunk &chunk : item.chunks)
        if (auto peer = chunk.run ? stream.firstMissing(*chunk.run) : std::nullopt)
          return inJob(*peer);
    return std::nullopt;
  };
  auto now = Comm::Clock::now();
  if (!waitingSince) {
    waitingSince = now;
    if (Peer peer = missing())
      Activity::set("%s from rank %u", peer->second.c_str(), peer->first);
  }
  if (now - *waitingSince > options.timeout) {
    Peer peer = missing();
    if (!peer && stream.hasSends())
      peer = inJob(stream.firstSend());
    if (peer)
      return comm.timedOut(options.timeout, peer->first, peer->second);
    return failed(job, invalidArgument(window.items.front().chunks.front().name +
                                       ": waits for an event that nothing records"));
  }
  Status status = stream.wait(lock);
  return status ? status : Status(failed(job, status.error()));
}
