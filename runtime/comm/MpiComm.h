//===- MpiComm.h - ranks that mpirun started ----------------------------===//

#ifndef HADAL_RUNTIME_COMM_MPICOMM_H
#define HADAL_RUNTIME_COMM_MPICOMM_H

#include "runtime/comm/Comm.h"

#include <memory>

namespace hadal {

/// How this process was launched, from the variables that mpirun and srun set; one rank where none
/// is.
struct Launch {
  unsigned ranks = 1;
  unsigned ranksHere = 1; ///< on this machine
  unsigned rank = 0;
  unsigned rankHere = 0; ///< number among those on this machine
  static Launch ofThisProcess();
};

/// Loads libhadal-mpi.so, from beside the program or from ../lib there, and starts MPI. A process
/// can do so once. Unsupported: "started as one of 4 ranks, and libhadal-mpi.so cannot be loaded:
/// ...".
///
/// Done messages are noticed by test() alone, of any message: a thread that calls it now and then
/// moves all of them on.
Result<std::unique_ptr<Comm>> openMpi();

} // namespace hadal

#endif // HADAL_RUNTIME_COMM_MPICOMM_H
