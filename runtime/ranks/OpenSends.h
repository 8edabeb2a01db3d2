//===- OpenSends.h - messages of a step that are on their way -----------===//

#ifndef HADAL_RUNTIME_RANKS_OPENSENDS_H
#define HADAL_RUNTIME_RANKS_OPENSENDS_H

#include "runtime/Executor.h"
#include "runtime/ranks/StreamComm.h"

#include <string>
#include <vector>

namespace hadal {

/// One thread at a time.
class OpenSends {
public:
  /// `comm` is one for the executor's device.
  OpenSends(Executor &executor, StreamComm &comm, Comm::Seconds timeout)
      : executor(executor), comm(comm), timeout(timeout) {}

  /// Sends what the executor's stream has written. The data stay as they are until finish().
  Status add(unsigned to, uint32_t tag, DeviceAddress data, uint64_t bytes);

  /// As add; what was sent is set to zero by finish().
  Status addAndClear(unsigned to, uint32_t tag, DeviceAddress data, uint64_t bytes);

  /// Waits for all of them. `what` says in an error what for.
  Status finish(const std::string &what);

private:
  struct Open {
    unsigned to;
    Message message;
    DeviceAddress clears; ///< null: nothing
    uint64_t bytes;
  };
  Executor &executor;
  StreamComm &comm;
  Comm::Seconds timeout;
  std::vector<Open> open;
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_OPENSENDS_H
