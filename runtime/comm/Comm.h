//===- Comm.h - what ranks say to each other ----------------------------===//
//
// Bytes between numbered ranks, without barriers. A message is known by sender, receiver and tag; messages with the same
// three arrive in the order in which they were sent. Sending and receiving begin at once and end later.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_COMM_COMM_H
#define HADAL_RUNTIME_COMM_COMM_H

#include "runtime/Result.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace hadal {

/// A message under way. Valid until test() has said that it is done.
struct Message {
  uint64_t number = 0;
};

/// Its functions may be called from any thread.
class Comm {
public:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;

  /// Tags are below this.
  static constexpr uint32_t tagLimit = uint32_t(1) << 30;

  virtual ~Comm() = default;
  virtual unsigned rank() const = 0;
  virtual unsigned size() const = 0;

  /// The memory must stay, and stay as it is, until the message is done. A rank may send to itself. Bytes may be 0.
  virtual Result<Message> send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) = 0;

  /// Takes a message of exactly `bytes`. Any other size is an error of test().
  virtual Result<Message> receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) = 0;

  /// Whether the message is done; moves all of this rank's messages on.
  virtual Result<bool> test(Message message) = 0;

  /// Ends the run on all ranks; where the engine cannot do it for a rank, that one learns from its deadline.
  virtual void abort(const std::string &reason) = 0;

  /// Waits until the message is done, leaving the CPU to others. After `limit` an error: "rank 1: 60 s without an answer from rank 2: WHAT".
  Status wait(Message message, Seconds limit, unsigned peer, const std::function<std::string()> &what);

  /// That error.
  Error timedOut(Seconds limit, unsigned peer, const std::string &what) const;
};

/// Gives way to others, the longer the more often it was called in a row.
class Pause {
public:
  void operator()();

private:
  unsigned count = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_COMM_COMM_H
