//===- Gather.h - small things that all ranks tell each other -----------===//

#ifndef HADAL_RUNTIME_PARALLEL_GATHER_H
#define HADAL_RUNTIME_PARALLEL_GATHER_H

#include "runtime/comm/Comm.h"

#include <string>
#include <vector>

namespace hadal {

/// What every rank says, by rank, known to all of them in the end. All ranks must call it; `what` says in an error what for.
Result<std::vector<std::string>> gatherAll(Comm &comm, const std::string &mine, Comm::Seconds timeout, const std::string &what);

/// What every rank says, by rank, known to rank 0 alone; texts may be long, and come one by one.
Result<std::vector<std::string>> gatherAtFirst(Comm &comm, const std::string &mine, Comm::Seconds timeout, const std::string &what);

/// Whether a thing worked on all ranks: all of them get the error of the first on which it did not.
Status agree(Comm &comm, const Status &mine, Comm::Seconds timeout, const std::string &what);

/// Sends and waits; receives and waits.
Status sendNow(Comm &comm, unsigned to, uint32_t tag, const void *data, uint64_t bytes, Comm::Seconds timeout, const std::string &what);
Status receiveNow(Comm &comm, unsigned from, uint32_t tag, void *data, uint64_t bytes, Comm::Seconds timeout, const std::string &what);

} // namespace hadal

#endif // HADAL_RUNTIME_PARALLEL_GATHER_H
