//===- SharedParameters.cpp - a training and a generation module, one store ===//
//
//     SharedParameters TRAIN.hadal GENERATE.hadal CHECKPOINT OUT.safetensors
//
// Both modules over one parameter store: generation reads what training has. Its logits are those
// of the same weights read from files, to the bit, before a step and after it; parameters that lie
// alike in both are there once. Prints how many bytes that saves.
//
//===----------------------------------------------------------------------===//

#include "runtime/Logits.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/training/Trainer.h"

#include <cstdio>
#include <cstring>

using namespace hadal;

namespace {

Result<std::vector<float>> logitsOf(Executor &executor) {
  std::vector<std::vector<int32_t>> rows = {{3, 1, 4, 1, 5}, {9, 2, 6}};
  for (auto &[name, tensor] : HADAL_TRY(computeLogits(executor, rows, {})))
    if (name == "logits")
      return std::vector<float>(tensor.as<float>().begin(), tensor.as<float>().end());
  return notFound("no logits");
}

Result<std::vector<float>> logitsOfFile(const Module &module, Device &device,
                                        const std::string &path) {
  WeightStore weights =
      HADAL_TRY(WeightStore::load(module, device, HADAL_TRY(Checkpoint::open(path))));
  return logitsOf(*HADAL_TRY(Executor::create(module, device, weights)));
}

Status equal(const std::vector<float> &a, const std::vector<float> &b, const char *when) {
  if (!a.empty() && a.size() == b.size() && !std::memcmp(a.data(), b.data(), a.size() * 4))
    return {};
  return invalidArgument(std::string(when) + ": the logits are not those of the files");
}

Status writeWeights(Trainables &trainables, const std::string &path) {
  std::vector<SafetensorsWriter::Planned> plan;
  for (const TrainedTensor &tensor : trainables.tensors())
    plan.push_back({tensor.name, ElementType::F32, tensor.shape});
  SafetensorsWriter writer = HADAL_TRY(SafetensorsWriter::create(path, plan));
  for (const TrainedTensor &tensor : trainables.tensors())
    HADAL_TRY(writer.write(HADAL_TRY(trainables.unpack(Values::Weight, tensor)).data));
  return writer.commit();
}

Status train(Trainer &trainer, const fb::Training &table, int64_t vocabulary) {
  std::vector<TrainingRow> rows(size_t(trainer.rowsOfStep()));
  for (size_t r = 0; r < rows.size(); ++r)
    for (int64_t t = 0; t < table.sequence(); ++t)
      rows[r].tokens.push_back(int32_t((int64_t(r) * 7 + t * t) % vocabulary));
  OptimizerSettings settings;
  HADAL_TRY(trainer.step(1, rows, settings));
  return {};
}

Status check(char **argv) {
  Module training = HADAL_TRY(Module::open(argv[1])), generation = HADAL_TRY(Module::open(argv[2]));
  CpuDevice device(1);
  auto store = std::make_shared<ParameterStore>(), other = std::make_shared<ParameterStore>();
  WeightStore states(store);
  auto executor = HADAL_TRY(Executor::create(training, device, states));
  Trainables trainables = HADAL_TRY(Trainables::create(*executor));
  HADAL_TRY(trainables.load(HADAL_TRY(Checkpoint::open(argv[3]))));
  uint64_t before = store->bytes();

  TrainedWeights source(training, trainables);
  WeightStore weights = HADAL_TRY(WeightStore::load(generation, device, store, source)),
              apart = HADAL_TRY(WeightStore::load(generation, device, other, source));
  uint64_t saved = before + other->bytes() - store->bytes();
  if (!saved)
    return invalidArgument("no parameter is shared");
  auto generator = HADAL_TRY(Executor::create(generation, device, weights));
  std::vector<float> first = HADAL_TRY(logitsOf(*generator));
  HADAL_TRY(equal(first, HADAL_TRY(logitsOfFile(generation, device, argv[3])), "before the step"));

  auto trainer = HADAL_TRY(Trainer::create(*executor, trainables));
  HADAL_TRY(train(*trainer, *training.tables().training(), training.model()->vocab_size()));
  HADAL_TRY(weights.refresh());
  HADAL_TRY(writeWeights(trainables, argv[4]));
  std::vector<float> second = HADAL_TRY(logitsOf(*generator));
  HADAL_TRY(equal(second, HADAL_TRY(logitsOfFile(generation, device, argv[4])), "after the step"));
  if (equal(first, second, ""))
    return invalidArgument("the step has changed no logit");
  auto unshared = HADAL_TRY(Executor::create(generation, device, apart));
  HADAL_TRY(apart.refresh());
  HADAL_TRY(equal(second, HADAL_TRY(logitsOf(*unshared)), "in a store of its own"));
  std::printf("%llu of %llu bytes are shared\n", static_cast<unsigned long long>(saved),
              static_cast<unsigned long long>(other->bytes()));
  return {};
}

} // namespace

int main(int argc, char **argv) {
  Status status =
      argc == 5 ? check(argv) : Status(invalidArgument("wants two modules, a checkpoint, a file"));
  if (!status)
    std::fprintf(stderr, "SharedParameters: %s\n", status.error().message.c_str());
  return status ? 0 : 1;
}
