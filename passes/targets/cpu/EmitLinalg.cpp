//===- EmitLinalg.cpp - groups of linalg ops: the general road ------------===//
//
// The general road: a group of linalg ops becomes one loop over rows into which its producers are
// fused.
//
//   begin..end  ->  scf.for rows { producers of the row; the row }  ->  one-shot bufferization
//               ->  loops (LLVM vectorizes; sums inside a row are RowSum.h's)
//               ->  quantizers of the row
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/RowSum.h"

using namespace mlir;
using namespace hadal;

static constexpr int64_t stackBytes = 256 << 10;

/// Replaces the tensor.empty that `init` starts from by `destination`.
static void startFrom(Value init, Value destination, RewriterBase &rewriter) {
  while (Operation *op = init.getDefiningOp()) {
    if (auto empty = dyn_cast<tensor::EmptyOp>(op)) {
      rewriter.replaceOp(empty, destination);
      return;
    }
    auto fill = dyn_cast<linalg::FillOp>(op);
    if (!fill)
      return;
    init = fill.getOutputs()[0];
  }
}

/// A place in scratch for the rows of `x`, [rows, K] f32, that all quantizers of them read at once:
/// each row takes the place of the one before it.
static Value placeOfRow(Kernel &kernel, fp8::QuantizeOp quantize, int64_t &scratchBytes) {
  KernelBuilder &b = kernel.b;
  ArrayRef<int64_t> shape = quantize.getX().getType().getShape();
  Value row = b.scratchView(kernel.scratch, scratchBytes, {shape[1]}, b.getF32Type());
  OpFoldResult rows = b.getIndexAttr(shape[0]);
  if (ShapedType::isDynamic(shape[0]))
    rows = b.dim(kernel.memory(quantize.getQ()), 0);
  auto type =
      MemRefType::get(shape, b.getF32Type(), StridedLayoutAttr::get(b.getContext(), 0, {0, 1}));
  return memref::ReinterpretCastOp::create(
      b, type, row, OpFoldResult(b.getIndexAttr(0)),
      ArrayRef<OpFoldResult>{rows, b.getIndexAttr(shape[1])},
      ArrayRef<OpFoldResult>{b.getIndexAttr(0), b.getIndexAttr(1)});
}

/// What the linalg ops of a kernel make: its results but for codes and scales, and what quantizers
/// alone read.
static SmallVector<Value> madeRows(Kernel &kernel, ArrayRef<fp8::QuantizeOp> quantizers,
                                   int64_t &scratchBytes) {
  SmallVector<Value> made;
  for (Value v : kernel.tensors.getBody().front().getTerminator()->getOperands())
    if (!v.getDefiningOp<fp8::QuantizeOp>())
      made.push_back(v);
  for (fp8::QuantizeOp quantize : quantizers)
    if (!llvm::is_contained(made, quantize.getX())) {
      kernel.setMemory(quantize.getX(), placeOfRow(kernel, quantize, scratchBytes));
      made.push_back(quantize.getX());
    }
  return made;
}

/// 1. The same computation on tensors that stand for the kernel's memory: returns the one op that
/// makes all results, whose inits are the places of the results.
static FailureOr<linalg::LinalgOp> writeOnTensors(Kernel &kernel, RewriterBase &rewriter,
                                                  ArrayRef<fp8::QuantizeOp> quantizers,
                                                  int64_t &scratchBytes) {
  KernelBuilder &b = kernel.b;
  SmallVector<Value> made = madeRows(kernel, quantizers, scratchBytes);
  Block &source = kernel.tensors.getBody().front();
  IRMapping map;
  for (auto [i, argument] : llvm::enumerate(source.getArguments())) {
    Value memory = kernel.memory(argument);
    if (!memory || kernel.inPanels(argument))
      return kernel.tensors.emitError("linalg kernel wants operands that lie plainly");
    // What a result is written in place of may be written.
    bool writable = kernel.tensors.getArgAttr(i, kInPlaceAttr) != nullptr;
    map.map(argument, bufferization::ToTensorOp::create(b, argument.getType(), memory,
                                                        /*restrict=*/true, writable));
  }
  for (Operation &op : source.without_terminator())
    if (!isa<fp8::QuantizeOp>(op))
      b.clone(op, map);
  SmallVector<Value> results, places;
  for (Value v : made) {
    results.push_back(map.lookup(v));
    places.push_back(kernel.memory(v));
  }
  auto root = results[0].getDefiningOp<linalg::LinalgOp>();
  if (!root ||
      llvm::any_of(results, [&](Value v) { return v.getDefiningOp() != root.getOperation(); }))
    return kernel.tensors.emitError("linalg kernel wants one op that makes all its results");

  // Results that start from one initial value each get their own.
  for (OpOperand &init : root.getDpsInitsMutable())
    if (auto fill = init.get().getDefiningOp<linalg::FillOp>()) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(root);
      if (Operation *empty = fill.getOutputs()[0].getDefiningOp()) {
        IRMapping own;
        b.clone(*empty, own);
        init.set(b.clone(*fill, own)->getResult(0));
      }
    }
  for (auto [i, place] : llvm::enumerate(places)) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointAfterValue(place);
    auto destination = bufferization::ToTensorOp::create(b, results[i].getType(), place,
                                                         /*restrict=*/true, /*writable=*/true);
    unsigned number = cast<OpResult>(results[i]).getResultNumber();
    startFrom(root.getDpsInits()[number], destination, rewriter);
  }
  for (auto [result, place] : llvm::zip(results, places)) {
    auto store = bufferization::MaterializeInDestinationOp::create(b, TypeRange{}, result, place);
    store.setRestrict(true);
    store.setWritable(true);
  }
  return root;
}

/// 2. Tiles the root over rows, dimension 0 where it is parallel and leads every result, and fuses
/// its producers into the row; returns the number of tasks.
static FailureOr<AffineExpr> tileRows(Kernel &kernel, linalg::LinalgOp root,
                                      RewriterBase &rewriter) {
  KernelBuilder &b = kernel.b;
  AffineExpr one = b.getAffineConstantExpr(1);
  bool rows =
      root.getNumLoops() > 0 && root.getIteratorTypesArray()[0] == utils::IteratorType::parallel;
  for (OpOperand &init : root.getDpsInitsMutable()) {
    AffineMap access = root.getMatchingIndexingMap(&init);
    rows &=
        access.getNumResults() > 0 && access.getResult(0) == getAffineDimExpr(0, b.getContext());
  }
  if (!rows)
    return one;
  int64_t step = root.getNumLoops() == 1 ? 256 : 1;
  SmallVector<OpFoldResult> sizes(root.getNumLoops(), b.getIndexAttr(0));
  sizes[0] = b.getIndexAttr(step);
  scf::SCFTileAndFuseOptions options;
  options.tilingOptions.setTileSizes(sizes);
  rewriter.setInsertionPoint(root);
  auto tiled = scf::tileConsumerAndFuseProducersUsingSCF(
      rewriter, cast<TilingInterface>(root.getOperation()), options);
  if (failed(tiled))
    return kernel.tensors.emitError("linalg kernel cannot be tiled over rows");
  for (auto [from, to] : tiled->replacements)
    rewriter.replaceAllUsesWith(from, to);
  if (tiled->loops.empty())
    return one;
  auto loop = cast<scf::ForOp>(tiled->loops[0].getOperation());
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(loop);
  AffineExpr extent = kernel.resultDim(0, 0);
  if (step == 1) {
    loop.setLowerBound(kernel.begin);
    loop.setUpperBound(kernel.end);
  } else {
    Value last = loop.getUpperBound();
    loop.setLowerBound(b.mul(kernel.begin, step));
    loop.setUpperBound(b.min(b.mul(kernel.end, step), last));
  }
  return extent.ceilDiv(step);
}

/// 3. Tensors become memory. A slice of an empty tensor is a small empty tensor: intermediates are
/// as large as a row. What tiling left without a use goes before it would be given memory.
static LogicalResult bufferize(Kernel &kernel) {
  MLIRContext *context = kernel.b.getContext();
  RewritePatternSet patterns(context);
  tensor::populateFoldTensorEmptyPatterns(patterns);
  tensor::ExtractSliceOp::getCanonicalizationPatterns(patterns, context);
  if (failed(applyPatternsGreedily(kernel.lowered, std::move(patterns))))
    return kernel.tensors.emitError("linalg kernel cannot be simplified");
  bufferization::OneShotBufferizationOptions options;
  options.allowReturnAllocsFromLoops = true;
  bufferization::BufferizationState state;
  if (failed(bufferization::runOneShotBufferize(kernel.lowered, options, state)))
    return kernel.tensors.emitError("linalg kernel cannot be bufferized");
  return success();
}

/// 4. Intermediates go on the stack, linalg ops become loops.
static LogicalResult writeLoops(Kernel &kernel, RewriterBase &rewriter) {
  WalkResult walk = kernel.lowered.walk([&](memref::AllocOp alloc) {
    auto type = alloc.getType();
    if (!type.hasStaticShape() ||
        type.getNumElements() * ((type.getElementTypeBitWidth() + 7) / 8) > stackBytes) {
      kernel.tensors.emitError() << "linalg kernel wants intermediate values of at most "
                                 << stackBytes << " bytes, got " << type;
      return WalkResult::interrupt();
    }
    rewriter.setInsertionPointToStart(&kernel.lowered.getBody().front());
    auto stack =
        memref::AllocaOp::create(rewriter, alloc.getLoc(), type, rewriter.getI64IntegerAttr(64));
    rewriter.replaceOp(alloc, stack);
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return failure();
  kernel.lowered.walk([&](memref::CopyOp copy) {
    rewriter.setInsertionPoint(copy);
    linalg::CopyOp::create(rewriter, copy.getLoc(), copy.getSource(), copy.getTarget());
    rewriter.eraseOp(copy);
  });
  SmallVector<linalg::LinalgOp> ops;
  kernel.lowered.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
  for (linalg::LinalgOp op : ops) {
    rewriter.setInsertionPoint(op);
    if (isRowSum(op))
      writeRowSum(kernel.b, cast<linalg::GenericOp>(op.getOperation()));
    else if (failed(linalg::linalgOpToLoops(rewriter, op)))
      return kernel.tensors.emitError() << op->getName() << " has no loops";
    rewriter.eraseOp(op);
  }
  return success();
}

/// 5. Quantizers at the end of each row.
static LogicalResult writeQuantizers(Kernel &kernel, ArrayRef<fp8::QuantizeOp> quantizers) {
  if (quantizers.empty())
    return success();
  auto loops = kernel.lowered.getBody().front().getOps<scf::ForOp>();
  auto rows =
      llvm::find_if(loops, [&](scf::ForOp loop) { return loop.getLowerBound() == kernel.begin; });
  if (rows == loops.end())
    return kernel.tensors.emitError("linalg kernel wants rows to quantize one by one");
  kernel.b.setInsertionPoint((*rows).getBody()->getTerminator());
  for (fp8::QuantizeOp quantize : quantizers)
    quantizeRow(kernel, quantize, (*rows).getInductionVar());
  return success();
}

LogicalResult hadal::emitLinalg(Kernel &kernel, Operation *) {
  IRRewriter rewriter(kernel.b.getContext());
  auto quantizers = llvm::to_vector(kernel.tensors.getBody().front().getOps<fp8::QuantizeOp>());
  int64_t scratchBytes = 0;
  auto root = writeOnTensors(kernel, rewriter, quantizers, scratchBytes);
  if (failed(root))
    return failure();
  auto tasks = tileRows(kernel, *root, rewriter);
  if (failed(tasks))
    return failure();
  kernel.finish({*tasks}, scratchBytes);
  return success(succeeded(bufferize(kernel)) && succeeded(writeLoops(kernel, rewriter)) &&
                 succeeded(writeQuantizers(kernel, quantizers)));
}
