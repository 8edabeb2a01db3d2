//===- OptimizerKernels.cpp - what a step does with parameters ------------===//

#include "passes/programs/OptimizerKernels.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/train/Train.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/quantize/RoundToBf16.h"
#include "runtime/module/StepSettings.h"

using namespace mlir;
using namespace hadal;
using Values = SmallVector<Value>;

namespace {

/// Places of `step_scalars`.
enum class StepScalar : int64_t {
  Shrink,   ///< what decay leaves of a weight
  Scale,    ///< of a gradient, for clipping
  M0,       ///< share of the first moment that stays,
  M1,       ///< and of the gradient that joins it
  V0,       ///< share of the second moment that stays,
  V1,       ///< and of the gradient's square that joins it
  StepSize, ///< the learning rate over the first moment's bias correction
  VRoot,    ///< the root of the second moment's bias correction
  Epsilon,
  Keep, ///< share of the moving average that stays
  Count
};

/// Short names for arithmetic on numbers.
struct Numbers : ImplicitLocOpBuilder {
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;
  Value index(int64_t v) { return arith::ConstantIndexOp::create(*this, v); }
  Value f32(float v) { return arith::ConstantOp::create(*this, getF32FloatAttr(v)); }
  Value f64(double v) { return arith::ConstantOp::create(*this, getF64FloatAttr(v)); }
  Value i64(uint64_t v) { return arith::ConstantOp::create(*this, getI64IntegerAttr(int64_t(v))); }
  Value add(Value a, Value b) { return arith::AddFOp::create(*this, a, b); }
  Value sub(Value a, Value b) { return arith::SubFOp::create(*this, a, b); }
  Value mul(Value a, Value b) { return arith::MulFOp::create(*this, a, b); }
  Value div(Value a, Value b) { return arith::DivFOp::create(*this, a, b); }
  Value max(Value a, Value b) { return arith::MaximumFOp::create(*this, a, b); }
  Value min(Value a, Value b) { return arith::MinimumFOp::create(*this, a, b); }
  Value root(Value x) { return math::SqrtOp::create(*this, x); }
  Value compare(Value a, arith::CmpFPredicate p, Value b) {
    return arith::CmpFOp::create(*this, p, a, b);
  }
  Value select(Value c, Value a, Value b) { return arith::SelectOp::create(*this, c, a, b); }
  /// To a type of more or fewer bits; as it is where it has that type.
  Value to(Type type, Value v) {
    unsigned from = v.getType().getIntOrFloatBitWidth(), bits = type.getIntOrFloatBitWidth();
    if (from == bits)
      return v;
    return from < bits ? arith::ExtFOp::create(*this, type, v).getResult()
                       : arith::TruncFOp::create(*this, type, v).getResult();
  }
  Value element(Value tensor, int64_t i) {
    return tensor::ExtractOp::create(*this, tensor, ValueRange{index(i)});
  }
};

RankedTensorType flat(Type element, int64_t size = ShapedType::kDynamic) {
  return RankedTensorType::get({size}, element);
}

} // namespace

const int64_t hadal::stepScalarCount = int64_t(StepScalar::Count);

/// A kernel that returns what `body` makes of `arguments`; `inPlace`: the arguments that result 0,
/// 1 ... are written in place of.
static func::FuncOp kernel(ModuleOp module, StringRef name, ArrayRef<Type> arguments,
                           ArrayRef<unsigned> inPlace,
                           function_ref<Values(Numbers &, ValueRange)> body) {
  Numbers b(module.getLoc(), module.getContext());
  b.setInsertionPointToEnd(module.getBody());
  auto f = func::FuncOp::create(b, name, b.getFunctionType(arguments, {}));
  f.setPrivate();
  f->setAttr(kKernelAttr, b.getUnitAttr());
  b.setInsertionPointToEnd(f.addEntryBlock());
  Values results = body(b, f.getArguments());
  func::ReturnOp::create(b, results);
  f.setFunctionType(b.getFunctionType(arguments, ValueRange(results).getTypes()));
  for (auto [result, argument] : llvm::enumerate(inPlace))
    f.setArgAttr(argument, kInPlaceAttr, b.getI64IntegerAttr(int64_t(result)));
  return f;
}

/// Element by element: `body` takes those of `inputs` and `outputs`, and gives the new `outputs`.
static Values elements(Numbers &b, ValueRange inputs, ValueRange outputs,
                       function_ref<Values(Numbers &, ValueRange)> body) {
  SmallVector<AffineMap> maps(inputs.size() + outputs.size(), b.getMultiDimIdentityMap(1));
  auto generic = linalg::GenericOp::create(
      b, outputs.getTypes(), inputs, outputs, maps, {utils::IteratorType::parallel},
      [&](OpBuilder &inner, Location loc, ValueRange arguments) {
        Numbers numbers(loc, inner);
        linalg::YieldOp::create(numbers, body(numbers, arguments));
      });
  return Values(generic.getResults());
}

func::FuncOp hadal::addClear(ModuleOp module) {
  Type f32 = Float32Type::get(module.getContext());
  return kernel(module, "clear", flat(f32), 0, [&](Numbers &b, ValueRange arguments) {
    return Values{linalg::FillOp::create(b, b.f32(0), arguments[0]).getResult(0)};
  });
}

func::FuncOp hadal::addRoundToBf16(ModuleOp module) {
  Type f32 = Float32Type::get(module.getContext());
  return kernel(module, "round_to_bf16", flat(f32), {}, [&](Numbers &b, ValueRange arguments) {
    Value x = arguments[0];
    Value empty = tensor::EmptyOp::create(
        b, flat(f32), ValueRange{tensor::DimOp::create(b, x, int64_t(0)).getResult()});
    return elements(b, x, empty, [&](Numbers &b, ValueRange at) {
      return Values{roundToBf16(b, b.getLoc(), at[0])};
    });
  });
}

/// x [T, N] -> [T] i32: the largest that `element` makes of a row's numbers, none of it negative.
static func::FuncOp largestOfRows(ModuleOp module, StringRef name, Type type,
                                  function_ref<Value(Numbers &, Value)> element) {
  Type i32 = IntegerType::get(module.getContext(), 32);
  auto rows = RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic}, type);
  return kernel(module, name, rows, {}, [&](Numbers &b, ValueRange arguments) {
    Value count = tensor::DimOp::create(b, arguments[0], int64_t(0)),
          zero = arith::ConstantOp::create(b, b.getI32IntegerAttr(0));
    Value empty = tensor::EmptyOp::create(b, flat(i32), count);
    Value init = linalg::FillOp::create(b, zero, empty).getResult(0);
    SmallVector<AffineMap> maps{b.getMultiDimIdentityMap(2),
                                AffineMap::get(2, 0, b.getAffineDimExpr(0))};
    auto generic = linalg::GenericOp::create(
        b, init.getType(), arguments[0], init, maps,
        {utils::IteratorType::parallel, utils::IteratorType::reduction},
        [&](OpBuilder &inner, Location loc, ValueRange at) {
          Numbers b(loc, inner);
          linalg::YieldOp::create(b,
                                  arith::MaxSIOp::create(b, at[1], element(b, at[0])).getResult());
        });
    return Values(generic.getResults());
  });
}

func::FuncOp hadal::addLargestMagnitude(ModuleOp module) {
  return largestOfRows(module, "largest_magnitude", Float32Type::get(module.getContext()),
                       [](Numbers &b, Value x) {
                         Value bits = arith::BitcastOp::create(b, b.getI32Type(), x);
                         Value mask = arith::ConstantOp::create(b, b.getI32IntegerAttr(INT32_MAX));
                         return arith::AndIOp::create(b, bits, mask).getResult();
                       });
}

func::FuncOp hadal::addLargest(ModuleOp module) {
  return largestOfRows(module, "largest", IntegerType::get(module.getContext(), 32),
                       [](Numbers &, Value x) { return x; });
}

func::FuncOp hadal::addConversion(ModuleOp module, Type from, Type to) {
  StringRef name = to.isF32() ? "widen_bf16" : "narrow_f32";
  return kernel(module, name, flat(from), {}, [&](Numbers &b, ValueRange arguments) {
    Value count = tensor::DimOp::create(b, arguments[0], int64_t(0));
    Value empty = tensor::EmptyOp::create(b, flat(to), count);
    return elements(b, arguments[0], empty,
                    [&](Numbers &b, ValueRange at) { return Values{b.to(to, at[0])}; });
  });
}

func::FuncOp hadal::addAdd(ModuleOp module, Type element) {
  bool isFloat = isa<FloatType>(element);
  return kernel(module, isFloat ? "add_f32" : "add_i32", {flat(element), flat(element)}, 1,
                [&](Numbers &b, ValueRange arguments) {
                  return elements(b, arguments[0], arguments[1], [&](Numbers &b, ValueRange at) {
                    return Values{isFloat ? b.add(at[1], at[0])
                                          : Value(arith::AddIOp::create(b, at[1], at[0]))};
                  });
                });
}

func::FuncOp hadal::addSumsOfSquares(ModuleOp module) {
  auto type = RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic},
                                    Float32Type::get(module.getContext()));
  return kernel(module, "sums_of_squares", type, {}, [&](Numbers &b, ValueRange arguments) {
    return Values{train::SquareSumsOp::create(b, type, arguments[0], sumBlock)};
  });
}

func::FuncOp hadal::addSumOfTensor(ModuleOp module) {
  MLIRContext *context = module.getContext();
  auto type = RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic},
                                    Float32Type::get(context));
  return kernel(module, "sum_of_tensor", type, {}, [&](Numbers &b, ValueRange arguments) {
    return Values{train::SumRowsOp::create(b, flat(b.getF64Type()), arguments[0])};
  });
}

func::FuncOp hadal::addNorm(ModuleOp module) {
  Type f64 = Float64Type::get(module.getContext());
  return kernel(module, "norm", flat(f64), {}, [&](Numbers &b, ValueRange arguments) {
    return Values{train::NormOp::create(b, flat(b.getF32Type(), 1), arguments[0])};
  });
}

//===----------------------------------------------------------------------===//
// The scalars of a step
//===----------------------------------------------------------------------===//

/// base^steps by squaring; `steps` is an i64.
static Value power(Numbers &b, Value base, Value steps) {
  auto loop = scf::ForOp::create(
      b, b.index(0), b.index(63), b.index(1), ValueRange{b.f64(1), base},
      [&](OpBuilder &inner, Location loc, Value bit, ValueRange at) {
        Numbers b(loc, inner);
        Value shift = arith::IndexCastOp::create(b, b.getI64Type(), bit);
        Value odd =
            arith::TruncIOp::create(b, b.getI1Type(), arith::ShRUIOp::create(b, steps, shift));
        scf::YieldOp::create(
            b, ValueRange{b.select(odd, b.mul(at[0], at[1]), at[0]), b.mul(at[1], at[1])});
      });
  return loop.getResult(0);
}

/// The learning rate of a step: linear from 0 in the warm-up; then constant; then half a cosine, or
/// a line, from `from` to `end`; then the report's last rate.
static Value learningRate(Numbers &b, function_ref<Value(StepSetting)> setting) {
  using Predicate = arith::CmpFPredicate;
  Type f32 = b.getF32Type(), f64 = b.getF64Type();
  Value one = b.f64(1), zero = b.f64(0), step = setting(StepSetting::Step),
        rate = setting(StepSetting::Rate), warmup = setting(StepSetting::WarmupSteps);
  auto atLeastOne = [&](Value steps) {
    return b.select(b.compare(steps, Predicate::OGT, zero), steps, one);
  };
  Value rising = b.mul(rate, b.div(step, atLeastOne(warmup)));
  Value kind = setting(StepSetting::Schedule), last = setting(StepSetting::FinalRate);
  auto number = [&](Schedule schedule) { return b.f64(static_cast<int>(schedule)); };
  auto isKind = [&](Schedule schedule) {
    return b.compare(kind, Predicate::OEQ, number(schedule));
  };
  Value isReport = isKind(Schedule::Report), isWsd = isKind(Schedule::Wsd);
  // Report and Wsd hold the rate; Constant and Cosine do not.
  Value holds = b.compare(kind, Predicate::OGE, number(Schedule::Report));
  Value from = b.select(holds, b.max(setting(StepSetting::HoldSteps), warmup), warmup);
  Value end = b.select(isReport, setting(StepSetting::FallSteps), setting(StepSetting::TotalSteps));
  Value length = atLeastOne(b.sub(end, from));
  Value place = b.min(one, b.max(zero, b.div(b.sub(step, from), length)));
  Value angle = b.to(f32, b.mul(place, b.f64(3.14159265358979323846)));
  Value cosine = b.to(f64, math::CosOp::create(b, angle));
  Value falling = b.add(last, b.mul(b.mul(b.f64(0.5), b.sub(rate, last)), b.add(one, cosine)));
  Value line = b.add(rate, b.mul(b.sub(last, rate), place));
  falling = b.select(isWsd, line, falling);
  falling = b.select(b.compare(place, Predicate::OGE, one), last, falling); // the end exactly
  Value isLast = arith::AndIOp::create(
      b, isReport, b.compare(step, Predicate::OGT, setting(StepSetting::LastSteps)));
  falling = b.select(isLast, setting(StepSetting::LastRate), falling);
  Value steady = b.select(isKind(Schedule::Constant), rate, falling);
  return b.select(b.compare(step, Predicate::OLT, warmup), rising, steady);
}

func::FuncOp hadal::addScaleStep(ModuleOp module) {
  MLIRContext *context = module.getContext();
  Type f32 = Float32Type::get(context), f64 = Float64Type::get(context);
  auto body = [&](Numbers &b, ValueRange arguments) {
    auto setting = [&](StepSetting s) { return b.element(arguments[0], int64_t(s)); };
    Value lr = learningRate(b, setting), one = b.f64(1), clip = setting(StepSetting::Clip);
    Value steps = arith::FPToSIOp::create(b, b.getI64Type(), setting(StepSetting::Step));
    Value beta1 = setting(StepSetting::Beta1), beta2 = setting(StepSetting::Beta2),
          norm = b.to(f64, b.element(arguments[1], 0));
    Value scale = b.min(one, b.div(clip, b.add(norm, b.f64(1e-6))));
    Values scalars(stepScalarCount);
    auto set = [&](StepScalar s, Value v) { scalars[int64_t(s)] = b.to(f32, v); };
    set(StepScalar::Shrink, b.sub(one, b.mul(lr, setting(StepSetting::WeightDecay))));
    set(StepScalar::Scale,
        b.select(b.compare(clip, arith::CmpFPredicate::OGT, b.f64(0)), scale, one));
    set(StepScalar::M0, beta1);
    set(StepScalar::M1, b.sub(one, beta1));
    set(StepScalar::V0, beta2);
    set(StepScalar::V1, b.sub(one, beta2));
    set(StepScalar::StepSize, b.div(lr, b.sub(one, power(b, beta1, steps))));
    set(StepScalar::VRoot, b.root(b.sub(one, power(b, beta2, steps))));
    set(StepScalar::Epsilon, setting(StepSetting::Epsilon));
    set(StepScalar::Keep, setting(StepSetting::AverageDecay));
    auto tensor = [&](ValueRange of) {
      return Value(tensor::FromElementsOp::create(b, flat(f32, of.size()), of));
    };
    return Values{tensor(scalars), tensor(b.to(f32, lr))};
  };
  return kernel(module, "scale_step", {flat(f64, stepSettingCount), flat(f32, 1)}, {}, body);
}

//===----------------------------------------------------------------------===//
// AdamW and first values
//===----------------------------------------------------------------------===//

/// AdamW with decoupled decay (Loshchilov and Hutter, arXiv:1711.05101).
func::FuncOp hadal::addAdamwStep(ModuleOp module, Type moment, bool average) {
  Type f32 = Float32Type::get(module.getContext());
  SmallVector<Type> types{flat(f32), flat(f32), flat(moment), flat(moment),
                          flat(f32, stepScalarCount)};
  SmallVector<unsigned> inPlace{0, 1, 2, 3};
  if (average) {
    inPlace.push_back(types.size());
    types.push_back(flat(f32));
  }
  return kernel(module, "adamw_step", types, inPlace, [&](Numbers &b, ValueRange arguments) {
    Values scalars, outputs;
    for (int64_t s = 0; s < stepScalarCount; ++s)
      scalars.push_back(b.element(arguments[4], s));
    for (unsigned i : inPlace)
      outputs.push_back(arguments[i]);
    return elements(b, {}, outputs, [&](Numbers &b, ValueRange at) {
      auto scalar = [&](StepScalar s) { return scalars[int64_t(s)]; };
      Value w = at[0], g = b.mul(at[1], scalar(StepScalar::Scale));
      Value m =
          b.add(b.mul(b.to(f32, at[2]), scalar(StepScalar::M0)), b.mul(g, scalar(StepScalar::M1)));
      Value v = b.add(b.mul(b.to(f32, at[3]), scalar(StepScalar::V0)),
                      b.mul(b.mul(g, g), scalar(StepScalar::V1)));
      Value root = b.add(b.div(b.root(v), scalar(StepScalar::VRoot)), scalar(StepScalar::Epsilon));
      w = b.sub(b.mul(w, scalar(StepScalar::Shrink)),
                b.mul(scalar(StepScalar::StepSize), b.div(m, root)));
      // A gradient of zero is ready for the next step.
      Values next{w, b.f32(0), b.to(moment, m), b.to(moment, v)};
      if (average)
        next.push_back(b.add(w, b.mul(scalar(StepScalar::Keep), b.sub(at[4], w))));
      return next;
    });
  });
}

/// splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
static Value hash(Numbers &b, Value v) {
  auto shifted = [&](Value v, uint64_t by) {
    return arith::XOrIOp::create(b, v, arith::ShRUIOp::create(b, v, b.i64(by))).getResult();
  };
  for (auto [shift, factor] :
       {std::pair<uint64_t, uint64_t>{30, 0xBF58476D1CE4E5B9}, {27, 0x94D049BB133111EB}})
    v = arith::MulIOp::create(b, shifted(v, shift), b.i64(factor));
  return shifted(v, 31);
}

/// A standard normal number from 48 of 64 random bits (Box and Muller).
static Value normal(Numbers &b, Value bits) {
  // 24 bits each; the first is never 0.
  auto uniform = [&](Value v, float plus) {
    Value u = arith::UIToFPOp::create(b, b.getF32Type(), v);
    return b.mul(b.add(u, b.f32(plus)), b.f32(0x1p-24f));
  };
  auto right = [&](uint64_t by) { return arith::ShRUIOp::create(b, bits, b.i64(by)); };
  Value u1 = uniform(right(40), 0.5f),
        u2 = uniform(arith::AndIOp::create(b, right(8), b.i64(0xFFFFFF)), 0);
  Value radius = b.root(b.mul(b.f32(-2), math::LogOp::create(b, u1)));
  return b.mul(radius, math::CosOp::create(b, b.mul(u2, b.f32(6.283185307179586f))));
}

func::FuncOp hadal::addDrawNormal(ModuleOp module) {
  MLIRContext *context = module.getContext();
  Type f32 = Float32Type::get(context), i32 = IntegerType::get(context, 32);
  SmallVector<Type> types{flat(i32, 2), flat(f32, 2), flat(f32)};
  auto body = [&](Numbers &b, ValueRange arguments) {
    Type i64 = b.getI64Type();
    auto half = [&](int64_t i) {
      return arith::ExtUIOp::create(b, i64, b.element(arguments[0], i)).getResult();
    };
    Value high = arith::ShLIOp::create(b, half(0), b.i64(32));
    Value base = hash(b, arith::OrIOp::create(b, high, half(1)));
    Value mean = b.element(arguments[1], 0), deviation = b.element(arguments[1], 1);
    return elements(b, {}, arguments[2], [&](Numbers &b, ValueRange) {
      Value place = arith::IndexCastOp::create(b, i64, linalg::IndexOp::create(b, 0));
      Value steps = arith::MulIOp::create(b, arith::AddIOp::create(b, place, b.i64(1)),
                                          b.i64(0x9E3779B97F4A7C15));
      Value drawn = normal(b, hash(b, arith::AddIOp::create(b, base, steps)));
      return Values{b.add(mean, b.mul(deviation, drawn))};
    });
  };
  return kernel(module, "draw_normal", types, 2, body);
}
