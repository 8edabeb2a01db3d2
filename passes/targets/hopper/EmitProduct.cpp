//===- EmitProduct.cpp - matrix products on tensor cores ------------------===//
//
// A block has three warpgroups: two multiply 64 rows of a tile each, the third fills the stages
// (StageLoads.h). Blocks take tile after tile, and stages go on from one to the next.
//
//   third     | wait empty  copy or load  full   | ...
//   others    |             wait full  mma  await  (promote)  empty | ...  epilogue, store
//
// BF16 sums stay in the tensor cores' accumulators for all of K. Those of FP8 codes begin anew with
// every block of K, and join f32 sums in registers with the product of both scales (DeepSeek-V3,
// arXiv:2412.19437, section 3.3.2). Either way an element is one chain over K, whatever the tile:
// its bits do not depend on the rows beside it.
//
// Grouped: a tile has rows of one group. Blocks walk over the groups' offsets, which are on the
// device, to find theirs; groups are not padded.
//
//===----------------------------------------------------------------------===//

#include "dialects/hopper/Hopper.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/ProductEpilogue.h"
#include "passes/targets/cpu/ProductTasks.h"
#include "passes/targets/hopper/GridKernel.h"
#include "passes/targets/hopper/Products.h"
#include "passes/targets/hopper/StageLoads.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

//===----------------------------------------------------------------------===//
// Which products
//===----------------------------------------------------------------------===//

/// Sums may begin anew with each block of K of tensor cores, `block` numbers: a tile of scales has
/// whole ones, and so has a tile of outputs.
static bool hasWholeScales(const Product &p, int64_t block) {
  return (p.blockK == 0 || p.blockK >= p.k || p.blockK % block == 0) &&
         (p.blockN == 0 || p.blockN >= p.n || p.blockN % 128 == 0);
}

/// What is trained stays a chain of fused multiply-adds, as its gradients are.
static bool isInTraining(Operation *op) {
  auto module = op->getParentOfType<ModuleOp>();
  return module && llvm::any_of(module.getOps<ml_program::GlobalOp>(),
                                [](ml_program::GlobalOp global) { return global.getIsMutable(); });
}

bool hadal::canLowerProduct(Operation *op) {
  std::optional<Product> p = matchProduct(op);
  if (!p)
    return false;
  Type left = getElementTypeOrSelf(p->left.getType()),
       right = getElementTypeOrSelf(p->right.getType());
  bool isCoded = isa<Float8E4M3FNType>(right);
  if (p->leftScale) // promoted every 128, or all of K at once where it is no longer
    return isCoded && isa<Float8E4M3FNType>(left) && hasWholeScales(*p, 128) &&
           (p->interval == 128 || (p->k <= 128 && p->interval == 0));
  if (p->scale)
    return isCoded && left.isF32() && hasWholeScales(*p, 64) && !isInTraining(op);
  auto isFloat = [](Type t) { return t.isF32() || t.isBF16() || t.isF16(); };
  if (!isFloat(left) || !isFloat(right))
    return false;
  return isHeldByBf16(op) || (left.isBF16() && right.isBF16()) || !isInTraining(op);
}

namespace {
/// What a kernel on tensors computes.
struct ProductKernel {
  SmallVector<Product, 2> products;
  linalg::GenericOp epilogue;
};
} // namespace

static std::optional<ProductKernel> readKernel(func::FuncOp f) {
  if (!isPlainKernel(f) || f.getNumResults() != 1)
    return std::nullopt;
  ProductKernel kernel;
  Block &body = f.getBody().front();
  for (Operation &op : body.without_terminator()) {
    if (auto product = matchProduct(&op)) {
      if (!canLowerProduct(&op))
        return std::nullopt;
      kernel.products.push_back(*product);
    } else if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      if (kernel.epilogue || !isEpilogue(generic))
        return std::nullopt;
      kernel.epilogue = generic;
    } else if (!isa<linalg::FillOp>(op) &&
               !isa<tensor::TensorDialect, arith::ArithDialect>(op.getDialect())) {
      return std::nullopt;
    }
  }
  if (kernel.products.empty() || kernel.products.size() > (kernel.epilogue ? 2 : 1))
    return std::nullopt;
  Value result = kernel.epilogue ? kernel.epilogue.getResult(0) : kernel.products[0].result();
  return body.getTerminator()->getOperand(0) == result ? std::optional(kernel) : std::nullopt;
}

bool hadal::isProductKernel(func::FuncOp f) { return readKernel(f).has_value(); }

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

namespace {

class ProductEmitter {
public:
  ProductEmitter(Kernel &kernel, const ProductKernel &what)
      : kernel(kernel), b(kernel.b), shape(what.products), first(shape.first),
        epilogue(kernel, what.epilogue, shape.products) {}

  LogicalResult emit();

private:
  /// A stage of the pipeline and its phase, both i32.
  struct Place {
    Value stage, phase;
  };
  using OnTile = function_ref<Place(const ProductTile &, Place)>;
  void emitRoles(StageLoads &loads);
  void forTiles(OnTile onTile);
  void forGroupTiles(Value nBlocks, OnTile onTile);
  Place fill(StageLoads &loads, const ProductTile &tile, Place place, Value thread);
  Place multiply(const ProductTile &tile, Place place, Value group);
  Values sumsOfBlock(Value k, Place place, Value group, Values sums, ArrayRef<Values> scales);
  SmallVector<Values> scalesOf(const ProductTile &tile, Value k, ArrayRef<Value> rows);
  Place overK(Place place, Values &carried,
              function_ref<Values(Value k, Place place, Values)> block);
  void store(const ProductTile &tile, ArrayRef<Value> rows, const Values &sums);
  void storePair(const ProductTile &tile, Value row, int64_t at, const Values &sums);
  SmallVector<AffineExpr> tasks();
  int64_t groupCount() {
    return cast<MemRefType>(kernel.memory(first.offsets).getType()).getDimSize(0) - 1;
  }
  Value offset(Value group) { return b.toIndex(b.load(kernel.memory(first.offsets), {group})); }

  Kernel &kernel;
  KernelBuilder &b;
  ProductShape shape;
  const Product &first;
  ProductEpilogue epilogue;
  Value out, lane, warp;
  Value pipeline, floats; ///< the second fills the same stages, before parts are made
};

} // namespace

SmallVector<AffineExpr> ProductEmitter::tasks() {
  AffineExpr m = kernel.resultDim(0, first.outRow);
  int64_t each = shape.blocksOfN();
  if (!first.grouped())
    return {m.ceilDiv(ProductShape::rows) * (each * first.batch)};
  return {(m.floorDiv(ProductShape::rows) + groupCount()) * each, m * each};
}

/// Rows of group after group: a group's tiles follow those of the groups before it.
void ProductEmitter::forGroupTiles(Value nBlocks, OnTile onTile) {
  Type index = b.getIndexType();
  Value groups = b.index(groupCount()), one = b.index(1);
  auto tilesOf = [&](Value group) {
    return b.ceilDiv(b.sub(offset(b.add(group, 1)), offset(group)), ProductShape::rows);
  };
  Value t0 = b.add(kernel.begin, b.toIndex(hopper::BlockIdOp::create(b, b.getI32Type())));
  Value step = b.toIndex(hopper::BlockCountOp::create(b, b.getI32Type()));
  Values init{b.i32(0), b.i32(0), b.index(0), b.index(0)};
  auto loop = scf::ForOp::create(b, t0, kernel.end, step, init);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  auto carried = loop.getRegionIterArgs();
  Value t = loop.getInductionVar(), m = b.div(t, nBlocks);
  auto search = scf::WhileOp::create(
      b, TypeRange{index, index}, ValueRange{carried[2], carried[3]},
      [&](OpBuilder &, Location, ValueRange at) { // whether the tile is beyond this group
        Value within = b.min(at[0], b.index(groupCount() - 1));
        Value isBeyond = b.compare(arith::CmpIPredicate::sge, m, b.add(at[1], tilesOf(within)));
        Value isGroup = b.less(at[0], groups);
        scf::ConditionOp::create(b, arith::AndIOp::create(b, isGroup, isBeyond), at);
      },
      [&](OpBuilder &, Location, ValueRange at) {
        scf::YieldOp::create(b, ValueRange{b.add(at[0], one), b.add(at[1], tilesOf(at[0]))});
      });
  b.setInsertionPointAfter(search);
  Value group = search.getResult(0), before = search.getResult(1);
  Values next = b.choose(
      b.less(group, groups), TypeRange{b.getI32Type(), b.getI32Type()},
      [&]() -> Values {
        Value row = b.add(offset(group), b.mul(b.sub(m, before), ProductShape::rows));
        Value expert = groupCount() == first.batch ? group : b.rem(group, first.batch);
        ProductTile tile{row, offset(b.add(group, 1)), expert,
                         b.mul(b.rem(t, nBlocks), shape.columns)};
        Place place = onTile(tile, {carried[0], carried[1]});
        return {place.stage, place.phase};
      },
      [&]() -> Values {
        return {carried[0], carried[1]};
      });
  scf::YieldOp::create(b, ValueRange{next[0], next[1], group, before});
}

/// This block's tiles.
void ProductEmitter::forTiles(OnTile onTile) {
  Value nBlocks = b.index(shape.blocksOfN());
  if (first.grouped())
    return forGroupTiles(nBlocks, onTile);
  Value t0 = b.add(kernel.begin, b.toIndex(hopper::BlockIdOp::create(b, b.getI32Type())));
  Value step = b.toIndex(hopper::BlockCountOp::create(b, b.getI32Type()));
  auto loop = scf::ForOp::create(b, t0, kernel.end, step, ValueRange{b.i32(0), b.i32(0)});
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value t = loop.getInductionVar(), rest = b.div(t, nBlocks), batch;
  if (first.outBatch >= 0) {
    batch = b.rem(rest, first.batch);
    rest = b.div(rest, first.batch);
  }
  ProductTile tile{b.mul(rest, ProductShape::rows), b.dim(out, first.outRow), batch,
                   b.mul(b.rem(t, nBlocks), shape.columns)};
  Place place = onTile(tile, {loop.getRegionIterArgs()[0], loop.getRegionIterArgs()[1]});
  scf::YieldOp::create(b, ValueRange{place.stage, place.phase});
}

/// Loops over the blocks of K, a stage each.
ProductEmitter::Place
ProductEmitter::overK(Place place, Values &carried,
                      function_ref<Values(Value k, Place place, Values)> block) {
  Values init{place.stage, place.phase};
  init.append(carried);
  Values after =
      b.carry(b.index(0), b.index(shape.blocksOfK()), 1, init, [&](Value k, Values at) -> Values {
        Values next = block(k, {at[0], at[1]}, Values(at.begin() + 2, at.end()));
        auto advance =
            hopper::AdvanceOp::create(b, b.getI32Type(), b.getI32Type(), pipeline, at[0], at[1]);
        next.insert(next.begin(), {advance.getNextStage(), advance.getNextPhase()});
        return next;
      });
  carried.assign(after.begin() + 2, after.end());
  return {after[0], after[1]};
}

ProductEmitter::Place ProductEmitter::fill(StageLoads &loads, const ProductTile &tile, Place place,
                                           Value thread) {
  Values none;
  Value isFirst = b.equal(thread, b.index(0));
  return overK(place, none, [&](Value k, Place at, Values) -> Values {
    Value before = arith::XOrIOp::create(b, at.phase, b.i32(1));
    hopper::WaitOp::create(b, "empty", pipeline, at.stage, before);
    if (!loads.anyByThreads()) {
      loads.copy(pipeline, at.stage, tile, k, /*floats=*/false);
      return {};
    }
    if (loads.anyByHardware() || loads.anyFloats())
      b.when(isFirst, [&] {
        if (loads.anyByHardware())
          loads.copy(pipeline, at.stage, tile, k, /*floats=*/false);
        if (loads.anyFloats())
          loads.copy(floats, at.stage, tile, k, /*floats=*/true);
      });
    if (loads.anyFloats())
      hopper::WaitOp::create(b, "full", floats, at.stage, at.phase);
    loads.load(thread, at.stage, tile, k);
    hopper::FenceAsyncOp::create(b);
    hopper::ArriveOp::create(b, "full", pipeline, at.stage, Value());
    return {};
  });
}

/// For each product the scale of the upper and of the lower rows in block `k` of K.
SmallVector<Values> ProductEmitter::scalesOf(const ProductTile &tile, Value k,
                                             ArrayRef<Value> rows) {
  SmallVector<Values> scales;
  Value last = b.sub(tile.rowEnd, b.index(1)), tileOfK = b.index(0);
  if (first.blockK && first.blockK < first.k)
    tileOfK = b.div(k, first.blockK / shape.blockK());
  Values left;
  for (Value row : rows) {
    if (!first.leftScale)
      break;
    row = b.min(row, last);
    if (first.source)
      row = b.toIndex(b.load(kernel.memory(first.source), {row}));
    left.push_back(b.load(kernel.memory(first.leftScale), {row, tileOfK}));
  }
  for (const Product &p : shape.products) {
    Value n = p.blockN ? b.div(tile.column, p.blockN) : b.index(0);
    Value memory = kernel.memory(p.scale);
    Value right = b.load(memory, rightPlace(p, memory, n, tileOfK, tile.batch));
    scales.push_back(left.empty() ? Values{right, right}
                                  : Values{b.mulf(left[0], right), b.mulf(left[1], right)});
  }
  return scales;
}

/// The sums of this warpgroup's rows after a block of K, whose stage is free then.
Values ProductEmitter::sumsOfBlock(Value k, Place place, Value group, Values sums,
                                   ArrayRef<Values> scales) {
  Value base = arith::MulIOp::create(b, place.stage, b.i32(shape.stageBytes()));
  Value groupRows =
      arith::MulIOp::create(b, group, b.i32(ProductShape::groupRows * ProductShape::rowBytes));
  Value left = b.add(base, groupRows);
  Type element = shape.ofCodes ? Type(Float8E4M3FNType::get(b.getContext())) : b.getBF16Type();
  auto type = b.vectorOf(shape.numbers(), b.getF32Type());
  hopper::WaitOp::create(b, "full", pipeline, place.stage, place.phase);
  Values parts;
  for (unsigned q = 0; q < shape.products.size(); ++q) {
    Value part = shape.isPromoted() ? Value() : sums[q];
    for (auto [l, r] : shape.terms())
      part = hopper::MmaOp::create(
          b, hopper::PendingType::get(b.getContext()), b.add(left, b.i32(l * shape.leftBytes())),
          b.add(base, b.i32(shape.rightOffset(q) + r * shape.rightBytes())), part, element,
          shape.columns, shape.blockK());
    parts.push_back(part);
  }
  for (Value &part : parts)
    part = hopper::AwaitOp::create(b, type, part);
  b.when(b.equal(lane, b.i32(0)),
         [&] { hopper::ArriveOp::create(b, "empty", pipeline, place.stage, Value()); });
  if (shape.isPromoted())
    for (unsigned q = 0; q < parts.size(); ++q)
      parts[q] = hopper::PromoteOp::create(b, type, parts[q], sums[q], scales[q][0], scales[q][1]);
  return parts;
}

ProductEmitter::Place ProductEmitter::multiply(const ProductTile &tile, Place place, Value group) {
  // As hopper.mma gives a thread its sums: rows `upper` and 8 further down.
  Value inWarp = arith::ShRUIOp::create(b, lane, b.i32(2));
  Value warpRow = arith::MulIOp::create(b, arith::AndIOp::create(b, warp, b.i32(3)), b.i32(16));
  Value groupRow = arith::MulIOp::create(b, group, b.i32(ProductShape::groupRows));
  Value upper = b.add(tile.row, b.toIndex(b.add(groupRow, b.add(warpRow, inWarp))));
  Values rows{upper, b.add(upper, 8)};
  Values sums(shape.products.size(), b.zeros(b.vectorOf(shape.numbers(), b.getF32Type())));
  Place next = overK(place, sums, [&](Value k, Place at, Values sums) {
    SmallVector<Values> scales;
    if (shape.isPromoted())
      scales = scalesOf(tile, k, rows);
    return sumsOfBlock(k, at, group, sums, scales);
  });
  store(tile, rows, sums);
  return next;
}

/// The numbers `at` and at + 1 of each product's sums, which are side by side in `row`.
void ProductEmitter::storePair(const ProductTile &tile, Value row, int64_t at, const Values &sums) {
  Values pairs;
  for (Value sum : sums)
    pairs.push_back(vector::ShuffleOp::create(b, sum, sum, ArrayRef<int64_t>{at, at + 1}));
  Value inEight = arith::MulIOp::create(b, arith::AndIOp::create(b, lane, b.i32(3)), b.i32(2));
  Value column = b.add(b.add(tile.column, at / 4 * 8), b.toIndex(inEight));
  auto storeSome = [&](int64_t valid) {
    Value result = epilogue ? epilogue.apply(b, pairs, row, column, valid) : pairs[0];
    auto place = outPlace(first, out, row, column, tile.batch);
    if (valid == 2)
      vector::StoreOp::create(b, result, out, place, /*nontemporal=*/false,
                              llvm::MaybeAlign(first.n % 2 ? 4 : 8));
    else
      b.store(vector::ExtractOp::create(b, result, ArrayRef<int64_t>{0}), out, place);
  };
  Value size = b.index(first.n);
  if (first.n % shape.columns == 0)
    return storeSome(2);
  if (first.n % 2 == 0)
    return b.when(b.less(column, size), [&] { storeSome(2); });
  b.choose(
      b.less(b.add(column, 1), size), [&] { storeSome(2); },
      [&] { b.when(b.less(column, size), [&] { storeSome(1); }); });
}

void ProductEmitter::store(const ProductTile &tile, ArrayRef<Value> rows, const Values &sums) {
  for (auto [half, row] : llvm::enumerate(rows))
    b.when(b.less(row, tile.rowEnd), [&, half = half, row = row] {
      for (int64_t at = 0; at < shape.numbers(); at += 4)
        storePair(tile, row, at + 2 * half, sums);
    });
}

void ProductEmitter::emitRoles(StageLoads &loads) {
  // 384 threads leave 168 registers for each, which the roles share out.
  bool byThreads = loads.anyByThreads();
  auto role = [&](int64_t at, int64_t count, int64_t registers, bool fewer,
                  function_ref<void(Value)> body) {
    auto op = hopper::RoleOp::create(b, b.getI32IntegerAttr(at), b.getI32IntegerAttr(count),
                                     b.getI32IntegerAttr(registers),
                                     fewer ? b.getUnitAttr() : UnitAttr());
    OpBuilder::InsertionGuard guard(b);
    Block *block = b.createBlock(&op.getBody(), {}, b.getI32Type(), b.getLoc());
    body(block->getArgument(0));
  };
  role(ProductShape::consumers, 1, byThreads ? 120 : 40, true, [&](Value) {
    Value all = hopper::ThreadIdOp::create(b, b.getI32Type());
    Value thread =
        b.sub(b.toIndex(all), b.index(ProductShape::consumers * ProductShape::warpgroup));
    auto fillAll = [&] {
      forTiles(
          [&](const ProductTile &tile, Place place) { return fill(loads, tile, place, thread); });
    };
    if (byThreads)
      return fillAll();
    Value isFirst = b.equal(warp, b.i32(ProductShape::consumers * 4));
    b.when(isFirst, [&] { b.when(hopper::ElectOp::create(b, b.getI1Type()), fillAll); });
  });
  role(0, ProductShape::consumers, byThreads ? 192 : 232, false, [&](Value group) {
    forTiles([&](const ProductTile &tile, Place place) { return multiply(tile, place, group); });
  });
}

LogicalResult ProductEmitter::emit() {
  SmallVector<Value> needed;
  for (const Product &p : shape.products)
    for (Value v : {p.left, p.right, p.scale, p.leftScale, p.offsets, p.source})
      if (v)
        needed.push_back(v);
  if (failed(kernel.wantMemory(first.op, needed)))
    return failure();
  out = kernel.memory(kernel.tensors.getBody().front().getTerminator()->getOperand(0));
  StageLoads loads(kernel, shape);
  SmallVector<AffineExpr> counts = tasks();
  ArrayAttr maps = loads.addTensorMaps();
  lane = hopper::LaneIdOp::create(b, b.getI32Type());
  warp = hopper::WarpIdOp::create(b, b.getI32Type());
  // Each consumer's warps arrive when they have read a stage.
  auto makePipeline = [&](int64_t offset, int64_t full, int64_t empty) -> Value {
    return hopper::PipelineOp::create(b, hopper::PipelineType::get(b.getContext()), offset,
                                      shape.stages, full, empty);
  };
  pipeline = makePipeline(shape.barrierOffset(), loads.arrivals(), ProductShape::consumers * 4);
  if (loads.anyFloats())
    floats = makePipeline(shape.floatBarrierOffset(), 1, 1);
  Value thread = hopper::ThreadIdOp::create(b, b.getI32Type());
  b.when(b.equal(thread, b.i32(0)), [&] {
    hopper::InitPipelineOp::create(b, pipeline);
    if (floats)
      hopper::InitPipelineOp::create(b, floats);
  });
  hopper::BarrierOp::create(b, uint32_t(0), IntegerAttr());
  emitRoles(loads);
  kernel.finish(counts, /*scratchBytes=*/0);
  launchAsGrid(kernel.lowered, {.tier = "tensor",
                                .threads = ProductShape::threads,
                                .sharedBytes = shape.sharedBytes(),
                                .tensorMaps = maps,
                                .persistent = true,
                                .loadsByThreads = loads.anyByThreads()});
  return success();
}

LogicalResult hadal::lowerProduct(func::FuncOp f) {
  std::optional<ProductKernel> what = readKernel(f);
  if (!what)
    return f.emitError("no tensor kernel computes this product");
  // Vectors of two: a thread's sums lie in pairs.
  Kernel kernel(f, VectorShape{2, 6, 16});
  if (failed(ProductEmitter(kernel, *what).emit()))
    return failure();
  StringAttr name = f.getSymNameAttr();
  f.erase();
  kernel.lowered.setSymName(name);
  return success();
}
