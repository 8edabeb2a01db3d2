//===- Queues.h - streams whose work happens late -----------------------===//
//
// What streams were given happens in a thread of the device: when somebody waits for it or asks
// whether it is done, or at random, and in any order that streams and events permit. So a missing
// event or synchronization shows.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_QUEUES_H
#define HADAL_RUNTIME_EMULATED_QUEUES_H

#include "runtime/device/cuda/DriverTypes.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

namespace hadal::emulated {

struct Stream;

/// A point in a stream: what an event recorded.
struct Mark {
  Stream *stream = nullptr;
  uint64_t number = 0; ///< operations of the stream that come before it
  bool reached = false;
};

struct Event {
  std::shared_ptr<Mark> mark; ///< null before it is recorded
};

/// One operation: work, or a wait for a mark. Work returns CUDA_SUCCESS or the context's error.
struct Operation {
  std::function<cuda::CUresult()> work;
  std::shared_ptr<Mark> awaited, reached;
};

struct Stream {
  std::deque<Operation> waiting;
  uint64_t issued = 0, done = 0;
  uint64_t wanted = 0; ///< somebody waits until this many are done
  bool running = false;
};

/// All streams of a context. Any thread; what begins with "locked" wants `mutex` held.
class Queues {
public:
  /// Opens the device's memory before operations and closes it when none is left.
  using Around = std::function<void(bool open)>;
  void start(uint64_t seed, Around around);

  Stream *makeStream();
  /// Null where there is no such stream.
  Stream *find(cuda::CUstream handle);
  void destroy(Stream *stream);

  /// The context's error where there is one: operations are then dropped.
  cuda::CUresult error();
  cuda::CUresult issue(Stream *stream, Operation operation);
  cuda::CUresult query(Stream *stream);
  cuda::CUresult synchronize(Stream *stream);
  /// Waits for all streams.
  cuda::CUresult drain();
  cuda::CUresult record(Event &event, Stream *stream);
  cuda::CUresult query(const Event &event);
  cuda::CUresult await(Stream *stream, const Event &event);
  /// Drops all streams, what they still have to do, and the error. LaunchTimeout, from then on,
  /// where an operation does not end.
  cuda::CUresult reset();

private:
  void serve();
  cuda::CUresult lockedIssue(Stream *stream, Operation operation);
  Stream *lockedPick();
  bool lockedReady(const Stream &stream) const;
  void lockedWant(Stream &stream, uint64_t number);
  cuda::CUresult lockedWait(std::unique_lock<std::mutex> &lock, Stream &stream);

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::unique_ptr<Stream>> streams;
  std::minstd_rand random;
  Around around;
  cuda::CUresult failed = cuda::CUDA_SUCCESS;
  uint64_t resets = 0;
  bool started = false;
};

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_QUEUES_H
