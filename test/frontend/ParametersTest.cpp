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

// The compiler's, not the runtime's that it is made of.
using frontend::ModelConfig;
using frontend::parseModelConfig;

ModelDescription describe(const std::string &text) {
  return llvm::cantFail(describeModel(llvm::cantFail(parseModelConfig(text))));
}

int64_t elementsOf(const ParameterDescription &p) {
  return elementCount(p.shape).value() * p.count;
}

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
  EXPECT_EQ(model.find("model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv")->shape,
            (Shape{5, 56}));
  EXPECT_EQ(model.find("model.layers.61.enorm.weight"), nullptr);
}

TEST(Parameters, TakesFloat16) {
  ModelDescription model = describe(changed(readConfig("nano"), {{"torch_dtype", "\"float16\""}}));
  EXPECT_EQ(model.find("model.norm.weight")->element, ElementType::F16);
  EXPECT_EQ(model.find("model.layers.1.mlp.gate.e_score_correction_bias")->element,
            ElementType::F32);
}

// The names of the text part, with which the graph's globals are declared.
TEST(Parameters, NamesTheTextPart) {
  ModelDescription model = describe(readConfig("nested"));
  EXPECT_EQ(model.find("model.norm.weight")->stored, "language_model.model.norm.weight");
  EXPECT_EQ(model.find("model.layers.1.mlp.experts.{}.up_proj.weight")->nameOf(2),
            "language_model.model.layers.1.mlp.experts.2.up_proj.weight");
}

/// A folder with a config.json and zero weights, removed afterwards.
class CheckpointFolder : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("hadal-parameters", folder));
  }
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
  for (const char *name : {"tiny", "nano-fp8-quantized", "nano-noq", "nested", "mixed-layers"})
    EXPECT_EQ(read(readConfig(name), [](auto &) {}), "") << name;
}

TEST_F(CheckpointFolder, AcceptsKnownExtras) {
  EXPECT_EQ(read(readConfig("tiny"),
                 [](auto &t) {
                   t.insert_or_assign("model.layers.2.eh_proj.weight",
                                      Tensor(ElementType::BF16, {24, 48}));
                   t.insert_or_assign("model.layers.0.self_attn.rotary_emb.inv_freq",
                                      Tensor(ElementType::F32, {2}));
                 }),
            "");
  EXPECT_EQ(read(changed(readConfig("tiny"), {{"tie_word_embeddings", "true"}}),
                 [](auto &t) {
                   t.insert_or_assign("lm_head.weight", Tensor(ElementType::BF16, {100, 24}));
                 }),
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
  auto with = [&](const std::string &text, const std::string &name, ElementType element,
                  Shape shape) {
    return read(text, [&](auto &t) { t.insert_or_assign(name, Tensor(element, shape)); });
  };
  auto without = [&](const std::string &text, const std::string &name) {
    return read(text, [&](auto &t) { t.erase(name); });
  };
  const std::string expert = "model.layers.1.mlp.experts.3.up_proj.weight";
  EXPECT_EQ(without(tiny, "model.norm.weight"),
            ": model.norm.weight wants shape [24], but is missing");
  EXPECT_EQ(without(tiny, expert), ": " + expert + " wants shape [16, 24], but is missing");
  EXPECT_EQ(with(tiny, expert, ElementType::BF16, {16, 12}),
            ": " + expert + " wants shape [16, 24], got [16, 12]");
  EXPECT_EQ(with(tiny, expert, ElementType::F32, {16, 24}),
            ": " + expert + " wants BF16 as model.layers.1.mlp.experts.0.up_proj.weight, got F32");
  EXPECT_EQ(with(tiny, expert, ElementType::F64, {16, 24}),
            ": " + expert + " wants F32, BF16, F16 or F8_E4M3, got F64");
  EXPECT_EQ(with(tiny, "model.norm.weight", ElementType::I32, {24}),
            ": model.norm.weight wants F32, BF16 or F16, got I32");
  EXPECT_EQ(with(tiny, "model.layers.0.self_attn.o_proj.weight", ElementType::F8E4M3, {24, 18}),
            ": model.layers.0.self_attn.o_proj.weight wants quantization_config in config.json, as "
            "it is F8_E4M3");
  EXPECT_EQ(with(tiny, "model.layers.1.mlp.experts.6.up_proj.weight", ElementType::BF16, {16, 24}),
            ": model.layers.1.mlp.experts.6.up_proj.weight is in the checkpoint, but not in the "
            "model that config.json "
            "describes");
  const std::string scale = "model.layers.0.self_attn.o_proj.weight_scale_inv";
  EXPECT_EQ(without(fp8, scale), ": " + scale + " wants shape [2, 1], but is missing");
  EXPECT_EQ(with(fp8, scale, ElementType::F32, {1, 2}),
            ": " + scale + " wants shape [2, 1], got [1, 2]");
  EXPECT_EQ(with(fp8, scale, ElementType::F16, {2, 1}),
            ": " + scale + " wants F32, BF16 or F8_E8M0, got F16");
}

/// Every tensor by the name that `rename` gives it, and those without one left out.
template <typename Rename> auto renaming(Rename rename) {
  return [rename](std::map<std::string, Tensor> &tensors) {
    std::map<std::string, Tensor> renamed;
    for (auto &[name, tensor] : tensors)
      if (std::string other = rename(name); !other.empty())
        renamed.insert_or_assign(other, std::move(tensor));
    tensors = std::move(renamed);
  };
}

// Weights by other names: the line says which naming it is.
TEST_F(CheckpointFolder, RecognisesOtherNamings) {
  std::string tiny = readConfig("tiny");
  const std::string missing = ": model.embed_tokens.weight wants shape [100, 24], but is missing: ";
  EXPECT_EQ(
      read(tiny, renaming([](const std::string &n) { return "language_model." + n; })),
      missing +
          "its names begin with 'language_model.' (language_model.model.embed_tokens.weight)");
  EXPECT_EQ(read(tiny, renaming([](const std::string &n) {
                   return StringRef(n).starts_with("model.") ? n.substr(6) : "";
                 })),
            missing + "its names have no 'model.' in front (embed_tokens.weight), as those of a "
                      "model without its head");
  EXPECT_EQ(read(tiny, renaming([](const std::string &n) {
                   return n == "model.embed_tokens.weight" ? "embed.weight"
                          : n == "model.norm.weight"       ? "norm.weight"
                                                           : "";
                 })),
            missing + "it has the names of DeepSeek's own inference code (embed.weight); hadal "
                      "reads the names of the published "
                      "checkpoints on Hugging Face");
  auto stack = [](auto &tensors) {
    for (int e = 0; e < 6; ++e)
      for (const char *part : {"gate_proj", "up_proj", "down_proj"})
        tensors.erase("model.layers.1.mlp.experts." + std::to_string(e) + "." + part + ".weight");
    tensors.insert_or_assign("model.layers.1.mlp.experts.gate_up_proj",
                             Tensor(ElementType::BF16, {6, 32, 24}));
    tensors.insert_or_assign("model.layers.1.mlp.experts.down_proj",
                             Tensor(ElementType::BF16, {6, 24, 16}));
  };
  EXPECT_EQ(read(tiny, stack),
            ": model.layers.1.mlp.experts.0.gate_proj.weight wants shape [16, 24], but is missing: "
            "its experts "
            "are stacked in one tensor (model.layers.1.mlp.experts.gate_up_proj), as transformers "
            "5 has them in "
            "memory; its save_pretrained writes one tensor per expert");
}

// A larger model's other tensors are passed over; its text part may have either of two prefixes,
// which a note says.
TEST_F(CheckpointFolder, ReadsATextPartUnderItsPrefix) {
  std::string nested = readConfig("nested");
  auto withVision = [](auto &tensors) {
    tensors.insert_or_assign("vision_tower.patch_embed.weight", Tensor(ElementType::BF16, {3, 5}));
  };
  EXPECT_EQ(read(nested, withVision), "");
  auto asTransformers = renaming([](const std::string &n) {
    StringRef rest = n;
    return rest.consume_front("language_model.model.")
               ? ("model.language_model." + rest).str()
               : n.substr(StringRef("language_model.").size());
  });
  EXPECT_EQ(read(nested, asTransformers), "");
  ModelDescription model = llvm::cantFail(readModelDescription(folder));
  EXPECT_EQ(model.find("model.norm.weight")->stored, "model.language_model.norm.weight");
  EXPECT_EQ(model.find("lm_head.weight")->stored, "lm_head.weight");
  ASSERT_EQ(model.notes.size(), 1u);
  EXPECT_NE(model.notes[0].find("model.language_model.*"), std::string::npos) << model.notes[0];
  // What is under the prefix and no part of the text model is an error as ever.
  EXPECT_EQ(read(nested,
                 [](auto &tensors) {
                   tensors.insert_or_assign("language_model.model.layers.0.self_attn.o_proj.bias",
                                            Tensor(ElementType::BF16, {24}));
                 }),
            ": language_model.model.layers.0.self_attn.o_proj.bias is in the checkpoint, but not "
            "in the model that config.json describes");
}

// transformers announces layers of multi-token prediction and writes none: training must be told to
// do without.
TEST_F(CheckpointFolder, LooksForMtpLayersBeforeTraining) {
  std::string text = changed(readConfig("tiny"), {{"num_nextn_predict_layers", "1"}});
  EXPECT_EQ(read(text, [](auto &) {}), "");
  std::string message = messageOf(readModelDescription(folder, 1));
  EXPECT_NE(message.find("announces 1 layer(s) of multi-token prediction "
                         "(num_nextn_predict_layers), but the checkpoint has none"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("--mtp-weight=0"), std::string::npos) << message;
  // Some of them, but not all.
  EXPECT_EQ(read(text,
                 [](auto &t) {
                   t.insert_or_assign("model.layers.2.enorm.weight",
                                      Tensor(ElementType::BF16, {24}));
                 }),
            "");
  message = messageOf(readModelDescription(folder, 1));
  EXPECT_NE(message.find("model.layers.2.hnorm.weight wants shape [24], but is missing"),
            std::string::npos)
      << message;
}

// Other formats beside config.json are told of; the module is made all the same.
TEST_F(CheckpointFolder, TellsOfOtherFormats) {
  std::error_code error;
  std::string path(folder);
  llvm::raw_fd_ostream(path + "/config.json", error) << readConfig("tiny");
  EXPECT_TRUE(llvm::cantFail(readModelDescription(folder)).notes.empty());
  llvm::raw_fd_ostream(path + "/pytorch_model.bin", error) << "PK";
  ModelDescription model = llvm::cantFail(readModelDescription(folder));
  ASSERT_EQ(model.notes.size(), 1u);
  EXPECT_EQ(model.notes[0], path + ": pytorch_model.bin is in a format that hadal does not read; "
                                   "the module is made from config.json "
                                   "alone, and wants safetensors files when it runs");
}

TEST(Parameters, NamesTheFileThatIsMissing) {
  std::string message = messageOf(readModelDescription(modelFolder("no-such-model")));
  EXPECT_NE(message.find("no-such-model/config.json"), std::string::npos) << message;
}

// The names, shapes and element types are those of checkpoints that transformers loads. Nothing but
// MTP tensors is left over, which readModelDescription checks.
TEST(Parameters, AgreeWithGoldenCheckpoints) {
  unsigned found = 0;
  for (const char *name : {"oracle/nano/ckpt", "oracle/nano-noq/ckpt", "oracle/nano-mtp/ckpt",
                           "oracle/nano-fp8/ckpt", "oracle/nano-fp8/ckpt-fp8", "models/kjv"}) {
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
      EXPECT_EQ(read->parameters[i].element, guessed.parameters[i].element)
          << guessed.parameters[i].name;
    }
  }
  if (!found)
    GTEST_SKIP() << "no golden checkpoints under " << HADAL_SHARED;
  EXPECT_EQ(found, 6u);
}

} // namespace
