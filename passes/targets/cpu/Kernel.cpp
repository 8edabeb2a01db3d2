//===- Kernel.cpp - a kernel between tensors and memory ------------------===//

#include "passes/targets/cpu/Kernel.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/mla/Mla.h"
#include "dialects/sample/Sample.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/targets/cpu/Packing.h"
#include "runtime/module/Module_generated.h"

using namespace mlir;
using namespace hadal;

Type hadal::storageType(Type element) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(element) ? IntegerType::get(element.getContext(), 8)
                                                        : element;
}

Value hadal::filledWith(Value tensor) {
  auto fill = tensor.getDefiningOp<linalg::FillOp>();
  return fill && fill.getInputs()[0].getDefiningOp<arith::ConstantOp>() ? fill.getInputs()[0]
                                                                        : Value();
}

/// What a kernel does with the memory of an argument that one of its results is written in.
static fb::Access inPlaceAccess(Value argument) {
  for (OpOperand &use : argument.getUses()) {
    if (isa<tensor::InsertSliceOp, mla::CacheAppendOp, mla::AppendCodesOp>(use.getOwner()))
      return fb::Access_Part;
    if (isa<sample::LogProbabilitiesOp>(use.getOwner()))
      return fb::Access_Write;
    if (auto op = dyn_cast<linalg::LinalgOp>(use.getOwner());
        op && op.isDpsInit(&use) && !op.payloadUsesValueFromOperand(&use))
      return fb::Access_Write;
  }
  return fb::Access_Update;
}

Kernel::Kernel(func::FuncOp tensors, VectorShape shape)
    : tensors(tensors), b(tensors.getLoc(), shape) {
  b.setInsertionPointAfter(tensors);
  SmallVector<Type> types;
  SmallVector<int> place; // argument of the lowered function that holds each tensor argument
  int parts = -1;         // the place of those that share memory
  auto memrefOf = [&](Type t) {
    auto tensor = cast<RankedTensorType>(t);
    for (int64_t d : tensor.getShape())
      scalars += ShapedType::isDynamic(d);
    return MemRefType::get(tensor.getShape(), storageType(tensor.getElementType()));
  };
  auto panelsOf = [&](Type t) {
    auto tensor = cast<RankedTensorType>(t);
    PanelLayout layout = PanelLayout::of(tensor, shape);
    return MemRefType::get({layout.panels() * layout.panelElements() *
                            (tensor.getRank() == 3 ? tensor.getDimSize(0) : 1)},
                           b.getF32Type());
  };
  Operation *terminator = tensors.getBody().front().getTerminator();
  for (auto [i, type] : llvm::enumerate(tensors.getArgumentTypes())) {
    auto layout = tensors.getArgAttrOfType<exec::LayoutAttr>(i, kLayoutAttr);
    if (isPacked(layout) && layout.getParts() > 1 && parts >= 0) {
      place.push_back(parts);
      continue;
    }
    place.push_back(types.size());
    if (isPanels(layout)) {
      panelTensors.insert(tensors.getArgument(i));
      types.push_back(panelsOf(type));
    } else if (isPacked(layout)) {
      if (layout.getParts() > 1)
        parts = types.size();
      // Packed buffers are addressed by element; their length is the runtime's to know.
      types.push_back(MemRefType::get({int64_t(1) << 46},
                                      storageType(cast<RankedTensorType>(type).getElementType())));
    } else {
      types.push_back(memrefOf(type));
    }
  }
  access.assign(types.size(), fb::Access_Read);
  SmallVector<int> resultPlace;
  for (auto [i, type] : llvm::enumerate(tensors.getResultTypes())) {
    int at = -1;
    for (unsigned a = 0; a < tensors.getNumArguments(); ++a)
      if (auto inPlace = tensors.getArgAttrOfType<IntegerAttr>(a, kInPlaceAttr);
          inPlace && inPlace.getInt() == int64_t(i)) {
        at = place[a];
        access[at] = inPlaceAccess(tensors.getArgument(a));
        if (panelTensors.contains(tensors.getArgument(a)))
          panelTensors.insert(terminator->getOperand(i));
      }
    if (at < 0) {
      at = types.size();
      access.push_back(fb::Access_Write);
      bool panels = isPanels(tensors.getResultAttrOfType<exec::LayoutAttr>(i, kLayoutAttr));
      types.push_back(panels ? panelsOf(type) : memrefOf(type));
      if (panels)
        panelTensors.insert(terminator->getOperand(i));
    }
    resultPlace.push_back(at);
  }
  unsigned buffers = types.size();
  types.append(
      {b.getIndexType(), b.getIndexType(), MemRefType::get({ShapedType::kDynamic}, b.getI8Type())});
  lowered = func::FuncOp::create(b, (tensors.getSymName() + "_lowered").str(),
                                 b.getFunctionType(types, {}));
  lowered->setAttr(kKernelAttr, b.getUnitAttr());
  lowered.setPrivate();
  Block *entry = lowered.addEntryBlock();
  for (auto [argument, at] : llvm::zip(tensors.getArguments(), place))
    memories.map(argument, entry->getArgument(at));
  // A result's memory is found through the value that is returned.
  for (auto [value, at] : llvm::zip(terminator->getOperands(), resultPlace))
    memories.map(value, entry->getArgument(at));
  begin = entry->getArgument(buffers);
  end = entry->getArgument(buffers + 1);
  scratch = entry->getArgument(buffers + 2);
  b.setInsertionPointToEnd(entry);
}

Value Kernel::indexValue(Value v) {
  if (Value known = memories.lookupOrNull(v))
    return known;
  Operation *op = v.getDefiningOp();
  if (auto dim = dyn_cast_or_null<tensor::DimOp>(op)) {
    Value source = memory(dim.getSource());
    Value result = source ? b.dim(source, *dim.getConstantIndex()) : Value();
    memories.map(v, result);
    return result;
  }
  for (Value operand : op->getOperands())
    indexValue(operand);
  b.clone(*op, memories);
  return memories.lookup(v);
}

Value Kernel::memory(Value tensor) {
  if (Value known = memories.lookupOrNull(tensor))
    return known;
  auto mixed = [&](ArrayRef<OpFoldResult> in) {
    SmallVector<OpFoldResult> out;
    for (OpFoldResult f : in)
      out.push_back(isa<Attribute>(f) ? f : OpFoldResult(indexValue(cast<Value>(f))));
    return out;
  };
  Value result;
  Operation *op = tensor.getDefiningOp();
  if (op && op->getNumOperands() && inPanels(op->getOperand(0)))
    return {}; // panels have no views
  if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op)) {
    Value source = memory(slice.getSource());
    if (!source)
      return {};
    auto offsets = mixed(slice.getMixedOffsets()), sizes = mixed(slice.getMixedSizes()),
         strides = mixed(slice.getMixedStrides());
    auto type = memref::SubViewOp::inferRankReducedResultType(
        slice.getType().getShape(), cast<MemRefType>(source.getType()), offsets, sizes, strides);
    result = memref::SubViewOp::create(b, cast<MemRefType>(type), source, offsets, sizes, strides);
  } else if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(op)) {
    Value source = memory(expand.getSrc());
    if (!source)
      return {};
    auto type = memref::ExpandShapeOp::computeExpandedType(cast<MemRefType>(source.getType()),
                                                           expand.getType().getShape(),
                                                           expand.getReassociationIndices());
    if (failed(type))
      return {};
    auto shape = mixed(getMixedValues(expand.getStaticOutputShape(), expand.getOutputShape(), b));
    result =
        memref::ExpandShapeOp::create(b, *type, source, expand.getReassociationIndices(), shape);
  } else if (auto collapse = dyn_cast_or_null<tensor::CollapseShapeOp>(op)) {
    Value source = memory(collapse.getSrc());
    if (!source || !memref::CollapseShapeOp::isGuaranteedCollapsible(
                       cast<MemRefType>(source.getType()), collapse.getReassociationIndices()))
      return {};
    result = memref::CollapseShapeOp::create(b, source, collapse.getReassociationIndices());
  }
  if (result)
    memories.map(tensor, result);
  return result;
}

LogicalResult Kernel::wantMemory(Operation *op, ValueRange values) {
  for (Value v : values)
    if (isa<RankedTensorType>(v.getType()) && !memory(v)) // numbers need none
      return tensors.emitError() << op->getName()
                                 << " kernel wants its operands to be arguments or views of them";
  return success();
}

AffineExpr Kernel::sizeOf(Value argument, unsigned dim) {
  unsigned symbol = 0;
  for (Value a : lowered.getArguments().drop_back(3)) {
    auto type = cast<MemRefType>(a.getType());
    for (unsigned d = 0; d < type.getRank(); ++d) {
      bool here = a == argument && d == dim;
      if (!type.isDynamicDim(d)) {
        if (here)
          return b.getAffineConstantExpr(type.getDimSize(d));
        continue;
      }
      if (here)
        return b.getAffineSymbolExpr(symbol);
      ++symbol;
    }
  }
  llvm_unreachable("not an argument of the kernel");
}

AffineExpr Kernel::resultDim(unsigned result, unsigned dim) {
  return sizeOf(memories.lookup(tensors.getBody().front().getTerminator()->getOperand(result)),
                dim);
}

void Kernel::finish(ArrayRef<AffineExpr> tasks, int64_t scratchBytes) {
  func::ReturnOp::create(b);
  auto tasksMap = AffineMapAttr::get(AffineMap::get(0, scalars, tasks, b.getContext()));
  lowered->setAttr(kLaunchAttr,
                   exec::LaunchAttr::get(b.getContext(), tasksMap, b.getDenseI64ArrayAttr(access),
                                         scratchBytes));
}
