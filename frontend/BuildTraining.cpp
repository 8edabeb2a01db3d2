//===- BuildTraining.cpp - the loss of a model as an MLIR module --------===//

#include "frontend/BuildTraining.h"

#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "frontend/Blocks.h"
#include "frontend/BuildGraph.h"
#include "frontend/StageSplit.h"
#include "frontend/losses/Balance.h"
#include "frontend/losses/CrossEntropy.h"
#include "frontend/losses/Scalars.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "runtime/module/Names.h"

#include <cmath>

using namespace mlir;

namespace hadal::frontend {

namespace {

/// Arguments of one depth of multi-token prediction; depth 0 is the main model, whose rows are all
/// of them.
struct Rows {
  Value rows, tokenIds, positions, targets, offsets;
};

/// What one function computes: all of the model, or a pipeline stage of it.
struct ModelPart {
  std::string name;
  int64_t number; ///< of the stage; -1: all
  int64_t firstLayer, layers;
  bool isFirst, isLast;
  bool isWhole() const { return number < 0; }
};

/// Numbers of all layers that route, those of multi-token prediction last.
std::vector<int64_t> routedLayers(const ModelConfig &c, int64_t depths) {
  std::vector<int64_t> layers = c.routedLayers();
  for (int64_t layer = c.layers; layer < c.layers + depths && !c.isDense(layer); ++layer)
    layers.push_back(layer);
  return layers;
}

/// A scalar, its place in the vector of losses, and its weight in their sum.
struct Loss {
  int64_t place;
  Value value;
  double weight;
};

class LossBuilder {
public:
  LossBuilder(GraphBuilder &b, const ModelDescription &model, const TrainingOptions &options,
              int64_t depths, const ModelPart &part)
      : b(b), model(model), c(model.config), options(options), depths(depths), part(part) {}

  /// Builds the function at the end of the module.
  void build();

private:
  func::FuncOp makeFunction();
  void addTokenLosses(Blocks &blocks, Value hidden, const Rows &main, Block *entry);
  Value total(ArrayRef<Value> values);
  Value list(ArrayRef<Value> values, int64_t count);
  void finish(func::FuncOp function, Value total, Value listed, Value hidden);
  Value concat(Value x, Value y);
  Value run(Blocks &blocks, Value x, int64_t first, int64_t count, const Rows &rows);

  GraphBuilder &b;
  const ModelDescription &model;
  const ModelConfig &c;
  const TrainingOptions &options;
  int64_t depths;
  const ModelPart &part;
  Value counts;
  SmallVector<Loss> losses;
  SmallVector<std::pair<int64_t, Value>> balances; ///< weighted, of each layer that routes
  SmallVector<std::pair<int64_t, Value>> loads;    ///< of each layer that routes
};

/// [x ; y] of each row.
Value LossBuilder::concat(Value x, Value y) {
  Value rows = tensor::DimOp::create(b, x, 0);
  int64_t size = cast<RankedTensorType>(x.getType()).getDimSize(1);
  Value whole = tensor::EmptyOp::create(
      b, RankedTensorType::get({ShapedType::kDynamic, 2 * size}, b.getF32Type()), ValueRange(rows));
  for (auto [i, part] : llvm::enumerate(ArrayRef{x, y})) {
    SmallVector<OpFoldResult> offsets{b.getIndexAttr(0), b.getIndexAttr(i * size)},
        sizes{rows, b.getIndexAttr(size)};
    SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
    whole = tensor::InsertSliceOp::create(b, part, whole, offsets, sizes, strides);
  }
  return whole;
}

/// Layers first .. first + count - 1 over the rows, their balance losses and their loads.
Value LossBuilder::run(Blocks &blocks, Value x, int64_t first, int64_t count, const Rows &rows) {
  Blocks::Rotation rotation = blocks.rotation(rows.positions);
  for (int64_t layer = first; layer < first + count; ++layer) {
    std::string prefix = "model.layers." + std::to_string(layer) + ".";
    Blocks::Layer built = blocks.layer(x, prefix, c.isDense(layer), rotation, rows.offsets);
    x = built.hidden;
    if (!built.experts)
      continue;
    loads.push_back({layer, expertLoads(b, c, *built.experts)});
    if (options.balanceWeight == 0)
      continue;
    Value loss = balanceLoss(b, c, *built.experts, rows.offsets);
    balances.push_back({layer, meanOf(b, loss, counts, 1 + depths, options.balanceWeight)});
  }
  return x;
}

func::FuncOp LossBuilder::makeFunction() {
  Type ids = RankedTensorType::get(ShapedType::kDynamic, b.getI32Type());
  SmallVector<std::string> names{names::argument::tokenIds, names::argument::positions,
                                 names::argument::offsets, names::argument::targets,
                                 names::argument::counts};
  SmallVector<Type> types{ids, ids, ids, ids, RankedTensorType::get(2 + depths, b.getI32Type())};
  SmallVector<std::string> registers{names::reg::tokens, names::reg::sequences,
                                     names::reg::attended};
  for (int64_t d = 1; d <= depths; ++d) {
    std::string prefix = names::ofDepth(d);
    for (const char *name :
         {names::argument::mainRows, names::argument::tokenIds, names::argument::positions,
          names::argument::targets, names::argument::offsets}) {
      names.push_back(prefix + name);
      types.push_back(ids);
    }
    registers.push_back(prefix + names::reg::tokens);
  }
  if (!part.isFirst) {
    names.push_back("x");
    types.push_back(RankedTensorType::get({ShapedType::kDynamic, c.hiddenSize}, b.getF32Type()));
  }
  auto function = func::FuncOp::create(b, part.name, b.getFunctionType(types, {}));
  function->setAttr(job::kDifferentiateAttr, b.getUnitAttr());
  function->setAttr(kRegistersAttr,
                    b.getStrArrayAttr(SmallVector<StringRef>(registers.begin(), registers.end())));
  auto symbol = [&](unsigned i) { return b.getAffineSymbolExpr(i); };
  for (auto [i, name] : llvm::enumerate(names)) {
    function.setArgAttr(i, kNameAttr, b.getStringAttr(name));
    if (name == names::argument::counts)
      continue;
    if (name == "x") { // from the stage before, and its gradient back
      function.setArgAttr(i, kShapeAttr,
                          AffineMapAttr::get(AffineMap::get(
                              0, registers.size(),
                              {symbol(0), b.getAffineConstantExpr(c.hiddenSize)}, b.getContext())));
      function.setArgAttr(i, job::kGradientAttr, b.getUnitAttr());
      function.setArgAttr(i, job::kStageAttr, b.getI64IntegerAttr(part.number - 1));
      continue;
    }
    AffineExpr size = StringRef(name).ends_with(names::argument::offsets) ? symbol(1) + 1
                      : i < 5                                             ? symbol(0)
                                                                          : symbol(3 + (i - 5) / 5);
    function.setArgAttr(i, kShapeAttr,
                        AffineMapAttr::get(AffineMap::get(0, registers.size(), size)));
  }
  return function;
}

/// The losses of the next token, and of those after it by multi-token prediction.
/// Source: DeepSeek-V3, arXiv:2412.19437, §2.2.
void LossBuilder::addTokenLosses(Blocks &blocks, Value hidden, const Rows &main, Block *entry) {
  blocks.readEmbeddingAfterLayers();
  Value representation = blocks.norm(hidden, "model.norm", c.normEpsilon);
  Value nll = crossEntropy(b, blocks.head(representation), main.targets);
  losses.push_back({0, meanOf(b, nll, counts, 0, 1), 1});
  for (int64_t d = 1; d <= depths; ++d) {
    auto argument = [&](unsigned i) { return entry->getArgument(5 * d + i); };
    Rows rows{argument(0), argument(1), argument(2), argument(3), argument(4)};
    std::string prefix = "model.layers." + std::to_string(c.layers + d - 1) + ".";
    Value count = tensor::DimOp::create(b, rows.tokenIds, 0);
    Blocks blocks(b, model, count, Blocks::Parameters::Trained);
    blocks.readEmbeddingAfterLayers();
    Value embedded = blocks.norm(blocks.embedding(rows.tokenIds), prefix + "enorm", c.normEpsilon);
    Value before =
        blocks.norm(blocks.rowsOf(representation, rows.rows), prefix + "hnorm", c.normEpsilon);
    Value joined = blocks.linear(concat(embedded, before), prefix + "eh_proj");
    representation = run(blocks, joined, c.layers + d - 1, 1, rows);
    Value normalised = blocks.norm(representation, prefix + "shared_head.norm", c.normEpsilon);
    nll = crossEntropy(b, blocks.head(normalised), rows.targets);
    losses.push_back({d, meanOf(b, nll, counts, d, 1), options.mtpWeight / double(depths)});
  }
}

/// The weighted sum of all losses.
Value LossBuilder::total(ArrayRef<Value> values) {
  return scalarOf(b, values, [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value sum;
    for (auto [loss, arg] : llvm::zip(losses, args)) {
      Value term = arg;
      if (loss.weight != 1)
        term = arith::MulFOp::create(b, loc, term, constantF32(b, loc, loss.weight));
      sum = sum ? arith::AddFOp::create(b, loc, sum, term).getResult() : term;
    }
    return sum;
  });
}

/// One vector of `count` losses, for the report: each at its place, 0 where this part has none.
Value LossBuilder::list(ArrayRef<Value> values, int64_t count) {
  Value empty = tensor::EmptyOp::create(b, ArrayRef<int64_t>{count}, b.getF32Type());
  SmallVector<AffineMap> maps(values.size(), AffineMap::get(1, 0, b.getContext()));
  maps.push_back(b.getMultiDimIdentityMap(1));
  return linalg::GenericOp::create(
             b, empty.getType(), values, empty, maps, ArrayRef({utils::IteratorType::parallel}),
             [&](OpBuilder &b, Location loc, ValueRange args) {
               Value at = linalg::IndexOp::create(b, loc, 0), chosen = constantF32(b, loc, 0);
               for (auto [loss, arg] : llvm::zip(losses, args)) {
                 Value number = arith::ConstantIndexOp::create(b, loc, loss.place);
                 Value here = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, at, number);
                 chosen = arith::SelectOp::create(b, loc, here, arg, chosen);
               }
               linalg::YieldOp::create(b, loc, chosen);
             })
      .getResult(0);
}

/// Returns the total, the listed losses, the loads, and of a stage with one after it the rows.
void LossBuilder::finish(func::FuncOp function, Value total, Value listed, Value hidden) {
  SmallVector<Value> results{total, listed};
  for (auto &[layer, load] : loads)
    results.push_back(load);
  if (!part.isLast)
    results.push_back(hidden);
  func::ReturnOp::create(b, results);
  function.setType(b.getFunctionType(function.getArgumentTypes(), ValueRange(results).getTypes()));
  function.setResultAttr(0, kNameAttr, b.getStringAttr("total"));
  // What a step adds up over its micro-batches.
  function.setResultAttr(1, job::kAccumulateAttr, b.getStringAttr(names::state::losses));
  for (auto [i, entry] : llvm::enumerate(loads))
    function.setResultAttr(2 + i, job::kAccumulateAttr,
                           b.getStringAttr(names::state::loads + std::to_string(entry.first)));
  if (!part.isWhole())
    function.setResultAttr(0, job::kLossAttr, b.getUnitAttr());
  if (part.isLast)
    return;
  unsigned rows = 2 + loads.size();
  function.setResultAttr(rows, kNameAttr, b.getStringAttr("y"));
  function.setResultAttr(rows, job::kGradientAttr, b.getUnitAttr());
  function.setResultAttr(rows, job::kStageAttr, b.getI64IntegerAttr(part.number + 1));
}

void LossBuilder::build() {
  func::FuncOp function = makeFunction();
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  auto argument = [&](unsigned i) { return entry->getArgument(i); };
  counts = argument(4);

  Rows main{Value(), argument(0), argument(1), argument(3), argument(2)};
  Value tokens = tensor::DimOp::create(b, main.tokenIds, 0);
  Blocks blocks(b, model, tokens, Blocks::Parameters::Trained);
  Value hidden =
      part.isFirst ? blocks.embedding(main.tokenIds) : argument(entry->getNumArguments() - 1);
  hidden = run(blocks, hidden, part.firstLayer, part.layers, main);
  if (part.isLast)
    addTokenLosses(blocks, hidden, main, entry);
  std::vector<int64_t> routed = routedLayers(c, depths);
  for (auto [layer, balance] : balances) { // a balance loss carries its weight
    int64_t place = 1 + depths + (llvm::lower_bound(routed, layer) - routed.begin());
    losses.push_back({place, balance, 1});
  }
  if (losses.empty()) { // a stage without any
    auto zero = [](OpBuilder &b, Location loc, ValueRange) { return constantF32(b, loc, 0); };
    losses.push_back({0, scalarOf(b, {}, zero), 1});
  }
  auto values = llvm::map_to_vector(losses, [](const Loss &loss) { return loss.value; });
  Value sum = total(values);
  finish(function, sum, list(values, 1 + depths + int64_t(routed.size())), hidden);
}

/// Null, with a diagnostic, where it has too many elements.
job::TrainableAttr trainable(Builder &b, const ModelDescription &model,
                             const ParameterDescription &p) {
  const ModelConfig &c = model.config;
  StringRef name = p.name;
  bool correction = name.ends_with("e_score_correction_bias"),
       embedding = name == "model.embed_tokens.weight";
  bool norm = p.shape.size() == 1 && name.ends_with("norm.weight");
  double deviation = embedding             ? 0.02
                     : p.shape.size() == 2 ? 0.8 / std::sqrt(double(p.shape[1]))
                                           : 0;
  SmallVector<StringAttr> aliases;
  // Also of the layers that this module leaves out: a checkpoint that has them keeps them, with the
  // embedding as it is.
  auto addAlias = [&](StringRef alias) { aliases.push_back(b.getStringAttr(c.naming(alias))); };
  if (embedding && c.tieEmbeddings)
    addAlias("lm_head.weight");
  for (int64_t d = 0; d < c.mtpLayers; ++d) {
    std::string prefix = "model.layers." + std::to_string(c.layers + d) + ".";
    if (embedding)
      addAlias(prefix + "embed_tokens.weight");
    if (name == "lm_head.weight" || (embedding && c.tieEmbeddings))
      addAlias(prefix + "shared_head.head.weight");
  }
  auto error = [&b] { return emitError(b.getUnknownLoc()); };
  return job::TrainableAttr::getChecked(
      function_ref<InFlightDiagnostic()>(error), b.getContext(), StringRef(p.stored),
      ArrayRef(p.shape), p.count, ArrayRef(aliases), correction,
      /*init_mean=*/llvm::APFloat(norm ? 1.0f : 0.0f),
      /*init_std=*/llvm::APFloat(float(deviation)), /*sharded=*/false,
      /*layout=*/StringRef(), /*packed_elements=*/int64_t(0));
}

} // namespace

std::string checkRanks(const ModelConfig &config, const TrainingOptions &options) {
  auto text = [](int64_t v) { return std::to_string(v); };
  auto isPower = [](int64_t v) { return v > 0 && (v & (v - 1)) == 0; };
  int64_t stages = options.ranks.stages(), owners = options.ranks.owners(),
          groups = options.sumGroups ? options.sumGroups : owners;
  if (stages > config.layers)
    return "--pp: wants at most one stage per layer, got " + text(stages) + " stages and " +
           text(config.layers) + " layers";
  if (options.ranks.ep > 1 && !config.experts)
    return "--ep: the model has no experts";
  if (config.experts % options.ranks.ep)
    return "--ep: wants to divide the " + text(config.experts) + " experts, got " +
           text(options.ranks.ep);
  for (auto [name, ranks] : {std::pair("--ep", options.ranks.ep), {"--dp", options.ranks.dp}})
    if (!isPower(ranks))
      return std::string(name) +
             ": wants a power of two, which the order of sums is made for, got " + text(ranks);
  if (options.ranks.ep % options.ranks.nodes)
    return "--nodes: wants to divide the " + text(options.ranks.ep) +
           " expert-parallel ranks, got " + text(options.ranks.nodes);
  if (options.ranks.fastReduction && options.sumGroups)
    return "--sum-groups: has no meaning with --reduction=fast, which sums no groups";
  if (!isPower(groups))
    return "--sum-groups: wants a power of two, got " + text(groups);
  if (groups % owners)
    return "--sum-groups: wants a multiple of the " + text(owners) +
           " owners of micro-batches (dp * ep, twice for dualpipe), got " + text(groups);
  if (options.microBatches % groups)
    return "--micro-batches: wants a multiple of the " + text(groups) +
           (options.sumGroups ? " groups of sums (--sum-groups)"
                              : " owners of micro-batches (dp * ep, twice for dualpipe)") +
           ", got " + text(options.microBatches);
  return "";
}

std::string checkScales(const ModelDescription &model) {
  for (const ParameterDescription &p : model.parameters)
    if (StringRef(p.name).ends_with("_scale_inv") && p.element != model.config.quantization->scales)
      return p.nameOf(0) + ": training wants scales of one element type, got " +
             std::string(elementTypeName(p.element)) + ", others are " +
             std::string(elementTypeName(model.config.quantization->scales));
  return "";
}

FailureOr<OwningOpRef<ModuleOp>> buildTraining(MLIRContext &context, const ModelConfig &config,
                                               const TrainingOptions &options) {
  context.loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                      math::MathDialect, ml_program::MLProgramDialect, tensor::TensorDialect,
                      job::HadalDialect, job::JobDialect, mla::MlaDialect, moe::MoeDialect>();
  int64_t depths = options.mtpWeight != 0 ? config.mtpLayers : 0;
  ModelDescription model = describeTraining(config, depths);
  GraphBuilder b(&context, "loss");
  OwningOpRef<ModuleOp> module = ModuleOp::create(b.getLoc());
  b.setInsertionPointToEnd(module->getBody());
  SmallVector<job::TrainableAttr> trainables;
  std::vector<int64_t> moeLayers = routedLayers(config, depths);
  for (const ParameterDescription &p : model.parameters) {
    RankedTensorType type = tensorType(b, p);
    ml_program::GlobalOp::create(b, p.stored, type, /*is_mutable=*/true,
                                 ml_program::ExternAttr::get(&context, type),
                                 b.getStringAttr("private"));
    trainables.push_back(trainable(b, model, p));
    if (!trainables.back())
      return failure();
  }
  auto error = [&context] { return emitError(UnknownLoc::get(&context)); };
  job::ModelAttr facts = modelAttribute(&context, config);
  auto training = job::TrainingAttr::getChecked(error, &context, options, depths, config.layers,
                                                ArrayRef(moeLayers));
  if (!facts || !training)
    return failure();
  (*module)->setAttr(job::kModelAttr, facts);
  job::setTrainables(*module, trainables);
  if (auto blocks = config.quantization) { // a checkpoint to begin with may have such weights
    StringRef scales = blocks->scales == ElementType::BF16     ? "bf16"
                       : blocks->scales == ElementType::F8E8M0 ? "e8m0"
                                                               : "f32";
    (*module)->setAttr(
        job::kQuantizationAttr,
        job::QuantizationAttr::get(&context, blocks->blockRows, blocks->blockColumns, scales));
  }
  (*module)->setAttr(job::kTrainingAttr, training);
  for (int64_t layer : moeLayers) {
    auto type = RankedTensorType::get(config.experts, b.getI32Type());
    std::string name = names::state::loads + std::to_string(layer);
    auto global = ml_program::GlobalOp::create(b, "sum." + name, type, /*is_mutable=*/true,
                                               ml_program::ExternAttr::get(&context, type),
                                               b.getStringAttr("private"));
    global->setAttr(kStateAttr, b.getStringAttr(name));
  }
  std::vector<ModelPart> parts;
  int64_t stages = options.ranks.stages();
  if (options.ranks.count() == 1)
    parts.push_back({"loss", -1, 0, config.layers, true, true});
  else
    for (int64_t first = 0; int64_t layers : stageLayers(config, depths, stages)) {
      int64_t s = parts.size();
      parts.push_back({"stage." + std::to_string(s), s, first, layers, s == 0, s == stages - 1});
      first += layers;
    }
  for (const ModelPart &part : parts) {
    LossBuilder(b, model, options, depths, part).build();
    b.setInsertionPointToEnd(module->getBody());
  }
  if (options.ranks.count() > 1) {
    SmallVector<job::StageAttr> made;
    for (const ModelPart &part : parts)
      made.push_back(job::StageAttr::get(&context, part.firstLayer, part.layers, "", "", "", {}));
    (*module)->setAttr(job::kRanksAttr, job::RanksAttr::get(&context, options.ranks, made));
  }
  if (!moeLayers.empty())
    buildBalance(b, config, moeLayers, options.biasStep);
  if (failed(verify(*module)))
    return failure();
  return module;
}

} // namespace hadal::frontend
