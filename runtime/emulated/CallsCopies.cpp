//===- CallsCopies.cpp - tensor copies, bulk copies, cp.async -----------===//

#include "runtime/emulated/Cluster.h"
#include "runtime/emulated/EmulatorCalls.h"
#include "runtime/emulated/TensorMap.h"

#include <algorithm>
#include <cstring>

using namespace hadal::emulated;

//===--- Boxes -----------------------------------------------------------------------------===//

namespace {

/// A row of a box: what of it lies in the tensor.
struct BoxRow {
  uint64_t number = 0;             ///< in the box
  char *global = nullptr;          ///< the first byte in the tensor; null where none is
  uint64_t skipped = 0, bytes = 0; ///< bytes of the row before it, and of it
};

} // namespace

/// Calls `each` with the rows of the box at the coordinates, in the order of shared memory.
template <typename Each>
static void forRows(const TensorMap &map, const std::array<int32_t, 5> &coordinates, Each each) {
  int64_t first = std::max<int64_t>(0, -int64_t(coordinates[0]));
  int64_t last = std::min<int64_t>(map.box[0], int64_t(map.size(0)) - coordinates[0]);
  std::array<uint32_t, 5> index{};
  for (BoxRow row;; ++row.number) {
    bool inside = first < last;
    uint64_t address = map.address;
    for (uint32_t i = 1; i < map.rank; ++i) {
      int64_t at = int64_t(coordinates[i]) + index[i];
      inside &= at >= 0 && at < int64_t(map.size(i));
      address += static_cast<uint64_t>(at) * map.strides[i - 1];
    }
    address += static_cast<uint64_t>(coordinates[0] + first) * map.elementBytes;
    row.global = inside ? reinterpret_cast<char *>(address) : nullptr;
    row.skipped = inside ? static_cast<uint64_t>(first) * map.elementBytes : 0;
    row.bytes = inside ? static_cast<uint64_t>(last - first) * map.elementBytes : 0;
    each(row);
    uint32_t dimension = 1;
    while (dimension < map.rank && ++index[dimension] == map.box[dimension])
      index[dimension++] = 0;
    if (dimension >= map.rank)
      return;
  }
}

/// Moves a row between shared memory, swizzled, and a buffer.
static void moveRow(const TensorMap &map, char *shared, uint32_t offset, uint64_t row, char *buffer,
                    bool toShared) {
  uint64_t bytes = map.rowBytes();
  char *base = shared - offset; // of the block's shared memory
  for (uint64_t at = 0; at < bytes; at += 16) {
    char *place = base + swizzled(offset + row * bytes + at, map.swizzle);
    std::memcpy(toShared ? place : buffer + at, toShared ? buffer + at : place, 16);
  }
}

static constexpr uint64_t mostRowBytes = 256 * 8;

static void load(Cluster &cluster, Copy &copy, char *shared) {
  if (!copy.map) {
    std::memcpy(shared, copy.global, copy.bytes);
    return;
  }
  const TensorMap &map = *copy.map;
  forRows(map, copy.coordinates, [&](const BoxRow &row) {
    char buffer[mostRowBytes] = {};
    if (row.global)
      std::memcpy(buffer + row.skipped, row.global, row.bytes);
    moveRow(map, shared, cluster.offset(shared), row.number, buffer, true);
  });
}

/// What a store has of shared memory, row after row.
static void readShared(Cluster &cluster, Copy &copy) {
  char *shared = copy.shared[0].first;
  copy.data.resize(copy.size);
  if (!copy.map) {
    std::memcpy(copy.data.data(), shared, copy.size);
    return;
  }
  uint64_t rowBytes = copy.map->rowBytes();
  for (uint64_t row = 0; row < copy.size / rowBytes; ++row)
    moveRow(*copy.map, shared, cluster.offset(shared), row, copy.data.data() + row * rowBytes,
            false);
}

static void writeGlobal(Copy &copy) {
  if (!copy.map) {
    std::memcpy(copy.global, copy.data.data(), copy.bytes);
    return;
  }
  uint64_t rowBytes = copy.map->rowBytes();
  forRows(*copy.map, copy.coordinates, [&](const BoxRow &row) {
    if (row.global)
      std::memcpy(row.global, copy.data.data() + row.number * rowBytes + row.skipped, row.bytes);
  });
}

void hadal::emulated::advance(Cluster &cluster, Copy &copy) {
  switch (copy.kind) {
  case Copy::Kind::Load:
    copy.stage = Copy::Stage::Done;
    for (auto &[shared, address] : copy.shared) {
      MBarrier *mbarrier = cluster.mbarrier(address, copy.view, true, copy.at);
      if (!mbarrier)
        return;
      load(cluster, copy, shared);
      mbarrier->bytes -= static_cast<int64_t>(copy.size);
      mbarrier->sum.join(copy.view);
      cluster.check(*mbarrier, copy.at);
    }
    return;
  case Copy::Kind::Store:
    if (copy.stage == Copy::Stage::Issued) {
      readShared(cluster, copy);
      copy.stage = Copy::Stage::Read;
    } else if (copy.stage == Copy::Stage::Read) {
      writeGlobal(copy);
      copy.stage = Copy::Stage::Done;
    }
    return;
  case Copy::Kind::ThreadCopy:
    if (copy.stage == Copy::Stage::Done)
      return;
    std::memcpy(copy.shared[0].first, copy.global, copy.bytes);
    std::memset(copy.shared[0].first + copy.bytes, 0, copy.size - copy.bytes);
    copy.stage = Copy::Stage::Done;
  }
}

//===--- Issuing ---------------------------------------------------------------------------===//

/// Holds a tensor copy to the rules; null and failed where it breaks one.
static const TensorMap *checkMap(Cluster &here, const void *map, uint32_t rank, const void *shared,
                                 int32_t at) {
  auto *known = static_cast<const TensorMap *>(map);
  const char *wrong = nullptr;
  if (reinterpret_cast<uintptr_t>(map) % 64 || known->magic != TensorMap::tag)
    wrong = "with something that is no tensor map";
  else if (known->rank != rank)
    wrong = "with a tensor map of another rank";
  else if (here.owner(shared) != &here.block() || here.offset(shared) % 128)
    wrong = "with an address outside of the block's shared memory or not aligned to 128 bytes";
  else if (known->swizzle && known->rowBytes() != uint64_t(16) << known->swizzle)
    wrong = "with rows narrower than the swizzle, which the emulated device does not know";
  if (wrong) {
    here.fail(Failure::Trap, std::string("a tensor copy ") + wrong + "," + here.whereAndWho(at));
    return nullptr;
  }
  const GlobalRanges *memory = here.launch().memory;
  if (memory && !memory->contain(known->address, known->extent())) {
    here.fail(Failure::IllegalAddress, "a tensor of " + std::to_string(known->extent()) +
                                           " bytes " + memory->describe(known->address) +
                                           " copied" + here.whereAndWho(at));
    return nullptr;
  }
  return known;
}

static std::shared_ptr<Copy> makeCopy(Cluster &here, Copy::Kind kind, uint64_t bytes, int32_t at) {
  auto copy = std::make_shared<Copy>();
  copy->kind = kind;
  copy->bytes = copy->size = bytes;
  copy->at = at;
  copy->view = here.copyView(here.self());
  return copy;
}

/// Notes what a copy reads or writes of global memory. Reads count only after somebody wrote.
static bool noteBox(Cluster &here, const Copy &copy, bool write) {
  if (!write && !here.launch().globalShadow.hasWrites())
    return true;
  View view = copy.view;
  view.epoch += write;
  auto note = [&](const char *global, uint64_t bytes) {
    return here.noteGlobal(write, view, Proxy::Async, reinterpret_cast<uintptr_t>(global), bytes,
                           copy.at);
  };
  if (!copy.map)
    return note(copy.global, copy.bytes);
  bool ok = true;
  forRows(*copy.map, copy.coordinates,
          [&](const BoxRow &row) { ok = ok && (!row.global || note(row.global, row.bytes)); });
  return ok;
}

/// Starts a load to the same place of each block of the mask; 0: of this block alone.
static void startLoad(Cluster &here, const std::shared_ptr<Copy> &copy, void *shared,
                      void *mbarrier, uint32_t mask) {
  if (mask >> here.launch().clusterSize)
    return here.fail(Failure::Trap, "a copy to blocks that the cluster does not have," +
                                        here.whereAndWho(copy->at));
  if (!mask) {
    copy->shared.push_back({static_cast<char *>(shared), mbarrier});
  } else {
    for (uint32_t rank = 0; rank < here.launch().clusterSize; ++rank)
      if (mask >> rank & 1)
        copy->shared.push_back({here.blockAt(rank).shared + here.offset(shared),
                                here.blockAt(rank).shared + here.offset(mbarrier)});
  }
  for (auto &[place, address] : copy->shared) {
    Block *block = nullptr;
    if (!here.mbarrier(address, copy->view, true, copy->at, &block) ||
        !here.noteShared(*block, true, copy->view, Proxy::Async, here.offset(place), copy->size,
                         copy->at))
      return;
  }
  if (noteBox(here, *copy, false))
    here.remember(copy);
}

static void takeCoordinates(Copy &copy, const TensorMap *map, const int32_t *coordinates) {
  copy.map = map;
  std::copy(coordinates, coordinates + map->rank, copy.coordinates.begin());
}

void hadal_emu_tensor_load(void *shared, const void *map, uint32_t rank, const int32_t *coordinates,
                           void *mbarrier, uint32_t mask, int32_t at) {
  Cluster &here = Cluster::here();
  const TensorMap *known = checkMap(here, map, rank, shared, at);
  if (!known)
    return;
  auto copy = makeCopy(here, Copy::Kind::Load, known->boxBytes(), at);
  takeCoordinates(*copy, known, coordinates);
  startLoad(here, copy, shared, mbarrier, mask);
}

static void startStore(Cluster &here, const std::shared_ptr<Copy> &copy, const void *shared) {
  Thread &self = here.self();
  copy->group = self.stores.open;
  copy->shared.push_back({static_cast<char *>(const_cast<void *>(shared)), nullptr});
  if (!here.noteShared(*self.block, false, copy->view, Proxy::Async, here.offset(shared),
                       copy->size, copy->at) ||
      !noteBox(here, *copy, true))
    return;
  self.stores.copies.push_back(copy);
  here.remember(copy);
}

void hadal_emu_tensor_store(const void *map, uint32_t rank, const int32_t *coordinates,
                            const void *shared, int32_t at) {
  Cluster &here = Cluster::here();
  const TensorMap *known = checkMap(here, map, rank, shared, at);
  if (!known)
    return;
  auto copy = makeCopy(here, Copy::Kind::Store, known->boxBytes(), at);
  takeCoordinates(*copy, known, coordinates);
  startStore(here, copy, shared);
}

/// Rules of a copy without a tensor map.
static bool checkBulk(Cluster &here, const void *shared, const void *global, uint32_t bytes,
                      uint32_t align, int32_t at) {
  auto place = reinterpret_cast<uintptr_t>(global);
  if (bytes % align || here.offset(shared) % align || place % align ||
      here.owner(shared) != &here.block()) {
    here.fail(Failure::Trap, "a copy of " + std::to_string(bytes) +
                                 " bytes that are not whole units of " + std::to_string(align) +
                                 " aligned bytes of global and the block's shared memory," +
                                 here.whereAndWho(at));
    return false;
  }
  const GlobalRanges *memory = here.launch().memory;
  if (bytes && memory && !memory->contain(place, bytes)) {
    here.fail(Failure::IllegalAddress, "a copy of " + std::to_string(bytes) + " bytes " +
                                           memory->describe(place) + here.whereAndWho(at));
    return false;
  }
  return true;
}

void hadal_emu_bulk_load(void *shared, const void *global, uint32_t bytes, void *mbarrier,
                         int32_t at) {
  Cluster &here = Cluster::here();
  if (!checkBulk(here, shared, global, bytes, 16, at))
    return;
  auto copy = makeCopy(here, Copy::Kind::Load, bytes, at);
  copy->global = static_cast<char *>(const_cast<void *>(global));
  startLoad(here, copy, shared, mbarrier, 0);
}

void hadal_emu_bulk_store(void *global, const void *shared, uint32_t bytes, int32_t at) {
  Cluster &here = Cluster::here();
  if (!checkBulk(here, shared, global, bytes, 16, at))
    return;
  auto copy = makeCopy(here, Copy::Kind::Store, bytes, at);
  copy->global = static_cast<char *>(global);
  startStore(here, copy, shared);
}

//===--- Waiting ---------------------------------------------------------------------------===//

void hadal_emu_bulk_commit(int32_t) { ++Cluster::here().self().stores.open; }

void hadal_emu_bulk_wait(uint32_t pending, int32_t read, int32_t) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  Copy::Stage wanted = read ? Copy::Stage::Read : Copy::Stage::Done;
  for (const auto &copy : self.stores.copies) {
    if (!self.stores.isAwaited(*copy, pending))
      continue;
    while (copy->stage < wanted)
      advance(here, *copy);
    copy->readAwaited = true;
    here.join(self, copy->view.self, copy->view.epoch + !read);
  }
  if (!read)
    self.stores.forget(pending);
}

void hadal_emu_async_copy(void *shared, const void *global, uint32_t size, uint32_t bytes,
                          int32_t at) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  if ((size != 4 && size != 8 && size != 16) || bytes > size)
    return here.fail(Failure::Trap, "cp.async of " + std::to_string(bytes) + " of " +
                                        std::to_string(size) + " bytes" + here.whereAndWho(at));
  if (!checkBulk(here, shared, global, size, size, at))
    return;
  auto copy = makeCopy(here, Copy::Kind::ThreadCopy, bytes, at);
  copy->size = size;
  copy->global = static_cast<char *>(const_cast<void *>(global));
  copy->group = self.copies.open;
  copy->shared.push_back({static_cast<char *>(shared), nullptr});
  if (!here.noteShared(*self.block, true, copy->view, Proxy::Plain, here.offset(shared), size,
                       at) ||
      !noteBox(here, *copy, false))
    return;
  self.copies.copies.push_back(copy);
  here.remember(copy);
}

void hadal_emu_async_commit(int32_t) { ++Cluster::here().self().copies.open; }

void hadal_emu_async_wait(uint32_t pending, int32_t) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  for (const auto &copy : self.copies.copies) {
    if (!self.copies.isAwaited(*copy, pending))
      continue;
    advance(here, *copy);
    here.join(self, copy->view.self, copy->view.epoch);
    // From now on it is as if the thread had written: its proxy fence covers it.
    if (!here.noteShared(*self.block, true, here.view(self), Proxy::Plain,
                         here.offset(copy->shared[0].first), copy->size, copy->at))
      return;
  }
  self.copies.forget(pending);
}
