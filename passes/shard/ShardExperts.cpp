//===- ShardExperts.cpp - experts over the expert-parallel ranks ----------===//
//
// Experts over the expert-parallel ranks: dispatch and combine become exchanges.
//
// Rank ep of `ranks` has the experts ep * E' .. (ep + 1) * E' - 1, E' = E / ranks. A level is an
// exchange among `parts` ranks that are `stride` apart; what a level brings is what the next one
// sends on. With several nodes a token first goes once to each node that has an expert of its
// choice, to the rank that has the same place there, and from there to the ranks of the node
// (DeepSeek-V3, arXiv:2412.19437, section 3.2.2).
//
//     x, weights, experts                                        y
//       plan_sends ── gather ─┐                          ┌─ combine (over parts) ─ 1 x H a token
//     - - - - - - - - - - exchange - - - - - - - - - - exchange - - - - - - - - - - each level
//                             └─ (next level, or) plan ─ dispatch ─ products ─ combine
//                                                                 (over the rank's experts)
//
// Sums: the halving tree over expert ids cuts the ids in halves, so that with a power of two of
// ranks each rank's share is a subtree, and so is each node's; a combination over parts is the rest
// of the tree. A weight's gradient is kept apart for each rank that rows come from: the order in
// which these sums join is then the same however many ranks there are.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/SymbolTable.h"
#include "passes/Passes.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/shard/SumOverParts.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace hadal {
#define GEN_PASS_DEF_MOESHARDEXPERTS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// An exchange: among `parts` ranks, `stride` apart, of tokens that come in `segments` blocks.
struct Level {
  int64_t parts, stride, segments;
};

/// The experts of one layer, from the plan of the choices to the sum of a token's rows.
struct Cluster {
  moe::PlanOp plan;
  moe::DispatchOp dispatch;
  moe::CombineOp combine;
  SmallVector<moe::GroupedMatmulOp> products;
};

/// What one level sends and receives, as the way back needs it.
struct Sent {
  moe::PlanSendsOp sends;
  moe::ExchangeCountsOp received;
  Value tokens; ///< whose rows were sent: their number
};

FailureOr<Cluster> clusterOf(moe::PlanOp plan) {
  Cluster cluster{plan, {}, {}, {}};
  if (plan.getChoices())
    return plan.emitOpError() << "is sharded already";
  if (!plan.getExperts().getType().isDynamicDim(0))
    return plan.emitOpError() << "wants a dynamic number of tokens to be sharded, got "
                              << plan.getExperts().getType();
  auto another = [&](Operation *op) {
    return op->emitOpError() << "stands in the way of sharding: wants one moe.dispatch, "
                                "moe.grouped_matmul without source, and one "
                                "moe.combine to read a moe.plan";
  };
  for (Operation *user : plan.getSource().getUsers()) {
    if (isa<tensor::DimOp>(user))
      continue;
    auto dispatch = dyn_cast<moe::DispatchOp>(user);
    if (!dispatch || cluster.dispatch)
      return another(user);
    cluster.dispatch = dispatch;
  }
  for (Operation *user : plan.getPosition().getUsers()) {
    auto combine = dyn_cast<moe::CombineOp>(user);
    if (!combine || cluster.combine)
      return another(user);
    cluster.combine = combine;
  }
  if (!cluster.dispatch || !cluster.combine)
    return another(plan);
  for (Operation *user : plan.getActive().getUsers()) {
    auto product = dyn_cast<moe::GroupedMatmulOp>(user);
    if (!product)
      return another(user);
    cluster.products.push_back(product);
  }
  // The weights go where the rows go, in one exchange.
  Operation *weights = cluster.combine.getWeights().getDefiningOp();
  if (weights && weights->getBlock() == plan->getBlock() &&
      !weights->isBeforeInBlock(cluster.dispatch))
    return weights->emitOpError()
           << "makes the weights of a moe.combine after the moe.dispatch: wants them before";
  return cluster;
}

struct ShardExperts : public hadal::impl::MoeShardExpertsBase<ShardExperts> {
  using MoeShardExpertsBase::MoeShardExpertsBase;

  SmallVector<Level> levels;

  /// What rows travel as; null for what they are.
  StringAttr travelsAs(StringRef format) {
    return format == "fp32" ? StringAttr() : StringAttr::get(&getContext(), format);
  }
  IntegerAttr mostRows() {
    return capacity ? Builder(&getContext()).getI64IntegerAttr(capacity) : IntegerAttr();
  }

  LogicalResult readOptions() {
    auto wants = [&] { return getOperation().emitError("moe-shard-experts wants "); };
    if (dispatch != "fp32" && dispatch != "bf16" && dispatch != "fp8")
      return wants() << "dispatch to be fp32, bf16 or fp8, got " << dispatch;
    if (combine != "fp32" && combine != "bf16")
      return wants() << "combine to be fp32 or bf16, got " << combine;
    if (capacity < 0)
      return wants() << "capacity (" << int64_t(capacity) << ") to be at least 0";
    if (ranks < 1 || !llvm::isPowerOf2_64(ranks))
      return wants() << "ranks (" << int64_t(ranks)
                     << ") to be a power of two: each rank's experts are a subtree of the halving "
                        "tree that sums them";
    if (nodes < 1 || ranks % nodes != 0)
      return wants() << "nodes (" << int64_t(nodes) << ") to divide ranks (" << int64_t(ranks)
                     << ")";
    if (nodes == 1 || nodes == ranks)
      levels = {{ranks, 1, 1}};
    else
      levels = {{nodes, ranks / nodes, 1}, {ranks / nodes, 1, nodes}};
    return success();
  }

  /// The expert-parallel rank that each segment of rows comes from, in the order of segments.
  SmallVector<int64_t> segmentOwners() {
    SmallVector<int64_t> owners;
    int64_t inner = levels.back().parts, outer = levels.back().segments;
    for (int64_t part = 0; part < inner; ++part)
      for (int64_t segment = 0; segment < outer; ++segment)
        owners.push_back(segment * (ranks / outer) + part);
    return owners;
  }

  //===--------------------------------------------------------------------===//
  // Weights
  //===--------------------------------------------------------------------===//

  /// Changes the leading size of a stack of experts and of whatever it is made of.
  LogicalResult shrink(Value stack, SymbolTable &symbols, llvm::SetVector<StringAttr> &sharded) {
    auto type = cast<RankedTensorType>(stack.getType());
    SmallVector<int64_t> shape(type.getShape());
    if (shape.front() % ranks != 0)
      return stack.getDefiningOp()->emitOpError()
             << "wants E (" << shape.front() << ") to be a multiple of ranks (" << int64_t(ranks)
             << ")";
    shape.front() /= ranks;
    Operation *op = stack.getDefiningOp();
    auto load = dyn_cast_or_null<ml_program::GlobalLoadOp>(op);
    auto loadConst = dyn_cast_or_null<ml_program::GlobalLoadConstOp>(op);
    if (auto dequantize = dyn_cast_or_null<fp8::DequantizeOp>(op)) {
      if (failed(shrink(dequantize.getQ(), symbols, sharded)) ||
          (!dequantize.getQ().getDefiningOp<fp8::QuantizeOp>() &&
           failed(shrink(dequantize.getScale(), symbols, sharded))))
        return failure();
    } else if (auto quantize = dyn_cast_or_null<fp8::QuantizeOp>(op)) {
      if (failed(shrink(quantize.getX(), symbols, sharded)))
        return failure();
      auto scale = quantize.getScale().getType();
      SmallVector<int64_t> blocks(scale.getShape());
      blocks.front() = shape.front();
      quantize.getScale().setType(scale.clone(blocks));
    } else if (auto widening = dyn_cast_or_null<linalg::GenericOp>(op);
               widening && widening.getNumDpsInputs() == 1 &&
               widening.getNumParallelLoops() == widening.getNumLoops() &&
               widening.getDpsInits()[0].getDefiningOp<tensor::EmptyOp>()) {
      if (failed(shrink(widening.getDpsInputs()[0], symbols, sharded)))
        return failure();
      OpBuilder b(widening);
      Value init = tensor::EmptyOp::create(b, widening.getLoc(), shape, type.getElementType());
      widening.getDpsInitsMutable().assign(init);
    } else if (load || loadConst) {
      StringAttr name =
          load ? load.getGlobal().getLeafReference() : loadConst.getGlobal().getLeafReference();
      auto global = symbols.lookup<ml_program::GlobalOp>(name);
      if (!global || !isa_and_nonnull<ml_program::ExternAttr>(global.getValueAttr()))
        return op->emitOpError() << "wants a parameter that is given from outside to be sharded";
      if (sharded.insert(name)) {
        RankedTensorType smaller = type.clone(shape);
        global.setTypeAttr(TypeAttr::get(smaller));
        global.setValueAttr(ml_program::ExternAttr::get(&getContext(), smaller));
        global->setAttr(job::kSegmentOwnersAttr,
                        DenseI64ArrayAttr::get(&getContext(), segmentOwners()));
      }
    } else {
      return getOperation().emitError()
             << "moe-shard-experts wants the weights of grouped products to be parameters";
    }
    stack.setType(type.clone(shape));
    return success();
  }

  LogicalResult shrinkWeights(ArrayRef<Cluster> clusters, llvm::SetVector<StringAttr> &sharded) {
    SymbolTable symbols(getOperation());
    llvm::SetVector<Value> stacks;
    for (const Cluster &cluster : clusters)
      for (moe::GroupedMatmulOp product : cluster.products)
        stacks.insert(product.getWeights());
    for (Value stack : stacks) {
      for (Operation *user : stack.getUsers())
        if (auto product = dyn_cast<moe::GroupedMatmulOp>(user);
            !product || product.getWeights() != stack)
          return user->emitOpError() << "reads a stack of experts that is to be sharded";
      if (failed(shrink(stack, symbols, sharded)))
        return failure();
    }
    return success();
  }

  /// A rank's share of a stack: its names count from ep * count.
  LogicalResult describeTrainables(const llvm::SetVector<StringAttr> &sharded) {
    SmallVector<job::TrainableAttr> described;
    for (job::TrainableAttr p : job::trainablesOf(getOperation())) {
      bool isShared = sharded.contains(StringAttr::get(&getContext(), p.getName()));
      if (isShared && p.getCount() % ranks)
        return getOperation().emitError() << "wants count of " << p.getName() << " ("
                                          << p.getCount() << ") to be a multiple of " << ranks;
      described.push_back(isShared ? p.withShare(p.getCount() / ranks) : p);
    }
    if (!described.empty())
      job::setTrainables(getOperation(), described);
    return success();
  }

  //===--------------------------------------------------------------------===//
  // Registers
  //===--------------------------------------------------------------------===//

  /// "L3" from "layers.3.mlp", where the model names its parts; else the plan's number in its
  /// function.
  std::string layerOf(moe::PlanOp plan, unsigned number) {
    StringRef part = job::partOf(plan);
    int64_t layer;
    if (part.consume_front("layers.") && !part.consumeInteger(10, layer))
      return "L" + std::to_string(layer);
    return "L" + std::to_string(number);
  }

  /// The function's registers, by default the dynamic sizes of its arguments, and then `more`.
  void addRegisters(func::FuncOp f, ArrayRef<std::string> more) {
    Builder b(&getContext());
    SmallVector<Attribute> names = registersOf(f);
    for (const std::string &name : more)
      names.push_back(b.getStringAttr(name));
    f->setAttr(kRegistersAttr, b.getArrayAttr(names));
    for (unsigned i = 0; i < f.getNumArguments(); ++i)
      if (auto shape = f.getArgAttrOfType<AffineMapAttr>(i, kShapeAttr))
        f.setArgAttr(i, kShapeAttr,
                     AffineMapAttr::get(AffineMap::get(
                         0, names.size(), shape.getValue().getResults(), &getContext())));
  }

  //===--------------------------------------------------------------------===//
  // One layer
  //===--------------------------------------------------------------------===//

  void shardCluster(Cluster &cluster, StringRef layer, SmallVectorImpl<std::string> &registers) {
    moe::PlanOp plan = cluster.plan;
    job::PartListener parts(job::partAttrOf(plan));
    ImplicitLocOpBuilder b(plan.getLoc(), cluster.dispatch);
    b.setListener(&parts);
    Value x = cluster.dispatch.getX(), weights = cluster.combine.getWeights(),
          experts = plan.getExperts(), received;
    int64_t count = plan.getExpertCount(), choices = plan.getExperts().getType().getDimSize(1);
    auto integers = [&](ArrayRef<int64_t> shape) {
      return RankedTensorType::get(shape, b.getI32Type());
    };
    constexpr int64_t any = ShapedType::kDynamic;
    SmallVector<Sent> sent;
    Value choicesHere;
    for (auto [number, level] : llvm::enumerate(levels)) {
      std::string name = (layer + "." + std::to_string(number)).str(), rows = name + ".rows",
                  chosen = name + ".choices";
      registers.push_back(rows);
      registers.push_back(chosen);
      auto sends = moe::PlanSendsOp::create(b, integers(any), integers({any, level.parts}),
                                            integers({any, choices}),
                                            integers(2 * level.parts * level.segments), experts,
                                            received, count, level.parts, level.segments);
      // All gathers before all exchanges: these then are one step of the program.
      Value gatheredRows = moe::DispatchOp::create(b, x.getType(), x, sends.getSource());
      Value gatheredWeights =
          moe::DispatchOp::create(b, weights.getType(), weights, sends.getSource());
      auto counts = moe::ExchangeCountsOp::create(b, sends.getCounts(), level.parts, level.segments,
                                                  level.stride, rows, chosen);
      auto exchange = [&](Value sending, StringAttr there = {}, StringAttr back = {}) {
        return moe::ExchangeOp::create(
            b, sending.getType(), sending, sends.getCounts(), counts.getReceive(), counts.getRows(),
            /*like=*/Value(), b.getI64IntegerAttr(level.parts), b.getI64IntegerAttr(level.segments),
            b.getI64IntegerAttr(level.stride), there, back, mostRows());
      };
      sent.push_back({sends, counts, experts});
      experts = exchange(sends.getIds());
      x = exchange(gatheredRows, travelsAs(dispatch), travelsAs(combine));
      weights = exchange(gatheredWeights);
      received = counts.getReceive(), choicesHere = counts.getChoices();
      count /= level.parts;
    }
    auto local = moe::PlanOp::create(b, plan.getSource().getType(), integers({any, choices}),
                                     integers(ranks * count + 1), integers(ranks * count), experts,
                                     received, choicesHere, b.getI64IntegerAttr(count));
    auto inCluster = [&](OpOperand &use) {
      return isa<tensor::DimOp>(use.getOwner()) ||
             llvm::is_contained(cluster.products, use.getOwner());
    };
    cluster.dispatch.getXMutable().assign(x);
    cluster.dispatch.getSourceMutable().assign(local.getSource());
    // Who counts the loads by the plan's offsets goes on to count the choices of this rank's
    // tokens.
    plan.getSource().replaceAllUsesWith(local.getSource());
    plan.getOffsets().replaceUsesWithIf(local.getOffsets(), inCluster);
    plan.getActive().replaceUsesWithIf(local.getActive(), inCluster);

    moe::CombineOp whole = cluster.combine;
    b.setInsertionPoint(whole);
    b.setLoc(whole.getLoc());
    parts.part = job::partAttrOf(whole);
    Type rowsType = whole.getResult().getType();
    Value sum = moe::CombineOp::create(b, rowsType, whole.getRows(), local.getPosition(), experts,
                                       weights, count, true);
    for (auto [level, there] : llvm::reverse(llvm::zip_equal(levels, sent))) {
      Value back = moe::ExchangeOp::create(
          b, rowsType, sum, there.received.getReceive(), there.sends.getCounts(), /*rows=*/Value(),
          there.sends.getSource(), b.getI64IntegerAttr(level.parts),
          b.getI64IntegerAttr(level.segments), b.getI64IntegerAttr(level.stride),
          travelsAs(combine), travelsAs(dispatch), mostRows());
      Value tokens = tensor::DimOp::create(b, there.tokens, 0);
      sum = sumOverParts(b, rowsType, back, there.sends, {tokens, b.getIndexAttr(level.parts)});
    }
    whole.getResult().replaceAllUsesWith(sum);
    whole.erase();
    if (plan->use_empty())
      plan.erase();
  }

  void runOnOperation() override {
    if (failed(readOptions()))
      return signalPassFailure();
    if (ranks == 1)
      return;
    SmallVector<Cluster> clusters;
    WalkResult found = getOperation().walk([&](moe::PlanOp plan) {
      auto cluster = clusterOf(plan);
      if (failed(cluster))
        return WalkResult::interrupt();
      if (plan.getExpertCount() % ranks != 0) {
        plan.emitOpError() << "wants E (" << plan.getExpertCount()
                           << ") to be a multiple of ranks (" << int64_t(ranks) << ")";
        return WalkResult::interrupt();
      }
      clusters.push_back(*cluster);
      return WalkResult::advance();
    });
    llvm::SetVector<StringAttr> sharded;
    if (found.wasInterrupted() || failed(shrinkWeights(clusters, sharded)))
      return signalPassFailure();
    llvm::MapVector<func::FuncOp, SmallVector<std::string>> registers;
    llvm::DenseMap<func::FuncOp, unsigned> plans;
    for (Cluster &cluster : clusters) {
      auto f = cluster.plan->getParentOfType<func::FuncOp>();
      shardCluster(cluster, layerOf(cluster.plan, plans[f]++), registers[f]);
    }
    for (auto &[f, names] : registers)
      addRegisters(f, names);
    if (failed(describeTrainables(sharded)))
      signalPassFailure();
  }
};
} // namespace
