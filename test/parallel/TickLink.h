//===- TickLink.h - a slow link without a clock -------------------------===//
//
// Time is what a rank computes: a launch is a tick. Messages of chunks arrive some ticks after they
// were sent. A rank that has nothing to compute until then ticks idly, and where the message is
// under way these ticks are its exposed communication, whatever else the machine does. Waiting for
// what was not yet sent is none.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_PARALLEL_TICKLINK_H
#define HADAL_TEST_PARALLEL_TICKLINK_H

#include "runtime/comm/Comm.h"
#include "runtime/device/CpuDevice.h"

#include <memory>

namespace hadal::fake {

/// What the ranks of a job have in common.
class TickWorld {
public:
  TickWorld(unsigned ranks, uint64_t delay);
  ~TickWorld();

  /// A rank's end, around one of InProcessComm: of the calling thread, which is the one that
  /// computes.
  std::unique_ptr<Comm> comm(std::unique_ptr<Comm> inner);
  /// The device that a rank computes on.
  std::unique_ptr<Device> device(unsigned rank);
  /// Idle ticks of a rank.
  uint64_t exposed(unsigned rank) const;

  struct Implementation;

private:
  std::unique_ptr<Implementation> self;
};

} // namespace hadal::fake

#endif // HADAL_TEST_PARALLEL_TICKLINK_H
