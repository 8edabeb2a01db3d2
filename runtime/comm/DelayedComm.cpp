//===- DelayedComm.cpp - a slow link, for tests and measurements ----------===//

#include "runtime/comm/DelayedComm.h"

#include <vector>

using namespace hadal;

Result<Message> DelayedComm::send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) {
  std::lock_guard lock(mutex);
  if (to == rank()) { // over no link
    begun[next] = HADAL_TRY(inner->send(to, tag, data, bytes));
    return Message{next++};
  }
  held.push_back(
      {Clock::now() + delay, next, [=, this] { return inner->send(to, tag, data, bytes); }});
  return Message{next++};
}

Result<Message> DelayedComm::receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) {
  std::lock_guard lock(mutex);
  begun[next] = HADAL_TRY(inner->receive(from, tag, data, bytes));
  return Message{next++};
}

Result<Message> DelayedComm::reduce(std::span<const unsigned> ranks, unsigned root,
                                    ElementType element, void *data, int64_t elements,
                                    const Addition &add) {
  HADAL_TRY(checkReduction(ranks, root, element, elements));
  std::lock_guard lock(mutex);
  // The root's part too: reductions over the same ranks keep their order.
  held.push_back({Clock::now() + delay, next,
                  [=, this, ranks = std::vector<unsigned>(ranks.begin(), ranks.end())] {
                    return inner->reduce(ranks, root, element, data, elements, add);
                  }});
  return Message{next++};
}

Status DelayedComm::beginWhatIsDue() {
  auto now = Clock::now();
  while (!held.empty() && held.front().due <= now) {
    Held one = std::move(held.front());
    held.pop_front();
    begun[one.number] = HADAL_TRY(one.begin());
  }
  return {};
}

Result<bool> DelayedComm::test(Message message) {
  std::lock_guard lock(mutex);
  HADAL_TRY(beginWhatIsDue());
  auto found = begun.find(message.number);
  if (found == begun.end())
    return false;
  bool done = HADAL_TRY(inner->test(found->second));
  if (done)
    begun.erase(found);
  return done;
}
