//===- FakeRanks.cpp - a training job over ranks, written by hand -------===//

#include "test/parallel/FakeRanks.h"

#include "runtime/module/Dataflow.h"
#include "test/tools/ModuleWriter.h"

#include <map>
#include <span>

using namespace hadal;
using namespace hadal::fake;

namespace {

constexpr auto I32 = fb::ElementType_I32, F32 = fb::ElementType_F32, F64 = fb::ElementType_F64,
               BF16 = fb::ElementType_BF16;
constexpr int64_t V = ranksVocabulary, L = ranksLayers, E = ranksExperts;
const std::string embedding = "model.embed_tokens.weight";
std::string scaleOf(int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".scale.weight";
}
std::string expertsOf(int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".mlp.experts.{}.weight";
}
std::string correctionOf(int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".mlp.gate.e_score_correction_bias";
}

class RanksWriter : ModuleWriter {
public:
  explicit RanksWriter(const RanksShape &shape) : shape(shape) {}
  std::vector<std::byte> write();

private:
  Place state(const std::string &name, fb::ElementType element, int64_t size) {
    std::vector<Offset<fb::Expr>> sizes = {expr(c(size))};
    states.push_back(fb::CreateStateDirect(b, name.c_str(), element, &sizes));
    return stateNumbers[name] = {fb::Space_State, static_cast<uint32_t>(states.size() - 1)};
  }

  // A segment is a program of one launch; a chunk's commands call it.
  enum Register { Tokens, Sequences, FirstRows }; // then rows and choices of each layer
  static Size rows(int64_t layer) { return r(FirstRows + 2 * int(layer)); }
  struct Use {
    std::string name;
    fb::ElementType element = F32;
    std::vector<Size> shape;
    bool output = false;
  };
  static Use tokens(const std::string &name, int64_t width, bool output = false) {
    return {name, F32, {r(Tokens), c(width)}, output};
  }
  static Use ids(const std::string &name) { return {name, I32, {r(Tokens)}}; }
  static Use routed(int64_t layer, const std::string &name, int64_t width, bool output = false) {
    return {name, F32, {rows(layer), c(width)}, output};
  }
  Use counts(const std::string &name, bool output = false) const {
    return {name, I32, {c(2 * shape.ep)}, output};
  }
  static Use stepCounts() { return {"counts", I32, {c(2)}}; }

  struct Bound { ///< of a kernel: a value of the chunk, or a state
    Use use;
    std::string state;
  };
  static Bound in(const std::string &state) { return {{}, state}; }
  static Bound of(Use use) { return {std::move(use), ""}; }

  /// Writes the segment's program and notes the call.
  void segment(const char *kernel, const std::vector<Bound> &bound,
               const std::vector<Size> &scalars) {
    std::vector<Place> places;
    std::vector<Use> uses;
    for (const Bound &one : bound)
      if (one.state.empty()) {
        places.push_back(argument(one.use.name, one.use.element, one.use.shape, one.use.output));
        uses.push_back(one.use);
      } else {
        places.push_back(stateNumbers.at(one.state));
      }
    launch(kernel, places, c(1), scalars);
    program(("segment." + std::to_string(programs.size())).c_str(), registers());
    uint32_t number = static_cast<uint32_t>(programs.size() - 1);
    notes.push_back([=, this] {
      std::vector<Offset<fb::Binding>> bindings;
      for (const Use &use : uses) {
        auto element = expr(c(0)), offset = expr(c(0));
        bindings.push_back(
            fb::CreateBinding(b, fb::Space_Argument, chunkArgument(use), element, offset));
      }
      std::vector<Size> all;
      for (size_t i = 0; i < registers().size(); ++i)
        all.push_back(r(int(i)));
      auto registerList = exprs(all);
      auto bindingList = b.CreateVector(bindings);
      add(0, fb::Action_Call, fb::CreateCall(b, number, registerList, bindingList).Union());
    });
  }
  std::vector<std::string> registers() const {
    std::vector<std::string> names = {"tokens", "sequences"};
    for (int64_t layer = 0; layer < L; ++layer)
      names.insert(names.end(), {"L" + std::to_string(layer) + ".0.rows",
                                 "L" + std::to_string(layer) + ".0.choices"});
    return names;
  }
  uint32_t chunkArgument(const Use &use) {
    auto [it, isNew] = chunkArguments.insert({use.name, uint32_t(arguments.size())});
    if (isNew)
      argument(use.name, use.element, use.shape, use.output);
    return it->second;
  }
  void add(uint16_t stream, fb::Action kind, Offset<void> action) {
    commands.push_back(fb::CreateCommand(b, stream, kind, action));
  }
  /// Stream `to` waits for what `from` has done.
  void order(uint16_t from, uint16_t to) {
    notes.push_back([=, this] {
      add(from, fb::Action_Record, fb::CreateRecord(b, event).Union());
      add(to, fb::Action_Wait, fb::CreateWait(b, event).Union());
      ++event;
    });
  }
  void send(const Use &use, uint32_t stage) {
    order(0, 1);
    notes.push_back([=, this] {
      add(1, fb::Action_Send, fb::CreateSend(b, chunkArgument(use), stage).Union());
    });
  }
  void receive(Use use, uint32_t stage) {
    use.output = true;
    notes.push_back([=, this] {
      add(1, fb::Action_Receive, fb::CreateReceive(b, chunkArgument(use), stage).Union());
    });
    order(1, 0);
  }
  void exchangeCounts(const Use &from, Use to, int64_t layer) {
    notes.push_back([=, this] {
      uint32_t rowRegister = FirstRows + 2 * uint32_t(layer);
      add(1, fb::Action_ExchangeCounts,
          fb::CreateExchangeCounts(b, chunkArgument(from), chunkArgument(to), shape.ep, 1, 1,
                                   rowRegister, rowRegister + 1)
              .Union());
    });
  }
  void exchange(const Use &from, const Use &to, const Use &sent, const Use &received,
                uint64_t rowBytes) {
    notes.push_back([=, this] {
      add(1, fb::Action_Exchange,
          fb::CreateExchange(b, chunkArgument(to), chunkArgument(from), chunkArgument(sent),
                             chunkArgument(received), shape.ep, 1, 1, rowBytes,
                             uint64_t(shape.capacity))
              .Union());
    });
  }
  /// Writes the chunk program that was noted.
  uint32_t chunk(const std::string &name) {
    event = 0;
    chunkArguments.clear();
    for (auto &note : notes)
      note();
    notes.clear();
    program(name.c_str(), registers());
    return static_cast<uint32_t>(programs.size() - 1);
  }

  Offset<fb::Stage> stage(uint32_t number, uint32_t stages);
  std::vector<Offset<fb::Order>> orders();

  RanksShape shape;
  std::vector<Offset<fb::State>> states;
  std::map<std::string, Place> stateNumbers;
  std::map<std::string, uint32_t> chunkArguments;
  std::vector<std::function<void()>> notes;
  uint32_t event = 0;
};

Offset<fb::Stage> RanksWriter::stage(uint32_t number, uint32_t stages) {
  int64_t first = number * L / stages, last = (number + 1) * L / stages, parts = shape.ep;
  bool isFirst = number == 0, isLast = number + 1 == stages;
  auto layered = [](const char *what, int64_t layer) { return what + std::to_string(layer); };

  if (isFirst)
    segment("ranks_embed",
            {of(ids("token_ids")), in("weight." + embedding), of(tokens(layered("x", 0), 2, true))},
            {r(Tokens)});
  else
    receive(tokens(layered("x", first), 2), number - 1);
  for (int64_t l = first; l < last; ++l) {
    Use sent = counts(layered("sent", l)), received = counts(layered("received", l));
    segment("ranks_dispatch",
            {of(ids("token_ids")), of(tokens(layered("x", l), 2)), in("weight." + scaleOf(l)),
             of(tokens(layered("y", l), 2, true)), of(tokens(layered("out", l), 3, true)),
             of(counts(layered("sent", l), true)), in("loads." + std::to_string(l)), in("losses"),
             of(stepCounts())},
            {r(Tokens), c(l), c(parts), c(shape.work)});
    order(0, 1);
    exchangeCounts(sent, counts(layered("received", l), true), l);
    exchange(tokens(layered("out", l), 3), routed(l, layered("there", l), 3, true), sent, received,
             12);
    order(1, 0);
    segment("ranks_expert",
            {of(routed(l, layered("there", l), 3)), in("weight." + expertsOf(l)),
             of(routed(l, layered("done", l), 2, true))},
            {rows(l), c(shape.work)});
    order(0, 1);
    exchange(routed(l, layered("done", l), 2), tokens(layered("back", l), 2, true), received, sent,
             8);
    order(1, 0);
    segment("ranks_combine",
            {of(ids("token_ids")), of(tokens(layered("y", l), 2)),
             of(tokens(layered("back", l), 2)), of(tokens(layered("x", l + 1), 2, true))},
            {r(Tokens), c(l), c(parts)});
  }
  if (isLast)
    segment("ranks_loss",
            {of(ids("targets")), of(tokens(layered("x", L), 2)), in("weight." + embedding),
             of(stepCounts()), in("losses")},
            {r(Tokens)});
  else
    send(tokens(layered("x", last), 2), number + 1);
  uint32_t forward = chunk("stage" + std::to_string(number) + ".forward");

  if (isLast)
    segment("ranks_loss_grad",
            {of(ids("targets")), of(tokens(layered("x", L), 2)), in("weight." + embedding),
             of(stepCounts()), of(tokens(layered("dx", L), 2, true))},
            {r(Tokens)});
  else
    receive(tokens(layered("dx", last), 2), number + 1);
  for (int64_t l = last; l-- > first;) {
    Use sent = counts(layered("sent", l)), received = counts(layered("received", l));
    segment("ranks_dispatch_grad",
            {of(ids("token_ids")), of(tokens(layered("dx", l + 1), 2)),
             of(tokens(layered("dout", l), 2, true))},
            {r(Tokens), c(l), c(parts), c(shape.work)});
    order(0, 1);
    exchange(tokens(layered("dout", l), 2), routed(l, layered("dz", l), 2, true), sent, received,
             8);
    order(1, 0);
    segment("ranks_expert_grad",
            {of(routed(l, layered("dz", l), 2)), of(routed(l, layered("there", l), 3)),
             in("weight." + expertsOf(l)), of(routed(l, layered("drow", l), 2, true))},
            {rows(l), c(shape.work)});
    order(0, 1);
    exchange(routed(l, layered("drow", l), 2), tokens(layered("dback", l), 2, true), received, sent,
             8);
    order(1, 0);
    segment("ranks_combine_grad",
            {of(ids("token_ids")), of(tokens(layered("dx", l + 1), 2)),
             of(tokens(layered("dback", l), 2)), in("weight." + scaleOf(l)),
             of(tokens(layered("dy", l), 2, true)), of(tokens(layered("dx", l), 2, true))},
            {r(Tokens), c(l), c(parts)});
  }
  if (!isFirst)
    send(tokens(layered("dx", first), 2), number - 1);
  uint32_t inputGrad = chunk("stage" + std::to_string(number) + ".input_grad");

  std::vector<Offset<fb::Accumulator>> accumulators;
  auto accumulator = [&](const std::string &state, int32_t trainable, uint32_t use = 0,
                         std::vector<uint32_t> owners = {}) {
    accumulators.push_back(fb::CreateAccumulatorDirect(b, state.c_str(), trainable, use, &owners));
  };
  for (int64_t l = first; l < last; ++l) {
    segment("ranks_weight_grad",
            {of(tokens(layered("x", l), 2)), of(tokens(layered("dy", l), 2)),
             in("gradient." + scaleOf(l)), of(routed(l, layered("there", l), 3)),
             of(routed(l, layered("dz", l), 2)), of(counts(layered("received", l))),
             in("gradient." + expertsOf(l))},
            {r(Tokens), rows(l), c(parts), c(shape.work)});
    std::vector<uint32_t> owners;
    for (uint32_t i = 0; i < shape.ep; ++i)
      owners.push_back(shape.ep - 1 - i);
    accumulator("gradient." + scaleOf(l), int32_t(1 + 3 * l));
    accumulator("gradient." + expertsOf(l), int32_t(2 + 3 * l), 0, owners);
    accumulator("loads." + std::to_string(l), -1);
  }
  if (isFirst) {
    segment("ranks_embed_grad",
            {of(ids("token_ids")), of(tokens(layered("dx", 0), 2)), in("gradient." + embedding)},
            {r(Tokens)});
    accumulator("gradient." + embedding, 0, 0);
  }
  if (isLast) {
    segment("ranks_head_grad",
            {of(ids("targets")), of(tokens(layered("dx", L), 2)),
             in("gradient." + embedding + ".use1")},
            {r(Tokens)});
    accumulator("gradient." + embedding + ".use1", 0, 1);
  }
  accumulator("losses", -1);
  uint32_t weightGrad = chunk("stage" + std::to_string(number) + ".weight_grad");
  return fb::CreateStageDirect(b, forward, inputGrad, weightGrad, uint32_t(first),
                               uint32_t(last - first), &accumulators);
}

/// Orders that are simple rather than fast.
std::vector<Offset<fb::Order>> RanksWriter::orders() {
  std::vector<Offset<fb::Order>> result;
  bool isDual = shape.schedule == "dualpipe", isV = shape.schedule == "dualpipev";
  uint32_t owners = shape.ep * shape.dp * (isDual ? 2 : 1),
           count = uint32_t(shape.microBatches) / owners;
  for (uint32_t p = 0; p < shape.pp; ++p) {
    struct Item {
      char kind;
      uint32_t direction, number;
    };
    std::vector<Item> items;
    if (isDual || isV)
      for (uint32_t m = 0; m < count; ++m) {
        uint32_t near = isDual && p >= shape.pp / 2; // the direction that begins here
        items.insert(items.end(),
                     {{'F', near, m}, {'F', 1 - near, m}, {'B', 1 - near, m}, {'B', near, m}});
      }
    else {
      uint32_t warm = std::min(shape.pp - 1 - p + shape.pairs, count); // pairs want one more
      for (uint32_t m = 0; m < warm; ++m)
        items.push_back({'F', 0, m});
      for (uint32_t m = 0; m < count; ++m) {
        if (m + warm < count)
          items.push_back({'F', 0, m + warm});
        items.push_back({'B', 0, m});
      }
    }
    std::vector<Offset<fb::Chunk>> chunks;
    for (size_t i = 0; i < items.size(); ++i) {
      const Item &item = items[i];
      // Only what does not need each other may be issued together.
      bool isPair =
          shape.pairs && item.kind == 'F' && i + 1 < items.size() && items[i + 1].kind == 'B' &&
          (items[i + 1].number != item.number || items[i + 1].direction != item.direction) &&
          !isDual && !isV;
      if (shape.pairs && (isDual || isV) && item.kind == 'B' && i + 1 < items.size() &&
          items[i + 1].kind == 'F')
        isPair = true;
      if (item.kind == 'B' && shape.split && !isPair &&
          !(i && shape.pairs && items[i - 1].kind == 'F')) {
        chunks.push_back(
            fb::CreateChunk(b, fb::ChunkKind_InputGrad, item.direction, item.number, false));
        chunks.push_back(
            fb::CreateChunk(b, fb::ChunkKind_WeightGrad, item.direction, item.number, false));
        continue;
      }
      chunks.push_back(
          fb::CreateChunk(b, item.kind == 'F' ? fb::ChunkKind_Forward : fb::ChunkKind_Backward,
                          item.direction, item.number, isPair));
    }
    result.push_back(fb::CreateOrderDirect(b, &chunks));
  }
  return result;
}

std::vector<std::byte> RanksWriter::write() {
  std::vector<Offset<fb::Trainable>> trainables;
  std::vector<Offset<flatbuffers::String>> none;
  auto trainable = [&](const std::string &name, std::vector<int64_t> size, uint32_t count,
                       int64_t segments, bool sharded, bool correction) {
    int64_t elements = 1;
    for (int64_t n : size)
      elements *= n;
    std::string layout = "plain." + std::to_string(elements);
    state("weight." + name, F32, elements * count);
    if (!correction) {
      state("gradient." + name, F32, elements * count * segments);
      state("first_moment." + name, F32, elements * count);
      state("second_moment." + name, F32, elements * count);
    }
    trainables.push_back(fb::CreateTrainableDirect(
        b, name.c_str(), &size, count, layout.c_str(), elements, &none, correction,
        correction ? 0.f : 0.9f, correction ? 0.f : 0.3f, sharded));
  };
  trainable(embedding, {V, 2}, 1, 1, false, false);
  state("gradient." + embedding + ".use1", F32, V * 2);
  for (int64_t l = 0; l < L; ++l) {
    trainable(scaleOf(l), {2}, 1, 1, false, false);
    trainable(expertsOf(l), {2}, uint32_t(E / shape.ep), shape.ep, true, false);
    trainable(correctionOf(l), {E}, 1, 1, false, true);
    state("loads." + std::to_string(l), I32, E);
  }
  state("losses", F32, 1 + L);
  state("step_scalars", F32, 1);
  state("gradient_norm", F32, 1);

  for (int64_t l = 0; l < L; ++l)
    launch("ranks_clear", {stateNumbers["loads." + std::to_string(l)]}, c(1), {c(E)});
  launch("ranks_clear", {stateNumbers["losses"]}, c(1), {c(1 + L)});
  program("zero", {});
  auto two = [&](const char *name, const char *kernel, fb::ElementType element) {
    Place from = argument("from", element, {r(0)}), sum = argument("sum", element, {r(0)}, true);
    launch(kernel, {from, sum}, c(1), {r(0)});
    program(name, {"elements"});
  };
  two("add", "ranks_add", F32);
  two("add.i32", "ranks_add_i32", I32);
  {
    Place gradient = argument("gradient", F32, {r(0)}), sum = argument("sum", F64, {c(1)}, true);
    launch("ranks_square_sum", {gradient, sum}, c(1), {r(0)});
    program("square_sum", {"elements"});
    Place sums = argument("sums", F64, {r(0)}), norm = argument("grad_norm", F32, {c(1)}, true);
    launch("ranks_global_norm", {sums, norm, stateNumbers["gradient_norm"]}, c(1), {r(0)});
    program("global_norm", {"tensors"});
    Place settings = argument("settings", F64, {c(20)}), lr = argument("lr", F32, {c(1)}, true);
    launch("ranks_schedule", {settings, lr, stateNumbers["step_scalars"]}, c(1));
    program("schedule", {});
    std::vector<Place> places;
    for (const char *name : {"weight", "gradient", "first_moment", "second_moment"})
      places.push_back(argument(name, F32, {r(0)}, true));
    places.push_back(stateNumbers["step_scalars"]);
    launch("ranks_adamw", places, c(1), {r(0)});
    program("adamw", {"elements"});
    Place violation = argument("violation", F32, {c(L)}, true);
    for (int64_t l = 0; l < L; ++l)
      launch("ranks_balance",
             {stateNumbers["loads." + std::to_string(l)], stateNumbers["weight." + correctionOf(l)],
              violation},
             c(1), {c(l)});
    program("balance", {});
    Place key = argument("key", I32, {c(2)}), scale = argument("scale", F32, {c(2)}),
          values = argument("values", F32, {r(0)}, true);
    launch("ranks_draw", {key, scale, values}, c(1), {r(0)});
    program("draw", {"elements"});
    Place looked = argument("values", F32, {r(0)}),
          largest = argument("largest", I32, {c(1)}, true);
    launch("ranks_magnitude", {looked, largest}, c(1), {r(0)});
    program("magnitude", {"elements"});
  }
  for (std::vector<int64_t> size : {std::vector<int64_t>{V, 2}, {2}, {E}}) {
    int64_t elements = 1;
    std::vector<Size> sizes;
    for (int64_t n : size) {
      elements *= n;
      sizes.push_back(c(n));
    }
    std::string layout = "plain." + std::to_string(elements);
    for (int i = 0; i < 3; ++i) {
      bool unpacks = i == 2;
      Place tensor = argument("tensor", i == 1 ? BF16 : F32, sizes, unpacks),
            lies = argument("packed", F32, {c(elements)}, !unpacks);
      launch(i == 1 ? "ranks_widen" : "ranks_copy",
             {unpacks ? lies : tensor, unpacks ? tensor : lies}, c(1), {c(elements)});
      program(((i == 0 ? "pack.f32." : i == 1 ? "pack.bf16." : "unpack.") + layout).c_str(), {});
    }
  }

  uint32_t stageCount = shape.schedule == "dualpipev" ? 2 * shape.pp : shape.pp;
  std::vector<Offset<fb::Stage>> stages;
  for (uint32_t s = 0; s < stageCount; ++s)
    stages.push_back(stage(s, stageCount));
  auto orderList = orders();
  auto ranks = fb::CreateRanksDirect(b, shape.pp, shape.ep, shape.dp, 1, shape.schedule.c_str(),
                                     shape.overlap, shape.fast, &stages, &orderList);

  std::vector<Offset<fb::Code>> codes = codesOf(HADAL_FAKE_RANKS_KERNELS);
  std::vector<Offset<fb::Parameter>> parameters;
  std::vector<Offset<fb::Weight>> weights;
  std::vector<Offset<fb::Constant>> constants;
  std::vector<Offset<flatbuffers::String>> stateRegisters;
  std::vector<int64_t> layers = {0, 1, 2, 3}, eos = {1};
  auto training = fb::CreateTrainingDirect(
      b, 1, ranksSequence, shape.microBatches, 0, 0.f, 1e-4f, 0.125f, "fp32", 1 << 20, L, &layers,
      &trainables, "{\"model_type\": \"deepseek_v3\"}", shape.sumGroups, ranks);
  auto model = fb::CreateModelDirect(b, "deepseek_v3", V, 2, L, 1, 1, E, 1, &layers, 512, 4, 2,
                                     &eos, -1, 541, 541);
  std::vector<uint64_t> dataflow(programs.size() + 1);
  b.Finish(fb::CreateModuleDirect(b, "FakeRanks", &codes, &kernels, &parameters, &weights,
                                  &constants, &stateRegisters, &states, &programs, model, training,
                                  {}, &dataflow));
  if (Status status = writeDataflow(b.GetBufferPointer()); !status.ok())
    return {};
  auto bytes = std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize()));
  return {bytes.begin(), bytes.end()};
}

} // namespace

std::vector<std::byte> fake::ranksPayload(const RanksShape &shape) {
  return RanksWriter(shape).write();
}
