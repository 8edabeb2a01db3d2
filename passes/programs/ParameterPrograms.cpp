//===- ParameterPrograms.cpp - programs that walk the parameters ---------===//

#include "passes/programs/ParameterPrograms.h"
#include "dialects/job/Job.h"

using namespace mlir;
using namespace hadal;

LogicalResult ParameterPrograms::readTrainables() {
  if (!module->hasAttr(job::kTrainablesAttr))
    return module.emitError() << "wants " << job::kTrainablesAttr;
  for (job::TrainableAttr p : job::trainablesOf(module)) {
    if (p.getLayout().empty())
      return module.emitError() << '"' << p.getName() << "\" has no memory: no program reads it";
    auto weights = module.lookupSymbol<exec::StateOp>(("weight." + p.getName()).str());
    trained.push_back({p.getName().str(), p.getLayout().str(),
                       weights ? weights.getLayoutAttr() : exec::LayoutAttr(),
                       RankedTensorType::get(p.getShape(), b.getF32Type()), p.getCount(),
                       p.getPackedElements(), p.getCorrection()});
  }
  return success();
}

/// A kernel over buffers of `rank` dimensions. Its scalars are their sizes, in order.
func::FuncOp
ParameterPrograms::kernel(StringRef name, ArrayRef<Type> elements, AffineExpr tasks, int64_t rank,
                          function_ref<void(KernelBuilder &, func::FuncOp, Value, Value)> body) {
  KernelBuilder k(module.getLoc(), shape);
  k.setInsertionPointToEnd(module.getBody());
  SmallVector<Type> types;
  for (Type t : elements)
    types.push_back(MemRefType::get(SmallVector<int64_t>(rank, ShapedType::kDynamic), t));
  unsigned count = types.size();
  types.append(
      {k.getIndexType(), k.getIndexType(), MemRefType::get({ShapedType::kDynamic}, k.getI8Type())});
  auto f = func::FuncOp::create(k, name, k.getFunctionType(types, {}));
  f.setPrivate();
  f->setAttr(kKernelAttr, k.getUnitAttr());
  f->setAttr(kLoweredAttr, k.getUnitAttr());
  f->setAttr("exec.bindings", k.getI64IntegerAttr(count));
  f->setAttr(kScratchAttr, k.getI64IntegerAttr(0));
  f->setAttr(kTasksAttr, AffineMapAttr::get(AffineMap::get(0, count * rank, tasks)));
  k.setInsertionPointToEnd(f.addEntryBlock());
  body(k, f, f.getArgument(count), f.getArgument(count + 1));
  func::ReturnOp::create(k);
  return f;
}

/// The elements of tasks begin .. end-1 in whole vectors, then one by one.
void ParameterPrograms::walk(KernelBuilder &k, Value begin, Value end, Value elements,
                             function_ref<void(Value, int64_t)> at) {
  Value first = k.mul(begin, taskElements), last = k.min(k.mul(end, taskElements), elements);
  Value whole = k.add(first, k.mul(k.div(k.sub(last, first), lanes), lanes));
  k.loop(first, whole, lanes, [&](Value i) { at(i, lanes); });
  k.loop(whole, last, 1, [&](Value i) { at(i, 1); });
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

void ParameterPrograms::state(StringRef name, int64_t elements, Type element) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(module.getBody());
  exec::StateOp::create(b, module.getLoc(), name, AffineMap::get(0, 0, constant(elements)),
                        element);
}

void ParameterPrograms::launch(func::FuncOp kernel, ArrayRef<Value> buffers,
                               ArrayRef<AffineExpr> scalars, ArrayRef<AffineExpr> offsets) {
  unsigned registers = current.getRegisters().size();
  auto map = [&](AffineExpr e) { return AffineMap::get(0, registers, e); };
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
  AffineMap map = AffineMap::get(0, current.getRegisters().size(), bytes);
  return exec::TemporaryOp::create(b, module.getLoc(), exec::BufferType::get(b.getContext()), map,
                                   IntegerAttr());
}
