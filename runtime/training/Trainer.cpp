//===- Trainer.cpp - steps of training ----------------------------------===//

#include "runtime/training/Trainer.h"

#include "runtime/training/GroupSums.h"

#include <algorithm>
#include <chrono>

using namespace hadal;

std::array<double, 16> OptimizerSettings::at(int64_t step) const {
  return {double(step), double(static_cast<int>(schedule)), rate, double(warmupSteps), double(totalSteps), finalRate, double(holdSteps),
          weightDecay,  clip, beta1, beta2, epsilon, averageDecay};
}

double StepResult::mtpLoss() const {
  double sum = 0;
  for (float loss : mtpLosses)
    sum += loss;
  return mtpLosses.empty() ? 0 : sum / static_cast<double>(mtpLosses.size());
}

Result<Trainer::Input> Trainer::inputOf(int64_t step, std::span<const TrainingRow> rows) const {
  if (static_cast<int64_t>(rows.size()) != rowsOfStep())
    return invalidArgument("step " + std::to_string(step) + ": wants " + std::to_string(rowsOfStep()) + " rows, got " + std::to_string(rows.size()));
  Input input;
  PredictionCounts counts;
  for (int64_t i = 0; i < table.micro_batches(); ++i) {
    input.batches.emplace_back(rows.subspan(i * table.micro_batch(), table.micro_batch()), table.mtp_depth());
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
  auto spelled = [](float value) { return std::string(value != value ? "nan" : value > 0 ? "infinite" : "-infinite"); };
  auto bad = [](float value) { return !allFinite({&value, 1}); };
  std::string message = "step " + std::to_string(result.step) + ": ";
  if (bad(result.loss))
    message += "the loss is " + spelled(result.loss) + "; ";
  for (size_t d = 0; d < result.mtpLosses.size(); ++d)
    if (bad(result.mtpLosses[d]))
      message += "the loss of MTP depth " + std::to_string(d + 1) + " is " + spelled(result.mtpLosses[d]) + "; ";
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

/// One rank: program `gradients` takes a micro-batch whole.
class LocalTrainer final : public Trainer {
public:
  LocalTrainer(const fb::Training &table, Trainables &trainables, ProgramRun zero, ProgramRun gradient, ProgramRun norms, ProgramRun optimizer,
               std::span<const float> losses, std::optional<GroupSums> sums)
      : Trainer(table, trainables), zero(std::move(zero)), gradient(std::move(gradient)), norms(std::move(norms)),
        optimizer(std::move(optimizer)), losses(losses), sums(std::move(sums)) {}

  Result<StepResult> gradients(int64_t step, std::span<const TrainingRow> rows) override;
  Result<StepResult> step(int64_t step, std::span<const TrainingRow> rows, const OptimizerSettings &settings) override;

private:
  Status checkFinite(const StepResult &result) const;

  ProgramRun zero, gradient, norms, optimizer;
  std::span<const float> losses; ///< the state: main, each depth, each routing layer's balance
  std::optional<GroupSums> sums; ///< where micro-batches are summed in groups
};

} // namespace

Result<std::unique_ptr<Trainer>> Trainer::create(Executor &executor, Trainables &trainables) {
  const fb::Training &table = *HADAL_TRY(trainingOf(executor.module()));
  TensorView losses = HADAL_TRY(executor.state("losses"));
  int64_t wanted = 1 + table.mtp_depth() + int64_t(table.moe_layers()->size());
  if (losses.element != ElementType::F32 || losses.shape != Shape{wanted})
    return invalidFile(executor.module().path() + ": state losses: wants F32 [" + std::to_string(wanted) + "], has " +
                       std::string(elementTypeName(losses.element)) + " " + toString(losses.shape));
  std::optional<GroupSums> sums;
  if (table.sum_groups() > 1) {
    sums.emplace(HADAL_TRY(GroupSums::create(executor, table.sum_groups())));
    for (const fb::State *state : *executor.module().tables().states())
      if (state->name()->string_view().starts_with("gradient.") || state->name()->string_view() == "losses")
        HADAL_TRY(sums->add(state->name()->str()));
  }
  return std::unique_ptr<Trainer>(new LocalTrainer(table, trainables, HADAL_TRY(executor.prepare("zero")), HADAL_TRY(executor.prepare("gradients")),
                                                   HADAL_TRY(executor.prepare("norms")), HADAL_TRY(executor.prepare("optimizer")),
                                                   {static_cast<const float *>(losses.data), size_t(wanted)}, std::move(sums)));
}

Result<StepResult> LocalTrainer::gradients(int64_t step, std::span<const TrainingRow> rows) {
  Input input = HADAL_TRY(inputOf(step, rows));
  StepResult result;
  result.step = step;
  result.tokens = input.tokens;
  if (sums)
    sums->restart();
  HADAL_TRY(zero.execute());
  int64_t groupSize = table.micro_batches() / table.sum_groups(), done = 0;
  for (const MicroBatch &batch : input.batches) {
    HADAL_TRY(batch.bind(gradient, input.counts));
    HADAL_TRY(gradient.execute());
    if (++done % groupSize == 0 && sums)
      HADAL_TRY(sums->endGroup());
  }
  result.loss = losses[0];
  auto balances = losses.begin() + 1 + table.mtp_depth();
  result.mtpLosses.assign(losses.begin() + 1, balances);
  for (float loss : std::span(balances, losses.end()))
    result.balanceLoss += loss;
  HADAL_TRY(norms.execute());
  result.gradientNorm = *static_cast<const float *>(HADAL_TRY(norms.output("grad_norm")).data);
  HADAL_TRY(checkFinite(result));
  return result;
}

Status LocalTrainer::checkFinite(const StepResult &result) const {
  std::string message = notFinite(result);
  if (message.empty())
    return {};
  // Weights first: where they are broken, so is all that comes of them. Finite values can still overflow when they are used.
  if (const TrainedTensor *tensor = trainables.findNotFinite(Values::Weight))
    message += named(*tensor) + " is not finite";
  else if (const TrainedTensor *tensor = trainables.findNotFinite(Values::Gradient))
    message += "the gradient of " + named(*tensor) + " is not finite";
  else
    message += "the largest gradient is that of " + named(*trainables.findLargest(Values::Gradient)) + ", the largest weight in " +
               named(*trainables.findLargest(Values::Weight));
  return invalidArgument(message);
}

Result<StepResult> LocalTrainer::step(int64_t step, std::span<const TrainingRow> rows, const OptimizerSettings &options) {
  auto begin = std::chrono::steady_clock::now();
  StepResult result = HADAL_TRY(gradients(step, rows));
  std::array<double, 16> settings = options.at(step);
  HADAL_TRY(optimizer.bind("settings", TensorView::of(std::span<const double>(settings))));
  HADAL_TRY(optimizer.execute());
  result.rate = *static_cast<const float *>(HADAL_TRY(optimizer.output("lr")).data);
  TensorView violation = HADAL_TRY(optimizer.output("violation"));
  auto *first = static_cast<const float *>(violation.data);
  result.violation.assign(first, first + violation.shape[0]);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}
