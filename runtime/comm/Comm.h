//===- Comm.h - what ranks say to each other ----------------------------===//
//
// Bytes between numbered ranks, without barriers. A message is known by sender, receiver and tag;
// messages with the same three arrive in the order in which they were sent. Sending, receiving and
// reducing begin at once and end later.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_COMM_COMM_H
#define HADAL_RUNTIME_COMM_COMM_H

#include "runtime/Result.h"
#include "runtime/Tensor.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace hadal {

/// A message or a reduction under way. Valid until test() has said that it is done.
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

  /// The memory must stay, and stay as it is, until the message is done. A rank may send to itself.
  /// Bytes may be 0.
  virtual Result<Message> send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) = 0;

  /// Takes a message of exactly `bytes`. Any other size is an error of test().
  virtual Result<Message> receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) = 0;

  /// Adds the elements at `from` to those at `to`, one by one.
  using Addition =
      std::function<Status(ElementType element, const void *from, void *to, int64_t elements)>;

  /// Adds up what `ranks` have, `elements` of F32 or I32 each, in the order that the engine likes
  /// best: the sum comes to lie in `data` of the rank `root`, those of the others stay. `ranks`
  /// ascend, with this rank and the root among them. All of them must begin their reductions over
  /// the same ranks in the same order, with the same elements; InvalidArgument where it is seen
  /// that they do not. The first one over a set of ranks may come back only when all of them have
  /// begun it. `add` is for engines that have no arithmetic of their own: called in here or in
  /// test().
  virtual Result<Message> reduce(std::span<const unsigned> ranks, unsigned root,
                                 ElementType element, void *data, int64_t elements,
                                 const Addition &add) = 0;

  /// Whether the message is done; moves all of this rank's messages on.
  virtual Result<bool> test(Message message) = 0;

  /// Ends the run on all ranks; where the engine cannot do it for a rank, that one learns from its
  /// deadline.
  virtual void abort(const std::string &reason) = 0;

  /// Waits until the message is done, leaving the CPU to others. After `limit` an error: "rank 1:
  /// 60 s without an answer from rank 2: WHAT". Of several it may be any: "from ranks 2, 3".
  Status wait(Message message, Seconds limit, unsigned peer,
              const std::function<std::string()> &what);
  Status wait(Message message, Seconds limit, std::span<const unsigned> peers,
              const std::function<std::string()> &what);

  /// That error.
  Error timedOut(Seconds limit, unsigned peer, const std::string &what) const;
  Error timedOut(Seconds limit, std::span<const unsigned> peers, const std::string &what) const;

protected:
  /// Whether this rank can take part in a reduction.
  Status checkReduction(std::span<const unsigned> ranks, unsigned root, ElementType element,
                        int64_t elements) const;
};

/// Gives way to others, the longer the more often it was called in a row: `yields` times without
/// sleeping.
class Pause {
public:
  explicit Pause(unsigned yields = 64) : yields(yields) {}
  void operator()();
  /// What was waited for has moved on.
  void restart() { count = 0; }

private:
  unsigned yields, count = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_COMM_COMM_H
