#include "runtime/module/CheckRanks.h"

#include "runtime/Tensor.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hadal {

namespace {

constexpr uint64_t mostRanks = uint64_t(1) << 20;

std::string number(uint64_t value) { return std::to_string(value); }
bool isPowerOfTwo(int64_t value) { return value > 0 && (value & (value - 1)) == 0; }

/// Of a schedule's name; the number of stages for each pipeline rank, of directions, and of those that have micro-batches of their own.
struct ScheduleKind {
  unsigned stagesOfRank = 1, directions = 1, owners = 1;
};
bool kindOf(std::string_view schedule, ScheduleKind &kind) {
  if (schedule == "dualpipe")
    kind = {1, 2, 2};
  else if (schedule == "dualpipev")
    kind = {2, 2, 1};
  else if (schedule == "1f1b" || schedule == "zb1p")
    kind = {};
  else
    return false;
  return true;
}

/// The elements of a state; none where its shape depends on registers or is impossible.
std::optional<int64_t> elementsOf(const fb::State &state) {
  std::vector<int64_t> shape;
  for (const fb::Expr *e : *state.shape()) {
    if (e->code()->size() != 2 || e->code()->Get(0) != 0)
      return std::nullopt;
    shape.push_back(e->code()->Get(1));
  }
  return elementCount(shape);
}

class RanksChecker {
public:
  explicit RanksChecker(const fb::Module &module) : module(module), training(*module.training()), ranks(*module.training()->ranks()) {}
  Status run();

private:
  Status checkSizes();
  Status checkStage(unsigned number);
  Status checkAccumulator(const fb::Accumulator &accumulator);
  Status checkOrder(unsigned rank, const fb::Order &order);

  const fb::Module &module;
  const fb::Training &training;
  const fb::Ranks &ranks;
  ScheduleKind kind;
  int64_t microBatches = 0; ///< of an owner
  std::set<std::pair<int32_t, uint32_t>> uses;
};

Status RanksChecker::checkSizes() {
  uint64_t pp = ranks.pp(), ep = ranks.ep(), dp = ranks.dp();
  if (!pp || !ep || !dp || pp > mostRanks || ep > mostRanks || dp > mostRanks || pp * ep > mostRanks || pp * ep * dp > mostRanks)
    return invalidFile("the table of ranks has pp " + number(pp) + ", ep " + number(ep) + ", dp " + number(dp));
  if (!ranks.nodes() || ep % ranks.nodes())
    return invalidFile(number(ep) + " expert-parallel ranks on " + number(ranks.nodes()) + " nodes");
  if (!ranks.schedule() || !kindOf(ranks.schedule()->string_view(), kind))
    return invalidFile("unknown schedule '" + (ranks.schedule() ? ranks.schedule()->str() : "") + "'");
  if (kind.owners == 2 && pp % 2)
    return invalidFile("dualpipe wants an even number of pipeline ranks, has " + number(pp));
  int64_t owners = int64_t(kind.owners * ep * dp);
  if (!isPowerOfTwo(owners) || training.sum_groups() % owners)
    return invalidFile(number(uint64_t(training.sum_groups())) + " groups of micro-batches do not fall to " + number(uint64_t(owners)) + " owners");
  microBatches = training.micro_batches() / owners;
  if (!ranks.stages() || ranks.stages()->size() != pp * kind.stagesOfRank)
    return invalidFile("wants " + number(pp * kind.stagesOfRank) + " stages, has " + number(ranks.stages() ? ranks.stages()->size() : 0));
  if (!ranks.orders() || ranks.orders()->size() != pp)
    return invalidFile("wants " + number(pp) + " orders, has " + number(ranks.orders() ? ranks.orders()->size() : 0));
  for (auto *trainable : *training.trainables())
    if (trainable->sharded() && ep > 1 && trainable->name()->str().find("{}") == std::string::npos)
      return invalidFile("trainable parameter " + trainable->name()->str() + " is sharded without {} in its name");
  return {};
}

Status RanksChecker::checkAccumulator(const fb::Accumulator &accumulator) {
  if (!accumulator.state())
    return invalidFile("has an accumulator without a state");
  std::string name = accumulator.state()->str();
  const fb::State *state = nullptr;
  for (auto *one : *module.states())
    if (one->name()->string_view() == name)
      state = one;
  if (!state)
    return invalidFile("adds up in a state '" + name + "' that is not there");
  int32_t t = accumulator.trainable();
  if (t < -1 || t >= int64_t(training.trainables()->size()))
    return invalidFile("sums parameter " + std::to_string(t) + " of " + number(training.trainables()->size()));
  auto elements = elementsOf(*state);
  bool isSum = state->element() == fb::ElementType_F32 || (t < 0 && state->element() == fb::ElementType_I32);
  if (!elements || !isSum)
    return invalidFile("adds up in state '" + name + "', which is no sum");
  const fb::Trainable *trainable = t < 0 ? nullptr : training.trainables()->Get(t);
  if (trainable && trainable->correction())
    return invalidFile("sums a gradient of the routing bias " + trainable->name()->str());
  const auto *owners = accumulator.segment_owners();
  uint32_t segments = owners ? owners->size() : 0;
  if (segments) {
    std::set<uint32_t> distinct(owners->begin(), owners->end());
    if (segments != ranks.ep() || distinct.size() != segments || *distinct.rbegin() >= segments || !trainable || !trainable->sharded())
      return invalidFile("state '" + name + "' wants a segment for each of " + number(ranks.ep()) + " source ranks of a sharded parameter");
  } else if (trainable && trainable->sharded() && ranks.ep() > 1) {
    return invalidFile("state '" + name + "' sums a sharded parameter without segments");
  }
  if (!trainable)
    return {};
  int64_t wanted = trainable->packed_elements() * trainable->count();
  if (*elements / std::max<int64_t>(segments, 1) != wanted || *elements % std::max<int64_t>(segments, 1))
    return invalidFile("state '" + name + "' wants " + std::to_string(wanted) + " elements in each of " + number(std::max(segments, 1u)) +
                       " segments, has " + std::to_string(*elements));
  return {};
}

Status RanksChecker::checkStage(unsigned stageNumber) {
  const fb::Stage *stage = ranks.stages()->Get(stageNumber);
  if (!stage || !stage->accumulators())
    return invalidFile("is incomplete");
  std::map<std::string, const fb::Argument *> arguments;
  for (uint32_t program : {stage->forward(), stage->input_grad(), stage->weight_grad()}) {
    if (program >= module.programs()->size())
      return invalidFile("names program " + number(program) + " of " + number(module.programs()->size()));
    for (const fb::Argument *argument : *module.programs()->Get(program)->arguments()) {
      const fb::Argument *&known = arguments[argument->name()->str()];
      if (known && (known->element() != argument->element() || known->shape()->size() != argument->shape()->size()))
        return invalidFile("has two values named '" + argument->name()->str() + "'");
      known = argument;
    }
  }
  std::set<std::string> states;
  for (const fb::Accumulator *accumulator : *stage->accumulators()) {
    if (!accumulator)
      return invalidFile("is incomplete");
    HADAL_TRY(checkAccumulator(*accumulator));
    if (!states.insert(accumulator->state()->str()).second)
      return invalidFile("adds up twice in state '" + accumulator->state()->str() + "'");
    if (accumulator->trainable() >= 0 && !uses.insert({accumulator->trainable(), accumulator->use()}).second)
      return invalidFile("sums use " + number(accumulator->use()) + " of " + training.trainables()->Get(accumulator->trainable())->name()->str() +
                         ", which another sum is too");
  }
  return {};
}

/// Every micro-batch passes forward, input gradient and weight gradient once, and each of these in ascending order: sums rely on it.
Status RanksChecker::checkOrder(unsigned rank, const fb::Order &order) {
  if (!order.chunks())
    return invalidFile("is missing");
  std::vector<std::array<uint32_t, 3>> next(kind.directions, {0, 0, 0});
  for (uint32_t i = 0; i < order.chunks()->size(); ++i) {
    const fb::Chunk *chunk = order.chunks()->Get(i);
    if (!chunk || static_cast<unsigned>(chunk->kind()) > static_cast<unsigned>(fb::ChunkKind_MAX) || chunk->direction() >= kind.directions ||
        chunk->micro_batch() >= microBatches)
      return invalidFile("has an unknown chunk at " + number(i));
    std::string name = std::string(1, "FBIW"[chunk->kind()]) + number(chunk->direction()) + "." + number(chunk->micro_batch());
    if (chunk->paired() && (i + 1 == order.chunks()->size() || !order.chunks()->Get(i + 1) || order.chunks()->Get(i + 1)->paired()))
      return invalidFile(name + " is paired with nothing");
    auto &parts = next[chunk->direction()];
    unsigned first = chunk->kind() == fb::ChunkKind_Forward ? 0 : chunk->kind() == fb::ChunkKind_WeightGrad ? 2 : 1;
    unsigned last = chunk->kind() == fb::ChunkKind_Backward ? 2 : first;
    for (unsigned part = first; part <= last; ++part) {
      if (parts[part] != chunk->micro_batch() || (part && parts[part - 1] <= chunk->micro_batch()))
        return invalidFile(name + " at " + number(i) + " is out of order");
      ++parts[part];
    }
  }
  for (const auto &parts : next)
    for (uint32_t done : parts)
      if (done != microBatches)
        return invalidFile("has " + number(done) + " of " + std::to_string(microBatches) + " micro-batches");
  return {};
}

Status RanksChecker::run() {
  HADAL_TRY(checkSizes());
  for (unsigned i = 0; i < ranks.stages()->size(); ++i)
    if (Status status = checkStage(i); !status)
      return invalidFile("stage " + number(i) + " " + status.error().message);
  for (unsigned i = 0; i < ranks.orders()->size(); ++i) {
    if (!ranks.orders()->Get(i))
      return invalidFile("an order is missing");
    if (Status status = checkOrder(i, *ranks.orders()->Get(i)); !status)
      return invalidFile("the order of pipeline rank " + number(i) + " " + status.error().message);
  }
  return {};
}

} // namespace

std::set<uint32_t> chunkProgramsOf(const fb::Module &module) {
  std::set<uint32_t> programs;
  if (module.training() && module.training()->ranks() && module.training()->ranks()->stages())
    for (const fb::Stage *stage : *module.training()->ranks()->stages())
      if (stage)
        programs.insert({stage->forward(), stage->input_grad(), stage->weight_grad()});
  return programs;
}

Status checkChunkCommand(const fb::Module &module, const fb::Program &program, const fb::Command &command) {
  const fb::Ranks &ranks = *module.training()->ranks();
  auto argument = [&](uint32_t index) -> Status {
    if (index >= program.arguments()->size())
      return invalidFile("names value " + number(index) + " of " + number(program.arguments()->size()));
    return {};
  };
  auto counts = [&](uint32_t index) -> Status {
    HADAL_TRY(argument(index));
    if (program.arguments()->Get(index)->element() != fb::ElementType_I32)
      return invalidFile("takes '" + program.arguments()->Get(index)->name()->str() + "' for counts");
    return {};
  };
  auto parts = [&](uint64_t count, uint64_t segments, uint64_t stride) -> Status {
    if (!count || !segments || !stride || count > mostRanks || stride > mostRanks || segments > mostRanks || ranks.ep() % (count * stride) ||
        count * segments > mostRanks)
      return invalidFile("exchanges among " + number(count) + " parts of " + number(segments) + " segments, " + number(stride) + " apart, of " +
                         number(ranks.ep()) + " ranks");
    return {};
  };
  auto stage = [&](uint32_t index) -> Status {
    if (index >= ranks.stages()->size())
      return invalidFile("names stage " + number(index) + " of " + number(ranks.stages()->size()));
    return {};
  };
  unsigned stream = 1; // that the command belongs to
  switch (command.action_type()) {
  case fb::Action_Call:
    stream = 0;
    break;
  case fb::Action_Record:
  case fb::Action_Wait:
    if (command.stream() > 1)
      return invalidFile("is in stream " + number(command.stream()));
    return {};
  case fb::Action_Send:
    HADAL_TRY(argument(command.action_as_Send()->argument()));
    HADAL_TRY(stage(command.action_as_Send()->stage()));
    break;
  case fb::Action_Receive:
    HADAL_TRY(argument(command.action_as_Receive()->argument()));
    HADAL_TRY(stage(command.action_as_Receive()->stage()));
    break;
  case fb::Action_ExchangeCounts: {
    auto *exchange = command.action_as_ExchangeCounts();
    HADAL_TRY(counts(exchange->send()));
    HADAL_TRY(counts(exchange->receive()));
    HADAL_TRY(parts(exchange->parts(), exchange->segments(), exchange->stride()));
    if (exchange->rows() >= program.registers()->size() || exchange->choices() >= program.registers()->size())
      return invalidFile("sets registers " + number(exchange->rows()) + " and " + number(exchange->choices()) + " of " +
                         number(program.registers()->size()));
    break;
  }
  case fb::Action_Exchange: {
    auto *exchange = command.action_as_Exchange();
    HADAL_TRY(argument(exchange->destination()));
    HADAL_TRY(argument(exchange->source()));
    HADAL_TRY(counts(exchange->send_counts()));
    HADAL_TRY(counts(exchange->receive_counts()));
    HADAL_TRY(parts(exchange->parts(), exchange->segments(), exchange->stride()));
    if (exchange->row_bytes() == 0 || exchange->row_bytes() > (uint64_t(1) << 30))
      return invalidFile("exchanges rows of " + number(exchange->row_bytes()) + " bytes");
    break;
  }
  default:
    return invalidFile("is none of a chunk's");
  }
  if (command.stream() != stream)
    return invalidFile("is in stream " + number(command.stream()) + ", wants " + number(stream));
  return {};
}

Status checkRanks(const fb::Module &module) {
  const fb::Training &training = *module.training();
  if (!isPowerOfTwo(training.sum_groups()) || training.micro_batches() % training.sum_groups())
    return invalidFile(std::to_string(training.micro_batches()) + " micro-batches fall into " + std::to_string(training.sum_groups()) + " groups");
  return training.ranks() ? RanksChecker(module).run() : Status();
}

} // namespace hadal
