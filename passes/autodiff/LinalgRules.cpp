//===- LinalgRules.cpp - one rule for every linalg op ---------------------===//
//
// One rule for every linalg op. The gradient of an operand is a linalg.generic over the same loops:
//
//   y[O(i)] += f(x[A(i)], w[B(i)])    ->    dx[A(i)] += dy[O(i)] * df/dx(x[A(i)], w[B(i)])
//
// so loops that x does not see become sums, and a product's two gradients are products. Loops are
// ordered anew, those of dx first, as they stand in dx: the kernels vectorize and split what they
// know.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "passes/autodiff/Rules.h"

using namespace mlir;
using namespace hadal::autodiff;

namespace {

/// The number that every element of `tensor` is, if that can be seen.
FloatAttr splatOf(Value tensor) {
  FloatAttr number;
  auto fill = tensor ? tensor.getDefiningOp<linalg::FillOp>() : linalg::FillOp();
  if (fill)
    matchPattern(fill.getInputs()[0], m_Constant(&number));
  return number && number.getType() == getElementTypeOrSelf(tensor.getType()) ? number
                                                                              : FloatAttr();
}

/// The payload of an op with the scalars of its results' gradients: arguments are those gradients,
/// then the op's operands.
class Payload {
public:
  Payload(linalg::LinalgOp op, ArrayRef<Value> gradients, bool foldSplats)
      : op(op), block(std::make_unique<Block>()) {
    OpBuilder b(op->getContext());
    b.setInsertionPointToEnd(block.get());
    for (OpResult result : op->getOpResults()) {
      Type element = getElementTypeOrSelf(result.getType());
      Value argument = block->addArgument(element, op->getLoc()),
            gradient = gradients[result.getResultNumber()];
      FloatAttr number = foldSplats ? splatOf(gradient) : FloatAttr();
      seeds.push_back(!gradient ? Value()
                      : number  ? Value(arith::ConstantOp::create(b, op->getLoc(), number))
                                : argument);
    }
    IRMapping map;
    for (BlockArgument argument : op.getBlock()->getArguments())
      map.map(argument, block->addArgument(argument.getType(), op->getLoc()));
    for (Operation &inner : *op.getBlock())
      b.clone(inner, map);
  }

  BlockArgument operand(unsigned number) {
    return block->getArgument(op->getNumResults() + number);
  }

  /// `isInner` says which loops of the op are the innermost of the gradient.
  FailureOr<Value> differentiate(unsigned operandNumber,
                                 llvm::function_ref<bool(unsigned)> isInner) {
    SmallVector<BlockArgument> perRow;
    auto see = [&](BlockArgument argument, OpOperand *accessed) {
      auto inner = [&](AffineExpr e) {
        auto dim = dyn_cast<AffineDimExpr>(e);
        return !dim || isInner(dim.getPosition());
      };
      if (llvm::none_of(op.getMatchingIndexingMap(accessed).getResults(), inner))
        perRow.push_back(argument);
    };
    for (unsigned i = 0; i < op->getNumResults(); ++i)
      see(block->getArgument(i), op.getDpsInitOperand(i));
    for (OpOperand &other : op->getOpOperands())
      see(operand(other.getOperandNumber()), &other);
    return differentiateScalars(*block, seeds, operand(operandNumber), op, perRow);
  }

  /// Takes the terminator and all ops that `value` does not need.
  void keepOnly(Value value) {
    block->getTerminator()->erase();
    for (Operation &inner : llvm::make_early_inc_range(llvm::reverse(*block)))
      if (inner.use_empty() && !llvm::is_contained(inner.getResults(), value) &&
          isMemoryEffectFree(&inner))
        inner.erase();
  }

  linalg::LinalgOp op;
  std::unique_ptr<Block> block;
  SmallVector<Value> seeds;
};

class OperandGradient {
public:
  OperandGradient(linalg::LinalgOp op, OpOperand &operand, ArrayRef<Value> gradients,
                  Adjoints &adjoints)
      : op(op), operand(operand), gradients(gradients), adjoints(adjoints), b(adjoints.b),
        access(op.getMatchingIndexingMap(&operand)) {}

  LogicalResult add() {
    if (!access.isProjectedPermutation())
      return op->emitOpError() << "has no gradient: it reads operand " << operand.getOperandNumber()
                               << " by " << AffineMapAttr::get(access);
    orderLoops();
    Payload payload(op, gradients, /*foldSplats=*/true);
    // The innermost loops: the sums, else the last dimension.
    unsigned outer = std::min<unsigned>(access.getNumResults(), op.getNumLoops() - 1);
    auto scalar = payload.differentiate(operand.getOperandNumber(), [&](unsigned loop) {
      return op.getNumLoops() == 0 || place[loop] >= outer;
    });
    if (failed(scalar))
      return failure();
    if (!*scalar)
      return success();
    payload.keepOnly(*scalar);
    Value value = operand.get();
    if (access.getNumResults() < op.getNumLoops()) {
      adjoints.addInto(value, [&](Value init) { return build(payload, *scalar, init); });
      return success();
    }
    if (Value same = withoutLoop(payload, *scalar))
      adjoints.add(value, same);
    else
      adjoints.add(value, build(payload, *scalar, adjoints.emptyLike(value)));
    return success();
  }

private:
  /// The operand's dimensions first, as they stand in it; then the sums, as they stand in the op.
  void orderLoops() {
    unsigned loops = op.getNumLoops(), next = 0;
    place.assign(loops, loops);
    for (AffineExpr e : access.getResults())
      place[cast<AffineDimExpr>(e).getPosition()] = next++;
    for (unsigned loop = 0; loop < loops; ++loop)
      if (place[loop] == loops)
        place[loop] = next++;
  }

  AffineMap reordered(AffineMap map) {
    SmallVector<AffineExpr> dims;
    for (unsigned loop : place)
      dims.push_back(b.getAffineDimExpr(loop));
    return map.replaceDimsAndSymbols(dims, {}, op.getNumLoops(), 0);
  }

  AffineMap mapOfResult(unsigned number) {
    return op.getMatchingIndexingMap(op.getDpsInitOperand(number));
  }

  /// A gradient that is a result's gradient as it is, or one number: no loop is needed.
  Value withoutLoop(Payload &payload, Value scalar) {
    FloatAttr number;
    if (matchPattern(scalar, m_Constant(&number)))
      return adjoints.filled(adjoints.emptyLike(operand.get()), number.getValueAsDouble());
    for (unsigned i = 0; i < gradients.size(); ++i)
      if (scalar == payload.block->getArgument(i) && mapOfResult(i) == access &&
          gradients[i].getType() == operand.get().getType())
        return gradients[i];
    return Value();
  }

  Value build(Payload &payload, Value scalar, Value init) {
    // The operands that the payload still reads; gradients come first.
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    SmallVector<BlockArgument> arguments;
    llvm::SmallBitVector known(op.getNumLoops());
    auto see = [&](AffineMap map) {
      for (AffineExpr e : map.getResults())
        if (auto dim = dyn_cast<AffineDimExpr>(e))
          known.set(dim.getPosition());
    };
    auto take = [&](Value value, AffineMap map, BlockArgument argument) {
      inputs.push_back(value);
      maps.push_back(reordered(map));
      arguments.push_back(argument);
      see(map);
    };
    see(access);
    SmallVector<std::tuple<Value, AffineMap, BlockArgument>> candidates;
    for (unsigned i = 0; i < gradients.size(); ++i)
      if (gradients[i])
        candidates.push_back({gradients[i], mapOfResult(i), payload.block->getArgument(i)});
    for (OpOperand &other : op->getOpOperands())
      candidates.push_back({other.get(), op.getMatchingIndexingMap(&other),
                            payload.operand(other.getOperandNumber())});
    for (auto [value, map, argument] : candidates)
      if (!argument.use_empty() || argument == scalar)
        take(value, map, argument);
    // A loop over which the payload is constant still has to be counted.
    for (auto [value, map, argument] : candidates)
      for (AffineExpr e : map.getResults())
        if (auto dim = dyn_cast<AffineDimExpr>(e); dim && !known.test(dim.getPosition())) {
          take(value, map, argument);
          break;
        }
    maps.push_back(reordered(access));
    unsigned parallel = access.getNumResults();
    SmallVector<utils::IteratorType> iterators(op.getNumLoops(), utils::IteratorType::reduction);
    std::fill_n(iterators.begin(), parallel, utils::IteratorType::parallel);

    auto body = [&](OpBuilder &nested, Location loc, ValueRange v) {
      IRMapping map;
      for (auto [argument, value] : llvm::zip(arguments, v))
        map.map(argument, value);
      for (Operation &inner : *payload.block) {
        Operation *copy = nested.clone(inner, map);
        if (auto index = dyn_cast<linalg::IndexOp>(copy))
          index.setDim(place[index.getDim()]);
      }
      Value yielded = map.lookupOrDefault(scalar);
      if (parallel < op.getNumLoops())
        yielded = arith::AddFOp::create(nested, loc, v.back(), yielded);
      linalg::YieldOp::create(nested, loc, yielded);
    };
    auto generic = linalg::GenericOp::create(b, TypeRange{init.getType()}, inputs, ValueRange{init},
                                             maps, iterators, body);
    if (isSumInRow(generic))
      for (Operation &inner : *generic.getBody())
        if (auto sum = dyn_cast<arith::AddFOp>(inner);
            sum && sum->getNextNode() == generic.getBody()->getTerminator())
          sum.setFastmath(arith::FastMathFlags::reassoc);
    return generic.getResult(0);
  }

  /// A sum over features that each row of tokens has for itself: the order inside a row is the
  /// target's to write, as in the forward direction. Products and sums over tokens ascend.
  bool isSumInRow(linalg::GenericOp generic) {
    auto ranges = generic.getStaticLoopRanges();
    auto first = ArrayRef(ranges).take_front(access.getNumResults()),
         sums = ArrayRef(ranges).drop_front(access.getNumResults());
    if (sums.empty() || llvm::any_of(sums, ShapedType::isDynamic) ||
        !llvm::any_of(first, ShapedType::isDynamic))
      return false;
    if (!linalg::isaContractionOpInterface(generic))
      return true;
    auto dims = linalg::inferContractionDims(generic);
    return succeeded(dims) && (dims->m.empty() || dims->n.empty());
  }

  linalg::LinalgOp op;
  OpOperand &operand;
  ArrayRef<Value> gradients;
  Adjoints &adjoints;
  ImplicitLocOpBuilder &b;
  AffineMap access;
  SmallVector<unsigned> place; ///< of a loop of the op, in the gradient's loops
};

} // namespace

/// A loop that a result does not see must add to it: then the init's gradient is the result's.
static LogicalResult checkSum(linalg::LinalgOp op, OpOperand &init, ArrayRef<Value> gradients) {
  Payload payload(op, gradients, /*foldSplats=*/false);
  auto scalar = payload.differentiate(init.getOperandNumber(), [](unsigned) { return true; });
  if (failed(scalar))
    return failure();
  if (*scalar != payload.seeds[op.getTiedOpResult(&init).getResultNumber()])
    return op->emitOpError() << "has no gradient: wants its reduction to be a sum";
  return success();
}

LogicalResult hadal::autodiff::differentiateLinalg(Operation *owner, Adjoints &adjoints) {
  auto op = cast<linalg::LinalgOp>(owner);
  if (!op.hasPureTensorSemantics())
    return op->emitOpError() << "has no gradient: wants tensors";
  auto walk = op.getBlock()->walk([&](Operation *inner) {
    for (Value v : inner->getOperands())
      if (v.getParentBlock() != op.getBlock() && adjoints.wants(v))
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return op->emitOpError()
           << "has no gradient: its payload reads a value that has one and that is no operand";

  SmallVector<Value> gradients;
  for (Value result : op->getResults())
    gradients.push_back(adjoints.of(result));
  for (OpOperand &init : op.getDpsInitsMutable()) {
    Value gradient = gradients[op.getTiedOpResult(&init).getResultNumber()];
    if (!gradient || op.getMatchingIndexingMap(&init).getNumResults() == op.getNumLoops())
      continue;
    if (failed(checkSum(op, init, gradients)))
      return failure();
    adjoints.add(init.get(), gradient);
  }
  for (OpOperand &operand : op->getOpOperands()) {
    bool summed = op.isDpsInit(&operand) &&
                  op.getMatchingIndexingMap(&operand).getNumResults() < op.getNumLoops();
    if (!summed && adjoints.wants(operand.get()) &&
        failed(OperandGradient(op, operand, gradients, adjoints).add()))
      return failure();
  }
  return success();
}
