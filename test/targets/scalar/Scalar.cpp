//===- Scalar.cpp - a target of one lane -----------------------------------===//
//
// What a target needs, and nothing more: every tensor lies as stored, every op has a kernel of its
// own, a kernel is one task of plain loops, one element after the other. Nothing outside this
// folder knows of it; it adds itself to the table of targets (registerScalar). Sums have the order
// that passes/README.md gives them, written out anew: its bits are those of every other target.
//
// Its loops run on the host: the code of kernels on memory is the host target's, found by name.
// So are the kernels of ops that hold no tensor but as stored (routing and its combination,
// sampling, gradients), which every target of this machine may lower.
//
//===------------------------------------------------------------------------===//

#include "test/targets/scalar/Scalar.h"
#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/targets/Target.h"
#include "runtime/module/Module_generated.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;

namespace {

/// Loops over memory.
struct Loops : public ImplicitLocOpBuilder {
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  Value index(int64_t v) { return arith::ConstantIndexOp::create(*this, v); }
  Value f32(float v) { return arith::ConstantOp::create(*this, getF32FloatAttr(v)); }
  Value add(Value a, Value b) { return arith::AddIOp::create(*this, a, b); }
  Value add(Value a, int64_t b) { return add(a, index(b)); }
  Value addf(Value a, Value b) { return arith::AddFOp::create(*this, a, b); }
  Value subf(Value a, Value b) { return arith::SubFOp::create(*this, a, b); }
  Value mulf(Value a, Value b) { return arith::MulFOp::create(*this, a, b); }
  Value size(Value memory, int64_t d) { return memref::DimOp::create(*this, memory, d); }
  /// An f32, or a number of a row or of an expert.
  Value load(Value memory, ValueRange at) {
    Value v = memref::LoadOp::create(*this, memory, at);
    if (v.getType().isInteger())
      return arith::IndexCastOp::create(*this, getIndexType(), v);
    return v.getType().isF32() ? v : arith::ExtFOp::create(*this, getF32Type(), v).getResult();
  }
  void store(Value v, Value memory, ValueRange at) {
    memref::StoreOp::create(*this, v, memory, at);
  }
  Value fma(Value x, Value y, Value sum) { return math::FmaOp::create(*this, x, y, sum); }
  Value maxf(Value a, Value b) { return arith::MaximumFOp::create(*this, a, b); }
  Value exp(Value v) { return math::ExpOp::create(*this, v); }
  void loop(Value from, Value to, function_ref<void(Value)> body) {
    auto op = scf::ForOp::create(*this, from, to, index(1));
    InsertionGuard guard(*this);
    setInsertionPointToStart(op.getBody());
    body(op.getInductionVar());
  }
  void loop(Value count, function_ref<void(Value)> body) { loop(index(0), count, body); }
  void loop(Value memory, int64_t d, function_ref<void(Value)> body) {
    loop(size(memory, d), body);
  }
  using Values = SmallVector<Value>;
  Values carry(Value from, Value to, int64_t step, Values first,
               function_ref<Values(Value i, ValueRange sofar)> next) {
    auto op = scf::ForOp::create(*this, from, to, index(step), first);
    InsertionGuard guard(*this);
    setInsertionPointToStart(op.getBody());
    scf::YieldOp::create(*this, next(op.getInductionVar(), op.getRegionIterArgs()));
    return Values(op.getResults());
  }
  Value fold(Value from, Value to, Value first, function_ref<Value(Value i, Value sofar)> next) {
    return carry(from, to, 1, {first},
                 [&](Value i, ValueRange sofar) { return Values{next(i, sofar[0])}; })[0];
  }
  /// A product's sum goes on: each pair of factors is multiplied and added at once.
  Value chain(Value count, Value first, function_ref<std::pair<Value, Value>(Value)> factors) {
    return fold(index(0), count, first, [&](Value i, Value sofar) {
      auto [x, y] = factors(i);
      return fma(x, y, sofar);
    });
  }

  /// Memory for 32 numbers.
  Value partialSums(Type element) {
    InsertionGuard guard(*this);
    Operation *owner = getInsertionBlock()->getParentOp();
    auto f = isa<func::FuncOp>(owner) ? cast<func::FuncOp>(owner)
                                      : owner->getParentOfType<func::FuncOp>();
    setInsertionPointToStart(&f.getBody().front());
    return memref::AllocaOp::create(*this, MemRefType::get({32}, element));
  }
  void clear(Value partials) {
    Value zero = arith::ConstantOp::create(
        *this, getZeroAttr(cast<MemRefType>(partials.getType()).getElementType()));
    loop(index(32), [&](Value j) { store(zero, partials, {j}); });
  }
  void addTo(Value partials, Value j, Value term) {
    store(addf(memref::LoadOp::create(*this, partials, j), term), partials, {j});
  }
  /// The tree over partial sums.
  Value halve(Value partials) {
    for (int64_t half = 16; half; half /= 2)
      loop(index(half), [&](Value j) {
        addTo(partials, j, memref::LoadOp::create(*this, partials, add(j, half)));
      });
    return memref::LoadOp::create(*this, partials, index(0));
  }
  Value rowSum(Value from, Value to, function_ref<Value(Value)> term) {
    Value partials = partialSums(getF32Type()), all = index(32);
    clear(partials);
    loop(from, to, [&](Value i) {
      Value j = arith::RemUIOp::create(*this, arith::SubIOp::create(*this, i, from), all);
      addTo(partials, j, term(i));
    });
    return halve(partials);
  }

  /// Sums values weighted by the softmax of scores from `from` to `to`, 64 at a time under the
  /// largest score so far. The scores are computed as often as they are needed. Returns the
  /// logarithm of the sum of their exponentials. `sumWeights` adds a block's weights to a sum.
  Value attend(Value from, Value to, Value count, function_ref<Value(Value)> score,
               function_ref<Value(Value s, Value i)> value,
               function_ref<Value(Value first, Value last, Value sum, function_ref<Value(Value)>)>
                   sumWeights,
               function_ref<void(Value, Value i)> store) {
    auto walk = [&](Value i) {
      return carry(from, to, 64, {f32(-INFINITY), f32(0), f32(0)}, [&](Value first, ValueRange so) {
        Value last = arith::MinSIOp::create(*this, add(first, 64), to);
        Value most = fold(first, last, so[0], [&](Value s, Value m) { return maxf(m, score(s)); });
        Value factor = exp(subf(so[0], most));
        auto weight = [&](Value s) { return exp(subf(score(s), most)); };
        Value total = sumWeights(first, last, mulf(so[1], factor), weight);
        Value sum = fold(first, last, mulf(so[2], factor),
                         [&](Value s, Value sum) { return fma(weight(s), value(s, i), sum); });
        return Values{most, total, sum};
      });
    };
    loop(count, [&](Value i) {
      Values found = walk(i);
      store(arith::DivFOp::create(*this, found[2], found[1]), i);
    });
    Values found = walk(index(0));
    return addf(found[0], math::LogOp::create(*this, found[1]));
  }
};

/// The memory of a tensor of the kernel, read alone.
using MemoryOf = function_ref<Value(Value)>;

void emit(Loops &b, mla::AttentionOp op, MemoryOf memory, ValueRange out) {
  Value qNope = memory(op.getQNope()), qRope = memory(op.getQRope()), kNope = memory(op.getKNope()),
        kRope = memory(op.getKRope()), v = memory(op.getV()), offsets = memory(op.getOffsets());
  Value scale = b.f32(op.getScale().convertToFloat());
  b.loop(b.add(b.size(offsets, 0), -1), [&](Value sequence) {
    Value first = b.load(offsets, {sequence}), last = b.load(offsets, {b.add(sequence, 1)});
    b.loop(first, last, [&](Value t) {
      b.loop(qNope, 1, [&](Value h) {
        auto score = [&](Value s) {
          Value nope = b.chain(b.size(qNope, 2), b.f32(0), [&](Value i) {
            return std::pair(b.load(qNope, {t, h, i}), b.load(kNope, {s, h, i}));
          });
          Value both = b.chain(b.size(qRope, 2), nope, [&](Value i) {
            return std::pair(b.load(qRope, {t, h, i}), b.load(kRope, {s, i}));
          });
          return b.mulf(both, scale);
        };
        Value lse = b.attend(
            first, b.add(t, 1), b.size(v, 2), score,
            [&](Value s, Value i) {
              return b.load(v, {s, h, i});
            },
            [&](Value from, Value to, Value sum, function_ref<Value(Value)> weight) {
              return b.addf(sum, b.rowSum(from, to, weight));
            },
            [&](Value x, Value i) {
              b.store(x, out[0], {t, h, i});
            });
        if (op.getLse())
          b.store(lse, out[1], {t, h});
      });
    });
  });
}

void emit(Loops &b, mla::LatentAttentionOp op, MemoryOf memory, ValueRange out) {
  Value latent = memory(op.getQLatent()), rope = memory(op.getQRope()),
        cache = memory(op.getCache()), pages = memory(op.getPageTable()),
        positions = memory(op.getPositions());
  Value scale = b.f32(op.getScale().convertToFloat()), page = b.index(op.getPageTokens());
  b.loop(latent, 0, [&](Value token) {
    Value sequence = token;
    if (op.getOffsets()) { // how many sequences after the first begin at or before the token
      Value offsets = memory(op.getOffsets()), one = b.index(1);
      Value last = arith::SubIOp::create(b, b.size(offsets, 0), one);
      auto count = scf::ForOp::create(
          b, one, last, one, ValueRange{b.index(0)},
          [&](OpBuilder &inner, Location loc, Value i, ValueRange before) {
            Value begin = arith::IndexCastOp::create(
                inner, loc, inner.getIndexType(),
                memref::LoadOp::create(inner, loc, offsets, ValueRange{i}));
            Value here = arith::CmpIOp::create(inner, loc, arith::CmpIPredicate::sle, begin, token);
            Value next = arith::AddIOp::create(inner, loc, before[0], one);
            scf::YieldOp::create(
                inner, loc, arith::SelectOp::create(inner, loc, here, next, before[0]).getResult());
          });
      sequence = count.getResult(0);
    }
    auto rowOf = [&](Value q) {
      Value at = b.load(pages, {sequence, arith::DivUIOp::create(b, q, page)});
      return b.add(arith::MulIOp::create(b, at, page), arith::RemUIOp::create(b, q, page));
    };
    b.loop(latent, 1, [&](Value h) {
      auto score = [&](Value q) {
        Value row = rowOf(q), rank = b.size(latent, 2);
        Value ofLatent = b.chain(rank, b.f32(0), [&](Value i) {
          return std::pair(b.load(latent, {token, h, i}), b.load(cache, {row, i}));
        });
        Value both = b.chain(b.size(rope, 2), ofLatent, [&](Value i) {
          return std::pair(b.load(rope, {token, h, i}), b.load(cache, {row, b.add(rank, i)}));
        });
        return b.mulf(both, scale);
      };
      b.attend(
          b.index(0), b.add(b.load(positions, {token}), 1), b.size(latent, 2), score,
          [&](Value q, Value i) {
            return b.load(cache, {rowOf(q), i});
          },
          [&](Value from, Value to, Value sum, function_ref<Value(Value)> weight) {
            return b.fold(from, to, sum,
                          [&](Value q, Value sofar) { return b.addf(sofar, weight(q)); });
          },
          [&](Value x, Value i) {
            b.store(x, out[0], {token, h, i});
          });
    });
  });
}

void emit(Loops &b, mla::CacheAppendOp op, MemoryOf memory, ValueRange out) {
  Value latent = memory(op.getCkv()), rope = memory(op.getKRope()), slots = memory(op.getSlots());
  b.loop(slots, 0, [&](Value t) {
    Value slot = b.load(slots, {t}), rank = b.size(latent, 1);
    b.loop(rank, [&](Value i) { b.store(b.load(latent, {t, i}), out[0], {slot, i}); });
    b.loop(rope, 1, [&](Value i) {
      b.store(b.load(rope, {t, i}), out[0], {slot, b.add(rank, i)});
    });
  });
}

void emit(Loops &b, moe::DispatchOp op, MemoryOf memory, ValueRange out) {
  Value x = memory(op.getX()), source = memory(op.getSource());
  b.loop(source, 0, [&](Value row) {
    Value token = b.load(source, {row});
    b.loop(x, 1, [&](Value i) { b.store(b.load(x, {token, i}), out[0], {row, i}); });
  });
}

void emit(Loops &b, moe::GroupedMatmulOp op, MemoryOf memory, ValueRange out) {
  Value rows = memory(op.getRows()), weights = memory(op.getWeights()),
        offsets = memory(op.getOffsets()),
        source = op.getSource() ? memory(op.getSource()) : Value();
  bool transposed = op.getTranspose();
  b.loop(b.add(b.size(offsets, 0), -1), [&](Value group) {
    Value expert = arith::RemUIOp::create(b, group, b.size(weights, 0));
    b.loop(b.load(offsets, {group}), b.load(offsets, {b.add(group, 1)}), [&](Value row) {
      Value left = source ? b.load(source, {row}) : row;
      b.loop(out[0], 1, [&](Value n) {
        Value sum = b.chain(b.size(rows, 1), b.f32(0), [&](Value k) {
          Value weight =
              b.load(weights, transposed ? ValueRange{expert, k, n} : ValueRange{expert, n, k});
          return std::pair(b.load(rows, {left, k}), weight);
        });
        b.store(sum, out[0], {row, n});
      });
    });
  });
}

/// True if the graph leaves the order of a sum to the target: a row's.
bool isRowSum(linalg::LinalgOp op) {
  auto sum = op.getBlock()->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  return sum && bitEnumContainsAll(sum.getFastmath(), arith::FastMathFlags::reassoc);
}

/// Such an op on memory in loops: those over rows, then one over the row.
void emitRowSum(Loops &b, linalg::GenericOp op) {
  auto ranges = cast<linalg::LinalgOp>(op.getOperation()).createLoopRanges(b, op.getLoc());
  Loops::Values sizes, at, partials;
  for (Range range : ranges)
    sizes.push_back(getValueOrCreateConstantIndexOp(b, op.getLoc(), range.size));
  for (Value init : op.getDpsInits())
    partials.push_back(b.partialSums(getElementTypeOrSelf(init.getType())));
  auto placeOf = [&](OpOperand &operand) {
    Loops::Values place;
    for (AffineExpr e : op.getMatchingIndexingMap(&operand).getResults())
      place.push_back(affine::AffineApplyOp::create(b, AffineMap::get(op.getNumLoops(), 0, e), at));
    return place;
  };
  auto addElement = [&](Value i) {
    IRMapping map;
    at.push_back(i);
    for (OpOperand *operand : op.getDpsInputOperands()) {
      bool isMemory = isa<MemRefType>(operand->get().getType());
      map.map(op.getMatchingBlockArgument(operand),
              isMemory ? memref::LoadOp::create(b, operand->get(), placeOf(*operand)).getResult()
                       : operand->get());
    }
    Value j = arith::RemUIOp::create(b, i, b.index(32));
    for (auto [argument, memory] : llvm::zip(op.getRegionOutputArgs(), partials))
      map.map(argument, memref::LoadOp::create(b, memory, j).getResult());
    for (Operation &inner : op.getBody()->without_terminator())
      if (auto index = dyn_cast<linalg::IndexOp>(inner))
        map.map(index.getResult(), at[index.getDim()]);
      else
        b.clone(inner, map);
    for (auto [next, memory] : llvm::zip(op.getBody()->getTerminator()->getOperands(), partials))
      b.store(map.lookup(next), memory, {j});
    at.pop_back();
  };
  std::function<void(unsigned)> rows = [&](unsigned d) {
    if (d + 1 < op.getNumLoops())
      return b.loop(sizes[d], [&](Value i) {
        at.push_back(i);
        rows(d + 1);
        at.pop_back();
      });
    for (Value memory : partials)
      b.clear(memory);
    b.loop(sizes[d], addElement);
    at.push_back(b.index(0));
    for (auto [init, memory] : llvm::zip(op.getDpsInitsMutable(), partials)) {
      Loops::Values place = placeOf(init);
      b.store(b.addf(memref::LoadOp::create(b, init.get(), place), b.halve(memory)), init.get(),
              place);
    }
    at.pop_back();
  };
  rows(0);
}

/// A product's multiplications and additions become one operation each.
void fuseProduct(OpBuilder &b, Operation *op) {
  IRRewriter rewriter(b);
  if (!isa<linalg::LinalgOp>(op) || !(matchProduct(op) || matchWeightGradient(op)))
    return;
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic) {
    rewriter.setInsertionPoint(op);
    generic = *linalg::generalizeNamedOp(rewriter, cast<linalg::LinalgOp>(op));
  }
  auto sum = generic.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  auto product = sum.getRhs().getDefiningOp<arith::MulFOp>();
  Value carried = sum.getLhs();
  if (!product) {
    product = sum.getLhs().getDefiningOp<arith::MulFOp>();
    carried = sum.getRhs();
  }
  rewriter.setInsertionPoint(sum);
  rewriter.replaceOpWithNewOp<math::FmaOp>(sum, product.getLhs(), product.getRhs(), carried);
}

/// A kernel on memory for one on tensors, as the runtime calls it: buffers, the tasks from `begin`
/// to `end`, scratch memory (dialects/exec/KernelAttributes.h).
class Kernel {
public:
  explicit Kernel(func::FuncOp tensors) : tensors(tensors), b(tensors.getLoc(), tensors) {}

  LogicalResult lower() {
    if (!tensors.getBody().hasOneBlock())
      return tensors.emitError("kernel wants one block");
    declare();
    writeOps();
    if (failed(bufferize()))
      return failure();
    StringAttr name = tensors.getSymNameAttr();
    tensors.erase();
    lowered.setSymName(name);
    return success();
  }

private:
  void declare();
  void writeOps();
  LogicalResult bufferize();
  void startFromPlaces(Operation &op, Operation *made);
  Value memory(Value v);

  func::FuncOp tensors, lowered;
  Loops b;
  SmallVector<Value> places; ///< of results
  IRMapping map;
};

void Kernel::declare() {
  auto memrefOf = [](Type type) -> Type {
    auto tensor = cast<RankedTensorType>(type);
    return MemRefType::get(tensor.getShape(), tensor.getElementType());
  };
  SmallVector<Type> types(llvm::map_range(tensors.getArgumentTypes(), memrefOf));
  SmallVector<int64_t> access(types.size(), fb::Access_Read), placeOf;
  Operation *terminator = tensors.getBody().front().getTerminator();
  for (auto [i, type] : llvm::enumerate(tensors.getResultTypes())) {
    placeOf.push_back(types.size());
    for (unsigned a = 0; a < tensors.getNumArguments(); ++a)
      if (auto place = tensors.getArgAttrOfType<IntegerAttr>(a, kInPlaceAttr);
          place && place.getInt() == int64_t(i)) {
        placeOf.back() = a;
        auto *made = terminator->getOperand(i).getDefiningOp();
        access[a] = isa_and_nonnull<linalg::FillOp, exec::RelayoutOp>(made) ? fb::Access_Write
                    : isa_and_nonnull<mla::CacheAppendOp, tensor::InsertSliceOp>(made)
                        ? fb::Access_Part
                        : fb::Access_Update;
      }
    if (placeOf.back() == int64_t(types.size())) {
      types.push_back(memrefOf(type));
      access.push_back(fb::Access_Write);
    }
  }
  int64_t scalars = 0;
  for (Type type : types)
    scalars += cast<MemRefType>(type).getNumDynamicDims();
  types.append(
      {b.getIndexType(), b.getIndexType(), MemRefType::get({ShapedType::kDynamic}, b.getI8Type())});
  lowered = func::FuncOp::create(b, (tensors.getSymName() + "_scalar").str(),
                                 b.getFunctionType(types, {}));
  lowered.setPrivate();
  lowered->setAttr(kKernelAttr, b.getUnitAttr());
  auto one =
      AffineMapAttr::get(AffineMap::get(0, scalars, b.getAffineConstantExpr(1), b.getContext()));
  lowered->setAttr(kLaunchAttr,
                   exec::LaunchAttr::get(b.getContext(), one, b.getDenseI64ArrayAttr(access),
                                         /*scratch_bytes=*/0));
  b.setInsertionPointToEnd(lowered.addEntryBlock());
  for (int64_t place : placeOf)
    places.push_back(lowered.getArgument(place));
  for (auto [i, argument] : llvm::enumerate(tensors.getArguments()))
    map.map(argument, bufferization::ToTensorOp::create(
                          b, argument.getType(), lowered.getArgument(i), /*restrict=*/true,
                          /*writable=*/tensors.getArgAttr(i, kInPlaceAttr) != nullptr));
}

/// Its copy `made`: results that start from nothing, or from a filled tensor, start where they
/// belong.
void Kernel::startFromPlaces(Operation &op, Operation *made) {
  auto style = dyn_cast<DestinationStyleOpInterface>(op);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(made);
  for (auto [v, place] :
       llvm::zip(tensors.getBody().front().getTerminator()->getOperands(), places)) {
    if (!style || v.getDefiningOp() != &op)
      continue;
    OpOperand *init = style.getTiedOpOperand(cast<OpResult>(v));
    Operation *from = init->get().getDefiningOp();
    auto fill = dyn_cast_or_null<linalg::FillOp>(from);
    if (fill)
      from = fill.getOutputs()[0].getDefiningOp();
    if (!isa_and_nonnull<tensor::EmptyOp>(from))
      continue;
    Value start = bufferization::ToTensorOp::create(b, v.getType(), place, /*restrict=*/true,
                                                    /*writable=*/true);
    if (fill)
      start = linalg::FillOp::create(b, map.lookup(fill.getInputs()[0]), start).getResult(0);
    made->setOperand(init->getOperandNumber(), start);
  }
}

/// The kernel's op in loops of its own, or a copy of what upstream has loops for.
void Kernel::writeOps() {
  Block &body = tensors.getBody().front();
  for (Operation &op : llvm::make_early_inc_range(body.without_terminator()))
    fuseProduct(b, &op);
  for (Operation &op : body.without_terminator()) {
    bool isMine = llvm::TypeSwitch<Operation *, bool>(&op)
                      .Case<mla::AttentionOp, mla::LatentAttentionOp, mla::CacheAppendOp,
                            moe::DispatchOp, moe::GroupedMatmulOp>([&](auto mine) {
                        emit(
                            b, mine, [&](Value v) { return memory(v); }, places);
                        return true;
                      })
                      .Case([&](exec::RelayoutOp relayout) {
                        linalg::CopyOp::create(b, memory(relayout.getSource()), places[0]);
                        return true;
                      })
                      .Default(false);
    if (!isMine)
      startFromPlaces(op, b.clone(op, map));
  }
  for (auto [v, place] : llvm::zip(body.getTerminator()->getOperands(), places))
    if (Value made = map.lookupOrNull(v)) {
      auto store = bufferization::MaterializeInDestinationOp::create(b, TypeRange{}, made, place);
      store.setRestrict(true);
      store.setWritable(true);
    }
  func::ReturnOp::create(b);
  // What results no longer start from would be given memory.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(lowered.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
}

/// An argument's memory, or a view of it.
Value Kernel::memory(Value v) {
  if (auto argument = dyn_cast<BlockArgument>(v))
    return lowered.getArgument(argument.getArgNumber());
  auto type = cast<RankedTensorType>(v.getType());
  SmallVector<int64_t> strides(type.getRank(), ShapedType::kDynamic);
  auto layout = StridedLayoutAttr::get(b.getContext(), ShapedType::kDynamic, strides);
  return bufferization::ToBufferOp::create(
      b, MemRefType::get(type.getShape(), type.getElementType(), layout), map.lookup(v),
      /*read_only=*/true);
}

LogicalResult Kernel::bufferize() {
  bufferization::OneShotBufferizationOptions options;
  bufferization::BufferizationState state;
  if (failed(bufferization::runOneShotBufferize(lowered, options, state)))
    return tensors.emitError("kernel cannot be bufferized");
  if (lowered.walk([](memref::AllocOp) { return WalkResult::interrupt(); }).wasInterrupted())
    return tensors.emitError("kernel wants no memory of its own");
  IRRewriter rewriter(b.getContext());
  SmallVector<linalg::LinalgOp> ops;
  lowered.walk([&](Operation *op) {
    if (auto copy = dyn_cast<memref::CopyOp>(op)) {
      rewriter.setInsertionPoint(copy);
      ops.push_back(
          linalg::CopyOp::create(rewriter, copy.getLoc(), copy.getSource(), copy.getTarget()));
      rewriter.eraseOp(copy);
    } else if (auto linalg = dyn_cast<linalg::LinalgOp>(op)) {
      ops.push_back(linalg);
    }
  });
  for (linalg::LinalgOp op : ops) {
    rewriter.setInsertionPoint(op);
    if (isRowSum(op)) {
      b.setInsertionPoint(op);
      emitRowSum(b, cast<linalg::GenericOp>(op.getOperation()));
    } else if (failed(linalg::linalgOpToLoops(rewriter, op)))
      return tensors.emitError() << op->getName() << " has no loops";
    rewriter.eraseOp(op);
  }
  lowered.walk([](arith::AddFOp sum) { sum.setFastmath(arith::FastMathFlags::none); });
  return success();
}

//===----------------------------------------------------------------------===//
// The target
//===----------------------------------------------------------------------===//

class ScalarTarget : public Target {
public:
  explicit ScalarTarget(const Target &host) : host(host) {}

  StringRef name() const override { return "scalar"; }
  const Processor &processor() const override { return host.processor(); }
  exec::LayoutAttr layoutOf(RankedTensorType, ArrayRef<OpOperand *>) const override { return {}; }
  bool sharesKernel(Operation *, Operation *) const override { return false; }

  LogicalResult lower(func::FuncOp kernel) const override {
    bool isMine = llvm::all_of(kernel.getOps(), [](Operation &op) {
      return isCloned(&op) || isa<func::ReturnOp, linalg::LinalgOp, tensor::InsertSliceOp,
                                  exec::RelayoutOp, mla::AttentionOp, mla::LatentAttentionOp,
                                  mla::CacheAppendOp, moe::DispatchOp, moe::GroupedMatmulOp>(op);
    });
    return isMine ? Kernel(kernel).lower() : host.lower(kernel);
  }

  void addCodePasses(OpPassManager &pm) const override { host.addCodePasses(pm); }
  llvm::Expected<CodeObject> emit(ModuleOp kernels, CodeForm form) const override {
    return host.emit(kernels, form);
  }
  llvm::Expected<std::vector<std::string>> emitParts(ModuleOp kernels,
                                                     const CodeProgress &progress) const override {
    return host.emitParts(kernels, progress);
  }
  llvm::Expected<CodeObject> link(ArrayRef<NamedPart> parts) const override {
    return host.link(parts);
  }

private:
  const Target &host;
};

} // namespace

void hadal::registerScalar() {
  registerTarget("scalar", []() -> llvm::Expected<std::unique_ptr<const Target>> {
    auto host = findTarget("host");
    if (!host)
      return host.takeError();
    return std::make_unique<ScalarTarget>((*host)->withoutMatrixUnits());
  });
}
