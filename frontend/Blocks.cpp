//===- Blocks.cpp - the parts of a DeepSeek-V3 layer as graphs ----------===//

#include "frontend/Blocks.h"

#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SmallVectorExtras.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;

namespace hadal::frontend {

namespace {

/// Ops made during its life are a part of the model: "layers.3.self_attn.q_a_proj".
class Named {
public:
  Named(GraphBuilder &builder, StringRef name)
      : builder(builder), location(builder.getLoc()), part(builder.parts.part) {
    name.consume_front("model.");
    builder.setPart(name);
  }
  ~Named() {
    builder.setLoc(location);
    builder.parts.part = part;
  }

private:
  GraphBuilder &builder;
  Location location;
  job::PartAttr part;
};

StringRef trimDot(StringRef prefix) { return prefix.drop_back(prefix.ends_with(".")); }

using fp8::widen;

Value constant(OpBuilder &b, Location loc, double value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(static_cast<float>(value)));
}

UnitAttr unitIf(Builder &b, bool set) { return set ? b.getUnitAttr() : UnitAttr(); }

int64_t lastSize(Value x) { return cast<RankedTensorType>(x.getType()).getShape().back(); }

} // namespace

Type elementType(Builder &builder, ElementType element) {
  switch (element) {
  case ElementType::F32: return builder.getF32Type();
  case ElementType::BF16: return builder.getBF16Type();
  case ElementType::F16: return builder.getF16Type();
  case ElementType::F8E4M3: return Float8E4M3FNType::get(builder.getContext());
  case ElementType::F8E8M0: return Float8E8M0FNUType::get(builder.getContext());
  default: llvm_unreachable("describeModel lets no other element type pass");
  }
}

RankedTensorType tensorType(Builder &builder, const ParameterDescription &parameter) {
  SmallVector<int64_t> shape;
  if (parameter.isStacked())
    shape.push_back(parameter.count);
  shape.append(parameter.shape.begin(), parameter.shape.end());
  return RankedTensorType::get(shape, elementType(builder, parameter.element));
}

GraphBuilder::GraphBuilder(MLIRContext *context, StringRef part)
    : ImplicitLocOpBuilder(UnknownLoc::get(context), context) {
  setListener(&parts);
  setPart(part);
}

void GraphBuilder::setPart(StringRef name) {
  setLoc(NameLoc::get(getStringAttr(name)));
  parts.part = job::PartAttr::get(getContext(), name);
}

//===----------------------------------------------------------------------===//
// Small things
//===----------------------------------------------------------------------===//

RankedTensorType Blocks::rowsType(ArrayRef<int64_t> sizes) {
  SmallVector<int64_t> shape{ShapedType::kDynamic};
  llvm::append_range(shape, sizes);
  return RankedTensorType::get(shape, b.getF32Type());
}

RankedTensorType Blocks::indexRowsType(ArrayRef<int64_t> sizes) {
  return RankedTensorType::get(rowsType(sizes).getShape(), b.getI32Type());
}

Value Blocks::load(StringRef name) {
  const ParameterDescription *parameter = model.find(name);
  assert(parameter && "describeModel lists every parameter that the blocks read");
  if (trained) {
    auto load = ml_program::GlobalLoadOp::create(
        b, tensorType(b, *parameter), SymbolRefAttr::get(b.getContext(), parameter->stored));
    if (embeddingUse && name == "model.embed_tokens.weight")
      load->setAttr(job::kUseAttr, b.getI64IntegerAttr(embeddingUse));
    return load;
  }
  return ml_program::GlobalLoadConstOp::create(
      b, tensorType(b, *parameter), SymbolRefAttr::get(b.getContext(), parameter->stored));
}

/// The values of a tensor's codes, after fp8.quantize in blocks of these sizes.
static Value throughCodes(ImplicitLocOpBuilder &b, Value x, ArrayRef<int64_t> block) {
  auto codes = fp8::QuantizeOp::create(b, x, block);
  return fp8::DequantizeOp::create(b, cast<RankedTensorType>(x.getType()).clone(b.getF32Type()),
                                   codes.getQ(), codes.getScale(), block);
}

/// Blocks of weights: the checkpoint's, else those of DeepSeek's release.
static WeightQuantization blocksOf(const ModelConfig &c) {
  return c.quantization.value_or(WeightQuantization());
}

/// A matrix (or a stack) for a product: FP8 goes through fp8.dequantize, other types stand as they
/// are stored, or go through codes first.
Value Blocks::loadMatrix(StringRef name) {
  Value weights = load(name);
  auto type = cast<RankedTensorType>(weights.getType());
  WeightQuantization blocks = blocksOf(c);
  int64_t block[] = {blocks.blockRows, blocks.blockColumns};
  if (isa<Float8E4M3FNType>(type.getElementType())) {
    Value scale = widened(load((name + "_scale_inv").str()));
    return fp8::DequantizeOp::create(b, type.clone(b.getF32Type()), weights, scale,
                                     ArrayRef(block));
  }
  return takesCodes(name) ? throughCodes(b, weights, block) : weights;
}

/// Whether the product with a parameter takes rows of codes.
bool Blocks::takesCodes(StringRef weights) const {
  return model.quantizesRows && model.find(weights)->isProjection;
}

/// Rows of a product with `weights` as it reads them.
Value Blocks::rowsFor(Value x, StringRef weights) {
  auto known = x.getDefiningOp<fp8::DequantizeOp>();
  if (!takesCodes(weights) || known)
    return x;
  return throughCodes(b, x, {1, blocksOf(c).blockColumns});
}

/// A parameter in f32.
Value Blocks::widened(Value x) {
  auto type = cast<RankedTensorType>(x.getType());
  if (type.getElementType().isF32())
    return x;
  Value init = tensor::EmptyOp::create(b, type.getShape(), b.getF32Type());
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(), utils::IteratorType::parallel);
  auto body = [](OpBuilder &b, Location loc, ValueRange args) {
    linalg::YieldOp::create(b, loc, widen(b, loc, args[0]));
  };
  return linalg::GenericOp::create(b, init.getType(), x, init, maps, loops, body).getResult(0);
}

Value Blocks::empty(ArrayRef<int64_t> sizes) {
  return tensor::EmptyOp::create(b, rowsType(sizes), ValueRange(rows));
}

Value Blocks::zeros(ArrayRef<int64_t> sizes) {
  Value zero = constant(b, b.getLoc(), 0);
  return linalg::FillOp::create(b, zero, empty(sizes)).getResult(0);
}

Value Blocks::elementwise(ArrayRef<Value> inputs, int64_t size, Body body, ArrayRef<bool> perRow) {
  Value init = empty(size);
  AffineMap identity = b.getMultiDimIdentityMap(2);
  SmallVector<AffineMap> maps;
  for (auto [i, input] : llvm::enumerate(inputs)) {
    bool matrix = cast<RankedTensorType>(input.getType()).getRank() == 2;
    unsigned dimension = !perRow.empty() && perRow[i] ? 0 : 1;
    maps.push_back(matrix ? identity : identity.getSubMap({dimension}));
  }
  maps.push_back(identity);
  SmallVector<utils::IteratorType> iterators(2, utils::IteratorType::parallel);
  auto yield = [&](OpBuilder &b, Location loc, ValueRange args) {
    linalg::YieldOp::create(b, loc, body(b, loc, args));
  };
  return linalg::GenericOp::create(b, init.getType(), inputs, init, maps, iterators, yield)
      .getResult(0);
}

/// [T, heads * d] -> [T, heads, d].
Value Blocks::splitHeads(Value x, int64_t heads) {
  int64_t size = lastSize(x) / heads;
  SmallVector<OpFoldResult> shape{rows, b.getIndexAttr(heads), b.getIndexAttr(size)};
  SmallVector<ReassociationIndices> groups{{0}, {1, 2}};
  return tensor::ExpandShapeOp::create(b, rowsType({heads, size}), x, groups, shape);
}

/// [T, heads, d] -> [T, heads * d].
Value Blocks::mergeHeads(Value x) {
  auto shape = cast<RankedTensorType>(x.getType()).getShape();
  SmallVector<ReassociationIndices> groups{{0}, {1, 2}};
  return tensor::CollapseShapeOp::create(b, rowsType(shape[1] * shape[2]), x, groups);
}

/// `size` elements of the last dimension from `begin` on.
Value Blocks::slice(Value x, int64_t begin, int64_t size) {
  auto type = cast<RankedTensorType>(x.getType());
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = size;
  SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(type.getRank(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes{rows};
  for (int64_t s : ArrayRef(shape).drop_front())
    sizes.push_back(b.getIndexAttr(s));
  offsets.back() = b.getIndexAttr(begin);
  return tensor::ExtractSliceOp::create(b, type.clone(shape), x, offsets, sizes, strides);
}

/// Row ids[r] of `table` for each r, in f32.
Value Blocks::gather(Value table, Value ids) {
  if (trained) {
    Type type = RankedTensorType::get({ShapedType::kDynamic, lastSize(table)}, b.getF32Type());
    return moe::DispatchOp::create(b, type, table, ids);
  }
  auto body = [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value row = arith::IndexCastOp::create(b, loc, b.getIndexType(), args[0]);
    Value column = linalg::IndexOp::create(b, loc, 1);
    Value element = tensor::ExtractOp::create(b, loc, table, ValueRange{row, column});
    return widen(b, loc, element);
  };
  return elementwise(ids, lastSize(table), body, /*perRow=*/{true});
}

Value Blocks::add(Value x, Value y, StringRef name) {
  Named location(b, name);
  return elementwise({x, y}, lastSize(x), [](OpBuilder &b, Location loc, ValueRange args) -> Value {
    return arith::AddFOp::create(b, loc, args[0], args[1]);
  });
}

Value Blocks::add(Value x, Value y, Value z, StringRef name) {
  Named location(b, name);
  return elementwise({x, y, z}, lastSize(x),
                     [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                       Value inner = arith::AddFOp::create(b, loc, args[1], args[2]);
                       return arith::AddFOp::create(b, loc, args[0], inner);
                     });
}

//===----------------------------------------------------------------------===//
// Embedding, norms, products, MLP, head
//===----------------------------------------------------------------------===//

Value Blocks::embedding(Value tokenIds) {
  Named location(b, "embed_tokens");
  return gather(load("model.embed_tokens.weight"), tokenIds);
}

Value Blocks::norm(Value x, StringRef name, double epsilon) {
  Named location(b, name);
  int64_t size = lastSize(x);
  Value weight = load((name + ".weight").str());

  // The order of the sum inside a row is the target's to write (RowSum.h); hence reassoc on this
  // add only.
  AffineMap identity = b.getMultiDimIdentityMap(2);
  Value zero = zeros({});
  auto square = [](OpBuilder &b, Location loc, ValueRange args) {
    Value squared = arith::MulFOp::create(b, loc, args[0], args[0]);
    Value sum = arith::AddFOp::create(b, loc, args[1], squared, arith::FastMathFlags::reassoc);
    linalg::YieldOp::create(b, loc, sum);
  };
  Value squares =
      linalg::GenericOp::create(
          b, zero.getType(), x, zero, ArrayRef({identity, identity.getSubMap({0})}),
          ArrayRef({utils::IteratorType::parallel, utils::IteratorType::reduction}), square)
          .getResult(0);

  auto normalise = [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value mean =
        arith::DivFOp::create(b, loc, args[1], constant(b, loc, static_cast<double>(size)));
    Value root = math::SqrtOp::create(
        b, loc, arith::AddFOp::create(b, loc, mean, constant(b, loc, epsilon)));
    Value inverse = arith::DivFOp::create(b, loc, constant(b, loc, 1), root);
    Value scaled = arith::MulFOp::create(b, loc, args[0], inverse);
    return arith::MulFOp::create(b, loc, widen(b, loc, args[2]), scaled);
  };
  return elementwise({x, squares, weight}, size, normalise, /*perRow=*/{false, true, false});
}

Value Blocks::linear(Value x, StringRef name) {
  Named location(b, name);
  std::string weightName = (name + ".weight").str();
  x = rowsFor(x, weightName);
  Value weights = loadMatrix(weightName);
  int64_t size = cast<RankedTensorType>(weights.getType()).getDimSize(0);
  Value init = zeros(size);
  // Weights are [N, K] as in the checkpoint.
  Value product = linalg::MatmulTransposeBOp::create(b, b.getLoc(), TypeRange(init.getType()),
                                                     ValueRange{x, weights}, ValueRange(init))
                      ->getResult(0);
  std::string biasName = (name + ".bias").str();
  if (!model.find(biasName))
    return product;
  Value bias = load(biasName);
  return elementwise({product, bias}, size,
                     [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                       return arith::AddFOp::create(b, loc, args[0], widen(b, loc, args[1]));
                     });
}

/// silu(gate) * up, silu(g) = g / (1 + exp(-g)).
Value Blocks::silu(Value gate, Value up) {
  return elementwise(
      {gate, up}, lastSize(gate), [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value exponential = math::ExpOp::create(b, loc, arith::NegFOp::create(b, loc, args[0]));
        Value denominator = arith::AddFOp::create(b, loc, constant(b, loc, 1), exponential);
        Value activated = arith::DivFOp::create(b, loc, args[0], denominator);
        return arith::MulFOp::create(b, loc, activated, args[1]);
      });
}

Value Blocks::mlp(Value x, StringRef prefix) {
  Value gate = linear(x, (prefix + "gate_proj").str());
  Value up = linear(x, (prefix + "up_proj").str());
  Value hidden;
  {
    Named location(b, (prefix + "swiglu").str());
    hidden = silu(gate, up);
  }
  return linear(hidden, (prefix + "down_proj").str());
}

Value Blocks::logits(Value x, Value rowIds) {
  Value selected;
  Named location(b, "logit_rows");
  Value count = tensor::DimOp::create(b, rowIds, 0);
  llvm::SaveAndRestore restoreRows(rows, count);
  selected = gather(x, rowIds);
  return head(norm(selected, "model.norm", c.normEpsilon));
}

Value Blocks::head(Value x) {
  return linear(x, c.tieEmbeddings ? "model.embed_tokens" : "lm_head");
}

//===----------------------------------------------------------------------===//
// Multi-head latent attention
//===----------------------------------------------------------------------===//

Blocks::Rotation Blocks::rotation(Value positions) {
  Named location(b, "rotary_emb");
  std::vector<float> frequencies = c.ropeFrequencies();
  auto half = static_cast<int64_t>(frequencies.size());
  auto table =
      DenseFPElementsAttr::get(RankedTensorType::get(half, b.getF32Type()), ArrayRef(frequencies));
  RankedTensorType type = rowsType(half);
  auto op = mla::RotationOp::create(b, type, type, positions, table,
                                    b.getF32FloatAttr(static_cast<float>(c.ropeMagnitude())));
  return {op.getCos(), op.getSin()};
}

Value Blocks::rotate(Value x, Rotation rotation) {
  return mla::RopeOp::create(b, x.getType(), x, rotation.cos, rotation.sin,
                             b.getBoolAttr(c.ropeInterleave));
}

Blocks::Attention Blocks::attention(Value x, StringRef prefix, Rotation rotation, Value offsets) {
  Named location(b, trimDot(prefix));
  auto under = [&](StringRef name) { return (prefix + name).str(); };

  // A query of each head: dn elements without position, then dr with.
  Value query;
  if (c.queryRank) {
    Value compressed = linear(x, under("q_a_proj"));
    Value normalised = norm(compressed, under("q_a_layernorm"), ModelConfig::latentNormEpsilon);
    query = linear(normalised, under("q_b_proj"));
  } else {
    query = linear(x, under("q_proj"));
  }
  query = splitHeads(query, c.heads);
  Value queryNope = slice(query, 0, c.nopeDim);
  Value queryRope = rotate(slice(query, c.nopeDim, c.ropeDim), rotation);

  // The latent, and one rotary key that all heads share. The norm is for the latent only.
  Value compressed = linear(x, under("kv_a_proj_with_mqa"));
  Value latent = norm(slice(compressed, 0, c.latentRank), under("kv_a_layernorm"),
                      ModelConfig::latentNormEpsilon);
  Value key =
      mergeHeads(rotate(splitHeads(slice(compressed, c.latentRank, c.ropeDim), 1), rotation));

  // What the cache holds is what heads are made of, absorbed or not.
  latent = rowsFor(latent, under("kv_b_proj.weight"));

  // kv_b_proj's rows are per head: dn of the key, then dv of the value.
  Value expanded = splitHeads(linear(latent, under("kv_b_proj")), c.heads);
  Value keyNope = slice(expanded, 0, c.nopeDim);
  Value value = slice(expanded, c.nopeDim, c.valueDim);

  Value attended = mla::AttentionOp::create(b, rowsType({c.heads, c.valueDim}), queryNope,
                                            queryRope, keyNope, key, value, offsets,
                                            b.getF32FloatAttr(static_cast<float>(c.softmaxScale())))
                       .getResult();
  return {linear(mergeHeads(attended), under("o_proj")), latent, key};
}

//===----------------------------------------------------------------------===//
// Experts
//===----------------------------------------------------------------------===//

Blocks::Experts Blocks::experts(Value x, StringRef prefix) {
  Named location(b, trimDot(prefix));
  auto under = [&](StringRef name) { return (prefix + name).str(); };

  // The gate works in f32 whatever its weights are stored in.
  Value gate = linear(x, under("gate"));
  Value bias =
      c.hasCorrectionBias() ? widened(load(under("gate.e_score_correction_bias"))) : Value();
  RankedTensorType choiceType = indexRowsType(c.expertsPerToken);
  bool isSoftmax = c.affinity == Affinity::Softmax; // whose groups are as good as their best expert
  auto route = moe::RouteOp::create(
      b, rowsType(c.expertsPerToken), choiceType, gate, bias, /*forced=*/Value(),
      b.getI64IntegerAttr(c.groups), b.getI64IntegerAttr(c.groupLimit),
      b.getI64IntegerAttr(c.expertsPerToken), b.getBoolAttr(c.normalizeWeights),
      b.getF32FloatAttr(static_cast<float>(c.routedScale)), unitIf(b, isSoftmax),
      unitIf(b, isSoftmax && c.groupLimit < c.groups));
  Value weights = route.getWeights(), choice = route.getExperts();

  Type perExpert = RankedTensorType::get(c.experts, b.getI32Type());
  Type boundaries = RankedTensorType::get(c.experts + 1, b.getI32Type());
  auto plan = moe::PlanOp::create(b, indexRowsType({}), choiceType, boundaries, perExpert, choice,
                                  /*segments=*/Value(), /*choices=*/Value(),
                                  b.getI64IntegerAttr(c.experts));
  // A token's codes serve all its experts.
  Value dispatched =
      moe::DispatchOp::create(b, rowsType(c.hiddenSize),
                              rowsFor(x, under("experts.{}.gate_proj.weight")), plan.getSource());

  auto product = [&](Value left, StringRef name, int64_t size) -> Value {
    Named location(b, under(name));
    Value stack = loadMatrix(under((name + ".weight").str()));
    return moe::GroupedMatmulOp::create(b, rowsType(size), left, stack, plan.getOffsets(),
                                        plan.getActive(),
                                        /*source=*/Value());
  };
  Value gated = product(dispatched, "experts.{}.gate_proj", c.expertWidth);
  Value up = product(dispatched, "experts.{}.up_proj", c.expertWidth);
  Value hidden;
  {
    Named location(b, under("experts.swiglu"));
    Value count = tensor::DimOp::create(b, plan.getSource(), 0);
    llvm::SaveAndRestore restoreRows(rows, count);
    hidden = rowsFor(silu(gated, up), under("experts.{}.down_proj.weight"));
  }
  Value down = product(hidden, "experts.{}.down_proj", c.hiddenSize);
  Value routed = moe::CombineOp::create(b, rowsType(c.hiddenSize), down, plan.getPosition(), choice,
                                        weights, c.experts);
  Value shared = c.sharedExperts ? mlp(x, under("shared_experts.")) : Value();
  return {routed, shared, choice, weights, gate, plan.getOffsets()};
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

Blocks::Layer Blocks::layer(Value x, StringRef prefix, bool dense, Rotation rotation,
                            Value offsets) {
  auto under = [&](StringRef name) { return (prefix + name).str(); };
  Layer layer;
  layer.attention = attention(norm(x, under("input_layernorm"), c.normEpsilon), under("self_attn."),
                              rotation, offsets);
  x = add(x, layer.attention.result, under("attention_residual"));

  Value normalised = norm(x, under("post_attention_layernorm"), c.normEpsilon);
  if (dense) {
    layer.hidden = add(x, mlp(normalised, under("mlp.")), under("mlp_residual"));
    return layer;
  }
  layer.experts = experts(normalised, under("mlp."));
  layer.hidden = layer.experts->shared
                     ? add(x, layer.experts->routed, layer.experts->shared, under("mlp_residual"))
                     : add(x, layer.experts->routed, under("mlp_residual"));
  return layer;
}

} // namespace hadal::frontend
