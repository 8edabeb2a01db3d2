//===- InProcessComm.h - ranks that are threads of one process ----------===//

#ifndef HADAL_RUNTIME_COMM_INPROCESSCOMM_H
#define HADAL_RUNTIME_COMM_INPROCESSCOMM_H

#include "runtime/comm/Comm.h"

#include <memory>

namespace hadal {

/// The ranks' common ground. A message is copied once, when both its ends are there. In a reduction
/// each rank's part is added where it and the root have come, by the later of the two.
class InProcessWorld {
public:
  explicit InProcessWorld(unsigned size);
  ~InProcessWorld();

  /// Rank `rank`'s end; it must not outlive the world.
  std::unique_ptr<Comm> comm(unsigned rank);

private:
  friend class InProcessComm;
  struct Implementation;
  std::unique_ptr<Implementation> self;
};

} // namespace hadal

#endif // HADAL_RUNTIME_COMM_INPROCESSCOMM_H
