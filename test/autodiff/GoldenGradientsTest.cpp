//===- GoldenGradientsTest.cpp - gradients of whole models --------------===//
//
// The loss that the frontend builds, differentiated and evaluated in double, gives the losses and
// the gradients that transformers and the plain reference give in f32. The golden folders lie
// beside the clone; without them these tests are skipped.
//
//===--------------------------------------------------------------------===//

#include "test/frontend/Golden.h"

#include "dialects/job/Job.h"
#include "frontend/BuildTraining.h"
#include "passes/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <optional>

using namespace hadal;
using namespace hadal::frontend;

namespace {

using frontend::ModelConfig; // the compiler's, not the runtime's that it is made of

Array vectorOf(std::vector<double> data) {
  return {{static_cast<int64_t>(data.size())}, std::move(data)};
}

/// A golden folder: one batch, and what its losses and gradients are.
class GoldenModel {
public:
  explicit GoldenModel(std::string_view name)
      : folder(std::string(HADAL_SHARED) + "/oracle/" + std::string(name)),
        exists(llvm::sys::fs::exists(folder + "/ckpt/model.safetensors")) {
    if (!exists)
      return;
    golden.emplace(Safetensors::open(folder + "/golden.safetensors").value());
    checkpoint.emplace(Checkpoint::open(folder + "/ckpt").value());
    config.emplace(llvm::cantFail(readModelDescription(folder + "/ckpt")).config);
  }

  struct Result {
    std::vector<double> losses;             ///< total, main, each depth's, balance
    std::map<std::string, Array> gradients; ///< by the checkpoint's names
  };

  Result run(double mtpWeight, double balanceWeight) {
    TrainingOptions options;
    options.mtpWeight = mtpWeight;
    options.balanceWeight = balanceWeight;
    mlir::MLIRContext context;
    auto module = buildTraining(context, *config, options);
    EXPECT_TRUE(mlir::succeeded(module));
    mlir::PassManager passes(&context);
    passes.addPass(createHadalDifferentiate());
    EXPECT_TRUE(mlir::succeeded(passes.run(**module)));

    int64_t depths = mtpWeight != 0 ? config->mtpLayers : 0;
    ModelDescription model = describeTraining(*config, depths);
    GraphInterpreter interpreter(
        [&](llvm::StringRef name) { return readParameter(*checkpoint, *model.find(name)); });
    auto function = (*module)->lookupSymbol<mlir::func::FuncOp>("loss_gradient");
    std::vector<Array> values = interpreter.evaluate(function, batch(depths));
    EXPECT_EQ(interpreter.complaint, "");

    Result result;
    // The total, the main loss, each depth's, and the layers' balance losses as one.
    result.losses = values[0].data;
    auto balances = values[1].data.begin() + 1 + depths;
    result.losses.insert(result.losses.end(), values[1].data.begin(), balances);
    result.losses.push_back(std::accumulate(balances, values[1].data.end(), 0.0));
    for (unsigned i = 0; i < function.getNumResults(); ++i)
      if (auto of =
              function.getResultAttrOfType<mlir::FlatSymbolRefAttr>(i, job::kGradientOfAttr)) {
        const ParameterDescription &parameter = *model.find(of.getValue());
        int64_t each = static_cast<int64_t>(values[i].data.size()) / parameter.count;
        for (int64_t e = 0; e < parameter.count; ++e) {
          Array &sum = result.gradients[parameter.nameOf(e)];
          std::vector<double> here(values[i].data.begin() + e * each,
                                   values[i].data.begin() + (e + 1) * each);
          for (size_t j = 0; j < sum.data.size(); ++j) // of an earlier use
            here[j] += sum.data[j];
          sum = {parameter.shape, here};
        }
      }
    return result;
  }

  double number(std::string_view name) { return readArray(*golden, name).data.at(0); }

  /// Norms and samples under PREFIX.norm.NAME and PREFIX.sample.NAME. The
  /// reference rounds to f32: 2e-5 of the largest element is several times what that makes.
  void compare(const std::map<std::string, Array> &gradients, const std::string &prefix) {
    unsigned compared = 0;
    for (const auto &tensor : golden->tensors()) {
      llvm::StringRef name = tensor.name;
      if (!name.consume_front(prefix + ".sample."))
        continue;
      ++compared;
      Array samples = readArray(*golden, tensor.name);
      auto found = gradients.find(name.str());
      double wantedNorm = number(prefix + ".norm." + name.str());
      if (found == gradients.end()) {
        EXPECT_EQ(wantedNorm, 0) << name.str();
        continue;
      }
      const std::vector<double> &got = found->second.data;
      double norm = 0, largest = 0, difference = 0;
      for (double g : got)
        norm += g * g, largest = std::max(largest, std::abs(g));
      EXPECT_NEAR(std::sqrt(norm), wantedNorm, 1e-5 * wantedNorm + 1e-12) << name.str();
      auto n = static_cast<int64_t>(got.size());
      int64_t step = 0;
      for (int64_t prime : {7919, 7907, 7901, 7883})
        if (!step && std::gcd(prime, n) == 1)
          step = prime;
      for (size_t i = 0; i < samples.data.size(); ++i)
        difference = std::max(difference,
                              std::abs(samples.data[i] - got[static_cast<int64_t>(i) * step % n]));
      EXPECT_LE(difference, 2e-5 * largest + 1e-12) << name.str();
    }
    EXPECT_GT(compared, 20u);
  }

  std::string folder;
  bool exists;
  std::optional<Safetensors> golden;
  std::optional<Checkpoint> checkpoint;
  std::optional<ModelConfig> config;

private:
  /// The arguments of @loss: the sequences one after another; token i predicts i + 1, and at depth
  /// d i + 1 + d.
  std::vector<Array> batch(int64_t depths) {
    Array ids = readArray(*golden, "input_ids");
    int64_t sequences = ids.dim(0), length = ids.dim(1);
    std::vector<double> counts;
    std::vector<std::vector<double>> columns;
    for (int64_t d = 0; d <= depths; ++d) {
      std::vector<double> rows, tokens, positions, targets, offsets{0};
      for (int64_t b = 0; b < sequences; ++b) {
        for (int64_t i = 0; i < length - d; ++i) {
          // Depth d-1 has one row more a sequence.
          rows.push_back(static_cast<double>(b * (length - d + 1) + i));
          tokens.push_back(ids.data[b * length + i + d]);
          positions.push_back(static_cast<double>(i));
          targets.push_back(i + d + 1 < length ? ids.data[b * length + i + d + 1] : -1);
        }
        offsets.push_back(static_cast<double>(rows.size()));
      }
      counts.push_back(static_cast<double>(sequences * (length - 1 - d)));
      if (d == 0)
        columns = {tokens, positions, offsets, targets, {}};
      else
        columns.insert(columns.end(), {rows, tokens, positions, targets, offsets});
    }
    counts.push_back(static_cast<double>(sequences));
    columns[4] = counts;
    std::vector<Array> arguments;
    for (auto &column : columns)
      arguments.push_back(vectorOf(column));
    return arguments;
  }
};

class GoldenGradients : public testing::TestWithParam<const char *> {};

// Next-token cross-entropy alone: what transformers computes.
TEST_P(GoldenGradients, OfTheMainLoss) {
  GoldenModel model(GetParam());
  if (!model.exists)
    GTEST_SKIP() << "no golden folder " << model.folder;
  auto result = model.run(/*mtpWeight=*/0, /*balanceWeight=*/0);
  EXPECT_NEAR(result.losses[0], model.number("train.loss"), 1e-6 * result.losses[0]);
  EXPECT_EQ(result.losses[0], result.losses[1]);
  model.compare(result.gradients, "grad");
}

INSTANTIATE_TEST_SUITE_P(Autodiff, GoldenGradients,
                         testing::Values("nano", "nano-noq", "nano-mtp", "nano-fp8"),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The balance loss reaches the routers: with weight 1 its gradient is the difference to a run
// without.
TEST(GoldenGradients, OfTheBalanceLoss) {
  GoldenModel model("nano-mtp");
  if (!model.exists)
    GTEST_SKIP() << "no golden folder " << model.folder;
  auto without = model.run(0, 0), with = model.run(0, 1);
  EXPECT_NEAR(with.losses.back() * 1e-4, model.number("balance.loss_paper"),
              1e-6 * with.losses.back() * 1e-4);
  unsigned compared = 0;
  for (int64_t layer : model.config->routedLayers()) {
    Array wanted =
        readArray(*model.golden, "balance." + std::to_string(layer) + ".grad_gate_alpha1");
    std::string name = "model.layers." + std::to_string(layer) + ".mlp.gate.weight";
    const auto &a = with.gradients.at(name).data, &b = without.gradients.at(name).data;
    double largest = 0, difference = 0;
    for (size_t i = 0; i < wanted.data.size(); ++i) {
      largest = std::max(largest, std::abs(wanted.data[i]));
      difference = std::max(difference, std::abs(a[i] - b[i] - wanted.data[i]));
    }
    EXPECT_LE(difference, 2e-5 * largest) << name;
    ++compared;
  }
  EXPECT_GT(compared, 0u);
}

// Everything that pre-training adds up: main loss, multi-token prediction, balance. The embedding
// and the head have two uses.
TEST(GoldenGradients, OfMultiTokenPrediction) {
  GoldenModel model("nano-mtp");
  if (!model.exists)
    GTEST_SKIP() << "no golden folder " << model.folder;
  auto result = model.run(0.3, 1e-4);
  const char *names[] = {"mtp.loss_total", "mtp.loss_main", "mtp.loss_mtp", "mtp.loss_balance"};
  ASSERT_EQ(result.losses.size(), std::size(names));
  for (auto [name, loss] : llvm::zip(names, result.losses))
    EXPECT_NEAR(loss, model.number(name), 1e-6 * loss) << name;
  model.compare(result.gradients, "mtp.grad");
}

} // namespace
