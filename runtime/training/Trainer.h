//===- Trainer.h - steps of training ------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_TRAINER_H
#define HADAL_RUNTIME_TRAINING_TRAINER_H

#include "runtime/training/MicroBatch.h"
#include "runtime/training/Trainables.h"

#include <array>
#include <memory>

namespace hadal {

/// Learning rates over the steps. All begin with a linear warm-up.
enum class Schedule {
  Constant,
  Cosine, ///< from the rate to the final rate at the last step
  Report, ///< constant for some steps, then cosine. Source: DeepSeek-V3, arXiv:2412.19437, section 4.2
};

struct OptimizerSettings {
  Schedule schedule = Schedule::Constant;
  double rate = 1e-3, finalRate = 0;
  int64_t warmupSteps = 0, totalSteps = 0, holdSteps = 0;
  double weightDecay = 0.1, clip = 1, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double averageDecay = 0; ///< of the moving average of the weights; 0: none

  /// What program `optimizer` takes as `settings` in step `step`, the first being 1.
  std::array<double, 16> at(int64_t step) const;
};

/// The figures of a step, before its update.
struct StepResult {
  int64_t step = 0;
  float loss = 0;             ///< next-token cross-entropy
  std::vector<float> mtpLosses; ///< of each depth, unweighted
  float balanceLoss = 0;      ///< weighted
  float gradientNorm = 0;     ///< before clipping
  float rate = 0;
  std::vector<float> violation; ///< of each layer with experts: largest load / mean load - 1
  int64_t tokens = 0;
  double seconds = 0;

  /// Mean over the depths; 0 without any.
  double mtpLoss() const;
};

/// Runs the programs of a training module on its weights.
class Trainer {
public:
  /// For one rank. Executor and trainables must outlive the trainer.
  static Result<std::unique_ptr<Trainer>> create(Executor &executor, Trainables &trainables);
  virtual ~Trainer() = default;

  /// Rows that make up a step: micro-batch i has rows i*B to i*B + B-1.
  int64_t rowsOfStep() const { return table.micro_batch() * table.micro_batches(); }

  /// Sums up the gradients and losses of a step's rows, leaving the weights as they are. Errors name what is not finite:
  /// "step 7: the loss is nan; gradient of model.layers.3.mlp.gate.weight (layer 3) is not finite".
  virtual Result<StepResult> gradients(int64_t step, std::span<const TrainingRow> rows) = 0;

  /// gradients, and the update of weights, moments and routing biases.
  virtual Result<StepResult> step(int64_t step, std::span<const TrainingRow> rows, const OptimizerSettings &settings) = 0;

protected:
  Trainer(const fb::Training &table, Trainables &trainables) : table(table), trainables(trainables) {}

  /// The micro-batches of a step and what its sums are divided by.
  struct Input {
    std::vector<MicroBatch> batches;
    std::vector<int32_t> counts;
    int64_t tokens = 0;
  };
  Result<Input> inputOf(int64_t step, std::span<const TrainingRow> rows) const;

  /// "step 7: the loss is nan; ", or nothing when all figures are finite.
  static std::string notFinite(const StepResult &result);
  /// "model.norm.weight (outside the layers)".
  static std::string named(const TrainedTensor &tensor);

  const fb::Training &table;
  Trainables &trainables;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_TRAINER_H
