//===- PackWeights.cpp - tensors that are laid out for their readers ------===//
//
// --exec-assign-layouts puts an exec.relayout in front of what wants a tensor to lie otherwise.
// Here each becomes a kernel and its launch: of a checkpoint's weights in the program @pack, of
// other tensors in the program at hand, before what reads them. Stacks that are read as stored are
// copied by @pack, so that their tensors lie one after the other.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/programs/ProgramBuilder.h"
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

static ml_program::GlobalLoadConstOp parameterLoad(Value v) {
  return v ? v.getDefiningOp<ml_program::GlobalLoadConstOp>() : ml_program::GlobalLoadConstOp();
}

bool ProgramBuilder::Relaid::isOfParameters() const {
  return parameterLoad(source) && (!scale || parameterLoad(scale));
}

bool hadal::isPackedAway(ArrayRef<Operation *> group) {
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

/// Launches `kernel` in @pack, over `parameter`, `to` and `scale` (or null): of a stack, once per
/// tensor, each `bytes` after the one before.
void ProgramBuilder::launchInPack(func::FuncOp kernel, exec::ParameterOp parameter, StringAttr to,
                                  exec::ParameterOp scale, int64_t bytes) {
  MLIRContext *context = f.getContext();
  exec::ProgramOp pack = shared.packProgram();
  OpBuilder p = OpBuilder::atBlockEnd(&pack.getBody().front());
  auto get = [&](StringAttr symbol) -> Value {
    return exec::GetOp::create(p, f.getLoc(), exec::BufferType::get(context),
                               FlatSymbolRefAttr::get(symbol));
  };
  auto one = [&](AffineExpr x) { return AffineMap::get(0, 1, x, context); };
  AffineExpr zero = getAffineConstantExpr(0, context), e = zero;
  SmallVector<Value> bound{get(parameter.getSymNameAttr()), get(to)};
  if (scale)
    bound.push_back(get(scale.getSymNameAttr()));
  if (parameter.getCount() > 1) {
    e = getAffineSymbolExpr(0, context);
    auto repeat = exec::RepeatOp::create(p, f.getLoc(), 0,
                                         one(getAffineConstantExpr(parameter.getCount(), context)));
    p.setInsertionPointToEnd(&repeat.getBody().emplaceBlock());
  }
  SmallVector<AffineMap> elements{one(e), one(zero)}, offsets{one(zero), one(e * bytes)};
  elements.resize(bound.size(), one(zero));
  offsets.resize(bound.size(), one(zero));
  exec::LaunchOp::create(p, f.getLoc(), kernel.getSymName(), bound, p.getAffineMapArrayAttr({}),
                         p.getAffineMapArrayAttr(elements), p.getAffineMapArrayAttr(offsets),
                         AffineMapAttr(), IntegerAttr());
}

/// Stacked tensors that are read as they are lie one after the other.
FailureOr<Value> ProgramBuilder::stackedBuffer(ml_program::GlobalLoadConstOp load) {
  exec::ParameterOp parameter = shared.parameter(load);
  StringAttr name = b.getStringAttr("weight." + parameter.getSource());
  if (!shared.symbols.lookup(name)) {
    auto type = cast<RankedTensorType>(parameter.getType());
    int64_t elements = type.getNumElements(),
            bytes = elements * elementBytes(type.getElementType());
    OpBuilder at = OpBuilder::atBlockBegin(shared.module.getBody());
    shared.insert(exec::WeightOp::create(at, f.getLoc(), name.getValue(),
                                         bytes * parameter.getCount(), exec::LayoutAttr()));
    // Whatever their shape, equal numbers of elements have one kernel.
    auto flat = RankedTensorType::get({elements}, type.getElementType());
    func::FuncOp kernel = emptyRelayout(flat, flat, {});
    OpBuilder k = OpBuilder::atBlockEnd(&kernel.getBody().front());
    Value copy = exec::RelayoutOp::create(k, f.getLoc(), kernel.getArgument(0), exec::LayoutAttr());
    func::ReturnOp::create(k, f.getLoc(), copy);
    kernel = shared.shareRelayout(
        kernel, llvm::formatv("copy_{0}_{1}", elements, type.getElementType()).str());
    launchInPack(kernel, parameter, name, {}, bytes);
  }
  return get(name);
}

/// Bytes of memory that all parts of a relayout's layout share.
int64_t ProgramBuilder::relayoutBytes(exec::RelayoutOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  exec::LayoutAttr layout = op.getLayoutAttr();
  int64_t elements =
      layout ? layout.elements(type.getShape()) * layout.getParts() : type.getNumElements();
  return elements * elementBytes(type.getElementType());
}

/// The weight that holds parameters as `parts` want them to lie, made on first use.
FailureOr<Value> ProgramBuilder::packedWeight(ArrayRef<Relaid> parts) {
  SmallVector<exec::ParameterOp> parameters, scales; // scales may be null
  for (const Relaid &part : parts) {
    parameters.push_back(shared.parameter(parameterLoad(part.source)));
    scales.push_back(part.scale ? shared.parameter(parameterLoad(part.scale))
                                : exec::ParameterOp());
  }
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
  std::string base = ("weight." + parameters[0].getSource()).str(), name = base;
  for (int i = 1; shared.symbols.lookup(name); ++i)
    name = base + "." + std::to_string(i);
  int64_t bytes = relayoutBytes(first);
  OpBuilder at = OpBuilder::atBlockBegin(shared.module.getBody());
  known = shared.insert(exec::WeightOp::create(at, f.getLoc(), name, bytes, first.getLayoutAttr()))
              .getSymNameAttr();
  for (auto [kernel, parameter, scale] : llvm::zip(kernels, parameters, scales))
    launchInPack(kernel, parameter, known, scale, bytes / parameter.getCount());
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
