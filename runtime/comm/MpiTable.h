//===- MpiTable.h - between hadal-run and libhadal-mpi.so ---------------===//
//
// Plain C: hadal-run links no MPI, and the library may be built with whatever MPI a machine has.
// Functions return 0, or 1 with a line in `error`.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_COMM_MPITABLE_H
#define HADAL_RUNTIME_COMM_MPITABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HADAL_MPI_VERSION 2
#define HADAL_MPI_ERROR_BYTES 512

struct HadalMpi {
  int version;
  int (*start)(int *rank, int *size, char *error);
  /// Calls from several threads must not overlap.
  int (*send)(int to, int tag, const void *data, uint64_t bytes, void **request, char *error);
  int (*receive)(int from, int tag, void *data, uint64_t bytes, void **request, char *error);
  /// Sums up F32, or with `integers` I32, over `ranks` of the world, ascending, into `data` of
  /// ranks[root]. The first time for a set of ranks it comes back when all of them have called it.
  int (*reduce)(const int *ranks, int count, int root, int integers, void *data, int64_t elements,
                void **request, char *error);
  /// Where it sets `done` the request is gone, as it is after an error.
  int (*test)(void *request, int *done, char *error);
  int (*finish)(char *error);
  void (*abort)(void);
};

/// The one symbol that the library exports.
const struct HadalMpi *hadalMpi(void);

#ifdef __cplusplus
} // extern "C"
#endif

#endif // HADAL_RUNTIME_COMM_MPITABLE_H
