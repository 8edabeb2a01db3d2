//===- CallsThreads.cpp - indices, notices, warps, atomics --------------===//

#include "runtime/emulated/Cluster.h"
#include "runtime/emulated/EmulatorCalls.h"

#include <bit>
#include <cstring>

using namespace hadal::emulated;

//===--- Where a thread is -----------------------------------------------------------------===//

uint32_t hadal_emu_thread_index(uint32_t dimension) {
  Cluster &here = Cluster::here();
  const auto &size = here.launch().block;
  uint32_t index = here.self().index;
  if (dimension == 0)
    return index % size[0];
  return dimension == 1 ? index / size[0] % size[1] : index / size[0] / size[1];
}

uint32_t hadal_emu_block_size(uint32_t dimension) {
  return Cluster::here().launch().block[dimension];
}

uint32_t hadal_emu_block_index(uint32_t dimension) {
  return Cluster::here().block().index[dimension];
}

uint32_t hadal_emu_grid_size(uint32_t dimension) {
  return Cluster::here().launch().grid[dimension];
}
uint32_t hadal_emu_cluster_rank() { return Cluster::here().block().rank; }
uint32_t hadal_emu_cluster_size() { return Cluster::here().launch().clusterSize; }
char *hadal_emu_shared() { return Cluster::here().block().shared; }

char *hadal_emu_map_shared(const void *shared, uint32_t rank) {
  Cluster &here = Cluster::here();
  if (!here.owner(shared) || rank >= here.launch().clusterSize)
    here.fail(Failure::IllegalAddress, "map_shared of an address outside of shared memory or to "
                                       "block " +
                                           std::to_string(rank) + " of a cluster of " +
                                           std::to_string(here.launch().clusterSize));
  return here.blockAt(rank).shared + here.offset(shared);
}

//===--- Notices ---------------------------------------------------------------------------===//

static void note(bool write, const void *address, uint32_t bytes, int32_t at) {
  Cluster &here = Cluster::here();
  View view = here.view(here.self());
  if (Block *block = here.owner(address))
    here.noteShared(*block, write, view, Proxy::Plain, here.offset(address), bytes, at);
  else
    here.noteGlobal(write, view, Proxy::Plain, reinterpret_cast<uintptr_t>(address), bytes, at);
}

void hadal_emu_read(const void *address, uint32_t bytes, int32_t at) {
  note(false, address, bytes, at);
}

void hadal_emu_write(const void *address, uint32_t bytes, int32_t at) {
  note(true, address, bytes, at);
}

//===--- Warps -----------------------------------------------------------------------------===//

int32_t hadal_emu_elect() { return Cluster::here().self().lane() == 0; }

/// The lanes of a mask that has the calling one, all of them threads of the warp.
static bool checkMask(Cluster &here, uint32_t mask, const char *what, int32_t at) {
  if (mask >> here.self().lane() & 1)
    return true;
  here.fail(Failure::Trap, std::string(what) + here.launch().place(at) +
                               ": the mask leaves out the caller, " + here.name(here.self().agent));
  return false;
}

/// Exchanges a value with the lanes of the mask; `choose` gives a thread its result from all.
template <typename Choose>
static uint32_t exchange(const char *what, uint32_t mask, uint32_t value, int32_t at,
                         Choose choose) {
  Cluster &here = Cluster::here();
  if (!checkMask(here, mask, what, at))
    return 0;
  Thread &self = here.self();
  self.value = value;
  here.gather(here.gathering(what, mask), what, at, std::popcount(mask),
              [&](const std::vector<Thread *> &all) {
                uint32_t values[32] = {};
                for (Thread *thread : all)
                  values[thread->lane()] = thread->value;
                for (Thread *thread : all)
                  thread->result = choose(values, *thread);
              });
  return self.result;
}

uint32_t hadal_emu_shuffle(int32_t mode, uint32_t mask, uint32_t value, uint32_t lane,
                           uint32_t width, int32_t at) {
  Cluster &here = Cluster::here();
  // Each lane asks for a lane of its own: until then `result` has the lane.
  uint32_t own = here.self().lane(), first = own / width * width, source = own;
  switch (mode) {
  case HADAL_EMU_INDEX: source = first + lane % width; break;
  case HADAL_EMU_XOR: source = own ^ lane; break;
  case HADAL_EMU_UP: source = own >= first + lane ? own - lane : own; break;
  default: source = own + lane;
  }
  if (source < first || source >= first + width)
    source = own;
  here.self().result = source;
  return exchange("a shuffle", mask, value, at, [&](const uint32_t *values, const Thread &thread) {
    uint32_t from = thread.result;
    if (!(mask >> from & 1))
      here.fail(Failure::Trap, "a shuffle" + here.launch().place(at) + " reads lane " +
                                   std::to_string(from) + ", which the mask leaves out, in " +
                                   here.name(thread.agent));
    return values[from];
  });
}

uint32_t hadal_emu_ballot(uint32_t mask, int32_t value, int32_t at) {
  return exchange("a ballot", mask, value != 0, at, [&](const uint32_t *values, const Thread &) {
    uint32_t bits = 0;
    for (uint32_t lane = 0; lane < 32; ++lane)
      bits |= (values[lane] & 1) << lane;
    return bits;
  });
}

void hadal_emu_warp_sync(uint32_t mask, int32_t at) {
  Cluster &here = Cluster::here();
  if (!checkMask(here, mask, "a barrier of a warp", at))
    return;
  here.gather(here.gathering("a barrier of a warp", mask), "a barrier of a warp", at,
              std::popcount(mask), [&](const std::vector<Thread *> &all) { here.joinAll(all); });
}

//===--- Matrices --------------------------------------------------------------------------===//

static bool checkMatrix(Cluster &here, const void *row, uint32_t count, int32_t at) {
  if (here.self().lane() >= count * 8)
    return true;
  bool aligned = reinterpret_cast<uintptr_t>(row) % 16 == 0;
  if (here.owner(row) == &here.block() && aligned)
    return true;
  here.fail(Failure::IllegalAddress,
            std::string(aligned ? "a row outside of" : "a row that is not aligned to 16 bytes in") +
                " shared memory, for a matrix" + here.whereAndWho(at));
  return false;
}

/// Moves matrices between registers and shared memory. Register `m` of a lane holds two 16-bit
/// elements of matrix `m` that lie beside one another in a row, or in a column.
static void moveMatrices(const std::vector<Thread *> &all, uint32_t count, bool transpose,
                         bool store) {
  char *rows[32];
  for (Thread *thread : all)
    rows[thread->lane()] = thread->matrixRow;
  for (Thread *thread : all) {
    uint32_t lane = thread->lane();
    for (uint32_t m = 0; m < count; ++m)
      for (uint32_t half = 0; half < 2; ++half) {
        uint32_t row = lane / 4, column = lane % 4 * 2 + half;
        if (transpose)
          std::swap(row, column);
        char *at = rows[m * 8 + row] + column * 2;
        char *own = reinterpret_cast<char *>(thread->matrixRegisters + m) + half * 2;
        std::memcpy(store ? at : own, store ? own : at, 2);
      }
  }
}

static void matrices(const char *what, bool store, char *row, uint32_t *registers, uint32_t count,
                     bool transpose, int32_t at) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  if (!checkMatrix(here, row, count, at))
    return;
  if (self.lane() < count * 8 && !here.noteShared(here.block(), store, here.view(self),
                                                  Proxy::Plain, here.offset(row), 16, at))
    return;
  self.matrixRow = row;
  self.matrixRegisters = registers;
  here.gather(here.gathering(what, ~0u), what, at, 32, [&](const std::vector<Thread *> &all) {
    moveMatrices(all, count, transpose, store);
  });
}

void hadal_emu_store_matrix(void *row, const uint32_t *registers, uint32_t count, int32_t transpose,
                            int32_t at) {
  matrices("stmatrix", true, static_cast<char *>(row), const_cast<uint32_t *>(registers), count,
           transpose != 0, at);
}

void hadal_emu_load_matrix(const void *row, uint32_t *registers, uint32_t count, int32_t transpose,
                           int32_t at) {
  matrices("ldmatrix", false, const_cast<char *>(static_cast<const char *>(row)), registers, count,
           transpose != 0, at);
}

//===--- Atomics ---------------------------------------------------------------------------===//

/// What an atomic operation orders: with release its address learns what the thread knows, with
/// acquire the thread what the address knows. Between clusters nothing is followed: once they order
/// each other, races between them are not looked for.
static bool orderAtomic(Cluster &here, const void *address, uint32_t bytes, int32_t order,
                        int32_t at) {
  Thread &self = here.self();
  Block *block = here.owner(address);
  auto place = reinterpret_cast<uintptr_t>(address);
  if (place % bytes ||
      (block ? here.offset(address) + bytes > here.launch().sharedBytes
             : here.launch().memory && !here.launch().memory->contain(place, bytes))) {
    here.fail(Failure::IllegalAddress, "an atomic operation" + here.launch().place(at) +
                                           " outside of all memory or not aligned, by " +
                                           here.name(self.agent));
    return false;
  }
  if (block && block != self.block)
    here.visit(*block, here.view(self), at);
  if (!block && order)
    here.launch().blocksOrdered.store(true, std::memory_order_relaxed);
  here.orderThrough(place, order, self);
  return true;
}

template <typename T, typename Change>
static T atomically(void *address, int32_t order, int32_t at, Change change) {
  if (!orderAtomic(Cluster::here(), address, sizeof(T), order, at))
    return T();
  return change(static_cast<T *>(address));
}

uint32_t hadal_emu_atomic_add_u32(void *address, uint32_t value, int32_t order, int32_t at) {
  return atomically<uint32_t>(address, order, at, [=](uint32_t *p) {
    return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
  });
}

uint64_t hadal_emu_atomic_add_u64(void *address, uint64_t value, int32_t order, int32_t at) {
  return atomically<uint64_t>(address, order, at, [=](uint64_t *p) {
    return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
  });
}

uint32_t hadal_emu_atomic_exchange_u32(void *address, uint32_t value, int32_t order, int32_t at) {
  return atomically<uint32_t>(address, order, at, [=](uint32_t *p) {
    return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
  });
}

uint32_t hadal_emu_atomic_compare_exchange_u32(void *address, uint32_t expected, uint32_t value,
                                               int32_t order, int32_t at) {
  return atomically<uint32_t>(address, order, at, [=](uint32_t *p) {
    uint32_t seen = expected;
    __atomic_compare_exchange_n(p, &seen, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return seen;
  });
}

uint32_t hadal_emu_atomic_max_u32(void *address, uint32_t value, int32_t order, int32_t at) {
  return atomically<uint32_t>(address, order, at, [=](uint32_t *p) {
    uint32_t seen = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    while (seen < value &&
           !__atomic_compare_exchange_n(p, &seen, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      ;
    return seen;
  });
}

float hadal_emu_atomic_add_f32(void *address, float value, int32_t order, int32_t at) {
  return atomically<float>(address, order, at, [=](float *p) {
    auto *bits = reinterpret_cast<uint32_t *>(p);
    uint32_t seen = __atomic_load_n(bits, __ATOMIC_SEQ_CST);
    float old = std::bit_cast<float>(seen);
    while (!__atomic_compare_exchange_n(bits, &seen, std::bit_cast<uint32_t>(old + value), false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      old = std::bit_cast<float>(seen);
    return old;
  });
}

uint32_t hadal_emu_atomic_load_u32(const void *address, int32_t order, int32_t at) {
  Cluster::here().yield();
  return atomically<uint32_t>(const_cast<void *>(address), order, at,
                              [](uint32_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); });
}

void hadal_emu_trap(int32_t at) {
  Cluster &here = Cluster::here();
  here.fail(Failure::Trap, "a trap" + here.whereAndWho(at));
}
