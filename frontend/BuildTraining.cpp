//===- BuildTraining.cpp - the loss of a model as an MLIR module --------===//

#include "frontend/BuildTraining.h"

#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "frontend/Blocks.h"
#include "frontend/BuildGraph.h"
#include "frontend/StageSplit.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"

#include <cmath>

using namespace mlir;

namespace hadal::frontend {

namespace {

/// Arguments of one depth of multi-token prediction; depth 0 is the main model, whose rows are all
/// of them.
struct Rows {
  Value rows, tokenIds, positions, targets, offsets;
};

Value constantF32(OpBuilder &b, Location loc, double v) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(v)));
}

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

class LossBuilder {
public:
  LossBuilder(GraphBuilder &b, const ModelDescription &model, const TrainingOptions &options,
              int64_t depths, const ModelPart &part)
      : b(b), model(model), c(model.config), options(options), depths(depths), part(part) {}

  /// Builds the function at the end of the module.
  void build();

private:
  using Body = function_ref<Value(OpBuilder &, Location, ValueRange)>;

  RankedTensorType vectorType(int64_t size, Type element) {
    return RankedTensorType::get(size, element);
  }
  Value f32(double v) { return arith::ConstantOp::create(b, b.getF32FloatAttr(float(v))); }
  Value zeroScalar() {
    Value empty = tensor::EmptyOp::create(b, ArrayRef<int64_t>{}, b.getF32Type());
    return linalg::FillOp::create(b, f32(0), empty).getResult(0);
  }
  Value scalar(ArrayRef<Value> inputs, Body body);
  Value sum(Value vector);
  Value countOf(int64_t index);
  Value mean(Value vector, int64_t count, double weight);
  Value crossEntropy(Value logits, Value targets);
  Value concat(Value x, Value y);
  Value run(Blocks &blocks, Value x, int64_t first, int64_t count, const Rows &rows);

  GraphBuilder &b;
  const ModelDescription &model;
  const ModelConfig &c;
  const TrainingOptions &options;
  int64_t depths;
  const ModelPart &part;
  Value counts;
  SmallVector<std::pair<int64_t, Value>> balances; ///< weighted, of each layer that routes
  SmallVector<std::pair<int64_t, Value>> loads;    ///< of each layer that routes
};

/// A function of scalars (rank 0).
Value LossBuilder::scalar(ArrayRef<Value> inputs, Body body) {
  Value init = tensor::EmptyOp::create(b, ArrayRef<int64_t>{}, b.getF32Type());
  SmallVector<AffineMap> maps(inputs.size() + 1, AffineMap::get(0, 0, b.getContext()));
  auto yield = [&](OpBuilder &b, Location loc, ValueRange args) {
    linalg::YieldOp::create(b, loc, body(b, loc, args));
  };
  return linalg::GenericOp::create(b, init.getType(), inputs, init, maps,
                                   ArrayRef<utils::IteratorType>{}, yield)
      .getResult(0);
}

/// In ascending order.
Value LossBuilder::sum(Value vector) {
  AffineMap identity = b.getMultiDimIdentityMap(1);
  auto add = [](OpBuilder &b, Location loc, ValueRange args) {
    linalg::YieldOp::create(b, loc, arith::AddFOp::create(b, loc, args[1], args[0]).getResult());
  };
  Value zero = zeroScalar();
  return linalg::GenericOp::create(b, zero.getType(), vector, zero,
                                   ArrayRef({identity, identity.getSubMap({})}),
                                   ArrayRef({utils::IteratorType::reduction}), add)
      .getResult(0);
}

/// counts[index] as a tensor of rank 0; at least 1, so that nothing to predict gives 0.
Value LossBuilder::countOf(int64_t index) {
  auto one = [&](int64_t v) { return SmallVector<OpFoldResult>{b.getIndexAttr(v)}; };
  Value slice = tensor::ExtractSliceOp::create(b, RankedTensorType::get({}, b.getI32Type()), counts,
                                               one(index), one(1), one(1));
  return scalar(slice, [](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value least = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(1));
    Value count = arith::MaxSIOp::create(b, loc, args[0], least);
    return arith::SIToFPOp::create(b, loc, b.getF32Type(), count);
  });
}

/// weight * sum(vector) / counts[count].
Value LossBuilder::mean(Value vector, int64_t count, double weight) {
  return scalar({sum(vector), countOf(count)},
                [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                  Value mean = arith::DivFOp::create(b, loc, args[0], args[1]);
                  if (weight == 1)
                    return mean;
                  return arith::MulFOp::create(b, loc, mean, constantF32(b, loc, weight));
                });
}

/// -log softmax(logits)[target] of each row, 0 where the target is -1. [T]
Value LossBuilder::crossEntropy(Value logits, Value targets) {
  Value rows = tensor::DimOp::create(b, logits, 0);
  Type type = RankedTensorType::get(ShapedType::kDynamic, b.getF32Type());
  auto filled = [&](double v) {
    Value empty = tensor::EmptyOp::create(b, type, ValueRange(rows));
    return linalg::FillOp::create(b, f32(v), empty).getResult(0);
  };
  AffineMap identity = b.getMultiDimIdentityMap(2), row = identity.getSubMap({0});
  SmallVector<utils::IteratorType> iterators{utils::IteratorType::parallel,
                                             utils::IteratorType::reduction};

  // The largest logit only keeps the exponentials in range: the loss does not depend on it.
  Value lowest = filled(-INFINITY);
  auto largest =
      linalg::GenericOp::create(b, type, logits, lowest, ArrayRef({identity, row}), iterators,
                                [](OpBuilder &b, Location loc, ValueRange args) {
                                  Value m = arith::MaximumFOp::create(b, loc, args[1], args[0]);
                                  linalg::YieldOp::create(b, loc, m);
                                });
  largest->setAttr(job::kStopGradientAttr, b.getUnitAttr());

  // The order of these sums inside a row is the code generator's choice, fixed per target; hence
  // reassoc.
  auto sums = linalg::GenericOp::create(
      b, TypeRange{type, type}, ValueRange{logits, largest.getResult(0), targets},
      ValueRange{filled(0), filled(0)}, ArrayRef({identity, row, row, row, row}), iterators,
      [](OpBuilder &b, Location loc, ValueRange args) {
        Value exponential =
            math::ExpOp::create(b, loc, arith::SubFOp::create(b, loc, args[0], args[1]));
        Value sum =
            arith::AddFOp::create(b, loc, args[3], exponential, arith::FastMathFlags::reassoc);
        Value column =
            arith::IndexCastOp::create(b, loc, b.getI32Type(), linalg::IndexOp::create(b, loc, 1));
        Value here = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, column, args[2]);
        Value zero = constantF32(b, loc, 0);
        Value chosen = arith::SelectOp::create(b, loc, here, args[0], zero);
        Value picked =
            arith::AddFOp::create(b, loc, args[4], chosen, arith::FastMathFlags::reassoc);
        linalg::YieldOp::create(b, loc, ValueRange{sum, picked});
      });

  AffineMap one = b.getMultiDimIdentityMap(1);
  Value init = tensor::EmptyOp::create(b, type, ValueRange(rows));
  return linalg::GenericOp::create(
             b, type,
             ValueRange{sums.getResult(0), sums.getResult(1), largest.getResult(0), targets}, init,
             SmallVector<AffineMap>(5, one), ArrayRef({utils::IteratorType::parallel}),
             [](OpBuilder &b, Location loc, ValueRange args) {
               Value zero = constantF32(b, loc, 0);
               Value none = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0));
               Value masked =
                   arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, args[3], none);
               Value shifted = arith::SubFOp::create(b, loc, args[2], args[1]);
               Value nll =
                   arith::AddFOp::create(b, loc, math::LogOp::create(b, loc, args[0]), shifted);
               linalg::YieldOp::create(
                   b, loc, arith::SelectOp::create(b, loc, masked, zero, nll).getResult());
             })
      .getResult(0);
}

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
    auto slice = [&](int64_t from) {
      auto one = [&](int64_t v) { return SmallVector<OpFoldResult>{b.getIndexAttr(v)}; };
      return tensor::ExtractSliceOp::create(b, built.experts->offsets, one(from), one(c.experts),
                                            one(1))
          .getResult();
    };
    AffineMap identity = b.getMultiDimIdentityMap(1);
    Value init = tensor::EmptyOp::create(b, ArrayRef{c.experts}, b.getI32Type());
    Value load = linalg::GenericOp::create(
                     b, init.getType(), ValueRange{slice(1), slice(0)}, init,
                     SmallVector<AffineMap>(3, identity), ArrayRef({utils::IteratorType::parallel}),
                     [](OpBuilder &b, Location loc, ValueRange args) {
                       Value rows = arith::SubIOp::create(b, loc, args[0], args[1]);
                       linalg::YieldOp::create(b, loc, rows);
                     })
                     .getResult(0);
    loads.push_back({layer, load});
    if (options.balanceWeight == 0)
      continue;
    Type perSequence = RankedTensorType::get(ShapedType::kDynamic, b.getF32Type());
    Type fractions = RankedTensorType::get({ShapedType::kDynamic, c.experts}, b.getF32Type());
    // DeepSeek-V2 counts the choice that was made, DeepSeek-V3 the one that plain affinities would
    // make.
    bool isSoftmax = c.affinity == Affinity::Softmax;
    auto loss = moe::BalanceLossOp::create(
        b, perSequence, fractions, built.experts->gate, rows.offsets,
        isSoftmax ? built.experts->choice : Value(), b.getI64IntegerAttr(c.expertsPerToken),
        isSoftmax ? b.getUnitAttr() : UnitAttr());
    balances.push_back({layer, mean(loss.getLoss(), 1 + depths, options.balanceWeight)});
  }
  return x;
}

void LossBuilder::build() {
  Type ids = RankedTensorType::get(ShapedType::kDynamic, b.getI32Type());
  SmallVector<std::string> names{"token_ids", "positions", "offsets", "targets", "counts"};
  SmallVector<Type> types{ids, ids, ids, ids, vectorType(2 + depths, b.getI32Type())};
  SmallVector<std::string> registers{"tokens", "sequences", "attended"};
  for (int64_t d = 1; d <= depths; ++d) {
    std::string prefix = "mtp." + std::to_string(d) + ".";
    for (const char *name : {"rows", "token_ids", "positions", "targets", "offsets"}) {
      names.push_back(prefix + name);
      types.push_back(ids);
    }
    registers.push_back(prefix + "tokens");
  }
  if (!part.isFirst) {
    names.push_back("x");
    types.push_back(RankedTensorType::get({ShapedType::kDynamic, c.hiddenSize}, b.getF32Type()));
  }
  auto function = func::FuncOp::create(b, part.name, b.getFunctionType(types, {}));
  function->setAttr(job::kDifferentiateAttr, b.getUnitAttr());
  function->setAttr("exec.registers",
                    b.getStrArrayAttr(SmallVector<StringRef>(registers.begin(), registers.end())));
  auto symbol = [&](unsigned i) { return b.getAffineSymbolExpr(i); };
  for (auto [i, name] : llvm::enumerate(names)) {
    function.setArgAttr(i, "exec.name", b.getStringAttr(name));
    if (name == "counts")
      continue;
    if (name == "x") { // from the stage before, and its gradient back
      function.setArgAttr(i, "exec.shape",
                          AffineMapAttr::get(AffineMap::get(
                              0, registers.size(),
                              {symbol(0), b.getAffineConstantExpr(c.hiddenSize)}, b.getContext())));
      function.setArgAttr(i, job::kGradientAttr, b.getUnitAttr());
      function.setArgAttr(i, job::kStageAttr, b.getI64IntegerAttr(part.number - 1));
      continue;
    }
    AffineExpr size = StringRef(name).ends_with("offsets") ? symbol(1) + 1
                      : i < 5                              ? symbol(0)
                                                           : symbol(3 + (i - 5) / 5);
    function.setArgAttr(i, "exec.shape",
                        AffineMapAttr::get(AffineMap::get(0, registers.size(), size)));
  }
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  auto argument = [&](unsigned i) { return entry->getArgument(i); };
  counts = argument(4);

  Rows main{Value(), argument(0), argument(1), argument(3), argument(2)};
  Value tokens = tensor::DimOp::create(b, main.tokenIds, 0);
  Blocks blocks(b, model, tokens, Blocks::Parameters::Trained);
  Value hidden = part.isFirst ? blocks.embedding(main.tokenIds) : argument(names.size() - 1);
  hidden = run(blocks, hidden, part.firstLayer, part.layers, main);
  SmallVector<std::pair<int64_t, Value>> losses; // place in the vector of losses, and value
  SmallVector<double> weights;
  if (part.isLast) {
    blocks.readEmbeddingBehindLayers();
    Value representation = blocks.norm(hidden, "model.norm", c.normEpsilon);
    losses.push_back({0, mean(crossEntropy(blocks.head(representation), main.targets), 0, 1)});
    weights.push_back(1);
    for (int64_t d = 1; d <= depths; ++d) {
      unsigned at = 5 * d;
      Rows rows{argument(at), argument(at + 1), argument(at + 2), argument(at + 3),
                argument(at + 4)};
      std::string prefix = "model.layers." + std::to_string(c.layers + d - 1) + ".";
      Value count = tensor::DimOp::create(b, rows.tokenIds, 0);
      Blocks blocks(b, model, count, Blocks::Parameters::Trained);
      blocks.readEmbeddingBehindLayers();
      Value embedded =
          blocks.norm(blocks.embedding(rows.tokenIds), prefix + "enorm", c.normEpsilon);
      Value before =
          blocks.norm(blocks.rowsOf(representation, rows.rows), prefix + "hnorm", c.normEpsilon);
      Value joined = blocks.linear(concat(embedded, before), prefix + "eh_proj");
      representation = run(blocks, joined, c.layers + d - 1, 1, rows);
      Value normalised = blocks.norm(representation, prefix + "shared_head.norm", c.normEpsilon);
      losses.push_back({d, mean(crossEntropy(blocks.head(normalised), rows.targets), d, 1)});
      weights.push_back(options.mtpWeight / double(depths));
    }
  }
  std::vector<int64_t> routed = routedLayers(c, depths);
  for (auto [layer, balance] : balances) { // a balance loss carries its weight
    losses.push_back({1 + depths + (llvm::lower_bound(routed, layer) - routed.begin()), balance});
    weights.push_back(1);
  }
  if (losses.empty()) // a stage without any
    losses.push_back({0, scalar({},
                                [](OpBuilder &b, Location loc, ValueRange) -> Value {
                                  return constantF32(b, loc, 0);
                                })}),
        weights.push_back(1);

  SmallVector<Value> values;
  for (auto &entry : losses)
    values.push_back(entry.second);
  Value total = scalar(values, [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value sum;
    for (size_t i = 0; i < values.size(); ++i) {
      Value term = args[i];
      if (weights[i] != 1)
        term = arith::MulFOp::create(b, loc, term, constantF32(b, loc, weights[i]));
      sum = sum ? arith::AddFOp::create(b, loc, sum, term).getResult() : term;
    }
    return sum;
  });
  // One vector of all of them, for the report.
  int64_t count = 1 + depths + int64_t(routed.size());
  Value empty = tensor::EmptyOp::create(b, ArrayRef<int64_t>{count}, b.getF32Type());
  SmallVector<AffineMap> maps(values.size(), AffineMap::get(1, 0, b.getContext()));
  maps.push_back(b.getMultiDimIdentityMap(1));
  Value listed =
      linalg::GenericOp::create(
          b, empty.getType(), values, empty, maps, ArrayRef({utils::IteratorType::parallel}),
          [&](OpBuilder &b, Location loc, ValueRange args) {
            Value at = linalg::IndexOp::create(b, loc, 0), chosen = constantF32(b, loc, 0);
            for (auto [i, entry] : llvm::enumerate(losses)) {
              Value number = arith::ConstantIndexOp::create(b, loc, entry.first);
              Value here = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, at, number);
              chosen = arith::SelectOp::create(b, loc, here, args[i], chosen);
            }
            linalg::YieldOp::create(b, loc, chosen);
          })
          .getResult(0);

  SmallVector<Value> results{total, listed};
  for (auto &[layer, load] : loads)
    results.push_back(load);
  if (!part.isLast)
    results.push_back(hidden);
  func::ReturnOp::create(b, results);
  function.setType(b.getFunctionType(types, ValueRange(results).getTypes()));
  function.setResultAttr(0, "exec.name", b.getStringAttr("total"));
  // What a step adds up over its micro-batches.
  function.setResultAttr(1, job::kAccumulateAttr, b.getStringAttr("losses"));
  for (auto [i, entry] : llvm::enumerate(loads))
    function.setResultAttr(2 + i, job::kAccumulateAttr,
                           b.getStringAttr("loads." + std::to_string(entry.first)));
  if (!part.isWhole())
    function.setResultAttr(0, job::kLossAttr, b.getUnitAttr());
  if (part.isLast)
    return;
  function.setResultAttr(2 + loads.size(), "exec.name", b.getStringAttr("y"));
  function.setResultAttr(2 + loads.size(), job::kGradientAttr, b.getUnitAttr());
  function.setResultAttr(2 + loads.size(), job::kStageAttr, b.getI64IntegerAttr(part.number + 1));
}

/// @balance: moves each router's correction bias, where it has one, by the step's loads, and says
/// how far the loads are from even.
void buildBalance(GraphBuilder &b, const ModelConfig &c, ArrayRef<int64_t> moeLayers, double step) {
  auto function = func::FuncOp::create(b, "balance", b.getFunctionType({}, {}));
  b.setInsertionPointToStart(function.addEntryBlock());
  Type f32 = b.getF32Type();
  auto loads = RankedTensorType::get(c.experts, b.getI32Type()),
       biases = RankedTensorType::get(c.experts, f32);
  AffineMap identity = b.getMultiDimIdentityMap(1), none = AffineMap::get(1, 0, b.getContext());
  auto fill = [&](int64_t v) {
    Value empty = tensor::EmptyOp::create(b, ArrayRef<int64_t>{}, b.getI32Type());
    return linalg::FillOp::create(
               b, arith::ConstantOp::create(b, b.getI32IntegerAttr(v)).getResult(), empty)
        .getResult(0);
  };
  SmallVector<Value> violations;
  for (int64_t layer : moeLayers) {
    std::string number = std::to_string(layer);
    auto load = ml_program::GlobalLoadOp::create(
        b, loads, SymbolRefAttr::get(b.getContext(), "sum.loads." + number));
    if (step != 0 && c.hasCorrectionBias()) {
      std::string name = c.naming("model.layers." + number + ".mlp.gate.e_score_correction_bias");
      auto symbol = SymbolRefAttr::get(b.getContext(), name);
      Value bias = ml_program::GlobalLoadOp::create(b, biases, symbol);
      Value moved =
          moe::UpdateBiasOp::create(b, biases, bias, load, b.getF32FloatAttr(float(step)));
      ml_program::GlobalStoreOp::create(b, symbol, moved);
    }
    Type scalar = RankedTensorType::get({}, b.getI32Type());
    auto most = linalg::GenericOp::create(
        b, TypeRange{scalar, scalar}, ValueRange(load), ValueRange{fill(0), fill(0)},
        ArrayRef({identity, none, none}), ArrayRef({utils::IteratorType::reduction}),
        [](OpBuilder &b, Location loc, ValueRange args) {
          Value largest = arith::MaxSIOp::create(b, loc, args[1], args[0]);
          Value total = arith::AddIOp::create(b, loc, args[2], args[0]);
          linalg::YieldOp::create(b, loc, ValueRange{largest, total});
        });
    violations.push_back(most.getResult(0));
    violations.push_back(most.getResult(1));
  }
  // max / mean - 1 of each layer.
  int64_t count = moeLayers.size();
  Value empty = tensor::EmptyOp::create(b, ArrayRef<int64_t>{count}, f32);
  SmallVector<AffineMap> maps(violations.size(), none);
  maps.push_back(identity);
  Value listed =
      linalg::GenericOp::create(
          b, empty.getType(), violations, empty, maps, ArrayRef({utils::IteratorType::parallel}),
          [&](OpBuilder &b, Location loc, ValueRange args) {
            Value at = linalg::IndexOp::create(b, loc, 0), largest = args[0], total = args[1];
            for (int64_t i = 1; i < count; ++i) {
              Value number = arith::ConstantIndexOp::create(b, loc, i);
              Value here = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, at, number);
              largest = arith::SelectOp::create(b, loc, here, args[2 * i], largest);
              total = arith::SelectOp::create(b, loc, here, args[2 * i + 1], total);
            }
            auto real = [&](Value v) -> Value { return arith::SIToFPOp::create(b, loc, f32, v); };
            Value mean =
                arith::DivFOp::create(b, loc, real(total), constantF32(b, loc, double(c.experts)));
            Value ratio = arith::DivFOp::create(b, loc, real(largest), mean);
            linalg::YieldOp::create(
                b, loc, arith::SubFOp::create(b, loc, ratio, constantF32(b, loc, 1)).getResult());
          })
          .getResult(0);
  func::ReturnOp::create(b, listed);
  function.setType(b.getFunctionType({}, listed.getType()));
  function.setResultAttr(0, "exec.name", b.getStringAttr("violation"));
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
    return "--pp: wants at most a stage a layer, got " + text(stages) + " stages and " +
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
  if (config.quantization) // a checkpoint to begin with may have such weights
    (*module)->setAttr(job::kQuantizationAttr,
                       job::QuantizationAttr::get(&context, config.quantization->blockRows,
                                                  config.quantization->blockColumns));
  (*module)->setAttr(job::kTrainingAttr, training);
  for (int64_t layer : moeLayers) {
    auto type = RankedTensorType::get(config.experts, b.getI32Type());
    std::string name = "loads." + std::to_string(layer);
    auto global = ml_program::GlobalOp::create(b, "sum." + name, type, /*is_mutable=*/true,
                                               ml_program::ExternAttr::get(&context, type),
                                               b.getStringAttr("private"));
    global->setAttr("exec.state", b.getStringAttr(name));
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
