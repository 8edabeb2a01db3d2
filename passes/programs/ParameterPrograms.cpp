//===- ParameterPrograms.cpp - programs that walk the parameters ---------===//

#include "passes/programs/ParameterPrograms.h"
#include "dialects/job/Job.h"
#include "runtime/module/Names.h"

using namespace mlir;
using namespace hadal;

LogicalResult ParameterPrograms::readTrainables() {
  if (!module->hasAttr(job::kTrainablesAttr))
    return module.emitError() << "wants " << job::kTrainablesAttr;
  for (job::TrainableAttr p : job::trainablesOf(module)) {
    if (p.getLayout().empty())
      return module.emitError() << '"' << p.getName() << "\" has no memory: no program reads it";
    auto weights = module.lookupSymbol<exec::StateOp>((names::state::weight + p.getName()).str());
    trained.push_back({p.getName().str(), p.getLayout().str(),
                       weights ? weights.getLayoutAttr() : exec::LayoutAttr(),
                       RankedTensorType::get(p.getShape(), b.getF32Type()), p.getCount(),
                       p.getPackedElements(), p.getCorrection()});
  }
  return success();
}

exec::ProgramOp ParameterPrograms::program(StringRef name, ArrayRef<StringRef> registers) {
  b.setInsertionPointToEnd(module.getBody());
  current = exec::ProgramOp::create(b, module.getLoc(), name, b.getStrArrayAttr(registers));
  b.setInsertionPointToEnd(&current.getBody().emplaceBlock());
  return current;
}

Value ParameterPrograms::argument(StringRef name, ArrayRef<AffineExpr> shape, Type element,
                                  bool output) {
  return exec::ArgumentOp::create(
      b, module.getLoc(), exec::BufferType::get(b.getContext()), name,
      AffineMap::get(0, current.getRegisters().size(), shape, b.getContext()), element, output);
}

void ParameterPrograms::state(StringRef name, int64_t elements, Type element,
                              exec::LayoutAttr layout) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(module.getBody());
  exec::StateOp::create(b, module.getLoc(), name, AffineMap::get(0, 0, constant(elements)), element,
                        layout);
}

void ParameterPrograms::launch(func::FuncOp kernel, ArrayRef<Value> buffers,
                               ArrayRef<AffineExpr> scalars, ArrayRef<AffineExpr> offsets) {
  SmallVector<AffineMap> sizes, at;
  for (AffineExpr e : scalars)
    sizes.push_back(map(e));
  for (AffineExpr o : offsets)
    at.push_back(map(o));
  exec::LaunchOp::create(
      b, module.getLoc(), kernel.getSymName(), buffers, b.getAffineMapArrayAttr(sizes), ArrayAttr(),
      offsets.empty() ? ArrayAttr() : b.getAffineMapArrayAttr(at), AffineMapAttr(), IntegerAttr());
}

Value ParameterPrograms::temporary(AffineExpr bytes) {
  return exec::TemporaryOp::create(b, module.getLoc(), exec::BufferType::get(b.getContext()),
                                   map(bytes), IntegerAttr());
}
