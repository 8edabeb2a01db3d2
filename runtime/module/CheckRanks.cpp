//===- CheckRanks.cpp - tables of a job of many ranks ---------------------===//

#include "runtime/module/CheckRanks.h"
#include "runtime/Tensor.h"
#include "runtime/module/StagePlaces.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace hadal {

static StagePlaces placesOf(const fb::Ranks &ranks) {
  return StagePlaces::of(ranks.schedule()->string_view(), ranks.pp());
}

uint32_t directionsOf(const fb::Ranks &ranks) { return placesOf(ranks).directions(); }

uint32_t stageOf(const fb::Ranks &ranks, uint32_t pp, uint32_t direction) {
  return placesOf(ranks).stageOf(pp, direction);
}

uint64_t ownersOf(const fb::Ranks &ranks) {
  return uint64_t(placesOf(ranks).ownerDirections()) * ranks.dp() * ranks.ep();
}

namespace {

class RanksChecker {
public:
  RanksChecker(const fb::Module &module, const fb::Ranks &ranks) : module(module), ranks(ranks) {}
  Status run();

private:
  Status checkSizes();
  Status checkStage(const fb::Stage &stage);
  Status checkSum(const fb::Accumulator &accumulator);
  Status checkChunkProgram(uint32_t number);
  Status checkCommand(const fb::Program &program, const fb::Command &command);
  Status checkOrder(const fb::Order *order, uint64_t microBatches);

  const fb::Module &module;
  const fb::Ranks &ranks;
};

bool isPowerOfTwo(int64_t value) { return value > 0 && (value & (value - 1)) == 0; }

Status RanksChecker::checkSizes() {
  if (!ranks.schedule() || !ranks.stages() || !ranks.orders())
    return invalidFile("is incomplete");
  for (uint32_t count : {ranks.pp(), ranks.ep(), ranks.dp(), ranks.nodes()})
    if (count == 0 || count > (1 << 20))
      return invalidFile("has impossible numbers of ranks");
  if (uint64_t(ranks.pp()) * ranks.ep() * ranks.dp() > (1 << 20) || ranks.ep() % ranks.nodes() != 0)
    return invalidFile("has impossible numbers of ranks");
  std::string_view name = ranks.schedule()->string_view();
  if (!isSchedule(name))
    return invalidFile("has a schedule '" + std::string(name) + "'");
  if (ranks.stages()->size() != placesOf(ranks).stages())
    return invalidFile("has " + std::to_string(ranks.stages()->size()) + " stages on " +
                       std::to_string(ranks.pp()) + " pipeline ranks");
  if (ranks.orders()->size() != ranks.pp())
    return invalidFile("has " + std::to_string(ranks.orders()->size()) + " orders for " +
                       std::to_string(ranks.pp()) + " pipeline ranks");
  if (name == "dualpipe" && ranks.pp() % 2 != 0)
    return invalidFile("has dualpipe on " + std::to_string(ranks.pp()) +
                       " pipeline ranks, an odd number");
  uint64_t owners = ownersOf(ranks), groups = uint64_t(module.training()->sum_groups());
  if (!isPowerOfTwo(int64_t(owners)) || groups % owners != 0)
    return invalidFile("cannot share " + std::to_string(groups) +
                       " groups of micro-batches among " + std::to_string(owners) + " owners");
  for (const fb::Trainable *trainable : *module.training()->trainables())
    if (trainable->sharded() && ranks.ep() > 1 &&
        trainable->name()->str().find("{}") == std::string::npos)
      return invalidFile("shards " + trainable->name()->str() + ", which has no {} in its name");
  return {};
}

Status RanksChecker::checkCommand(const fb::Program &program, const fb::Command &command) {
  bool marks =
      command.action_type() == fb::Action_Record || command.action_type() == fb::Action_Wait;
  uint32_t stream = command.action_type() == fb::Action_Call ? 0 : 1;
  if (command.stream() > 1 || (!marks && command.stream() != stream))
    return invalidFile("is on stream " + std::to_string(command.stream()) +
                       " of 2, which compute and communicate");
  switch (command.action_type()) {
  case fb::Action_Send:
    if (command.action_as_Send()->stage() >= ranks.stages()->size())
      return invalidFile("sends to stage " + std::to_string(command.action_as_Send()->stage()) +
                         " of " + std::to_string(ranks.stages()->size()));
    return {};
  case fb::Action_Receive:
    if (command.action_as_Receive()->stage() >= ranks.stages()->size())
      return invalidFile("receives from stage " +
                         std::to_string(command.action_as_Receive()->stage()) + " of " +
                         std::to_string(ranks.stages()->size()));
    if (!program.arguments()->Get(command.action_as_Receive()->argument())->output())
      return invalidFile("receives into an argument that is no output");
    return {};
  case fb::Action_ExchangeCounts:
  case fb::Action_Exchange: {
    auto *counts = command.action_as_ExchangeCounts();
    auto *exchange = command.action_as_Exchange();
    uint64_t parts = counts ? counts->parts() : exchange->parts(),
             stride = counts ? counts->stride() : exchange->stride();
    if (parts * stride > ranks.ep() || ranks.ep() % (parts * stride) != 0)
      return invalidFile("exchanges among " + std::to_string(parts) + " parts, " +
                         std::to_string(stride) + " apart, of " + std::to_string(ranks.ep()) +
                         " expert-parallel ranks");
    for (uint32_t list : {counts ? counts->send() : exchange->send_counts(),
                          counts ? counts->receive() : exchange->receive_counts()})
      if (program.arguments()->Get(list)->element() != fb::ElementType_I32)
        return invalidFile("takes counts from " + program.arguments()->Get(list)->name()->str() +
                           ", which is not I32");
    if (!program.arguments()->Get(counts ? counts->receive() : exchange->destination())->output())
      return invalidFile("exchanges into an argument that is no output");
    return {};
  }
  case fb::Action_Call:
  case fb::Action_Record:
  case fb::Action_Wait: return {};
  default: return invalidFile("is none that a chunk may have");
  }
}

Status RanksChecker::checkChunkProgram(uint32_t number) {
  if (number >= module.programs()->size())
    return invalidFile("names program " + std::to_string(number) + " of " +
                       std::to_string(module.programs()->size()));
  const fb::Program &program = *module.programs()->Get(number);
  for (uint32_t i = 0; i < program.commands()->size(); ++i)
    if (Status status = checkCommand(program, *program.commands()->Get(i)); !status)
      return invalidFile("program " + program.name()->str() + ", command " + std::to_string(i) +
                         " " + status.error().message);
  return {};
}

Status RanksChecker::checkStage(const fb::Stage &stage) {
  for (uint32_t program : {stage.forward(), stage.input_grad(), stage.weight_grad()})
    HADAL_TRY(checkChunkProgram(program));
  if (stage.layers() > (1 << 20) || stage.first_layer() > (1 << 20))
    return invalidFile("has impossible layers");
  if (!stage.accumulators())
    return invalidFile("is incomplete");
  std::set<std::string> states;
  for (const fb::Accumulator *a : *stage.accumulators()) {
    if (!a || !a->state())
      return invalidFile("has a malformed accumulator");
    Status status = checkSum(*a);
    if (status && !states.insert(a->state()->str()).second)
      status = invalidFile("stands there twice");
    if (!status)
      return invalidFile("accumulator " + a->state()->str() + " " + status.error().message);
  }
  return {};
}

/// The elements of a state; none where its shape depends on registers or is impossible.
static std::optional<int64_t> elementsOf(const fb::State &state) {
  std::vector<int64_t> shape;
  for (const fb::Expr *e : *state.shape()) {
    if (e->code()->size() != 2 || e->code()->Get(0) != 0)
      return std::nullopt;
    shape.push_back(e->code()->Get(1));
  }
  return elementCount(shape);
}

Status RanksChecker::checkSum(const fb::Accumulator &a) {
  const fb::State *state = nullptr;
  for (const fb::State *one : *module.states())
    if (one->name()->string_view() == a.state()->string_view())
      state = one;
  if (!state)
    return invalidFile("names no state");
  const auto &trainables = *module.training()->trainables();
  if (a.trainable() < -1 || a.trainable() >= int64_t(trainables.size()))
    return invalidFile("is of trainable parameter " + std::to_string(a.trainable()) + " of " +
                       std::to_string(trainables.size()));
  const fb::Trainable *trainable = a.trainable() < 0 ? nullptr : trainables.Get(a.trainable());
  std::optional<int64_t> elements = elementsOf(*state);
  bool isSum = state->element() == fb::ElementType_F32 ||
               (!trainable && state->element() == fb::ElementType_I32);
  if (!elements || !isSum || (trainable && trainable->correction()))
    return invalidFile("is no sum");
  int64_t segments = a.segment_owners() ? a.segment_owners()->size() : 0;
  bool sharded = trainable && trainable->sharded() && ranks.ep() > 1;
  if (segments > 0) {
    std::set<uint32_t> distinct(a.segment_owners()->begin(), a.segment_owners()->end());
    if (segments != ranks.ep() || int64_t(distinct.size()) != segments ||
        *distinct.rbegin() >= segments || !trainable || !trainable->sharded())
      return invalidFile("wants a segment for each of " + std::to_string(ranks.ep()) +
                         " source ranks of a sharded parameter");
  } else if (sharded) {
    return invalidFile("sums a sharded parameter without segments");
  }
  if (!trainable)
    return {};
  std::optional<int64_t> wanted = elementCount(std::vector<int64_t>{
      trainable->packed_elements(), int64_t(trainable->count()), std::max<int64_t>(segments, 1)});
  if (!wanted || *elements != *wanted)
    return invalidFile("wants " + (wanted ? std::to_string(*wanted) : "too many") +
                       " elements, has " + std::to_string(*elements));
  return {};
}

Status RanksChecker::checkOrder(const fb::Order *order, uint64_t microBatches) {
  if (!order || !order->chunks())
    return invalidFile("is missing");
  for (const fb::Chunk *chunk : *order->chunks())
    if (!chunk || static_cast<unsigned>(chunk->kind()) > static_cast<unsigned>(fb::ChunkKind_MAX) ||
        chunk->direction() >= directionsOf(ranks) || chunk->micro_batch() >= microBatches)
      return invalidFile("has a malformed chunk");
  for (uint32_t i = 0; i < order->chunks()->size(); ++i)
    if (order->chunks()->Get(i)->paired() &&
        (i + 1 == order->chunks()->size() || order->chunks()->Get(i + 1)->paired()))
      return invalidFile("has half a pair, or one of three");
  return {};
}

/// What talks to other ranks is for the runner of chunks alone.
static Status checkOthers(const fb::Module &module) {
  std::set<uint32_t> chunks;
  if (module.training() && module.training()->ranks())
    for (const fb::Stage *stage : *module.training()->ranks()->stages())
      chunks.insert({stage->forward(), stage->input_grad(), stage->weight_grad()});
  if (module.inference()) // which has been looked at
    for (const fb::InferenceProgram *program : *module.inference()->programs())
      chunks.insert(program->program());
  std::function<Status(const fb::Program &,
                       const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &, bool)>
      check = [&](const fb::Program &program, const auto &commands, bool isChunk) -> Status {
    for (const fb::Command *command : commands) {
      auto *call = command->action_as_Call();
      if (call && chunks.count(call->program()))
        return invalidFile("program " + program.name()->str() + " calls " +
                           module.programs()->Get(call->program())->name()->str() +
                           ", which is a stage's");
      if (!isChunk && command->action_type() >= fb::Action_Send)
        return invalidFile("program " + program.name()->str() +
                           " talks to other ranks, which only stages' programs do");
      if (auto *repeat = command->action_as_Repeat())
        HADAL_TRY(check(program, *repeat->body(), isChunk));
      if (auto *skip = command->action_as_SkipIfZero())
        HADAL_TRY(check(program, *skip->body(), isChunk));
    }
    return {};
  };
  for (uint32_t i = 0; i < module.programs()->size(); ++i)
    HADAL_TRY(check(*module.programs()->Get(i), *module.programs()->Get(i)->commands(),
                    chunks.count(i) != 0));
  return {};
}

Status RanksChecker::run() {
  HADAL_TRY(checkSizes());
  for (uint32_t i = 0; i < ranks.stages()->size(); ++i) {
    const fb::Stage *stage = ranks.stages()->Get(i);
    Status status = stage ? checkStage(*stage) : invalidFile("is missing");
    if (!status)
      return invalidFile("stage " + std::to_string(i) + ": " + status.error().message);
  }
  uint64_t microBatches = module.training()->micro_batches() / ownersOf(ranks);
  for (uint32_t i = 0; i < ranks.orders()->size(); ++i)
    if (Status status = checkOrder(ranks.orders()->Get(i), microBatches); !status)
      return invalidFile("the order of pipeline rank " + std::to_string(i) + " " +
                         status.error().message);
  return {};
}

} // namespace

Status checkRanks(const fb::Module &module) {
  if (!module.training())
    return checkOthers(module);
  const fb::Training &training = *module.training();
  if (!isPowerOfTwo(training.sum_groups()) || training.micro_batches() % training.sum_groups() != 0)
    return invalidFile("cannot sum " + std::to_string(training.micro_batches()) +
                       " micro-batches in " + std::to_string(training.sum_groups()) + " groups");
  Status status = training.ranks() ? RanksChecker(module, *training.ranks()).run() : Status();
  return status ? checkOthers(module)
                : invalidFile("the table of ranks: " + status.error().message);
}

uint32_t endOfItem(const fb::Order &order, uint32_t first) {
  return order.chunks()->Get(first)->paired() && first + 1 < order.chunks()->size() ? first + 2
                                                                                    : first + 1;
}

uint32_t endOfWindow(const fb::Order &order, uint32_t first, bool overlap) {
  auto isFiller = [&](uint32_t at) {
    return order.chunks()->Get(at)->kind() == fb::ChunkKind_WeightGrad;
  };
  uint32_t end = endOfItem(order, first);
  if (!overlap)
    return end;
  for (int others = isFiller(first) ? 2 : 1; others > 0 && end < order.chunks()->size();
       end = endOfItem(order, end))
    others -= !isFiller(end);
  return end;
}

static_assert(int(fb::ChunkKind_Forward) == int(ChunkKind::Forward) &&
              int(fb::ChunkKind_Backward) == int(ChunkKind::Backward) &&
              int(fb::ChunkKind_InputGrad) == int(ChunkKind::InputGrad) &&
              int(fb::ChunkKind_WeightGrad) == int(ChunkKind::WeightGrad));

std::string chunkName(const fb::Chunk &chunk) {
  return chunkName(ChunkKind(chunk.kind()), chunk.direction(), chunk.micro_batch());
}

std::string itemName(const fb::Order &order, uint32_t first) {
  std::string name;
  for (uint32_t at = first, end = endOfItem(order, first); at < end; ++at)
    name += (at > first ? "+" : "") + chunkName(*order.chunks()->Get(at));
  return name;
}

} // namespace hadal
