//===- TrainingTest.cpp - steps and checkpoints over FakeTraining -------===//

#include "runtime/device/CpuDevice.h"
#include "runtime/training/CheckpointFiles.h"
#include "runtime/training/Checkpoints.h"
#include "runtime/training/Trainer.h"
#include "test/training/FakeTraining.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
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
    all.config = R"({"model_type": "deepseek_v3", "rms_norm_eps": 1e-06, "dtype": "bfloat16", "quantization_config": {}})";
    return all;
  }

  std::string folder;
};

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

// Drawn weights follow seed and name: the experts differ from each other, and the same seed gives the same bits.
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

// A run that stops, is read back and goes on has the weights, moments and averages of one that does not stop.
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
  auto progress = resumeFrom(*newest, *opened, *second.trainables);
  ASSERT_TRUE(progress.ok()) << progress.error().message;
  EXPECT_EQ(progress->step, 4);
  EXPECT_EQ(progress->data.key, "k");
  EXPECT_EQ(progress->data.seed, 1u);
  EXPECT_EQ(progress->data.epoch, 2u);
  EXPECT_EQ(progress->data.row, 3u);
  run(second, 5, 9);
  for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment, Values::Average})
    for (size_t i = 0; i < 5; ++i)
      if (whole.trainables->has(values, whole.trainables->tensors()[i]))
        EXPECT_EQ(whole.values(values, i), second.values(values, i)) << valuesName(values) << " " << i;
}

// A checkpoint is a model that others read: its configuration, every expert by name, copies, and tensors that are not trained.
TEST_F(Training, CheckpointContents) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::vector<uint16_t> halves = {1, 2, 3};
  std::vector<float> old(V * 2, 7);
  fs::create_directories(folder + "/source");
  std::vector<NamedTensor> source = {{"model.layers.2.embed_tokens.weight", TensorView::of(old, {V, 2})},
                                     {"other", {ElementType::BF16, {3}, halves.data()}}};
  ASSERT_TRUE(writeSafetensors(folder + "/source/model.safetensors", source).ok());
  std::ofstream(folder + "/source/tokenizer.json") << "{}";
  auto from = Checkpoint::open(folder + "/source");
  ASSERT_TRUE(from.ok());
  auto all = companions();
  all.source = &*from;
  all.tokenizerFolder = folder + "/source";
  auto checkpoints = Checkpoints::open(folder + "/out", 0);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {100, {}, {}}, all).ok());
  std::string path = folder + "/out/step-00000100";
  auto file = Safetensors::open(path + "/model.safetensors");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->tensors().size(), 7u);
  EXPECT_EQ(file->metadata().at("format"), "pt");
  Tensor table = file->read("model.embed_tokens.weight").value(), copy = file->read("model.layers.2.embed_tokens.weight").value();
  EXPECT_TRUE(std::equal(table.as<float>().begin(), table.as<float>().end(), copy.as<float>().begin())) << "a fresh copy";
  EXPECT_EQ(std::vector<float>(table.as<float>().begin(), table.as<float>().end()), job.values(Values::Weight, 0));
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
  ASSERT_TRUE(writeWeights(folder, *job.trainables, own, 1, nullptr, 2100).ok());
  EXPECT_TRUE(fs::exists(folder + "/model-00001-of-00003.safetensors"));
  auto opened = Checkpoint::open(folder);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->size(), 6u);
  ASSERT_TRUE(other.trainables->load(*opened).ok());
  for (size_t i = 0; i < 5; ++i)
    EXPECT_EQ(job.values(Values::Weight, i), other.values(Values::Weight, i));
}

// Half-written folders are no checkpoints, and are removed by the next run; old ones go when only some are kept.
TEST_F(Training, Folders) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out";
  fs::create_directories(out + "/.step-00000900.part/optimizer");
  fs::create_directories(out + "/step-00000800");
  std::ofstream(out + "/step-00000800/config.json") << "{}";
  EXPECT_EQ(newestCheckpoint(out), std::nullopt);
  {
    auto checkpoints = Checkpoints::open(out, 2);
    EXPECT_FALSE(fs::exists(out + "/.step-00000900.part"));
    for (int64_t step : {2, 10, 4})
      ASSERT_TRUE(checkpoints->write(*job.trainables, {step, {}, {}}, companions()).ok());
    ASSERT_TRUE(checkpoints->write(*job.trainables, {10, {}, {}}, companions()).ok()) << "again";
  }
  EXPECT_EQ(checkpointsUnder(out), (std::vector<std::string>{out + "/step-00000004", out + "/step-00000010"}));
  EXPECT_EQ(newestCheckpoint(out), out + "/step-00000010");
  EXPECT_EQ(newestCheckpoint(out + "/step-00000004"), out + "/step-00000004");
  { auto unused = Checkpoints::open(folder + "/unused", 0); }
  EXPECT_FALSE(fs::exists(folder + "/unused"));
}

// Infinity stops the step and says where it is; weights that are not finite make no checkpoint, and leave the last one.
TEST_F(Training, NotFinite) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  auto checkpoints = Checkpoints::open(folder + "/out", 1);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {1, {}, {}}, companions()).ok());
  std::vector<float> expert(6, 1);
  expert[5] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_TRUE(job.trainables->pack(Values::Weight, job.trainables->tensors()[2], TensorView::of(expert, {2, 3})).ok());
  auto result = job.trainer->gradients(7, rows());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message,
            "step 7: the gradient norm is nan; model.layers.1.mlp.experts.1.up_proj.weight (layer 1) is not finite");
  Status written = checkpoints->write(*job.trainables, {2, {}, {}}, companions());
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().message, "step 2: model.layers.1.mlp.experts.1.up_proj.weight is not finite; no checkpoint is written");
  EXPECT_EQ(checkpointsUnder(folder + "/out"), std::vector<std::string>{folder + "/out/step-00000001"});
  for (const auto &entry : fs::directory_iterator(folder + "/out"))
    EXPECT_EQ(entry.path().string().find(".part"), std::string::npos);
}

// The exponent alone tells: the largest finite number is finite, infinities and NaNs are not.
TEST(Finite, Exponents) {
  using Limits = std::numeric_limits<float>;
  EXPECT_TRUE(allFinite(std::vector<float>{0.f, -0.f, Limits::max(), Limits::lowest(), Limits::denorm_min()}));
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
  EXPECT_NE(job.trainables->load(*opened).error().message.find("model.embed_tokens.weight: module wants F32 or BF16 [260, 2], file has F64 [260, 2]"),
            std::string::npos);
  std::vector<float> narrow(V * 2);
  tensors = {{"model.embed_tokens.weight", TensorView::of(narrow, {V, 2})}};
  ASSERT_TRUE(writeSafetensors(folder + "/n.safetensors", tensors).ok());
  auto other = Checkpoint::open(folder + "/n.safetensors");
  EXPECT_NE(job.trainables->load(*other).error().message.find("no tensor 'model.layers.1.mlp.experts.0.up_proj.weight', which the module trains"),
            std::string::npos);
}
