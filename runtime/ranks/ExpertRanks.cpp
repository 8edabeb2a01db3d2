#include "runtime/ranks/ExpertRanks.h"

#include "runtime/Abi.h"
#include "runtime/comm/Activity.h"

#include <algorithm>

using namespace hadal;

struct ExpertRanks::Running {
  /// An empty list has no address; null means that a value is not there yet.
  Running(RankProgram &of, const StagePlan &plan, unsigned number, DeviceAddress nothing)
      : of(of), values(plan, 0, number), run(of.program->name()->str(), plan.programs[0], values) {
    const ChunkProgram &program = plan.programs[0];
    for (size_t i = 0; i < of.registers.size(); ++i)
      values.registers[program.registers[i]] = of.registers[i];
    for (uint32_t i = 0; i < of.arguments.size(); ++i)
      if (of.arguments[i] || of.isBound[i]) {
        auto &value = values.valueOf(program, i);
        value.data = of.arguments[i] ? of.arguments[i] : nothing;
        value.bytes = of.bytes[i];
      }
    run.isAhead = false;
    run.limit = UINT32_MAX;
  }
  RankProgram &of;
  MicroBatchValues values;
  ChunkRun run;
  bool ended = false;
  int64_t beginNs = 0;
};

static RankLayout layoutOf(const Comm &comm) {
  RankLayout layout;
  layout.ep = comm.size();
  layout.rank = comm.rank();
  return layout;
}

ExpertRanks::ExpertRanks(Executor &executor, Comm &comm, Trace *trace, Comm::Seconds timeout)
    : executor(executor), trace(trace), wait(comm, timeout), layout(layoutOf(comm)),
      pool(executor.device()), stream(layout, comm, executor.device(), pool, trace) {}

Error ExpertRanks::failed(const Error &error) const {
  return {error.code, "rank " + std::to_string(layout.rank) + ": " + error.message};
}

const StagePlan &ExpertRanks::planOf(const fb::Program &program) {
  auto known = plans.find(&program);
  if (known == plans.end())
    known = plans.emplace(&program, StagePlan::ofProgram(program)).first;
  return known->second;
}

Status ExpertRanks::run(std::span<RankProgram> programs) {
  ++number;
  std::vector<std::unique_ptr<Running>> all;
  if (!nothing)
    nothing = HADAL_TRY(pool.take(HADAL_ALIGNMENT));
  for (RankProgram &program : programs)
    all.push_back(std::make_unique<Running>(program, planOf(*program.program), unsigned(all.size()),
                                            nothing.get()));
  for (auto &running : all)
    running->beginNs = trace ? trace->now() : 0;
  {
    Lock lock = stream.lock();
    for (auto &running : all)
      stream.add(running->run);
  }
  Status status = runAll(all);
  // Runs that the stream knows must leave it before they die.
  Lock lock = stream.lock();
  for (auto &running : all)
    stream.remove(running->run);
  return status;
}

Status ExpertRanks::runAll(std::vector<std::unique_ptr<Running>> &all) {
  Lock lock = stream.lock();
  size_t turn = 0;
  auto isDone = [](const std::unique_ptr<Running> &running) { return running->ended; };
  while (!std::all_of(all.begin(), all.end(), isDone) || stream.hasSends()) {
    if (Status status = stream.poll(); !status)
      return failed(status.error());
    bool moved = false;
    for (size_t i = 0; !moved && i < all.size(); ++i) {
      size_t at = (turn + i) % all.size();
      if (all[at]->ended || !HADAL_TRY(advance(*all[at], lock)))
        continue;
      moved = true;
      turn = at + 1; // they take turns at the borders of their calls
      if (auto ended = wait.end())
        waited += ended->count();
    }
    if (!moved)
      HADAL_TRY(waitForMessages(all, lock));
  }
  wait.reset();
  return {};
}

/// Does what stream 0 of a program can do, up to its next call. Whether it did anything.
Result<bool> ExpertRanks::advance(Running &running, Lock &lock) {
  ChunkRun &run = running.run;
  bool moved = false;
  for (; !run.isDone(0); ++run.next[0], moved = true) {
    uint32_t at = run.program.streams[0][run.next[0]];
    const fb::Command *command = run.program.program->commands()->Get(at);
    if (auto *record = command->action_as_Record()) {
      run.recorded.insert(record->event());
    } else if (auto *wait = command->action_as_Wait()) {
      if (!run.recorded.count(wait->event()))
        break;
    } else {
      Status status = call(running, at, *command->action_as_Call(), lock);
      if (!status)
        return failed({status.error().code, run.name + ", " + CommStream::describe(run, at) + ": " +
                                                status.error().message});
      ++run.next[0];
      // What is recorded after the call lets its exchange begin.
      takeRecords(run);
      return true;
    }
  }
  if (run.isFinished()) {
    stream.remove(run);
    running.ended = moved = true;
    if (trace)
      trace->addChunk(run.name, running.beginNs, trace->now());
  }
  return moved;
}

Status ExpertRanks::call(Running &running, uint32_t at, const fb::Call &call, Lock &lock) {
  ChunkRun &run = running.run;
  const fb::Program &callee = *executor.module().tables().programs()->Get(call.program());
  CallOperands with = HADAL_TRY(operandsOf(run, callee, call, pool));
  Activity::set("run %lld, %s, command %u: computes %s", static_cast<long long>(number),
                run.name.c_str(), at, callee.name()->c_str());
  lock.unlock();
  RunStatistics before = executor.totals();
  Status status =
      executor.call(*run.program.program, call, with.registers, with.arguments, with.bytes);
  running.of.statistics.launches += executor.totals().launches - before.launches;
  running.of.statistics.flops += executor.totals().flops - before.flops;
  lock.lock();
  return status;
}

/// Waits for messages, or for others to take what was sent.
Status ExpertRanks::waitForMessages(std::vector<std::unique_ptr<Running>> &all, Lock &lock) {
  auto missing = [&]() -> MessageWait::Peer {
    for (auto &running : all)
      if (auto peer = running->ended ? std::nullopt : stream.firstMissing(running->run))
        return std::pair(peer->first, "run " + std::to_string(number) + ", " + peer->second);
    return std::nullopt;
  };
  auto sending = [&] {
    return stream.hasSends() ? MessageWait::Peer(stream.firstSend()) : std::nullopt;
  };
  if (!HADAL_TRY(wait.goOn(missing, sending)))
    return failed(
        invalidArgument(all.front()->run.name + ": waits for an event that nothing records"));
  Status status = stream.wait(lock);
  return status ? status : Status(failed(status.error()));
}
