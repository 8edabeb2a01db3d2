//===- TrainingTest.cpp - steps and checkpoints over FakeTraining -------===//

#include "runtime/device/CpuDevice.h"
#include "runtime/training/CheckpointFiles.h"
#include "runtime/training/Checkpoints.h"
#include "runtime/training/Trainer.h"
#include "test/runtime/SystemCalls.h"
#include "test/training/FakeTraining.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <unistd.h>

using namespace hadal;
namespace fs = std::filesystem;

namespace {

constexpr int64_t V = fake::trainVocabulary;

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
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }

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

std::vector<std::string> namesUnder(const std::string &folder) {
  std::vector<std::string> names;
  for (const auto &entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

template <typename T> Status statusOf(const Result<T> &result) {
  return result.ok() ? Status() : Status(result.error());
}

std::string contents(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

} // namespace

// Elements of a stack have names of their own; a routing bias has neither gradient nor moments.
TEST_F(Training, Names) {
  Job job;
  const auto &tensors = job.trainables->tensors();
  ASSERT_EQ(tensors.size(), 5u);
  EXPECT_EQ(tensors[2].name, "model.layers.1.mlp.experts.1.up_proj.weight");
  EXPECT_EQ(tensors[2].shape, (Shape{2, 3}));
  EXPECT_EQ(tensors[0].aliases, std::vector<std::string>{"model.layers.2.embed_tokens.weight"});
  EXPECT_FALSE(job.trainables->has(Values::Gradient, tensors[4]));
  EXPECT_TRUE(job.trainables->has(Values::Average, tensors[0]));
  fake::TrainingShape shape;
  shape.averages = false;
  EXPECT_FALSE(Job(shape).trainables->has(Values::Average, tensors[0]));
  EXPECT_EQ(layerOf(tensors[2].name), "layer 1");
  EXPECT_EQ(layerOf(tensors[0].name), "");
}

// Drawn weights follow seed and name: the experts differ from each other, and the same seed gives
// the same bits.
TEST_F(Training, Draws) {
  Job a, b, c;
  ASSERT_TRUE(a.trainables->draw(5).ok());
  ASSERT_TRUE(b.trainables->draw(5).ok());
  ASSERT_TRUE(c.trainables->draw(6).ok());
  for (size_t i = 0; i < 5; ++i)
    EXPECT_EQ(a.values(Values::Weight, i), b.values(Values::Weight, i));
  EXPECT_NE(a.values(Values::Weight, 0), c.values(Values::Weight, 0));
  EXPECT_NE(a.values(Values::Weight, 1), a.values(Values::Weight, 2));
  for (float value : a.values(Values::Weight, 1))
    EXPECT_TRUE(value >= 0.5f && value <= 1.5f) << value;
  EXPECT_EQ(a.values(Values::Weight, 4), std::vector<float>(3, 0));
}

// The places of the schedules in a run of 14,800 steps are the report's, a step a billion tokens;
// another run's are scaled to it.
TEST(Schedule, Places) {
  RateSettings run;
  run.schedule = Schedule::Report;
  run.rate = 2.2e-4;
  run.totalSteps = 14800;
  run.warmupSteps = 20;
  ASSERT_TRUE(run.complete({}).ok());
  EXPECT_EQ(run.holdSteps, 10000);
  EXPECT_EQ(run.fallSteps, 14300);
  EXPECT_EQ(run.lastSteps, 14633);
  EXPECT_DOUBLE_EQ(run.finalRate, 2.2e-5);
  EXPECT_DOUBLE_EQ(run.lastRate, 7.3e-6);
  run.totalSteps = 148;
  ASSERT_TRUE(run.complete({}).ok());
  EXPECT_EQ(run.holdSteps, 100);
  run.schedule = Schedule::Wsd;
  run.totalSteps = 100;
  ASSERT_TRUE(run.complete({}).ok());
  EXPECT_EQ(run.holdSteps, 90);
  EXPECT_EQ(run.finalRate, 0);
}

// What a schedule has no use for, and what does not fit into the run, is refused by its option.
TEST(Schedule, Refused) {
  auto refused = [](Schedule schedule, int64_t warmup, const ScheduleWishes &wishes) {
    RateSettings run;
    run.schedule = schedule;
    run.warmupSteps = warmup;
    run.totalSteps = 100;
    Status status = run.complete(wishes);
    return status.ok() ? std::string("accepted")
                       : status.error().message.substr(0, status.error().message.find(':'));
  };
  ScheduleWishes finalRate{.finalRate = 1e-4, .lastRate = {}, .holdSteps = {}, .decayShare = {}},
      lastRate{.finalRate = {}, .lastRate = 1e-5, .holdSteps = {}, .decayShare = {}},
      hold{.finalRate = {}, .lastRate = {}, .holdSteps = 50, .decayShare = {}},
      share{.finalRate = {}, .lastRate = {}, .holdSteps = {}, .decayShare = 0.5};
  for (Schedule one : {Schedule::Constant, Schedule::Cosine, Schedule::Report, Schedule::Wsd}) {
    bool isReport = one == Schedule::Report;
    EXPECT_EQ(refused(one, 0, {}), "accepted");
    EXPECT_EQ(refused(one, 101, {}), "--warmup");
    EXPECT_EQ(refused(one, 0, finalRate), one == Schedule::Constant ? "--final-lr" : "accepted");
    EXPECT_EQ(refused(one, 0, lastRate), isReport ? "accepted" : "--last-lr");
    EXPECT_EQ(refused(one, 0, hold), isReport ? "accepted" : "--hold");
    EXPECT_EQ(refused(one, 0, share), one == Schedule::Wsd ? "accepted" : "--lr-decay-share");
  }
  EXPECT_EQ(refused(Schedule::Constant, 100, {}), "accepted");
  EXPECT_EQ(refused(Schedule::Report, 51, hold), "--hold");
  EXPECT_EQ(refused(Schedule::Report, 97, {}), "--warmup") << "the cosine ends at step 96";
  EXPECT_EQ(refused(Schedule::Wsd, 51, share), "--lr-decay-share");
  hold.holdSteps = 97;
  EXPECT_EQ(refused(Schedule::Report, 0, hold), "--hold");
}

// A batch grows from its first size in a line, in multiples of the groups, and is whole after its
// steps.
TEST(Schedule, BatchRamp) {
  auto ramp = BatchRamp::parse("2:8");
  ASSERT_TRUE(ramp.ok());
  std::vector<int64_t> grown, grouped;
  for (int64_t step = 1; step <= 10; ++step) {
    grown.push_back(ramp->at(step, 10, 1));
    grouped.push_back(ramp->at(step, 10, 2));
  }
  EXPECT_EQ(grown, (std::vector<int64_t>{2, 3, 4, 5, 6, 7, 8, 9, 10, 10}));
  EXPECT_EQ(grouped, (std::vector<int64_t>{2, 2, 4, 4, 6, 6, 8, 8, 10, 10}));
  EXPECT_EQ(BatchRamp().at(1, 10, 2), 10);
  EXPECT_TRUE(ramp->check(10, 2).ok());
  EXPECT_FALSE(ramp->check(2, 1).ok()) << "does not grow";
  EXPECT_FALSE(ramp->check(12, 4).ok()) << "no multiple of the groups";
  for (const char *text : {"", "4", "4:", ":4", "0:4", "4:0", "-1:4", "4:4x", "4:4:4", " 4:4",
                           "99999999999999999999:1"})
    EXPECT_FALSE(BatchRamp::parse(text).ok()) << text;
}

// Evaluation tells the loss of rows, of a smaller batch too, and no bit of the run that goes on
// knows of it.
TEST_F(Training, EvaluationLeavesNoTrace) {
  Job plain, other;
  for (Job *job : {&plain, &other}) {
    ASSERT_TRUE(job->trainables->draw(5).ok());
    job->trainables->startAverages();
  }
  run(plain, 1, 3);
  run(other, 1, 1);
  auto all = rows(2);
  auto two = other.trainer->evaluate(1, std::span(all).first(2)),
       whole = other.trainer->evaluate(1, all);
  ASSERT_TRUE(two.ok() && whole.ok());
  EXPECT_EQ(two->predictions, 2 * 7);
  EXPECT_EQ(whole->predictions, 4 * 7);
  auto next = other.trainer->gradients(2, all);
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(whole->loss, next->loss);
  EXPECT_EQ(whole->mtpLosses, next->mtpLosses);
  EXPECT_NE(two->loss, whole->loss);
  run(other, 2, 2);
  EXPECT_TRUE(other.trainer->evaluate(2, all).ok());
  run(other, 3, 3);
  for (size_t i = 0; i < plain.trainables->tensors().size(); ++i)
    EXPECT_EQ(plain.values(Values::Weight, i), other.values(Values::Weight, i))
        << plain.trainables->tensors()[i].name;
  EXPECT_FALSE(other.trainer->evaluate(2, std::span(all).first(3)).ok()) << "no whole micro-batch";
}

// Losses are means over the step: micro-batches add up, and the counts are the step's.
TEST_F(Training, LossByHand) {
  Job job;
  auto all = rows();
  double loss = 0, mtp = 0;
  for (const TrainingRow &row : all)
    for (size_t i = 0; i + 1 < 8; ++i) {
      double d = row.tokens[i + 1] / double(V);
      loss += d * d / (4 * 7);
      if (i + 2 < 8)
        mtp += (row.tokens[i + 2] / double(V)) * (row.tokens[i + 2] / double(V)) / (4 * 6);
    }
  auto result = job.trainer->gradients(1, all);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_NEAR(result->loss, loss, 1e-6); // f32 sums of 28 terms below 1
  ASSERT_EQ(result->mtpLosses.size(), 1u);
  EXPECT_NEAR(result->mtpLosses[0], mtp, 1e-6);
  EXPECT_FLOAT_EQ(result->balanceLoss, 0.5f);
  EXPECT_EQ(result->tokens, 32);
  auto again = job.trainer->gradients(2, all);
  EXPECT_EQ(again->loss, result->loss) << "a step begins at zero";
  EXPECT_FALSE(job.trainer->gradients(1, std::span(all).first(3)).ok());
}

// A depth in which nothing is asked has the loss 0.
TEST_F(Training, DepthWithoutPredictions) {
  Job job;
  auto all = rows();
  for (TrainingRow &row : all) {
    row.labels.assign(8, -1);
    row.labels[1] = row.tokens[1];
  }
  auto result = job.trainer->gradients(1, all);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_GT(result->loss, 0);
  EXPECT_EQ(result->mtpLosses[0], 0);
  all.assign(4, {std::vector<int32_t>(8, 3), std::vector<int32_t>(8, -1), {}});
  EXPECT_NE(job.trainer->gradients(1, all).error().message.find("nothing to predict"),
            std::string::npos);
}

// Micro-batches add up in their groups, groups in a tree: ((1 + 2) + (3 + 4)), to the bit.
TEST_F(Training, SumsInGroups) {
  fake::TrainingShape shape;
  shape.microBatches = 4;
  std::vector<TrainingRow> all;
  float chain = 0, tree = 0;
  // Rows whose losses say in which order they are added. Weights are 0.
  for (int seed = 1; chain == tree; ++seed) {
    ASSERT_LT(seed, 1000);
    all = rows();
    for (TrainingRow &row : rows(seed))
      all.push_back(row);
    std::vector<float> each;
    for (size_t batch = 0; batch < 4; ++batch) {
      float loss = 0;
      for (size_t row = 2 * batch; row < 2 * batch + 2; ++row)
        for (size_t i = 0; i + 1 < 8; ++i) {
          float difference = 0 - static_cast<float>(all[row].tokens[i + 1]) / V;
          loss += difference * difference;
        }
      each.push_back(loss / 56);
    }
    chain = ((each[0] + each[1]) + each[2]) + each[3];
    tree = (each[0] + each[1]) + (each[2] + each[3]);
  }
  auto lossOf = [&](Job &job) {
    auto result = job.trainer->gradients(1, all);
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result->loss;
  };
  Job one(shape);
  EXPECT_EQ(lossOf(one), chain);
  shape.sumGroups = 2;
  Job two(shape);
  EXPECT_EQ(lossOf(two), tree);
  EXPECT_EQ(lossOf(two), tree) << "again";
}

// A run that stops, is read back and goes on has the weights, moments and averages of one that does
// not stop.
TEST_F(Training, ResumesBitForBit) {
  Job whole, first, second;
  ASSERT_TRUE(whole.trainables->draw(1).ok());
  ASSERT_TRUE(first.trainables->draw(1).ok());
  whole.trainables->startAverages();
  first.trainables->startAverages();
  run(whole, 1, 9);
  run(first, 1, 4);
  {
    auto checkpoints = Checkpoints::open(folder + "/out", 0);
    ASSERT_TRUE(checkpoints.ok()) << checkpoints.error().message;
    EXPECT_FALSE(Checkpoints::open(folder + "/out", 0).ok()) << "two writers";
    Status written = checkpoints->write(*first.trainables, {4, {"k", 1, 2, 3}, {}}, companions());
    ASSERT_TRUE(written.ok()) << written.error().message;
  }
  auto newest = newestCheckpoint(folder + "/out");
  ASSERT_EQ(newest, folder + "/out/step-00000004");
  auto opened = Checkpoint::open(*newest);
  ASSERT_TRUE(opened.ok());
  auto manifest = verifyCheckpoint(*newest);
  ASSERT_TRUE(manifest.ok()) << manifest.error().message;
  EXPECT_EQ(manifest->progress.step, 4);
  EXPECT_EQ(manifest->progress.data.key, "k");
  EXPECT_EQ(manifest->progress.data.seed, 1u);
  EXPECT_EQ(manifest->progress.data.epoch, 2u);
  EXPECT_EQ(manifest->progress.data.row, 3u);
  Status resumed = resumeFrom(*newest, *opened, *second.trainables);
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  run(second, 5, 9);
  for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment, Values::Average})
    for (size_t i = 0; i < 5; ++i)
      if (whole.trainables->has(values, whole.trainables->tensors()[i]))
        EXPECT_EQ(whole.values(values, i), second.values(values, i))
            << valuesName(values) << " " << i;
}

// A checkpoint is a model that others read: its configuration, every expert by name, copies, and
// tensors that are not trained.
TEST_F(Training, CheckpointContents) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::vector<uint16_t> halves = {1, 2, 3};
  std::vector<float> old(V * 2, 7);
  fs::create_directories(folder + "/source");
  std::vector<NamedTensor> source = {
      {"model.layers.2.embed_tokens.weight", TensorView::of(old, {V, 2})},
      {"other", {ElementType::BF16, {3}, halves.data()}}};
  ASSERT_TRUE(writeSafetensors(folder + "/source/model.safetensors", source).ok());
  std::ofstream(folder + "/source/tokenizer.json") << "{}";
  auto from = Checkpoint::open(folder + "/source");
  ASSERT_TRUE(from.ok());
  auto all = companions();
  all.source = &*from;
  all.tokenizer = *readTokenizerFiles(folder + "/source");
  auto checkpoints = Checkpoints::open(folder + "/out", 0);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {100, {}, {}}, all).ok());
  std::string path = folder + "/out/step-00000100";
  auto file = Safetensors::open(path + "/model.safetensors");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->tensors().size(), 7u);
  EXPECT_EQ(file->metadata().at("format"), "pt");
  Tensor table = file->read("model.embed_tokens.weight").value(),
         copy = file->read("model.layers.2.embed_tokens.weight").value();
  EXPECT_TRUE(
      std::equal(table.as<float>().begin(), table.as<float>().end(), copy.as<float>().begin()))
      << "a fresh copy";
  EXPECT_EQ(std::vector<float>(table.as<float>().begin(), table.as<float>().end()),
            job.values(Values::Weight, 0));
  EXPECT_EQ(file->find("other")->element, ElementType::BF16);
  auto config = nlohmann::json::parse(contents(path + "/config.json"));
  EXPECT_EQ(config["dtype"], "float32");
  EXPECT_FALSE(config.contains("torch_dtype"));
  EXPECT_FALSE(config.contains("quantization_config"));
  EXPECT_EQ(config["rms_norm_eps"], 1e-6);
  EXPECT_EQ(contents(path + "/tokenizer.json"), "{}");
  EXPECT_FALSE(fs::exists(path + "/optimizer/config.json"));
}

// Weights beyond a file's size lie in shards with an index, and are read back as one checkpoint.
TEST_F(Training, Shards) {
  Job job, other;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  OwnTensors own(*job.trainables);
  CheckpointFolder to(folder);
  ASSERT_TRUE(writeWeights(to, "", *job.trainables, own, 1, nullptr, {.limit = 2100}).ok());
  EXPECT_EQ(to.files().size(), 4u);
  EXPECT_TRUE(fs::exists(folder + "/model-00001-of-00003.safetensors"));
  auto opened = Checkpoint::open(folder);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->size(), 6u);
  ASSERT_TRUE(other.trainables->load(*opened).ok());
  for (size_t i = 0; i < 5; ++i)
    EXPECT_EQ(job.values(Values::Weight, i), other.values(Values::Weight, i));
}

// Half-written folders are no checkpoints, and are removed by the next run; old ones go when only
// some are kept. A run that goes on from an older checkpoint renames those that it meets.
TEST_F(Training, Folders) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out";
  for (const char *name : {"/.step-00000900.part/optimizer", "/.step-00000900.old", "/.best.part",
                           "/.step-mine.part", "/.step-00000900"})
    fs::create_directories(out + name);
  EXPECT_EQ(newestCheckpoint(out), std::nullopt);
  auto write = [&](Checkpoints &checkpoints, int64_t step) {
    Status written = checkpoints.write(*job.trainables, {step, {}, {}}, companions());
    ASSERT_TRUE(written.ok()) << written.error().message;
  };
  {
    auto checkpoints = Checkpoints::open(out, 2);
    EXPECT_EQ(namesUnder(out),
              (std::vector<std::string>{".lock", ".step-00000900", ".step-mine.part"}))
        << "others' folders stay";
    for (int64_t step : {2, 6, 10})
      write(*checkpoints, step);
    EXPECT_EQ(checkpointsUnder(out),
              (std::vector<std::string>{out + "/step-00000006", out + "/step-00000010"}));
    write(*checkpoints, 4);
    write(*checkpoints, 10);
    write(*checkpoints, 10);
  }
  EXPECT_EQ(namesUnder(out),
            (std::vector<std::string>{".lock", ".step-00000900", ".step-mine.part", "step-00000004",
                                      "step-00000006.replaced", "step-00000010",
                                      "step-00000010.replaced", "step-00000010.replaced-2"}));
  EXPECT_EQ(newestCheckpoint(out), out + "/step-00000010");
  EXPECT_EQ(newestCheckpoint(out + "/step-00000004"), out + "/step-00000004");
  { auto unused = Checkpoints::open(folder + "/unused", 0); }
  EXPECT_FALSE(fs::exists(folder + "/unused"));
}

// `step-` and digits, and nothing else, is a checkpoint; steps are numbers; copies are neither
// picked nor removed.
TEST_F(Training, OnlyStepsAreCheckpoints) {
  EXPECT_EQ(stepOfName("out/step-00000012"), 12);
  EXPECT_EQ(stepOfName("out/step-100000000/"), 100'000'000);
  for (const char *name : {"step-", "step-best", "step-00000002.bak", "step-1e3", "step-+1",
                           "step--1", "step- 1", "xstep-1", "best", "step-99999999999999999999"})
    EXPECT_EQ(stepOfName(name), std::nullopt) << name;

  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out";
  auto checkpoints = Checkpoints::open(out, 2);
  auto write = [&](int64_t step) {
    ASSERT_TRUE(checkpoints->write(*job.trainables, {step, {}, {}}, companions()).ok());
  };
  write(99'999'998);
  for (const char *copy :
       {"step-best", "step-99999998.bak", "step-00000007", "my copy", "step-best.part"})
    fs::copy(out + "/step-99999998", out + "/" + copy, fs::copy_options::recursive);
  for (int64_t step : {99'999'999, 100'000'000, 100'000'001})
    write(step);
  EXPECT_EQ(namesUnder(out),
            (std::vector<std::string>{".lock", "my copy", "step-00000007", "step-100000000",
                                      "step-100000001", "step-99999998.bak", "step-best",
                                      "step-best.part"}));
  EXPECT_EQ(newestCheckpoint(out), out + "/step-100000001");
  Status renamed = statusOf(verifyCheckpoint(out + "/step-00000007"));
  ASSERT_FALSE(renamed.ok());
  EXPECT_NE(renamed.error().message.find("is of step 99999998, its folder is called step-00000007"),
            std::string::npos)
      << renamed.error().message;
  // With a file removed it is still the newest, and is refused by that file's name.
  fs::remove(out + "/step-100000001/optimizer/training.json");
  EXPECT_EQ(newestCheckpoint(out), out + "/step-100000001");
  EXPECT_NE(
      verifyCheckpoint(out + "/step-100000001").error().message.find("training.json: No such file"),
      std::string::npos);
  EXPECT_EQ(newestWholeBeside(out + "/step-100000001"), out + "/step-100000000");
}

// `best` is replaced by the run, never picked, and put aside where a person has made it.
TEST_F(Training, Best) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out";
  auto checkpoints = Checkpoints::open(out, 1);
  auto best = [&](int64_t step, double loss) {
    TrainingProgress progress{step, {}, {}};
    progress.best = BestStep{step, loss};
    Status written = checkpoints->writeBest(*job.trainables, progress, companions());
    ASSERT_TRUE(written.ok()) << written.error().message;
  };
  EXPECT_FALSE(holdsBest(out));
  best(3, 2.5);
  EXPECT_TRUE(holdsBest(out));
  EXPECT_EQ(newestCheckpoint(out), std::nullopt);
  best(5, 2.25);
  EXPECT_EQ(namesUnder(out), (std::vector<std::string>{".lock", "best"}));
  ASSERT_TRUE(checkpoints->write(*job.trainables, {2, {}, {}}, companions()).ok());
  ASSERT_TRUE(checkpoints->write(*job.trainables, {4, {}, {}}, companions()).ok());
  EXPECT_EQ(namesUnder(out), (std::vector<std::string>{".lock", "best", "step-00000004"}));
  EXPECT_EQ(newestCheckpoint(out), out + "/step-00000004");
  auto manifest = verifyCheckpoint(out + "/best");
  ASSERT_TRUE(manifest.ok()) << manifest.error().message;
  ASSERT_TRUE(manifest->progress.best.has_value());
  EXPECT_EQ(manifest->progress.best->step, 5);
  EXPECT_EQ(manifest->progress.best->loss, 2.25);
  fs::remove_all(out + "/best");
  fs::copy(out + "/step-00000004", out + "/best", fs::copy_options::recursive);
  EXPECT_FALSE(holdsBest(out)) << "a person's copy";
  best(6, 2);
  EXPECT_EQ(namesUnder(out),
            (std::vector<std::string>{".lock", "best", "best.replaced", "step-00000004"}));
}

// Each of 200 flipped bits, a file whose second half is zeros, is cut, longer or missing, is
// refused by the file's name.
TEST_F(Training, DamageIsNoticed) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  job.trainables->startAverages();
  run(job, 1, 2);
  std::string out = folder + "/out", path = out + "/step-00000002";
  auto checkpoints = Checkpoints::open(out, 0, {.limit = 2100});
  auto all = companions();
  all.tokenizer = {{"tokenizer.json", "{\"model\": {}}"}, {"merges.txt", "a b\n"}};
  TrainingProgress progress{2, {"k", 1, 2, 3}, {{"lr", 0.1}}};
  ASSERT_TRUE(checkpoints->write(*job.trainables, progress, all).ok());
  std::vector<std::string> files;
  for (const auto &entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file())
      files.push_back(fs::relative(entry.path(), path));
  std::sort(files.begin(), files.end());
  ASSERT_GE(files.size(), 15u)
      << "shards of weights, averages and moments, their indices, and the rest";
  ASSERT_TRUE(verifyCheckpoint(path).ok());

  std::vector<std::string> missed;
  auto refusedAs = [&](const std::string &name, const std::string &bytes, const std::string &how) {
    std::ofstream(path + "/" + name, std::ios::binary) << bytes;
    Status status = statusOf(verifyCheckpoint(path));
    if (status.ok() || status.error().message.find(name + ": ") == std::string::npos)
      missed.push_back(name + " " + how + ": " + (status.ok() ? "passes" : status.error().message));
  };
  std::mt19937_64 random(1);
  int flips = 0;
  for (const std::string &name : files) {
    std::string whole = contents(path + "/" + name);
    auto flip = [&](uint64_t bit) {
      std::string bytes = whole;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
      refusedAs(name, bytes, "with bit " + std::to_string(bit) + " flipped");
      ++flips;
    };
    if (name ==
        "optimizer/training.json") { // every bit of its last two lines, which hold its own checksum
      for (uint64_t bit = (whole.size() - 32) * 8; bit < whole.size() * 8; ++bit)
        flip(bit);
      for (int i = 0; i < 100; ++i)
        flip(random() % (whole.size() * 8));
    }
    for (int i = 0; i < 8; ++i)
      flip(random() % (whole.size() * 8));
    std::string zeros = whole;
    std::fill(zeros.begin() + static_cast<ptrdiff_t>(zeros.size() / 2), zeros.end(), '\0');
    refusedAs(name, zeros, "with zeros");
    refusedAs(name, whole.substr(0, whole.size() - 1), "cut by one");
    refusedAs(name, whole.substr(0, whole.size() / 2), "cut");
    refusedAs(name, whole + "\n", "longer");
    refusedAs(name, "", "empty");
    fs::remove(path + "/" + name);
    Status gone = statusOf(verifyCheckpoint(path));
    if (gone.ok() || gone.error().message.find(name + ": No such file") == std::string::npos)
      missed.push_back(name + " missing");
    std::ofstream(path + "/" + name, std::ios::binary) << whole;
  }
  EXPECT_GE(flips, 200);
  EXPECT_EQ(missed, std::vector<std::string>{});
  ASSERT_TRUE(verifyCheckpoint(path).ok()) << "put together again";
  // A file that would be read before the shards.
  fs::copy(path + "/model-00001-of-00003.safetensors", path + "/model.safetensors");
  EXPECT_NE(verifyCheckpoint(path).error().message.find(
                "model.safetensors: is no file of this checkpoint"),
            std::string::npos);
}

// Ranks that share the reading find together what one finds alone.
TEST_F(Training, SharedVerification) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out", path = out + "/step-00000002";
  auto checkpoints = Checkpoints::open(out, 0);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {2, {}, {}}, companions()).ok());
  fs::resize_file(path + "/average/model.safetensors", 100);
  int found = 0;
  for (unsigned index = 0; index < 3; ++index)
    found += !verifyCheckpoint(path, {index, 3}).ok();
  EXPECT_EQ(found, 1);
}

// A format that is newer than the program is refused by its number; the first one has no checksums
// and is read.
TEST_F(Training, Formats) {
  Job job, other;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  job.trainables->startAverages();
  run(job, 1, 3);
  std::string out = folder + "/out", path = out + "/step-00000003",
              file = path + "/optimizer/training.json";
  auto checkpoints = Checkpoints::open(out, 0);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {3, {"k", 1, 2, 3}, {}}, companions()).ok());
  std::string text = contents(file);
  std::ofstream(file) << R"({"format": 3, "anything": []})";
  EXPECT_NE(verifyCheckpoint(path).error().message.find(
                "training.json: has format 3, this hadal reads formats up to 2"),
            std::string::npos);
  std::ofstream(file)
      << R"({"format": 2, "step": 3, "data": {"key": "k", "seed": 1, "epoch": 2, "row": 3}, "files": {}})";
  EXPECT_NE(verifyCheckpoint(path).error().message.find("training.json: is damaged"),
            std::string::npos)
      << "no checksum";
  for (const char *bad : {"", "[]", "{}", "{\"format\": 0}", "{\"format\": \"2\"}", "nonsense"}) {
    std::ofstream(file) << bad;
    EXPECT_NE(verifyCheckpoint(path).error().message.find("training.json: "), std::string::npos)
        << bad;
  }
  std::ofstream(file) << "{\"format\": 1, \"step\": " << std::string(200'000, '[');
  EXPECT_NE(verifyCheckpoint(path).error().message.find("training.json: nests deeper than"),
            std::string::npos);
  std::ofstream(file)
      << R"({"format": 1, "step": 3, "data": {"key": "k", "seed": 1, "epoch": 2, "row": 3}, "settings": {}})";
  auto manifest = verifyCheckpoint(path);
  ASSERT_TRUE(manifest.ok()) << manifest.error().message;
  EXPECT_EQ(manifest->progress.data.row, 3u);
  ASSERT_TRUE(resumeFrom(path, *Checkpoint::open(path), *other.trainables).ok());
  for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment, Values::Average})
    for (size_t i = 0; i < 4; ++i)
      EXPECT_EQ(job.values(values, i), other.values(values, i)) << valuesName(values) << " " << i;
}

// BF16 weights are the nearest to the run's own, which the optimizer's shards keep: a run goes on
// bit for bit.
TEST_F(Training, Bfloat16Checkpoints) {
  Job job, other;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  job.trainables->startAverages();
  run(job, 1, 3);
  std::string out = folder + "/out", path = out + "/step-00000003";
  auto checkpoints = Checkpoints::open(out, 0, {.weights = ElementType::BF16, .limit = 2100});
  ASSERT_TRUE(checkpoints->write(*job.trainables, {3, {}, {}}, companions()).ok());
  EXPECT_EQ(nlohmann::json::parse(contents(path + "/config.json"))["dtype"], "bfloat16");
  EXPECT_TRUE(fs::exists(path + "/optimizer/state.safetensors.index.json"));
  auto opened = Checkpoint::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->find("model.layers.1.mlp.gate.e_score_correction_bias")->tensor->element,
            ElementType::F32);
  auto table = *opened->find("model.embed_tokens.weight");
  ASSERT_EQ(table.tensor->element, ElementType::BF16);
  auto *narrow = reinterpret_cast<const uint16_t *>(table.data());
  std::vector<float> own = job.values(Values::Weight, 0);
  bool isRounded = false;
  for (size_t i = 0; i < own.size(); ++i) {
    float value = std::bit_cast<float>(uint32_t(narrow[i]) << 16);
    EXPECT_LE(std::abs(value - own[i]), std::abs(own[i]) / 256) << "half of the last of 8 bits";
    isRounded |= value != own[i];
  }
  EXPECT_TRUE(isRounded);
  Status resumed = resumeFrom(path, *opened, *other.trainables);
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment, Values::Average})
    for (size_t i = 0; i < 5; ++i)
      if (job.trainables->has(values, job.trainables->tensors()[i]))
        EXPECT_EQ(job.values(values, i), other.values(values, i)) << valuesName(values) << " " << i;
}

// All of a checkpoint is on disk before it has its name, and the name before the run goes on.
TEST_F(Training, CheckpointsLast) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  auto checkpoints = Checkpoints::open(folder + "/out", 0);
  test::RecordedCalls calls;
  ASSERT_TRUE(checkpoints->write(*job.trainables, {3, {}, {}}, companions()).ok());
  std::string out = folder + "/out", part = out + "/.step-00000003.part";
  size_t named = calls.placeOf("rename " + out + "/step-00000003");
  ASSERT_LT(named, calls.all().size());
  for (const std::string &one : {part, part + "/optimizer", part + "/average"}) {
    size_t last = 0;
    for (size_t i = 0; i < calls.all().size(); ++i)
      if (calls.all()[i].starts_with("rename " + one + "/"))
        last = i;
    auto synced =
        std::find(calls.all().begin() + last, calls.all().begin() + named, "fsync " + one);
    EXPECT_NE(synced, calls.all().begin() + named) << one << " is not on disk";
  }
  EXPECT_EQ(calls.all().back(), "fsync " + out);
  EXPECT_GT(calls.all().size(), named);
}

// Moments of another shape or kind, or that lie where no number may, are refused by name.
TEST_F(Training, MomentsRefused) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  fs::create_directories(folder + "/optimizer");
  std::string path = folder + "/optimizer/state.safetensors",
              name = "first_moment.model.embed_tokens.weight";
  std::vector<double> wide(V * 2);
  std::vector<float> narrow(V * 2);
  auto said = [&](std::vector<NamedTensor> tensors) {
    EXPECT_TRUE(writeSafetensors(path, tensors).ok());
    Status status = readOptimizer(folder, *job.trainables);
    return status.ok() ? "" : status.error().message;
  };
  std::string wants = path + ": " + name + ": wants F32 [260, 2], file has ";
  EXPECT_EQ(said({{name, TensorView::of(narrow, {2, V})}}), wants + "F32 [2, 260]");
  EXPECT_EQ(said({{name, TensorView::of(wide, {V, 2})}}), wants + "F64 [260, 2]");
  std::vector<uint8_t> byte(1);
  EXPECT_EQ(
      said({{"a", {ElementType::U8, {1}, byte.data()}}, {name, TensorView::of(narrow, {V, 2})}}),
      path + ": " + name + ": lies misaligned");
}

// What the disk does not have as it was written takes no older checkpoint's place.
TEST_F(Training, ReadBack) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  auto checkpoints = Checkpoints::open(folder + "/out", 1);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {1, {}, {}}, companions()).ok());
  {
    test::DamagedWrites damage;
    Status written = checkpoints->write(*job.trainables, {2, {}, {}}, companions());
    ASSERT_FALSE(written.ok());
    EXPECT_NE(
        written.error().message.find("read back after it was written, the older checkpoints stay"),
        std::string::npos)
        << written.error().message;
  }
  EXPECT_EQ(checkpointsUnder(folder + "/out"),
            std::vector<std::string>{folder + "/out/step-00000001"});
  ASSERT_TRUE(checkpoints->write(*job.trainables, {2, {}, {}}, companions()).ok());
  EXPECT_EQ(checkpointsUnder(folder + "/out"),
            std::vector<std::string>{folder + "/out/step-00000002"});
}

// Infinity stops the step and says where it is; weights that are not finite make no checkpoint, and
// leave the last one.
TEST_F(Training, NotFinite) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  auto checkpoints = Checkpoints::open(folder + "/out", 1);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {1, {}, {}}, companions()).ok());
  std::vector<float> expert(6, 1);
  expert[5] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_TRUE(
      job.trainables
          ->pack(Values::Weight, job.trainables->tensors()[2], TensorView::of(expert, {2, 3}))
          .ok());
  // A run looks before its first step.
  EXPECT_EQ(job.trainables->checkFinite().error().message,
            "model.layers.1.mlp.experts.1.up_proj.weight is not finite");
  Job other;
  ASSERT_TRUE(other.trainables->draw(1).ok());
  EXPECT_TRUE(other.trainables->checkFinite().ok());
  ASSERT_TRUE(other.trainables
                  ->pack(Values::SecondMoment, other.trainables->tensors()[2],
                         TensorView::of(expert, {2, 3}))
                  .ok());
  EXPECT_EQ(other.trainables->checkFinite().error().message,
            "the second moment of model.layers.1.mlp.experts.1.up_proj.weight is not finite");

  auto result = job.trainer->gradients(7, rows());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message,
            "step 7: the gradient norm is nan; model.layers.1.mlp.experts.1.up_proj.weight (layer "
            "1) is not finite");
  Status written = checkpoints->write(*job.trainables, {2, {}, {}}, companions());
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().message, "step 2: model.layers.1.mlp.experts.1.up_proj.weight is not "
                                     "finite; no checkpoint is written");
  EXPECT_EQ(checkpointsUnder(folder + "/out"),
            std::vector<std::string>{folder + "/out/step-00000001"});
  for (const auto &entry : fs::directory_iterator(folder + "/out"))
    EXPECT_EQ(entry.path().string().find(".part"), std::string::npos);
}

// The exponent alone tells: the largest finite number is finite, infinities and NaNs are not.
TEST(Finite, Exponents) {
  using Limits = std::numeric_limits<float>;
  EXPECT_TRUE(allFinite(
      std::vector<float>{0.f, -0.f, Limits::max(), Limits::lowest(), Limits::denorm_min()}));
  EXPECT_FALSE(allFinite(std::vector<float>{0.f, Limits::infinity()}));
  EXPECT_FALSE(allFinite(std::vector<float>{-Limits::infinity()}));
  EXPECT_FALSE(allFinite(std::vector<float>{1.f, Limits::quiet_NaN(), 1.f}));
  EXPECT_FALSE(allFinite(std::vector<float>{-Limits::signaling_NaN()}));
}

// What a checkpoint lacks, or has in another form, is said before anything is read.
TEST_F(Training, LoadRefused) {
  Job job;
  std::vector<double> wide(V * 2);
  std::vector<NamedTensor> tensors = {{"model.embed_tokens.weight", TensorView::of(wide, {V, 2})}};
  ASSERT_TRUE(writeSafetensors(folder + "/w.safetensors", tensors).ok());
  auto opened = Checkpoint::open(folder + "/w.safetensors");
  EXPECT_NE(job.trainables->load(*opened).error().message.find(
                "model.embed_tokens.weight: module wants F32, BF16 or F16 [260, 2], file has F64 "
                "[260, 2]"),
            std::string::npos);
  std::vector<float> narrow(V * 2);
  tensors = {{"model.embed_tokens.weight", TensorView::of(narrow, {2, V})}};
  ASSERT_TRUE(writeSafetensors(folder + "/turned.safetensors", tensors).ok());
  auto turned = Checkpoint::open(folder + "/turned.safetensors");
  EXPECT_NE(job.trainables->load(*turned).error().message.find(
                "module wants F32, BF16 or F16 [260, 2], file has F32 [2, 260]"),
            std::string::npos);
  tensors = {{"model.embed_tokens.weight", TensorView::of(narrow, {V, 2})}};
  ASSERT_TRUE(writeSafetensors(folder + "/n.safetensors", tensors).ok());
  auto other = Checkpoint::open(folder + "/n.safetensors");
  EXPECT_NE(job.trainables->load(*other).error().message.find(
                "no tensor 'model.layers.1.mlp.experts.0.up_proj.weight', which the module trains"),
            std::string::npos);
}
