//===- InProcessComm.cpp - ranks that are threads of one process ----------===//

#include "runtime/comm/InProcessComm.h"

#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <vector>

using namespace hadal;

struct InProcessWorld::Implementation {
  explicit Implementation(unsigned size) : size(size) {}

  struct End {
    uint64_t number;
    void *data;
    uint64_t bytes;
  };
  struct Channel {
    std::deque<End> sends, receives;
  };
  enum class State { Open, Done, WrongSize };
  struct Part {
    uint64_t number = 0;
    void *data = nullptr;
  };
  struct Reduction {
    unsigned root;
    ElementType element;
    int64_t elements;
    std::set<unsigned> begun; ///< ranks
    Part sum;                 ///< the root's, once that has begun
    std::vector<Part> parts;  ///< still to be added
  };

  unsigned size;
  std::mutex mutex;
  std::map<std::tuple<unsigned, unsigned, uint32_t>, Channel>
      channels;                                                      ///< by sender, receiver, tag
  std::map<std::vector<unsigned>, std::deque<Reduction>> reductions; ///< by ranks, in their order
  std::map<uint64_t, std::pair<State, std::string>> messages;
  uint64_t next = 1;
  std::string aborted;

  Message add(unsigned from, unsigned to, uint32_t tag, bool sends, void *data, uint64_t bytes);
  Result<Message> reduce(unsigned rank, const std::vector<unsigned> &ranks, unsigned root,
                         ElementType element, void *data, int64_t elements,
                         const Comm::Addition &add);
};

Message InProcessWorld::Implementation::add(unsigned from, unsigned to, uint32_t tag, bool sends,
                                            void *data, uint64_t bytes) {
  std::lock_guard lock(mutex);
  Message message{next++};
  messages[message.number] = {State::Open, ""};
  Channel &channel = channels[{from, to, tag}];
  (sends ? channel.sends : channel.receives).push_back({message.number, data, bytes});
  if (channel.sends.empty() || channel.receives.empty())
    return message;
  End sent = channel.sends.front(), wanted = channel.receives.front();
  channel.sends.pop_front();
  channel.receives.pop_front();
  messages[sent.number].first = State::Done;
  if (sent.bytes != wanted.bytes) {
    messages[wanted.number] = {State::WrongSize, "rank " + std::to_string(to) + ": wants " +
                                                     std::to_string(wanted.bytes) +
                                                     " bytes from rank " + std::to_string(from) +
                                                     ", got " + std::to_string(sent.bytes)};
    return message;
  }
  if (sent.bytes)
    std::memcpy(wanted.data, sent.data, sent.bytes);
  messages[wanted.number].first = State::Done;
  return message;
}

Result<Message> InProcessWorld::Implementation::reduce(unsigned rank,
                                                       const std::vector<unsigned> &ranks,
                                                       unsigned root, ElementType element,
                                                       void *data, int64_t elements,
                                                       const Comm::Addition &add) {
  std::lock_guard lock(mutex);
  std::deque<Reduction> &open = reductions[ranks];
  auto mine = open.begin();
  while (mine != open.end() && mine->begun.count(rank))
    ++mine;
  if (mine == open.end())
    mine = open.insert(open.end(), Reduction{root, element, elements, {}, {}, {}});
  if (mine->root != root || mine->element != element || mine->elements != elements)
    return invalidArgument(
        "rank " + std::to_string(rank) + ": reduces " + std::to_string(elements) + " elements of " +
        std::string(elementTypeName(element)) + " to rank " + std::to_string(root) + ", others " +
        std::to_string(mine->elements) + " of " + std::string(elementTypeName(mine->element)) +
        " to rank " + std::to_string(mine->root));
  uint64_t number = next++;
  messages[number] = {State::Open, ""};
  mine->begun.insert(rank);
  if (rank == root)
    mine->sum = {number, data};
  else
    mine->parts.push_back({number, data});
  if (mine->begun.count(root)) {
    for (const Part &part : mine->parts) {
      HADAL_TRY(add(element, part.data, mine->sum.data, elements));
      messages[part.number].first = State::Done;
    }
    mine->parts.clear();
  }
  if (mine->begun.size() == ranks.size()) {
    messages[mine->sum.number].first = State::Done;
    open.erase(mine);
  }
  return Message{number};
}

namespace hadal {
class InProcessComm final : public Comm {
public:
  InProcessComm(InProcessWorld::Implementation &world, unsigned number)
      : world(world), number(number) {}

  unsigned rank() const override { return number; }
  unsigned size() const override { return world.size; }
  Result<Message> send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) override {
    HADAL_TRY(check(to, tag));
    return world.add(number, to, tag, /*sends=*/true, const_cast<void *>(data), bytes);
  }
  Result<Message> receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) override {
    HADAL_TRY(check(from, tag));
    return world.add(from, number, tag, /*sends=*/false, data, bytes);
  }
  Result<Message> reduce(std::span<const unsigned> ranks, unsigned root, ElementType element,
                         void *data, int64_t elements, const Addition &add) override {
    HADAL_TRY(checkReduction(ranks, root, element, elements));
    return world.reduce(number, {ranks.begin(), ranks.end()}, root, element, data, elements, add);
  }
  Result<bool> test(Message message) override {
    std::lock_guard lock(world.mutex);
    if (!world.aborted.empty())
      return ioError(world.aborted);
    auto found = world.messages.find(message.number);
    if (found == world.messages.end())
      return invalidArgument("no such message");
    auto [state, text] = found->second;
    if (state == InProcessWorld::Implementation::State::Open)
      return false;
    world.messages.erase(found);
    if (state == InProcessWorld::Implementation::State::WrongSize)
      return ioError(text);
    return true;
  }
  void abort(const std::string &reason) override {
    std::lock_guard lock(world.mutex);
    if (world.aborted.empty())
      world.aborted = "rank " + std::to_string(number) + " stopped: " + reason;
  }

private:
  Status check(unsigned peer, uint32_t tag) const {
    if (peer >= world.size || tag >= tagLimit)
      return invalidArgument("no rank " + std::to_string(peer) + " or tag " + std::to_string(tag));
    return {};
  }
  InProcessWorld::Implementation &world;
  unsigned number;
};
} // namespace hadal

InProcessWorld::InProcessWorld(unsigned size) : self(std::make_unique<Implementation>(size)) {}
InProcessWorld::~InProcessWorld() = default;
std::unique_ptr<Comm> InProcessWorld::comm(unsigned rank) {
  return std::make_unique<InProcessComm>(*self, rank);
}
