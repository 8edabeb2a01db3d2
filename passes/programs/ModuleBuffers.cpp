//===- ModuleBuffers.cpp - what the programs of a module share -----------===//

#include "passes/programs/ModuleBuffers.h"
#include "dialects/job/Job.h"
#include "mlir/IR/Builders.h"
#include "passes/analysis/Products.h"
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
  bool sharded = global && global->hasAttr("hadal.segment_owners");
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

bool ModuleBuffers::inPanels(ml_program::GlobalOp global) {
  if (auto other = global->getAttrOfType<FlatSymbolRefAttr>("hadal.layout_of"))
    if (auto found = symbols.lookup<ml_program::GlobalOp>(other.getAttr()))
      global = found;
  auto known = panels.find(global);
  if (known != panels.end())
    return known->second;
  auto type = cast<RankedTensorType>(global.getType());
  bool result = type.getElementType().isF32() && (type.getRank() == 2 || type.getRank() == 3);
  module.walk([&](ml_program::GlobalLoadOp load) {
    if (load.getGlobal().getLeafReference() != global.getSymNameAttr())
      return;
    for (Operation *user : load->getUsers()) {
      auto product = matchProduct(user);
      result &= product && product->right == load.getResult() && product->left != load.getResult();
    }
  });
  return panels[global] = result;
}

StringAttr ModuleBuffers::state(ml_program::GlobalOp global) {
  auto named = global->getAttrOfType<StringAttr>("exec.state");
  StringAttr name =
      named ? named : StringAttr::get(module.getContext(), "weight." + global.getSymName());
  if (symbols.lookup(name))
    return name;
  auto type = cast<RankedTensorType>(global.getType());
  int64_t elements = type.getNumElements();
  if (inPanels(global)) {
    PanelLayout layout = PanelLayout::of(type, shape);
    elements =
        layout.bytes() / layout.elementBytes() * (type.getRank() == 3 ? type.getDimSize(0) : 1);
  }
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  AffineMap shape = AffineMap::get(0, 0, b.getAffineConstantExpr(elements));
  return insert(exec::StateOp::create(b, global.getLoc(), name, shape, type.getElementType()))
      .getSymNameAttr();
}

LogicalResult ModuleBuffers::describeTrainables() {
  auto list = module->getAttrOfType<ArrayAttr>("hadal.trainables");
  if (!list)
    return success();
  if (failed(job::wantKeysOfEach(module, "hadal.trainables", {"name", "shape"})))
    return failure();
  Builder b(module.getContext());
  SmallVector<Attribute> described;
  for (Attribute a : list) {
    NamedAttrList entry(cast<DictionaryAttr>(a));
    auto global =
        symbols.lookup<ml_program::GlobalOp>(cast<StringAttr>(entry.get("name")).getValue());
    auto sizes = cast<DenseI64ArrayAttr>(entry.get("shape")).asArrayRef();
    bool panelled = global && inPanels(global) && (sizes.size() == 2 || sizes.size() == 3);
    auto type = RankedTensorType::get(sizes, b.getF32Type());
    std::string layout = panelled ? "panels" : "plain";
    for (auto [i, d] : llvm::enumerate(sizes))
      layout += (i ? "x" : ".") + std::to_string(d);
    entry.set("layout", b.getStringAttr(layout));
    entry.set("packed_elements",
              b.getI64IntegerAttr(panelled ? PanelLayout::of(type, shape).bytes() / 4
                                           : type.getNumElements()));
    if (global)
      state(global);
    described.push_back(entry.getDictionary(module.getContext()));
  }
  module->setAttr("hadal.trainables", b.getArrayAttr(described));
  return success();
}

LogicalResult ModuleBuffers::checkGlobals() {
  for (auto global : module.getOps<ml_program::GlobalOp>()) {
    auto type = dyn_cast<RankedTensorType>(global.getType());
    if (!type || !type.hasStaticShape() || !type.getElementType().isIntOrFloat())
      return global.emitError() << "wants a tensor of numbers and of static shape, got "
                                << global.getType();
    // A stack has a tensor of the checkpoint for each number.
    if (global.getSymName().contains("{}") && (type.getRank() == 0 || type.getDimSize(0) == 0))
      return global.emitError() << "wants at least one tensor in the stack, got " << type;
  }
  return success();
}

exec::ProgramOp ModuleBuffers::packProgram() {
  if (!pack) {
    OpBuilder b = atEnd();
    pack =
        insert(exec::ProgramOp::create(b, module.getLoc(), "pack", b.getStrArrayAttr({"element"})));
    pack.getBody().emplaceBlock();
  }
  return pack;
}

func::FuncOp ModuleBuffers::shareKernel(func::FuncOp kernel, StringRef what) {
  std::string text;
  llvm::raw_string_ostream(text) << kernel;
  func::FuncOp &known = kernels[text];
  if (known) {
    kernel.erase();
  } else {
    kernel.setSymName(llvm::formatv("{0}_{1}", what, kernels.size() - 1).str());
    known = kernel;
  }
  return known;
}
