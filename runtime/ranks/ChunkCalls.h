//===- ChunkCalls.h - stream 0 of a chunk program, and its waits --------===//
//
// What a rank's thread does between the messages of its chunk programs, in training and in
// inference alike: calls, what is recorded after them, and waiting until others have answered.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_RANKS_CHUNKCALLS_H
#define HADAL_RUNTIME_RANKS_CHUNKCALLS_H

#include "runtime/comm/Comm.h"
#include "runtime/ranks/CommStream.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hadal {

/// What a call of a chunk's program hands on, as Executor::call takes it.
struct CallOperands {
  std::vector<int64_t> registers;
  std::vector<std::byte *> arguments; ///< of the chunk's program
  std::vector<uint64_t> bytes;        ///< of each of these
};

/// Gives the outputs of `call` memory, and says where all values lie. InvalidArgument where an
/// input was never written. Under the lock of the chunk's stream.
Result<CallOperands> operandsOf(ChunkRun &run, const fb::Program &callee, const fb::Call &call,
                                MemoryPool &pool);

/// Records of stream 0 that come next happen: what waits for a call may begin.
void takeRecords(ChunkRun &run);

/// The time in which a rank's thread had nothing to do but to wait for others. One thread at a
/// time.
class MessageWait {
public:
  /// The rank that is waited for, and what for.
  using Peer = std::optional<std::pair<unsigned, std::string>>;

  /// `comm` must outlive the object. A rank waits `timeout` for another before it gives up.
  MessageWait(Comm &comm, Comm::Seconds timeout) : comm(comm), timeout(timeout) {}

  /// Called while nothing moves: missing() says whose message has not come, sending() who has not
  /// taken one, each a Peer. False where the time is over and nobody is waited for; the error of
  /// Comm::timedOut where somebody is.
  template <typename Missing, typename Sending>
  Result<bool> goOn(const Missing &missing, const Sending &sending) {
    auto now = Comm::Clock::now();
    if (!since)
      begin(now, missing());
    if (now - *since <= timeout)
      return true;
    Peer peer = missing();
    if (!peer)
      peer = sending();
    if (!peer)
      return false;
    return comm.timedOut(timeout, peer->first, peer->second);
  }

  /// Something moved: the seconds that were waited for it, none where no wait was on.
  std::optional<Comm::Seconds> end();

  /// Forgets a wait.
  void reset() { since.reset(); }

private:
  void begin(Comm::Clock::time_point now, const Peer &peer);

  Comm &comm;
  Comm::Seconds timeout;
  std::optional<Comm::Clock::time_point> since;
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_CHUNKCALLS_H
