//===- hadal-hidden.cpp - a model on a device whose memory is hidden ----===//
//
//     hadal-hidden MODULE WEIGHTS
//
// Trains or serves with a compiled module on the CPU and on HiddenDevice, where a host access that
// slips by ends the process. Exit status 1 where they do not say the same, bit for bit.
//
//===--------------------------------------------------------------------===//

#include "runtime/inference/Generation.h"
#include "runtime/inference/Logits.h"
#include "runtime/inference/Scoring.h"
#include "runtime/training/Trainer.h"
#include "test/device/HiddenDevice.h"

#include <cstdio>

using namespace hadal;

namespace {

/// All that a run says, in order.
class Said {
public:
  void add(const void *data, uint64_t bytes) {
    text.append(static_cast<const char *>(data), bytes);
  }
  template <typename T> void add(const T &number) { add(&number, sizeof number); }
  template <typename T> void add(std::span<const T> numbers) {
    add(numbers.data(), numbers.size_bytes());
  }
  void add(const TensorView &view) { add(view.data, view.bytes()); }

  std::string text;
};

std::vector<int32_t> tokens(int64_t count, int64_t vocabulary, int32_t seed) {
  std::vector<int32_t> all;
  for (int64_t i = 0; i < count; ++i)
    all.push_back(int32_t((i * i * 31 + i * 7 + seed * 101) % (vocabulary - 2) + 2));
  return all;
}

void addStep(Said &said, const StepResult &result) {
  said.add(result.loss);
  said.add(result.balanceLoss);
  said.add(result.gradientNorm);
  said.add(result.rate);
  said.add(std::span<const float>(result.mtpLosses));
  said.add(std::span<const float>(result.violation));
}

/// Weights read and drawn, steps, and all that the states hold then.
Result<Said> train(const Module &module, Executor &executor, const std::string &weights) {
  Said said;
  auto trainables = HADAL_TRY(Trainables::create(executor));
  auto trainer = HADAL_TRY(Trainer::create(executor, trainables));
  const fb::Training &table = *module.tables().training();
  std::vector<TrainingRow> rows;
  for (int64_t row = 0; row < trainer->rowsOfStep(); ++row)
    rows.push_back({tokens(table.sequence(), module.model()->vocab_size(), int32_t(row)), {}, {}});
  HADAL_TRY(trainables.draw(7));
  addStep(said, HADAL_TRY(trainer->evaluate(1, rows)));
  Checkpoint checkpoint = HADAL_TRY(Checkpoint::open(weights));
  HADAL_TRY(trainables.load(checkpoint));
  HADAL_TRY(trainables.startAverages());
  HADAL_TRY(trainables.checkFinite());
  OptimizerSettings settings;
  settings.averageDecay = 0.5;
  for (int64_t step = 1; step <= 2; ++step)
    addStep(said, HADAL_TRY(trainer->step(step, rows, settings)));
  for (size_t which = 0; which < valuesCount; ++which)
    for (const TrainedTensor &tensor : trainables.tensors()) {
      if (!trainables.has(Values(which), tensor))
        continue;
      TensorView view = HADAL_TRY(trainables.unpack(Values(which), tensor));
      said.add(view);
      HADAL_TRY(trainables.pack(Values(which), tensor, view)); // as a run that is resumed does
      said.add(HADAL_TRY(trainables.unpack(Values(which), tensor)));
    }
  uint32_t bits = 0;
  said.add(HADAL_TRY(trainables.findLargest(Values::Gradient, &bits))->name.size());
  said.add(bits);
  return said;
}

/// Generated tokens, greedy and drawn, the logits of all positions, and a text's likelihood.
Result<Said> serve(const Module &module, Executor &executor) {
  Said said;
  int64_t vocabulary = module.model()->vocab_size();
  for (float temperature : {0.f, 0.8f}) {
    GenerationOptions options;
    options.maxNewTokens = 20;
    options.maxSequences = 2;
    options.ignoreEos = true;
    options.sampling.temperature = temperature;
    options.sampling.repetitionPenalty = temperature ? 1.1f : 1;
    options.logprobs = 2;
    auto generation = HADAL_TRY(Generation::create(executor, options));
    for (int32_t row = 0; row < 3; ++row)
      HADAL_TRY(generation->add(tokens(5 + 3 * row, vocabulary, row)));
    HADAL_TRY(generation->run([&](const GeneratedToken &token) {
      said.add(token.token);
      said.add(token.logits);
      said.add(token.logProbability);
      said.add(token.topIds);
    }));
  }
  LogitsOptions dump;
  dump.dump = true;
  for (const auto &[name, tensor] : HADAL_TRY(
           computeLogits(executor, {tokens(9, vocabulary, 1), tokens(4, vocabulary, 2)}, dump)))
    said.add(tensor.view());
  ScoringOptions scoring;
  scoring.window = 8;
  said.add(HADAL_TRY(scoreTokens(executor, tokens(40, vocabulary, 3), scoring)).meanNll);
  return said;
}

Result<Said> on(Device &device, const Module &module, const std::string &weights) {
  bool trains = module.tables().training();
  WeightStore store;
  if (!trains)
    store = HADAL_TRY(WeightStore::load(module, device, HADAL_TRY(Checkpoint::open(weights))));
  auto executor = HADAL_TRY(Executor::create(module, device, store));
  return trains ? train(module, *executor, weights) : serve(module, *executor);
}

Status compare(const std::string &path, const std::string &weights) {
  Module module = HADAL_TRY(Module::open(path));
  CpuDevice cpu(2);
  Said wanted = HADAL_TRY(on(cpu, module, weights));
  test::HiddenDevice hidden(2);
  Said got = HADAL_TRY(on(hidden, module, weights));
  if (got.text != wanted.text) {
    size_t at = 0;
    while (at < got.text.size() && at < wanted.text.size() && got.text[at] == wanted.text[at])
      ++at;
    return invalidArgument(path + ": byte " + std::to_string(at) + " of " +
                           std::to_string(wanted.text.size()) + " that the run says is another");
  }
  std::printf("%s: %zu bytes, %llu operations of the hidden device\n", path.c_str(),
              got.text.size(), static_cast<unsigned long long>(hidden.operations()));
  return {};
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 3)
    return std::fprintf(stderr, "usage: hadal-hidden MODULE WEIGHTS\n"), 1;
  if (Status status = compare(argv[1], argv[2]); !status)
    return std::fprintf(stderr, "%s\n", status.error().message.c_str()), 1;
  return 0;
}
