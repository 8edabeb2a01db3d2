#include "test/parallel/TickLink.h"

#include "runtime/ranks/Tags.h"

#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>

using namespace hadal;
using namespace hadal::fake;

struct TickWorld::Implementation {
  struct Rank {
    uint64_t now = 0, exposed = 0;
    uint64_t watched = 0,
             looks = 0; ///< a message that the rank looks for since its last launch, and how often
  };
  using Channel = std::tuple<unsigned, unsigned, uint32_t>; ///< sender, receiver, tag

  uint64_t delay;
  mutable std::mutex mutex;
  std::vector<Rank> ranks;
  std::map<Channel, std::deque<uint64_t>>
      sent; ///< when messages were that are not received; ranks begin together and do as much
};

namespace {
/// Between two launches a rank that can go on looks at a message some twenty times: at each event.
constexpr uint64_t looksOfAnIdleRank = 60;

class TickComm final : public Comm {
public:
  TickComm(TickWorld::Implementation &world, std::unique_ptr<Comm> inner)
      : world(world), inner(std::move(inner)), computes(std::this_thread::get_id()) {}

  unsigned rank() const override { return inner->rank(); }
  unsigned size() const override { return inner->size(); }
  Result<Message> send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) override {
    std::lock_guard lock(world.mutex);
    world.sent[{rank(), to, tag}].push_back(world.ranks[rank()].now);
    return inner->send(to, tag, data, bytes);
  }
  Result<Message> receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) override {
    std::lock_guard lock(world.mutex);
    Message message = HADAL_TRY(inner->receive(from, tag, data, bytes));
    expected[message.number] = {from, rank(), tag};
    return message;
  }
  Result<Message> reduce(std::span<const unsigned> ranks, unsigned root, ElementType element,
                         void *data, int64_t elements, const Addition &add) override {
    return inner->reduce(ranks, root, element, data, elements, add);
  }
  Result<bool> test(Message message) override {
    std::lock_guard lock(world.mutex);
    auto wanted = expected.find(message.number);
    if (wanted == expected.end())
      return inner->test(message);
    auto &sent = world.sent[wanted->second];
    if (sent.empty())
      return false;
    auto [from, to, tag] = wanted->second;
    auto &self = world.ranks[to];
    if (from != to && isOfChunk(tag) && self.now < sent.front() + world.delay) {
      if (std::this_thread::get_id() == computes)
        look(self, message.number, sent.front());
      return false;
    }
    sent.pop_front(); // it was sent: it is there
    expected.erase(wanted);
    return inner->test(message);
  }
  void abort(const std::string &reason) override { inner->abort(reason); }

private:
  static bool isOfChunk(uint32_t tag) { return tag >> 28 != uint32_t(TagKind::Step); }
  static void look(TickWorld::Implementation::Rank &self, uint64_t message, uint64_t sent) {
    if (!self.looks)
      self.watched = message;
    if (self.watched != message || ++self.looks < looksOfAnIdleRank)
      return;
    self.exposed += self.now >= sent;
    ++self.now;
    self.looks = 0;
  }

  TickWorld::Implementation &world;
  std::unique_ptr<Comm> inner;
  std::thread::id computes;
  std::map<uint64_t, TickWorld::Implementation::Channel> expected; ///< by message
};

class TickDevice final : public Device {
public:
  TickDevice(TickWorld::Implementation &world, unsigned rank) : world(world), rank(rank), cpu(1) {}

  std::string_view name() const override { return cpu.name(); }
  Status accepts(const fb::Target &target) const override { return cpu.accepts(target); }
  bool sharesHostMemory() const override { return true; }
  uint64_t peakBytes() const override { return cpu.peakBytes(); }
  Result<DeviceBuffer> allocate(uint64_t bytes) override { return cpu.allocate(bytes); }
  Result<std::unique_ptr<KernelSet>> load(const Module &module) override {
    return cpu.load(module);
  }
  Result<std::unique_ptr<Stream>> makeStream() override { return cpu.makeStream(); }
  Result<std::unique_ptr<Event>> makeEvent() override { return cpu.makeEvent(); }
  Status upload(Stream &stream, DeviceAddress to, const void *from, uint64_t bytes) override {
    return cpu.upload(stream, to, from, bytes);
  }
  Status download(Stream &stream, void *to, DeviceAddress from, uint64_t bytes) override {
    return cpu.download(stream, to, from, bytes);
  }
  Status fill(Stream &stream, DeviceAddress to, uint8_t value, uint64_t bytes) override {
    return cpu.fill(stream, to, value, bytes);
  }
  Status copy(Stream &stream, DeviceAddress to, DeviceAddress from, uint64_t bytes) override {
    return cpu.copy(stream, to, from, bytes);
  }
  Status launch(Stream &stream, const LoadedKernel &kernel, std::span<const DeviceAddress> buffers,
                std::span<const int64_t> scalars, int64_t tasks) override {
    HADAL_TRY(cpu.launch(stream, kernel, buffers, scalars, tasks));
    std::lock_guard lock(world.mutex);
    ++world.ranks[rank].now;
    world.ranks[rank].looks = 0;
    return {};
  }
  Status record(Stream &stream, Event &event) override { return cpu.record(stream, event); }
  Status wait(Stream &stream, Event &event) override { return cpu.wait(stream, event); }
  Status synchronize(Stream &stream) override { return cpu.synchronize(stream); }

private:
  TickWorld::Implementation &world;
  unsigned rank;
  CpuDevice cpu;
};
} // namespace

TickWorld::TickWorld(unsigned ranks, uint64_t delay) : self(std::make_unique<Implementation>()) {
  self->delay = delay;
  self->ranks.resize(ranks);
}
TickWorld::~TickWorld() = default;
std::unique_ptr<Comm> TickWorld::comm(std::unique_ptr<Comm> inner) {
  return std::make_unique<TickComm>(*self, std::move(inner));
}
std::unique_ptr<Device> TickWorld::device(unsigned rank) {
  return std::make_unique<TickDevice>(*self, rank);
}
uint64_t TickWorld::exposed(unsigned rank) const {
  std::lock_guard lock(self->mutex);
  return self->ranks[rank].exposed;
}
