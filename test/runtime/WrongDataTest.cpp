//===- WrongDataTest.cpp - files, configurations and ranks that do not fit ===//

#include "runtime/CheckpointFit.h"
#include "runtime/DataDigest.h"
#include "runtime/File.h"
#include "runtime/Finite.h"
#include "runtime/comm/InProcessComm.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/parameters/WeightStore.h"
#include "runtime/ranks/Gather.h"
#include "test/tools/FakeModel.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace hadal;

namespace {

class WrongData : public testing::Test {
protected:
  void SetUp() override {
    folder = testing::TempDir() + "hadal-wrong-" + std::to_string(getpid());
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  /// model.safetensors with these tensors of F32.
  Checkpoint checkpointOf(const std::vector<std::pair<std::string, std::vector<float>>> &tensors) {
    std::vector<NamedTensor> named;
    for (const auto &[name, values] : tensors)
      named.push_back({name, TensorView::of(values)});
    EXPECT_TRUE(writeSafetensors(folder + "/model.safetensors", named).ok());
    auto opened = Checkpoint::open(folder);
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    return std::move(*opened);
  }

  std::string folder;
};

/// The bytes of a file with this header and `data` bytes of data.
std::string safetensors(const std::string &header, size_t data) {
  uint64_t length = header.size();
  return std::string(reinterpret_cast<const char *>(&length), 8) + header + std::string(data, 'x');
}

std::string whyRefused(const std::string &file) {
  auto parsed = Safetensors::parse(std::as_bytes(std::span(file)), "f");
  return parsed.ok() ? "" : parsed.error().message;
}

// The format wants data without holes: what is left over shows a header whose length is wrong.
TEST_F(WrongData, TensorsCoverTheData) {
  auto entry = [](const char *name, int begin, int end) {
    return std::string("\"") + name + R"(": {"dtype": "F32", "shape": [)" +
           std::to_string((end - begin) / 4) + R"(], "data_offsets": [)" + std::to_string(begin) +
           ", " + std::to_string(end) + "]}";
  };
  std::string header = "{" + entry("a", 0, 8) + ", " + entry("b", 8, 12) + "}";
  EXPECT_EQ(whyRefused(safetensors(header, 12)), "");
  EXPECT_NE(whyRefused(safetensors(header, 13)), "");
  EXPECT_EQ(whyRefused(safetensors("{" + entry("a", 0, 8) + ", " + entry("b", 12, 16) + "}", 16)),
            "f: wants tensor 'b' at byte " + std::to_string(8 + header.size() + 1 + 8) +
                ", after 'a', it is at " + std::to_string(8 + header.size() + 1 + 12));
  EXPECT_NE(whyRefused(safetensors("{" + entry("a", 4, 8) + "}", 8)).find("where the data begins"),
            std::string::npos);
  EXPECT_NE(whyRefused(safetensors("{}", 1)), "");
  // One space of the padding is read as the first byte of the data: all weights would be shifted.
  std::string file = safetensors(header + "   ", 12);
  --file[0];
  EXPECT_NE(whyRefused(file), "");
}

// A 671B checkpoint's optimizer has 180,000 tensors. Quadratic code needs minutes for these.
TEST_F(WrongData, ManyTensors) {
  constexpr int count = 40000;
  std::vector<float> one = {1};
  std::vector<NamedTensor> named;
  for (int i = 0; i < count; ++i)
    named.push_back(
        {"model.layers." + std::to_string(i) + ".mlp.gate.weight", TensorView::of(one)});
  ASSERT_TRUE(writeSafetensors(folder + "/many.safetensors", named).ok());
  auto opened = Safetensors::open(folder + "/many.safetensors");
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->tensors().size(), size_t(count));
  EXPECT_NE(opened->find("model.layers.39999.mlp.gate.weight"), nullptr);
}

// What lies in a folder is no pipe, and a pipe that the user names is not waited for without end.
TEST_F(WrongData, PipesAreRefused) {
  std::string pipe = folder + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::open(pipe).error().message, pipe + ": wants a regular file");
  EXPECT_EQ(readTextFile(pipe).error().message, pipe + ": wants a regular file");
  EXPECT_EQ(Module::open(pipe).error().message, pipe + ": is a pipe that nothing writes to");
  EXPECT_FALSE(Safetensors::open(pipe).ok());
}

// Where a mapped file is cut, reading the rest ends the process with a line, on any thread.
TEST_F(WrongData, AMappedFileThatShrinksIsNamed) {
  std::string path = folder + "/weights";
  std::ofstream(path) << std::string(1 << 20, 'w');
  auto readOnAThread = [&] {
    nameShrunkenFiles("the-test");
    auto other = MappedFile::open(folder + "/weights"), file = MappedFile::open(path);
    (void)::truncate(path.c_str(), 100);
    unsigned sum = 0;
    std::thread([&] {
      for (std::byte byte : file->bytes())
        sum += unsigned(byte);
    }).join();
    std::fprintf(stderr, "%u", sum);
    ::_exit(0);
  };
  EXPECT_EXIT(readOnAThread(), testing::ExitedWithCode(1),
              "^the-test: .*/weights: has become shorter while it was read\n$");
  // Another fault is the system's to answer.
  auto fault = [] {
    nameShrunkenFiles("the-test");
    ::raise(SIGBUS);
    ::raise(SIGBUS);
  };
  EXPECT_EXIT(fault(), testing::KilledBySignal(SIGBUS), "");
}

// A file that ends inside its last page reads as zeros there, without any signal.
TEST_F(WrongData, AFileThatShrinksInsideAPageIsNoticed) {
  std::string path = folder + "/small";
  std::ofstream(path) << "some bytes";
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->checkSize().ok());
  ASSERT_EQ(::truncate(path.c_str(), 4), 0);
  EXPECT_EQ(file->checkSize().error().message, path + ": has become shorter while it was read");
}

// What was checked is what runs: the file may change.
TEST_F(WrongData, AModuleIsReadIntoMemory) {
  std::string path = folder + "/m.hadal";
  ASSERT_TRUE(writeModule(path, fake::modulePayload()).ok());
  auto module = Module::open(path);
  ASSERT_TRUE(module.ok()) << module.error().message;
  std::vector<std::byte> code(module->code(0).begin(), module->code(0).end());
  std::ofstream(path, std::ios::trunc) << "other";
  EXPECT_TRUE(std::equal(code.begin(), code.end(), module->code(0).begin()));
  EXPECT_NE(module->findProgram("decode"), nullptr);
}

template <typename T> bool finite(ElementType element, const std::vector<T> &values) {
  // At an odd place, too.
  std::vector<std::byte> shifted(values.size() * sizeof(T) + 1);
  std::memcpy(shifted.data() + 1, values.data(), values.size() * sizeof(T));
  bool here = allFinite(element, values.data(), values.size());
  EXPECT_EQ(here, allFinite(element, shifted.data() + 1, values.size()));
  return here;
}

TEST(Finite, EveryElementType) {
  using Wide = std::numeric_limits<double>;
  EXPECT_TRUE(finite<double>(ElementType::F64, {Wide::max(), Wide::lowest(), 0}));
  EXPECT_FALSE(finite<double>(ElementType::F64, {0, -Wide::infinity()}));
  EXPECT_TRUE(finite<uint16_t>(ElementType::BF16, {0x7F7F, 0xFF7F, 0}));
  EXPECT_FALSE(finite<uint16_t>(ElementType::BF16, {0, 0xFF80}));
  EXPECT_FALSE(finite<uint16_t>(ElementType::BF16, {0x7FC0}));
  EXPECT_TRUE(finite<uint16_t>(ElementType::F16, {0x7BFF, 0xFBFF}));
  EXPECT_FALSE(finite<uint16_t>(ElementType::F16, {0x7C00}));
  EXPECT_FALSE(finite<uint16_t>(ElementType::F16, {0xFE00}));
  EXPECT_TRUE(finite<uint8_t>(ElementType::F8E4M3, {0x7E, 0xFE, 0}));
  EXPECT_FALSE(finite<uint8_t>(ElementType::F8E4M3, {0xFF}));
  EXPECT_TRUE(finite<uint8_t>(ElementType::F8E5M2, {0x7B, 0xFB, 0}));
  EXPECT_FALSE(finite<uint8_t>(ElementType::F8E5M2, {0xFC}));
  EXPECT_TRUE(finite<int32_t>(ElementType::I32, {-1, 0x7F800000}));
  // The last element of many.
  std::vector<float> many(10001);
  EXPECT_TRUE(finite(ElementType::F32, many));
  many.back() = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(finite(ElementType::F32, many));
}

// A token can be chosen from a row that has a largest value; -inf marks what may not be chosen.
TEST(Finite, RowsWithAMaximum) {
  float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  using Row = std::vector<float>;
  EXPECT_TRUE(hasFiniteMaximum(Row{1, -inf, -3}));
  EXPECT_FALSE(hasFiniteMaximum(Row{-inf, -inf}));
  EXPECT_FALSE(hasFiniteMaximum(Row{1, inf}));
  EXPECT_FALSE(hasFiniteMaximum(Row{1, nan}));
  EXPECT_FALSE(hasFiniteMaximum(Row{-nan, 2}));
  Row rows = {1, 2, nan, 4};
  EXPECT_EQ(rowWithoutMaximum(TensorView::of(rows, {2, 2})), 1);
}

const char *configText =
    R"({"model_type": "deepseek_v3", "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2,
  "first_k_dense_replace": 1, "num_attention_heads": 2, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8,
  "qk_rope_head_dim": 4, "v_head_dim": 8, "intermediate_size": 24, "moe_intermediate_size": 4, "n_routed_experts": 8,
  "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "norm_topk_prob": true,
  "routed_scaling_factor": 2.5, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 256,
  "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "mscale": 1, "mscale_all_dim": 1}})";

std::vector<ConfigValue> valuesWith(const std::string &changes) {
  nlohmann::json config = nlohmann::json::parse(configText);
  config.merge_patch(nlohmann::json::parse(changes));
  auto parsed = parseModelConfig(config.dump());
  EXPECT_TRUE(parsed.ok()) << parsed.error().message;
  return valuesThatChangeNumbers(*parsed);
}

std::string differs(const std::string &changes) {
  auto difference = firstDifference(valuesWith("{}"), valuesWith(changes));
  return difference ? difference->name + " " + difference->mine + " " + difference->theirs : "";
}

// Every value that changes numbers is compared, and the first is named with both.
TEST(Configuration, ValuesThatChangeNumbers) {
  EXPECT_EQ(differs(R"({"rope_theta": 500000})"), "rope_theta 10000 500000");
  EXPECT_EQ(differs(R"({"rms_norm_eps": 1e-5})"), "rms_norm_eps 1e-06 1e-05");
  EXPECT_EQ(differs(R"({"routed_scaling_factor": 1})"), "routed_scaling_factor 2.5 1");
  EXPECT_EQ(differs(R"({"norm_topk_prob": false})"), "norm_topk_prob true false");
  EXPECT_EQ(differs(R"({"n_group": 4, "topk_group": 2})"), "topk_group of n_group 1 of 2 2 of 4");
  EXPECT_EQ(differs(R"({"n_group": 4})"), "topk_group of n_group 1 of 2 1 of 4");
  EXPECT_EQ(differs(R"({"topk_group": 2})"), "topk_group of n_group 1 of 2 all");
  EXPECT_EQ(differs(R"({"first_k_dense_replace": 2})"),
            "first_k_dense_replace (or mlp_layer_types) 1 2");
  EXPECT_EQ(differs(R"({"num_experts_per_tok": 1})"), "num_experts_per_tok 2 1");
  EXPECT_EQ(differs(R"({"qk_nope_head_dim": 4, "qk_rope_head_dim": 8})"), "qk_nope_head_dim 8 4");
  EXPECT_EQ(differs(R"({"num_attention_heads": 4, "qk_nope_head_dim": 4})"),
            "num_attention_heads 2 4");
  EXPECT_EQ(differs(R"({"rope_interleave": false})"), "rope_interleave true false");
  EXPECT_EQ(differs(R"({"rope_scaling": null})"), "rope_scaling yarn none");
  EXPECT_EQ(differs(R"({"rope_scaling": {"factor": 8}})"), "rope_scaling.factor 4 8");
  EXPECT_EQ(differs(R"({"rope_scaling": {"beta_slow": 2}})"), "rope_scaling.beta_slow 1 2");
  EXPECT_EQ(differs(R"({"rope_scaling": {"mscale": 0.7}})"), "rope_scaling.mscale 1 0.7");
  EXPECT_EQ(differs(R"({"rope_scaling": {"attention_factor": 2}})"),
            "rope_scaling.attention_factor none 2");
  EXPECT_EQ(differs(R"({"rope_scaling": {"original_max_position_embeddings": 128}})"),
            "rope_scaling.original_max_position_embeddings 64 128");
  EXPECT_EQ(differs(R"({"tie_word_embeddings": true})"), "tie_word_embeddings false true");
  EXPECT_EQ(differs(R"({"attention_bias": true})"), "attention_bias false true");
}

TEST(Configuration, OtherWordsForTheSame) {
  EXPECT_EQ(
      differs(
          R"({"rope_theta": 10000, "torch_dtype": "bfloat16", "max_position_embeddings": 512, "eos_token_id": 3})"),
      "");
  EXPECT_EQ(
      differs(
          R"({"rope_theta": null, "rope_scaling": null, "rope_parameters": {"rope_theta": 10000, "rope_type": "yarn", "factor": 4.0,
    "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0, "truncate": true}})"),
      "");
  EXPECT_EQ(
      differs(
          R"({"rms_norm_eps": 0.000001, "hidden_act": "silu", "scoring_func": "sigmoid", "attention_bias": false})"),
      "");
  // A limit that lets all groups pass is no limit.
  auto all = valuesWith(R"({"n_group": 4, "topk_group": 4})"),
       none = valuesWith(R"({"n_group": 1, "topk_group": 1})");
  EXPECT_FALSE(firstDifference(all, none));
}

// A head beside a tied table: what counts is its bytes.
TEST_F(WrongData, AHeadOfItsOwn) {
  EXPECT_FALSE(hasOwnHead(checkpointOf({{"model.embed_tokens.weight", {1, 2}}})));
  EXPECT_FALSE(hasOwnHead(
      checkpointOf({{"model.embed_tokens.weight", {1, 2}}, {"lm_head.weight", {1, 2}}})));
  EXPECT_TRUE(hasOwnHead(
      checkpointOf({{"model.embed_tokens.weight", {1, 2}}, {"lm_head.weight", {1, 3}}})));
  EXPECT_TRUE(hasOwnHead(
      checkpointOf({{"model.embed_tokens.weight", {1, 2}}, {"lm_head.weight", {1, 2, 3}}})));
}

TEST(Tensors, ThatChangeNothing) {
  auto ignored = [](const std::string &name, Shape shape = {4}) {
    return changesNothing({name, ElementType::F32, std::move(shape), 0, 16, "F32"},
                          {{}, false, 2, {2}});
  };
  EXPECT_TRUE(ignored("model.layers.1.self_attn.rotary_emb.inv_freq"));
  EXPECT_TRUE(ignored("model.layers.2.enorm.weight")) << "multi-token prediction";
  EXPECT_TRUE(ignored("model.layers.2.mlp.gate.weight")) << "of the same layer";
  EXPECT_FALSE(ignored("model.layers.3.mlp.gate.weight")) << "a layer more than the model has";
  EXPECT_TRUE(ignored("model.layers.1.mlp.shared_experts.up_proj.weight", {0, 4}));
  EXPECT_FALSE(ignored("model.layers.1.self_attn.o_proj.bias"));
  EXPECT_FALSE(ignored("model.layers.2"));
  EXPECT_FALSE(ignored("lm_head.weight"));
  TextPart nested{{"language_model.model.", "language_model.lm_head"}, true, 2, {2}};
  auto ignoredThere = [&](const std::string &name) {
    return changesNothing({name, ElementType::F32, {4}, 0, 16, "F32"}, nested);
  };
  EXPECT_TRUE(ignoredThere("vision_tower.blocks.0.norm.weight"));
  EXPECT_TRUE(ignoredThere("language_model.model.layers.2.enorm.weight"));
  EXPECT_FALSE(ignoredThere("language_model.model.layers.1.self_attn.o_proj.bias"));
}

// A configuration of fewer layers than the checkpoint has would leave some out silently; only what
// multi-token prediction alone has tells its layers from those.
TEST_F(WrongData, LayersOfMultiTokenPrediction) {
  Checkpoint checkpoint = checkpointOf({{"model.layers.1.shared_head.norm.weight", {1}},
                                        {"model.layers.2.mlp.gate.weight", {1}},
                                        {"model.layers.3.mlp.gate.weight", {1}},
                                        {"model.layers.3.eh_proj.weight", {1}},
                                        {"model.layers.4.enorm.weight", {1}},
                                        {"other.model.layers.5.hnorm.weight", {1}}});
  EXPECT_EQ(textPartOf(checkpoint, {}, false, 2).mtpLayers, (std::set<int64_t>{3, 4}));
  EXPECT_EQ(textPartOf(checkpoint, {"other.model.", "lm_head"}, true, 2).mtpLayers,
            std::set<int64_t>{5});
}

// Loading looks at every tensor: at its name, and at its numbers.
TEST_F(WrongData, WeightsAreLookedAt) {
  auto module = Module::fromBytes(moduleBytes(fake::modulePayload()), "fake.hadal");
  ASSERT_TRUE(module.ok());
  CpuDevice device(1);
  auto whyRefused = [&](Checkpoint checkpoint) {
    auto loaded = WeightStore::load(*module, device, std::move(checkpoint));
    return loaded.ok() ? "" : loaded.error().message;
  };
  EXPECT_EQ(whyRefused(checkpointOf(
                {{"scale", {1}}, {"model.layers.0.self_attn.rotary_emb.inv_freq", {1, 2}}})),
            "");
  EXPECT_EQ(
      whyRefused(checkpointOf({{"scale", {1}}, {"model.layers.0.self_attn.o_proj.bias", {1}}})),
      folder + ": model.layers.0.self_attn.o_proj.bias is in the checkpoint, but not in the model "
               "that fake.hadal was compiled from");
  for (float value :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()})
    EXPECT_EQ(whyRefused(checkpointOf({{"scale", {value}}})),
              folder + ": scale holds NaN or an infinite value");
}

/// A module's tensors as another one has them.
class FakeSource final : public TensorSource {
public:
  FakeSource(const Module &trained, const ParameterStore &parameters)
      : trained(trained), parameters(parameters) {}
  const Module &module() const override { return trained; }
  Result<TensorView> tensor(const std::string &) override { return TensorView::of(values); }
  const ParameterStore &store() const override { return parameters; }

private:
  const Module &trained;
  const ParameterStore &parameters;
  std::vector<float> values = {1};
};

// Nothing is packed into the memory of a training module's state: neither a checkpoint nor a module
// of another store. A reader in the state's own store has its values as they are.
TEST_F(WrongData, StatesAreNotPackedOver) {
  auto module = Module::fromBytes(moduleBytes(fake::modulePayload()), "fake.hadal");
  ASSERT_TRUE(module.ok());
  CpuDevice device(1);
  const fb::Weight &weight = *module->tables().weights()->Get(0);
  auto store = std::make_shared<ParameterStore>();
  auto state = store->holdState(device, parameterOf(*module, weight, 0), weight.bytes());
  ASSERT_TRUE(state.ok());
  std::vector<char> trained(weight.bytes(), 7);
  std::memcpy((*state)->address(), trained.data(), trained.size());

  const char *refusal = "packed_scale: the store has it of another module";
  auto packed = WeightStore::load(*module, device, checkpointOf({{"scale", {1}}}), {}, 0, store);
  ASSERT_FALSE(packed.ok());
  EXPECT_EQ(packed.error().message, refusal);
  ParameterStore elsewhere;
  FakeSource other(*module, elsewhere), own(*module, *store);
  auto laidOut = WeightStore::load(*module, device, store, other);
  ASSERT_FALSE(laidOut.ok());
  EXPECT_EQ(laidOut.error().message, refusal);
  auto shared = WeightStore::load(*module, device, store, own);
  ASSERT_TRUE(shared.ok()) << shared.error().message;
  EXPECT_EQ(shared->weight(0), (*state)->address());
  EXPECT_EQ(std::memcmp((*state)->address(), trained.data(), trained.size()), 0);
}

// A digest is of tensors, and not of how they lie in files.
TEST_F(WrongData, DigestsOfCheckpoints) {
  using Tensors = std::vector<std::pair<std::string, std::vector<float>>>;
  auto digest = [&](const Tensors &tensors) { return dataDigestOf(checkpointOf(tensors)); };
  std::string first = digest({{"a", {1, 2}}, {"b", {3}}});
  EXPECT_EQ(first, digest({{"b", {3}}, {"a", {1, 2}}}));
  EXPECT_NE(first, digest({{"a", {1, 2}}, {"b", {4}}}));
  EXPECT_NE(first, digest({{"a", {1, 2}}, {"c", {3}}}));
  EXPECT_NE(first, digest({{"a", {1}}, {"b", {2, 3}}}));
  // The last bytes of a tensor of many blocks.
  std::vector<float> many(5000), other = many;
  other.back() = 1;
  EXPECT_NE(digest({{"a", many}}), digest({{"a", other}}));
}

/// What each of the ranks learns from compare().
std::vector<std::string> compared(const std::vector<std::vector<Fact>> &facts,
                                  const std::vector<Status> &states) {
  InProcessWorld world(static_cast<unsigned>(facts.size()));
  std::vector<std::string> heard(facts.size());
  std::vector<std::thread> ranks;
  for (unsigned rank = 0; rank < facts.size(); ++rank)
    ranks.emplace_back([&, rank] {
      auto comm = world.comm(rank);
      auto all = compare(*comm, states[rank], facts[rank], Comm::Seconds(20), "compares");
      heard[rank] = !all.ok()   ? "silent: " + all.error().message
                    : all->ok() ? ""
                                : all->error().message;
    });
  for (std::thread &rank : ranks)
    rank.join();
  return heard;
}

// All ranks learn of the first difference, or of the first error, in the same words.
TEST(Ranks, AreCompared) {
  using All = std::vector<std::string>;
  std::vector<Status> fine(3);
  auto facts = [](const std::string &rate, const std::string &weights) {
    return std::vector<Fact>{{"--lr", rate, true}, {"weights", weights}};
  };
  EXPECT_EQ(compared({facts("1", "x"), facts("1", "x"), facts("1", "x")}, fine), All(3));
  EXPECT_EQ(compared({facts("1", "x"), facts("1", "x"), facts("1", "y")}, fine),
            All(3, "rank 2 has weights other than rank 0"));
  EXPECT_EQ(compared({facts("1", "x"), facts("2", "x"), facts("1", "y")}, fine),
            All(3, "rank 1 has --lr 2, rank 0 has --lr 1"));
  EXPECT_EQ(compared({facts("", "x"), facts("2", "x"), facts("", "x")}, fine),
            All(3, "rank 1 has --lr 2, rank 0 has no --lr"));
  EXPECT_EQ(compared({facts("1", "x"), facts("1", "x"), {{"--lr", "1", true}}}, fine),
            All(3, "rank 2 has another command than rank 0"));
  std::vector<Status> broken = {Status(), Status(notFound("w: no such file")), Status()};
  EXPECT_EQ(compared({facts("1", "x"), {}, facts("1", "y")}, broken),
            All(3, "rank 1: w: no such file"));
}

} // namespace
