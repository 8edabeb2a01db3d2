//===- ModelConfigTest.cpp ----------------------------------------------===//

#include "TestModels.h"

#include <cmath>
#include <numbers>
#include <random>

using namespace hadal;
using namespace hadal::frontend;
using llvm::StringRef;

namespace {

// The compiler's, not the runtime's that it is made of.
using frontend::ModelConfig;
using frontend::parseModelConfig;

ModelConfig parse(const std::string &text) {
  llvm::Expected<ModelConfig> config = parseModelConfig(text);
  if (config)
    return *config;
  ADD_FAILURE() << llvm::toString(config.takeError());
  return {};
}

// Every configuration of the tests is accepted.
TEST(ModelConfig, AcceptsAllModels) {
  for (const char *name : testModels)
    EXPECT_EQ(messageOf(parseModelConfig(readConfig(name))), "") << name;
}

TEST(ModelConfig, ReadsTheRelease) {
  ModelConfig c = parse(readConfig("deepseek-v3-671b"));
  EXPECT_EQ(c.layers, 61);
  EXPECT_EQ(c.denseLayers(), 3);
  EXPECT_TRUE(c.isDense(2));
  EXPECT_FALSE(c.isDense(3));
  EXPECT_EQ(c.queryRank, 1536);
  EXPECT_EQ(c.experts, 256);
  EXPECT_EQ(c.groups, 8);
  EXPECT_EQ(c.groupLimit, 4);
  EXPECT_EQ(c.mtpLayers, 1);
  EXPECT_EQ(c.dtype, ElementType::BF16);
  EXPECT_TRUE(c.quantization);
  EXPECT_EQ(c.eosTokenIds, std::vector<int64_t>{1});
  // 61 layers of 512 + 64: 70.272 KB a token in BF16.
  EXPECT_EQ(c.cacheElementsPerToken(), 61 * 576);
  // "671 B parameters, 37 B active", DeepSeek-V3, arXiv:2412.19437, abstract.
  EXPECT_EQ(std::llround(c.parameterCount() / 1e9), 671);
  EXPECT_EQ(std::llround(c.activeParameterCount() / 1e9), 37);
}

// transformers 5 writes rope_parameters and dtype: the same model.
TEST(ModelConfig, BothSpellingsAgree) {
  ModelConfig a = parse(readConfig("nano")), b = parse(readConfig("nano-transformers5"));
  EXPECT_EQ(a.dtype, b.dtype);
  EXPECT_EQ(a.ropeFrequencies(), b.ropeFrequencies());
  EXPECT_EQ(a.ropeMagnitude(), b.ropeMagnitude());
  EXPECT_EQ(a.softmaxScale(), b.softmaxScale());
  EXPECT_EQ(a.parameterCount(), b.parameterCount());
}

TEST(ModelConfig, TakesDefaultsOfMissingKeys) {
  ModelConfig c = parse(changed(readConfig("nano-noq"), {{"rope_theta", ""},
                                                         {"rope_scaling", ""},
                                                         {"torch_dtype", ""},
                                                         {"attention_bias", ""},
                                                         {"tie_word_embeddings", ""},
                                                         {"num_nextn_predict_layers", ""},
                                                         {"num_key_value_heads", ""},
                                                         {"eos_token_id", "null"},
                                                         {"bos_token_id", ""},
                                                         {"n_shared_experts", "null"},
                                                         {"rms_norm_eps", ""}}));
  EXPECT_EQ(c.ropeTheta, 10000);
  EXPECT_FALSE(c.yarn);
  EXPECT_EQ(c.dtype, ElementType::F32);
  EXPECT_FALSE(c.attentionBias);
  EXPECT_FALSE(c.tieEmbeddings);
  EXPECT_TRUE(c.ropeInterleave);
  EXPECT_EQ(c.mtpLayers, 0);
  EXPECT_TRUE(c.eosTokenIds.empty());
  EXPECT_FALSE(c.bosTokenId);
  EXPECT_EQ(c.sharedExperts, 0);
  EXPECT_EQ(c.normEpsilon, 1e-6);
  EXPECT_FALSE(c.queryRank);
}

TEST(ModelConfig, ReadsOddModels) {
  std::string nano = readConfig("nano");
  EXPECT_EQ(
      parse(changed(nano, {{"first_k_dense_replace", "0"}, {"intermediate_size", ""}})).moeLayers(),
      4);
  // Without a layer that routes the router's keys may be missing.
  ModelConfig dense = parse(changed(nano, {{"first_k_dense_replace", "4"},
                                           {"n_routed_experts", "null"},
                                           {"n_shared_experts", ""},
                                           {"n_group", ""},
                                           {"topk_group", ""},
                                           {"num_experts_per_tok", ""},
                                           {"moe_intermediate_size", ""},
                                           {"norm_topk_prob", ""},
                                           {"routed_scaling_factor", ""}}));
  EXPECT_EQ(dense.moeLayers(), 0);
  EXPECT_EQ(parse(changed(nano, {{"eos_token_id", "[1, 7]"}})).eosTokenIds,
            (std::vector<int64_t>{1, 7}));
  EXPECT_EQ(parse(changed(nano, {{"hidden_size", "128.0"}})).hiddenSize, 128);
}

// The published sizes, in billions: arXiv:2405.04434 (V2 and V2-Lite), Kimi K2's and
// GLM-4.7-Flash's model cards.
TEST(ModelConfig, ReadsTheFamilies) {
  auto billions = [](int64_t count) { return static_cast<double>(count) * 1e-9; };
  ModelConfig v2 = parse(readConfig("deepseek-v2-236b"));
  EXPECT_EQ(v2.affinity, Affinity::Softmax);
  EXPECT_FALSE(v2.hasCorrectionBias());
  EXPECT_FALSE(v2.normalizeWeights);
  EXPECT_EQ(v2.groups, 8);
  EXPECT_EQ(v2.groupLimit, 3);
  EXPECT_NEAR(billions(v2.parameterCount()), 235.7, 0.1);
  EXPECT_NEAR(billions(v2.activeParameterCount()), 21, 0.5);
  ModelConfig lite = parse(readConfig("deepseek-v2-lite"));
  EXPECT_FALSE(lite.queryRank);
  EXPECT_EQ(lite.groups, 1);
  EXPECT_NEAR(billions(lite.parameterCount()), 15.7, 0.05);
  EXPECT_NEAR(billions(lite.activeParameterCount()), 2.4, 0.1);
  ModelConfig kimi = parse(readConfig("kimi-k2"));
  EXPECT_EQ(kimi.modelType, "kimi_k2");
  EXPECT_EQ(kimi.affinity, Affinity::Sigmoid);
  EXPECT_EQ(kimi.yarn->betaFast, 1);
  EXPECT_NEAR(billions(kimi.parameterCount()), 1026, 1);
  EXPECT_NEAR(billions(kimi.activeParameterCount()), 32, 0.5);
  ModelConfig glm = parse(readConfig("glm-4.7-flash"));
  EXPECT_EQ(glm.denseLayers(), 1);
  EXPECT_EQ(glm.mtpLayers, 1);
  EXPECT_NEAR(billions(glm.parameterCount()), 30, 0.5);
  ModelConfig youtu = parse(readConfig("youtu"));
  EXPECT_EQ(youtu.moeLayers(), 0);
  EXPECT_EQ(youtu.experts, 0);
  EXPECT_TRUE(youtu.tieEmbeddings);
  EXPECT_NEAR(billions(youtu.parameterCount()), 1.96, 0.01);
}

// What a family has a default for may be missing, and keys of two families beside each other agree.
TEST(ModelConfig, KnowsTheFamiliesDefaults) {
  std::string v2 = readConfig("deepseek-v2-lite"), glm = readConfig("glm-4.7-flash");
  EXPECT_EQ(parse(changed(v2, {{"topk_method", ""},
                               {"scoring_func", ""},
                               {"norm_topk_prob", ""},
                               {"n_group", "null"},
                               {"topk_group", "null"}}))
                .groups,
            1);
  EXPECT_EQ(messageOf(parseModelConfig(changed(v2, {{"norm_topk_prob", "true"}}))),
            "config.json: norm_topk_prob wants false (libraries disagree about true in "
            "deepseek_v2), got true");
  EXPECT_EQ(messageOf(parseModelConfig(changed(v2, {{"topk_method", "\"noaux_tc\""}}))),
            "config.json: topk_method wants greedy or group_limited_greedy, got noaux_tc");
  EXPECT_EQ(messageOf(parseModelConfig(changed(v2, {{"num_experts_per_tok", "65"}}))),
            "config.json: num_experts_per_tok wants at most n_routed_experts (64), got 65");
  // A group's largest score needs one expert only.
  EXPECT_EQ(parse(changed(v2, {{"topk_method", "\"group_limited_greedy\""},
                               {"n_group", "64"},
                               {"topk_group", "8"}}))
                .groupLimit,
            8);
  EXPECT_FALSE(parse(changed(glm, {{"mlp_layer_types", ""}})).isDense(1));
  EXPECT_TRUE(parse(changed(glm, {{"mlp_layer_types", ""}})).isDense(0));
  EXPECT_EQ(parse(changed(glm, {{"first_k_dense_replace", "1"}})).denseLayers(), 1);
  EXPECT_EQ(messageOf(parseModelConfig(changed(glm, {{"first_k_dense_replace", "2"}}))),
            "config.json: first_k_dense_replace wants the dense layers of mlp_layer_types, got 2");
  EXPECT_EQ(
      messageOf(parseModelConfig(changed(glm, {{"mlp_layer_types", "[\"dense\"]"}}))),
      "config.json: mlp_layer_types wants a list of num_hidden_layers (47) words, got [\"dense\"]");
  ModelConfig mixed = parse(readConfig("mixed-layers"));
  EXPECT_EQ(mixed.routedLayers(), (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(parse(changed(glm, {{"rms_norm_eps", ""}})).normEpsilon, 1e-5);
  EXPECT_TRUE(parse(changed(readConfig("youtu"), {{"tie_word_embeddings", ""}})).tieEmbeddings);
}

// transformers takes null for false, whatever a missing key is; deepseek_v2 has no choice.
TEST(ModelConfig, ReadsTheOrderOfRotaryPairs) {
  std::string nano = readConfig("nano"), v2 = readConfig("deepseek-v2-lite");
  EXPECT_TRUE(parse(changed(nano, {{"rope_interleave", ""}})).ropeInterleave);
  EXPECT_FALSE(parse(changed(nano, {{"rope_interleave", "null"}})).ropeInterleave);
  EXPECT_TRUE(parse(changed(v2, {{"rope_interleave", "null"}})).ropeInterleave);
  EXPECT_EQ(messageOf(parseModelConfig(changed(v2, {{"rope_interleave", "false"}}))),
            "config.json: rope_interleave wants true, as deepseek_v2 always rotates neighbours, "
            "got false");
}

// The key beside rope_scaling goes before the one in it; a factor of null is the ratio of the
// lengths.
TEST(ModelConfig, ReadsTheOriginalLength) {
  std::string nano = readConfig("nano");
  EXPECT_EQ(
      parse(changed(nano, {{"original_max_position_embeddings", "16"}})).yarn->originalMaxPositions,
      16);
  EXPECT_EQ(parse(changed(nano, {{"original_max_position_embeddings", "16"},
                                 {"rope_scaling.original_max_position_embeddings", ""}}))
                .yarn->originalMaxPositions,
            16);
  ModelConfig ratio = parse(changed(nano, {{"rope_scaling.factor", "null"},
                                           {"max_position_embeddings", "640"},
                                           {"original_max_position_embeddings", "64"}}));
  EXPECT_EQ(ratio.yarn->factor, 10);
}

// The text part of a model of pictures and text, with what only the whole says.
TEST(ModelConfig, ReadsATextPart) {
  std::string nested = readConfig("nested");
  ModelConfig c = parse(nested);
  EXPECT_TRUE(c.isNested);
  EXPECT_EQ(c.modelType, "kimi_k2");
  EXPECT_EQ(c.dtype, ElementType::BF16);
  EXPECT_EQ(c.eosTokenIds, (std::vector<int64_t>{1, 2}));
  EXPECT_FALSE(c.tieEmbeddings);
  EXPECT_EQ(c.naming("model.layers.0.mlp.gate.weight"),
            "language_model.model.layers.0.mlp.gate.weight");
  EXPECT_EQ(c.naming("lm_head.weight"), "language_model.lm_head.weight");
  EXPECT_EQ(messageOf(parseModelConfig(changed(nested, {{"text_config.hidden_size", "0"}}))),
            "config.json: text_config.hidden_size wants a positive integer, got 0");
  EXPECT_EQ(messageOf(parseModelConfig(changed(nested, {{"text_config.model_type", "\"llama\""}}))),
            "config.json: model_type wants deepseek_v3, kimi_k2, glm4_moe_lite, youtu or "
            "deepseek_v2, got kimi_k25");
}

// Sparse attention would give other numbers; files that are no JSON are named.
TEST(ModelConfig, RefusesWhatItDoesNotCompute) {
  std::string nano = readConfig("nano");
  EXPECT_EQ(messageOf(parseModelConfig(changed(nano, {{"index_topk", "2048"}}))),
            "config.json: index_topk wants to be absent (sparse attention, as DeepSeek-V3.2 has "
            "it, is not compiled), got 2048");
  EXPECT_EQ(messageOf(parseModelConfig(changed(nano, {{"index_topk", "null"}}))), "");
  EXPECT_EQ(messageOf(parseModelConfig(changed(nano, {{"mlp_bias", "true"}}))),
            "config.json: mlp_bias wants false, got true");
  EXPECT_EQ(messageOf(parseModelConfig(
                "version https://git-lfs.github.com/spec/v1\noid sha256:3f\nsize 12\n")),
            "config.json: wants JSON, is a Git LFS pointer, not the file itself (run 'git lfs "
            "pull' in its folder)");
  EXPECT_EQ(messageOf(parseModelConfig("\xef\xbb\xbf" + nano)), "");
}

// A message is one line that starts with the file, names the key, and says what was wanted and what
// came.
TEST(ModelConfig, NamesTheKeyThatIsWrong) {
  struct Case {
    std::vector<Change> changes;
    std::string message;
  };
  const Case cases[] = {
      {{{"model_type", "\"llama\""}},
       "model_type wants deepseek_v3, kimi_k2, glm4_moe_lite, youtu or deepseek_v2, got llama"},
      {{{"model_type", ""}},
       "model_type wants deepseek_v3, kimi_k2, glm4_moe_lite, youtu or deepseek_v2, got nothing"},
      {{{"model_type", "3"}},
       "model_type wants deepseek_v3, kimi_k2, glm4_moe_lite, youtu or deepseek_v2, got 3"},
      {{{"hidden_size", "0"}}, "hidden_size wants a positive integer, got 0"},
      {{{"hidden_size", "-8"}}, "hidden_size wants a positive integer, got -8"},
      {{{"hidden_size", ""}}, "hidden_size wants a positive integer, got nothing"},
      {{{"hidden_size", "null"}}, "hidden_size wants a positive integer, got null"},
      {{{"hidden_size", "1.5"}}, "hidden_size wants a positive integer, got 1.5"},
      {{{"hidden_size", "\"128\""}}, "hidden_size wants a positive integer, got \"128\""},
      {{{"hidden_size", "[128]"}}, "hidden_size wants a positive integer, got [128]"},
      {{{"hidden_size", "true"}}, "hidden_size wants a positive integer, got true"},
      {{{"hidden_size", "9000000000000000000"}},
       "hidden_size wants a positive integer of at most 16777216, got 9000000000000000000"},
      {{{"vocab_size", "0"}}, "vocab_size wants a positive integer, got 0"},
      {{{"num_hidden_layers", "1000000"}},
       "num_hidden_layers wants a positive integer of at most 4096, got 1000000"},
      {{{"num_attention_heads", "{}"}}, "num_attention_heads wants a positive integer, got {}"},
      {{{"num_key_value_heads", "2"}},
       "num_key_value_heads wants num_attention_heads (4), latent attention shares no heads, got "
       "2"},
      {{{"q_lora_rank", ""}}, "q_lora_rank wants a positive integer or null, got nothing"},
      {{{"q_lora_rank", "0"}}, "q_lora_rank wants a positive integer, got 0"},
      {{{"kv_lora_rank", "null"}}, "kv_lora_rank wants a positive integer, got null"},
      {{{"qk_nope_head_dim", ""}}, "qk_nope_head_dim wants a positive integer, got nothing"},
      {{{"qk_rope_head_dim", "15"}}, "qk_rope_head_dim wants an even number, got 15"},
      {{{"v_head_dim", "0"}}, "v_head_dim wants a positive integer, got 0"},
      {{{"intermediate_size", ""}}, "intermediate_size wants a positive integer, got nothing"},
      {{{"moe_intermediate_size", "0"}}, "moe_intermediate_size wants a positive integer, got 0"},
      {{{"first_k_dense_replace", "5"}},
       "first_k_dense_replace wants at most num_hidden_layers (4), got 5"},
      {{{"first_k_dense_replace", "-1"}},
       "first_k_dense_replace wants an integer of at least 0, got -1"},
      {{{"n_group", "17"}}, "n_group wants to divide n_routed_experts (16), got 17"},
      {{{"n_group", "3"}}, "n_group wants to divide n_routed_experts (16), got 3"},
      {{{"n_group", "16"}},
       "n_group wants groups of at least 2 of the n_routed_experts (16), got 16"},
      {{{"n_group", "0"}}, "n_group wants a positive integer, got 0"},
      {{{"topk_group", "5"}}, "topk_group wants at most n_group (4), got 5"},
      {{{"num_experts_per_tok", "1000000"}},
       "num_experts_per_tok wants at most topk_group * n_routed_experts / n_group (8), got "
       "1000000"},
      {{{"num_experts_per_tok", "9"}},
       "num_experts_per_tok wants at most topk_group * n_routed_experts / n_group (8), got 9"},
      {{{"n_routed_experts", "null"}}, "n_routed_experts wants a positive integer, got null"},
      {{{"n_shared_experts", ""}},
       "n_shared_experts wants an integer of at least 0 or null, got nothing"},
      {{{"n_shared_experts", "-1"}}, "n_shared_experts wants an integer of at least 0, got -1"},
      {{{"norm_topk_prob", ""}}, "norm_topk_prob wants true or false, got nothing"},
      {{{"norm_topk_prob", "1"}}, "norm_topk_prob wants true or false, got 1"},
      {{{"routed_scaling_factor", "\"2\""}},
       "routed_scaling_factor wants a positive number, got \"2\""},
      {{{"routed_scaling_factor", "1e300"}},
       "routed_scaling_factor wants a positive number, got 1e"},
      {{{"rms_norm_eps", "1e-300"}}, "rms_norm_eps wants a positive number, got 1e"},
      {{{"routed_scaling_factor", "0"}}, "routed_scaling_factor wants a positive number, got 0"},
      {{{"hidden_act", "\"gelu\""}}, "hidden_act wants silu, got gelu"},
      {{{"scoring_func", "\"softmax\""}}, "scoring_func wants sigmoid, got softmax"},
      {{{"topk_method", "\"greedy\""}}, "topk_method wants noaux_tc, got greedy"},
      {{{"moe_layer_freq", "2"}}, "moe_layer_freq wants 1, got 2"},
      {{{"rms_norm_eps", "0"}}, "rms_norm_eps wants a positive number, got 0"},
      {{{"attention_bias", "\"no\""}}, "attention_bias wants true or false, got \"no\""},
      {{{"tie_word_embeddings", "0"}}, "tie_word_embeddings wants true or false, got 0"},
      {{{"num_nextn_predict_layers", "-1"}},
       "num_nextn_predict_layers wants an integer of at least 0, got -1"},
      {{{"max_position_embeddings", "0"}},
       "max_position_embeddings wants a positive integer, got 0"},
      {{{"eos_token_id", "512"}}, "eos_token_id wants token ids below vocab_size (512), got 512"},
      {{{"eos_token_id", "[1, \"x\"]"}},
       "eos_token_id wants token ids below vocab_size (512), got \"x\""},
      {{{"bos_token_id", "-1"}}, "bos_token_id wants token ids below vocab_size (512), got -1"},
      {{{"torch_dtype", "\"int8\""}}, "torch_dtype wants float32, bfloat16 or float16, got int8"},
      {{{"rope_theta", "1"}}, "rope_theta wants a number above 1, got 1"},
      {{{"rope_scaling", "4"}}, "rope_scaling wants an object or null, got 4"},
      {{{"rope_scaling.type", "\"linear\""}},
       "rope_scaling.type wants yarn or default, got linear"},
      {{{"rope_scaling.type", ""}}, "rope_scaling.type wants yarn or default, got nothing"},
      {{{"rope_scaling.rope_type", "\"llama3\""}},
       "rope_scaling.rope_type wants yarn or default, got llama3"},
      {{{"rope_scaling.factor", ""}},
       "rope_scaling.factor wants a number of at least 1, got nothing"},
      {{{"rope_scaling.factor", "0.5"}},
       "rope_scaling.factor wants a number of at least 1, got 0.5"},
      {{{"rope_scaling.original_max_position_embeddings", "0"}},
       "rope_scaling.original_max_position_embeddings wants a positive number, got 0"},
      {{{"rope_scaling.beta_fast", "-1"}},
       "rope_scaling.beta_fast wants a number of at least 0, got -1"},
      {{{"rope_scaling.mscale", "\"1\""}},
       "rope_scaling.mscale wants a number of at least 0, got \"1\""},
      {{{"rope_parameters", "{\"rope_type\": \"default\"}"}},
       "rope_scaling wants to be null or equal to rope_parameters where both are given, got "},
      {{{"quantization_config", "{\"quant_method\": \"gptq\"}"}},
       "quantization_config.quant_method wants fp8, got gptq"},
      {{{"quantization_config", "{\"quant_method\": \"fp8\", \"fmt\": \"e5m2\"}"}},
       "quantization_config.fmt wants e4m3, got e5m2"},
      {{{"quantization_config", "{\"quant_method\": \"fp8\", \"activation_scheme\": \"static\"}"}},
       "quantization_config.activation_scheme wants dynamic, got static"},
      {{{"quantization_config", "{\"quant_method\": \"fp8\"}"}},
       "quantization_config.weight_block_size wants two multiples of 32, as [128, 128], got "
       "nothing"},
      {{{"quantization_config", "{\"quant_method\": \"fp8\", \"weight_block_size\": [48, 128]}"}},
       "quantization_config.weight_block_size wants two multiples of 32, as [128, 128], got "
       "[48,128]"},
      {{{"hidden_size", "16777216"},
        {"vocab_size", "16777216"},
        {"num_attention_heads", "16777216"},
        {"num_key_value_heads", ""},
        {"v_head_dim", "16777216"}},
       "hidden_size wants sizes that give at most 2^56 parameters together, got 16777216"},
  };
  std::string nano = readConfig("nano");
  for (const Case &c : cases) {
    std::string message = messageOf(parseModelConfig(changed(nano, c.changes)));
    EXPECT_TRUE(StringRef(message).starts_with("config.json: " + c.message))
        << "wanted " << c.message << "\ngot    " << message;
    EXPECT_EQ(StringRef(message).count('\n'), 0u) << message;
  }
}

TEST(ModelConfig, SaysWhereJsonIsBroken) {
  EXPECT_EQ(messageOf(parseModelConfig("{\"model_type\": ")),
            "config.json: line 1, column 16: is no JSON");
  EXPECT_TRUE(StringRef(messageOf(parseModelConfig("{\n \"a\": 1,,\n}")))
                  .starts_with("config.json: line 2, column "));
  EXPECT_EQ(messageOf(parseModelConfig("[1]")), "config.json: wants an object, got an array");
  EXPECT_EQ(messageOf(parseModelConfig(std::string(100000, '['))),
            "config.json: nests deeper than 64 levels");
  EXPECT_NE(messageOf(parseModelConfig("")), "");
  EXPECT_NE(messageOf(parseModelConfig("{\"model_type\": \"\xff\"}")), "");
}

// Against the closed form: theta^(-2j/dr) without scaling.
TEST(ModelConfig, PlainFrequencies) {
  std::vector<float> got = parse(readConfig("nano-noq")).ropeFrequencies();
  ASSERT_EQ(got.size(), 6u);
  for (size_t j = 0; j < got.size(); ++j) // three roundings to f32
    EXPECT_NEAR(got[j], std::pow(10000.0, -2.0 * j / 12),
                std::pow(10000.0, -2.0 * j / 12) * 0x1p-21);
  EXPECT_EQ(parse(readConfig("nano-noq")).ropeMagnitude(), 1.0);
  EXPECT_DOUBLE_EQ(parse(readConfig("nano-noq")).softmaxScale(), 1 / std::sqrt(36.0));
}

// Against the formulas of YaRN, arXiv:2309.00071, §3.2, in double.
TEST(ModelConfig, YarnFrequencies) {
  for (const char *name : {"nano", "mini", "deepseek-v3-671b"}) {
    ModelConfig c = parse(readConfig(name));
    ASSERT_TRUE(c.yarn);
    double dim = static_cast<double>(c.ropeDim);
    auto turns = [&](double r) {
      return dim * std::log(c.yarn->originalMaxPositions / (2 * std::numbers::pi * r)) /
             (2 * std::log(c.ropeTheta));
    };
    double low = std::max(std::floor(turns(32)), 0.0),
           high = std::min(std::ceil(turns(1)), dim - 1);
    std::vector<float> got = c.ropeFrequencies();
    for (size_t j = 0; j < got.size(); ++j) {
      double plain = std::pow(c.ropeTheta, -2.0 * j / dim);
      double ramp = std::clamp((j - low) / (high - low), 0.0, 1.0);
      double wanted = plain * ((1 - ramp) + ramp / c.yarn->factor);
      EXPECT_NEAR(got[j], wanted, wanted * 0x1p-20) << name << " " << j;
    }
  }
}

// nano's two factors differ: mscale 1.0, mscale_all_dim 0.8, factor 4.
TEST(ModelConfig, YarnMagnitudes) {
  ModelConfig c = parse(readConfig("nano"));
  double g1 = 0.1 * std::log(4.0) + 1, g08 = 0.1 * 0.8 * std::log(4.0) + 1;
  EXPECT_DOUBLE_EQ(c.ropeMagnitude(), g1 / g08);
  EXPECT_DOUBLE_EQ(c.softmaxScale(), std::pow(48.0, -0.5) * g08 * g08);
  c = parse(changed(readConfig("nano"), {{"rope_scaling.mscale_all_dim", "0"}}));
  EXPECT_DOUBLE_EQ(c.ropeMagnitude(), g1);
  EXPECT_DOUBLE_EQ(c.softmaxScale(), std::pow(48.0, -0.5));
  c = parse(changed(readConfig("nano"), {{"rope_scaling.attention_factor", "1.25"}}));
  EXPECT_EQ(c.ropeMagnitude(), 1.25);
}

// No text crashes the reader, and every complaint is one line.
TEST(ModelConfig, SurvivesMutations) {
  std::mt19937 random(7);
  const std::string snippets[] = {
      "null", "-1",  "0",  "1e999", "{}", "[]",  "\"x\"", "18446744073709551615",
      "true", "1.5", "[[", "}",     ",",  "\\u", "\"",    "-9223372036854775808"};
  for (const char *name : testModels) {
    std::string original = readConfig(name);
    for (int i = 0; i < 2000; ++i) {
      std::string text = original;
      for (unsigned edits = 1 + random() % 3; edits && !text.empty(); --edits) {
        size_t at = random() % text.size();
        switch (random() % 5) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, 1 + random() % 20); break;
        case 2: text.insert(at, snippets[random() % std::size(snippets)]); break;
        case 3: text.resize(at); break;
        default: { // another value for one key
          size_t colon = text.find(": ", at),
                 comma = text.find(',', colon == std::string::npos ? at : colon);
          if (colon != std::string::npos && comma != std::string::npos)
            text.replace(colon + 2, comma - colon - 2, snippets[random() % std::size(snippets)]);
        }
        }
      }
      std::string message = messageOf(parseModelConfig(text));
      EXPECT_EQ(StringRef(message).count('\n'), 0u) << message;
    }
  }
}

} // namespace
