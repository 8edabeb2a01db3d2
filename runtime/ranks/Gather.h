//===- Gather.h - small things that all ranks send each other -----------===//

#ifndef HADAL_RUNTIME_RANKS_GATHER_H
#define HADAL_RUNTIME_RANKS_GATHER_H

#include "runtime/comm/Comm.h"

#include <string>
#include <vector>

namespace hadal {

/// What every rank says, by rank, known to all of them in the end. All ranks must call it; `what`
/// says in an error what for.
Result<std::vector<std::string>> gatherAll(Comm &comm, const std::string &mine,
                                           Comm::Seconds timeout, const std::string &what);

/// What every rank says, by rank, known to rank 0 alone; texts may be long, and come one by one.
Result<std::vector<std::string>> gatherAtFirst(Comm &comm, const std::string &mine,
                                               Comm::Seconds timeout, const std::string &what);

/// Whether a thing worked on all ranks: all of them get the error of the first on which it did not.
Status agree(Comm &comm, const Status &mine, Comm::Seconds timeout, const std::string &what);

/// A thing that all ranks must have alike.
struct Fact {
  std::string name;     ///< "--lr", "weights"
  std::string value;    ///< its text or its digest
  bool isShown = false; ///< the value says something to a person
};

/// Tells the first rank whether `mine` worked and what this rank runs on, and learns what came of
/// it: the error of the first rank that has one, or InvalidArgument for the first that differs from
/// rank 0: "rank 1 has weights other than rank 0", and of a value that is shown "rank 1 has --lr
/// 0.5, rank 0 has 0.001" (empty: "no --lr"). All ranks get the same. The outer error is of the
/// exchange itself: a rank that says nothing.
Result<Status> compare(Comm &comm, const Status &mine, const std::vector<Fact> &facts,
                       Comm::Seconds timeout, const std::string &what);

/// Sends and waits; receives and waits.
Status sendNow(Comm &comm, unsigned to, uint32_t tag, const void *data, uint64_t bytes,
               Comm::Seconds timeout, const std::string &what);
Status receiveNow(Comm &comm, unsigned from, uint32_t tag, void *data, uint64_t bytes,
                  Comm::Seconds timeout, const std::string &what);

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_GATHER_H
