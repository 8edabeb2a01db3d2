#include "runtime/comm/InProcessComm.h"

#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <tuple>

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

  unsigned size;
  std::mutex mutex;
  std::map<std::tuple<unsigned, unsigned, uint32_t>, Channel> channels; ///< by sender, receiver, tag
  std::map<uint64_t, std::pair<State, std::string>> messages;
  uint64_t next = 1;
  std::string aborted;

  Message add(unsigned from, unsigned to, uint32_t tag, bool sends, void *data, uint64_t bytes);
};

Message InProcessWorld::Implementation::add(unsigned from, unsigned to, uint32_t tag, bool sends, void *data, uint64_t bytes) {
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
    messages[wanted.number] = {State::WrongSize, "rank " + std::to_string(to) + ": wants " + std::to_string(wanted.bytes) + " bytes from rank " +
                                                     std::to_string(from) + ", got " + std::to_string(sent.bytes)};
    return message;
  }
  if (sent.bytes)
    std::memcpy(wanted.data, sent.data, sent.bytes);
  messages[wanted.number].first = State::Done;
  return message;
}

namespace hadal {
class InProcessComm final : public Comm {
public:
  InProcessComm(InProcessWorld::Implementation &world, unsigned number) : world(world), number(number) {}

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
std::unique_ptr<Comm> InProcessWorld::comm(unsigned rank) { return std::make_unique<InProcessComm>(*self, rank); }
