// What a step, or a program of inference, computes, as one number. Written without a look at
// runtime/module/RankColumn and Dataflow: ranks take turns, an item of the order ends before the
// next begins, and called programs run launch by launch over slots that hold hashes for numbers.

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
  explicit Machine(const fb::Module &module)
      : module(module), table(module.training() ? module.training()->ranks() : nullptr) {}

  /// A program of inference, on one rank that stands for all.
  std::optional<uint64_t> run(const fb::InferenceProgram &shared) {
    all.resize(1);
    beginPrograms(0, {shared.program()}, {0, 0, 0, 0, 0, 0, 0, nullptr});
    while (turnLanes(all[0])) {
    }
    if (!all[0].lanes.empty())
      return std::nullopt;
    uint64_t sum = 1;
    for (uint32_t output : *shared.outputs()) {
      std::string name =
          module.programs()->Get(shared.program())->arguments()->Get(output)->name()->str();
      sum = mix(mix(sum, name), all[0].values[{0, 0, 0}][name]);
    }
    return mixStates(sum, 0);
  }

  std::optional<uint64_t> run() {
    const fb::Ranks &ranks = *table;
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
      sum = mixStates(sum, rank);
    }
    for (const fb::Stage *stage : *ranks.stages()) { // in any order: each sum goes to its parameter
      uint64_t goals = 0;
      for (const fb::Accumulator *a : *stage->accumulators()) {
        uint64_t goal =
            mix(mix(mix(23, a->state()->string_view()), uint64_t(a->trainable())), a->use());
        if (a->segment_owners())
          for (uint32_t owner : *a->segment_owners())
            goal = mix(goal, owner);
        goals += goal;
      }
      sum = mix(sum, goals);
    }
    return sum;
  }

private:
  /// One program on one stream, after what must have ended before.
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

  uint64_t mixStates(uint64_t sum, uint32_t rank) const {
    for (const auto &[state, value] : all[rank].states)
      sum = mix(mix(mix(sum, rank), state.second + 1000 * state.first), value);
    return sum;
  }

  bool turn(uint32_t number) {
    const fb::Ranks &ranks = *table;
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
    return turnLanes(rank);
  }

  bool turnLanes(Rank &rank) {
    uint32_t number = uint32_t(&rank - all.data());
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
    const fb::Ranks &ranks = *table;
    uint32_t stage = stageOf(ranks, number, chunk.direction());
    const fb::Stage &table = *ranks.stages()->Get(stage);
    uint32_t programs[] = {table.forward(), table.input_grad(), table.weight_grad()};
    std::vector<uint32_t> parts;
    switch (chunk.kind()) {
    case fb::ChunkKind_Forward: parts = {0}; break;
    case fb::ChunkKind_Backward: parts = {1, 2}; break;
    case fb::ChunkKind_InputGrad: parts = {1}; break;
    case fb::ChunkKind_WeightGrad: parts = {2}; break;
    }
    std::vector<uint32_t> numbers;
    for (uint32_t part : parts)
      numbers.push_back(programs[part]);
    beginPrograms(
        number, numbers,
        {chunk.direction(), chunk.micro_batch(), stage, parts[0], 0, 0, all[number].at, nullptr});
  }

  /// Programs one after the other on both streams; their parts count up from the first one's.
  void beginPrograms(uint32_t number, const std::vector<uint32_t> &programs, const Lane &like) {
    Rank &rank = all[number];
    std::vector<std::map<uint32_t, bool> *> events;
    for (size_t i = 0; i < programs.size(); ++i)
      events.push_back(&rank.events.emplace_back());
    for (uint32_t stream : {0u, 1u}) {
      std::deque<Lane> lanes;
      for (size_t i = 0; i < programs.size(); ++i) {
        Lane lane = like;
        lane.part += uint32_t(i), lane.program = programs[i], lane.stream = stream,
                                  lane.events = events[i];
        lanes.push_back(lane);
      }
      rank.lanes.push_back(std::move(lanes));
    }
  }

  uint64_t way(const Lane &lane) const {
    return table && table->schedule()->string_view() == "dualpipe" ? lane.direction : 0;
  }
  const fb::Program &programOf(const Lane &lane) const {
    return *module.programs()->Get(lane.program);
  }

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
    auto nameOf = [&](uint32_t argument) {
      return programOf(lane).arguments()->Get(argument)->name()->str();
    };
    auto valueOf = [&](uint32_t argument) {
      auto at = values.find(nameOf(argument));
      return at == values.end()
                 ? mix(mix(mix(7, lane.direction), lane.microBatch), nameOf(argument))
                 : at->second;
    };
    if (const fb::Wait *wait = command.action_as_Wait()) {
      if (!lane.events->count(wait->event()))
        return false;
    } else if (const fb::Record *record = command.action_as_Record()) {
      (*lane.events)[record->event()] = true;
    } else if (const fb::Send *send = command.action_as_Send()) {
      messages[{lane.stage, send->stage(), way(lane), lane.part, lane.microBatch}].push_back(
          valueOf(send->argument()));
    } else if (const fb::Receive *receive = command.action_as_Receive()) {
      auto &queue = messages[{receive->stage(), lane.stage, way(lane), lane.part, lane.microBatch}];
      if (queue.empty())
        return false;
      values[nameOf(receive->argument())] = queue.front();
      queue.pop_front();
    } else if (const fb::ExchangeCounts *counts = command.action_as_ExchangeCounts()) {
      uint64_t hash =
          mix(mix(mix(mix(11, valueOf(counts->send())), counts->parts()), counts->segments()),
              counts->stride());
      values[nameOf(counts->receive())] = hash;
    } else if (const fb::Exchange *exchange = command.action_as_Exchange()) {
      uint64_t hash = mix(
          mix(mix(mix(13, valueOf(exchange->source())), exchange->parts()), exchange->segments()),
          exchange->stride());
      hash =
          mix(mix(mix(hash, valueOf(exchange->send_counts())), valueOf(exchange->receive_counts())),
              exchange->row_bytes());
      values[nameOf(exchange->destination())] = hash;
    } else if (const fb::Call *call = command.action_as_Call()) {
      this->call(number, lane, *call, values, valueOf, nameOf);
    }
    ++lane.next;
    return true;
  }

  template <typename Values, typename ValueOf, typename NameOf>
  void call(uint32_t number, const Lane &lane, const fb::Call &call, Values &values,
            const ValueOf &valueOf, const NameOf &nameOf) {
    const fb::Program &callee = *module.programs()->Get(call.program());
    Called called{
        callee,        {}, {}, std::vector<uint64_t>(callee.slot_count(), 19), all[number].states,
        lane.direction};
    for (const fb::Expr *value : *call.registers())
      called.registers.push_back(ofExpr(*value, [&](int64_t r) {
        return mix(29, programOf(lane).registers()->Get(uint32_t(r))->string_view());
      }));
    for (uint32_t i = 0; i < call.arguments()->size(); ++i) {
      const fb::Binding &binding = *call.arguments()->Get(i);
      bool isState = binding.space() == fb::Space_State;
      called.arguments.push_back(isState ? all[number].states[{lane.direction, binding.index()}]
                                 : callee.arguments()->Get(i)->output() ? 31
                                                                        : valueOf(binding.index()));
    }
    for (const fb::Command *command : *callee.commands())
      run(called, *command);
    for (uint32_t i = 0; i < call.arguments()->size(); ++i) {
      const fb::Binding &binding = *call.arguments()->Get(i);
      if (!callee.arguments()->Get(i)->output())
        continue;
      if (binding.space() == fb::Space_Argument)
        values[nameOf(binding.index())] = called.arguments[i];
      if (binding.space() == fb::Space_State)
        all[number].states[{lane.direction, binding.index()}] = called.arguments[i];
    }
  }

  using States = std::map<std::pair<uint32_t, uint32_t>, uint64_t>;
  /// A called program while it runs: hashes for numbers.
  struct Called {
    const fb::Program &program;
    std::vector<uint64_t> registers, arguments, slots;
    States &states;
    uint32_t direction;
  };

  template <typename Register> static uint64_t ofExpr(const fb::Expr &expr, Register registerAt) {
    uint64_t hash = 37;
    for (uint32_t i = 0; i + 1 < expr.code()->size(); i += 2) {
      int64_t op = expr.code()->Get(i), operand = expr.code()->Get(i + 1);
      hash = mix(mix(hash, uint64_t(op)), op == 1 ? registerAt(operand) : uint64_t(operand));
    }
    return hash;
  }
  static uint64_t ofExpr(const Called &called, const fb::Expr &expr) {
    return ofExpr(expr, [&](int64_t r) { return called.registers[size_t(r)]; });
  }

  /// What a binding's memory holds; null for what is only read.
  uint64_t *memoryOf(Called &called, const fb::Binding &binding) const {
    switch (binding.space()) {
    case fb::Space_Temporary:
      return &called.slots[called.program.temporaries()->Get(binding.index())->slot()];
    case fb::Space_Argument: return &called.arguments[binding.index()];
    case fb::Space_State: return &called.states[{called.direction, binding.index()}];
    default: return nullptr;
    }
  }

  uint64_t placeOf(const Called &called, const fb::Binding &binding) const {
    uint64_t hash = mix(ofExpr(called, *binding.element()), ofExpr(called, *binding.offset()));
    bool isNamed = binding.space() == fb::Space_Parameter || binding.space() == fb::Space_Weight ||
                   binding.space() == fb::Space_Constant;
    return isNamed ? mix(mix(hash, binding.space()), binding.index()) : hash;
  }

  void run(Called &called, const fb::Command &command) const {
    if (const fb::Copy *copy = command.action_as_Copy()) {
      uint64_t *to = memoryOf(called, *copy->destination()),
               *from = memoryOf(called, *copy->source());
      uint64_t hash =
          mix(mix(41, ofExpr(called, *copy->bytes())), placeOf(called, *copy->source()));
      if (to)
        *to = mix(hash, from ? *from : 0);
    } else if (const fb::Repeat *repeat = command.action_as_Repeat()) {
      called.registers[repeat->register_()] = mix(43, ofExpr(called, *repeat->count()));
      for (int round = 0; round < 2; ++round)
        for (const fb::Command *inner : *repeat->body())
          run(called, *inner);
    } else if (const fb::Launch *launch = command.action_as_Launch()) {
      const fb::Kernel &kernel = *module.kernels()->Get(launch->kernel());
      uint64_t hash =
          mix(mix(47, kernel.symbol()->string_view()), ofExpr(called, *launch->tasks()));
      for (const fb::Expr *scalar : *launch->scalars())
        hash = mix(hash, ofExpr(called, *scalar));
      auto accessOf = [&](uint32_t i) {
        return kernel.buffers() && kernel.buffers()->size() ? kernel.buffers()->Get(i)->access()
                                                            : fb::Access_Update;
      };
      for (uint32_t i = 0; i < launch->bindings()->size(); ++i) {
        const uint64_t *memory = memoryOf(called, *launch->bindings()->Get(i));
        hash = mix(mix(hash, placeOf(called, *launch->bindings()->Get(i))),
                   memory && accessOf(i) != fb::Access_Write ? *memory : 0);
      }
      for (uint32_t i = 0; i < launch->bindings()->size(); ++i)
        if (uint64_t *memory = memoryOf(called, *launch->bindings()->Get(i));
            memory && accessOf(i) != fb::Access_Read)
          *memory = mix(hash, i);
    }
  }

  const fb::Module &module;
  const fb::Ranks *table; ///< null: inference
  std::vector<Rank> all;
  std::map<std::array<uint64_t, 5>, std::deque<uint64_t>> messages;
};

} // namespace

/// Which share of each parameter a rank has.
static uint64_t sharesOf(const fb::Inference &inference) {
  uint64_t sum = mix(mix(53, inference.ep()), inference.nodes());
  for (uint32_t parameter : *inference.sharded())
    sum += mix(59, parameter);
  return sum;
}

std::optional<uint64_t> fake::digest(const fb::Module &module) {
  if (!module.inference())
    return Machine(module).run();
  uint64_t sum = sharesOf(*module.inference());
  for (const fb::InferenceProgram *program : *module.inference()->programs()) {
    std::optional<uint64_t> one = Machine(module).run(*program);
    if (!one)
      return std::nullopt;
    sum = mix(sum, *one);
  }
  return sum;
}
