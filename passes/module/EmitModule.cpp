//===- EmitModule.cpp - the module file, one table per exec op -----------===//

#include "passes/module/EmitModule.h"
#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/module/EmitJob.h"
#include "passes/module/KernelBuffers.h"
#include "runtime/module/Dataflow.h"
#include "runtime/module/Expr.h"
#include "runtime/module/Module_generated.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using flatbuffers::Offset;

namespace {

FailureOr<fb::ElementType> elementOf(Operation *op, Type type) {
  if (type.isF32())
    return fb::ElementType_F32;
  if (type.isF64())
    return fb::ElementType_F64;
  if (type.isBF16())
    return fb::ElementType_BF16;
  if (type.isF16())
    return fb::ElementType_F16;
  if (isa<Float8E4M3FNType>(type))
    return fb::ElementType_F8E4M3;
  if (isa<Float8E5M2Type>(type))
    return fb::ElementType_F8E5M2;
  if (isa<Float8E8M0FNUType>(type))
    return fb::ElementType_F8E8M0;
  if (type.isInteger(8))
    return fb::ElementType_I8;
  if (type.isInteger(16))
    return fb::ElementType_I16;
  if (type.isInteger(32))
    return fb::ElementType_I32;
  if (type.isInteger(64))
    return fb::ElementType_I64;
  return op->emitError() << "a module holds no tensors of " << type;
}

class Emitter {
public:
  Emitter(ModuleOp module, const Target &target, const CodeObject &code)
      : module(module), target(target), code(code), programNumbers(module) {}
  FailureOr<std::vector<std::byte>> emit();

private:
  void append(AffineExpr e, std::vector<int64_t> &out) {
    if (auto c = dyn_cast<AffineConstantExpr>(e)) {
      out.insert(out.end(), {int64_t(ExprOp::Constant), c.getValue()});
      return;
    }
    if (auto s = dyn_cast<AffineSymbolExpr>(e)) {
      out.insert(out.end(), {int64_t(ExprOp::Register), int64_t(s.getPosition())});
      return;
    }
    auto binary = cast<AffineBinaryOpExpr>(e);
    append(binary.getLHS(), out);
    append(binary.getRHS(), out);
    ExprOp opcode = ExprOp::Add;
    switch (e.getKind()) {
    case AffineExprKind::Mul: opcode = ExprOp::Multiply; break;
    case AffineExprKind::FloorDiv: opcode = ExprOp::FloorDiv; break;
    case AffineExprKind::CeilDiv: opcode = ExprOp::CeilDiv; break;
    case AffineExprKind::Mod: opcode = ExprOp::Mod; break;
    default: break;
    }
    out.insert(out.end(), {int64_t(opcode), 0});
  }

  Offset<fb::Expr> expr(AffineMap map) {
    std::vector<int64_t> out;
    for (auto [i, e] : llvm::enumerate(map.getResults())) {
      append(simplifyAffineExpr(e, 0, map.getNumSymbols()), out);
      if (i)
        out.insert(out.end(), {int64_t(ExprOp::Min), 0});
    }
    return fb::CreateExpr(b, b.CreateVector(out));
  }
  Offset<fb::Expr> constant(int64_t c) {
    return fb::CreateExpr(b, b.CreateVector(std::vector<int64_t>{int64_t(ExprOp::Constant), c}));
  }
  Offset<flatbuffers::Vector<Offset<fb::Expr>>> exprs(AffineMap map) {
    Offsets<fb::Expr> out;
    for (AffineExpr e : map.getResults())
      out.push_back(expr(AffineMap::get(0, map.getNumSymbols(), e)));
    return b.CreateVector(out);
  }
  Offset<flatbuffers::Vector<Offset<fb::Expr>>> exprs(ArrayAttr maps) {
    Offsets<fb::Expr> out;
    for (Attribute m : maps)
      out.push_back(expr(cast<AffineMapAttr>(m).getValue()));
    return b.CreateVector(out);
  }

  /// Null, and no table, for what lies as stored.
  Offset<fb::Layout> layout(exec::LayoutAttr layout) {
    if (!layout)
      return {};
    Offsets<fb::LayoutNumber> numbers;
    for (auto [name, value] : layout.numbers())
      numbers.push_back(fb::CreateLayoutNumberDirect(b, name.str().c_str(), value));
    return fb::CreateLayoutDirect(b, layout.getName().str().c_str(), &numbers);
  }

  LogicalResult collect();
  FailureOr<Offset<fb::TensorMap>> tensorMap(func::FuncOp kernel, exec::TensorMapAttr map);
  FailureOr<Offset<fb::Grid>> grid(func::FuncOp kernel, exec::LaunchAttr launch);
  Offset<fb::KernelStatistics> statistics(exec::LaunchAttr launch);
  FailureOr<Offset<fb::Kernel>>
  kernel(func::FuncOp kernel, exec::LaunchAttr launch,
         Offset<flatbuffers::Vector<Offset<fb::KernelBuffer>>> buffers);
  FailureOr<Offset<fb::Binding>> binding(Value buffer, AffineMap element, AffineMap offset);
  FailureOr<Offsets<fb::Binding>> bindings(ValueRange buffers, std::optional<ArrayAttr> elements,
                                           std::optional<ArrayAttr> offsets);
  FailureOr<Offset<fb::Launch>> launch(exec::LaunchOp op);
  Offset<fb::Command> finish(Operation *op, fb::Action type, Offset<void> action);
  FailureOr<Offset<fb::Command>> command(Operation *op);
  FailureOr<Offset<fb::Command>> message(Operation *op);
  FailureOr<Offset<flatbuffers::Vector<Offset<fb::Command>>>> commands(Block &block);
  FailureOr<Offset<fb::Program>> program(exec::ProgramOp op);
  Offset<flatbuffers::Vector<Offset<fb::Code>>> codes();
  FailureOr<uint32_t> argumentOf(Operation *op, Value buffer);
  FailureOr<SmallVector<uint32_t>> argumentsOf(Operation *op, ValueRange buffers);

  ModuleOp module;
  const Target &target;
  const CodeObject &code;
  flatbuffers::FlatBufferBuilder b{1 << 20};
  llvm::StringMap<std::pair<fb::Space, uint32_t>> symbols; // of get
  llvm::StringMap<uint32_t> kernelIndex;
  ProgramNumbers programNumbers;
  SmallVector<func::FuncOp> kernelOps;
  DenseMap<Value, std::pair<fb::Space, uint32_t>> local; // of the program at hand
  Offsets<fb::Kernel> kernels;
  Offsets<fb::Parameter> parameters;
  std::vector<uint32_t> sharded; ///< numbers of those of which a rank has a share
  Offsets<fb::Weight> weights;
  Offsets<fb::State> states;
  Offsets<fb::Constant> constants;
};

FailureOr<Offset<fb::TensorMap>> Emitter::tensorMap(func::FuncOp kernel, exec::TensorMapAttr map) {
  auto element = elementOf(kernel, map.getElement());
  if (failed(element))
    return failure();
  auto sizes = exprs(map.getSizes().getValue()), strides = exprs(map.getStrideBytes().getValue());
  ArrayRef<int64_t> box = map.getBox().asArrayRef();
  auto boxVector = b.CreateVector(std::vector<uint32_t>(box.begin(), box.end()));
  return fb::CreateTensorMap(b, map.getBinding(), *element, sizes, strides, boxVector,
                             map.getSwizzleBytes());
}

FailureOr<Offset<fb::Grid>> Emitter::grid(func::FuncOp kernel, exec::LaunchAttr launch) {
  Offsets<fb::TensorMap> maps;
  if (ArrayAttr said = launch.getTensorMaps())
    for (auto map : said.getAsRange<exec::TensorMapAttr>()) {
      auto one = tensorMap(kernel, map);
      if (failed(one))
        return failure();
      maps.push_back(*one);
    }
  auto mapVector = b.CreateVector(maps);
  return fb::CreateGrid(b, launch.getThreads(), launch.getCluster(), launch.getSharedBytes(),
                        mapVector, launch.getScratchBytes(), launch.tasksPerBlock(),
                        launch.getPersistent(), launch.getLoadsByThreads());
}

/// Blocks of a kernel that a multiprocessor of compute capability 9.0 has room for at a time.
/// Source: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability": 65,536
/// registers, given to warps in units of 256; 2,048 threads; 32 blocks; 228 KiB of shared memory,
/// 1 KiB of which goes to each block by itself.
static uint32_t blocksPerMultiprocessor(const AssembledKernel &kernel, exec::LaunchAttr launch) {
  uint64_t warps = llvm::divideCeil(launch.getThreads(), 32);
  uint64_t registers = llvm::alignTo(std::max(kernel.registers, 1u) * 32, 256) * warps;
  uint64_t shared = kernel.sharedBytes + launch.getSharedBytes() + 1024;
  return uint32_t(std::min({uint64_t(65536) / registers, uint64_t(64) / warps, uint64_t(32),
                            (uint64_t(228) << 10) / shared}));
}

/// What the assembler said of the kernel that comes next; null where none did.
Offset<fb::KernelStatistics> Emitter::statistics(exec::LaunchAttr launch) {
  if (code.assembled.empty())
    return {};
  const AssembledKernel &said = code.assembled[kernels.size()];
  auto warnings = b.CreateVectorOfStrings(said.warnings),
       opcodes = b.CreateVectorOfStrings(said.opcodes);
  return fb::CreateKernelStatistics(b, said.registers, said.spillBytes,
                                    said.sharedBytes + uint32_t(launch.getSharedBytes()),
                                    blocksPerMultiprocessor(said, launch), warnings, opcodes);
}

FailureOr<Offset<fb::Kernel>>
Emitter::kernel(func::FuncOp kernel, exec::LaunchAttr launch,
                Offset<flatbuffers::Vector<Offset<fb::KernelBuffer>>> buffers) {
  Offset<void> shape;
  Offset<flatbuffers::String> tier;
  int32_t cubin = -1;
  if (launch.isGrid()) {
    auto made = grid(kernel, launch);
    if (failed(made))
      return failure();
    shape = made->Union();
    tier = b.CreateString(launch.getTier().str());
    if (!code.assembled.empty())
      cubin = int32_t(kernels.size() + 1); // after the PTX of all
  } else {
    shape = fb::CreateCpuTasks(b, launch.getScratchBytes()).Union();
  }
  auto said = statistics(launch);
  auto symbol = b.CreateString(kernel.getSymName().str());
  return fb::CreateKernel(b, symbol, /*code=*/0, launch.getAccess().size(),
                          launch.getTasks().getValue().getNumSymbols(), buffers,
                          launch.isGrid() ? fb::KernelShape_Grid : fb::KernelShape_CpuTasks, shape,
                          tier, cubin, said);
}

LogicalResult Emitter::collect() {
  for (Operation &op : *module.getBody()) {
    LogicalResult result =
        llvm::TypeSwitch<Operation *, LogicalResult>(&op)
            .Case([&](exec::ParameterOp p) -> LogicalResult {
              auto type = cast<RankedTensorType>(p.getType());
              auto element = elementOf(p, type.getElementType());
              if (failed(element))
                return failure();
              symbols[p.getSymName()] = {fb::Space_Parameter, parameters.size()};
              if (p.getSharded())
                sharded.push_back(parameters.size());
              std::vector<int64_t> shape(type.getShape().begin(), type.getShape().end());
              parameters.push_back(fb::CreateParameterDirect(b, p.getSource().str().c_str(),
                                                             *element, &shape, p.getCount()));
              return success();
            })
            .Case([&](exec::WeightOp w) {
              symbols[w.getSymName()] = {fb::Space_Weight, weights.size()};
              weights.push_back(fb::CreateWeightDirect(b, w.getSymName().str().c_str(),
                                                       w.getBytes(), layout(w.getLayoutAttr())));
              return success();
            })
            .Case([&](exec::StateOp s) -> LogicalResult {
              auto element = elementOf(s, s.getElement());
              if (failed(element))
                return failure();
              symbols[s.getSymName()] = {fb::Space_State, states.size()};
              auto shape = exprs(s.getShape());
              states.push_back(fb::CreateState(b, b.CreateString(s.getSymName().str()), *element,
                                               shape, layout(s.getLayoutAttr())));
              return success();
            })
            .Case([&](exec::ConstantOp c) -> LogicalResult {
              auto dense = dyn_cast<DenseElementsAttr>(c.getValue());
              if (!dense)
                return c.emitOpError("wants dense values");
              symbols[c.getSymName()] = {fb::Space_Constant, constants.size()};
              ArrayRef<char> raw = dense.getRawData();
              std::vector<uint8_t> bytes(raw.begin(), raw.end());
              constants.push_back(
                  fb::CreateConstantDirect(b, c.getSymName().str().c_str(), &bytes));
              return success();
            })
            .Case([&](func::FuncOp f) -> LogicalResult {
              if (!f->hasAttr(kKernelAttr))
                return success();
              auto launch = f->getAttrOfType<exec::LaunchAttr>(kLaunchAttr);
              if (!launch)
                return f.emitError("wants --hadal-lower-kernels before the module is written");
              kernelIndex[f.getSymName()] = kernels.size();
              kernelOps.push_back(f);
              auto uses = kernelBuffers(f);
              if (failed(uses))
                return failure();
              Offsets<fb::KernelBuffer> buffers;
              for (const KernelBufferUse &use : *uses)
                buffers.push_back(fb::CreateKernelBuffer(
                    b, use.access, fb::CreateExpr(b, b.CreateVector(use.bytes))));
              auto made = kernel(f, launch, b.CreateVector(buffers));
              if (failed(made))
                return failure();
              kernels.push_back(*made);
              return success();
            })
            .Default([](Operation *) { return success(); });
    if (failed(result))
      return failure();
  }
  return success();
}

FailureOr<Offset<fb::Binding>> Emitter::binding(Value buffer, AffineMap element, AffineMap offset) {
  std::pair<fb::Space, uint32_t> place;
  if (auto get = buffer.getDefiningOp<exec::GetOp>()) {
    place = symbols.lookup(get.getSymbol());
  } else {
    auto known = local.find(buffer);
    if (known == local.end())
      return buffer.getDefiningOp()->emitError("has no place in the program");
    place = known->second;
  }
  auto elementExpr = element ? expr(element) : constant(0);
  auto offsetExpr = offset ? expr(offset) : constant(0);
  return fb::CreateBinding(b, place.first, place.second, elementExpr, offsetExpr);
}

/// The number of the argument that `op` names.
FailureOr<uint32_t> Emitter::argumentOf(Operation *op, Value buffer) {
  auto known = local.find(buffer);
  if (known == local.end() || known->second.first != fb::Space_Argument)
    return op->emitOpError("wants buffers that are arguments of the program");
  return known->second.second;
}

FailureOr<SmallVector<uint32_t>> Emitter::argumentsOf(Operation *op, ValueRange buffers) {
  SmallVector<uint32_t> numbers;
  for (Value buffer : buffers) {
    auto number = argumentOf(op, buffer);
    if (failed(number))
      return failure();
    numbers.push_back(*number);
  }
  return numbers;
}

/// What a command binds: whole buffers, or elements and offsets of them.
FailureOr<Offsets<fb::Binding>> Emitter::bindings(ValueRange buffers,
                                                  std::optional<ArrayAttr> elements,
                                                  std::optional<ArrayAttr> offsets) {
  Offsets<fb::Binding> bound;
  for (auto [i, buffer] : llvm::enumerate(buffers)) {
    auto at = [&](std::optional<ArrayAttr> maps) {
      return maps ? cast<AffineMapAttr>((*maps)[i]).getValue() : AffineMap();
    };
    auto one = binding(buffer, at(elements), at(offsets));
    if (failed(one))
      return failure();
    bound.push_back(*one);
  }
  return bound;
}

FailureOr<Offset<fb::Launch>> Emitter::launch(exec::LaunchOp launch) {
  auto known = kernelIndex.find(launch.getKernel());
  if (known == kernelIndex.end())
    return launch.emitOpError() << "wants the name of a kernel, got " << launch.getKernel();
  func::FuncOp kernel = kernelOps[known->second];
  auto bound = bindings(launch.getBuffers(), launch.getElements(), launch.getOffsets());
  if (failed(bound))
    return failure();
  auto said = kernel->getAttrOfType<exec::LaunchAttr>(kLaunchAttr);
  int64_t wanted = said.getAccess().size();
  AffineMap tasks = said.getTasks().getValue();
  if (wanted != int64_t(bound->size()) || tasks.getNumSymbols() != launch.getScalars().size())
    return launch.emitOpError() << "kernel " << launch.getKernel() << " wants " << wanted
                                << " buffers and " << tasks.getNumSymbols() << " scalars, got "
                                << bound->size() << " and " << launch.getScalars().size();
  // The kernel counts its tasks from its scalars, the program says what the scalars are.
  unsigned registers = launch->getParentOfType<exec::ProgramOp>().getRegisters().size();
  SmallVector<AffineExpr> scalars, composed;
  for (Attribute s : launch.getScalars())
    scalars.push_back(cast<AffineMapAttr>(s).getValue().getResult(0));
  for (AffineExpr e : tasks.getResults())
    composed.push_back(e.replaceSymbols(scalars));
  auto taskExpr = expr(AffineMap::get(0, registers, composed, module.getContext()));
  auto scalarExprs = exprs(launch.getScalarsAttr());
  auto flops = launch.getFlops() ? expr(*launch.getFlops()) : constant(0);
  auto vector = b.CreateVector(*bound);
  return fb::CreateLaunch(b, known->second, vector, scalarExprs, taskExpr, flops);
}

Offset<fb::Command> Emitter::finish(Operation *op, fb::Action type, Offset<void> action) {
  auto stream = op->getAttrOfType<IntegerAttr>("stream");
  return fb::CreateCommand(b, stream ? stream.getInt() : 0, type, action);
}

FailureOr<Offset<fb::Command>> Emitter::command(Operation *op) {
  auto block = [&](Block &body) { return commands(body); };
  return llvm::TypeSwitch<Operation *, FailureOr<Offset<fb::Command>>>(op)
      .Case([&](exec::LaunchOp launched) -> FailureOr<Offset<fb::Command>> {
        auto made = launch(launched);
        if (failed(made))
          return failure();
        return finish(op, fb::Action_Launch, made->Union());
      })
      .Case([&](exec::CopyOp copy) -> FailureOr<Offset<fb::Command>> {
        auto to = binding(copy.getDestination(), {}, {}), from = binding(copy.getSource(), {}, {});
        if (failed(to) || failed(from))
          return failure();
        auto bytes = expr(copy.getBytes());
        return finish(op, fb::Action_Copy, fb::CreateCopy(b, *to, *from, bytes).Union());
      })
      .Case([&](exec::CallOp call) -> FailureOr<Offset<fb::Command>> {
        auto bound = bindings(call.getBuffers(), {}, {});
        if (failed(bound))
          return failure();
        auto registers = exprs(call.getRegistersAttr());
        auto arguments = b.CreateVector(*bound);
        auto program = programNumbers.of(call.getProgram(), "exec.call");
        if (failed(program))
          return failure();
        return finish(op, fb::Action_Call,
                      fb::CreateCall(b, *program, registers, arguments).Union());
      })
      .Case([&](exec::RepeatOp repeat) -> FailureOr<Offset<fb::Command>> {
        auto body = block(repeat.getBody().front());
        if (failed(body))
          return failure();
        auto count = expr(repeat.getCount());
        return finish(op, fb::Action_Repeat,
                      fb::CreateRepeat(b, repeat.getReg(), count, *body).Union());
      })
      .Case([&](exec::SkipIfZeroOp skip) -> FailureOr<Offset<fb::Command>> {
        auto body = block(skip.getBody().front());
        if (failed(body))
          return failure();
        auto value = expr(skip.getValue());
        return finish(op, fb::Action_SkipIfZero, fb::CreateSkipIfZero(b, value, *body).Union());
      })
      .Default([&](Operation *other) { return message(other); });
}

/// What streams and ranks tell each other.
FailureOr<Offset<fb::Command>> Emitter::message(Operation *op) {
  return llvm::TypeSwitch<Operation *, FailureOr<Offset<fb::Command>>>(op)
      .Case([&](exec::RecordOp record) {
        return finish(op, fb::Action_Record, fb::CreateRecord(b, record.getEvent()).Union());
      })
      .Case([&](exec::WaitOp wait) {
        return finish(op, fb::Action_Wait, fb::CreateWait(b, wait.getEvent()).Union());
      })
      .Case([&](exec::SendOp send) -> FailureOr<Offset<fb::Command>> {
        auto argument = argumentOf(send, send.getBuffer());
        if (failed(argument))
          return failure();
        return finish(op, fb::Action_Send, fb::CreateSend(b, *argument, send.getStage()).Union());
      })
      .Case([&](exec::ReceiveOp receive) -> FailureOr<Offset<fb::Command>> {
        auto argument = argumentOf(receive, receive.getBuffer());
        if (failed(argument))
          return failure();
        return finish(op, fb::Action_Receive,
                      fb::CreateReceive(b, *argument, receive.getStage()).Union());
      })
      .Case([&](exec::ExchangeCountsOp e) -> FailureOr<Offset<fb::Command>> {
        auto at = argumentsOf(e, {e.getSent(), e.getReceived()});
        if (failed(at))
          return failure();
        return finish(op, fb::Action_ExchangeCounts,
                      fb::CreateExchangeCounts(b, (*at)[0], (*at)[1], e.getParts(), e.getSegments(),
                                               e.getStride(), e.getRows(), e.getChoices())
                          .Union());
      })
      .Case([&](exec::ExchangeOp e) -> FailureOr<Offset<fb::Command>> {
        auto at = argumentsOf(
            e, {e.getDestination(), e.getSource(), e.getSendCounts(), e.getReceiveCounts()});
        if (failed(at))
          return failure();
        return finish(op, fb::Action_Exchange,
                      fb::CreateExchange(b, (*at)[0], (*at)[1], (*at)[2], (*at)[3], e.getParts(),
                                         e.getSegments(), e.getStride(), e.getRowBytes(),
                                         e.getCapacity().value_or(0))
                          .Union());
      })
      .Default([&](Operation *other) -> FailureOr<Offset<fb::Command>> {
        return other->emitError("is no command of a module");
      });
}

FailureOr<Offset<flatbuffers::Vector<Offset<fb::Command>>>> Emitter::commands(Block &block) {
  Offsets<fb::Command> out;
  for (Operation &op : block) {
    if (isa<exec::ArgumentOp, exec::TemporaryOp, exec::GetOp, exec::RequireOp, exec::RequireSizeOp>(
            op))
      continue;
    auto one = command(&op);
    if (failed(one))
      return failure();
    out.push_back(*one);
  }
  return b.CreateVector(out);
}

FailureOr<Offset<fb::Program>> Emitter::program(exec::ProgramOp op) {
  local.clear();
  Offsets<fb::Argument> arguments;
  Offsets<fb::Temporary> temporaries;
  Offsets<fb::ContentRule> contentRules;
  Offsets<fb::SizeRule> sizeRules;
  uint32_t slots = 0;
  for (Operation &inner : op.getBody().front()) {
    if (auto a = dyn_cast<exec::ArgumentOp>(inner)) {
      auto element = elementOf(a, a.getElement());
      if (failed(element))
        return failure();
      local[a.getBuffer()] = {fb::Space_Argument, arguments.size()};
      auto shape = exprs(a.getShape());
      arguments.push_back(
          fb::CreateArgument(b, b.CreateString(a.getName().str()), *element, shape, a.getOutput()));
    } else if (auto t = dyn_cast<exec::TemporaryOp>(inner)) {
      if (!t.getSlot())
        return t.emitOpError("wants a slot: run --exec-plan-memory first");
      local[t.getBuffer()] = {fb::Space_Temporary, temporaries.size()};
      slots = std::max<uint32_t>(slots, *t.getSlot() + 1);
      auto bytes = expr(t.getBytes());
      temporaries.push_back(fb::CreateTemporary(b, bytes, *t.getSlot()));
    } else if (auto rule = dyn_cast<exec::RequireOp>(inner)) {
      auto kind = llvm::StringSwitch<fb::ContentKind>(rule.getKind())
                      .Case("distinct", fb::ContentKind_Distinct)
                      .Case("offsets", fb::ContentKind_Offsets)
                      .Case("groups", fb::ContentKind_Groups)
                      .Case("counts", fb::ContentKind_Counts)
                      .Case("present", fb::ContentKind_Present)
                      .Default(fb::ContentKind_Values);
      auto argument = argumentOf(rule, rule.getBuffer());
      auto offsets = rule.getOffsets() ? argumentOf(rule, rule.getOffsets()) : uint32_t(0);
      if (failed(argument) || failed(offsets))
        return failure();
      auto least = expr(rule.getLeast()), below = expr(rule.getBelow());
      contentRules.push_back(fb::CreateContentRule(b, kind, *argument, least, below, *offsets));
    } else if (auto rule = dyn_cast<exec::RequireSizeOp>(inner)) {
      auto size = expr(rule.getSize()), wanted = expr(rule.getWanted());
      sizeRules.push_back(fb::CreateSizeRule(b, size, wanted, rule.getAtLeast()));
    }
  }
  auto body = commands(op.getBody().front());
  if (failed(body))
    return failure();
  auto registers = strings(b, op.getRegisters());
  auto argumentsVector = b.CreateVector(arguments);
  auto temporariesVector = b.CreateVector(temporaries);
  auto contentVector = b.CreateVector(contentRules);
  auto sizeVector = b.CreateVector(sizeRules);
  return fb::CreateProgram(b, b.CreateString(op.getSymName().str()), registers, argumentsVector,
                           temporariesVector, slots, *body, contentVector, sizeVector);
}

/// The code of all kernels; then, where it was assembled, that of each.
Offset<flatbuffers::Vector<Offset<fb::Code>>> Emitter::codes() {
  auto targetTable =
      fb::CreateTarget(b, b.CreateString(target.family()), b.CreateString(target.processor().name),
                       b.CreateVectorOfStrings(target.processor().features));
  Offsets<fb::Code> made;
  auto add = [&](StringRef image, fb::CodeFormat format,
                 Offset<flatbuffers::String> assembler = {}) {
    b.ForceVectorAlignment(image.size(), 1, 64);
    auto bytes = b.CreateVector(reinterpret_cast<const uint8_t *>(image.data()), image.size());
    made.push_back(fb::CreateCode(b, targetTable, format, bytes, assembler));
  };
  add(code.bytes, code.form == CodeForm::Ptx ? fb::CodeFormat_Ptx : fb::CodeFormat_SharedObject);
  if (!code.assembled.empty()) {
    auto assembler = b.CreateString(target.assembler());
    for (const AssembledKernel &kernel : code.assembled)
      add(kernel.code, fb::CodeFormat_Cubin, assembler);
  }
  return b.CreateVector(made);
}

FailureOr<std::vector<std::byte>> Emitter::emit() {
  JobTables job(module, b, programNumbers);
  if (failed(collect()) || failed(job.collectOrders()))
    return failure();
  Offsets<fb::Program> programs;
  for (auto p : module.getOps<exec::ProgramOp>()) {
    auto one = program(p);
    if (failed(one))
      return failure();
    programs.push_back(*one);
  }
  auto registers = module->getAttrOfType<ArrayAttr>(kStateRegistersAttr);
  auto stateRegisters = strings(b, registers ? registers : ArrayAttr::get(module.getContext(), {}));
  auto modelTable = job.model();
  auto trainingTable = job.training();
  auto inferenceTable = job.inference(sharded);
  if (failed(trainingTable) || failed(inferenceTable))
    return failure();
  auto kernelsVector = b.CreateVector(kernels);
  auto parametersVector = b.CreateVector(parameters);
  auto weightsVector = b.CreateVector(weights);
  auto constantsVector = b.CreateVector(constants);
  auto statesVector = b.CreateVector(states);
  auto programsVector = b.CreateVector(programs);
  auto codesVector = codes();
  auto producer = b.CreateString("hadal 0.1.0");
  auto dataflow = b.CreateVector(
      std::vector<uint64_t>(programs.size() + 1)); // written when all tables are there
  b.Finish(fb::CreateModule(b, producer, codesVector, kernelsVector, parametersVector,
                            weightsVector, constantsVector, stateRegisters, statesVector,
                            programsVector, modelTable, *trainingTable, *inferenceTable, dataflow));
  if (Status status = writeDataflow(b.GetBufferPointer()); !status.ok())
    return module.emitError() << status.error().message;
  auto *bytes = reinterpret_cast<const std::byte *>(b.GetBufferPointer());
  return std::vector<std::byte>(bytes, bytes + b.GetSize());
}

} // namespace

FailureOr<std::vector<std::byte>> hadal::emitModule(ModuleOp module, const Target &target,
                                                    const CodeObject &code) {
  return Emitter(module, target, code).emit();
}
