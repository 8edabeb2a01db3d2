//===- Balance.cpp - how evenly experts are chosen ----------------------===//

#include "frontend/losses/Balance.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/moe/Moe.h"
#include "frontend/losses/Scalars.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "runtime/module/Names.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::frontend;

Value frontend::expertLoads(GraphBuilder &b, const ModelConfig &c, const Blocks::Experts &experts) {
  auto slice = [&](int64_t from) {
    auto one = [&](int64_t v) { return SmallVector<OpFoldResult>{b.getIndexAttr(v)}; };
    return tensor::ExtractSliceOp::create(b, experts.offsets, one(from), one(c.experts), one(1))
        .getResult();
  };
  AffineMap identity = b.getMultiDimIdentityMap(1);
  Value init = tensor::EmptyOp::create(b, ArrayRef{c.experts}, b.getI32Type());
  return linalg::GenericOp::create(b, init.getType(), ValueRange{slice(1), slice(0)}, init,
                                   SmallVector<AffineMap>(3, identity),
                                   ArrayRef({utils::IteratorType::parallel}),
                                   [](OpBuilder &b, Location loc, ValueRange args) {
                                     Value rows = arith::SubIOp::create(b, loc, args[0], args[1]);
                                     linalg::YieldOp::create(b, loc, rows);
                                   })
      .getResult(0);
}

Value frontend::balanceLoss(GraphBuilder &b, const ModelConfig &c, const Blocks::Experts &experts,
                            Value offsets) {
  Type perSequence = RankedTensorType::get(ShapedType::kDynamic, b.getF32Type());
  Type fractions = RankedTensorType::get({ShapedType::kDynamic, c.experts}, b.getF32Type());
  // DeepSeek-V2 counts the choice that was made, DeepSeek-V3 the one that plain affinities would
  // make.
  bool isSoftmax = c.affinity == Affinity::Softmax;
  return moe::BalanceLossOp::create(
             b, perSequence, fractions, experts.gate, offsets, isSoftmax ? experts.choice : Value(),
             b.getI64IntegerAttr(c.expertsPerToken), isSoftmax ? b.getUnitAttr() : UnitAttr())
      .getLoss();
}

void frontend::buildBalance(GraphBuilder &b, const ModelConfig &c, ArrayRef<int64_t> layers,
                            double step) {
  auto function = func::FuncOp::create(b, names::program::balance, b.getFunctionType({}, {}));
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
  for (int64_t layer : layers) {
    std::string number = std::to_string(layer);
    auto load = ml_program::GlobalLoadOp::create(
        b, loads,
        SymbolRefAttr::get(b.getContext(), std::string("sum.") + names::state::loads + number));
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
  int64_t count = layers.size();
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
  function.setResultAttr(0, kNameAttr, b.getStringAttr(names::argument::violation));
}
