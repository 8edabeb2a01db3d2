#include "runtime/module/CheckRanks.h"

#include <string>
#include <string_view>

namespace hadal {

uint32_t directionsOf(const fb::Ranks &ranks) {
  std::string_view name = ranks.schedule()->string_view();
  return name == "dualpipe" || name == "dualpipev" ? 2 : 1;
}

uint32_t stageOf(const fb::Ranks &ranks, uint32_t pp, uint32_t direction) {
  return direction == 0 ? pp : ranks.stages()->size() - 1 - pp;
}

uint32_t rankOf(const fb::Ranks &ranks, uint32_t stage, uint32_t direction) {
  uint32_t last = ranks.stages()->size() - 1;
  if (ranks.schedule()->string_view() == "dualpipe")
    return direction == 0 ? stage : last - stage;
  return stage < ranks.pp() ? stage : last - stage;
}

uint64_t ownersOf(const fb::Ranks &ranks) {
  return uint64_t(ranks.schedule()->string_view() == "dualpipe" ? 2 : 1) * ranks.dp() * ranks.ep();
}

namespace {

class RanksChecker {
public:
  RanksChecker(const fb::Module &module, const fb::Ranks &ranks) : module(module), ranks(ranks) {}
  Status run();

private:
  Status checkSizes();
  Status checkStage(const fb::Stage &stage);
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
  if (name != "1f1b" && name != "zb1p" && name != "dualpipe" && name != "dualpipev")
    return invalidFile("has a schedule '" + std::string(name) + "'");
  if (ranks.stages()->size() != ranks.pp() * (name == "dualpipev" ? 2 : 1))
    return invalidFile("has " + std::to_string(ranks.stages()->size()) + " stages on " + std::to_string(ranks.pp()) +
                       " pipeline ranks");
  if (ranks.orders()->size() != ranks.pp())
    return invalidFile("has " + std::to_string(ranks.orders()->size()) + " orders for " + std::to_string(ranks.pp()) +
                       " pipeline ranks");
  const fb::Training &training = *module.training();
  if (uint64_t(training.micro_batches()) % ownersOf(ranks) != 0)
    return invalidFile("cannot share " + std::to_string(training.micro_batches()) + " micro-batches among " +
                       std::to_string(ownersOf(ranks)) + " owners");
  if (!isPowerOfTwo(training.sum_groups()) || uint64_t(training.sum_groups()) % ownersOf(ranks) != 0 ||
      training.micro_batches() % training.sum_groups() != 0)
    return invalidFile("cannot sum " + std::to_string(training.micro_batches()) + " micro-batches of " +
                       std::to_string(ownersOf(ranks)) + " owners in " + std::to_string(training.sum_groups()) +
                       " groups");
  return {};
}

Status RanksChecker::checkCommand(const fb::Program &program, const fb::Command &command) {
  if (command.stream() > 1)
    return invalidFile("is on stream " + std::to_string(command.stream()) + " of 2");
  switch (command.action_type()) {
  case fb::Action_Send:
    if (command.action_as_Send()->stage() >= ranks.stages()->size())
      return invalidFile("sends to stage " + std::to_string(command.action_as_Send()->stage()) + " of " +
                         std::to_string(ranks.stages()->size()));
    return {};
  case fb::Action_Receive:
    if (command.action_as_Receive()->stage() >= ranks.stages()->size())
      return invalidFile("receives from stage " + std::to_string(command.action_as_Receive()->stage()) + " of " +
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
      return invalidFile("exchanges among " + std::to_string(parts) + " parts, " + std::to_string(stride) +
                         " apart, of " + std::to_string(ranks.ep()) + " expert-parallel ranks");
    if (!program.arguments()->Get(counts ? counts->receive() : exchange->destination())->output())
      return invalidFile("exchanges into an argument that is no output");
    return {};
  }
  case fb::Action_Call:
  case fb::Action_Record:
  case fb::Action_Wait:
    return {};
  default:
    return invalidFile("is none that a chunk may have");
  }
}

Status RanksChecker::checkChunkProgram(uint32_t number) {
  if (number >= module.programs()->size())
    return invalidFile("names program " + std::to_string(number) + " of " + std::to_string(module.programs()->size()));
  const fb::Program &program = *module.programs()->Get(number);
  for (uint32_t i = 0; i < program.commands()->size(); ++i)
    if (Status status = checkCommand(program, *program.commands()->Get(i)); !status)
      return invalidFile("program " + program.name()->str() + ", command " + std::to_string(i) + " " +
                         status.error().message);
  return {};
}

Status RanksChecker::checkStage(const fb::Stage &stage) {
  for (uint32_t program : {stage.forward(), stage.input_grad(), stage.weight_grad()})
    HADAL_TRY(checkChunkProgram(program));
  if (stage.layers() > (1 << 20) || stage.first_layer() > (1 << 20))
    return invalidFile("has impossible layers");
  if (!stage.accumulators())
    return invalidFile("is incomplete");
  for (const fb::Accumulator *a : *stage.accumulators()) {
    if (!a || !a->state())
      return invalidFile("has a malformed accumulator");
    std::string of = "accumulator " + a->state()->str();
    bool known = false;
    for (const fb::State *state : *module.states())
      known = known || state->name()->string_view() == a->state()->string_view();
    if (!known)
      return invalidFile(of + " names no state");
    if (a->trainable() < -1 || a->trainable() >= int64_t(module.training()->trainables()->size()))
      return invalidFile(of + " is of trainable parameter " + std::to_string(a->trainable()) + " of " +
                         std::to_string(module.training()->trainables()->size()));
    if (a->segment_owners())
      for (uint32_t owner : *a->segment_owners())
        if (owner >= ranks.ep())
          return invalidFile(of + " has a segment of rank " + std::to_string(owner) + " of " +
                             std::to_string(ranks.ep()));
  }
  return {};
}

Status RanksChecker::checkOrder(const fb::Order *order, uint64_t microBatches) {
  if (!order || !order->chunks())
    return invalidFile("is missing");
  for (const fb::Chunk *chunk : *order->chunks())
    if (!chunk || static_cast<unsigned>(chunk->kind()) > static_cast<unsigned>(fb::ChunkKind_MAX) ||
        chunk->direction() >= directionsOf(ranks) || chunk->micro_batch() >= microBatches)
      return invalidFile("has a malformed chunk");
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
      return invalidFile("the order of pipeline rank " + std::to_string(i) + " " + status.error().message);
  return {};
}

} // namespace

Status checkRanks(const fb::Module &module) {
  if (!module.training() || !module.training()->ranks())
    return {};
  Status status = RanksChecker(module, *module.training()->ranks()).run();
  return status ? status : invalidFile("the table of ranks: " + status.error().message);
}

} // namespace hadal
