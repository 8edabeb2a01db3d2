//===- TrainingTest.cpp - steps and weights over the fake job ---------===//

#include "runtime/Finite.h"
#include "test/training/TrainingJob.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

using namespace hadal;
using namespace hadal::test;
namespace fs = std::filesystem;

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

// Evaluation tells the loss of rows, of a smaller batch too, and no bit of the run that goes on
// knows of it.
TEST_F(Training, EvaluationLeavesNoTrace) {
  Job plain, other;
  for (Job *job : {&plain, &other}) {
    ASSERT_TRUE(job->trainables->draw(5).ok());
    ASSERT_TRUE(job->trainables->startAverages().ok());
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
