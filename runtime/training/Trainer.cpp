//===- Trainer.cpp - steps of training ----------------------------------===//

#include "runtime/training/Trainer.h"

#include "runtime/Finite.h"
#include "runtime/module/Names.h"
#include "runtime/training/GroupSums.h"

#include <algorithm>
#include <chrono>

using namespace hadal;

StepSettings OptimizerSettings::at(int64_t step) const {
  StepSettings settings{};
  settings[StepSetting::Step] = double(step);
  settings[StepSetting::Schedule] = double(static_cast<int>(schedule));
  settings[StepSetting::Rate] = rate;
  settings[StepSetting::WarmupSteps] = double(warmupSteps);
  settings[StepSetting::TotalSteps] = double(totalSteps);
  settings[StepSetting::FinalRate] = finalRate;
  settings[StepSetting::HoldSteps] = double(holdSteps);
  settings[StepSetting::WeightDecay] = weightDecay;
  settings[StepSetting::Clip] = clip;
  settings[StepSetting::Beta1] = beta1;
  settings[StepSetting::Beta2] = beta2;
  settings[StepSetting::Epsilon] = epsilon;
  settings[StepSetting::AverageDecay] = averageDecay;
  settings[StepSetting::FallSteps] = double(fallSteps);
  settings[StepSetting::LastSteps] = double(lastSteps);
  settings[StepSetting::LastRate] = lastRate;
  return settings;
}

Status Trainer::bindSettings(ProgramRun &program, const OptimizerSettings &settings, int64_t step) {
  stepSettings = settings.at(step);
  return program.bind(names::argument::settings,
                      TensorView::of(std::span<const double>(stepSettings)));
}

void StepResult::takeLosses(std::span<const float> losses, int64_t depths) {
  auto balances = losses.begin() + 1 + depths;
  loss = losses[0];
  mtpLosses.assign(losses.begin() + 1, balances);
  for (float balance : std::span(balances, losses.end()))
    balanceLoss += balance;
}

double StepResult::mtpLoss() const {
  double sum = 0;
  for (float loss : mtpLosses)
    sum += loss;
  return mtpLosses.empty() ? 0 : sum / static_cast<double>(mtpLosses.size());
}

Result<Trainer::Input> Trainer::inputOf(int64_t step, std::span<const TrainingRow> rows) const {
  int64_t count = static_cast<int64_t>(rows.size()),
          group = table.micro_batch() * table.sum_groups();
  if (count == 0 || count % group || count > table.micro_batch() * table.micro_batches())
    return invalidArgument("step " + std::to_string(step) + ": wants " +
                           std::to_string(table.micro_batch() * table.micro_batches()) +
                           " rows, or fewer in multiples of " + std::to_string(group) + ", got " +
                           std::to_string(count));
  Input input;
  PredictionCounts counts;
  for (int64_t i = 0; i < count / table.micro_batch(); ++i) {
    input.batches.emplace_back(rows.subspan(i * table.micro_batch(), table.micro_batch()),
                               table.mtp_depth());
    counts.add(input.batches.back().counts());
    input.tokens += input.batches.back().tokens();
  }
  if (counts.predictions[0] == 0)
    return invalidArgument("step " + std::to_string(step) + ": its rows have nothing to predict");
  // A depth without predictions has the sum 0, which may be divided by anything but 0.
  for (int32_t count : counts.predictions)
    input.counts.push_back(std::max(count, 1));
  input.counts.push_back(counts.sequences);
  return input;
}

std::string Trainer::notFinite(const StepResult &result) {
  std::vector<float> figures = result.mtpLosses;
  figures.insert(figures.end(), {result.loss, result.balanceLoss, result.gradientNorm});
  if (allFinite(figures))
    return {};
  auto spelled = [](float value) {
    return std::string(value != value ? "nan" : value > 0 ? "infinite" : "-infinite");
  };
  auto bad = [](float value) { return !allFinite({&value, 1}); };
  std::string message = "step " + std::to_string(result.step) + ": ";
  if (bad(result.loss))
    message += "the loss is " + spelled(result.loss) + "; ";
  for (size_t d = 0; d < result.mtpLosses.size(); ++d)
    if (bad(result.mtpLosses[d]))
      message += "the loss of MTP depth " + std::to_string(d + 1) + " is " +
                 spelled(result.mtpLosses[d]) + "; ";
  if (bad(result.balanceLoss))
    message += "the balance loss is " + spelled(result.balanceLoss) + "; ";
  if (bad(result.gradientNorm))
    message += "the gradient norm is " + spelled(result.gradientNorm) + "; ";
  return message;
}

std::string Trainer::named(const TrainedTensor &tensor) {
  std::string layer = layerOf(tensor.name);
  return tensor.name + (layer.empty() ? " (outside the layers)" : " (" + layer + ")");
}

namespace {

/// One rank: programs `gradients` and `evaluate` take a micro-batch whole.
class LocalTrainer final : public Trainer {
public:
  struct Programs {
    ProgramRun zero, gradient, evaluate, norms, optimizer;
    std::optional<ProgramRun> quantizeWeights; ///< in FP8
  };
  /// Where micro-batches are summed in groups: gradients and losses, or losses alone.
  struct Sums {
    GroupSums all, losses;
  };

  LocalTrainer(const fb::Training &table, Trainables &trainables, Executor &executor,
               Programs programs, DeviceView losses, std::optional<Sums> sums)
      : Trainer(table, trainables), executor(executor), programs(std::move(programs)),
        losses(std::move(losses)), sums(std::move(sums)) {}

  Result<StepResult> gradients(int64_t step, std::span<const TrainingRow> rows) override;
  Result<StepResult> evaluate(int64_t step, std::span<const TrainingRow> rows) override;
  Result<StepResult> step(int64_t step, std::span<const TrainingRow> rows,
                          const OptimizerSettings &settings) override;

private:
  Result<StepResult> pass(int64_t step, std::span<const TrainingRow> rows, ProgramRun &program,
                          GroupSums *groups);
  Status checkFinite(const StepResult &result) const;

  Executor &executor;
  Programs programs;
  DeviceView losses; ///< the state: main, each depth, each routing layer's balance
  std::optional<Sums> sums;
};

} // namespace

Result<std::unique_ptr<Trainer>> Trainer::create(Executor &executor, Trainables &trainables) {
  const fb::Training &table = *HADAL_TRY(trainingOf(executor.module()));
  DeviceView losses = HADAL_TRY(executor.state(names::state::losses));
  int64_t wanted = 1 + table.mtp_depth() + int64_t(table.moe_layers()->size());
  if (losses.element != ElementType::F32 || losses.shape != Shape{wanted})
    return invalidFile(executor.module().path() + ": state losses: wants F32 [" +
                       std::to_string(wanted) + "], has " +
                       std::string(elementTypeName(losses.element)) + " " + toString(losses.shape));
  std::optional<LocalTrainer::Sums> sums;
  if (table.sum_groups() > 1) {
    sums = LocalTrainer::Sums{HADAL_TRY(GroupSums::create(executor, table.sum_groups())),
                              HADAL_TRY(GroupSums::create(executor, table.sum_groups()))};
    HADAL_TRY(sums->losses.add(names::state::losses));
    for (const fb::State *state : *executor.module().tables().states())
      if (state->name()->string_view().starts_with(names::state::gradient) ||
          state->name()->string_view() == names::state::losses)
        HADAL_TRY(sums->all.add(state->name()->str()));
  }
  LocalTrainer::Programs programs{HADAL_TRY(executor.prepare(names::program::zero)),
                                  HADAL_TRY(executor.prepare(names::program::gradients)),
                                  HADAL_TRY(executor.prepare(names::program::evaluate)),
                                  HADAL_TRY(executor.prepare(names::program::norms)),
                                  HADAL_TRY(executor.prepare(names::program::optimizer)),
                                  {}};
  if (executor.module().findProgram(names::program::quantizeWeights))
    programs.quantizeWeights.emplace(HADAL_TRY(executor.prepare(names::program::quantizeWeights)));
  return std::unique_ptr<Trainer>(new LocalTrainer(table, trainables, executor, std::move(programs),
                                                   std::move(losses), std::move(sums)));
}

/// Runs a program over the micro-batches of a step, down to its losses.
Result<StepResult> LocalTrainer::pass(int64_t step, std::span<const TrainingRow> rows,
                                      ProgramRun &program, GroupSums *groups) {
  Input input = HADAL_TRY(inputOf(step, rows));
  StepResult result;
  result.step = step;
  result.tokens = input.tokens;
  result.predictions = input.counts[0];
  if (groups)
    groups->restart();
  HADAL_TRY(programs.zero.execute());
  if (programs.quantizeWeights)
    HADAL_TRY(programs.quantizeWeights->execute());
  int64_t groupSize = static_cast<int64_t>(input.batches.size()) / table.sum_groups(), done = 0;
  for (const MicroBatch &batch : input.batches) {
    HADAL_TRY(batch.bind(program, input.counts));
    HADAL_TRY(program.execute());
    if (++done % groupSize == 0 && groups)
      HADAL_TRY(groups->endGroup());
  }
  std::vector<float> values(losses.bytes() / sizeof(float));
  HADAL_TRY(executor.download(values.data(), losses.address, losses.bytes()));
  result.takeLosses(values, table.mtp_depth());
  return result;
}

Result<StepResult> LocalTrainer::gradients(int64_t step, std::span<const TrainingRow> rows) {
  StepResult result = HADAL_TRY(pass(step, rows, programs.gradient, sums ? &sums->all : nullptr));
  HADAL_TRY(programs.norms.execute());
  result.gradientNorm =
      *static_cast<const float *>(HADAL_TRY(programs.norms.output(names::argument::gradNorm)).data);
  HADAL_TRY(checkFinite(result));
  return result;
}

Result<StepResult> LocalTrainer::evaluate(int64_t step, std::span<const TrainingRow> rows) {
  return pass(step, rows, programs.evaluate, sums ? &sums->losses : nullptr);
}

Status LocalTrainer::checkFinite(const StepResult &result) const {
  std::string message = notFinite(result);
  if (message.empty())
    return {};
  // Weights first: where they are broken, so is all that comes of them. Finite values can still
  // overflow when they are used.
  if (const TrainedTensor *tensor = HADAL_TRY(trainables.findNotFinite(Values::Weight)))
    message += named(*tensor) + " is not finite";
  else if (const TrainedTensor *tensor = HADAL_TRY(trainables.findNotFinite(Values::Gradient)))
    message += "the gradient of " + named(*tensor) + " is not finite";
  else
    message += "the largest gradient is that of " +
               named(*HADAL_TRY(trainables.findLargest(Values::Gradient))) +
               ", the largest weight in " +
               named(*HADAL_TRY(trainables.findLargest(Values::Weight)));
  return invalidArgument(message);
}

Result<StepResult> LocalTrainer::step(int64_t step, std::span<const TrainingRow> rows,
                                      const OptimizerSettings &options) {
  auto begin = std::chrono::steady_clock::now();
  StepResult result = HADAL_TRY(gradients(step, rows));
  HADAL_TRY(bindSettings(programs.optimizer, options, step));
  HADAL_TRY(programs.optimizer.execute());
  trainables.noteChange();
  result.rate =
      *static_cast<const float *>(HADAL_TRY(programs.optimizer.output(names::argument::lr)).data);
  TensorView violation = HADAL_TRY(programs.optimizer.output(names::argument::violation));
  auto *first = static_cast<const float *>(violation.data);
  result.violation.assign(first, first + violation.shape[0]);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}
