//===- Queues.cpp - streams whose work happens late ---------------------===//

#include "runtime/emulated/Queues.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

namespace hadal::emulated {

using namespace hadal::cuda;

void Queues::start(uint64_t seed, Around given) {
  std::lock_guard lock(mutex);
  random.seed(static_cast<uint32_t>(seed * 2654435761u) | 1);
  around = std::move(given);
  if (started)
    return;
  started = true;
  std::thread([this] { serve(); }).detach(); // may be in a kernel that never ends, at exit
}

Stream *Queues::makeStream() {
  std::lock_guard lock(mutex);
  return streams.emplace_back(std::make_unique<Stream>()).get();
}

Stream *Queues::find(CUstream handle) {
  std::lock_guard lock(mutex);
  auto *wanted = reinterpret_cast<Stream *>(handle);
  for (const auto &stream : streams)
    if (stream.get() == wanted)
      return wanted;
  return nullptr;
}

void Queues::destroy(Stream *stream) {
  std::unique_lock lock(mutex);
  lockedWait(lock, *stream);
  std::erase_if(streams, [&](const auto &each) { return each.get() == stream; });
}

CUresult Queues::error() {
  std::lock_guard lock(mutex);
  return failed;
}

CUresult Queues::issue(Stream *stream, Operation operation) {
  std::lock_guard lock(mutex);
  return lockedIssue(stream, std::move(operation));
}

CUresult Queues::lockedIssue(Stream *stream, Operation operation) {
  if (failed != CUDA_SUCCESS)
    return failed;
  stream->waiting.push_back(std::move(operation));
  ++stream->issued;
  if (random() % 4 == 0)
    lockedWant(*stream, stream->issued);
  return CUDA_SUCCESS;
}

void Queues::lockedWant(Stream &stream, uint64_t number) {
  if (stream.wanted >= number)
    return;
  stream.wanted = number;
  changed.notify_all();
}

CUresult Queues::query(Stream *stream) {
  std::lock_guard lock(mutex);
  if (failed != CUDA_SUCCESS)
    return failed;
  lockedWant(*stream, stream->issued);
  return stream->done == stream->issued ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult Queues::lockedWait(std::unique_lock<std::mutex> &lock, Stream &stream) {
  uint64_t number = stream.issued, generation = resets;
  lockedWant(stream, number);
  changed.wait(lock, [&] {
    return failed != CUDA_SUCCESS || resets != generation || stream.done >= number;
  });
  return failed;
}

CUresult Queues::synchronize(Stream *stream) {
  std::unique_lock lock(mutex);
  return lockedWait(lock, *stream);
}

CUresult Queues::drain() {
  std::unique_lock lock(mutex);
  // By number: other threads may make and destroy streams in the meantime.
  std::map<const Stream *, uint64_t> numbers;
  for (const auto &stream : streams) {
    numbers[stream.get()] = stream->issued;
    lockedWant(*stream, stream->issued);
  }
  uint64_t generation = resets;
  changed.wait(lock, [&] {
    return failed != CUDA_SUCCESS || resets != generation ||
           std::all_of(streams.begin(), streams.end(), [&](const auto &stream) {
             auto known = numbers.find(stream.get());
             return known == numbers.end() || stream->done >= known->second;
           });
  });
  return failed;
}

CUresult Queues::record(Event &event, Stream *stream) {
  std::lock_guard lock(mutex);
  auto mark = std::make_shared<Mark>();
  mark->stream = stream;
  mark->number = stream->issued + 1;
  Operation operation;
  operation.reached = mark;
  CUresult result = lockedIssue(stream, std::move(operation));
  if (result == CUDA_SUCCESS)
    event.mark = mark;
  return result;
}

CUresult Queues::query(const Event &event) {
  std::lock_guard lock(mutex);
  if (failed != CUDA_SUCCESS)
    return failed;
  if (!event.mark || event.mark->reached)
    return CUDA_SUCCESS;
  lockedWant(*event.mark->stream, event.mark->number);
  return CUDA_ERROR_NOT_READY;
}

CUresult Queues::await(Stream *stream, const Event &event) {
  std::lock_guard lock(mutex);
  if (!event.mark)
    return CUDA_SUCCESS;
  Operation operation;
  operation.awaited = event.mark;
  return lockedIssue(stream, std::move(operation));
}

CUresult Queues::reset() {
  std::unique_lock lock(mutex);
  for (const auto &stream : streams)
    stream->waiting.clear();
  bool ended = changed.wait_for(lock, std::chrono::seconds(2), [&] {
    return std::none_of(streams.begin(), streams.end(),
                        [](const auto &stream) { return stream->running; });
  });
  if (!ended)
    return failed = CUDA_ERROR_LAUNCH_TIMEOUT;
  streams.clear();
  failed = CUDA_SUCCESS;
  ++resets;
  changed.notify_all();
  return CUDA_SUCCESS;
}

//===--- The device's thread ---------------------------------------------------------------===//

bool Queues::lockedReady(const Stream &stream) const {
  if (stream.waiting.empty())
    return false;
  const Mark *awaited = stream.waiting.front().awaited.get();
  return !awaited || awaited->reached;
}

/// A stream whose next operation can happen and that somebody waits for, any of them; now and then
/// one that nobody waits for. Null where nobody waits for anything.
Stream *Queues::lockedPick() {
  std::vector<Stream *> wanted, ready;
  // What a stream waits for is wanted, too, and what that waits for.
  for (bool more = true; more;) {
    more = false;
    for (const auto &stream : streams) {
      if (stream->wanted <= stream->done || stream->waiting.empty() || lockedReady(*stream))
        continue;
      const Mark &mark = *stream->waiting.front().awaited;
      if (mark.stream->wanted < mark.number) {
        mark.stream->wanted = mark.number;
        more = true;
      }
    }
  }
  for (const auto &stream : streams) {
    if (!lockedReady(*stream))
      continue;
    ready.push_back(stream.get());
    if (stream->wanted > stream->done)
      wanted.push_back(stream.get());
  }
  if (wanted.empty())
    return nullptr;
  const std::vector<Stream *> &from = random() % 4 == 0 ? ready : wanted;
  return from[random() % from.size()];
}

void Queues::serve() {
  std::unique_lock lock(mutex);
  bool open = false;
  for (;;) {
    Stream *stream = failed == CUDA_SUCCESS ? lockedPick() : nullptr;
    if (!stream) {
      if (open)
        around(false);
      open = false;
      changed.wait(lock);
      continue;
    }
    if (!open)
      around(true);
    open = true;
    Operation operation = std::move(stream->waiting.front());
    stream->waiting.pop_front();
    stream->running = true;
    CUresult result = CUDA_SUCCESS;
    if (operation.work) {
      lock.unlock();
      result = operation.work();
      lock.lock();
    }
    stream->running = false;
    if (result == CUDA_SUCCESS) {
      ++stream->done;
      if (operation.reached)
        operation.reached->reached = true;
    } else if (failed == CUDA_SUCCESS) {
      failed = result;
    }
    if (failed != CUDA_SUCCESS)
      for (const auto &each : streams)
        each->waiting.clear();
    changed.notify_all();
  }
}

} // namespace hadal::emulated
