//===- ShardExpertsTest.cpp - experts on many ranks, to the bit -------------===//
//
// --moe-shard-experts on graphs that are then differentiated and evaluated in double, a thread a
// rank, against the same graph on one rank with all experts, for each rank's tokens by themselves.
// The interpreter adds in the order that the ops' descriptions fix, so equality is to the bit:
// results, gradients of the inputs, gradients of dense weights, and those of the experts' weights
// by the rank that the rows came from.
//
//===--------------------------------------------------------------------===//

#include "test/interpreter/Ranks.h"

#include "dialects/Dialects.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "frontend/BuildTraining.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FormatVariadic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

using namespace mlir;
using namespace hadal;
using namespace hadal::frontend;

namespace {

// The compiler's, not the runtime's that it is made of.
using frontend::ModelConfig;
using frontend::parseModelConfig;

Array draw(std::mt19937_64 &generator, std::vector<int64_t> shape) {
  Array array = Array::zeros(std::move(shape));
  std::normal_distribution<double> normal(0, 0.8);
  for (double &x : array.data)
    x = normal(generator);
  return array;
}

bool isStack(StringRef name) { return name.contains("{}"); }

/// A graph on one rank, the same on many, and the values of its parameters.
class Sharded {
public:
  Sharded(OwningOpRef<ModuleOp> module, int64_t ranks, int64_t nodes)
      : ranks(ranks), whole(std::move(module)) {
    std::mt19937_64 generator(5);
    for (auto global : whole->getOps<ml_program::GlobalOp>())
      parameters[global.getSymName().str()] =
          draw(generator, cast<RankedTensorType>(global.getType()).getShape());
    shared = OwningOpRef<ModuleOp>(whole->clone());
    run(*whole, [](PassManager &passes) { passes.addPass(createHadalDifferentiate()); });
    run(*shared, [&](PassManager &passes) {
      passes.addPass(createMoeShardExperts({ranks, nodes}));
      passes.addPass(createHadalDifferentiate());
    });
  }

  static void run(ModuleOp module, llvm::function_ref<void(PassManager &)> add) {
    PassManager passes(module.getContext());
    add(passes);
    ASSERT_TRUE(succeeded(passes.run(module)));
  }

  /// A rank's part of a stack is its share of the experts.
  Array parameter(int64_t rank, StringRef name) {
    Array all = parameters.at(name.str());
    if (!isStack(name))
      return all;
    all.shape[0] /= ranks;
    auto size = static_cast<int64_t>(all.data.size()) / ranks;
    all.data = {all.data.begin() + rank * size, all.data.begin() + (rank + 1) * size};
    return all;
  }

  void check(StringRef name, const std::vector<std::vector<Array>> &arguments) {
    auto f = whole->lookupSymbol<func::FuncOp>(name), g = shared->lookupSymbol<func::FuncOp>(name);
    ASSERT_TRUE(f && g);
    Ranks all(ranks, [&](int64_t rank, StringRef name) { return parameter(rank, name); });
    std::vector<std::vector<Array>> got = all.evaluate(g, arguments), wanted;
    for (const auto &given : arguments) {
      GraphInterpreter one([&](StringRef name) { return parameters.at(name.str()); });
      wanted.push_back(one.evaluate(f, given));
      ASSERT_EQ(one.complaint, "");
    }
    messages = all.messages;
    compare(f, got, wanted);
    checkSplit(g, arguments, got);
  }

  std::vector<Ranks::Message> messages;

private:
  void compare(func::FuncOp f, const std::vector<std::vector<Array>> &got,
               const std::vector<std::vector<Array>> &wanted) {
    unsigned stacks = 0;
    for (unsigned i = 0; i < f.getNumResults(); ++i) {
      auto of = f.getResultAttrOfType<FlatSymbolRefAttr>(i, job::kGradientOfAttr);
      for (int64_t rank = 0; rank < ranks; ++rank) {
        if (!of || !isStack(of.getValue())) {
          EXPECT_EQ(got[rank][i].shape, wanted[rank][i].shape) << "result " << i;
          EXPECT_EQ(got[rank][i].data, wanted[rank][i].data)
              << "result " << i << " of rank " << rank;
          continue;
        }
        ++stacks;
        auto global = shared->lookupSymbol<ml_program::GlobalOp>(of.getAttr());
        auto owners =
            global->getAttrOfType<DenseI64ArrayAttr>(job::kSegmentOwnersAttr).asArrayRef();
        ASSERT_EQ(std::set<int64_t>(owners.begin(), owners.end()).size(),
                  static_cast<size_t>(ranks));
        for (auto [segment, source] : llvm::enumerate(owners)) {
          // This rank's experts, as the source's tokens move them.
          const std::vector<double> &mine = got[rank][i].data, &theirs = wanted[source][i].data;
          auto size = static_cast<int64_t>(theirs.size()) / ranks;
          ASSERT_EQ(mine.size(), theirs.size());
          EXPECT_TRUE(std::equal(mine.begin() + segment * size, mine.begin() + (segment + 1) * size,
                                 theirs.begin() + rank * size))
              << of.getValue().str() << ", rows of rank " << source << " on rank " << rank;
        }
      }
    }
    EXPECT_GT(stacks, 0u);
  }

  /// In three parts, of which the last needs no other rank, the gradients are the same.
  void checkSplit(func::FuncOp g, const std::vector<std::vector<Array>> &arguments,
                  const std::vector<std::vector<Array>> &whole) {
    OwningOpRef<ModuleOp> split(cast<ModuleOp>(shared->clone()));
    run(*split, [](PassManager &passes) { passes.addPass(createHadalSplitBackward()); });
    StringRef base = g.getSymName();
    base.consume_back("_gradient");
    std::vector<std::map<std::string, Array>> handed(ranks);
    std::vector<std::vector<Array>> last;
    func::FuncOp part;
    Ranks all(ranks, [&](int64_t rank, StringRef name) { return parameter(rank, name); });
    for (const char *suffix : {"_forward", "_input_grad", "_weight_grad"}) {
      part = split->lookupSymbol<func::FuncOp>((base + suffix).str());
      ASSERT_TRUE(part) << suffix;
      std::vector<std::vector<Array>> given(ranks);
      for (int64_t rank = 0; rank < ranks; ++rank)
        for (unsigned i = 0; i < part.getNumArguments(); ++i) {
          auto number = part.getArgAttrOfType<IntegerAttr>(i, job::kArgumentAttr);
          given[rank].push_back(
              number ? arguments[rank].at(number.getInt())
                     : handed[rank].at(part.getArgAttrOfType<StringAttr>(i, kNameAttr).str()));
        }
      last = all.evaluate(part, given);
      for (int64_t rank = 0; rank < ranks; ++rank)
        for (unsigned i = 0; i < part.getNumResults(); ++i)
          if (auto name = part.getResultAttrOfType<StringAttr>(i, kNameAttr))
            handed[rank][name.str()] = last[rank][i];
    }
    part.walk(
        [](Operation *op) { EXPECT_FALSE((isa<moe::ExchangeOp, moe::ExchangeCountsOp>(op))); });
    unsigned next = 0;
    for (unsigned i = 0; i < g.getNumResults(); ++i) {
      if (!g.getResultAttr(i, job::kGradientOfAttr))
        continue;
      for (int64_t rank = 0; rank < ranks; ++rank)
        EXPECT_EQ(last[rank].at(next).data, whole[rank].at(i).data) << "gradient " << next;
      ++next;
    }
  }

  int64_t ranks;
  OwningOpRef<ModuleOp> whole, shared;
  std::map<std::string, Array> parameters;
};

void loadDialects(MLIRContext &context) {
  DialectRegistry registry;
  registerHadalDialects(registry);
  registry.insert<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect, math::MathDialect,
                  ml_program::MLProgramDialect, tensor::TensorDialect>();
  context.appendDialectRegistry(registry);
}

struct Layer {
  int64_t experts, choices, groups, groupLimit, ranks, nodes;
};

class OneLayer : public testing::TestWithParam<Layer> {};

/// The experts of a layer; choices and weights are given.
std::string layerText(const Layer &l) {
  std::string e = std::to_string(l.experts), k = std::to_string(l.choices),
              more = std::to_string(l.experts + 1);
  std::string up = "tensor<" + e + "x5x7xf32>", down = "tensor<" + e + "x7x5xf32>",
              offsets = "tensor<" + more + "xi32>", active = "tensor<" + e + "xi32>",
              ids = "tensor<?x" + k + "xi32>", weights = "tensor<?x" + k + "xf32>";
  auto global = [](const std::string &name, const std::string &type) {
    return "ml_program.global private mutable @\"" + name + "\"(#ml_program.extern : " + type +
           ") : " + type + "\n";
  };
  return global("{}.up", up) + global("{}.down", down) +
         "func.func @layer(%x: tensor<?x7xf32> {hadal.gradient}, %e: " + ids + ", %w: " + weights +
         " {hadal.gradient}) -> (tensor<?x7xf32> {hadal.gradient}, " + active +
         ") attributes {hadal.differentiate} {\n"
         "%source, %position, %offsets, %active = moe.plan %e {expert_count = " +
         e + " : i64} : " + ids + " -> tensor<?xi32>, " + ids + ", " + offsets + ", " + active +
         "\n" +
         "%rows = moe.dispatch %x, %source : tensor<?x7xf32>, tensor<?xi32> -> tensor<?x7xf32>\n"
         "%up = ml_program.global_load @\"{}.up\" : " +
         up + "\n%down = ml_program.global_load @\"{}.down\" : " + down + "\n" +
         "%h = moe.grouped_matmul %rows, %up, %offsets, %active : tensor<?x7xf32>, " + up + ", " +
         offsets + ", " + active + " -> tensor<?x5xf32>\n" +
         "%y = moe.grouped_matmul %h, %down, %offsets, %active : tensor<?x5xf32>, " + down + ", " +
         offsets + ", " + active + " -> tensor<?x7xf32>\n" +
         "%z = moe.combine %y, %position, %e, %w {expert_count = " + e +
         " : i64} : tensor<?x7xf32>, " + ids + ", " + ids + ", " + weights +
         " -> tensor<?x7xf32>\n" + "%load = tensor.extract_slice %offsets[1] [" + e +
         "] [1] : " + offsets + " to " + active + "\n" + "return %z, %load : tensor<?x7xf32>, " +
         active + "\n}\n";
}

/// Choices within `groupLimit` groups, ascending; of rank 1 always the first expert's group, so
/// that other ranks get nothing.
Array choose(std::mt19937_64 &generator, const Layer &l, int64_t tokens, bool narrow) {
  Array chosen = Array::zeros({tokens, l.choices});
  int64_t each = l.experts / l.groups;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<int64_t> groups(l.groups), ids;
    for (int64_t g = 0; g < l.groups; ++g)
      groups[g] = g;
    if (!narrow)
      std::shuffle(groups.begin(), groups.end(), generator);
    for (int64_t g = 0; g < l.groupLimit; ++g)
      for (int64_t e = 0; e < each; ++e)
        ids.push_back(groups[g] * each + e);
    std::shuffle(ids.begin(), ids.end(), generator);
    std::sort(ids.begin(), ids.begin() + l.choices);
    for (int64_t k = 0; k < l.choices; ++k)
      chosen.data[t * l.choices + k] = static_cast<double>(ids[k]);
  }
  return chosen;
}

/// A token crosses to a node once, to at most as many nodes as groups are kept, and inside a node
/// to a rank once.
void checkCrossings(const Layer &l, const std::vector<Ranks::Message> &messages) {
  bool twoLevels = l.nodes > 1 && l.nodes < l.ranks;
  int64_t onNode = l.ranks / l.nodes;
  std::map<std::vector<double>, std::set<int64_t>> nodesOfToken;
  unsigned crossings = 0;
  for (const Ranks::Message &message : messages) {
    moe::ExchangeOp op = message.op;
    // Tokens are known by their rows, which are random; the way there has a count.
    if (!op.getRows() || message.rows.dim(1) != 7 || !op.getX().getDefiningOp<moe::DispatchOp>())
      continue;
    bool between = message.from / onNode != message.to / onNode;
    if (twoLevels && between)
      EXPECT_EQ(message.from % onNode, message.to % onNode);
    std::set<std::vector<double>> seen;
    for (int64_t r = 0; r < message.rows.dim(0); ++r) {
      std::vector<double> row(message.rows.data.begin() + r * 7,
                              message.rows.data.begin() + (r + 1) * 7);
      EXPECT_TRUE(seen.insert(row).second)
          << "a token goes twice from rank " << message.from << " to " << message.to;
      if (!between)
        continue;
      ++crossings;
      bool fresh = nodesOfToken[row].insert(message.to / onNode).second;
      EXPECT_TRUE(fresh) << "a token crosses twice to node " << message.to / onNode;
    }
  }
  if (l.nodes > 1)
    EXPECT_GT(crossings, 0u);
  // A gradient crosses like a token, and has other rows.
  if (l.groups % l.nodes == 0)
    for (auto &[row, nodes] : nodesOfToken)
      EXPECT_LE(static_cast<int64_t>(nodes.size()), l.groupLimit);
}

// One layer with random choices: ranks with many tokens, few and none; ranks that get rows of all
// others, and of nobody.
TEST_P(OneLayer, IsTheSameOnManyRanks) {
  const Layer &l = GetParam();
  MLIRContext context;
  loadDialects(context);
  auto module = parseSourceString<ModuleOp>(layerText(l), &context);
  ASSERT_TRUE(module);
  Sharded layer(std::move(module), l.ranks, l.nodes);
  std::mt19937_64 generator(17);
  std::vector<std::vector<Array>> arguments;
  for (int64_t rank = 0; rank < l.ranks; ++rank) {
    int64_t tokens = rank == 2 ? 0 : rank == 3 ? 1 : 9 + 4 * rank;
    arguments.push_back({draw(generator, {tokens, 7}), choose(generator, l, tokens, rank == 1),
                         draw(generator, {tokens, l.choices}), draw(generator, {tokens, 7})});
  }
  layer.check("layer_gradient", arguments);
  checkCrossings(l, layer.messages);
}

INSTANTIATE_TEST_SUITE_P(Autodiff, OneLayer,
                         testing::Values(Layer{8, 3, 4, 2, 2, 1}, Layer{8, 3, 4, 2, 4, 1},
                                         Layer{8, 3, 4, 2, 8, 1}, Layer{12, 4, 4, 3, 4, 2},
                                         Layer{16, 4, 8, 3, 8, 2}, Layer{16, 4, 8, 3, 8, 4},
                                         Layer{16, 1, 8, 1, 8, 8}, Layer{24, 6, 8, 4, 8, 4}),
                         [](const auto &info) {
                           const Layer &l = info.param;
                           return llvm::formatv("Experts{0}Choices{1}Ranks{2}Nodes{3}", l.experts,
                                                l.choices, l.ranks, l.nodes)
                               .str();
                         });

/// The arguments of @loss for sequences of random tokens.
std::vector<Array> batch(std::mt19937_64 &generator, int64_t sequences, int64_t length,
                         int64_t vocabulary, int64_t depths) {
  auto vectorOf = [](std::vector<double> data) {
    return Array{{static_cast<int64_t>(data.size())}, std::move(data)};
  };
  std::vector<double> ids, counts;
  for (int64_t i = 0; i < sequences * length; ++i)
    ids.push_back(static_cast<double>(generator() % vocabulary));
  std::vector<Array> arguments;
  for (int64_t d = 0; d <= depths; ++d) {
    std::vector<double> rows, tokens, positions, targets, offsets{0};
    for (int64_t q = 0; q < sequences; ++q) {
      for (int64_t i = 0; i < length - d; ++i) {
        rows.push_back(static_cast<double>(q * (length - d + 1) + i));
        tokens.push_back(ids[q * length + i + d]);
        positions.push_back(static_cast<double>(i));
        targets.push_back(i + d + 1 < length ? ids[q * length + i + d + 1] : -1);
      }
      offsets.push_back(static_cast<double>(rows.size()));
    }
    counts.push_back(static_cast<double>(sequences * (length - 1 - d)));
    if (d == 0)
      for (auto *column : {&tokens, &positions, &offsets, &targets, &counts})
        arguments.push_back(vectorOf(*column));
    else
      for (auto *column : {&rows, &tokens, &positions, &targets, &offsets})
        arguments.push_back(vectorOf(*column));
  }
  counts.push_back(static_cast<double>(sequences));
  arguments[4] = vectorOf(counts);
  return arguments;
}

class Model : public testing::TestWithParam<std::pair<int64_t, int64_t>> {};

// The loss that the frontend builds, with latent attention, shared experts, balance and multi-token
// prediction.
TEST_P(Model, IsTheSameOnManyRanks) {
  auto [ranks, nodes] = GetParam();
  ModelConfig config = llvm::cantFail(
      parseModelConfig(R"({"model_type": "deepseek_v3", "vocab_size": 40, "hidden_size": 12,
      "num_hidden_layers": 2, "first_k_dense_replace": 1, "num_nextn_predict_layers": 1, "num_attention_heads": 2,
      "num_key_value_heads": 2, "q_lora_rank": 6, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 4,
      "intermediate_size": 10, "moe_intermediate_size": 6, "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 3,
      "n_group": 4, "topk_group": 2, "norm_topk_prob": true, "routed_scaling_factor": 1.5, "rms_norm_eps": 1e-5,
      "rope_theta": 100.0, "rope_scaling": null, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1,
      "tie_word_embeddings": false, "torch_dtype": "float32"})"));
  TrainingOptions options;
  options.balanceWeight = 0.1;
  MLIRContext context;
  loadDialects(context);
  auto module = buildTraining(context, config, options);
  ASSERT_TRUE(succeeded(module));
  Sharded model(std::move(*module), ranks, nodes);
  std::mt19937_64 generator(23);
  std::vector<std::vector<Array>> arguments;
  for (int64_t rank = 0; rank < ranks; ++rank)
    arguments.push_back(batch(generator, 1 + rank % 2, 7, 40, 1));
  model.check("loss_gradient", arguments);
}

INSTANTIATE_TEST_SUITE_P(
    Autodiff, Model,
    testing::Values(std::pair(2, 1), std::pair(8, 1), std::pair(4, 2), std::pair(8, 4)),
    [](const auto &info) {
      return llvm::formatv("Ranks{0}Nodes{1}", info.param.first, info.param.second).str();
    });

/// The first diagnostic of sharding one layer.
std::string complaint(const Layer &l) {
  MLIRContext context;
  loadDialects(context);
  auto module = parseSourceString<ModuleOp>(layerText(l), &context);
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (message.empty())
      message = diagnostic.str();
    return success();
  });
  PassManager passes(&context);
  passes.addPass(createMoeShardExperts({l.ranks, l.nodes}));
  EXPECT_TRUE(failed(passes.run(*module)));
  return message;
}

TEST(ShardExperts, SaysWhatItWants) {
  EXPECT_EQ(complaint({12, 3, 4, 2, 8, 1}),
            "'moe.plan' op wants E (12) to be a multiple of ranks (8)");
  EXPECT_EQ(complaint({12, 3, 4, 2, 6, 1}),
            "moe-shard-experts wants ranks (6) to be a power of two: each rank's experts are a "
            "subtree of the halving tree that sums them");
  EXPECT_EQ(complaint({16, 3, 4, 2, 8, 3}),
            "moe-shard-experts wants nodes (3) to divide ranks (8)");
}
} // namespace
