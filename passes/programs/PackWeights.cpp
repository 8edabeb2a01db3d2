//===- PackWeights.cpp - tensors that are laid out for their readers ------===//
//
// --exec-assign-layouts puts an exec.relayout in front of what wants a tensor to lie otherwise.
// Here each becomes a kernel and its launch: of a checkpoint's weights in the program @pack, of
// other tensors in the program at hand, before what reads them. Stacks that are read as stored are
// copied by @pack, so that their tensors lie one after the other. Codes of a parameter are made
// there, too, a tensor at a time: what is laid out goes through temporaries of @pack.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/analysis/ParameterSource.h"
#include "passes/programs/ProgramBuilder.h"
#include "runtime/module/Names.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

//===----------------------------------------------------------------------===//
// What a relayout reads
//===----------------------------------------------------------------------===//

/// Static slices and expansions of memory, and the widening of a matrix of f8, are part of the
/// kernel.
FailureOr<ProgramBuilder::Relaid> ProgramBuilder::relaid(exec::RelayoutOp op) {
  auto refuse = [&] {
    return op.emitError("wants weights of static shape, or static slices of such");
  };
  Relaid found{op};
  Value v = op.getSource();
  while (true) {
    Operation *view = v.getDefiningOp();
    if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(view)) {
      if (ShapedType::isDynamicShape(slice.getStaticOffsets()) ||
          ShapedType::isDynamicShape(slice.getStaticStrides()))
        return refuse();
    } else if (!isa_and_nonnull<tensor::ExpandShapeOp>(view)) {
      break;
    }
    found.views.push_back(view);
    v = view->getOperand(0);
    if (!cast<RankedTensorType>(v.getType()).hasStaticShape())
      return refuse();
  }
  auto widened = v.getDefiningOp<fp8::DequantizeOp>();
  if (widened && widened.isOfBlocks() && widened.getQ().getType().getRank() == 2) {
    found.views.push_back(widened);
    found.source = widened.getQ(), found.scale = widened.getScale();
  } else {
    found.source = v;
  }
  std::reverse(found.views.begin(), found.views.end());
  return found;
}

bool ProgramBuilder::Relaid::isOfParameters() const {
  return parameterOf(source) && (!scale || parameterOf(scale));
}

bool hadal::isPackedAway(ArrayRef<Operation *> group) {
  if (group.size() == 1 && isMadeByPack(group.front()))
    return true;
  auto dequantize = dyn_cast<fp8::DequantizeOp>(group.front());
  if (!dequantize || group.size() > 1 || !dequantize.isOfBlocks() ||
      dequantize.getQ().getType().getRank() != 2)
    return false;
  SmallVector<Operation *> readers(dequantize->getUsers().begin(), dequantize->getUsers().end());
  while (!readers.empty()) {
    Operation *reader = readers.pop_back_val();
    if (isa<tensor::ExtractSliceOp, tensor::ExpandShapeOp>(reader))
      readers.append(reader->getUsers().begin(), reader->getUsers().end());
    else if (!isa<exec::RelayoutOp>(reader))
      return false;
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

static RankedTensorType oneOf(RankedTensorType stack) {
  return RankedTensorType::get(stack.getShape().drop_front(), stack.getElementType());
}

/// The view that `view` is of each tensor of a stack; null if it is not one view of each.
static Value viewOfOne(OpBuilder &b, Operation *view, Value source) {
  auto type = cast<RankedTensorType>(view->getResult(0).getType());
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(view)) {
    bool isWhole = slice.getStaticOffsets()[0] == 0 && slice.getStaticStrides()[0] == 1 &&
                   slice.getStaticSizes()[0] == slice.getSourceType().getDimSize(0) &&
                   !slice.getDroppedDims().test(0);
    if (!isWhole)
      return {};
    auto rest = [](ArrayRef<OpFoldResult> all) { return llvm::to_vector(all.drop_front()); };
    return tensor::ExtractSliceOp::create(
        b, view->getLoc(), oneOf(type), source, rest(slice.getMixedOffsets()),
        rest(slice.getMixedSizes()), rest(slice.getMixedStrides()));
  }
  auto expand = dyn_cast<tensor::ExpandShapeOp>(view);
  if (!expand)
    return {};
  auto groups = expand.getReassociationIndices();
  if (groups[0].size() != 1)
    return {};
  SmallVector<ReassociationIndices> rest(groups.begin() + 1, groups.end());
  for (ReassociationIndices &group : rest)
    for (int64_t &d : group)
      --d;
  return tensor::ExpandShapeOp::create(b, view->getLoc(), oneOf(type), source, rest);
}

static exec::LayoutAttr layoutOfOne(exec::LayoutAttr stack) {
  if (!stack || stack.getN() < 0)
    return stack;
  return exec::LayoutAttr::get(stack.getContext(), stack.getName(), stack.getOutputs(),
                               stack.getInner(), stack.getN() - 1, stack.getK() - 1,
                               stack.getParts(), stack.getPart());
}

/// An empty kernel from `sources` to `type`: its arguments are the first of them, the memory that
/// is written, and the others.
func::FuncOp ProgramBuilder::emptyRelayout(ArrayRef<Type> sources, RankedTensorType type,
                                           exec::LayoutAttr layout) {
  SmallVector<Type> types{sources.front(), type};
  llvm::append_range(types, sources.drop_front());
  OpBuilder at = shared.atEnd();
  auto kernel = func::FuncOp::create(at, f.getLoc(), "kernel", at.getFunctionType(types, type));
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, b.getUnitAttr());
  kernel.setArgAttr(1, kInPlaceAttr, b.getI64IntegerAttr(0));
  if (layout) {
    kernel.setArgAttr(1, kLayoutAttr, layout);
    kernel.setResultAttr(0, kLayoutAttr, layout);
  }
  kernel.addEntryBlock();
  return kernel;
}

/// The kernel of a relayout; with `ofOne`, of each tensor of the stack that it reads.
FailureOr<func::FuncOp> ProgramBuilder::relayoutKernel(const Relaid &from, bool ofOne) {
  exec::RelayoutOp op = from.op;
  auto sourceType = cast<RankedTensorType>(from.source.getType());
  RankedTensorType type = ofOne ? oneOf(op.getType()) : op.getType();
  exec::LayoutAttr layout = ofOne ? layoutOfOne(op.getLayoutAttr()) : op.getLayoutAttr();
  SmallVector<Type> sources{ofOne ? oneOf(sourceType) : sourceType};
  if (from.scale)
    sources.push_back(from.scale.getType());
  func::FuncOp kernel = emptyRelayout(sources, type, layout);
  OpBuilder k = OpBuilder::atBlockEnd(&kernel.getBody().front());
  IRMapping mapping;
  mapping.map(from.source, kernel.getArgument(0));
  if (from.scale)
    mapping.map(from.scale, kernel.getArgument(2));
  for (Operation *view : from.views) {
    if (!ofOne) {
      k.clone(*view, mapping)->removeAttr(job::kPartAttr);
      continue;
    }
    Value one = viewOfOne(k, view, mapping.lookup(view->getOperand(0)));
    if (!one) {
      kernel.erase();
      return op.emitError("wants the same slice of each tensor of a stack");
    }
    mapping.map(view->getResult(0), one);
  }
  Value laid = exec::RelayoutOp::create(k, op.getLoc(), mapping.lookup(op.getSource()), layout);
  func::ReturnOp::create(k, op.getLoc(), laid);
  std::string name = llvm::formatv("pack_{0}", sourceType.getElementType());
  for (auto [d, size] : llvm::enumerate(type.getShape()))
    name += (d ? "x" : "_") + std::to_string(size);
  return shared.shareRelayout(kernel, name);
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

namespace {

/// Launches of @pack over a parameter's tensors: all of them on one tensor, then on the next.
class PackLaunches {
public:
  PackLaunches(ModuleBuffers &shared, exec::ParameterOp parameter)
      : shared(shared), parameter(parameter), count(parameter.getCount()),
        top(OpBuilder::atBlockEnd(&shared.packProgram().getBody().front())) {}

  /// Memory, and what lies between the tensors in it.
  struct Operand {
    Value buffer;
    int64_t bytes = 0;     ///< from one tensor to the next; 0: the same memory for all
    bool isStored = false; ///< each tensor by itself, as parameters are
  };
  // All of them before the first launch.
  Operand stored() { return {get(parameter.getSymNameAttr()), 0, true}; }
  Operand inWeight(StringAttr symbol, int64_t bytes) { return {get(symbol), bytes}; }
  Operand temporary(RankedTensorType type) {
    AffineExpr bytes = top.getAffineConstantExpr(tensorBytes(type));
    AffineMap size = AffineMap::get(0, 1, bytes, top.getContext());
    return {exec::TemporaryOp::create(
        top, parameter.getLoc(), exec::BufferType::get(top.getContext()), size, IntegerAttr())};
  }
  void launch(func::FuncOp kernel, ArrayRef<Operand> operands);

private:
  Value get(StringAttr symbol) {
    return exec::GetOp::create(top, parameter.getLoc(), exec::BufferType::get(top.getContext()),
                               FlatSymbolRefAttr::get(symbol));
  }

  ModuleBuffers &shared;
  exec::ParameterOp parameter;
  int64_t count;
  OpBuilder top;
  std::optional<OpBuilder> inLoop; ///< over a stack's tensors, in register 0
};

} // namespace

void PackLaunches::launch(func::FuncOp kernel, ArrayRef<Operand> operands) {
  MLIRContext *context = top.getContext();
  auto one = [&](AffineExpr x) { return AffineMap::get(0, 1, x, context); };
  AffineExpr zero = getAffineConstantExpr(0, context),
             e = count > 1 ? getAffineSymbolExpr(0, context) : zero;
  if (count > 1 && !inLoop) {
    auto repeat = exec::RepeatOp::create(top, parameter.getLoc(), 0,
                                         one(getAffineConstantExpr(count, context)));
    inLoop = OpBuilder::atBlockEnd(&repeat.getBody().emplaceBlock());
  }
  OpBuilder &b = inLoop ? *inLoop : top;
  SmallVector<Value> bound;
  SmallVector<AffineMap> elements, offsets;
  for (const Operand &operand : operands) {
    bound.push_back(operand.buffer);
    elements.push_back(one(operand.isStored ? e : zero));
    offsets.push_back(one(operand.bytes ? e * operand.bytes : zero));
  }
  exec::LaunchOp::create(b, parameter.getLoc(), kernel.getSymName(), bound,
                         b.getAffineMapArrayAttr({}), b.getAffineMapArrayAttr(elements),
                         b.getAffineMapArrayAttr(offsets), AffineMapAttr(), IntegerAttr());
}

/// A weight of this name and size; `isNew` where it was made now.
static StringAttr weightNamed(ModuleBuffers &shared, Location loc, const Twine &name, int64_t bytes,
                              bool &isNew) {
  std::string text = name.str();
  isNew = !shared.symbols.lookup(text);
  if (isNew) {
    OpBuilder at = OpBuilder::atBlockBegin(shared.module.getBody());
    shared.insert(exec::WeightOp::create(at, loc, text, bytes, exec::LayoutAttr()));
  }
  return StringAttr::get(shared.module.getContext(), text);
}

/// Stacked tensors that are read as they are lie one after the other.
FailureOr<Value> ProgramBuilder::stackedBuffer(ml_program::GlobalLoadConstOp load) {
  exec::ParameterOp parameter = shared.parameter(load);
  auto type = cast<RankedTensorType>(parameter.getType());
  int64_t elements = type.getNumElements(), bytes = tensorBytes(type);
  bool isNew = false;
  StringAttr name = weightNamed(shared, f.getLoc(), names::state::weight + parameter.getSource(),
                                bytes * parameter.getCount(), isNew);
  if (isNew) {
    // Whatever their shape, equal numbers of elements have one kernel.
    auto flat = RankedTensorType::get({elements}, type.getElementType());
    func::FuncOp kernel = emptyRelayout(flat, flat, {});
    OpBuilder k = OpBuilder::atBlockEnd(&kernel.getBody().front());
    Value copy = exec::RelayoutOp::create(k, f.getLoc(), kernel.getArgument(0), exec::LayoutAttr());
    func::ReturnOp::create(k, f.getLoc(), copy);
    kernel = shared.shareRelayout(
        kernel, llvm::formatv("copy_{0}_{1}", elements, type.getElementType()).str());
    PackLaunches pack(shared, parameter);
    pack.launch(kernel, {pack.stored(), pack.inWeight(name, bytes)});
  }
  return get(name);
}

/// A kernel on tensors of no dynamic sizes, which @pack launches.
static func::FuncOp packKernel(ModuleBuffers &shared, Location loc, TypeRange from, TypeRange to,
                               StringRef name, function_ref<ValueRange(OpBuilder &, Value)> body) {
  OpBuilder at = shared.atEnd();
  auto kernel = func::FuncOp::create(at, loc, "kernel", at.getFunctionType(from, to));
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, at.getUnitAttr());
  OpBuilder k = OpBuilder::atBlockEnd(kernel.addEntryBlock());
  func::ReturnOp::create(k, loc, body(k, kernel.getArgument(0)));
  return shared.shareKernel(kernel, name);
}

/// The kernel of `widening` on a tensor of this type.
static func::FuncOp widenKernel(ModuleBuffers &shared, linalg::GenericOp widening,
                                RankedTensorType from) {
  auto to = from.clone(cast<RankedTensorType>(widening.getType(0)).getElementType());
  return packKernel(shared, widening.getLoc(), from, to, "widen", [&](OpBuilder &k, Value x) {
    Location loc = widening.getLoc();
    Value empty = tensor::EmptyOp::create(k, loc, to.getShape(), to.getElementType());
    SmallVector<AffineMap> maps(2, k.getMultiDimIdentityMap(from.getRank()));
    SmallVector<utils::IteratorType> loops(from.getRank(), utils::IteratorType::parallel);
    IRMapping mapping;
    for (Value read : readsOf(widening, *widening->getBlock()))
      if (!llvm::is_contained(widening->getOperands(), read) && !mapping.contains(read))
        mapping.map(read, k.clone(*read.getDefiningOp())->getResult(0)); // a constant
    auto body = [&](OpBuilder &b, Location, ValueRange args) {
      mapping.map(widening.getBody()->getArguments(), args);
      for (Operation &op : *widening.getBody())
        b.clone(op, mapping);
    };
    return linalg::GenericOp::create(k, loc, to, x, empty, maps, loops, body)->getResults();
  });
}

/// The kernel of `quantize` on one matrix.
static func::FuncOp quantizeKernel(ModuleBuffers &shared, fp8::QuantizeOp quantize,
                                   RankedTensorType x, RankedTensorType q, RankedTensorType scale) {
  return packKernel(shared, quantize.getLoc(), x, {q, scale}, "quantize",
                    [&](OpBuilder &k, Value from) {
                      return fp8::QuantizeOp::create(k, quantize.getLoc(), q, scale, from, Value(),
                                                     quantize.getBlock(), quantize.getPow2(),
                                                     quantize.getFormatAttr())
                          ->getResults();
                    });
}

namespace {
/// Codes and scales of a parameter as @pack has them.
struct Quantized {
  PackLaunches::Operand codes, scale;
};
} // namespace

/// Has @pack quantize a parameter. Programs read the scales, which stay; with `keepsCodes` the
/// codes, too, else one tensor's at a time.
static Quantized quantizeInPack(ModuleBuffers &shared, PackLaunches &pack, fp8::QuantizeOp quantize,
                                exec::ParameterOp parameter, bool keepsCodes) {
  auto one = [&](Value v) {
    auto type = cast<RankedTensorType>(v.getType());
    return parameter.getCount() > 1 ? oneOf(type) : type;
  };
  RankedTensorType x = one(quantize.getX()), q = one(quantize.getQ()),
                   scale = one(quantize.getScale());
  auto inWeight = [&](StringRef kind, RankedTensorType type, bool &isNew) {
    StringAttr name =
        weightNamed(shared, quantize.getLoc(), names::state::weight + parameter.getSource() + kind,
                    tensorBytes(type) * parameter.getCount(), isNew);
    return pack.inWeight(name, tensorBytes(type));
  };
  Quantized made;
  bool isNew = true;
  made.scale = inWeight(".scales", scale, isNew);
  if (!isNew) // the same numbers again, which nothing keeps
    made.scale = pack.temporary(scale);
  made.codes = keepsCodes ? inWeight(".codes", q, isNew) : pack.temporary(q);
  pack.launch(quantizeKernel(shared, quantize, x, q, scale),
              {pack.stored(), made.codes, made.scale});
  return made;
}

/// The weight that holds a widened parameter, filled on first use.
StringAttr ProgramBuilder::widenedParameter(linalg::GenericOp widening) {
  ParameterSource source = *parameterSource(widening.getResult(0));
  exec::ParameterOp parameter = shared.parameter(source.load);
  auto type = cast<RankedTensorType>(widening.getType(0)),
       from = cast<RankedTensorType>(source.load.getType());
  int64_t count = parameter.getCount();
  bool isNew = false;
  StringAttr name =
      weightNamed(shared, widening.getLoc(), names::state::weight + parameter.getSource() + ".f32",
                  tensorBytes(type), isNew);
  if (isNew) {
    PackLaunches pack(shared, parameter);
    PackLaunches::Operand stored = pack.stored(),
                          to = pack.inWeight(name, count > 1 ? tensorBytes(type) / count : 0);
    pack.launch(widenKernel(shared, widening, count > 1 ? oneOf(from) : from), {stored, to});
  }
  return name;
}

/// The memory of what @pack makes of a parameter (isMadeByPack).
FailureOr<Value> ProgramBuilder::madeBuffer(Value made) {
  fp8::QuantizeOp quantize = quantizerOfParameter(made);
  if (!quantize)
    return get(widenedParameter(made.getDefiningOp<linalg::GenericOp>()));
  exec::ParameterOp parameter = shared.parameter(parameterOf(made));
  bool isScale = made == quantize.getScale();
  std::string name =
      (names::state::weight + parameter.getSource() + (isScale ? ".scales" : ".codes")).str();
  if (!shared.symbols.lookup(name)) {
    PackLaunches pack(shared, parameter);
    quantizeInPack(shared, pack, quantize, parameter, /*keepsCodes=*/!isScale);
  }
  return get(b.getStringAttr(name));
}

/// Bytes of memory that all parts of a relayout's layout share.
int64_t ProgramBuilder::relayoutBytes(exec::RelayoutOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  exec::LayoutAttr layout = op.getLayoutAttr();
  int64_t elements =
      layout ? layout.elements(type.getShape()) * layout.getParts() : type.getNumElements();
  return elements * elementBytes(type.getElementType());
}

/// Has @pack lay a part out in the weight `to`, whose tensors are `bytes` apart.
void ProgramBuilder::packPart(const Relaid &part, func::FuncOp kernel, StringAttr to,
                              int64_t bytes) {
  exec::ParameterOp parameter = shared.parameter(parameterOf(part.source));
  bool isScaledByParameter = part.scale && !quantizerOfParameter(part.scale);
  StringAttr scale;
  if (isScaledByParameter) {
    ParameterSource source = *parameterSource(part.scale);
    scale = source.widening ? widenedParameter(source.widening)
                            : shared.parameter(source.load).getSymNameAttr();
  }
  PackLaunches pack(shared, parameter);
  SmallVector<PackLaunches::Operand> operands;
  if (fp8::QuantizeOp quantize = quantizerOfParameter(part.source)) {
    // Before its launches, in case they are in a loop.
    PackLaunches::Operand place = pack.inWeight(to, bytes);
    Quantized made = quantizeInPack(shared, pack, quantize, parameter, /*keepsCodes=*/false);
    operands = {made.codes, place};
    if (part.scale)
      operands.push_back(made.scale);
  } else {
    operands = {pack.stored(), pack.inWeight(to, bytes)};
    if (isScaledByParameter)
      operands.push_back(pack.inWeight(scale, 0));
  }
  pack.launch(kernel, operands);
}

/// The weight that holds parameters as `parts` want them to lie, made on first use.
FailureOr<Value> ProgramBuilder::packedWeight(ArrayRef<Relaid> parts) {
  SmallVector<exec::ParameterOp> parameters;
  for (const Relaid &part : parts)
    parameters.push_back(shared.parameter(parameterOf(part.source)));
  SmallVector<func::FuncOp> kernels;
  std::string key;
  for (auto [part, parameter] : llvm::zip(parts, parameters)) {
    auto kernel = relayoutKernel(part, parameter.getCount() > 1);
    if (failed(kernel))
      return failure();
    kernels.push_back(*kernel);
    key += (parameter.getSymName() + " " + kernel->getSymName() + ";").str();
  }
  StringAttr &known = shared.weights[key];
  if (known)
    return get(known);

  exec::RelayoutOp first = parts[0].op;
  std::string base = (names::state::weight + parameters[0].getSource()).str(), name = base;
  for (int i = 1; shared.symbols.lookup(name); ++i)
    name = base + "." + std::to_string(i);
  int64_t bytes = relayoutBytes(first);
  OpBuilder at = OpBuilder::atBlockBegin(shared.module.getBody());
  known = shared.insert(exec::WeightOp::create(at, f.getLoc(), name, bytes, first.getLayoutAttr()))
              .getSymNameAttr();
  for (auto [part, kernel, parameter] : llvm::zip(parts, kernels, parameters))
    packPart(part, kernel, known, bytes / parameter.getCount());
  return get(known);
}

FailureOr<Value> ProgramBuilder::laidOut(ArrayRef<exec::RelayoutOp> relayouts, Operation *reader) {
  SmallVector<Relaid> parts;
  for (exec::RelayoutOp op : relayouts) {
    auto part = relaid(op);
    if (failed(part))
      return failure();
    parts.push_back(*part);
  }
  if (llvm::all_of(parts, [](const Relaid &part) { return part.isOfParameters(); }))
    return packedWeight(parts);
  // A tensor of this run.
  MLIRContext *context = f.getContext();
  AffineMap bytes = map(getAffineConstantExpr(relayoutBytes(relayouts[0]), context));
  Value to = exec::TemporaryOp::create(b, reader->getLoc(), exec::BufferType::get(context), bytes,
                                       IntegerAttr());
  for (const Relaid &part : parts) {
    auto from = bufferOf(throughReshapes(part.source), reader);
    if (failed(from))
      return failure();
    SmallVector<Value> bound{*from, to};
    if (part.scale) {
      auto scale = bufferOf(part.scale, reader);
      if (failed(scale))
        return failure();
      bound.push_back(*scale);
    }
    auto kernel = relayoutKernel(part, false);
    if (failed(kernel))
      return failure();
    exec::LaunchOp::create(b, reader->getLoc(), kernel->getSymName(), bound,
                           b.getAffineMapArrayAttr({}), ArrayAttr(), ArrayAttr(), AffineMapAttr(),
                           IntegerAttr());
  }
  return to;
}
