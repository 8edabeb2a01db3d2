//===- LowerKernel.cpp - a kernel on tensors becomes one on memory --------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "dialects/sample/Sample.h"
#include "dialects/train/Train.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"
#include "passes/targets/cpu/WeightPacking.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace hadal;

/// A layout is one that kernels for these vectors know.
static LogicalResult checkLayout(func::FuncOp f, exec::LayoutAttr layout, RankedTensorType type,
                                 const VectorShape &shape) {
  if (!layout)
    return success();
  int64_t outputs = shape.panel;
  if (isPacked(layout)) {
    if (type.getRank() > 3 || layout.getParts() > 2)
      return f.emitError() << "kernel wants packed weights that are a matrix, or a stack of them, "
                              "got "
                           << type << " as " << layout;
    outputs = PanelLayout::of(type, layout, shape).width();
  } else if (!isPanels(layout)) {
    return f.emitError() << "kernel wants tensors that lie as " << kPanelsLayout << " or "
                         << kPackedLayout << ", got " << layout;
  } else if (layout.getN() >= 0 || layout.getParts() > 1 || type.getRank() > 3 ||
             !type.getElementType().isF32()) {
    return f.emitError() << "kernel wants a matrix of f32, or a stack of them, in panels, got "
                         << type << " as " << layout;
  }
  if (layout.getOutputs() && (layout.getOutputs() != outputs || layout.getInner() != 2))
    return f.emitError() << "kernel wants panels of " << outputs << " outputs, got " << layout;
  return success();
}

/// Who reads a tensor knows how it lies: products their weights, and in panels the gradients that
/// are added to it and copies. Packed weights are written by an exec.relayout alone.
static LogicalResult checkReaders(func::FuncOp f) {
  for (BlockArgument argument : f.getArguments()) {
    auto layout = f.getArgAttrOfType<exec::LayoutAttr>(argument.getArgNumber(), kLayoutAttr);
    for (OpOperand &use : argument.getUses()) {
      Operation *reader = use.getOwner();
      auto product = matchProduct(reader);
      auto gradient = matchWeightGradient(reader);
      bool isKnown = product    ? product->right == argument && product->left != argument
                     : gradient ? gradient->init == argument && isPanels(layout)
                                : isa<linalg::CopyOp>(reader) && isPanels(layout);
      if (layout && !isKnown && !isa<tensor::DimOp>(reader))
        return reader->emitOpError() << "reads a tensor as stored that lies as " << layout;
    }
  }
  for (unsigned i = 0; i < f.getNumResults(); ++i)
    if (isPacked(f.getResultAttrOfType<exec::LayoutAttr>(i, kLayoutAttr)))
      return f.emitError("kernel wants packed weights to be written by an exec.relayout");
  return success();
}

/// Each result has memory of its own: a value that the kernel makes, in place of one argument at
/// most.
static LogicalResult checkResults(func::FuncOp f) {
  llvm::SmallDenseSet<Value> returned;
  for (Value v : f.getBody().front().getTerminator()->getOperands())
    if (isa<BlockArgument>(v) || !returned.insert(v).second)
      return f.emitError("kernel wants to make each of its results, and to return it once");
  llvm::SmallDenseSet<int64_t> places;
  for (unsigned i = 0; i < f.getNumArguments(); ++i) {
    auto place = f.getArgAttrOfType<IntegerAttr>(i, kInPlaceAttr);
    if (!place)
      continue;
    if (place.getInt() >= f.getNumResults() ||
        f.getResultTypes()[place.getInt()] != f.getArgumentTypes()[i])
      return f.emitError() << "kernel wants a result of type " << f.getArgumentTypes()[i]
                           << " in place of argument " << i;
    if (!places.insert(place.getInt()).second)
      return f.emitError() << "kernel wants result " << place.getInt()
                           << " in place of one argument alone";
  }
  return success();
}

/// A kernel has one block from ranked tensors to ranked tensors, each of which is an argument or
/// made there.
static LogicalResult check(func::FuncOp f, const VectorShape &shape) {
  if (f.isExternal() || !f.getBody().hasOneBlock())
    return f.emitError("kernel wants one block");
  if (f.getNumResults() == 0)
    return f.emitError("kernel wants a result");
  for (Type type : llvm::concat<const Type>(f.getArgumentTypes(), f.getResultTypes())) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !tensor.getElementType().isIntOrFloat())
      return f.emitError() << "kernel wants ranked tensors of numbers, got " << type;
  }
  for (unsigned i = 0; i < f.getNumArguments(); ++i) {
    auto type = cast<RankedTensorType>(f.getArgumentTypes()[i]);
    if (failed(checkLayout(f, f.getArgAttrOfType<exec::LayoutAttr>(i, kLayoutAttr), type, shape)))
      return failure();
  }
  for (unsigned i = 0; i < f.getNumResults(); ++i)
    if (failed(checkLayout(f, f.getResultAttrOfType<exec::LayoutAttr>(i, kLayoutAttr),
                           cast<RankedTensorType>(f.getResultTypes()[i]), shape)))
      return failure();
  for (auto relayout : f.getOps<exec::RelayoutOp>())
    if (failed(checkLayout(f, relayout.getLayoutAttr(), cast<RankedTensorType>(relayout.getType()),
                           shape)))
      return failure();
  return checkResults(f);
}

//===----------------------------------------------------------------------===//
// Which emitter
//===----------------------------------------------------------------------===//

template <typename... Ops> static void add(llvm::StringMap<Emitter> &table, Emitter emitter) {
  (table.try_emplace(Ops::getOperationName(), emitter), ...);
}

/// Of the ops that have a kernel to themselves, whatever views, sizes and constants stand beside
/// them.
static const llvm::StringMap<Emitter> &emitters() {
  static const llvm::StringMap<Emitter> table = [] {
    llvm::StringMap<Emitter> made;
    add<mla::AttentionOp>(made, emitAttention);
    add<mla::AttentionGradOp>(made, emitAttentionGradient);
    add<mla::LatentAttentionOp>(made, emitLatentAttention);
    add<mla::RotationOp, mla::RopeOp, mla::CacheAppendOp, mla::AppendCodesOp>(made, emitPosition);
    add<moe::RouteOp, moe::PlanOp, moe::PlanSendsOp, moe::DispatchOp, moe::CombineOp,
        moe::UpdateBiasOp>(made, emitRouting);
    add<moe::CombineGradOp, moe::RouteGradOp, moe::BalanceLossOp, moe::BalanceLossGradOp,
        moe::ScatterAddOp>(made, emitRoutingGradient);
    add<fp8::QuantizeOp, fp8::DequantizeOp>(made, emitQuantize);
    add<sample::ArgmaxOp, sample::ChooseOp, sample::NllOp, sample::LogProbabilitiesOp,
        sample::PenalizeOp>(made, emitSampling);
    add<train::SquareSumsOp, train::SumRowsOp, train::NormOp>(made, emitNorms);
    return made;
  }();
  return table;
}

/// Packed weights lie as this kernel reads them: panels of the product's outputs, both of a pair in
/// one memory.
static LogicalResult checkWeights(Kernel &kernel, ArrayRef<Product> products) {
  for (auto [i, product] : llvm::enumerate(products)) {
    auto argument = dyn_cast<BlockArgument>(product.right);
    auto layout = argument ? kernel.tensors.getArgAttrOfType<exec::LayoutAttr>(
                                 argument.getArgNumber(), kLayoutAttr)
                           : exec::LayoutAttr();
    if (!isPacked(layout))
      continue;
    int64_t rank = cast<RankedTensorType>(product.right.getType()).getRank();
    if (layout.outputDim(rank) != unsigned(product.rightN) ||
        layout.innerDim(rank) != unsigned(product.rightK) ||
        layout.getParts() != int64_t(products.size()) || layout.getPart() != int64_t(i))
      return product.op->emitOpError()
             << "wants weights of outputs in dimension " << product.rightN << ", sums over "
             << product.rightK << ", part " << i << " of " << products.size() << ", got " << layout;
    if (product.right.getType() != products[0].right.getType())
      return product.op->emitOpError()
             << "wants weights that share memory to have one type, got "
             << products[0].right.getType() << " and " << product.right.getType();
  }
  return success();
}

/// Products are of several dialects; who writes them is a question of where their weights lie.
static LogicalResult emitProducts(Kernel &kernel, ArrayRef<Product> products) {
  SmallVector<Value> read;
  for (const Product &p : products)
    read.append({p.scale, p.leftScale, p.offsets, p.active, p.source});
  llvm::erase(read, Value());
  if (failed(checkWeights(kernel, products)) || failed(kernel.wantMemory(products[0].op, read)))
    return failure();
  linalg::GenericOp epilogue;
  for (auto generic : kernel.tensors.getBody().front().getOps<linalg::GenericOp>())
    if (!matchProduct(generic))
      epilogue = generic;
  const Product &first = products.front();
  // Tiles are filled from panels, and from rows that are read in vectors of K.
  bool inTiles = kernel.b.shape.tiles && products.size() == 1 && kernel.inPanels(first.right) &&
                 first.leftK == cast<RankedTensorType>(first.left.getType()).getRank() - 1;
  if (inTiles)
    return emitTileMatmul(kernel, first, epilogue);
  return wantsStaging(kernel, products) ? emitStagedMatmul(kernel, products, epilogue)
                                        : emitMatmul(kernel, products, epilogue);
}

static LogicalResult emitGradient(Kernel &kernel, const WeightGradient &gradient) {
  Value returned = kernel.tensors.getBody().front().getTerminator()->getOperand(0);
  if (returned != gradient.result())
    return kernel.tensors.emitError("weight gradient kernel wants to return the gradient itself");
  SmallVector<Value> read{gradient.offsets, gradient.active, gradient.source};
  llvm::erase(read, Value());
  if (failed(kernel.wantMemory(gradient.op, read)))
    return failure();
  if (gradient.rowsScale)
    return emitCodedWeightGradient(kernel, gradient);
  return kernel.b.shape.tiles && kernel.inPanels(returned)
             ? emitTileWeightGradient(kernel, gradient)
             : emitWeightGradient(kernel, gradient);
}

/// The sum over rows that a kernel returns, if it computes nothing beside it.
static linalg::GenericOp onlyColumnSum(Block &body) {
  linalg::GenericOp sum;
  for (Operation &op : body.without_terminator()) {
    if (isColumnSum(&op) && !sum)
      sum = cast<linalg::GenericOp>(op);
    else if (isa<linalg::LinalgOp>(op) && !isa<linalg::FillOp>(op))
      return {};
  }
  return sum && body.getTerminator()->getOperand(0) == sum.getResult(0) ? sum : nullptr;
}

/// The emitter for what a kernel of upstream's ops returns; null where there is none.
static Emitter emitterOf(Kernel &kernel, Block &body, Operation *&op) {
  if (linalg::GenericOp sum = onlyColumnSum(body)) {
    op = sum;
    return emitColumnSum;
  }
  op = body.getTerminator()->getOperand(0).getDefiningOp();
  if (auto copy = dyn_cast_or_null<linalg::CopyOp>(op);
      copy && body.getTerminator()->getNumOperands() == 1 &&
      kernel.inPanels(copy.getInputs()[0]) != kernel.inPanels(copy.getResult(0)))
    return emitPanelCopy;
  if (auto fill = dyn_cast_or_null<linalg::FillOp>(op);
      fill && isa<BlockArgument>(fill.getOutputs()[0]))
    return emitFill;
  if (isa_and_nonnull<tensor::InsertSliceOp>(op))
    return emitInsertSlice;
  if (isa_and_nonnull<tensor::FromElementsOp>(op))
    return emitScalars;
  bool isLinalg = llvm::all_of(body.without_terminator(), [](Operation &o) {
    return isa<linalg::LinalgOp, fp8::QuantizeOp>(o) ||
           isa<tensor::TensorDialect, arith::ArithDialect>(o.getDialect());
  });
  return isLinalg ? emitLinalg : nullptr;
}

/// True of a quantizer of rows that linalg ops of the kernel make.
static bool isOfRows(Operation *op) {
  auto quantize = dyn_cast<fp8::QuantizeOp>(op);
  return quantize && quantize.getX().getDefiningOp<linalg::GenericOp>();
}

/// Writes `kernel.lowered`. None: no emitter takes the kernel.
static std::optional<LogicalResult> emit(Kernel &kernel) {
  Block &body = kernel.tensors.getBody().front();
  SmallVector<Product> products;
  std::optional<WeightGradient> gradient;
  for (Operation &op : body.without_terminator()) {
    if (auto product = matchProduct(&op))
      products.push_back(*product);
    else if (auto found = matchWeightGradient(&op); found && !gradient)
      gradient = found;
  }
  if (!products.empty())
    return emitProducts(kernel, products);
  if (gradient)
    return emitGradient(kernel, *gradient);
  for (Operation &op : body.without_terminator())
    if (Emitter emitter = emitters().lookup(op.getName().getStringRef());
        emitter && !isOfRows(&op)) {
      bool isAlone = llvm::all_of(body.without_terminator(), [&](Operation &other) {
        return &other == &op || isCloned(&other);
      });
      if (!isAlone)
        return std::nullopt;
      for (Value result : op.getResults())
        if (!llvm::is_contained(body.getTerminator()->getOperands(), result))
          return op.emitOpError("wants a kernel that returns all its results");
      return emitter(kernel, &op);
    }
  Operation *op = nullptr;
  Emitter emitter = emitterOf(kernel, body, op);
  return emitter ? std::optional(emitter(kernel, op)) : std::nullopt;
}

LogicalResult hadal::lowerKernel(func::FuncOp f, const VectorShape &shape) {
  if (failed(check(f, shape)))
    return failure();
  if (auto done = lowerRelayout(f, shape); failed(done) || *done)
    return failure(failed(done));
  if (failed(checkReaders(f)))
    return failure();
  Kernel kernel(f, shape);
  if (std::optional<LogicalResult> emitted = emit(kernel)) {
    if (failed(*emitted))
      return failure();
    // Whatever order the graph leaves open is written now: LLVM keeps it.
    kernel.lowered.walk([](arith::AddFOp sum) { sum.setFastmath(arith::FastMathFlags::none); });
    StringAttr name = f.getSymNameAttr();
    f.erase();
    kernel.lowered.setSymName(name);
    return success();
  }
  InFlightDiagnostic error = f.emitError("no kernel computes this:");
  for (Operation &op : f.getBody().front().without_terminator())
    error << ' ' << op.getName();
  return error;
}
