//===- Gather.cpp - small things that all ranks send each other -----------===//

#include "runtime/ranks/Gather.h"

#include "runtime/comm/Activity.h"
#include "runtime/ranks/Tags.h"

#include <nlohmann/json.hpp>

#include <optional>

using namespace hadal;

Status hadal::sendNow(Comm &comm, unsigned to, uint32_t tag, const void *data, uint64_t bytes,
                      Comm::Seconds timeout, const std::string &what) {
  Activity::set("%s: sends to rank %u", what.c_str(), to);
  Message message = HADAL_TRY(comm.send(to, tag, data, bytes));
  return comm.wait(message, timeout, to, [&] { return what; });
}

Status hadal::receiveNow(Comm &comm, unsigned from, uint32_t tag, void *data, uint64_t bytes,
                         Comm::Seconds timeout, const std::string &what) {
  Activity::set("%s: waits for rank %u", what.c_str(), from);
  Message message = HADAL_TRY(comm.receive(from, tag, data, bytes));
  return comm.wait(message, timeout, from, [&] { return what; });
}

static Status sendText(Comm &comm, unsigned to, StepTag tag, const std::string &text,
                       Comm::Seconds timeout, const std::string &what) {
  uint64_t length = text.size();
  HADAL_TRY(sendNow(comm, to, stepTag(tag), &length, sizeof length, timeout, what));
  return sendNow(comm, to, stepTag(tag), text.data(), length, timeout, what);
}

static Result<std::string> receiveText(Comm &comm, unsigned from, StepTag tag,
                                       Comm::Seconds timeout, const std::string &what) {
  uint64_t length = 0;
  HADAL_TRY(receiveNow(comm, from, stepTag(tag), &length, sizeof length, timeout, what));
  std::string text(length, 0);
  HADAL_TRY(receiveNow(comm, from, stepTag(tag), text.data(), length, timeout, what));
  return text;
}

Result<std::vector<std::string>> hadal::gatherAtFirst(Comm &comm, const std::string &mine,
                                                      Comm::Seconds timeout,
                                                      const std::string &what) {
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

Result<std::vector<std::string>> hadal::gatherAll(Comm &comm, const std::string &mine,
                                                  Comm::Seconds timeout, const std::string &what) {
  std::vector<std::string> all = HADAL_TRY(gatherAtFirst(comm, mine, timeout, what));
  // Lengths, then the texts one after another.
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

Status hadal::agree(Comm &comm, const Status &mine, Comm::Seconds timeout,
                    const std::string &what) {
  std::string text =
      mine.ok() ? "" : std::string(1, char(mine.error().code)) + mine.error().message;
  std::vector<std::string> all =
      HADAL_TRY(gatherAll(comm, text.empty() && !mine.ok() ? " " : text, timeout, what));
  for (unsigned rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty())
      return Error{ErrorCode(all[rank][0]),
                   (rank ? "rank " + std::to_string(rank) + ": " : "") + all[rank].substr(1)};
  return {};
}

namespace {
using Json = nlohmann::json;

std::string pack(const Status &status, const std::vector<Fact> &facts) {
  Json json = {{"failed", !status.ok()}, {"facts", Json::array()}};
  if (!status.ok()) {
    json["code"] = int(status.error().code);
    json["message"] = status.error().message;
  }
  for (const Fact &fact : facts)
    json["facts"].push_back({fact.name, fact.value, fact.isShown});
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The error of a rank that did not work, out of what it said.
std::optional<Error> errorOf(unsigned rank, const Json &said) {
  if (!said["failed"])
    return std::nullopt;
  return Error{ErrorCode(said["code"].get<int>()),
               (rank ? "rank " + std::to_string(rank) + ": " : "") +
                   said["message"].get<std::string>()};
}

std::string told(const std::string &name, const std::string &value) {
  return value.empty() ? "no " + name : name + " " + value;
}

/// Where the facts of `rank` differ from those of rank 0; empty where they do not.
std::string difference(unsigned rank, const Json &theirs, const Json &first) {
  std::string who = "rank " + std::to_string(rank) + " has ";
  if (theirs.size() != first.size())
    return who + "another command than rank 0";
  for (size_t i = 0; i < first.size(); ++i) {
    if (theirs[i] == first[i])
      continue;
    auto name = first[i][0].get<std::string>();
    if (theirs[i][0] != first[i][0] || !first[i][2].get<bool>())
      return who + name + " other than rank 0";
    return who + told(name, theirs[i][1].get<std::string>()) + ", rank 0 has " +
           told(name, first[i][1].get<std::string>());
  }
  return {};
}

/// What rank 0 finds in what all say.
Status verdict(const std::vector<std::string> &all) {
  std::vector<Json> said;
  for (const std::string &text : all)
    said.push_back(Json::parse(text, nullptr, false));
  for (unsigned rank = 0; rank < said.size(); ++rank)
    if (auto error = errorOf(rank, said[rank]))
      return *error;
  for (unsigned rank = 1; rank < said.size(); ++rank)
    if (std::string text = difference(rank, said[rank]["facts"], said[0]["facts"]); !text.empty())
      return invalidArgument(text);
  return {};
}
} // namespace

Result<Status> hadal::compare(Comm &comm, const Status &mine, const std::vector<Fact> &facts,
                              Comm::Seconds timeout, const std::string &what) {
  std::vector<std::string> all = HADAL_TRY(gatherAtFirst(comm, pack(mine, facts), timeout, what));
  if (comm.rank() != 0) {
    Json said = Json::parse(HADAL_TRY(receiveText(comm, 0, StepTag::Scatter, timeout, what)),
                            nullptr, false);
    auto error = errorOf(0, said);
    return error ? Status(*error) : Status();
  }
  Status found = verdict(all);
  for (unsigned rank = 1; rank < comm.size(); ++rank)
    HADAL_TRY(sendText(comm, rank, StepTag::Scatter, pack(found, {}), timeout, what));
  return found;
}
