//===- CallsBarriers.cpp - barriers, mbarriers, fences ------------------===//

#include "runtime/emulated/Cluster.h"
#include "runtime/emulated/EmulatorCalls.h"

#include <algorithm>

using namespace hadal::emulated;

//===--- Barriers of a block ---------------------------------------------------------------===//

/// Arrives; 0 threads are all of the block. What its threads know where that completes the barrier,
/// else null.
static Clock arrive(Cluster &here, uint32_t id, uint32_t threads, int32_t at) {
  Thread &self = here.self();
  uint32_t all = (here.threadsPerBlock() + 31) / 32 * 32;
  if (!threads)
    threads = all;
  auto what = [&] {
    return "barrier " + std::to_string(id) + here.launch().place(at) + " of " +
           std::to_string(threads) + " threads";
  };
  if (id > 15 || threads % 32 || threads > all) {
    here.fail(Failure::Trap, what() + " in a block of " + std::to_string(here.threadsPerBlock()));
    return nullptr;
  }
  Barrier &barrier = self.block->barriers[id];
  if (barrier.arrived && barrier.wanted != threads) {
    here.fail(Failure::Trap, what() + ", where others arrived" + here.launch().place(barrier.at) +
                                 " for " + std::to_string(barrier.wanted) + ", by " +
                                 here.name(self.agent));
    return nullptr;
  }
  barrier.wanted = threads;
  barrier.at = at;
  barrier.sum.join(here.view(self));
  here.step(self);
  if (++barrier.arrived < threads && barrier.arrived < here.threadsPerBlock())
    return nullptr;
  Clock known = barrier.sum.take();
  for (Thread *thread : barrier.waiting)
    here.join(*thread, known);
  here.wakeAll(barrier.waiting);
  barrier.arrived = 0;
  barrier.sum.clear();
  return known;
}

void hadal_emu_barrier(uint32_t id, uint32_t threads, int32_t at) {
  Cluster &here = Cluster::here();
  if (Clock known = arrive(here, id, threads, at))
    return here.join(here.self(), known);
  static const char *const names[16] = {"barrier 0",  "barrier 1",  "barrier 2",  "barrier 3",
                                        "barrier 4",  "barrier 5",  "barrier 6",  "barrier 7",
                                        "barrier 8",  "barrier 9",  "barrier 10", "barrier 11",
                                        "barrier 12", "barrier 13", "barrier 14", "barrier 15"};
  here.block().barriers[id].waiting.push_back(&here.self());
  here.wait(names[id], at);
}

void hadal_emu_barrier_arrive(uint32_t id, uint32_t threads, int32_t at) {
  arrive(Cluster::here(), id, threads, at); // and learns nothing, even as the last to come
}

//===--- Barriers of a cluster -------------------------------------------------------------===//

void Cluster::checkClusterBarrier() {
  if (barrier.arrived < live)
    return;
  // Threads that have ended count as arrived, those that have arrived and ended only once.
  for (Thread &thread : threads)
    if (thread.state != Thread::State::Done && !thread.arrivedAtCluster)
      return;
  barrier.arrived = 0;
  ++barrier.phase;
  barrier.ended = barrier.sum.take();
  wakeAll(barrier.waiting);
}

void hadal_emu_cluster_arrive(int32_t relaxed, int32_t at) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  if (self.arrivedAtCluster)
    return here.fail(Failure::Trap, "cluster.arrive" + here.launch().place(at) +
                                        " twice without cluster.wait, by " + here.name(self.agent));
  self.arrivedAtCluster = true;
  self.clusterPhase = here.barrier.phase;
  View view = here.view(self);
  if (relaxed) {
    view.clock = self.fencedClock;
    view.epoch = view.issuerEpoch = self.fencedEpoch;
  }
  here.barrier.sum.join(view);
  here.step(self);
  ++here.barrier.arrived;
  here.checkClusterBarrier();
}

void hadal_emu_cluster_wait(int32_t at) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  if (!self.arrivedAtCluster)
    return here.fail(Failure::Trap, "cluster.wait" + here.launch().place(at) +
                                        " without cluster.arrive, by " + here.name(self.agent));
  if (self.clusterPhase == here.barrier.phase) {
    here.barrier.waiting.push_back(&self);
    here.wait("the barrier of the cluster", at);
  }
  self.arrivedAtCluster = false;
  here.join(self, here.barrier.ended);
}

//===--- mbarriers -------------------------------------------------------------------------===//

static std::string placeOf(Cluster &here, const void *address, int32_t at) {
  return "the mbarrier at byte " + std::to_string(here.offset(address)) + " of shared memory" +
         here.launch().place(at);
}

MBarrier *Cluster::mbarrier(void *address, const View &view, bool asynchronous, int32_t at,
                            Block **found) {
  Block *block = owner(address);
  if (!block) {
    fail(Failure::IllegalAddress,
         "an mbarrier" + launch().place(at) + " outside of shared memory, by " + name(view.self));
    return nullptr;
  }
  auto known = block->mbarriers.find(offset(address));
  if (known == block->mbarriers.end()) {
    fail(Failure::Trap,
         name(view.issuer) + " uses " + placeOf(*this, address, at) + ", which nobody initialized");
    return nullptr;
  }
  if (view.issuer / perBlock != block->rank)
    visit(*block, view, at);
  MBarrier &mbarrier = known->second;
  const std::vector<Epoch> &fences = initFences[mbarrier.initializer];
  bool ordered = view[mbarrier.initializer] >= mbarrier.initialized;
  if (ordered && asynchronous) {
    auto fence = std::lower_bound(fences.begin(), fences.end(), mbarrier.initialized);
    ordered = fence != fences.end() && *fence <= view[mbarrier.initializer];
  }
  if (!ordered) {
    fail(
        Failure::Race,
        name(view.self) + " uses " + placeOf(*this, address, at) +
            (asynchronous ? ", and no fence.mbarrier_init follows its " : ", unordered with its ") +
            "initialization by " + name(mbarrier.initializer) + launch().place(mbarrier.at));
    return nullptr;
  }
  if (found)
    *found = block;
  return failed ? nullptr : &mbarrier;
}

void Cluster::check(MBarrier &mbarrier, int32_t at) {
  constexpr int64_t mostBytes = (1 << 20) - 1;
  if (mbarrier.bytes > mostBytes || mbarrier.bytes < -mostBytes)
    return fail(Failure::Trap, "an mbarrier" + launch().place(at) + " expects " +
                                   std::to_string(mbarrier.bytes) +
                                   " bytes, more than it can count");
  if (mbarrier.pending || mbarrier.bytes)
    return;
  mbarrier.parity ^= 1;
  mbarrier.pending = mbarrier.count;
  mbarrier.ended = mbarrier.sum.take();
  wakeAll(mbarrier.waiting);
}

void hadal_emu_mbarrier_init(void *address, uint32_t count, int32_t at) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  if (here.owner(address) != self.block || reinterpret_cast<uintptr_t>(address) % 8 || !count ||
      count >= 1u << 20)
    return here.fail(Failure::Trap, "mbarrier.init" + here.launch().place(at) + " for " +
                                        std::to_string(count) +
                                        " arrivals, outside of the block's memory or not aligned");
  uint32_t offset = here.offset(address);
  if (self.block->mbarriers.count(offset))
    return here.fail(Failure::Trap, here.name(self.agent) + " initializes " +
                                        placeOf(here, address, at) + " a second time");
  if (!here.noteShared(*self.block, true, here.view(self), Proxy::Plain, offset, 8, at))
    return;
  MBarrier &mbarrier = self.block->mbarriers[offset];
  mbarrier.count = mbarrier.pending = count;
  mbarrier.at = at;
  mbarrier.initializer = self.agent;
  mbarrier.initialized = self.epoch;
}

void hadal_emu_mbarrier_invalidate(void *address, int32_t at) {
  Cluster &here = Cluster::here();
  Block *block = nullptr;
  if (here.mbarrier(address, here.view(here.self()), false, at, &block))
    block->mbarriers.erase(here.offset(address));
}

/// Expects bytes and arrives, both or one of them.
static void changeMBarrier(void *address, uint32_t bytes, bool arrives, int32_t at) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  MBarrier *mbarrier = here.mbarrier(address, here.view(self), false, at);
  if (!mbarrier)
    return;
  mbarrier->bytes += bytes;
  if (!arrives)
    return here.check(*mbarrier, at);
  if (!mbarrier->pending)
    return here.fail(Failure::Trap, here.name(self.agent) + " arrives at " +
                                        placeOf(here, address, at) + ", where all " +
                                        std::to_string(mbarrier->count) +
                                        " arrivals of the phase came before");
  --mbarrier->pending;
  mbarrier->sum.join(here.view(self));
  here.step(self);
  here.check(*mbarrier, at);
}

void hadal_emu_mbarrier_arrive(void *address, int32_t at) { changeMBarrier(address, 0, true, at); }

void hadal_emu_mbarrier_expect(void *address, uint32_t bytes, int32_t at) {
  changeMBarrier(address, bytes, false, at);
}

void hadal_emu_mbarrier_arrive_expect(void *address, uint32_t bytes, int32_t at) {
  changeMBarrier(address, bytes, true, at);
}

void hadal_emu_mbarrier_wait(void *address, uint32_t parity, int32_t at) {
  Cluster &here = Cluster::here();
  Thread &self = here.self();
  MBarrier *mbarrier = here.mbarrier(address, here.view(self), false, at);
  if (!mbarrier)
    return;
  if (here.owner(address) != self.block)
    return here.fail(Failure::Trap, here.name(self.agent) + " waits for " +
                                        placeOf(here, address, at) + " of another block");
  if (mbarrier->parity == (parity & 1)) {
    mbarrier->waiting.push_back(&self);
    here.wait("an mbarrier", at);
  }
  here.join(self, mbarrier->ended);
}

//===--- Fences ----------------------------------------------------------------------------===//

static void release(Cluster &here) {
  Thread &self = here.self();
  self.fencedClock = self.clock;
  self.fencedEpoch = self.epoch;
}

void hadal_emu_fence_mbarrier_init(int32_t) {
  Cluster &here = Cluster::here();
  here.initFences[here.self().agent].push_back(here.self().epoch);
  release(here);
  here.step(here.self());
}

void hadal_emu_fence_proxy(int32_t) {
  Cluster &here = Cluster::here();
  here.fences[here.self().agent].push_back(here.self().epoch);
  here.initFences[here.self().agent].push_back(here.self().epoch);
  here.step(here.self());
}

void hadal_emu_fence(int32_t) {
  Cluster &here = Cluster::here();
  if (here.launch().clusters() > 1)
    here.launch().blocksOrdered.store(true, std::memory_order_relaxed);
  release(here);
  here.step(here.self());
}
