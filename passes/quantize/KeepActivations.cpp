//===- KeepActivations.cpp - activations kept in few bits -----------------===//
//
// What the backward half reads of activations is what few bits keep of them.
//
// Forward stays as it is; the readers in the backward half get numbers that come back from codes,
// so that only codes live that long (DeepSeek-V3, arXiv:2412.19437, section 3.3.3):
//
//   %h = swiglu(%g, %u)           backward: swiglu(%g', %u'), of g' = dequantize(quantize(%g)) ...
//   %o = mla.attention ...        backward: dequantize(quantize(%o)), in E5M6
//
//
//===----------------------------------------------------------------------===//

#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/quantize/Fp8Quantizer.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace hadal;

namespace {

/// Element-wise ops between the results of Linears and the input of another, in order.
struct Chain {
  llvm::SetVector<Value> inputs; ///< results of Linears
  llvm::SetVector<Operation *> ops;
};

class Keeper {
public:
  explicit Keeper(Fp8Quantizer &quantizer)
      : quantizer(quantizer), block(quantizer.function().getBody().front()) {}

  void run() {
    SmallVector<Operation *> products;
    for (Operation &op : block)
      if (auto role = quantizer.roles.find(&op);
          role != quantizer.roles.end() && role->second == Fp8Quantizer::Role::Forward)
        products.push_back(&op);
    for (Operation *op : products) {
      Value x = matchProduct(op)->left;
      Chain chain;
      if (auto attention = throughReshapes(x).getDefiningOp<mla::AttentionOp>())
        keepAttention(op, x, attention.getResult());
      else if (collect(x, chain) && !chain.ops.empty() && quantizer.keepsCodes(op))
        keepInputs(op, chain);
    }
  }

private:
  /// Readers of `v` in the backward half, through views that the forward half made, but for its
  /// sizes.
  void backwardUses(Value v, SmallVectorImpl<OpOperand *> &uses) {
    for (OpOperand &use : v.getUses()) {
      Operation *op = use.getOwner();
      if (quantizer.isBackward(op)) {
        if (!isa<tensor::DimOp>(op))
          uses.push_back(&use);
      } else if (isView(op) && use.getOperandNumber() == 0) {
        backwardUses(op->getResult(0), uses);
      }
    }
  }

  /// The first op in the backward half that reads one of `values`; null where there is none.
  Operation *firstReader(ArrayRef<Value> values) {
    SmallVector<OpOperand *> uses;
    for (Value v : values)
      backwardUses(v, uses);
    Operation *first = nullptr;
    for (OpOperand *use : uses)
      if (Operation *op = block.findAncestorOpInBlock(*use->getOwner());
          !first || op->isBeforeInBlock(first))
        first = op;
    return first;
  }

  /// Lets the backward half read `other` in the place of `v`; views of it are made in front of
  /// `reader`.
  void replaceInBackward(Value v, Value other, Operation *reader) {
    for (OpOperand &use : llvm::make_early_inc_range(v.getUses())) {
      Operation *op = use.getOwner();
      if (quantizer.isBackward(op)) {
        if (!isa<tensor::DimOp>(op))
          use.set(other);
        continue;
      }
      SmallVector<OpOperand *> uses;
      if (isView(op) && use.getOperandNumber() == 0)
        backwardUses(op->getResult(0), uses);
      if (uses.empty())
        continue;
      IRMapping map;
      map.map(v, other);
      OpBuilder b(reader);
      replaceInBackward(op->getResult(0), b.clone(*op, map)->getResult(0), reader);
    }
  }

  /// The op that follows `v`'s maker: what keeps `v` stands there, so that `v` itself may go.
  Operation *after(Value v) { return v.getDefiningOp()->getNextNode(); }

  /// What comes back from codes of `v` [M, K] that are made where `v` is, for `reader` in the
  /// backward half. Both are of the part of the model `part`.
  Value keep(Value v, const Fp8Tile &tile, job::PartAttr part, Operation *reader) {
    Fp8Codes codes = quantizer.quantize(after(v), v, tile);
    Value numbers = quantizer.dequantize(reader, codes);
    quantizer.setForward(codes.q.getDefiningOp());
    for (Operation *op : {codes.q.getDefiningOp(), numbers.getDefiningOp()})
      if (part)
        op->setAttr(job::kPartAttr, part);
    return numbers;
  }

  void keepAttention(Operation *linear, Value x, Value output) {
    Operation *reader = firstReader({x, output});
    if (!reader)
      return;
    bool inE5M6 = quantizer.keepsE5M6(linear);
    Fp8Tile tile{1, 128, /*pow2=*/true, inE5M6 ? fp8::Format::E5M6 : fp8::Format::E4M3};
    Value numbers = keep(x, tile, job::partAttrOf(linear), reader);
    replaceInBackward(x, numbers, reader);
    // Attention's own backward half reads heads.
    if (!firstReader({output}))
      return;
    auto merge = x.getDefiningOp<tensor::CollapseShapeOp>();
    if (!merge || merge.getSrc() != output)
      return;
    ImplicitLocOpBuilder b(reader->getLoc(), reader);
    auto type = cast<RankedTensorType>(output.getType());
    SmallVector<OpFoldResult> shape;
    for (int64_t d = 0; d < type.getRank(); ++d)
      shape.push_back(type.isDynamicDim(d)
                          ? OpFoldResult(tensor::DimOp::create(b, numbers, d).getResult())
                          : OpFoldResult(b.getIndexAttr(type.getDimSize(d))));
    Value heads =
        tensor::ExpandShapeOp::create(b, type, numbers, merge.getReassociationIndices(), shape);
    replaceInBackward(output, heads, reader);
  }

  /// Whether `op` works on [rows, columns] element by element; what it reads beside matrices has
  /// one number for each column.
  static bool isElementwise(linalg::LinalgOp op) {
    if (!op || op.getNumLoops() != 2 || op.getNumParallelLoops() != 2 || op->getNumResults() != 1 ||
        !op.hasPureTensorSemantics() || !getElementTypeOrSelf(op->getResult(0).getType()).isF32() ||
        op.payloadUsesValueFromOperand(op.getDpsInitOperand(0)) ||
        !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
      return false;
    for (OpOperand *input : op.getDpsInputOperands()) {
      AffineMap map = op.getMatchingIndexingMap(input);
      if (map != AffineMap::getMinorIdentityMap(2, map.getNumResults(), op.getContext()))
        return false;
    }
    return llvm::all_of(op.getBlock()->without_terminator(), [](Operation &inner) {
      return OpTrait::hasElementwiseMappableTraits(&inner) || isa<arith::ConstantOp>(inner);
    });
  }

  /// Whether `x` is made of the results of Linears alone, element by element.
  bool collect(Value x, Chain &chain) {
    Operation *op = x.getDefiningOp();
    if (!op)
      return false;
    if (auto role = quantizer.roles.find(op); role != quantizer.roles.end()) {
      chain.inputs.insert(x);
      return true;
    }
    auto elementwise = dyn_cast<linalg::LinalgOp>(op);
    if (!isElementwise(elementwise))
      return false;
    for (OpOperand *input : elementwise.getDpsInputOperands())
      if (elementwise.getMatchingIndexingMap(input).isIdentity() && !collect(input->get(), chain))
        return false;
    chain.ops.insert(op); // after what it reads
    return true;
  }

  void keepInputs(Operation *linear, const Chain &chain) {
    SmallVector<Value> values(chain.inputs.begin(), chain.inputs.end());
    for (Operation *op : chain.ops)
      values.push_back(op->getResult(0));
    Operation *reader = firstReader(values);
    if (!reader)
      return;
    IRMapping numbers;
    Fp8Tile tile = quantizer.optionsOf(linear).keptTile();
    for (Value input : chain.inputs)
      numbers.map(input, keep(input, tile, job::partAttrOf(input.getDefiningOp()), reader));
    OpBuilder b(reader);
    for (Operation *op : chain.ops)
      b.clone(*op, numbers);
    for (Value v : values)
      replaceInBackward(v, numbers.lookup(v), reader);
  }

  Fp8Quantizer &quantizer;
  Block &block;
};

} // namespace

bool hadal::isAttentionOutput(Value x) {
  return throughReshapes(x).getDefiningOp<mla::AttentionOp>() != nullptr;
}

void hadal::keepActivations(Fp8Quantizer &quantizer) { Keeper(quantizer).run(); }
