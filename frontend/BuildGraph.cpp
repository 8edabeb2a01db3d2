//===- BuildGraph.cpp - a model description as an MLIR module -----------===//

#include "frontend/BuildGraph.h"

#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "frontend/Blocks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "runtime/module/Names.h"

using namespace mlir;

namespace hadal::frontend {

namespace {

/// A value that @forward returns, and its exec.name.
struct NamedResult {
  std::string name;
  Value value;
};

} // namespace

job::ModelAttr modelAttribute(MLIRContext *context, const ModelConfig &c) {
  SmallVector<StringAttr> configuration;
  for (const ConfigValue &value : valuesThatChangeNumbers(c))
    configuration.push_back(StringAttr::get(context, value.name + "=" + value.text));
  auto error = [context] { return emitError(UnknownLoc::get(context)); };
  std::vector<int64_t> moeLayers = c.routedLayers();
  return job::ModelAttr::getChecked(
      function_ref<InFlightDiagnostic()>(error), context, StringRef(c.modelType), c.vocabSize,
      c.hiddenSize, c.layers, c.latentRank, c.ropeDim, c.experts, c.expertsPerToken,
      std::max<int64_t>(c.groups, 1), std::max<int64_t>(c.groupLimit, 1), ArrayRef(moeLayers),
      c.maxPositions, job::defaultPageTokens, c.cacheElementsPerToken(), ArrayRef(c.eosTokenIds),
      c.bosTokenId.value_or(-1), c.parameterCount(), c.activeParameterCount(),
      ArrayRef(configuration));
}

std::string checkRanks(const ModelConfig &config, const job::RankOptions &ranks) {
  auto text = [](int64_t v) { return std::to_string(v); };
  if (ranks.ep > 1 && !config.experts)
    return "--ep: the model has no experts";
  if (config.experts % ranks.ep)
    return "--ep: wants to divide the " + text(config.experts) + " experts, got " + text(ranks.ep);
  if (ranks.ep & (ranks.ep - 1))
    return "--ep: wants a power of two, which the order of sums is made for, got " + text(ranks.ep);
  if (ranks.ep % ranks.nodes)
    return "--nodes: wants to divide the " + text(ranks.ep) + " expert-parallel ranks, got " +
           text(ranks.nodes);
  return "";
}

void setRanks(ModuleOp module, const job::RankOptions &ranks) {
  if (ranks.ep > 1)
    module->setAttr(job::kRanksAttr, job::RanksAttr::get(module.getContext(), ranks));
}

namespace {

void declareParameters(GraphBuilder &b, const ModelDescription &model) {
  for (const ParameterDescription &parameter : model.parameters) {
    RankedTensorType type = tensorType(b, parameter);
    ml_program::GlobalOp::create(b, parameter.stored, type, /*is_mutable=*/false,
                                 ml_program::ExternAttr::get(b.getContext(), type),
                                 b.getStringAttr("private"));
  }
}

/// One layer's ops. What it makes besides the new hidden state goes to `routers` and `caches`.
Value buildLayer(Blocks &blocks, int64_t layer, Value x, Blocks::Rotation rotation, Value offsets,
                 SmallVectorImpl<NamedResult> &routers, SmallVectorImpl<NamedResult> &caches) {
  std::string number = std::to_string(layer);
  Blocks::Layer built = blocks.layer(x, "model.layers." + number + ".",
                                     blocks.config().isDense(layer), rotation, offsets);
  caches.push_back({"cache." + number + ".ckv", built.attention.latent});
  caches.push_back({"cache." + number + ".k_rope", built.attention.key});
  if (built.experts) {
    routers.push_back({"router." + number + ".topk_ids", built.experts->choice});
    routers.push_back({"router." + number + ".topk_weights", built.experts->weights});
  }
  return built.hidden;
}

/// Builds the body of @forward at the builder's insertion point.
SmallVector<NamedResult> buildForward(GraphBuilder &b, const ModelDescription &model,
                                      Block *entry) {
  Value tokenIds = entry->getArgument(0), positions = entry->getArgument(1);
  Value offsets = entry->getArgument(2), logitRowIds = entry->getArgument(3);
  Value tokens = tensor::DimOp::create(b, tokenIds, 0);
  Blocks blocks(b, model, tokens);

  SmallVector<NamedResult> results, routers, caches;
  results.push_back({names::argument::logits, Value()}); // first, though made last
  Value x = blocks.embedding(tokenIds);
  results.push_back({"hidden.0", x});
  Blocks::Rotation rotation = blocks.rotation(positions);
  for (int64_t layer = 0; layer < model.config.layers; ++layer) {
    x = buildLayer(blocks, layer, x, rotation, offsets, routers, caches);
    results.push_back({"hidden." + std::to_string(layer + 1), x});
  }
  results.front().value = blocks.logits(x, logitRowIds);
  llvm::append_range(results, routers);
  llvm::append_range(results, caches);
  return results;
}

} // namespace

FailureOr<OwningOpRef<ModuleOp>> buildGraph(MLIRContext &context, const ModelDescription &model) {
  context
      .loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect, math::MathDialect,
                   ml_program::MLProgramDialect, tensor::TensorDialect, fp8::Fp8Dialect,
                   job::HadalDialect, job::JobDialect, mla::MlaDialect, moe::MoeDialect>();
  GraphBuilder b(&context, "forward");
  OwningOpRef<ModuleOp> module = ModuleOp::create(b.getLoc());
  job::ModelAttr facts = modelAttribute(&context, model.config);
  if (!facts)
    return failure();
  (*module)->setAttr(job::kModelAttr, facts);
  b.setInsertionPointToEnd(module->getBody());
  declareParameters(b, model);

  StringRef argumentNames[] = {names::argument::tokenIds, names::argument::positions,
                               names::argument::offsets, names::argument::logitRowIds};
  Type ids = RankedTensorType::get(ShapedType::kDynamic, b.getI32Type());
  SmallVector<Type> inputs(std::size(argumentNames), ids);
  auto function = func::FuncOp::create(b, "forward", b.getFunctionType(inputs, {}));
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  SmallVector<NamedResult> results = buildForward(b, model, entry);

  SmallVector<Value> values =
      llvm::map_to_vector(results, [](const NamedResult &r) { return r.value; });
  func::ReturnOp::create(b, values);
  function.setType(b.getFunctionType(inputs, ValueRange(values).getTypes()));
  for (auto [i, name] : llvm::enumerate(argumentNames))
    function.setArgAttr(i, kNameAttr, b.getStringAttr(name));
  for (auto [i, result] : llvm::enumerate(results))
    function.setResultAttr(i, kNameAttr, b.getStringAttr(result.name));

  if (failed(verify(*module)))
    return failure();
  return module;
}

} // namespace hadal::frontend
