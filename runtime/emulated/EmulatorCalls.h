/*===- EmulatorCalls.h - what kernels call of the emulated device -------===//

 The Hopper instructions that the CPU lacks, as C functions of libhadal-emulated.so. A kernel for
 target `sm_90a-emulated` is host code that calls them; plain loads, stores and arithmetic are the
 host's own.

 A kernel in an image (a shared object)
   void NAME(void *const *params)     run once by each thread of the grid; params as cuLaunchKernel
                                      takes them: pointers to the values. Tensor maps: 128 bytes,
                                      aligned to 64; pass their address on.
   const uint32_t NAME.params[]       how many parameters, then the bytes of each
   const char NAME.locations[]        optional: strings one after the other, each ended by a zero
                                      byte, an empty one after the last: what reports call the ops.
                                      `at` below is the number of one, or negative.

 Memory. All addresses are pointers of the host, in one address space. hadal_emu_shared() is the
 calling block's shared memory, aligned to 256 KiB, so that the lower 18 bits of a pointer into it
 are its offset: what a matrix descriptor takes. Memory of other blocks of the cluster is reached
 through hadal_emu_map_shared. At the start of a block its shared memory is all ones, NaN in every
 float format.

 Threads. A warp is 32 consecutive threads, a warpgroup 128, the first of them a multiple of these.
 Functions said to be "of a warp" (warpgroup) return when all its threads have called the same
 function from the same place. Threads are fibers: a plain endless loop never lets another one run.

 Order. The device finds races by happens-before, not by luck: it keeps a vector clock for each
 thread and each asynchronous agent (a copy, a warp's part of an mma), and who read and wrote each
 byte of shared memory. hadal_emu_read and hadal_emu_write report plain accesses: call them
 right before each load or store of shared memory, and of global memory that other threads of the
 launch write. Memory that a launch only reads needs no notice.

 What goes wrong ends the launch: race, deadlock, poison, trap. Nothing here returns an error.
 Not modeled: speed, registers, warps that diverge.

//===--------------------------------------------------------------------===*/

#ifndef HADAL_RUNTIME_EMULATED_EMULATORCALLS_H
#define HADAL_RUNTIME_EMULATED_EMULATORCALLS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HADAL_EMU __attribute__((visibility("default")))

/* --- Where a thread is. `dimension` 0, 1, 2 is x, y, z. */

HADAL_EMU uint32_t hadal_emu_thread_index(uint32_t dimension); /* %tid */
HADAL_EMU uint32_t hadal_emu_block_size(uint32_t dimension);   /* %ntid */
HADAL_EMU uint32_t hadal_emu_block_index(uint32_t dimension);  /* %ctaid */
HADAL_EMU uint32_t hadal_emu_grid_size(uint32_t dimension);    /* %nctaid */
HADAL_EMU uint32_t hadal_emu_cluster_rank(void);               /* %cluster_ctarank */
HADAL_EMU uint32_t hadal_emu_cluster_size(void);               /* %cluster_nctarank */

/* The block's shared memory: as many bytes as the launch asked for. */
HADAL_EMU char *hadal_emu_shared(void);
/* The same place in the shared memory of the cluster's block `rank` (mapa). Loads and stores there
 * are plain ones with notices. */
HADAL_EMU char *hadal_emu_map_shared(const void *shared, uint32_t rank);

/* --- Notices: this thread is about to read or write `bytes` bytes at `address`. */

HADAL_EMU void hadal_emu_read(const void *address, uint32_t bytes, int32_t at);
HADAL_EMU void hadal_emu_write(const void *address, uint32_t bytes, int32_t at);

/* --- Warps */

/* One thread of the warp, its first, gets 1, the others 0 (elect.sync). Does not wait. */
HADAL_EMU int32_t hadal_emu_elect(void);
/* Exchanges 32 bits within the warp (shfl.sync): of lane `lane` (INDEX), lane ^ own (XOR), own -
 * lane (UP), own + lane (DOWN), the own value where that leaves the group of `width` lanes (a power
 * of two, 32 for the warp). Waits for the lanes of `mask`; orders no memory. */
enum { HADAL_EMU_INDEX, HADAL_EMU_XOR, HADAL_EMU_UP, HADAL_EMU_DOWN };
HADAL_EMU uint32_t hadal_emu_shuffle(int32_t mode, uint32_t mask, uint32_t value, uint32_t lane,
                                     uint32_t width, int32_t at);
/* One bit of each lane of `mask` (vote.sync.ballot). */
HADAL_EMU uint32_t hadal_emu_ballot(uint32_t mask, int32_t value, int32_t at);
/* Waits for the lanes of `mask` and orders their memory (bar.warp.sync). */
HADAL_EMU void hadal_emu_warp_sync(uint32_t mask, int32_t at);

/* --- Barriers of a block */

/* Barrier `id` (0 to 15) of `threads` threads, a multiple of 32 (barrier.sync); 0: the block's.
 * What the others did before it happened before what the caller does after it. */
HADAL_EMU void hadal_emu_barrier(uint32_t id, uint32_t threads, int32_t at);
/* Arrives without waiting (barrier.arrive). */
HADAL_EMU void hadal_emu_barrier_arrive(uint32_t id, uint32_t threads, int32_t at);

/* --- Barriers of a cluster */

/* barrier.cluster.arrive, relaxed or with release; ended threads have arrived. */
HADAL_EMU void hadal_emu_cluster_arrive(int32_t relaxed, int32_t at);
/* barrier.cluster.wait, with acquire: of the threads of the cluster that arrived with release. */
HADAL_EMU void hadal_emu_cluster_wait(int32_t at);

/* --- mbarriers: 8 bytes of shared memory each, 8-aligned */

/* A phase ends when `count` arrivals came and all expected bytes. The first phase is 0. Other
 * threads may use it once they are ordered after this call; copies, once a thread that is ordered
 * after hadal_emu_fence_mbarrier_init by this thread issues them. */
HADAL_EMU void hadal_emu_mbarrier_init(void *mbarrier, uint32_t count, int32_t at);
HADAL_EMU void hadal_emu_mbarrier_invalidate(void *mbarrier, int32_t at);
/* `mbarrier` may be in another block of the cluster (hadal_emu_map_shared) for the arrivals. With
 * release; hadal_emu_mbarrier_expect does not arrive. */
HADAL_EMU void hadal_emu_mbarrier_arrive(void *mbarrier, int32_t at);
HADAL_EMU void hadal_emu_mbarrier_expect(void *mbarrier, uint32_t bytes, int32_t at);
HADAL_EMU void hadal_emu_mbarrier_arrive_expect(void *mbarrier, uint32_t bytes, int32_t at);
/* Returns when the phase of this parity has ended, with acquire: the loop around
 * mbarrier.try_wait.parity. On a fresh mbarrier, parity 1 returns at once. */
HADAL_EMU void hadal_emu_mbarrier_wait(void *mbarrier, uint32_t parity, int32_t at);

/* --- Fences */

/* fence.mbarrier_init: see hadal_emu_mbarrier_init. */
HADAL_EMU void hadal_emu_fence_mbarrier_init(int32_t at);
/* fence.proxy.async: what this thread wrote with plain stores before it can be read by bulk copies
 * and mma that are ordered after it. The thread that wrote calls it, before it arrives at the
 * barrier. */
HADAL_EMU void hadal_emu_fence_proxy(int32_t at);
/* fence.acq_rel: orders hadal_emu_atomic calls with `order` 0 around it. */
HADAL_EMU void hadal_emu_fence(int32_t at);

/* --- Tensor copies (TMA). `map` is the address of a tensor map among the parameters. */

/* A box of a tensor of `rank` 1 to 5 dimensions to shared memory, at coordinates[0..rank), the
 * innermost first; what is outside the tensor is zero. Happens later, at random, and then takes
 * the box's bytes from what `mbarrier` of the same block expects. `shared` is 128-aligned. With
 * `mask` not 0 the box goes to the same offset of each block of the cluster whose bit is set, and
 * the bytes are taken from that block's mbarrier of the same offset. */
HADAL_EMU void hadal_emu_tensor_load(void *shared, const void *map, uint32_t rank,
                                     const int32_t *coordinates, void *mbarrier, uint32_t mask,
                                     int32_t at);
/* A box from shared memory to the tensor; what is outside of it is left out. Reads shared memory
 * later, at random, and writes still later: belongs to the thread's open group. */
HADAL_EMU void hadal_emu_tensor_store(const void *map, uint32_t rank, const int32_t *coordinates,
                                      const void *shared, int32_t at);
/* The same without a tensor map: `bytes` bytes, a multiple of 16, both addresses 16-aligned. */
HADAL_EMU void hadal_emu_bulk_load(void *shared, const void *global, uint32_t bytes, void *mbarrier,
                                   int32_t at);
HADAL_EMU void hadal_emu_bulk_store(void *global, const void *shared, uint32_t bytes, int32_t at);
/* Closes the thread's open group of stores (cp.async.bulk.commit_group). */
HADAL_EMU void hadal_emu_bulk_commit(int32_t at);
/* Returns when at most `pending` of the thread's latest groups are not done (wait_group): with
 * `read` not 0, done reading shared memory; else written, too. A thread must not end before its
 * stores have read: that is a race with the block's end. */
HADAL_EMU void hadal_emu_bulk_wait(uint32_t pending, int32_t read, int32_t at);

/* Copies of 4, 8 or 16 bytes by a thread (cp.async): global to shared, `bytes` of them, the rest of
 * `size` zero. Late like the others; waited for by group, by this thread alone. */
HADAL_EMU void hadal_emu_async_copy(void *shared, const void *global, uint32_t size, uint32_t bytes,
                                    int32_t at);
HADAL_EMU void hadal_emu_async_commit(int32_t at);
HADAL_EMU void hadal_emu_async_wait(uint32_t pending, int32_t at);

/* --- Matrix products (wgmma). All of a warpgroup. */

/* Element of A and B; D is f32. k of a call is 32 bytes: 16 of BF16, 32 of E4M3. */
enum { HADAL_EMU_BF16, HADAL_EMU_E4M3 };
/* A or B has its rows (M or N), not K, innermost: BF16 only. */
enum { HADAL_EMU_TRANSPOSE_A = 1, HADAL_EMU_TRANSPOSE_B = 2 };

/* D[64, n] = A[64, k] B[k, n] + (accumulate ? D : 0), n a multiple of 8 up to 256.
 * `a`, `b`: matrix descriptors as the instruction takes them; where `aRegisters` is not null A is
 * the thread's 4 registers there. `d`: the thread's n/2 floats, in the instruction's order. They
 * are poison (NaN) from this call to the wait that returns them; only further products with
 * accumulate may take them as they are. The same `d` of a thread is the same registers.
 * Sums (MmaSums.h says more). E4M3: 32 products and the accumulator are cut toward zero to
 * multiples of 2^(top - 13), top the largest exponent among them, added exactly, and cut to 13 bits
 * after the leading one. BF16: a chain of f32 fused multiply-adds, ascending k. */
HADAL_EMU void hadal_emu_wgmma(int32_t element, uint64_t a, const uint32_t *aRegisters, uint64_t b,
                               float *d, uint32_t n, int32_t accumulate, int32_t transpose,
                               int32_t at);
/* wgmma.fence: before the first product, and before one whose registers (D, or A's) were read or
 * written since the last; not between products that accumulate in the same D. */
HADAL_EMU void hadal_emu_wgmma_fence(int32_t at);
HADAL_EMU void hadal_emu_wgmma_commit(int32_t at);
/* Returns when at most `pending` of the latest groups are not done, and writes the results of the
 * others to their `d`. */
HADAL_EMU void hadal_emu_wgmma_wait(uint32_t pending, int32_t at);

/* --- Matrices of 8x8 16-bit elements. All of a warp. */

/* stmatrix, ldmatrix: `count` (1, 2, 4) matrices; lane i gives the address of row i mod 8 of matrix
 * i / 8, 16-aligned. They report their reads and writes themselves. */
HADAL_EMU void hadal_emu_store_matrix(void *row, const uint32_t *registers, uint32_t count,
                                      int32_t transpose, int32_t at);
HADAL_EMU void hadal_emu_load_matrix(const void *row, uint32_t *registers, uint32_t count,
                                     int32_t transpose, int32_t at);

/* --- Atomics on shared or global memory; they need no notices */

/* `order` 0 relaxed, 1 acquire, 2 release, 3 both. Return the old value. */
HADAL_EMU uint32_t hadal_emu_atomic_add_u32(void *address, uint32_t value, int32_t order,
                                            int32_t at);
HADAL_EMU uint64_t hadal_emu_atomic_add_u64(void *address, uint64_t value, int32_t order,
                                            int32_t at);
HADAL_EMU float hadal_emu_atomic_add_f32(void *address, float value, int32_t order, int32_t at);
HADAL_EMU uint32_t hadal_emu_atomic_max_u32(void *address, uint32_t value, int32_t order,
                                            int32_t at);
HADAL_EMU uint32_t hadal_emu_atomic_exchange_u32(void *address, uint32_t value, int32_t order,
                                                 int32_t at);
HADAL_EMU uint32_t hadal_emu_atomic_compare_exchange_u32(void *address, uint32_t expected,
                                                         uint32_t value, int32_t order, int32_t at);
/* A load that a loop may wait on: lets other threads of the cluster run. Blocks of a grid run in
 * any number at a time, so none may wait for one that comes later. */
HADAL_EMU uint32_t hadal_emu_atomic_load_u32(const void *address, int32_t order, int32_t at);

/* Ends the launch (trap). */
HADAL_EMU void hadal_emu_trap(int32_t at);

#ifdef __cplusplus
}
#endif

#endif /* HADAL_RUNTIME_EMULATED_EMULATORCALLS_H */
