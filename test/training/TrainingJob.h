//===- TrainingJob.h - the fake job, ready to be trained ----------------===//

#ifndef HADAL_TEST_TRAINING_TRAININGJOB_H
#define HADAL_TEST_TRAINING_TRAININGJOB_H

#include "runtime/device/CpuDevice.h"
#include "runtime/training/Checkpoints.h"
#include "runtime/training/Trainer.h"
#include "test/training/FakeTraining.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <unistd.h>

namespace hadal::test {

inline constexpr int64_t V = fake::trainVocabulary;

/// A fresh executor over the fake job.
struct Job {
  explicit Job(const fake::TrainingShape &shape = {}) {
    auto opened = Module::fromBytes(moduleBytes(fake::trainingPayload(shape)), "fake.hadal");
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    module.emplace(std::move(*opened));
    executor = std::move(*Executor::create(*module, device, weights));
    auto created = Trainables::create(*executor);
    EXPECT_TRUE(created.ok()) << created.error().message;
    trainables.emplace(std::move(*created));
    trainer = std::move(*Trainer::create(*executor, *trainables));
  }

  std::vector<float> values(Values which, size_t number) {
    auto view = trainables->unpack(which, trainables->tensors()[number]);
    EXPECT_TRUE(view.ok());
    auto *data = static_cast<const float *>(view->data);
    return {data, data + *elementCount(view->shape)};
  }

  std::optional<Module> module;
  CpuDevice device{1};
  WeightStore weights;
  std::unique_ptr<Executor> executor;
  std::optional<Trainables> trainables;
  std::unique_ptr<Trainer> trainer;
};

class Training : public testing::Test {
protected:
  void SetUp() override {
    folder = testing::TempDir() + "hadal-training-" + std::to_string(getpid());
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  static std::vector<TrainingRow> rows(int seed = 0) {
    std::vector<TrainingRow> all(4);
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 8; ++i)
        all[r].tokens.push_back((r * 8 + i + seed) * 31 % 256);
    return all;
  }

  static void run(Job &job, int64_t from, int64_t to) {
    OptimizerSettings settings;
    settings.rate = 0.05;
    settings.averageDecay = 0.5;
    settings.totalSteps = 100;
    for (int64_t step = from; step <= to; ++step) {
      auto result = job.trainer->step(step, rows(static_cast<int>(step)), settings);
      ASSERT_TRUE(result.ok()) << result.error().message;
    }
  }

  static CheckpointCompanions companions() {
    CheckpointCompanions all;
    all.config =
        R"({"model_type": "deepseek_v3", "rms_norm_eps": 1e-06, "dtype": "bfloat16", "quantization_config": {}})";
    return all;
  }

  std::string folder;
};

} // namespace hadal::test

#endif // HADAL_TEST_TRAINING_TRAININGJOB_H
