//===- ParametersTest.cpp -----------------------------------------------===//

#include "TestModels.h"

#include "frontend/Parameters.h"
#include "runtime/Safetensors.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <map>

using namespace hadal;
using namespace hadal::frontend;
using llvm::StringRef;

namespace {

ModelDescription describe(const std::string &text) {
  return llvm::cantFail(describeModel(llvm::cantFail(parseModelConfig(text))));
}

int64_t elementsOf(const ParameterDescription &p) { return elementCount(p.shape).value() * p.count; }

// The counts that the configuration computes are those of the tensors.
TEST(Parameters, CountsAgree) {
  for (const char *name : testModels) {
    ModelDescription model = describe(readConfig(name));
    const ModelConfig &c = model.config;
    int64_t all = 0, active = 0;
    for (const ParameterDescription &p : model.parameters) {
      if (StringRef(p.name).ends_with("_scale_inv"))
        continue;
      all += elementsOf(p);
      if (p.isStacked())
        active += elementsOf(p) / c.experts * c.expertsPerToken;
      else if (p.name == "model.embed_tokens.weight" && !c.tieEmbeddings)
        active += c.hiddenSize;
      else
        active += elementsOf(p);
    }
    EXPECT_EQ(all, c.parameterCount()) << name;
    EXPECT_EQ(active, c.activeParameterCount()) << name;
  }
}

TEST(Parameters, TypesWithoutWeights) {
  ModelDescription model = describe(readConfig("deepseek-v3-671b"));
  auto element = [&](StringRef name) { return model.find(name)->element; };
  EXPECT_EQ(element("model.embed_tokens.weight"), ElementType::BF16);
  EXPECT_EQ(element("model.layers.3.mlp.gate.weight"), ElementType::BF16);
  EXPECT_EQ(element("model.layers.3.mlp.gate.e_score_correction_bias"), ElementType::F32);
  EXPECT_EQ(element("model.layers.60.self_attn.o_proj.weight"), ElementType::F8E4M3);
  const ParameterDescription *stack = model.find("model.layers.3.mlp.experts.{}.down_proj.weight");
  EXPECT_EQ(stack->count, 256);
  EXPECT_EQ(stack->shape, (Shape{7168, 2048}));
  EXPECT_EQ(stack->nameOf(255), "model.layers.3.mlp.experts.255.down_proj.weight");
  // 576 rows: the last block is short.
  EXPECT_EQ(model.find("model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv")->shape, (Shape{5, 56}));
  EXPECT_EQ(model.find("model.layers.61.enorm.weight"), nullptr);
}

TEST(Parameters, RefusesFloat16) {
  llvm::Expected<ModelConfig> config = parseModelConfig(changed(readConfig("nano"), {{"torch_dtype", "\"float16\""}}));
  EXPECT_EQ(messageOf(describeModel(llvm::cantFail(std::move(config)))),
            "config.json: torch_dtype wants float32 or bfloat16, got float16");
}

/// A folder with a config.json and zero weights, removed afterwards.
class CheckpointFolder : public testing::Test {
protected:
  void SetUp() override { ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("hadal-parameters", folder)); }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  /// The tensors that `text` asks for, `change` applied to them.
  template <typename Change> std::string read(const std::string &text, Change change) {
    std::map<std::string, Tensor> tensors;
    for (const ParameterDescription &p : describe(text).parameters)
      for (int64_t i = 0; i < p.count; ++i)
        tensors.insert_or_assign(p.nameOf(i), Tensor(p.element, p.shape));
    change(tensors);
    std::vector<NamedTensor> list;
    for (auto &[name, tensor] : tensors)
      list.push_back({name, tensor.view()});
    std::string path(folder);
    EXPECT_TRUE(writeSafetensors(path + "/model.safetensors", list).ok());
    std::error_code error;
    llvm::raw_fd_ostream(path + "/config.json", error) << text;
    std::string message = messageOf(readModelDescription(folder));
    return StringRef(message).starts_with(path) ? message.substr(path.size()) : message;
  }

  llvm::SmallString<128> folder;
};

TEST_F(CheckpointFolder, AcceptsWhatItAskedFor) {
  for (const char *name : {"tiny", "nano-fp8-quantized", "nano-noq"})
    EXPECT_EQ(read(readConfig(name), [](auto &) {}), "") << name;
}

TEST_F(CheckpointFolder, AcceptsKnownExtras) {
  EXPECT_EQ(read(readConfig("tiny"),
                 [](auto &t) {
                   t.insert_or_assign("model.layers.2.eh_proj.weight", Tensor(ElementType::BF16, {24, 48}));
                   t.insert_or_assign("model.layers.0.self_attn.rotary_emb.inv_freq", Tensor(ElementType::F32, {2}));
                 }),
            "");
  EXPECT_EQ(read(changed(readConfig("tiny"), {{"tie_word_embeddings", "true"}}),
                 [](auto &t) { t.insert_or_assign("lm_head.weight", Tensor(ElementType::BF16, {100, 24})); }),
            "");
}

// A tensor's own element type counts, not torch_dtype.
TEST_F(CheckpointFolder, TakesElementTypesFromHeaders) {
  const std::string bias = "model.layers.1.mlp.gate.e_score_correction_bias";
  auto change = [&](auto &t) {
    t.insert_or_assign("model.norm.weight", Tensor(ElementType::F32, {24}));
    t.insert_or_assign(bias, Tensor(ElementType::BF16, {6}));
  };
  EXPECT_EQ(read(readConfig("tiny"), change), "");
  ModelDescription model = llvm::cantFail(readModelDescription(folder));
  EXPECT_EQ(model.find("model.norm.weight")->element, ElementType::F32);
  EXPECT_EQ(model.find(bias)->element, ElementType::BF16);
}

TEST_F(CheckpointFolder, NamesTheTensorThatIsWrong) {
  std::string tiny = readConfig("tiny"), fp8 = readConfig("nano-fp8-quantized");
  auto with = [&](const std::string &text, const std::string &name, ElementType element, Shape shape) {
    return read(text, [&](auto &t) { t.insert_or_assign(name, Tensor(element, shape)); });
  };
  auto without = [&](const std::string &text, const std::string &name) {
    return read(text, [&](auto &t) { t.erase(name); });
  };
  const std::string expert = "model.layers.1.mlp.experts.3.up_proj.weight";
  EXPECT_EQ(without(tiny, "model.norm.weight"), ": model.norm.weight wants shape [24], but is missing");
  EXPECT_EQ(without(tiny, expert), ": " + expert + " wants shape [16, 24], but is missing");
  EXPECT_EQ(with(tiny, expert, ElementType::BF16, {16, 12}), ": " + expert + " wants shape [16, 24], got [16, 12]");
  EXPECT_EQ(with(tiny, expert, ElementType::F32, {16, 24}),
            ": " + expert + " wants BF16 as model.layers.1.mlp.experts.0.up_proj.weight, got F32");
  EXPECT_EQ(with(tiny, expert, ElementType::F16, {16, 24}), ": " + expert + " wants F32, BF16 or F8_E4M3, got F16");
  EXPECT_EQ(with(tiny, "model.norm.weight", ElementType::I32, {24}),
            ": model.norm.weight wants F32 or BF16, got I32");
  EXPECT_EQ(with(tiny, "model.layers.0.self_attn.o_proj.weight", ElementType::F8E4M3, {24, 18}),
            ": model.layers.0.self_attn.o_proj.weight wants quantization_config in config.json, as it is F8_E4M3");
  EXPECT_EQ(with(tiny, "model.layers.1.mlp.experts.6.up_proj.weight", ElementType::BF16, {16, 24}),
            ": model.layers.1.mlp.experts.6.up_proj.weight is in the checkpoint, but not in the model that config.json "
            "describes");
  const std::string scale = "model.layers.0.self_attn.o_proj.weight_scale_inv";
  EXPECT_EQ(without(fp8, scale), ": " + scale + " wants shape [2, 1], but is missing");
  EXPECT_EQ(with(fp8, scale, ElementType::F32, {1, 2}), ": " + scale + " wants shape [2, 1], got [1, 2]");
  EXPECT_EQ(with(fp8, scale, ElementType::BF16, {2, 1}), ": " + scale + " wants F32, got BF16");
}

TEST(Parameters, NamesTheFileThatIsMissing) {
  std::string message = messageOf(readModelDescription(modelFolder("no-such-model")));
  EXPECT_NE(message.find("no-such-model/config.json"), std::string::npos) << message;
}

// The names, shapes and element types are those of checkpoints that transformers loads. Nothing but MTP tensors is left
// over, which readModelDescription checks.
TEST(Parameters, AgreeWithGoldenCheckpoints) {
  unsigned found = 0;
  for (const char *name : {"oracle/nano/ckpt", "oracle/nano-noq/ckpt", "oracle/nano-mtp/ckpt", "oracle/nano-fp8/ckpt",
                           "oracle/nano-fp8/ckpt-fp8", "models/kjv"}) {
    std::string folder = std::string(HADAL_SHARED) + "/" + name;
    if (!llvm::sys::fs::exists(folder + "/model.safetensors"))
      continue;
    ++found;
    llvm::Expected<ModelDescription> read = readModelDescription(folder);
    ASSERT_TRUE(bool(read)) << llvm::toString(read.takeError());
    // Here the configuration alone says the same.
    ModelDescription guessed = llvm::cantFail(describeModel(read->config));
    ASSERT_EQ(read->parameters.size(), guessed.parameters.size());
    for (size_t i = 0; i < guessed.parameters.size(); ++i) {
      EXPECT_EQ(read->parameters[i].name, guessed.parameters[i].name);
      EXPECT_EQ(read->parameters[i].element, guessed.parameters[i].element) << guessed.parameters[i].name;
    }
  }
  if (!found)
    GTEST_SKIP() << "no golden checkpoints under " << HADAL_SHARED;
  EXPECT_EQ(found, 6u);
}

} // namespace
