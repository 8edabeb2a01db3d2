#include "runtime/comm/DelayedComm.h"

using namespace hadal;

Result<Message> DelayedComm::send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) {
  std::lock_guard lock(mutex);
  if (to == rank()) { // over no link
    sent[next] = HADAL_TRY(inner->send(to, tag, data, bytes));
    return Message{next++};
  }
  held.push_back({Clock::now() + delay, next, to, tag, data, bytes});
  return Message{next++};
}

Result<Message> DelayedComm::receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) {
  std::lock_guard lock(mutex);
  sent[next] = HADAL_TRY(inner->receive(from, tag, data, bytes));
  return Message{next++};
}

Status DelayedComm::sendWhatIsDue() {
  auto now = Clock::now();
  while (!held.empty() && held.front().due <= now) {
    Held message = held.front();
    held.pop_front();
    sent[message.number] = HADAL_TRY(inner->send(message.to, message.tag, message.data, message.bytes));
  }
  return {};
}

Result<bool> DelayedComm::test(Message message) {
  std::lock_guard lock(mutex);
  HADAL_TRY(sendWhatIsDue());
  auto found = sent.find(message.number);
  if (found == sent.end())
    return false;
  bool done = HADAL_TRY(inner->test(found->second));
  if (done)
    sent.erase(found);
  return done;
}
