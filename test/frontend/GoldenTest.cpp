//===- GoldenTest.cpp - the built graph against transformers' results ---===//
//
// The graph, evaluated by GraphInterpreter in double, gives what transformers gives in f32: the
// frontend has understood the model. The golden folders lie beside the clone; without them these
// tests are skipped.
//
//===--------------------------------------------------------------------===//

#include "Golden.h"
#include "TestModels.h"

#include "frontend/BuildGraph.h"

#include "llvm/Support/FileSystem.h"

#include <cmath>

using namespace hadal;
using namespace hadal::frontend;

namespace {

class Golden : public testing::TestWithParam<std::tuple<const char *, const char *>> {};

// The largest difference, relative to the largest value, stays below 3e-6: the reference rounds to
// f32, which makes 1.2e-6 of it. A wrong epsilon in one norm makes 1e-5.
TEST_P(Golden, GraphGivesTheReference) {
  auto [checkpointName, goldenName] = GetParam();
  std::string folder = std::string(HADAL_SHARED) + "/oracle/" + checkpointName;
  if (!llvm::sys::fs::exists(folder + "/model.safetensors"))
    GTEST_SKIP() << "no golden folder " << folder;
  Safetensors golden =
      Safetensors::open(std::string(HADAL_SHARED) + "/oracle/" + goldenName).value();
  Checkpoint checkpoint = Checkpoint::open(folder).value();
  auto read = [&](llvm::StringRef name) { return readArray(golden, name); };

  ModelDescription model = llvm::cantFail(readModelDescription(folder));
  mlir::MLIRContext context;
  auto module = buildGraph(context, model);
  ASSERT_TRUE(mlir::succeeded(module));

  GraphInterpreter interpreter(
      [&](llvm::StringRef name) { return readParameter(checkpoint, *model.find(name)); });

  // The sequences one after another, all rows to the head.
  Array ids = read("input_ids");
  int64_t sequences = ids.dim(0), length = ids.dim(1), tokens = sequences * length;
  ids.shape = {tokens};
  Array positions = Array::zeros({tokens}), offsets = Array::zeros({sequences + 1}),
        rows = Array::zeros({tokens});
  for (int64_t t = 0; t < tokens; ++t) {
    positions.data[t] = static_cast<double>(t % length);
    rows.data[t] = static_cast<double>(t);
  }
  for (int64_t b = 0; b <= sequences; ++b)
    offsets.data[b] = static_cast<double>(b * length);
  auto function = (*module)->lookupSymbol<mlir::func::FuncOp>("forward");
  std::map<std::string, Array> results = interpreter.run(function, {ids, positions, offsets, rows});
  ASSERT_EQ(interpreter.complaint, "");

  unsigned compared = 0;
  for (auto &[name, got] : results) {
    // golden_fp8 holds the logits only, under the name of the way they were computed.
    Array wanted = read(name);
    if (wanted.data.empty() && name == "logits")
      wanted = read("logits_dequant_weights_fp32_act");
    if (wanted.data.empty())
      continue;
    ++compared;
    ASSERT_EQ(got.data.size(), wanted.data.size()) << name;
    double largest = 0, difference = 0;
    for (size_t i = 0; i < wanted.data.size(); ++i) {
      largest = std::max(largest, std::abs(wanted.data[i]));
      difference = std::max(difference, std::abs(got.data[i] - wanted.data[i]));
    }
    bool choice = llvm::StringRef(name).ends_with("topk_ids");
    EXPECT_LE(difference, choice ? 0 : 3e-6 * largest) << name;
  }
  EXPECT_GE(compared, golden.find("hidden.0") ? results.size() : 1);
}

INSTANTIATE_TEST_SUITE_P(Frontend, Golden,
                         testing::Values(std::tuple("nano/ckpt", "nano/golden.safetensors"),
                                         std::tuple("nano-noq/ckpt", "nano-noq/golden.safetensors"),
                                         std::tuple("nano-mtp/ckpt", "nano-mtp/golden.safetensors"),
                                         std::tuple("nano-fp8/ckpt", "nano-fp8/golden.safetensors"),
                                         std::tuple("nano-fp8/ckpt-fp8",
                                                    "nano-fp8/golden_fp8.safetensors")));

} // namespace
