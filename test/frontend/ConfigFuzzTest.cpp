//===- ConfigFuzzTest.cpp - mutated configurations through the frontend -===//
//
// A changed config.json gives a diagnostic or a graph that verifies: never a crash, and never a
// long wait (ctest has a bound on the time of the whole test).
//
//===--------------------------------------------------------------------===//

#include "TestModels.h"

#include "frontend/BuildGraph.h"
#include "frontend/BuildTraining.h"

#include "llvm/ADT/SmallVector.h"

#include <random>

using namespace hadal;
using namespace hadal::frontend;
using llvm::StringRef;

namespace {

/// Small models of each kind: their graphs are built in milliseconds.
const char *const seeds[] = {"tiny",         "nano-mtp", "nano-fp8-quantized", "nested",
                             "mixed-layers", "small-v2", "small-youtu"};

/// The configuration of a family that the folders hold only at its published size.
std::string seedText(StringRef name) {
  const std::vector<Change> v2 = {{"model_type", "\"deepseek_v2\""},
                                  {"topk_method", "\"group_limited_greedy\""},
                                  {"scoring_func", "\"softmax\""},
                                  {"norm_topk_prob", "false"},
                                  {"attention_bias", "false"}};
  if (name == "small-v2")
    return changed(readConfig("tiny"), v2);
  if (name == "small-youtu")
    return changed(readConfig("tiny"),
                   {{"model_type", "\"youtu\""}, {"tie_word_embeddings", "true"}});
  return readConfig(name);
}

class Mutator {
public:
  explicit Mutator(unsigned seed) : random(seed) {}

  /// `text` with one to three keys changed, and sometimes a byte.
  std::string mutate(const std::string &text) {
    llvm::json::Value root = llvm::cantFail(llvm::json::parse(text));
    for (unsigned edits = 1 + random() % 3; edits; --edits)
      edit(*root.getAsObject());
    std::string result;
    llvm::raw_string_ostream(result) << root;
    if (random() % 8 == 0)
      result[random() % result.size()] = static_cast<char>(random());
    return result;
  }

private:
  void edit(llvm::json::Object &object) {
    llvm::SmallVector<std::string> keys;
    for (auto &[key, value] : object)
      keys.push_back(StringRef(key).str());
    llvm::sort(keys); // the order of a hash table is not for repeating
    std::string key = keys[random() % keys.size()];
    if (random() % 4 == 0) // a key of another family or another release
      key = strangers[random() % std::size(strangers)];
    llvm::json::Value *place = object.get(key);
    if (llvm::json::Object *inner = place ? place->getAsObject() : nullptr;
        inner && !inner->empty() && random() % 4)
      return edit(*inner);
    if (random() % 6 == 0) {
      object.erase(key);
      return;
    }
    if (std::optional<int64_t> number = place ? place->getAsInteger() : std::nullopt;
        number && random() % 2) {
      const int64_t nearby[] = {*number - 1, *number + 1, *number * 2,
                                *number / 2, -*number,    *number * 1000003};
      object[key] = nearby[random() % std::size(nearby)];
      return;
    }
    object[key] = llvm::cantFail(llvm::json::parse(values[random() % std::size(values)]));
  }

  static constexpr const char *strangers[] = {"mlp_layer_types",
                                              "text_config",
                                              "topk_method",
                                              "scoring_func",
                                              "rope_scaling",
                                              "rope_parameters",
                                              "index_topk",
                                              "original_max_position_embeddings",
                                              "rope_interleave",
                                              "quantization_config",
                                              "first_k_dense_replace",
                                              "num_nextn_predict_layers",
                                              "num_mtp_layers",
                                              "mlp_bias"};
  static constexpr const char *values[] = {
      "null",
      "true",
      "false",
      "0",
      "1",
      "2",
      "3",
      "-1",
      "7",
      "64",
      "4096",
      "16777216",
      "1e300",
      "1.5",
      "9223372036854775807",
      "\"\"",
      "\"deepseek_v2\"",
      "\"deepseek_v3\"",
      "\"youtu\"",
      "\"glm4_moe_lite\"",
      "\"group_limited_greedy\"",
      "\"greedy\"",
      "\"softmax\"",
      "\"float16\"",
      "[]",
      "{}",
      "[\"dense\", \"sparse\"]",
      "[\"sparse\", \"sparse\", \"dense\", \"sparse\"]",
      "[[[[1]]]]",
      "{\"type\": \"yarn\", \"factor\": 4}",
      "{\"rope_type\": \"yarn\", \"factor\": null}",
      "{\"model_type\": \"deepseek_v3\"}",
      "{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128]}"};
  std::mt19937 random;
};

/// Builds both graphs where the configuration is accepted and small, and says whether it was
/// accepted.
bool build(mlir::MLIRContext &context, const std::string &text) {
  llvm::Expected<ModelDescription> model = parseModelDescription(text, "config.json");
  if (!model) {
    std::string message = llvm::toString(model.takeError());
    EXPECT_TRUE(StringRef(message).starts_with("config.json: ")) << message;
    EXPECT_EQ(StringRef(message).count('\n'), 0u) << message;
    return false;
  }
  const frontend::ModelConfig &config = model->config;
  EXPECT_GE(config.parameterCount(), config.activeParameterCount() - config.hiddenSize) << text;
  if (config.layers + config.mtpLayers > 16)
    return true;
  EXPECT_TRUE(mlir::succeeded(buildGraph(context, *model))) << text;
  TrainingOptions options;
  options.configText = text;
  EXPECT_TRUE(mlir::succeeded(buildTraining(context, config, options))) << text;
  return true;
}

TEST(ConfigFuzz, GivesADiagnosticOrAGraph) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  Mutator mutator(11);
  unsigned accepted = 0, refused = 0;
  for (const char *seed : seeds) {
    std::string text = seedText(seed);
    EXPECT_TRUE(build(context, text)) << seed;
    for (int i = 0; i < 250; ++i)
      ++(build(context, mutator.mutate(text)) ? accepted : refused);
  }
  // The mutations are worth something only if both ends are reached.
  EXPECT_GT(accepted, 100u);
  EXPECT_GT(refused, 500u);
}

} // namespace
