#include "runtime/parallel/Gather.h"

#include "runtime/comm/Activity.h"
#include "runtime/parallel/Tags.h"

using namespace hadal;

Status hadal::sendNow(Comm &comm, unsigned to, uint32_t tag, const void *data, uint64_t bytes, Comm::Seconds timeout, const std::string &what) {
  Activity::set("%s: sends to rank %u", what.c_str(), to);
  Message message = HADAL_TRY(comm.send(to, tag, data, bytes));
  return comm.wait(message, timeout, to, [&] { return what; });
}

Status hadal::receiveNow(Comm &comm, unsigned from, uint32_t tag, void *data, uint64_t bytes, Comm::Seconds timeout, const std::string &what) {
  Activity::set("%s: waits for rank %u", what.c_str(), from);
  Message message = HADAL_TRY(comm.receive(from, tag, data, bytes));
  return comm.wait(message, timeout, from, [&] { return what; });
}

static Status sendText(Comm &comm, unsigned to, StepTag tag, const std::string &text, Comm::Seconds timeout, const std::string &what) {
  uint64_t length = text.size();
  HADAL_TRY(sendNow(comm, to, stepTag(tag), &length, sizeof length, timeout, what));
  return sendNow(comm, to, stepTag(tag), text.data(), length, timeout, what);
}

static Result<std::string> receiveText(Comm &comm, unsigned from, StepTag tag, Comm::Seconds timeout, const std::string &what) {
  uint64_t length = 0;
  HADAL_TRY(receiveNow(comm, from, stepTag(tag), &length, sizeof length, timeout, what));
  std::string text(length, 0);
  HADAL_TRY(receiveNow(comm, from, stepTag(tag), text.data(), length, timeout, what));
  return text;
}

Result<std::vector<std::string>> hadal::gatherAtFirst(Comm &comm, const std::string &mine, Comm::Seconds timeout, const std::string &what) {
  std::vector<std::string> all(comm.size());
  if (comm.rank() != 0) {
    HADAL_TRY(sendText(comm, 0, StepTag::Gather, mine, timeout, what));
    return all;
  }
  all[0] = mine;
  for (unsigned rank = 1; rank < comm.size(); ++rank)
    all[rank] = HADAL_TRY(receiveText(comm, rank, StepTag::Gather, timeout, what));
  return all;
}

Result<std::vector<std::string>> hadal::gatherAll(Comm &comm, const std::string &mine, Comm::Seconds timeout, const std::string &what) {
  std::vector<std::string> all = HADAL_TRY(gatherAtFirst(comm, mine, timeout, what));
  // Lengths, then the texts behind each other.
  std::vector<uint64_t> lengths(comm.size());
  std::string joined;
  if (comm.rank() == 0)
    for (unsigned rank = 0; rank < comm.size(); ++rank) {
      lengths[rank] = all[rank].size();
      joined += all[rank];
    }
  uint64_t lengthBytes = lengths.size() * sizeof(uint64_t);
  uint32_t tag = stepTag(StepTag::Scatter);
  if (comm.rank() == 0) {
    std::vector<std::pair<unsigned, Message>> open;
    for (unsigned rank = 1; rank < comm.size(); ++rank) {
      open.push_back({rank, HADAL_TRY(comm.send(rank, tag, lengths.data(), lengthBytes))});
      open.push_back({rank, HADAL_TRY(comm.send(rank, tag, joined.data(), joined.size()))});
    }
    for (auto [rank, message] : open)
      HADAL_TRY(comm.wait(message, timeout, rank, [&] { return what; }));
    return all;
  }
  HADAL_TRY(receiveNow(comm, 0, tag, lengths.data(), lengthBytes, timeout, what));
  uint64_t total = 0;
  for (uint64_t length : lengths)
    total += length;
  joined.resize(total);
  HADAL_TRY(receiveNow(comm, 0, tag, joined.data(), total, timeout, what));
  uint64_t at = 0;
  for (unsigned rank = 0; rank < comm.size(); ++rank) {
    all[rank] = joined.substr(at, lengths[rank]);
    at += lengths[rank];
  }
  return all;
}

Status hadal::agree(Comm &comm, const Status &mine, Comm::Seconds timeout, const std::string &what) {
  std::string text = mine.ok() ? "" : std::string(1, char(mine.error().code)) + mine.error().message;
  std::vector<std::string> all = HADAL_TRY(gatherAll(comm, text.empty() && !mine.ok() ? " " : text, timeout, what));
  for (unsigned rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty())
      return Error{ErrorCode(all[rank][0]), (rank ? "rank " + std::to_string(rank) + ": " : "") + all[rank].substr(1)};
  return {};
}
