//===- Abi.h - what the runtime and compiled kernels agree on -----------===//
//
// Plain C, no exception crosses it. The compiler emits functions of type HadalKernel into a
// module's code image; the runtime finds them by symbol and calls them.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_ABI_H
#define HADAL_RUNTIME_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Runs the tasks [begin, end) of a launch. Tasks of one launch are independent: the runtime may
/// split [0, tasks) into any contiguous ranges and run them in any order on any worker, and the
/// bits written never depend on the split.
///
///   buffers[i]  base address of the launch's binding i, the binding's byte offset already added
///   scalars[i]  value of the launch's scalar i
///   scratch     memory of this worker alone, 64-byte aligned, at least the kernel's
///               `scratch_bytes`, contents undefined
typedef void (*HadalKernel)(void *const *buffers, const int64_t *scalars, int64_t begin,
                            int64_t end, void *scratch);

#ifdef __cplusplus
} // extern "C"
#endif

/// Alignment in bytes of scratch, weights, states, temporaries and constants. Arguments and
/// parameters have the alignment of their element type.
#define HADAL_ALIGNMENT 64

#endif // HADAL_RUNTIME_ABI_H
