//===- FakeTraining.cpp - a training job that can be checked by hand ----===//

#include "test/training/FakeTraining.h"

#include "test/tools/ModuleWriter.h"

#include <array>
#include <span>

using namespace hadal;
using namespace hadal::fake;

namespace {

constexpr auto I32 = fb::ElementType_I32, F32 = fb::ElementType_F32, F64 = fb::ElementType_F64,
               BF16 = fb::ElementType_BF16;
constexpr int64_t tableSize = 2 * paddedRows, expertSize = 6;
constexpr const char *experts = "model.layers.1.mlp.experts.{}.up_proj.weight",
                     *correction = "model.layers.1.mlp.gate.e_score_correction_bias";

class Writer : ModuleWriter {
public:
  std::vector<std::byte> write(const TrainingShape &shape);

private:
  Place state(const std::string &name, fb::ElementType element, int64_t size) {
    std::vector<Offset<fb::Expr>> shape = {expr(c(size))};
    states.push_back(fb::CreateStateDirect(b, name.c_str(), element, &shape));
    return {fb::Space_State, static_cast<uint32_t>(states.size() - 1)};
  }
  /// pack and unpack programs of a layout.
  void layout(const std::string &name, const std::vector<Size> &shape, int64_t packed,
              const std::array<const char *, 3> &kernels) {
    const std::string programs[3] = {"pack.f32." + name, "pack.bf16." + name, "unpack." + name};
    for (int i = 0; i < 3; ++i) {
      bool unpacks = i == 2;
      Place tensor = argument("tensor", i == 1 ? BF16 : F32, shape, unpacks),
            lies = argument("packed", F32, {c(packed)}, !unpacks);
      launch(kernels[i], {unpacks ? lies : tensor, unpacks ? tensor : lies}, c(1), {c(packed)});
      program(programs[i].c_str(), {});
    }
  }

  std::vector<Offset<fb::State>> states;
};

std::vector<std::byte> Writer::write(const TrainingShape &shape) {
  auto five = [&](const std::string &name, int64_t size) {
    std::vector<Place> places;
    for (const char *values : {"weight.", "gradient.", "first_moment.", "second_moment.",
                               shape.averages ? "average." : "no_average."})
      places.push_back(state(values + name, F32, size));
    return places;
  };
  std::vector<Place> t = five(shape.table, tableSize), e = five(experts, trainExperts * expertSize);
  Place bias = state(std::string("weight.") + correction, F32, trainExperts),
        losses = state("losses", F32, 3), loads = state("loads.1", I32, trainExperts);

  layout("table", {c(trainVocabulary), c(2)}, tableSize,
         {"fake_pack_table", "fake_pack_table_bf16", "fake_unpack_table"});
  layout("plain2x3", {c(2), c(3)}, expertSize, {"fake_copy", "fake_widen", "fake_copy"});
  layout("plain3", {c(3)}, 3, {"fake_copy", "fake_widen", "fake_copy"});

  Place key = argument("key", I32, {c(2)}), scale = argument("scale", F32, {c(2)}),
        values = argument("values", F32, {r(0)}, true);
  launch("fake_draw", {key, scale, values}, c(1), {r(0)});
  program("draw", {"elements"});
  Place looked = argument("values", F32, {r(0)}), largest = argument("largest", I32, {c(1)}, true);
  launch("fake_magnitude", {looked, largest}, c(1), {r(0)});
  program("magnitude", {"elements"});
  launch("fake_zero", {t[1], e[1], losses, loads}, c(1));
  program("zero", {});
  if (shape.sumGroups > 1) {
    Place from = argument("from", F32, {r(0)}), sum = argument("sum", F32, {r(0)}, true);
    launch("fake_add", {from, sum}, c(1), {r(0)});
    program("add", {"elements"});
  }

  for (bool differentiates : {true, false}) {
    Place ids = argument("token_ids", I32, {r(0)});
    argument("positions", I32, {r(0)});
    Place targets = argument("targets", I32, {r(0)});
    argument("offsets", I32, {r(1, 1)});
    Place counts = argument("counts", I32, {c(3)}), rows = argument("mtp.1.rows", I32, {r(2)}),
          nextIds = argument("mtp.1.token_ids", I32, {r(2)});
    argument("mtp.1.positions", I32, {r(2)});
    Place nextTargets = argument("mtp.1.targets", I32, {r(2)});
    argument("mtp.1.offsets", I32, {r(1, 1)});
    std::vector<Place> places = {ids, targets, counts, nextIds, nextTargets, rows, t[0], e[0]};
    if (differentiates)
      places.insert(places.end(), {t[1], e[1]});
    places.insert(places.end(), {losses, loads});
    launch(differentiates ? "fake_gradients" : "fake_evaluate", places, c(1), {r(0), r(2), r(1)});
    program(differentiates ? "gradients" : "evaluate", {"tokens", "sequences", "mtp.1.tokens"});
  }

  Place norms = argument("norms", F32, {c(2)}, true),
        norm = argument("grad_norm", F32, {c(1)}, true);
  launch("fake_norms", {t[1], e[1], norms, norm}, c(1));
  program("norms", {});

  Place settings = argument("settings", F64, {c(20)}), rate = argument("lr", F32, {c(1)}, true),
        violation = argument("violation", F32, {c(1)}, true);
  launch("fake_update", {settings, t[0], t[1], t[2], t[3], t[4]}, c(1), {c(tableSize)});
  launch("fake_update", {settings, e[0], e[1], e[2], e[3], e[4]}, c(1),
         {c(trainExperts * expertSize)});
  launch("fake_balance", {settings, loads, bias, rate, violation}, c(1));
  program("optimizer", {});

  std::vector<Offset<fb::Code>> codes = codesOf(HADAL_FAKE_TRAINING_KERNELS);
  std::vector<Offset<fb::Parameter>> parameters;
  std::vector<Offset<fb::Weight>> weights;
  std::vector<Offset<fb::Constant>> constants;
  std::vector<Offset<flatbuffers::String>> stateRegisters, none;
  std::vector<int64_t> layers = {1}, eos = {256}, tableShape = {trainVocabulary, 2},
                       expertShape = {2, 3}, biasShape = {3};
  std::vector<Offset<flatbuffers::String>> copies = {
      b.CreateString("model.layers.2.embed_tokens.weight")};
  std::vector<Offset<fb::Trainable>> trainables = {
      fb::CreateTrainableDirect(b, shape.table, &tableShape, 1, "table", tableSize, &copies, false,
                                0.f, 0.02f),
      fb::CreateTrainableDirect(b, experts, &expertShape, trainExperts, "plain2x3", expertSize,
                                &none, false, 1.f, 0.5f),
      fb::CreateTrainableDirect(b, correction, &biasShape, 1, "plain3", 3, &none, true, 0.f, 0.f)};
  auto training = fb::CreateTrainingDirect(
      b, shape.microBatch, shape.sequence, shape.microBatches, 1, 0.3f, 1e-4f, 0.125f, "fp32",
      1 << 20, 2, &layers, &trainables,
      "{\"model_type\": \"deepseek_v3\", \"torch_dtype\": \"bfloat16\"}", shape.sumGroups);
  auto model = fb::CreateModelDirect(b, "deepseek_v3", trainVocabulary, 2, 2, 1, 1, trainExperts, 1,
                                     &layers, 512, 4, 2, &eos, -1, 541, 541);
  b.Finish(fb::CreateModuleDirect(b, "FakeTraining", &codes, &kernels, &parameters, &weights,
                                  &constants, &stateRegisters, &states, &programs, model,
                                  training));
  auto bytes = std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize()));
  return {bytes.begin(), bytes.end()};
}

} // namespace

std::vector<std::byte> fake::trainingPayload(const TrainingShape &shape) {
  return Writer().write(shape);
}
