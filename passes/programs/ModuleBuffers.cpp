//===- ModuleBuffers.cpp - what the programs of a module share -----------===//

#include "passes/programs/ModuleBuffers.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "mlir/IR/Builders.h"
#include "runtime/module/Names.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

exec::ParameterOp ModuleBuffers::parameter(ml_program::GlobalLoadConstOp load) {
  StringRef source = load.getGlobal().getLeafReference().getValue();
  std::string name = ("parameter." + source).str();
  if (auto known = symbols.lookup<exec::ParameterOp>(name))
    return known;
  auto type = cast<RankedTensorType>(load.getType());
  int64_t count = 1;
  if (source.contains("{}")) {
    count = type.getDimSize(0);
    type = RankedTensorType::get(type.getShape().drop_front(), type.getElementType());
  }
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  auto global = symbols.lookup<ml_program::GlobalOp>(source);
  bool sharded = global && global->hasAttr(job::kSegmentOwnersAttr);
  exec::ParameterOp made;
  if (count == 1 && source.contains("{}") && !sharded) // a stack of one is the tensor itself
    made = exec::ParameterOp::create(b, load.getLoc(), name,
                                     source.str().replace(source.find("{}"), 2, "0"), type, 1);
  else
    made = exec::ParameterOp::create(b, load.getLoc(), name, source, type, count);
  made.setSharded(sharded);
  return insert(made);
}

ml_program::GlobalOp ModuleBuffers::global(Value v) {
  auto load = v.getDefiningOp<ml_program::GlobalLoadOp>();
  return load ? symbols.lookup<ml_program::GlobalOp>(load.getGlobal().getLeafReference())
              : ml_program::GlobalOp();
}

StringAttr ModuleBuffers::state(ml_program::GlobalOp global) {
  auto named = global->getAttrOfType<StringAttr>(kStateAttr);
  StringAttr name =
      named ? named
            : StringAttr::get(module.getContext(), names::state::weight + global.getSymName());
  if (symbols.lookup(name))
    return name;
  auto type = cast<RankedTensorType>(global.getType());
  exec::LayoutAttr layout = layoutOf(global);
  int64_t elements = layout ? layout.elements(type.getShape()) : type.getNumElements();
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  AffineMap shape = AffineMap::get(0, 0, b.getAffineConstantExpr(elements));
  return insert(
             exec::StateOp::create(b, global.getLoc(), name, shape, type.getElementType(), layout))
      .getSymNameAttr();
}

void ModuleBuffers::describeTrainables() {
  SmallVector<job::TrainableAttr> described;
  for (job::TrainableAttr entry : job::trainablesOf(module)) {
    auto global = symbols.lookup<ml_program::GlobalOp>(entry.getName());
    ArrayRef<int64_t> sizes = entry.getShape();
    exec::LayoutAttr layout = global && sizes.size() >= 2 ? layoutOf(global) : exec::LayoutAttr();
    // Its programs have the name of the layout, without the target's, and of the sizes.
    std::string name = layout ? layout.getName().rsplit('.').second.str() : "plain";
    for (auto [i, d] : llvm::enumerate(sizes))
      name += (i ? "x" : ".") + std::to_string(d);
    described.push_back(entry.withLayout(name, layout ? layout.elements(sizes)
                                                      : ShapedType::getNumElements(sizes)));
    if (global)
      state(global);
  }
  if (!described.empty())
    job::setTrainables(module, described);
}

/// Whether the module need not hold the values that `global` says: they come from a checkpoint, or
/// are the zeros that states begin with.
static bool isWithoutData(ml_program::GlobalOp global) {
  Attribute value = global.getValueAttr();
  if (!value || isa<ml_program::ExternAttr>(value))
    return true;
  auto splat = dyn_cast<SplatElementsAttr>(value);
  return global.getIsMutable() && splat &&
         splat.getSplatValue<Attribute>() ==
             Builder(global.getContext()).getZeroAttr(splat.getElementType());
}

LogicalResult ModuleBuffers::checkGlobals() {
  for (auto global : module.getOps<ml_program::GlobalOp>()) {
    auto type = dyn_cast<RankedTensorType>(global.getType());
    if (!type || !type.hasStaticShape() || !type.getElementType().isIntOrFloat())
      return global.emitError() << "wants a tensor of numbers and of static shape, got "
                                << global.getType();
    if (!isWithoutData(global))
      return global.emitError() << "wants values of a checkpoint (#ml_program.extern), or zeros of "
                                   "a mutable global: a module holds no other data";
    // A stack has a tensor of the checkpoint for each number.
    if (global.getSymName().contains("{}") && (type.getRank() == 0 || type.getDimSize(0) == 0))
      return global.emitError() << "wants at least one tensor in the stack, got " << type;
    exec::LayoutAttr layout = layoutOf(global);
    if (!layout)
      continue;
    if (!layout.getOutputs() || layout.getParts() > 1)
      return global.emitError() << "wants a layout with outputs and inner, and of one part, got "
                                << layout;
  }
  return success();
}

exec::ProgramOp ModuleBuffers::packProgram() {
  if (!pack) {
    OpBuilder b = atEnd();
    pack = insert(exec::ProgramOp::create(b, module.getLoc(), names::program::pack,
                                          b.getStrArrayAttr({names::reg::element})));
    pack.getBody().emplaceBlock();
  }
  return pack;
}

/// The known kernel that equals `kernel`, which is erased, or else `kernel`.
static func::FuncOp share(llvm::StringMap<func::FuncOp> &kernels, func::FuncOp kernel,
                          function_ref<std::string()> name) {
  std::string text;
  llvm::raw_string_ostream(text) << kernel;
  func::FuncOp &known = kernels[text];
  if (known) {
    kernel.erase();
  } else {
    kernel.setSymName(name());
    known = kernel;
  }
  return known;
}

func::FuncOp ModuleBuffers::shareKernel(func::FuncOp kernel, StringRef what) {
  return share(kernels, kernel,
               [&] { return llvm::formatv("{0}_{1}", what, kernels.size() - 1).str(); });
}

func::FuncOp ModuleBuffers::shareRelayout(func::FuncOp kernel, StringRef what) {
  return share(relayouts, kernel, [&] {
    std::string name = what.str();
    for (int i = 1; module.lookupSymbol(name); ++i)
      name = llvm::formatv("{0}_{1}", what, i);
    return name;
  });
}
