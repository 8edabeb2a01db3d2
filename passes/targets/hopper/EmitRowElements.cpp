//===- EmitRowElements.cpp - ops of linalg over a row, and its quantizers --===//
//
// A block takes a row through all ops of the kernel, one after the other. What one op makes for
// another is a result of the kernel, or is in shared memory; rows that are summed are copied there
// first. Threads wait where an op reads what other threads have written.
//
//   element by element   four elements per thread, or as many as make one access of 16 bytes
//   sums inside the row  one warp for each (RowBlock::sumRow)
//   tiles of 1 x n       one warp for each: the largest number, then codes
//
//===----------------------------------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/ProductEpilogue.h"
#include "passes/targets/cpu/RowSum.h"
#include "passes/targets/hopper/EmitRows.h"
#include "passes/targets/hopper/GridKernel.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

//===----------------------------------------------------------------------===//
// Which kernels
//===----------------------------------------------------------------------===//

/// Elements of a row of `tensor`; 0 where only the run knows.
static int64_t rowElements(Value tensor) {
  int64_t elements = 1;
  for (int64_t size : cast<RankedTensorType>(tensor.getType()).getShape().drop_front())
    elements = ShapedType::isDynamic(size) ? 0 : elements * size;
  return elements;
}

/// True if each access of `op` to `v` is in the row that the outermost loop is at.
static bool readsRow(linalg::GenericOp op, OpOperand &operand) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  AffineExpr row = getAffineDimExpr(0, op.getContext());
  return map.getNumResults() && map.getResult(0) == row &&
         llvm::none_of(map.getResults().drop_front(),
                       [](AffineExpr e) { return e.isFunctionOfDim(0); });
}

static bool isConstantScalar(Value v) {
  return !isa<ShapedType>(v.getType()) && matchPattern(v, m_Constant());
}

/// True if `v` is an argument, or a view of one.
static bool hasMemory(Value v) {
  if (isa<BlockArgument>(v))
    return true;
  Operation *op = v.getDefiningOp();
  if (isa<tensor::ExtractSliceOp, tensor::ExpandShapeOp>(op))
    return hasMemory(op->getOperand(0));
  return isa<tensor::CollapseShapeOp>(op) && isa<BlockArgument>(op->getOperand(0));
}

/// True if threads can load elements of `v` as they are.
static bool hasPlainElements(Value v) {
  Type element = getElementTypeOrSelf(v.getType());
  return storageType(element) == element && element.isIntOrFloat() &&
         element.getIntOrFloatBitWidth() >= 8;
}

/// True if payloads run on vectors, but for elements that are taken from a tensor.
static bool hasPlainPayload(linalg::GenericOp op) {
  for (Operation &inner : *op.getBody()) {
    bool isElement =
        isa<tensor::ExtractOp, linalg::IndexOp, arith::ConstantOp, linalg::YieldOp>(inner) ||
        (OpTrait::hasElementwiseMappableTraits(&inner) && inner.getNumResults() == 1);
    if (!isElement)
      return false;
    for (Value v : inner.getOperands())
      if (v.getParentBlock() != op.getBody() && !isConstantScalar(v) &&
          !(isa<tensor::ExtractOp>(inner) && hasMemory(v) && hasPlainElements(v)))
        return false;
  }
  return true;
}

static bool canEmit(linalg::GenericOp op) {
  auto iterators = op.getIteratorTypesArray();
  if (op.getNumLoops() < 2 || iterators[0] != utils::IteratorType::parallel ||
      !hasPlainPayload(op) || matchProduct(op) || standsAlone(op))
    return false;
  bool isSum = op.getNumReductionLoops() > 0;
  if (isSum && !isRowSum(cast<linalg::LinalgOp>(op.getOperation())))
    return false;
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  if (llvm::any_of(ArrayRef(sizes).drop_front(), ShapedType::isDynamic))
    return false;
  for (OpOperand &init : op.getDpsInitsMutable()) {
    auto type = dyn_cast<RankedTensorType>(init.get().getType());
    if (!type || !readsRow(op, init) || !hasPlainElements(init.get()) ||
        (isSum && !type.getElementType().isF32()) || (isSum && !filledWith(init.get())))
      return false;
  }
  return llvm::all_of(op.getDpsInputOperands(), [&](OpOperand *operand) {
    Value v = operand->get();
    if (!isa<RankedTensorType>(v.getType()))
      return isConstantScalar(v);
    if (!hasPlainElements(v))
      return false;
    bool isMade = isa_and_nonnull<linalg::GenericOp>(v.getDefiningOp());
    return isMade ? readsRow(op, *operand) : bool(filledWith(v)) || hasMemory(v);
  });
}

static bool canEmit(fp8::QuantizeOp op) {
  return op.getBlock()[0] == 1 && op.codeFormat() != fp8::Format::E5M6 && !op.getOffsets() &&
         op.getX().getType().getRank() == 2 &&
         (op.getX().getDefiningOp<linalg::GenericOp>() || hasMemory(op.getX()));
}

static bool isResult(func::FuncOp f, Value v) {
  return llvm::is_contained(f.getBody().front().getTerminator()->getOperands(), v);
}

/// Bytes of a row that lies in shared memory, at most.
static int64_t sharedBytesOf(func::FuncOp f) {
  int64_t bytes = 0;
  for (auto generic : f.getOps<linalg::GenericOp>()) {
    for (Value made : generic.getResults())
      if (!isResult(f, made))
        bytes += llvm::alignTo(rowElements(made) * 4, 16);
    if (generic.getNumReductionLoops())
      for (OpOperand *operand : generic.getDpsInputOperands())
        if (isa<RankedTensorType>(operand->get().getType()))
          bytes += llvm::alignTo(rowElements(operand->get()) * 4, 16);
  }
  return bytes;
}

bool hadal::canLowerRowElements(func::FuncOp f) {
  bool any = false;
  for (Operation &op : f.getBody().front().without_terminator()) {
    if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      if (!canEmit(generic))
        return false;
      for (Value made : generic.getResults())
        if (!rowElements(made) || (!isResult(f, made) && !getElementTypeOrSelf(made).isF32()))
          return false;
      any = true;
    } else if (auto quantize = dyn_cast<fp8::QuantizeOp>(op)) {
      if (!canEmit(quantize))
        return false;
      any = true;
    } else if (!isa<tensor::EmptyOp, tensor::DimOp, tensor::ExtractSliceOp, tensor::ExpandShapeOp,
                    tensor::CollapseShapeOp, arith::ConstantOp, linalg::FillOp>(op)) {
      return false;
    }
  }
  // Results are made by these ops, and rows of equal number.
  for (Value v : f.getBody().front().getTerminator()->getOperands())
    any &= isa_and_nonnull<linalg::GenericOp, fp8::QuantizeOp>(v.getDefiningOp());
  return any && sharedBytesOf(f) <= kMostSharedBytes;
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

namespace {

class RowElements {
public:
  RowElements(Kernel &kernel, int64_t width) : kernel(kernel), block(kernel, width), b(kernel.b) {}

  LogicalResult emit();

private:
  /// Where a row is: in memory, or in shared memory from a byte on.
  struct Place {
    Value memory;
    int64_t shared = -1;
    SmallVector<int64_t> sizes; ///< of the row, in shared memory
  };
  /// Who wrote which elements of a row: threads in turn, `lanes` at a time; 0: unknown.
  struct Pattern {
    int64_t count = 0, lanes = 0;
    bool operator==(const Pattern &p) const { return count == p.count && lanes == p.lanes; }
  };

  LogicalResult wantPlaces(Operation &op);
  Place placeOf(Value v);
  Place share(Value v);
  SmallVector<Place> placesFor(linalg::GenericOp op);
  void awaitWritten(ValueRange read, Pattern pattern);
  void wrote(ValueRange made, Pattern pattern);
  Value load(const Place &place, ArrayRef<Value> at, int64_t lanes, Type element);
  void store(Value v, const Place &place, ArrayRef<Value> at);
  Value elementIn(const Place &place, ArrayRef<Value> at);

  void emitElements(linalg::GenericOp op);
  void emitSums(linalg::GenericOp op);
  void emitQuantizer(fp8::QuantizeOp op);
  void copyToShared(Value v);

  int64_t lanesOf(linalg::GenericOp op);
  Value read(linalg::GenericOp op, OpOperand &operand, ArrayRef<Value> at, int64_t lanes);
  void payload(linalg::GenericOp op, IRMapping &map, ArrayRef<Value> at, int64_t lanes);

  Kernel &kernel;
  RowBlock block;
  KernelBuilder &b;
  DenseMap<Value, Place> shared;
  DenseMap<Value, Pattern> written; ///< since the last barrier
};

} // namespace

/// Gives views that `op` reads their memory here, before the loops that it is read in.
LogicalResult RowElements::wantPlaces(Operation &op) {
  SmallVector<Value> inMemory;
  auto add = [&](Value v) {
    if (!shared.contains(v) && !filledWith(v))
      inMemory.push_back(v);
  };
  if (auto quantize = dyn_cast<fp8::QuantizeOp>(op))
    add(quantize.getX());
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    llvm::for_each(generic.getDpsInputs(), add);
    for (auto extract : generic.getBody()->getOps<tensor::ExtractOp>())
      add(extract.getTensor());
  }
  return kernel.wantMemory(&op, inMemory);
}

RowElements::Place RowElements::placeOf(Value v) {
  auto found = shared.find(v);
  return found == shared.end() ? Place{kernel.memory(v), -1, {}} : found->second;
}

/// Takes shared memory for a row of `v`, in f32.
RowElements::Place RowElements::share(Value v) {
  auto sizes = cast<RankedTensorType>(v.getType()).getShape().drop_front();
  return shared[v] = {{}, block.share(rowElements(v) * 4), llvm::to_vector(sizes)};
}

/// Where the results of `op` go: those of the kernel to their memory.
SmallVector<RowElements::Place> RowElements::placesFor(linalg::GenericOp op) {
  SmallVector<Place> places;
  for (Value made : op.getResults())
    places.push_back(isResult(kernel.tensors, made) ? placeOf(made) : share(made));
  return places;
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

void RowElements::awaitWritten(ValueRange read, Pattern pattern) {
  bool isOthers = llvm::any_of(read, [&](Value v) {
    auto found = written.find(v);
    return found != written.end() && (!pattern.lanes || !(found->second == pattern));
  });
  if (!isOthers)
    return;
  block.barrier();
  written.clear();
}

void RowElements::wrote(ValueRange made, Pattern pattern) {
  for (Value v : made)
    written[v] = pattern;
}

Value RowElements::elementIn(const Place &place, ArrayRef<Value> at) {
  Value element = b.index(0);
  for (auto [size, index] : llvm::zip_equal(place.sizes, at.drop_front()))
    element = b.add(b.mul(element, size), index);
  return element;
}

Value RowElements::load(const Place &place, ArrayRef<Value> at, int64_t lanes, Type element) {
  if (place.memory)
    return block.load(place.memory, at, lanes);
  return block.loadShared(place.shared, elementIn(place, at), b.vectorOf(lanes, element));
}

void RowElements::store(Value v, const Place &place, ArrayRef<Value> at) {
  if (place.memory)
    return block.store(v, place.memory, at);
  block.storeShared(v, place.shared, elementIn(place, at));
}

/// A sum's row, which threads copy as wide as they can; then a warp reads it number by number.
void RowElements::copyToShared(Value v) {
  auto type = cast<RankedTensorType>(v.getType());
  int64_t count = rowElements(v);
  Place from = placeOf(v);
  if (!from.memory || !type.getElementType().isF32() || type.getRank() != 2 || count % 4 ||
      written.contains(v))
    return;
  Place to = share(v);
  block.places(count / 4, 4, [&](Value at) {
    store(load(from, {block.row, at}, 4, b.getF32Type()), to, {block.row, at});
  });
  wrote(v, {count / 4, 4});
}

//===----------------------------------------------------------------------===//
// Payloads
//===----------------------------------------------------------------------===//

/// True if `v`, of the payload, is the same for all of the last loop.
static bool isFixed(linalg::GenericOp op, Value v, unsigned last) {
  if (auto argument = dyn_cast<BlockArgument>(v))
    return argument.getOwner() != op.getBody() ||
           !op.getMatchingIndexingMap(op.getMatchingOpOperand(argument)).isFunctionOfDim(last);
  Operation *maker = v.getDefiningOp();
  if (maker->getBlock() != op.getBody())
    return true;
  if (auto index = dyn_cast<linalg::IndexOp>(maker))
    return index.getDim() != last;
  return llvm::all_of(maker->getOperands(), [&](Value o) { return isFixed(op, o, last); });
}

/// How many elements a thread takes at a time.
int64_t RowElements::lanesOf(linalg::GenericOp op) {
  unsigned last = op.getNumLoops() - 1;
  if (op.getStaticLoopRanges()[last] % 4)
    return 1;
  for (OpOperand &init : op.getDpsInitsMutable())
    if (!isAlongLoop(op.getMatchingIndexingMap(&init), last))
      return 1;
  // Elements of a tensor are next to each other where its last index is the loop.
  for (auto extract : op.getBody()->getOps<tensor::ExtractOp>()) {
    auto index = extract.getIndices().empty()
                     ? linalg::IndexOp()
                     : extract.getIndices().back().getDefiningOp<linalg::IndexOp>();
    bool isNext = index && index.getDim() == last &&
                  llvm::all_of(extract.getIndices().drop_back(),
                               [&](Value v) { return isFixed(op, v, last); });
    if (!isNext)
      return 1;
  }
  return 4;
}

Value RowElements::read(linalg::GenericOp op, OpOperand &operand, ArrayRef<Value> at,
                        int64_t lanes) {
  Value v = operand.get();
  if (!isa<RankedTensorType>(v.getType()))
    return b.splat(b.clone(*v.getDefiningOp())->getResult(0), lanes);
  if (Value constant = filledWith(v))
    return b.splat(b.clone(*constant.getDefiningOp())->getResult(0), lanes);
  AffineMap map = op.getMatchingIndexingMap(&operand);
  Type element = storageType(getElementTypeOrSelf(v.getType()));
  Place place = placeOf(v);
  unsigned last = op.getNumLoops() - 1;
  if (lanes == 1 || isAlongLoop(map, last))
    return load(place, indicesAt(b, map, at), lanes, element);
  auto one = [&](ArrayRef<Value> at) -> Value {
    return vector::ExtractOp::create(b, load(place, indicesAt(b, map, at), 1, element), 0);
  };
  if (!map.isFunctionOfDim(last))
    return b.splat(one(at), lanes);
  Values elements, here(at);
  for (int64_t lane = 0; lane < lanes; ++lane) {
    here[last] = b.add(at[last], lane);
    elements.push_back(one(here));
  }
  return vector::FromElementsOp::create(b, b.vectorOf(lanes, element), elements);
}

/// Clones it on vectors of the last loop. `map` has its arguments, and afterwards what it yields.
void RowElements::payload(linalg::GenericOp op, IRMapping &map, ArrayRef<Value> at, int64_t lanes) {
  unsigned last = op.getNumLoops() - 1;
  clonePayload(b, op, map, lanes, [&](Operation &inner) -> Value {
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      Value v = b.splat(at[index.getDim()], lanes);
      return index.getDim() == last && lanes > 1
                 ? b.add(v, vector::StepOp::create(b, b.vectorOf(lanes, b.getIndexType())))
                 : v;
    }
    auto extract = dyn_cast<tensor::ExtractOp>(inner);
    if (!extract)
      return {};
    Values place;
    for (Value v : extract.getIndices())
      place.push_back(vector::ExtractOp::create(b, map.lookup(v), 0));
    return block.load(kernel.memory(extract.getTensor()), place, lanes);
  });
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

/// The loops after the first one at element `at` of them all.
static Values loopsAt(RowBlock &block, ArrayRef<int64_t> sizes, Value at) {
  KernelBuilder &b = block.b;
  Values loops(sizes.size() + 1, block.row);
  for (size_t d = sizes.size(); d; --d) {
    loops[d] = d > 1 ? b.rem(at, sizes[d - 1]) : at;
    if (d > 1)
      at = b.div(at, sizes[d - 1]);
  }
  return loops;
}

void RowElements::emitElements(linalg::GenericOp op) {
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  int64_t lanes = lanesOf(op), count = 1;
  for (int64_t size : ArrayRef(sizes).drop_front())
    count *= size;
  Pattern pattern{count / lanes, lanes};
  awaitWritten(op->getOperands(), pattern);
  SmallVector<Place> places = placesFor(op);
  block.places(count / lanes, lanes, [&](Value element) {
    Values at = loopsAt(block, ArrayRef(sizes).drop_front(), element);
    IRMapping map;
    for (OpOperand &operand : op->getOpOperands()) {
      BlockArgument argument = op.getMatchingBlockArgument(&operand);
      if (!argument.use_empty())
        map.map(argument, read(op, operand, at, lanes));
    }
    payload(op, map, at, lanes);
    for (auto [made, init, place] :
         llvm::zip(op.getBody()->getTerminator()->getOperands(), op.getDpsInitsMutable(), places))
      store(map.lookup(made), place, indicesAt(b, op.getMatchingIndexingMap(&init), at));
  });
  wrote(op.getResults(), pattern);
}

void RowElements::emitSums(linalg::GenericOp op) {
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  unsigned parallel = op.getNumParallelLoops(), last = op.getNumLoops() - 1;
  for (OpOperand *operand : op.getDpsInputOperands())
    if (isa<RankedTensorType>(operand->get().getType()) && readsRow(op, *operand) &&
        op.getMatchingIndexingMap(operand).isIdentity())
      copyToShared(operand->get());
  awaitWritten(op->getOperands(), {});
  int64_t sums = 1;
  for (int64_t size : ArrayRef(sizes).slice(1, parallel - 1))
    sums *= size;
  SmallVector<Place> places = placesFor(op);
  // One warp, one number of the row.
  auto sumOne = [&](Value number) {
    Values at = loopsAt(block, ArrayRef(sizes).slice(1, parallel - 1), number);
    at.resize(op.getNumLoops(), b.index(0));
    Values partials(op.getNumDpsInits(), b.f32(0));
    std::function<Values(unsigned, Values)> add = [&](unsigned loop, Values partials) {
      bool isLast = loop == last;
      return b.carry(isLast ? block.lane : b.index(0), b.index(sizes[loop]), isLast ? 32 : 1,
                     partials, [&](Value i, Values partials) {
                       at[loop] = i;
                       if (!isLast)
                         return add(loop + 1, partials);
                       IRMapping map;
                       for (OpOperand *operand : op.getDpsInputOperands())
                         map.map(op.getMatchingBlockArgument(operand), read(op, *operand, at, 1));
                       for (auto [argument, sum] : llvm::zip(op.getRegionOutputArgs(), partials))
                         map.map(argument, b.splat(sum, 1));
                       payload(op, map, at, 1);
                       Values next;
                       for (Value v : op.getBody()->getTerminator()->getOperands())
                         next.push_back(vector::ExtractOp::create(b, map.lookup(v), 0));
                       return next;
                     });
    };
    partials = add(parallel, partials);
    for (Value &sum : partials)
      sum = block.acrossLanes(sum, [&](Value a, Value c) { return b.addf(a, c); });
    b.when(b.equal(block.lane, b.index(0)), [&] {
      for (auto [sum, init, place] : llvm::zip(partials, op.getDpsInitsMutable(), places)) {
        Value start = b.clone(*filledWith(init.get()).getDefiningOp())->getResult(0);
        store(b.splat(b.addf(start, sum), 1), place,
              indicesAt(b, op.getMatchingIndexingMap(&init), at));
      }
    });
  };
  block.byWarps(b.index(sums), sumOne);
  wrote(op.getResults(), {});
}

void RowElements::emitQuantizer(fp8::QuantizeOp op) {
  Place x = placeOf(op.getX()), q = placeOf(op.getQ()), scale = placeOf(op.getScale());
  int64_t columns = op.getX().getType().getDimSize(1), width = op.getBlock()[1];
  if (width == 0 || width > columns)
    width = columns;
  int64_t lanes = columns % 4 || width % 4 ? 1 : 4, step = 32 * lanes;
  // Where a tile is what a warp takes at a time, a thread reads what it wrote itself.
  bool isOwn = lanes == 4 && width == 128 && columns % width == 0;
  awaitWritten(op.getX(), isOwn ? Pattern{columns / lanes, lanes} : Pattern());
  Type element = op.getX().getType().getElementType();
  fp8::Format format = op.codeFormat();
  auto number = [&](Value column) { return b.widen(load(x, {block.row, column}, lanes, element)); };
  block.byWarps(b.index(llvm::divideCeil(columns, width)), [&](Value tile) {
    Value first = b.mul(tile, width), end = b.min(b.add(first, width), b.index(columns));
    Value mine = b.add(first, b.mul(block.lane, lanes)), last = b.sub(end, b.index(lanes));
    // Lanes past the end look at the last numbers once more.
    Value most =
        b.carry(b.index(0), b.index(width), step, {b.zeros(b.vectorOf(lanes, b.getI32Type()))},
                [&](Value at, Values most) -> Values {
                  return {largerBits(b, most[0], number(b.min(b.add(mine, at), last)))};
                })[0];
    Value amax = vector::ExtractOp::create(b, most, 0);
    for (int64_t i = 1; i < lanes; ++i)
      amax = b.max(amax, vector::ExtractOp::create(b, most, i));
    amax = block.acrossLanes(amax, [&](Value a, Value c) { return b.max(a, c); });
    Value found = scaleOf(b, amax, format, op.getPow2());
    b.when(b.equal(block.lane, b.index(0)), [&] {
      b.store(found, scale.memory, {block.row, tile});
    });
    Value divisor = b.splat(divisorOf(b, found, op.getPow2()), lanes);
    auto encodeTile = [&](bool isFinite) {
      b.loop(0, width, step, [&](Value at) {
        Value column = b.add(mine, at);
        b.when(b.less(column, end), [&] {
          Value codes = encode(b, number(column), divisor, format, op.getPow2(), isFinite);
          store(arith::TruncIOp::create(b, b.vectorOf(lanes, b.getI8Type()), codes), q,
                {block.row, column});
        });
      });
    };
    b.choose(
        b.less(amax, b.i32(0x7f800000)), [&] { encodeTile(true); }, [&] { encodeTile(false); });
  });
}

LogicalResult RowElements::emit() {
  for (Operation &op : kernel.tensors.getBody().front().without_terminator()) {
    if (failed(wantPlaces(op)))
      return failure();
    if (auto quantize = dyn_cast<fp8::QuantizeOp>(op))
      emitQuantizer(quantize);
    if (auto generic = dyn_cast<linalg::GenericOp>(op))
      generic.getNumReductionLoops() ? emitSums(generic) : emitElements(generic);
  }
  block.finish(kernel.resultDim(0, 0));
  return success();
}

LogicalResult hadal::emitRowElements(Kernel &kernel) {
  int64_t width = 1;
  for (Operation &op : kernel.tensors.getBody().front().without_terminator()) {
    if (auto generic = dyn_cast<linalg::GenericOp>(op))
      for (OpOperand &operand : generic->getOpOperands())
        if (isa<RankedTensorType>(operand.get().getType()) && readsRow(generic, operand))
          width = std::max(width, rowElements(operand.get()));
    if (auto quantize = dyn_cast<fp8::QuantizeOp>(op))
      width = std::max(width, rowElements(quantize.getX()));
  }
  return RowElements(kernel, width).emit();
}
