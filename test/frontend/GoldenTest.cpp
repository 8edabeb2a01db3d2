//===- GoldenTest.cpp - the built graph against transformers' results ---===//
//
// The graph, evaluated by GraphInterpreter in double, gives what transformers gives in f32: the frontend has understood
// the model. The golden folders lie beside the clone; without them these tests are skipped.
//
//===--------------------------------------------------------------------===//

#include "test/interpreter/GraphInterpreter.h"
#include "TestModels.h"

#include "frontend/BuildGraph.h"
#include "runtime/Safetensors.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/Support/FileSystem.h"

#include <cmath>
#include <cstring>

using namespace hadal;
using namespace hadal::frontend;

namespace {

Array toArray(const StoredTensor &tensor, const std::byte *bytes) {
  Array array = Array::zeros(tensor.shape);
  auto small = [&](const llvm::fltSemantics &semantics, unsigned bits, uint64_t value) {
    return llvm::APFloat(semantics, llvm::APInt(bits, value)).convertToDouble();
  };
  for (size_t i = 0; i < array.data.size(); ++i) {
    uint64_t raw = 0;
    std::memcpy(&raw, bytes + i * byteSize(tensor.element), byteSize(tensor.element));
    switch (tensor.element) {
    case ElementType::F32:
      array.data[i] = llvm::bit_cast<float>(static_cast<uint32_t>(raw));
      break;
    case ElementType::BF16:
      array.data[i] = small(llvm::APFloat::BFloat(), 16, raw);
      break;
    case ElementType::F8E4M3:
      array.data[i] = small(llvm::APFloat::Float8E4M3FN(), 8, raw);
      break;
    case ElementType::I32:
      array.data[i] = static_cast<int32_t>(raw);
      break;
    case ElementType::I64:
      array.data[i] = static_cast<double>(static_cast<int64_t>(raw));
      break;
    default:
      ADD_FAILURE() << tensor.name;
    }
  }
  return array;
}

class Golden : public testing::TestWithParam<std::tuple<const char *, const char *>> {};

// The largest difference, relative to the largest value, stays below 3e-6: the reference rounds to f32, which makes
// 1.2e-6 of it. A wrong epsilon in one norm makes 1e-5.
TEST_P(Golden, GraphGivesTheReference) {
  auto [checkpointName, goldenName] = GetParam();
  std::string folder = std::string(HADAL_SHARED) + "/oracle/" + checkpointName;
  if (!llvm::sys::fs::exists(folder + "/model.safetensors"))
    GTEST_SKIP() << "no golden folder " << folder;
  Safetensors golden = Safetensors::open(std::string(HADAL_SHARED) + "/oracle/" + goldenName).value();
  Checkpoint checkpoint = Checkpoint::open(folder).value();
  auto read = [&](llvm::StringRef name) {
    const StoredTensor *tensor = golden.find(std::string_view(name));
    return tensor ? toArray(*tensor, golden.data(*tensor)) : Array();
  };

  ModelDescription model = llvm::cantFail(readModelDescription(folder));
  mlir::MLIRContext context;
  auto module = buildGraph(context, model);
  ASSERT_TRUE(mlir::succeeded(module));

  GraphInterpreter interpreter([&](llvm::StringRef name) {
    const ParameterDescription *parameter = model.find(name);
    Array all;
    if (parameter->isStacked())
      all.shape.push_back(parameter->count);
    all.shape.insert(all.shape.end(), parameter->shape.begin(), parameter->shape.end());
    for (int64_t i = 0; i < parameter->count; ++i) {
      auto entry = checkpoint.find(parameter->nameOf(i));
      Array one = toArray(*entry->tensor, entry->data());
      all.data.insert(all.data.end(), one.data.begin(), one.data.end());
    }
    return all;
  });

  // The sequences behind each other, all rows to the head.
  Array ids = read("input_ids");
  int64_t sequences = ids.dim(0), length = ids.dim(1), tokens = sequences * length;
  ids.shape = {tokens};
  Array positions = Array::zeros({tokens}), offsets = Array::zeros({sequences + 1}), rows = Array::zeros({tokens});
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

INSTANTIATE_TEST_SUITE_P(
    Frontend, Golden,
    testing::Values(std::tuple("nano/ckpt", "nano/golden.safetensors"),
                    std::tuple("nano-noq/ckpt", "nano-noq/golden.safetensors"),
                    std::tuple("nano-mtp/ckpt", "nano-mtp/golden.safetensors"),
                    std::tuple("nano-fp8/ckpt", "nano-fp8/golden.safetensors"),
                    std::tuple("nano-fp8/ckpt-fp8", "nano-fp8/golden_fp8.safetensors")));

} // namespace
