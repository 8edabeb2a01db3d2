//===- BuildGraphTest.cpp -----------------------------------------------===//

#include "TestModels.h"

#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "frontend/BuildGraph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/Parser/Parser.h"

#include <chrono>
#include <functional>

using namespace hadal;
using namespace hadal::frontend;
using llvm::StringRef;

namespace {

// The compiler's, not the runtime's that it is made of.
using frontend::ModelConfig;
using frontend::parseModelConfig;

class BuildGraph : public testing::Test {
protected:
  mlir::OwningOpRef<mlir::ModuleOp> build(const std::string &text) {
    ModelDescription model = llvm::cantFail(describeModel(llvm::cantFail(parseModelConfig(text))));
    auto module = buildGraph(context, model);
    if (mlir::succeeded(module))
      return std::move(*module);
    ADD_FAILURE() << text;
    return {};
  }

  template <typename Op> int64_t count(mlir::ModuleOp module) {
    int64_t n = 0;
    module.walk([&](Op) { ++n; });
    return n;
  }

  mlir::func::FuncOp forward(mlir::ModuleOp module) {
    return module.lookupSymbol<mlir::func::FuncOp>("forward");
  }

  std::vector<std::string> resultNames(mlir::ModuleOp module) {
    std::vector<std::string> names;
    mlir::func::FuncOp function = forward(module);
    for (unsigned i = 0; i < function.getNumResults(); ++i)
      names.push_back(function.getResultAttrOfType<mlir::StringAttr>(i, kNameAttr).str());
    return names;
  }

  mlir::MLIRContext context;
};

// The verifier accepts the graph of every configuration, and each has the layers it should.
TEST_F(BuildGraph, VerifiesAllModels) {
  for (const char *name : testModels) {
    auto module = build(readConfig(name));
    ASSERT_TRUE(module) << name;
    ModelConfig c = llvm::cantFail(parseModelConfig(readConfig(name)));
    EXPECT_EQ(count<mla::AttentionOp>(*module), c.layers) << name;
    EXPECT_EQ(count<mla::RopeOp>(*module), 2 * c.layers) << name;
    EXPECT_EQ(count<mla::RotationOp>(*module), 1) << name;
    EXPECT_EQ(count<moe::RouteOp>(*module), c.moeLayers()) << name;
    EXPECT_EQ(count<moe::GroupedMatmulOp>(*module), 3 * c.moeLayers()) << name;
    EXPECT_EQ(count<moe::CombineOp>(*module), c.moeLayers()) << name;
    EXPECT_EQ(count<fp8::DequantizeOp>(*module) > 0, c.quantization.has_value()) << name;
    EXPECT_EQ(resultNames(*module).size(),
              size_t(1 + c.layers + 1 + 2 * c.moeLayers() + 2 * c.layers))
        << name;
  }
}

// Each parameter is declared and read.
TEST_F(BuildGraph, ReadsEveryParameter) {
  auto module = build(readConfig("tiny"));
  llvm::StringMap<unsigned> reads;
  module->walk([&](mlir::ml_program::GlobalLoadConstOp load) {
    ++reads[load.getGlobal().getRootReference().getValue()];
  });
  unsigned globals = 0;
  module->walk([&](mlir::ml_program::GlobalOp global) {
    ++globals;
    EXPECT_EQ(reads.lookup(global.getSymName()), 1u) << global.getSymName().str();
  });
  EXPECT_EQ(globals, reads.size());
}

TEST_F(BuildGraph, BuildsOddModels) {
  const std::vector<Change> odd[] = {
      {{"q_lora_rank", "null"}},
      {{"first_k_dense_replace", "0"}},
      {{"first_k_dense_replace", "4"}},
      {{"n_group", "1"}, {"topk_group", "1"}, {"num_experts_per_tok", "16"}},
      {{"tie_word_embeddings", "true"}},
      {{"attention_bias", "true"}},
      {{"attention_bias", "true"}, {"q_lora_rank", "null"}},
      {{"rope_interleave", "false"}},
      {{"n_routed_experts", "6"},
       {"n_group", "3"},
       {"topk_group", "1"},
       {"num_experts_per_tok", "1"}},
      {{"n_shared_experts", "0"}},
      {{"n_shared_experts", "3"}},
      {{"num_attention_heads", "1"}, {"num_key_value_heads", "1"}},
      {{"hidden_size", "37"},
       {"v_head_dim", "5"},
       {"qk_nope_head_dim", "7"},
       {"qk_rope_head_dim", "2"},
       {"kv_lora_rank", "1"},
       {"vocab_size", "3"}},
      {{"num_hidden_layers", "1"}, {"first_k_dense_replace", "1"}},
      {{"norm_topk_prob", "false"}, {"torch_dtype", "\"float32\""}},
  };
  for (const char *base : {"nano", "nano-transformers5"})
    for (const std::vector<Change> &changes : odd)
      EXPECT_TRUE(build(changed(readConfig(base), changes)));
}

TEST_F(BuildGraph, NamesResultsInOrder) {
  EXPECT_EQ(resultNames(*build(readConfig("tiny"))),
            (std::vector<std::string>{"logits", "hidden.0", "hidden.1", "hidden.2",
                                      "router.1.topk_ids", "router.1.topk_weights", "cache.0.ckv",
                                      "cache.0.k_rope", "cache.1.ckv", "cache.1.k_rope"}));
}

TEST_F(BuildGraph, SaysWhatADriverNeeds) {
  auto module = build(readConfig("tiny"));
  job::ModelAttr model = job::modelOf(*module);
  ASSERT_TRUE(model);
  EXPECT_EQ(model.getModelType(), "deepseek_v3");
  EXPECT_EQ(model.getVocabSize(), 100);
  EXPECT_EQ(model.getLayers(), 2);
  EXPECT_EQ(model.getCacheElementsPerToken(), 2 * (14 + 4));
  EXPECT_EQ(model.getBosTokenId(), 0);
  EXPECT_EQ(model.getEosTokenIds(), llvm::ArrayRef<int64_t>({1, 2}));
  EXPECT_EQ(model.getMoeLayers(), llvm::ArrayRef<int64_t>({1}));
}

// What is printed reads back.
TEST_F(BuildGraph, RoundTripsThroughText) {
  for (const char *name : {"tiny", "nano-fp8-quantized"}) {
    auto module = build(readConfig(name));
    std::string first, second;
    llvm::raw_string_ostream(first) << *module;
    auto again = mlir::parseSourceString<mlir::ModuleOp>(first, &context);
    ASSERT_TRUE(again) << name;
    llvm::raw_string_ostream(second) << *again;
    EXPECT_EQ(first, second) << name;
  }
}

// The real shape, 61 layers of 256 experts, is a small module.
TEST_F(BuildGraph, BuildsTheReleaseQuickly) {
  auto start = std::chrono::steady_clock::now();
  auto module = build(readConfig("deepseek-v3-671b"));
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  int64_t operations = 0;
  module->walk([&](mlir::Operation *) { ++operations; });
  EXPECT_LT(operations, 20000);
  EXPECT_LT(seconds.count(), 10.0); // takes about 0.3 s; loose for a busy machine
  RecordProperty("seconds", std::to_string(seconds.count()));
  RecordProperty("operations", std::to_string(operations));
}

} // namespace
