// What a step computes, as one number. Written without a look at runtime/module/RankColumn: ranks take turns, an item
// of the order ends before the next begins.

#include "test/schedule/Mutants.h"

#include "runtime/module/CheckRanks.h"

#include <array>
#include <deque>
#include <set>

using namespace hadal;

namespace {

uint64_t mix(uint64_t a, uint64_t b) {
  a ^= b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2);
  a *= 0xff51afd7ed558ccdu;
  return a ^ a >> 32;
}

uint64_t mix(uint64_t a, std::string_view text) {
  for (char c : text)
    a = mix(a, uint64_t(static_cast<unsigned char>(c)));
  return a;
}

class Machine {
public:
  explicit Machine(const fb::Module &module) : module(module), ranks(*module.training()->ranks()) {}

  std::optional<uint64_t> run() {
    for (const fb::Stage *stage : *ranks.stages())
      for (const fb::Accumulator *a : *stage->accumulators())
        sums.insert(a->state()->str());
    all.resize(ranks.pp());
    for (bool moved = true; moved;) {
      moved = false;
      for (uint32_t rank = 0; rank < ranks.pp(); ++rank)
        while (turn(rank))
          moved = true;
    }
    uint64_t sum = 1;
    for (uint32_t rank = 0; rank < ranks.pp(); ++rank) {
      if (all[rank].at != ranks.orders()->Get(rank)->chunks()->size() || !all[rank].lanes.empty())
        return std::nullopt;
      for (const auto &[state, value] : all[rank].states)
        sum = mix(mix(mix(sum, rank), state.second + 1000 * state.first), value);
    }
    return sum;
  }

private:
  /// One program on one stream, behind what must have ended before.
  struct Lane {
    uint32_t direction, microBatch, stage, part, program, stream, chunk;
    std::map<uint32_t, bool> *events;
    uint32_t next = 0;
  };
  struct Rank {
    uint32_t at = 0;
    std::vector<std::deque<Lane>> lanes; ///< side by side; each deque in order
    std::deque<std::map<uint32_t, bool>> events;
    std::map<std::array<uint64_t, 3>, std::map<std::string, uint64_t>> values;
    std::map<std::pair<uint32_t, uint32_t>, uint64_t> states; ///< by direction and number
  };

  bool turn(uint32_t number) {
    Rank &rank = all[number];
    const auto &chunks = *ranks.orders()->Get(number)->chunks();
    if (rank.lanes.empty()) {
      if (rank.at == chunks.size())
        return false;
      for (bool more = true; more; ++rank.at) {
        begin(number, *chunks.Get(rank.at));
        more = chunks.Get(rank.at)->paired() && rank.at + 1 < chunks.size();
      }
      return true;
    }
    for (auto &lanes : rank.lanes)
      if (!lanes.empty() && step(number, lanes.front())) {
        while (!lanes.empty() && isDone(lanes.front()))
          lanes.pop_front();
        std::erase_if(rank.lanes, [](const auto &l) { return l.empty(); });
        return true;
      }
    // Programs without commands on a stream.
    size_t before = rank.lanes.size();
    for (auto &lanes : rank.lanes)
      while (!lanes.empty() && isDone(lanes.front()))
        lanes.pop_front();
    std::erase_if(rank.lanes, [](const auto &l) { return l.empty(); });
    return rank.lanes.size() != before;
  }

  void begin(uint32_t number, const fb::Chunk &chunk) {
    Rank &rank = all[number];
    uint32_t stage = stageOf(ranks, number, chunk.direction());
    const fb::Stage &table = *ranks.stages()->Get(stage);
    uint32_t programs[] = {table.forward(), table.input_grad(), table.weight_grad()};
    std::vector<uint32_t> parts;
    switch (chunk.kind()) {
    case fb::ChunkKind_Forward:
      parts = {0};
      break;
    case fb::ChunkKind_Backward:
      parts = {1, 2};
      break;
    case fb::ChunkKind_InputGrad:
      parts = {1};
      break;
    case fb::ChunkKind_WeightGrad:
      parts = {2};
      break;
    }
    std::vector<std::map<uint32_t, bool> *> events;
    for (size_t i = 0; i < parts.size(); ++i)
      events.push_back(&rank.events.emplace_back());
    for (uint32_t stream : {0u, 1u}) {
      std::deque<Lane> lanes;
      for (size_t i = 0; i < parts.size(); ++i)
        lanes.push_back(
            {chunk.direction(), chunk.micro_batch(), stage, parts[i], programs[parts[i]], stream, rank.at, events[i]});
      rank.lanes.push_back(std::move(lanes));
    }
  }

  uint64_t way(const Lane &lane) const { return ranks.schedule()->string_view() == "dualpipe" ? lane.direction : 0; }
  const fb::Program &programOf(const Lane &lane) const { return *module.programs()->Get(lane.program); }

  /// Moves over commands of the other stream.
  bool isDone(Lane &lane) const {
    const auto &commands = *programOf(lane).commands();
    while (lane.next < commands.size() && commands.Get(lane.next)->stream() != lane.stream)
      ++lane.next;
    return lane.next == commands.size();
  }

  bool step(uint32_t number, Lane &lane) {
    if (isDone(lane))
      return false;
    const fb::Command &command = *programOf(lane).commands()->Get(lane.next);
    auto &values = all[number].values[{lane.direction, lane.stage, lane.microBatch}];
    auto nameOf = [&](uint32_t argument) { return programOf(lane).arguments()->Get(argument)->name()->str(); };
    auto valueOf = [&](uint32_t argument) {
      auto at = values.find(nameOf(argument));
      return at == values.end() ? mix(mix(mix(7, lane.direction), lane.microBatch), nameOf(argument)) : at->second;
    };
    if (const fb::Wait *wait = command.action_as_Wait()) {
      if (!lane.events->count(wait->event()))
        return false;
    } else if (const fb::Record *record = command.action_as_Record()) {
      (*lane.events)[record->event()] = true;
    } else if (const fb::Send *send = command.action_as_Send()) {
      messages[{lane.stage, send->stage(), way(lane), lane.part, lane.microBatch}].push_back(valueOf(send->argument()));
    } else if (const fb::Receive *receive = command.action_as_Receive()) {
      auto &queue = messages[{receive->stage(), lane.stage, way(lane), lane.part, lane.microBatch}];
      if (queue.empty())
        return false;
      values[nameOf(receive->argument())] = queue.front();
      queue.pop_front();
    } else if (const fb::ExchangeCounts *counts = command.action_as_ExchangeCounts()) {
      uint64_t hash =
          mix(mix(mix(mix(11, valueOf(counts->send())), counts->parts()), counts->segments()), counts->stride());
      values[nameOf(counts->receive())] = hash;
    } else if (const fb::Exchange *exchange = command.action_as_Exchange()) {
      uint64_t hash = mix(mix(mix(mix(13, valueOf(exchange->source())), exchange->parts()), exchange->segments()),
                          exchange->stride());
      hash = mix(mix(mix(hash, valueOf(exchange->send_counts())), valueOf(exchange->receive_counts())),
                 exchange->row_bytes());
      values[nameOf(exchange->destination())] = hash;
    } else if (const fb::Call *call = command.action_as_Call()) {
      this->call(number, lane, *call, values, valueOf, nameOf);
    }
    ++lane.next;
    return true;
  }

  template <typename Values, typename ValueOf, typename NameOf>
  void call(uint32_t number, const Lane &lane, const fb::Call &call, Values &values, const ValueOf &valueOf,
            const NameOf &nameOf) {
    const fb::Program &callee = *module.programs()->Get(call.program());
    uint64_t hash = mix(17, call.program());
    for (uint32_t i = 0; i < call.arguments()->size(); ++i)
      if (call.arguments()->Get(i)->space() == fb::Space_Argument && !callee.arguments()->Get(i)->output())
        hash = mix(hash, valueOf(call.arguments()->Get(i)->index()));
    for (uint32_t state : sumsOf(callee)) {
      uint64_t &sum = all[number].states[{lane.direction, state}];
      sum = mix(sum, hash);
    }
    for (uint32_t i = 0; i < call.arguments()->size(); ++i) {
      const fb::Binding &binding = *call.arguments()->Get(i);
      if (!callee.arguments()->Get(i)->output())
        continue;
      if (binding.space() == fb::Space_Argument)
        values[nameOf(binding.index())] = mix(hash, i);
      if (binding.space() == fb::Space_State) {
        uint64_t &state = all[number].states[{lane.direction, binding.index()}];
        state = mix(state, mix(hash, i));
      }
    }
  }

  /// Sums that a called program adds to by itself.
  std::vector<uint32_t> sumsOf(const fb::Program &callee) const {
    std::vector<uint32_t> found;
    for (const fb::Command *command : *callee.commands())
      if (const fb::Launch *launch = command->action_as_Launch())
        for (const fb::Binding *binding : *launch->bindings())
          if (binding->space() == fb::Space_State && sums.count(module.states()->Get(binding->index())->name()->str()))
            found.push_back(binding->index());
    return found;
  }

  const fb::Module &module;
  const fb::Ranks &ranks;
  std::set<std::string> sums;
  std::vector<Rank> all;
  std::map<std::array<uint64_t, 5>, std::deque<uint64_t>> messages;
};

} // namespace

std::optional<uint64_t> fake::digest(const fb::Module &module) { return Machine(module).run(); }
