//===- CommStream.cpp - stream 1 of the chunks in flight ------------------===//

#include "runtime/ranks/CommStream.h"

#include "runtime/ranks/Tags.h"

#include <algorithm>

using namespace hadal;

bool ChunkRun::hasArrived(uint32_t command) const {
  size_t at = next[1];
  if (at < program.streams[1].size() && program.streams[1][at] < command)
    return false;
  return std::none_of(arrivals.begin(), arrivals.end(),
                      [&](const Arrival &arrival) { return arrival.command < command; });
}

CommStream::CommStream(const RankLayout &layout, Comm &comm, Device &device, MemoryPool &pool,
                       Trace *trace)
    : layout(layout), comm(comm, device), device(device), pool(pool), trace(trace),
      thread([this] { work(); }) {}

CommStream::~CommStream() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
    forThread.notify_one();
  }
  thread.join();
}

bool CommStream::isBusy() const {
  return failed.ok() &&
         (!sends.empty() || std::any_of(active.begin(), active.end(),
                                        [](ChunkRun *run) { return !run->arrivals.empty(); }));
}

void CommStream::work() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    if (!isBusy()) {
      sleeps = true;
      forThread.wait(lock);
      sleeps = false;
      continue;
    }
    // The rank computes, perhaps on this very core; while it waits it looks for itself.
    forThread.wait_for(lock, std::chrono::microseconds(mainWaits ? 1000 : 100));
    if (stopping || !failed.ok())
      continue;
    auto moved = moveOn();
    if (!moved.ok())
      failed = moved.error();
  }
}

Status CommStream::poll() {
  if (!failed.ok())
    return failed;
  auto moved = moveOn();
  if (!moved.ok())
    failed = moved.error();
  else if (*moved)
    pause.restart();
  if (sleeps && isBusy())
    forThread.notify_one();
  return failed;
}

Status CommStream::wait(std::unique_lock<std::mutex> &lock) {
  mainWaits = true;
  lock.unlock();
  pause();
  lock.lock();
  mainWaits = false;
  return poll();
}

/// Tests all messages and issues what can be issued. Whether anything happened.
Result<bool> CommStream::moveOn() {
  bool moved = false;
  for (auto it = sends.begin(); it != sends.end();) {
    if (!HADAL_TRY(comm.test(it->message))) {
      ++it;
      continue;
    }
    if (trace && it->isTraced)
      trace->addComm(it->what, it->beginNs, now(), {it->tag, {it->to}, {}});
    it = sends.erase(it);
    moved = true;
  }
  for (ChunkRun *run : active) {
    if (HADAL_TRY(collect(*run)))
      moved = true;
    if (HADAL_TRY(advance(*run)))
      moved = true;
  }
  return moved;
}

/// Takes note of what has come.
Result<bool> CommStream::collect(ChunkRun &run) {
  bool moved = false;
  for (auto it = run.arrivals.begin(); it != run.arrivals.end();) {
    auto &open = it->open;
    while (!open.empty()) {
      auto done = comm.test(open.back().second);
      if (!done.ok())
        return failedAt(run, it->command, done.error());
      if (!*done)
        break;
      open.pop_back();
    }
    if (!open.empty()) {
      ++it;
      continue;
    }
    Status status = finish(run, *it);
    if (!status)
      return failedAt(run, it->command, status.error());
    for (uint32_t value : it->values)
      --run.values.values[value].arriving;
    it = run.arrivals.erase(it);
    moved = true;
  }
  for (auto it = run.records.begin(); it != run.records.end();) {
    if (!run.hasArrived(it->second)) {
      ++it;
      continue;
    }
    run.recorded.insert(it->first);
    it = run.records.erase(it);
    moved = true;
  }
  return moved;
}

Result<bool> CommStream::advance(ChunkRun &run) {
  bool moved = false;
  const auto &commands = run.program.streams[1];
  while (run.next[1] < commands.size()) {
    uint32_t at = commands[run.next[1]];
    const fb::Command *command = run.program.program->commands()->Get(at);
    // Memory for what comes may be taken early; all else needs what the chunk has done before.
    if (run.isAhead ? command->action_type() != fb::Action_Receive : at >= run.limit)
      break;
    auto issued = issue(run, at);
    if (!issued.ok())
      return failedAt(run, at, issued.error());
    if (!*issued)
      break;
    ++run.next[1];
    moved = true;
  }
  if (moved)
    HADAL_TRY(collect(run)); // an event may have nothing left to wait for
  return moved;
}

Error CommStream::failedAt(const ChunkRun &run, uint32_t command, const Error &error) const {
  return {error.code, run.name + ", " + describe(run, command) + ": " + error.message};
}

std::string CommStream::describe(const ChunkRun &run, uint32_t at) {
  const fb::Command *command = run.program.program->commands()->Get(at);
  auto name = [&](uint32_t argument) {
    return "'" + run.program.program->arguments()->Get(argument)->name()->str() + "'";
  };
  std::string text = "command " + std::to_string(at) + ": ";
  if (auto *send = command->action_as_Send())
    return text + "sends " + name(send->argument());
  if (auto *receive = command->action_as_Receive())
    return text + "receives " + name(receive->argument());
  if (auto *exchange = command->action_as_ExchangeCounts())
    return text + "exchanges counts " + name(exchange->receive());
  if (auto *exchange = command->action_as_Exchange())
    return text + "exchanges " + name(exchange->destination());
  if (auto *wait = command->action_as_Wait())
    return text + "waits for event " + std::to_string(wait->event());
  if (auto *call = command->action_as_Call())
    return text + "calls program " + std::to_string(call->program());
  return text + "records an event";
}

std::optional<std::pair<unsigned, std::string>>
CommStream::firstMissing(const ChunkRun &run) const {
  for (const auto &arrival : run.arrivals)
    if (!arrival.open.empty())
      return std::pair(arrival.open.back().first, run.name + ", " + describe(run, arrival.command));
  return std::nullopt;
}

std::pair<unsigned, std::string> CommStream::firstSend() const {
  return {sends.front().to, sends.front().what};
}

Result<bool> CommStream::issue(ChunkRun &run, uint32_t at) {
  const fb::Command *command = run.program.program->commands()->Get(at);
  switch (command->action_type()) {
  case fb::Action_Record:
    run.records.push_back({command->action_as_Record()->event(), at});
    return true;
  case fb::Action_Wait: return run.recorded.count(command->action_as_Wait()->event()) != 0;
  case fb::Action_Send: return issueSend(run, at, *command->action_as_Send());
  case fb::Action_Receive: return issueReceive(run, at, *command->action_as_Receive());
  case fb::Action_ExchangeCounts: return issueCounts(run, at, *command->action_as_ExchangeCounts());
  default: return issueExchange(run, at, *command->action_as_Exchange());
  }
}

Status CommStream::send(ChunkRun &run, uint32_t at, unsigned to, uint32_t tag,
                        const std::byte *data, uint64_t bytes, std::shared_ptr<std::byte> held) {
  Message message = HADAL_TRY(comm.send(to, tag, data, bytes));
  sends.push_back({to, message, std::move(held),
                   run.name + ", " + describe(run, at) + " to rank " + std::to_string(to),
                   run.program.program->commands()->Get(at)->action_type() == fb::Action_Send,
                   now(), tag});
  return {};
}

/// Within the device; done when it returns.
Status CommStream::copy(DeviceAddress to, DeviceAddress from, uint64_t bytes) {
  if (!stream)
    stream = HADAL_TRY(device.makeStream());
  HADAL_TRY(device.copy(*stream, to, from, bytes));
  return device.synchronize(*stream);
}

/// The first `count` numbers of a value that holds counts: none is negative.
Result<std::vector<int32_t>> CommStream::countsIn(const MicroBatchValues::Value &value,
                                                  uint64_t count) {
  if (!stream)
    stream = HADAL_TRY(device.makeStream());
  std::vector<int32_t> counts(count);
  HADAL_TRY(device.download(*stream, counts.data(), value.data, count * sizeof(int32_t)));
  HADAL_TRY(device.synchronize(*stream));
  for (int32_t one : counts)
    if (one < 0)
      return invalidArgument("a count is " + std::to_string(one));
  return counts;
}

static Error missing(const ChunkRun &run, uint32_t argument) {
  return invalidArgument("'" + run.program.program->arguments()->Get(argument)->name()->str() +
                         "' was never written");
}

Result<bool> CommStream::issueSend(ChunkRun &run, uint32_t at, const fb::Send &command) {
  auto &value = run.values.valueOf(run.program, command.argument());
  if (value.arriving)
    return false;
  if (!value.data)
    return missing(run, command.argument());
  unsigned direction = run.values.direction;
  unsigned to = layout.rankOf(layout.holderOf(command.stage(), direction), layout.epOf(layout.rank),
                              layout.dpOf(layout.rank));
  HADAL_TRY(send(run, at, to,
                 chunkTag(TagKind::Send, direction, run.program.which, run.values.number,
                          run.program.ordinals[at]),
                 value.data, value.bytes, value.memory));
  return true;
}

Result<bool> CommStream::issueReceive(ChunkRun &run, uint32_t at, const fb::Receive &command) {
  HADAL_TRY(run.values.allocate(pool, run.program, command.argument()));
  auto &value = run.values.valueOf(run.program, command.argument());
  unsigned direction = run.values.direction;
  unsigned from = layout.rankOf(layout.holderOf(command.stage(), direction),
                                layout.epOf(layout.rank), layout.dpOf(layout.rank));
  // The sender's direction: in a V the same stages lie in both.
  unsigned theirs = layout.isV ? command.stage() >= layout.pp : direction;
  uint32_t tag = chunkTag(TagKind::Send, theirs, run.program.which, run.values.number,
                          run.program.ordinals[at]);
  Message message = HADAL_TRY(comm.receive(from, tag, value.data, value.bytes));
  ++value.arriving;
  run.arrivals.push_back({at,
                          {{from, message}},
                          {run.program.values[command.argument()]},
                          {value.memory},
                          now(),
                          {tag, {}, {from}}});
  return true;
}

namespace {
/// This rank's place among the parts of an exchange.
struct Parts {
  template <typename Exchange>
  Parts(const Exchange &exchange, const RankLayout &layout)
      : stride(exchange.stride()), count(exchange.parts()) {
    unsigned ep = layout.epOf(layout.rank);
    mine = ep / stride % count;
    first = layout.rank - mine * stride; // ep is the fastest coordinate of a rank
  }
  unsigned rankOf(unsigned part) const { return first + part * stride; }
  unsigned stride, count, mine, first;
};
} // namespace

Result<bool> CommStream::issueCounts(ChunkRun &run, uint32_t at,
                                     const fb::ExchangeCounts &command) {
  auto &from = run.values.valueOf(run.program, command.send());
  if (from.arriving)
    return false;
  if (!from.data)
    return missing(run, command.send());
  HADAL_TRY(run.values.allocate(pool, run.program, command.receive()));
  auto &to = run.values.valueOf(run.program, command.receive());
  Parts parts(command, layout);
  uint64_t bytes = uint64_t(command.segments()) * 2 * sizeof(int32_t);
  if (from.bytes != bytes * parts.count || to.bytes != bytes * parts.count)
    return invalidArgument("counts want " + std::to_string(bytes * parts.count) + " bytes, have " +
                           std::to_string(from.bytes) + " and " + std::to_string(to.bytes));
  uint32_t tag = chunkTag(TagKind::Counts, run.values.direction, run.program.which,
                          run.values.number, run.program.ordinals[at]);
  ChunkRun::Arrival arrival{at,          {},    {run.program.values[command.receive()]},
                            {to.memory}, now(), {tag, {}, {}}};
  for (unsigned q = 0; q < parts.count; ++q) {
    if (q == parts.mine) {
      HADAL_TRY(copy(to.data + q * bytes, from.data + q * bytes, bytes));
      continue;
    }
    arrival.open.push_back({parts.rankOf(q), HADAL_TRY(comm.receive(parts.rankOf(q), tag,
                                                                    to.data + q * bytes, bytes))});
    arrival.ends.from.push_back(parts.rankOf(q));
    arrival.ends.to.push_back(parts.rankOf(q));
    HADAL_TRY(send(run, at, parts.rankOf(q), tag, from.data + q * bytes, bytes, from.memory));
  }
  ++to.arriving;
  run.arrivals.push_back(std::move(arrival));
  return true;
}

Result<bool> CommStream::issueExchange(ChunkRun &run, uint32_t at, const fb::Exchange &command) {
  // Sizes of memory may depend on counts that are still to come.
  for (const auto &arrival : run.arrivals)
    if (run.program.program->commands()->Get(arrival.command)->action_type() ==
        fb::Action_ExchangeCounts)
      return false;
  for (uint32_t argument : {command.source(), command.send_counts(), command.receive_counts()}) {
    auto &value = run.values.valueOf(run.program, argument);
    if (value.arriving)
      return false;
    if (!value.data)
      return missing(run, argument);
  }
  HADAL_TRY(run.values.allocate(pool, run.program, command.destination()));
  auto &from = run.values.valueOf(run.program, command.source()),
       &to = run.values.valueOf(run.program, command.destination());
  Parts parts(command, layout);
  unsigned segments = command.segments();
  /// Bytes for or from each part, one after the other.
  auto offsets = [&](uint32_t argument, uint64_t available,
                     const char *what) -> Result<std::vector<uint64_t>> {
    auto &counts = run.values.valueOf(run.program, argument);
    if (counts.bytes < uint64_t(parts.count) * segments * 2 * sizeof(int32_t))
      return invalidArgument("counts have " + std::to_string(counts.bytes) + " bytes");
    std::vector<int32_t> pairs = HADAL_TRY(countsIn(counts, uint64_t(parts.count) * segments * 2));
    std::vector<uint64_t> result = {0};
    for (unsigned q = 0; q < parts.count; ++q) {
      uint64_t rows = 0;
      for (unsigned s = 0; s < segments; ++s)
        rows += uint64_t(pairs[(uint64_t(q) * segments + s) * 2]);
      if (command.capacity() && rows > command.capacity())
        return invalidArgument(std::to_string(rows) + " rows " + what + " rank " +
                               std::to_string(parts.rankOf(q)) + ", capacity is " +
                               std::to_string(command.capacity()));
      result.push_back(result.back() + rows * command.row_bytes());
    }
    if (result.back() > available)
      return invalidArgument("exchanges " + std::to_string(result.back()) +
                             " bytes in a value of " + std::to_string(available));
    return result;
  };
  std::vector<uint64_t> out = HADAL_TRY(offsets(command.send_counts(), from.bytes, "to"));
  std::vector<uint64_t> in = HADAL_TRY(offsets(command.receive_counts(), to.bytes, "from"));
  uint32_t tag = chunkTag(TagKind::Exchange, run.values.direction, run.program.which,
                          run.values.number, run.program.ordinals[at]);
  ChunkRun::Arrival arrival{at,          {},    {run.program.values[command.destination()]},
                            {to.memory}, now(), {tag, {}, {}}};
  for (unsigned q = 0; q < parts.count; ++q) {
    uint64_t sent = out[q + 1] - out[q], received = in[q + 1] - in[q];
    if (q == parts.mine) {
      if (sent != received)
        return invalidArgument("a rank sends itself " + std::to_string(sent) + " bytes and wants " +
                               std::to_string(received));
      HADAL_TRY(copy(to.data + in[q], from.data + out[q], sent));
      continue;
    }
    // Both sides know the counts: nothing is said about no rows.
    if (received) {
      arrival.open.push_back({parts.rankOf(q), HADAL_TRY(comm.receive(parts.rankOf(q), tag,
                                                                      to.data + in[q], received))});
      arrival.ends.from.push_back(parts.rankOf(q));
    }
    if (sent) {
      HADAL_TRY(send(run, at, parts.rankOf(q), tag, from.data + out[q], sent, from.memory));
      arrival.ends.to.push_back(parts.rankOf(q));
    }
  }
  ++to.arriving;
  run.arrivals.push_back(std::move(arrival));
  return true;
}

/// All messages of a command have come.
Status CommStream::finish(ChunkRun &run, const ChunkRun::Arrival &arrival) {
  const fb::Command *command = run.program.program->commands()->Get(arrival.command);
  if (trace)
    trace->addComm(run.name + ", " + describe(run, arrival.command), arrival.beginNs, now(),
                   arrival.ends);
  auto *counts = command->action_as_ExchangeCounts();
  if (!counts)
    return {};
  auto &value = run.values.valueOf(run.program, counts->receive());
  std::vector<int32_t> pairs =
      HADAL_TRY(countsIn(value, uint64_t(counts->parts()) * counts->segments() * 2));
  int64_t sums[2] = {0, 0};
  for (size_t i = 0; i < pairs.size(); ++i)
    sums[i % 2] += pairs[i];
  run.values.registers[run.program.registers[counts->rows()]] = sums[0];
  run.values.registers[run.program.registers[counts->choices()]] = sums[1];
  return {};
}
