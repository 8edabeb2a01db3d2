//===- OpenSends.h - messages of a step that are on their way -----------===//

#ifndef HADAL_RUNTIME_RANKS_OPENSENDS_H
#define HADAL_RUNTIME_RANKS_OPENSENDS_H

#include "runtime/comm/Comm.h"

#include <string>
#include <vector>

namespace hadal {

class OpenSends {
public:
  OpenSends(Comm &comm, Comm::Seconds timeout) : comm(comm), timeout(timeout) {}

  /// The data stay as they are until finish().
  Status add(unsigned to, uint32_t tag, const void *data, uint64_t bytes);

  /// As add; what was sent is set to zero by finish().
  Status addAndClear(unsigned to, uint32_t tag, void *data, uint64_t bytes);

  /// Waits for all of them. `what` says in an error what for.
  Status finish(const std::string &what);

private:
  struct Open {
    unsigned to;
    Message message;
    void *clears; ///< null: nothing
    uint64_t bytes;
  };
  Comm &comm;
  Comm::Seconds timeout;
  std::vector<Open> open;
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_OPENSENDS_H
