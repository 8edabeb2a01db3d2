//===- FormChunks.cpp - chunk functions become programs of calls ---------===//

#include "passes/programs/FormChunks.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/analysis/GraphQueries.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;

namespace {

constexpr int64_t compute = 0, communication = 1;

class ChunkBuilder {
public:
  ChunkBuilder(ModuleBuffers &shared, func::FuncOp f) : shared(shared), f(f), b(f.getContext()) {}

  LogicalResult build() {
    if (failed(check()))
      return failure();
    MLIRContext *context = f.getContext();
    std::string name = f.getSymName().str();
    f.setSymName(name + ".function");
    OpBuilder at = shared.atEnd();
    auto program = exec::ProgramOp::create(at, f.getLoc(), name, registers);
    b.setInsertionPointToEnd(&program.getBody().emplaceBlock());
    for (unsigned i = 0; i < registers.size(); ++i)
      same.push_back(AffineMap::get(0, registers.size(), getAffineSymbolExpr(i, context)));

    Block &block = f.getBody().front();
    for (BlockArgument argument : block.getArguments()) {
      unsigned i = argument.getArgNumber();
      if (f.getArgAttr(i, kStateAttr)) {
        states.insert(argument);
        continue;
      }
      bool received = bool(f.getArgAttr(i, job::kStageAttr));
      declare(argument, f.getArgAttrOfType<StringAttr>(i, kNameAttr),
              f.getArgAttrOfType<AffineMapAttr>(i, kShapeAttr), received);
    }
    for (Operation &op : block.without_terminator()) {
      if (auto call = dyn_cast<func::CallOp>(op)) {
        auto results = shared.module.lookupSymbol<exec::ProgramOp>(call.getCallee());
        if (!results)
          return call.emitOpError() << "wants the name of a program";
        auto arguments = llvm::to_vector(results.getBody().getOps<exec::ArgumentOp>());
        unsigned inputs =
            llvm::count_if(call.getOperands(), [&](Value v) { return !states.contains(v); });
        for (auto [i, v] : llvm::enumerate(call.getResults())) {
          if (inputs + i >= arguments.size()) { // a section hands on states last
            states.insert(v);
            continue;
          }
          exec::ArgumentOp argument = arguments[inputs + i];
          declare(v, argument.getNameAttr(), AffineMapAttr::get(argument.getShape()), true);
        }
      } else {
        for (Value v : tensorsOf(op.getResults()))
          declare(v, op.getAttrOfType<StringAttr>(kNameAttr),
                  op.getAttrOfType<AffineMapAttr>(kShapeAttr), true);
      }
    }
    if (!program.getBody().front().empty())
      lastArgument = &program.getBody().front().back();
    findEvents(block);

    for (BlockArgument argument : block.getArguments())
      if (auto stage = f.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(), job::kStageAttr)) {
        if (failed(wantValue(f, argument)))
          return failure();
        exec::ReceiveOp::create(b, f.getLoc(), buffers[argument], stage, stream(communication));
        made(argument, communication);
      }
    for (Operation &op : block.without_terminator())
      if (failed(emit(op)))
        return failure();
    for (auto [i, v] : llvm::enumerate(block.getTerminator()->getOperands()))
      if (auto stage = f.getResultAttrOfType<IntegerAttr>(i, job::kStageAttr)) {
        if (failed(wantValue(f, v)))
          return failure();
        awaitOn(communication, v);
        exec::SendOp::create(b, f.getLoc(), buffers[v], stage, stream(communication));
      }
    f.erase();
    return success();
  }

private:
  /// Holds the function to what --hadal-cut-chunks makes.
  LogicalResult check() {
    registers = f->getAttrOfType<ArrayAttr>(kRegistersAttr);
    if (f.isExternal() || !f.getBody().hasOneBlock() || !registers)
      return f.emitError("chunk wants a body of one block, and exec.registers");
    auto isTensor = [](Type type) { return isa<RankedTensorType>(type); };
    if (!llvm::all_of(f.getArgumentTypes(), isTensor))
      return f.emitError("chunk wants arguments that are ranked tensors");
    for (Operation &op : f.getBody().front().without_terminator()) {
      bool isCall = isa<func::CallOp>(op) && llvm::all_of(op.getResultTypes(), isTensor) &&
                    llvm::all_of(op.getOperandTypes(), isTensor);
      if (!isCall && !isa<moe::ExchangeOp, moe::ExchangeCountsOp, moe::CountOp>(op))
        return op.emitOpError() << "is no command of a chunk";
    }
    return success();
  }

  /// States are the programs' own; what crosses ranks is a value of the chunk.
  LogicalResult wantValue(Operation *op, Value v) {
    if (!buffers.contains(v))
      return op->emitError("wants a value that is no state where it crosses ranks");
    return success();
  }

  IntegerAttr stream(int64_t number) {
    return number == compute ? IntegerAttr() : b.getI64IntegerAttr(number);
  }

  static int64_t streamOf(Value v, func::FuncOp f) {
    if (auto argument = dyn_cast<BlockArgument>(v))
      return f.getArgAttr(argument.getArgNumber(), job::kStageAttr)
                 ? communication
                 : -1; // -1: there from the start
    return isa<func::CallOp>(v.getDefiningOp()) ? compute : communication;
  }

  void declare(Value v, StringAttr name, AffineMapAttr shape, bool output) {
    auto type = cast<RankedTensorType>(v.getType());
    AffineMap map = shape ? shape.getValue() : AffineMap();
    if (!map) {
      SmallVector<AffineExpr> sizes;
      for (int64_t d : type.getShape())
        sizes.push_back(getAffineConstantExpr(d, f.getContext()));
      map = AffineMap::get(0, registers.size(), sizes, f.getContext());
    }
    buffers[v] = exec::ArgumentOp::create(b, v.getLoc(), exec::BufferType::get(f.getContext()),
                                          name, map, type.getElementType(), output);
  }

  /// Which values the other stream waits for.
  void findEvents(Block &block) {
    auto reads = [&](Value v, int64_t reader) {
      int64_t maker = streamOf(v, f);
      if (maker >= 0 && maker != reader)
        awaited.insert(v);
    };
    for (Operation &op : block.without_terminator())
      for (Value v : op.getOperands())
        reads(v, isa<func::CallOp>(op) ? compute : communication);
    for (auto [i, v] : llvm::enumerate(block.getTerminator()->getOperands()))
      if (f.getResultAttr(i, job::kStageAttr))
        reads(v, communication);
  }

  /// Marks the point where `v` is there, if the other stream waits for it.
  void made(Value v, int64_t on) {
    if (!awaited.contains(v) || events.contains(v))
      return;
    events[v] = next;
    exec::RecordOp::create(b, f.getLoc(), b.getI64IntegerAttr(next++), stream(on));
  }

  void awaitOn(int64_t on, Value v) {
    auto known = events.find(v);
    int64_t maker = streamOf(v, f);
    if (known == events.end() || maker == on || seen[on] >= known->second)
      return; // a stream's later events come after its earlier ones
    seen[on] = known->second;
    exec::WaitOp::create(b, f.getLoc(), b.getI64IntegerAttr(known->second), stream(on));
  }

  /// -1 where the chunk has no such register.
  IntegerAttr registerNumber(Value count) {
    auto *found = llvm::find(registers.getValue(), registerOf(count));
    return b.getI64IntegerAttr(found == registers.end() ? -1 : found - registers.begin());
  }

  /// Without counts, which are in registers.
  static SmallVector<Value> tensorsOf(ValueRange values) {
    auto isTensor = [](Value v) { return isa<RankedTensorType>(v.getType()); };
    return llvm::to_vector(llvm::make_filter_range(values, isTensor));
  }

  LogicalResult emit(Operation &op) {
    if (isa<moe::CountOp>(op))
      return success(); // a name of a register
    int64_t on = isa<func::CallOp>(op) ? compute : communication;
    for (Value v : op.getOperands())
      awaitOn(on, v);
    if (!isa<func::CallOp>(op))
      for (Value v : tensorsOf(op.getOperands()))
        if (failed(wantValue(&op, v)))
          return failure();
    auto number = [&](StringRef name) { return op.getAttrOfType<IntegerAttr>(name); };
    if (auto call = dyn_cast<func::CallOp>(op)) {
      SmallVector<Value> bound;
      for (Value v : llvm::concat<Value>(llvm::to_vector(call.getOperands()),
                                         llvm::to_vector(call.getResults())))
        if (!states.contains(v))
          bound.push_back(buffers[v]);
      exec::CallOp::create(b, op.getLoc(), call.getCallee(), bound, b.getAffineMapArrayAttr(same));
      requireInputs(call, bound);
    } else if (auto counts = dyn_cast<moe::ExchangeCountsOp>(op)) {
      exec::ExchangeCountsOp::create(b, op.getLoc(), buffers[counts.getReceive()],
                                     buffers[counts.getSend()], number("parts"), number("segments"),
                                     number("stride"), registerNumber(counts.getRows()),
                                     registerNumber(counts.getChoices()), stream(on));
    } else {
      auto type = cast<RankedTensorType>(op.getResult(0).getType());
      int64_t bytes = type.getElementTypeBitWidth() / 8;
      for (int64_t d : type.getShape().drop_front())
        bytes *= d;
      exec::ExchangeOp::create(b, op.getLoc(), buffers[op.getResult(0)], buffers[op.getOperand(0)],
                               buffers[op.getOperand(1)], buffers[op.getOperand(2)],
                               number("parts"), number("segments"), number("stride"),
                               b.getI64IntegerAttr(bytes), number("capacity"), stream(on));
    }
    // One event for all that the op made: they are there at the same point.
    int64_t event = next;
    for (Value v : op.getResults())
      if (awaited.contains(v))
        events[v] = event;
    if (llvm::any_of(op.getResults(), [&](Value v) { return awaited.contains(v); })) {
      exec::RecordOp::create(b, f.getLoc(), b.getI64IntegerAttr(event), stream(on));
      ++next;
    }
    return success();
  }

  /// What a section wants of values that come from outside the chunk is wanted of the chunk, where
  /// nothing but the driver's registers says it.
  void requireInputs(func::CallOp call, ArrayRef<Value> bound) {
    llvm::DenseSet<Attribute> exchanged;
    for (Operation &op : f.getBody().front())
      for (Value v : op.getResults())
        if (StringAttr set = registerOf(v))
          exchanged.insert(set);
    auto isKnown = [&](AffineMap map) {
      for (auto [i, name] : llvm::enumerate(registers))
        if (exchanged.contains(name) && map.isFunctionOfSymbol(i))
          return false;
      return true;
    };
    auto callee = shared.module.lookupSymbol<exec::ProgramOp>(call.getCallee());
    DenseMap<Value, Value> outside; // by the section's argument
    for (auto [argument, value] : llvm::zip(callee.getBody().getOps<exec::ArgumentOp>(), bound))
      if (!value.getDefiningOp<exec::ArgumentOp>().getOutput())
        outside[argument] = value;
    for (auto rule : callee.getBody().getOps<exec::RequireOp>()) {
      Value value = outside.lookup(rule.getBuffer()),
            offsets = rule.getOffsets() ? outside.lookup(rule.getOffsets()) : Value();
      if (!value || (rule.getOffsets() && !offsets) || !isKnown(rule.getLeast()) ||
          !isKnown(rule.getBelow()) ||
          !required.insert({value, rule.getKindAttr(), rule.getBelowAttr()}).second)
        continue;
      OpBuilder at(f.getContext()); // before all commands
      at.setInsertionPointAfter(lastArgument);
      exec::RequireOp::create(at, rule.getLoc(), rule.getKind(), value, rule.getLeast(),
                              rule.getBelow(), offsets);
    }
  }

  ModuleBuffers &shared;
  func::FuncOp f;
  OpBuilder b;
  llvm::DenseSet<std::tuple<Value, StringAttr, AffineMapAttr>> required;
  Operation *lastArgument = nullptr;
  ArrayAttr registers;
  SmallVector<AffineMap> same; ///< a section has the registers of its chunk
  DenseMap<Value, Value> buffers;
  llvm::DenseSet<Value> states; ///< which programs know by themselves
  llvm::DenseSet<Value> awaited;
  DenseMap<Value, int64_t> events;
  int64_t next = 0;
  int64_t seen[2] = {-1, -1}; ///< the last event of the other stream that a stream has waited for
};

} // namespace

LogicalResult hadal::formChunk(ModuleBuffers &shared, func::FuncOp f) {
  return ChunkBuilder(shared, f).build();
}
