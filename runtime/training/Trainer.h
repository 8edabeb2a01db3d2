//===- Trainer.h - steps of training ------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_TRAINER_H
#define HADAL_RUNTIME_TRAINING_TRAINER_H

#include "runtime/training/MicroBatch.h"
#include "runtime/training/Schedule.h"
#include "runtime/training/Trainables.h"

#include <memory>

namespace hadal {

struct OptimizerSettings : RateSettings {
  double weightDecay = 0.1, clip = 1, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double averageDecay = 0; ///< of the moving average of the weights; 0: none

  /// In step `step`, the first being 1.
  StepSettings at(int64_t step) const;
};

/// The figures of a step, before its update.
struct StepResult {
  int64_t step = 0;
  float loss = 0;               ///< next-token cross-entropy
  std::vector<float> mtpLosses; ///< of each depth, unweighted
  float balanceLoss = 0;        ///< weighted
  float gradientNorm = 0;       ///< before clipping
  float rate = 0;
  std::vector<float> violation; ///< of each layer with experts: largest load / mean load - 1
  int64_t tokens = 0;
  int64_t predictions = 0; ///< tokens that `loss` is the mean over
  double seconds = 0;

  /// From the state `losses`: main, each depth of MTP, each routing layer's balance.
  void takeLosses(std::span<const float> losses, int64_t depths);

  /// Mean over the depths; 0 without any.
  double mtpLoss() const;
};

/// Runs the programs of a training module on its weights. For the executor's thread.
class Trainer {
public:
  /// For one rank. Executor and trainables must outlive the trainer.
  static Result<std::unique_ptr<Trainer>> create(Executor &executor, Trainables &trainables);
  virtual ~Trainer() = default;

  /// Rows that make up a whole step.
  int64_t rowsOfStep() const { return table.micro_batch() * table.micro_batches(); }
  /// Rows of a micro-batch.
  int64_t rowsOfBatch() const { return table.micro_batch(); }
  /// Most micro-batches of a step, and the groups that they are summed in.
  int64_t microBatches() const { return table.micro_batches(); }
  int64_t sumGroups() const { return table.sum_groups(); }

  /// Sums up the gradients and losses of a step's rows, leaving the weights as they are.
  /// Micro-batch i has rows i*B to i*B + B-1; there are as many as the module has, or fewer (a
  /// multiple of its sum groups): each group takes as many, and the bits are those of any other
  /// layout with the same groups. Errors name what is not finite: "step 7: the loss is nan;
  /// gradient of model.layers.3.mlp.gate.weight (layer 3) is not finite".
  virtual Result<StepResult> gradients(int64_t step, std::span<const TrainingRow> rows) = 0;

  /// Losses of rows as `gradients` counts them, forward only. Neither weights nor gradients change,
  /// and the next step does not know of it. Unsupported where the module has no program for that. A
  /// loss that is not finite is no error.
  virtual Result<StepResult> evaluate(int64_t step, std::span<const TrainingRow> rows) = 0;

  /// gradients, and the update of weights, moments and routing biases.
  virtual Result<StepResult> step(int64_t step, std::span<const TrainingRow> rows,
                                  const OptimizerSettings &settings) = 0;

protected:
  Trainer(const fb::Training &table, Trainables &trainables)
      : table(table), trainables(trainables) {}

  /// The micro-batches of a step and what its sums are divided by.
  struct Input {
    std::vector<MicroBatch> batches;
    std::vector<int32_t> counts;
    int64_t tokens = 0;
  };
  Result<Input> inputOf(int64_t step, std::span<const TrainingRow> rows) const;

  /// Gives a program the settings of a step.
  Status bindSettings(ProgramRun &program, const OptimizerSettings &settings, int64_t step);

  /// "step 7: the loss is nan; ", or nothing when all figures are finite.
  static std::string notFinite(const StepResult &result);
  /// "model.norm.weight (outside the layers)".
  static std::string named(const TrainedTensor &tensor);

  const fb::Training &table;
  Trainables &trainables;

private:
  StepSettings stepSettings;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_TRAINER_H
