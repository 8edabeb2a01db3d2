//===- DelayedComm.h - a slow link, for tests and measurements ----------===//

#ifndef HADAL_RUNTIME_COMM_DELAYEDCOMM_H
#define HADAL_RUNTIME_COMM_DELAYEDCOMM_H

#include "runtime/comm/Comm.h"

#include <deque>
#include <map>
#include <memory>
#include <mutex>

namespace hadal {

/// Hands every message to another rank on a fixed time after it was sent, and what reductions take
/// from this rank. It is done there, so somebody must call test().
/// Any thread may call it, as any Comm.
class DelayedComm final : public Comm {
public:
  DelayedComm(std::unique_ptr<Comm> inner, std::chrono::microseconds delay)
      : inner(std::move(inner)), delay(delay) {}

  unsigned rank() const override { return inner->rank(); }
  unsigned size() const override { return inner->size(); }
  Result<Message> send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) override;
  Result<Message> receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) override;
  Result<Message> reduce(std::span<const unsigned> ranks, unsigned root, ElementType element,
                         void *data, int64_t elements, const Addition &add) override;
  Result<bool> test(Message message) override;
  void abort(const std::string &reason) override { inner->abort(reason); }

private:
  Status beginWhatIsDue();

  struct Held {
    Clock::time_point due;
    uint64_t number;
    std::function<Result<Message>()> begin;
  };
  std::unique_ptr<Comm> inner;
  std::chrono::microseconds delay;
  std::mutex mutex;
  std::deque<Held> held;             ///< in the order in which they are due
  std::map<uint64_t, Message> begun; ///< by our number
  uint64_t next = 1;
};

} // namespace hadal

#endif // HADAL_RUNTIME_COMM_DELAYEDCOMM_H
