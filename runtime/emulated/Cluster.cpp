//===- Cluster.cpp - fibers, order, memory, failures --------------------===//

#include "runtime/emulated/Cluster.h"

#include "runtime/emulated/Faults.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>

namespace hadal::emulated {

static constexpr uint64_t sharedWindow = uint64_t(1) << 18; // what a matrix descriptor addresses
static constexpr size_t copyAgents = 64;

// Fibers never change threads of the host, so that code may keep the address over a switch.
static thread_local Cluster *cluster = nullptr;

Cluster &Cluster::here() { return *cluster; }
Cluster *Cluster::current() { return cluster && cluster->fiber ? cluster : nullptr; }

Cluster::Cluster() {
  uint64_t bytes = sharedWindow * (maxClusterSize + 1);
  void *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  auto base = reinterpret_cast<uintptr_t>(memory);
  sharedBase = reinterpret_cast<char *>((base + sharedWindow - 1) / sharedWindow * sharedWindow);
  for (uint32_t rank = 0; rank < maxClusterSize; ++rank) {
    blocks.push_back(std::make_unique<Block>());
    blocks[rank]->rank = rank;
    blocks[rank]->shared = sharedBase + rank * sharedWindow;
  }
}

Cluster::~Cluster() = default; // a worker lives as long as the process

void Cluster::startBlock(Block &block, uint32_t rank) {
  Launch &launch = *active;
  block.number = index * launch.clusterSize + rank;
  block.index = {static_cast<uint32_t>(block.number % launch.grid[0]),
                 static_cast<uint32_t>(block.number / launch.grid[0] % launch.grid[1]),
                 static_cast<uint32_t>(block.number / launch.grid[0] / launch.grid[1])};
  std::memset(block.shared, 0xff, launch.sharedBytes);
  block.shadow.reset(launch.sharedBytes);
  for (Barrier &barrier : block.barriers)
    if (barrier.arrived)
      barrier = Barrier();
  block.mbarriers.clear();
  block.warps.clear();
  block.warps.resize(warpsPerBlock);
  block.mmaGroups.clear();
  block.mmaGroups.resize((perBlock + warpgroupThreads - 1) / warpgroupThreads);
  block.visitors.clear();
  block.live = perBlock;
  block.ended = false;
}

void Cluster::start(Launch &launch, uint64_t clusterIndex) {
  active = &launch;
  index = clusterIndex;
  perBlock = launch.threadsPerBlock();
  warpsPerBlock = (perBlock + 31) / 32;
  uint32_t count = perBlock * launch.clusterSize;
  live = count;
  failed = false;
  random.seed(static_cast<uint32_t>((launch.seed * 0x9e3779b97f4a7c15u) ^
                                    (launch.number * 0xc2b2ae3d27d4eb4fu) ^ (index * 2654435761u)) |
              1);
  size_t agents = count + warpsPerBlock * launch.clusterSize + copyAgents;
  if (!zero || zero->size() != agents)
    zero = std::make_shared<const std::vector<Epoch>>(agents, 0);
  threads.clear();
  threads.resize(count);
  copyEpochs.assign(copyAgents, 0);
  copyIssuers.assign(copyAgents, 0);
  copiesUnderWay.clear();
  fences.assign(count, {});
  initFences.assign(count, {});
  released.clear();
  barrier = {};
  ready.clear();
  order.clear();
  for (uint32_t i = 0; i < count; ++i)
    order.push_back(i);
  std::shuffle(order.begin(), order.end(), random);
  started = 0;
  for (uint32_t rank = 0; rank < launch.clusterSize; ++rank)
    startBlock(*blocks[rank], rank);
  for (uint32_t i = 0; i < count; ++i) {
    threads[i].index = i % perBlock;
    threads[i].agent = i;
    threads[i].block = blocks[i / perBlock].get();
    threads[i].clock = zero;
    threads[i].fencedClock = zero;
  }
}

//===--- Threads ---------------------------------------------------------------------------===//

Thread *Cluster::nextFresh() {
  if (started == order.size() || failed)
    return nullptr;
  return &threads[order[started++]];
}

/// A fiber runs threads one after the other until none is left, then it is parked.
void Cluster::fiberBody() {
  for (;;) {
    Cluster &here = *cluster;
    while (Thread *thread = here.nextFresh()) {
      thread->fiber = here.fiber;
      thread->state = Thread::State::Running;
      here.running = thread;
      here.active->entry(here.active->params);
      here.endOf(*thread);
    }
    here.idle.push_back(here.fiber);
    here.leave();
  }
}

void Cluster::leave() {
  Fiber *left = fiber;
  fiber = nullptr;
  hadalEmulatedSwitch(&left->place, home);
}

void Cluster::resume(Fiber &next) {
  fiber = &next;
  hadalEmulatedSwitch(&home, next.place);
}

void Cluster::startFiber() {
  if (idle.empty()) {
    auto made = std::make_unique<Fiber>();
    if (!made->stack.ok())
      return fail(Failure::Trap, "no memory for the stacks of its threads");
    made->prepare(&Cluster::fiberBody);
    idle.push_back(made.get());
    fibers.push_back(std::move(made));
  }
  Fiber *next = idle.back();
  idle.pop_back();
  resume(*next);
}

void Cluster::wait(const char *what, int32_t at) {
  Thread &thread = self();
  thread.state = Thread::State::Waiting;
  thread.waitsFor = what;
  thread.waitsAt = at;
  leave();
}

void Cluster::wake(Thread &thread) {
  thread.state = Thread::State::Ready;
  ready.push_back(&thread);
}

void Cluster::wakeAll(std::vector<Thread *> &waiting) {
  for (Thread *thread : waiting)
    wake(*thread);
  waiting.clear();
}

void Cluster::yield() {
  wake(self());
  leave();
}

Gathering &Cluster::gathering(const char *what, uint32_t mask) {
  std::vector<Gathering> &open = block().warps[self().index / 32];
  Gathering *unused = nullptr;
  for (Gathering &gathering : open) {
    if (gathering.threads.empty())
      unused = &gathering;
    else if (gathering.mask == mask && gathering.what == what)
      return gathering;
  }
  Gathering &fresh = unused ? *unused : open.emplace_back();
  fresh.mask = mask;
  return fresh;
}

void Cluster::run(Launch &launch, uint64_t clusterIndex) {
  cluster = this;
  start(launch, clusterIndex);
  while (live && !failed && !launch.failed()) {
    if (!copiesUnderWay.empty() && chance(8))
      advanceSome();
    bool fresh = started < order.size();
    if (!ready.empty() && (!fresh || chance(2))) {
      size_t pick = random() % ready.size();
      Thread *next = ready[pick];
      ready[pick] = ready.back();
      ready.pop_back();
      next->state = Thread::State::Running;
      running = next;
      resume(*next->fiber);
    } else if (fresh) {
      startFiber();
    } else if (!copiesUnderWay.empty()) {
      advanceSome();
    } else {
      reportDeadlock();
    }
  }
  finish();
}

/// Takes a copy under way a stage further, any of them.
void Cluster::advanceSome() {
  size_t pick = random() % copiesUnderWay.size();
  std::shared_ptr<Copy> copy = copiesUnderWay[pick];
  advance(*this, *copy);
  settle();
}

void Cluster::settle() {
  std::erase_if(copiesUnderWay,
                [](const std::shared_ptr<Copy> &copy) { return copy->stage == Copy::Stage::Done; });
}

void Cluster::finish() {
  // What was read from shared memory is still to be written.
  while (!failed && !copiesUnderWay.empty()) {
    for (const std::shared_ptr<Copy> &copy : copiesUnderWay)
      advance(*this, *copy);
    settle();
  }
  copiesUnderWay.clear();
  cluster = nullptr;
  if (idle.size() == fibers.size())
    return;
  // Fibers in the middle of a launch that failed begin anew.
  idle.clear();
  for (auto &each : fibers) {
    each->prepare(&Cluster::fiberBody);
    idle.push_back(each.get());
  }
}

/// A thread has returned from the kernel.
void Cluster::endOf(Thread &thread) {
  Launch &launch = *active;
  Block &block = *thread.block;
  for (const auto &copy : thread.stores.copies)
    if (!copy->readAwaited)
      fail(Failure::Race, name(thread.agent) + " ended before its bulk store" +
                              launch.place(copy->at) + " was waited for");
  if (perBlock >= warpgroupThreads)
    if (auto *product = productInFlight(block.mmaGroups[thread.index / warpgroupThreads], thread))
      fail(Failure::Poison, name(thread.agent) + " ended before the mma" +
                                launch.place(product->at) + " was waited for");
  thread.state = Thread::State::Done;
  --live;
  if (--block.live == 0)
    endOf(block);
  if (barrier.arrived)
    checkClusterBarrier();
}

/// All threads of the block have ended: its shared memory is another's from now on.
void Cluster::endOf(Block &block) {
  block.ended = true;
  Launch &launch = *active;
  std::string ended = "block " + std::to_string(block.number) + " ended";
  for (const auto &copy : copiesUnderWay)
    for (auto &[shared, mbarrier] : copy->shared)
      if (owner(shared) == &block && copy->stage == Copy::Stage::Issued)
        fail(Failure::Race, ended +
                                " before a copy of its shared memory was waited for, issued by " +
                                name(copy->view.issuer) + launch.place(copy->at));
  if (block.visitors.empty())
    return;
  ClockSum sum;
  uint32_t first = block.rank * perBlock;
  for (uint32_t i = first; i < first + perBlock; ++i)
    sum.join(view(threads[i]));
  Clock known = sum.take();
  for (auto &[agent, visit] : block.visitors)
    if ((*known)[agent] < visit.first)
      fail(Failure::Race, ended + " without waiting for " + name(agent) +
                              ", which uses its shared "
                              "memory" +
                              launch.place(visit.second));
}

//===--- Order -----------------------------------------------------------------------------===//

View Cluster::view(const Thread &thread) const {
  return {thread.clock, thread.agent, thread.agent, thread.epoch, thread.epoch};
}

View Cluster::agentView(Thread &thread, Agent agent, Epoch epoch) {
  View made{thread.clock, agent, thread.agent, epoch, thread.epoch};
  step(thread);
  return made;
}

View Cluster::copyView(Thread &thread) {
  size_t agent = nextCopyAgent++ % copyAgents;
  copyEpochs[agent] += 2; // one for what it reads, one for what it writes of global memory
  copyIssuers[agent] = thread.agent;
  return agentView(thread, static_cast<Agent>(zero->size() - copyAgents + agent),
                   copyEpochs[agent]);
}

void Cluster::join(Thread &thread, Agent agent, Epoch epoch) {
  if ((*thread.clock)[agent] >= epoch)
    return;
  auto joined = std::make_shared<std::vector<Epoch>>(*thread.clock);
  (*joined)[agent] = epoch;
  thread.clock = std::move(joined);
}

void Cluster::joinAll(const std::vector<Thread *> &all, Agent agent, Epoch epoch) {
  ClockSum sum;
  for (Thread *thread : all) {
    sum.join(view(*thread));
    step(*thread);
  }
  sum.raise(agent, epoch);
  Clock known = sum.take();
  for (Thread *thread : all)
    join(*thread, known);
}

void Cluster::orderThrough(uint64_t address, int32_t order, Thread &thread) {
  ClockSum &place = released[address];
  if (order & 1)
    join(thread, place.take());
  if (order & 2) {
    place.join(view(thread));
    step(thread);
  } else if (thread.fencedEpoch) { // a fence before it makes a relaxed operation release
    place.join(View{thread.fencedClock, thread.agent, thread.agent, thread.fencedEpoch,
                    thread.fencedEpoch});
  }
}

std::string Cluster::name(Agent agent) const {
  auto of = [&](uint64_t rank) { return " of block " + std::to_string(blocks[rank]->number); };
  if (agent < threads.size())
    return "thread " + std::to_string(agent % perBlock) + of(agent / perBlock);
  agent -= static_cast<Agent>(threads.size());
  if (agent < warpsPerBlock * active->clusterSize)
    return "mma of warp " + std::to_string(agent % warpsPerBlock) + of(agent / warpsPerBlock);
  agent -= warpsPerBlock * active->clusterSize;
  return "a copy that " + name(copyIssuers[agent]) + " issued";
}

//===--- Memory ----------------------------------------------------------------------------===//

Block *Cluster::owner(const void *address) {
  auto at = reinterpret_cast<uintptr_t>(address), base = reinterpret_cast<uintptr_t>(sharedBase);
  if (at < base || at >= base + active->clusterSize * sharedWindow)
    return nullptr;
  return blocks[(at - base) / sharedWindow].get();
}

uint32_t Cluster::offset(const void *address) const {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(address) % sharedWindow);
}

bool Cluster::noteShared(Block &block, bool write, const View &view, Proxy proxy, uint64_t offset,
                         uint64_t bytes, int32_t at) {
  Launch &launch = *active;
  if (offset + bytes > launch.sharedBytes) {
    fail(Failure::IllegalAddress,
         std::string(write ? "write" : "read") + " of bytes " + std::to_string(offset) + " to " +
             std::to_string(offset + bytes) + " of " + std::to_string(launch.sharedBytes) +
             " bytes of shared memory by " + name(view.self) + launch.place(at));
    return false;
  }
  if (write && !block.mbarriers.empty()) {
    auto next = block.mbarriers.lower_bound(static_cast<uint32_t>(offset < 7 ? 0 : offset - 7));
    if (next != block.mbarriers.end() && next->first < offset + bytes) {
      fail(Failure::Race, "write over the mbarrier at byte " + std::to_string(next->first) +
                              " of shared memory by " + name(view.self) + launch.place(at));
      return false;
    }
  }
  if (view.issuer / perBlock != block.rank)
    visit(block, view, at);
  if (failed)
    return false;
  auto conflict = block.shadow.access(write, {view, fences, number(), proxy, at}, offset, bytes);
  if (conflict)
    reportConflict(*conflict, write, view,
                   "shared memory of block " + std::to_string(block.number) + " at byte " +
                       std::to_string(conflict->offset),
                   at);
  return !conflict;
}

void Cluster::visit(Block &block, const View &view, int32_t at) {
  if (block.ended)
    fail(Failure::Race, name(view.self) + active->place(at) + " uses shared memory of block " +
                            std::to_string(block.number) + ", which has ended");
  block.visitors[view.self] = {view.epoch, at};
}

bool Cluster::noteGlobal(bool write, const View &view, Proxy proxy, uint64_t address,
                         uint64_t bytes, int32_t at) {
  Launch &launch = *active;
  if (launch.memory && !launch.memory->contain(address, bytes)) {
    fail(Failure::IllegalAddress,
         std::string(write ? "write" : "read") + " of " + std::to_string(bytes) + " bytes " +
             launch.memory->describe(address) + " by " + name(view.self) + launch.place(at));
    return false;
  }
  bool others = launch.blocksOrdered.load(std::memory_order_relaxed);
  auto conflict = launch.globalShadow.access(write, {view, fences, number(), proxy, at, others},
                                             address, bytes);
  if (conflict)
    reportConflict(*conflict, write, view, "global memory", at);
  return !conflict;
}

void Cluster::remember(const std::shared_ptr<Copy> &copy) { copiesUnderWay.push_back(copy); }

//===--- Failures --------------------------------------------------------------------------===//

void Cluster::fail(Failure failure, const std::string &what) {
  active->fail(failure, what);
  failed = true;
  if (fiber)
    leave(); // never comes back: finish() makes the fiber anew
}

void Cluster::reportConflict(const Conflict &conflict, bool write, const View &view,
                             const std::string &where, int32_t at) {
  const Access &earlier = conflict.earlier;
  std::string other = earlier.cluster == number()
                          ? name(earlier.agent)
                          : "a thread of cluster " + std::to_string(earlier.cluster);
  std::string text = std::string(write ? "write" : "read") + " of " + where + " by " +
                     name(view.self) + active->place(at) + " and " +
                     (conflict.earlierWrote ? "write" : "read") + " by " + other +
                     active->place(earlier.at);
  text += conflict.unfenced ? ": no proxy fence between the plain write and the asynchronous " +
                                  std::string(write ? "write" : "read")
                            : ": neither happened before the other";
  fail(Failure::Race, text);
}

void Cluster::failMixed(Gathering &gathering, const char *what, int32_t at) {
  fail(Failure::Trap, "threads of a warp or warpgroup call " + std::string(gathering.what) +
                          active->place(gathering.at) + " and " + what + active->place(at) +
                          " together: " + name(gathering.threads[0]->agent) + " and " +
                          name(self().agent));
}

void Cluster::reportDeadlock() {
  std::string text;
  uint32_t told = 0, waiting = 0;
  const char *last = nullptr;
  int32_t lastAt = -1;
  for (const Thread &thread : threads) {
    if (thread.state != Thread::State::Waiting)
      continue;
    ++waiting;
    if ((thread.waitsFor == last && thread.waitsAt == lastAt) || told == 3)
      continue;
    last = thread.waitsFor;
    lastAt = thread.waitsAt;
    text +=
        (told++ ? "; " : "") + name(thread.agent) + " waits for " + last + active->place(lastAt);
  }
  fail(Failure::Deadlock, std::to_string(waiting) + " threads wait for ever: " + text);
}

} // namespace hadal::emulated
