//===- FormPrograms.cpp - functions on tensors become programs ------------===//
//
// Which ops share a kernel (Grouping.cpp), what the sizes are (Sizes.cpp), what the programs of a
// module share (ModuleBuffers.cpp), tensors that are laid out (PackWeights.cpp), and here each
// program with its kernels.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"
#include "passes/analysis/Flops.h"
#include "passes/analysis/ParameterSource.h"
#include "passes/programs/FormChunks.h"
#include "passes/programs/InputRules.h"
#include "passes/programs/ProgramBuilder.h"
#include "passes/targets/Target.h"
#include "llvm/Support/FormatVariadic.h"

namespace hadal {
#define GEN_PASS_DEF_EXECFORMPROGRAMS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// The op that writes over `v` in place, if nothing else reads it (a size is no reading).
OpOperand *overwriter(Value v) {
  OpOperand *found = nullptr;
  for (OpOperand &use : v.getUses()) {
    if (isa<tensor::DimOp>(use.getOwner()))
      continue;
    if (found)
      return nullptr;
    found = &use;
  }
  return found && destinationOf(found->getOwner()) == found ? found : nullptr;
}

/// True if `v` is written into memory that the program does not own alone: a state.
bool livesElsewhere(func::FuncOp f, Value v) {
  while (OpOperand *destination = destinationOf(v.getDefiningOp()))
    v = throughReshapes(destination->get());
  auto argument = dyn_cast<BlockArgument>(v);
  return v.getDefiningOp<ml_program::GlobalLoadOp>() ||
         (argument && f.getArgAttr(argument.getArgNumber(), kStateAttr));
}

/// Every returned value becomes the result of an op of its own, so that it has memory of its own.
void materializeResults(func::FuncOp f) {
  Operation *terminator = f.getBody().front().getTerminator();
  DenseSet<Value> seen;
  for (auto [i, operand] : llvm::enumerate(terminator->getOpOperands())) {
    if (f.getResultAttr(i, kStateAttr))
      continue;
    Value root = throughReshapes(operand.get());
    Operation *op = root.getDefiningOp();
    if (op && !isFree(op) && !livesElsewhere(f, root) && seen.insert(root).second)
      continue;
    returnCopy(operand);
  }
}

} // namespace

LogicalResult ProgramBuilder::checkTypes() {
  auto check = [&](StringRef what, TypeRange types) -> LogicalResult {
    for (auto [i, type] : llvm::enumerate(types)) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      if (!tensor || !tensor.getElementType().isIntOrFloat())
        return f.emitError() << what << ' ' << i << " wants to be a ranked tensor of numbers, got "
                             << type;
    }
    return success();
  };
  if (failed(check("argument", f.getArgumentTypes())) ||
      failed(check("result", f.getResultTypes())))
    return failure();
  for (Operation &op : f.getBody().front())
    for (Type type : op.getResultTypes()) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      bool isNumber = (tensor ? tensor.getElementType() : type).isIntOrIndexOrFloat();
      if (!isNumber || (!tensor && !isFree(&op)))
        return op.emitOpError() << "wants to make ranked tensors of numbers in a program, got "
                                << type;
    }
  return success();
}

LogicalResult ProgramBuilder::readArguments() {
  MLIRContext *context = f.getContext();
  SmallVector<Attribute> names = registersOf(f);
  for (Attribute name : names)
    registers.push_back(cast<StringAttr>(name).getValue());

  StringAttr name = f.getSymNameAttr();
  f.setSymName((name.getValue() + ".function").str());
  OpBuilder at = shared.atEnd();
  program = exec::ProgramOp::create(at, f.getLoc(), name, b.getArrayAttr(names));
  program.getBody().emplaceBlock();
  b.setInsertionPointToEnd(&program.getBody().front());

  unsigned next = 0;
  for (auto [i, argument] : llvm::enumerate(f.getArguments())) {
    auto type = cast<RankedTensorType>(argument.getType());
    SmallVector<AffineExpr> shape;
    auto given = f.getArgAttrOfType<AffineMapAttr>(i, kShapeAttr);
    for (int64_t d = 0; d < type.getRank(); ++d) {
      if (!type.isDynamicDim(d))
        shape.push_back(getAffineConstantExpr(type.getDimSize(d), context));
      else
        shape.push_back(given ? given.getValue().getResult(d)
                              : getAffineSymbolExpr(next++, context));
      sizes.set(argument, d, shape.back());
    }
    AffineMap shapeMap = AffineMap::get(0, registers.size(), shape, context);
    if (auto state = f.getArgAttrOfType<StringAttr>(i, kStateAttr)) {
      buffers[argument] = get(state);
      continue;
    }
    auto argumentName = f.getArgAttrOfType<StringAttr>(i, kNameAttr);
    buffers[argument] = exec::ArgumentOp::create(
        b, argument.getLoc(), exec::BufferType::get(context),
        argumentName ? argumentName.getValue() : StringRef(llvm::formatv("arg{0}", i).str()),
        shapeMap, type.getElementType(), false);
  }
  return success();
}

FailureOr<AffineExpr> ProgramBuilder::bytesOf(Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  AffineExpr bytes = getAffineConstantExpr(elementBytes(type.getElementType()), f.getContext());
  for (int64_t d = 0; d < type.getRank(); ++d) {
    auto size = sizes.dim(tensor, d);
    if (failed(size))
      return tensor.getDefiningOp()->emitError()
             << "dimension " << d << " of " << type << " is no function of the arguments' sizes";
    bytes = bytes * *size;
  }
  return bytes;
}

FailureOr<Value> ProgramBuilder::temporary(RankedTensorType type, Value tensor) {
  auto bytes = bytesOf(tensor);
  if (failed(bytes))
    return failure();
  return Value(exec::TemporaryOp::create(b, f.getLoc(), exec::BufferType::get(f.getContext()),
                                         map(*bytes), IntegerAttr()));
}

/// The output that `result` is returned in, be it through ops that write over it in place; null if
/// there is none.
Value ProgramBuilder::placeOf(Value result) {
  while (true) {
    if (Value place = outputs.lookup(result))
      return place;
    OpOperand *next = overwriter(result);
    if (!next)
      return {};
    result = next->getOwner()->getResult(0);
  }
}

/// What becomes the value of a state is made in its memory, where the function reads nothing that
/// was there before.
void ProgramBuilder::placeStores() {
  DenseSet<Attribute> read;
  for (auto load : f.getBody().front().getOps<ml_program::GlobalLoadOp>())
    read.insert(load.getGlobal().getLeafReference());
  for (auto store : f.getBody().front().getOps<ml_program::GlobalStoreOp>()) {
    auto global = shared.symbols.lookup<ml_program::GlobalOp>(store.getGlobal().getLeafReference());
    Value made = throughReshapes(store.getValue());
    Operation *op = made.getDefiningOp();
    // Stored twice, the last one would be overwritten.
    if (op && !isFree(op) && !livesElsewhere(f, made) && !ModuleBuffers::layoutOf(global) &&
        read.insert(global.getSymNameAttr()).second && !outputs.count(made))
      outputs[made] = get(shared.state(global));
  }
}

/// Gives memory that is written over later its initial value.
LogicalResult ProgramBuilder::launchFill(linalg::FillOp fill, Value place) {
  auto type = cast<RankedTensorType>(fill.getResult(0).getType());
  TypedAttr value;
  if (!matchPattern(fill.getInputs()[0], m_Constant(&value)))
    return fill.emitError("wants a constant where its result is written over");
  OpBuilder at = shared.atEnd();
  auto kernel = func::FuncOp::create(at, fill.getLoc(), "kernel",
                                     FunctionType::get(f.getContext(), {type}, {type}));
  OpBuilder k = OpBuilder::atBlockEnd(kernel.addEntryBlock());
  Value constant = arith::ConstantOp::create(k, fill.getLoc(), value);
  Value filled =
      linalg::FillOp::create(k, fill.getLoc(), constant, kernel.getArgument(0)).getResult(0);
  func::ReturnOp::create(k, fill.getLoc(), filled);
  kernel->setAttr(kKernelAttr, b.getUnitAttr());
  kernel.setArgAttr(0, kInPlaceAttr, b.getI64IntegerAttr(0));
  kernel.setPrivate();
  kernel = shared.shareKernel(kernel, "fill");
  SmallVector<AffineMap> scalars;
  for (int64_t d = 0; d < type.getRank(); ++d)
    if (type.isDynamicDim(d)) {
      auto size = sizes.dim(fill.getResult(0), d);
      if (failed(size))
        return fill.emitError() << "dimension " << d << " is no function of the arguments' sizes";
      scalars.push_back(map(*size));
    }
  exec::LaunchOp::create(b, fill.getLoc(), kernel.getSymName(), ValueRange{place},
                         b.getAffineMapArrayAttr(scalars), ArrayAttr(), ArrayAttr(),
                         AffineMapAttr(), IntegerAttr());
  return success();
}

/// The memory that the op of `destination` writes over: that of its destination where nothing else
/// needs it, else other memory that begins as a copy of it.
FailureOr<Value> ProgramBuilder::destinationBuffer(OpOperand &destination) {
  Operation *op = destination.getOwner();
  Value v = destination.get(), result = op->getResult(0), root = throughReshapes(v);
  auto place = [&]() -> FailureOr<Value> {
    if (Value output = placeOf(result))
      return output;
    return temporary(cast<RankedTensorType>(result.getType()), result);
  };
  if (isa_and_nonnull<tensor::EmptyOp, linalg::FillOp>(root.getDefiningOp())) {
    auto fresh = place();
    if (auto fill = root.getDefiningOp<linalg::FillOp>();
        fill && succeeded(fresh) && failed(launchFill(fill, *fresh)))
      return failure();
    return fresh;
  }
  auto here = bufferOf(root, op);
  if (failed(here))
    return failure();
  bool alone = true; // along the reshapes too
  for (Value step = v;; step = step.getDefiningOp()->getOperand(0)) {
    unsigned readers = llvm::count_if(
        step.getUses(), [](OpOperand &use) { return !isa<tensor::DimOp>(use.getOwner()); });
    alone &= readers == 1;
    if (step == root)
      break;
  }
  Operation *memory = here->getDefiningOp();
  Value output = placeOf(result);
  // A state is there to be changed. What the caller lent is not, nor is what someone else reads.
  bool state = isa<exec::GetOp>(memory) && !root.getDefiningOp<ml_program::GlobalLoadConstOp>();
  if (state || (alone && isa<exec::TemporaryOp, exec::ArgumentOp>(memory) &&
                !isa<BlockArgument>(root) && (!output || output == *here)))
    return here;
  auto fresh = place();
  auto bytes = bytesOf(v);
  if (failed(fresh) || failed(bytes))
    return failure();
  exec::CopyOp::create(b, op->getLoc(), *fresh, *here, map(*bytes), IntegerAttr());
  return fresh;
}

FailureOr<Value> ProgramBuilder::bufferOf(Value tensor, Operation *reader) {
  auto known = buffers.find(tensor);
  if (known != buffers.end())
    return known->second;
  if (auto load = tensor.getDefiningOp<ml_program::GlobalLoadConstOp>()) {
    exec::ParameterOp parameter = shared.parameter(load);
    if (parameter.getCount() > 1)
      return stackedBuffer(load);
    return get(parameter.getSymNameAttr());
  }
  if (ml_program::GlobalOp global = shared.global(tensor))
    return get(shared.state(global));
  if (Operation *op = tensor.getDefiningOp(); op && isMadeByPack(op))
    return madeBuffer(tensor);
  return reader->emitError("reads a value that has no memory");
}

/// Multiplications and additions of the group.
AffineExpr ProgramBuilder::flops(ArrayRef<Operation *> group) {
  auto *found = llvm::find(registers, "attended");
  AffineExpr attended, sum = getAffineConstantExpr(0, f.getContext());
  if (found != registers.end())
    attended = getAffineSymbolExpr(found - registers.begin(), f.getContext());
  for (Operation *op : group)
    sum = sum + flopsOf(op, sizes, attended);
  return sum;
}

/// Brings `v` into the kernel: as an argument where it has memory, else the free op that makes it.
LogicalResult ProgramBuilder::bring(Value v, GroupKernel &kernel, OpBuilder &k) {
  if (kernel.mapping.contains(v))
    return success();
  Operation *op = v.getDefiningOp();
  if (kernel.isWritten(v) || !op ||
      isa<ml_program::GlobalLoadConstOp, ml_program::GlobalLoadOp, exec::RelayoutOp>(op) ||
      (!isFree(op) && !llvm::is_contained(kernel.group, op)) || buffers.count(v)) {
    kernel.inputs.push_back(v);
    kernel.mapping.map(v, k.getBlock()->addArgument(v.getType(), kernel.group.back()->getLoc()));
    return success();
  }
  if (isa<tensor::DimOp, moe::CountOp>(op)) {
    // Any operand of this size will do; a dimension's own source may be far away.
    auto size = sizes.index(v);
    if (failed(size))
      return op->emitError("is no function of the arguments' sizes");
    for (Value input : kernel.inputs) {
      auto type = dyn_cast<RankedTensorType>(input.getType());
      for (int64_t d = 0; type && d < type.getRank(); ++d)
        if (auto here = sizes.dim(input, d);
            type.isDynamicDim(d) && succeeded(here) && *here == *size) {
          Value same = tensor::DimOp::create(k, op->getLoc(), kernel.mapping.lookup(input), d);
          kernel.mapping.map(v, same);
          return success();
        }
    }
  }
  for (Value operand : op->getOperands())
    if (failed(bring(operand, kernel, k)))
      return failure();
  k.clone(*op, kernel.mapping)->removeAttr(job::kPartAttr);
  return success();
}

/// Copies the group's ops into the kernel, with what they read.
LogicalResult ProgramBuilder::cloneGroup(GroupKernel &kernel, OpBuilder &k) {
  for (Operation *op : kernel.group) {
    for (Value operand : op->getOperands())
      if (failed(bring(operand, kernel, k)))
        return failure();
    WalkResult captured = op->walk([&](Operation *inner) { // payloads may read values from outside
      for (Value operand : inner->getOperands())
        if (operand.getParentRegion()->isAncestor(op->getParentRegion()) &&
            failed(bring(operand, kernel, k)))
          return WalkResult::interrupt();
      return WalkResult::advance();
    });
    if (captured.wasInterrupted())
      return failure();
    k.clone(*op, kernel.mapping)->removeAttr(job::kPartAttr);
  }
  return success();
}

/// Makes the kernel on tensors: the group's ops and whatever is free, from the values that have
/// memory to those that something outside reads.
LogicalResult ProgramBuilder::formKernel(GroupKernel &kernel) {
  MLIRContext *context = f.getContext();
  Operation *last = kernel.group.back();
  OpBuilder at = shared.atEnd();
  auto function =
      func::FuncOp::create(at, last->getLoc(), "kernel", FunctionType::get(context, {}, {}));
  Block *body = function.addEntryBlock();
  OpBuilder k = OpBuilder::atBlockEnd(body);
  if (failed(cloneGroup(kernel, k)))
    return failure();
  SmallVector<Value> returned;
  for (Operation *op : kernel.group)
    for (Value r : op->getResults()) {
      bool outside = llvm::any_of(r.getUsers(), [&](Operation *user) {
        while (user && user->getBlock() != op->getBlock())
          user = user->getParentOp();
        return !user || !llvm::is_contained(kernel.group, user);
      });
      if (outside || op == last) {
        kernel.results.push_back(r);
        returned.push_back(kernel.mapping.lookup(r));
      }
    }
  func::ReturnOp::create(k, last->getLoc(), returned);
  function.setType(
      FunctionType::get(context, body->getArgumentTypes(), ValueRange(returned).getTypes()));
  function->setAttr(kKernelAttr, b.getUnitAttr());
  function.setPrivate();
  for (auto [i, v] : llvm::enumerate(kernel.inputs)) {
    if (exec::LayoutAttr layout = layoutOf(v, shared.symbols))
      function.setArgAttr(i, kLayoutAttr, layout);
    if (kernel.isWritten(v))
      function.setArgAttr(i, kInPlaceAttr, b.getI64IntegerAttr(0));
  }
  kernel.function = shared.shareKernel(function, describe(kernel.group));
  return success();
}

/// The launch's scalars for `v`: its dynamic sizes.
LogicalResult ProgramBuilder::addScalars(Value v, Operation *op, SmallVector<AffineMap> &scalars) {
  auto type = cast<RankedTensorType>(v.getType());
  for (int64_t d = 0; d < type.getRank(); ++d)
    if (type.isDynamicDim(d)) {
      auto size = sizes.dim(v, d);
      if (failed(size))
        return op->emitError() << "dimension " << d
                               << " of an operand is no function of the arguments' sizes";
      scalars.push_back(map(*size));
    }
  return success();
}

/// Buffers and scalars of the launch, in the order of the lowered kernel's arguments.
LogicalResult ProgramBuilder::bindKernel(GroupKernel &kernel, SmallVector<Value> &bound,
                                         SmallVector<AffineMap> &scalars) {
  Operation *last = kernel.group.back();
  SmallVector<exec::RelayoutOp> parts; // of one memory
  for (Value v : kernel.inputs)
    if (auto relayout = v.getDefiningOp<exec::RelayoutOp>())
      if (exec::LayoutAttr layout = relayout.getLayoutAttr(); layout && layout.getParts() > 1)
        parts.push_back(relayout);
  llvm::sort(parts, [](exec::RelayoutOp x, exec::RelayoutOp y) {
    return x.getLayoutAttr().getPart() < y.getLayoutAttr().getPart();
  });
  bool partsDone = false;
  for (Value v : kernel.inputs) {
    if (auto relayout = v.getDefiningOp<exec::RelayoutOp>()) {
      bool isPart = llvm::is_contained(parts, relayout);
      if (isPart && std::exchange(partsDone, true))
        continue;
      auto buffer = laidOut(isPart ? ArrayRef(parts) : ArrayRef(relayout), last);
      if (failed(buffer))
        return failure();
      bound.push_back(*buffer);
      continue;
    }
    bool written = kernel.isWritten(v);
    auto buffer = written ? destinationBuffer(*kernel.destination) : bufferOf(v, last);
    if (failed(buffer) || failed(addScalars(v, last, scalars)))
      return failure();
    if (written)
      buffers[last->getResult(0)] = *buffer;
    bound.push_back(*buffer);
  }
  if (kernel.destination)
    return success();
  for (Value r : kernel.results) {
    Value place = placeOf(r);
    if (!place) {
      auto made = temporary(cast<RankedTensorType>(r.getType()), r);
      if (failed(made))
        return failure();
      place = *made;
    }
    buffers[r] = place;
    if (failed(addScalars(r, last, scalars)))
      return failure();
    bound.push_back(place);
  }
  return success();
}

LogicalResult ProgramBuilder::launchGroup(ArrayRef<Operation *> group) {
  Operation *last = group.back();
  GroupKernel kernel{group, destinationOf(last)};
  if (kernel.destination && llvm::count(last->getOperands(), kernel.destination->get()) > 1)
    return last->emitError("wants a destination that it does not also read");
  SmallVector<Value> bound;
  SmallVector<AffineMap> scalars;
  if (failed(formKernel(kernel)) || failed(bindKernel(kernel, bound, scalars)))
    return failure();
  AffineExpr work = flops(group);
  bool counts = work != getAffineConstantExpr(0, f.getContext());
  exec::LaunchOp::create(b, last->getLoc(), kernel.function.getSymName(), bound,
                         b.getAffineMapArrayAttr(scalars), ArrayAttr(), ArrayAttr(),
                         counts ? AffineMapAttr::get(map(work)) : AffineMapAttr(), IntegerAttr());
  return success();
}

/// What was not made in its state's memory is copied there, after everything that reads what was
/// there before.
LogicalResult ProgramBuilder::storeGlobals() {
  for (auto store : f.getBody().front().getOps<ml_program::GlobalStoreOp>()) {
    auto global = shared.symbols.lookup<ml_program::GlobalOp>(store.getGlobal().getLeafReference());
    auto from = bufferOf(store.getValue(), store);
    if (failed(from))
      return failure();
    Value state = get(shared.state(global));
    if (*from == state)
      continue;
    auto type = cast<RankedTensorType>(global.getType());
    if (ModuleBuffers::layoutOf(global))
      return store.emitError() << "stores a tensor that was not made as @" << global.getSymName()
                               << " lies";
    AffineExpr bytes = getAffineConstantExpr(tensorBytes(type), f.getContext());
    exec::CopyOp::create(b, store.getLoc(), state, *from, map(bytes), IntegerAttr());
  }
  return success();
}

/// What the runtime has to check before it runs the program.
LogicalResult ProgramBuilder::requireInputs() {
  InputRules rules(f, sizes);
  if (failed(rules.derive()))
    return failure();
  for (const InputRules::Size &rule : rules.sizeRules())
    exec::RequireSizeOp::create(b, f.getLoc(), map(rule.size), map(rule.wanted), rule.atLeast);
  for (const InputRules::Content &rule : rules.contents())
    exec::RequireOp::create(b, rule.argument.getLoc(), rule.kind, buffers[rule.argument],
                            map(rule.least), map(rule.below),
                            rule.offsets ? buffers[rule.offsets] : Value());
  return success();
}

LogicalResult ProgramBuilder::build() {
  if (!f.getBody().hasOneBlock())
    return f.emitError("wants one block to become a program");
  if (failed(checkTypes()))
    return failure();
  materializeResults(f);
  if (failed(readArguments()) || failed(requireInputs()))
    return failure();
  Operation *terminator = f.getBody().front().getTerminator();
  for (auto [i, v] : llvm::enumerate(terminator->getOperands())) {
    if (f.getResultAttr(i, kStateAttr))
      continue;
    auto type = cast<RankedTensorType>(v.getType());
    SmallVector<AffineExpr> shape;
    for (int64_t d = 0; d < type.getRank(); ++d) {
      auto size = sizes.dim(v, d);
      if (failed(size))
        return f.emitError() << "dimension " << d << " of result " << i
                             << " is no function of the arguments' sizes";
      shape.push_back(*size);
    }
    auto name = f.getResultAttrOfType<StringAttr>(i, kNameAttr);
    Value output = exec::ArgumentOp::create(
        b, f.getLoc(), exec::BufferType::get(f.getContext()),
        name ? name.getValue() : StringRef(llvm::formatv("result{0}", i).str()),
        AffineMap::get(0, registers.size(), shape, f.getContext()), type.getElementType(), true);
    outputs[throughReshapes(v)] = output;
  }
  placeStores();
  Grouping grouping(f.getBody().front(), target);
  for (auto &group : grouping.groups)
    if (!isPackedAway(group) && failed(launchGroup(group)))
      return failure();
  if (failed(storeGlobals()))
    return failure();
  f.erase();
  return success();
}

namespace {

struct FormPrograms : public hadal::impl::ExecFormProgramsBase<FormPrograms> {
  using ExecFormProgramsBase::ExecFormProgramsBase;
  void runOnOperation() override {
    const Target *known = findTarget(getOperation(), target);
    if (!known)
      return signalPassFailure();
    ModuleBuffers shared(getOperation());
    if (failed(shared.checkGlobals()))
      return signalPassFailure();
    SmallVector<func::FuncOp> functions;
    for (auto f : getOperation().getOps<func::FuncOp>())
      if (f.isPublic() && !f.isExternal())
        functions.push_back(f);
    for (auto f : functions)
      if (failed(ProgramBuilder(shared, *known, f).build()))
        return signalPassFailure();
    // Chunks call the programs that their sections became.
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>()))
      if (f->hasAttr(job::kChunkAttr) && failed(formChunk(shared, f)))
        return signalPassFailure();
    shared.describeTrainables();
    for (auto global : llvm::make_early_inc_range(getOperation().getOps<ml_program::GlobalOp>()))
      global.erase();
    // How a graph is to be compiled: from here on it is.
    getOperation()->removeAttr(job::kSettingsAttr);
  }
};

} // namespace

linalg::CopyOp hadal::returnCopy(OpOperand &returned) {
  Operation *terminator = returned.getOwner();
  ImplicitLocOpBuilder b(terminator->getParentOp()->getLoc(), terminator);
  Value v = returned.get();
  auto type = cast<RankedTensorType>(v.getType());
  SmallVector<Value> dynamic;
  for (int64_t d = 0; d < type.getRank(); ++d)
    if (type.isDynamicDim(d))
      dynamic.push_back(tensor::DimOp::create(b, v, d));
  auto copy = linalg::CopyOp::create(b, v, tensor::EmptyOp::create(b, type, dynamic).getResult());
  returned.set(copy.getResult(0));
  return copy;
}
