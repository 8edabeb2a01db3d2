//===- Exec.cpp - the exec dialect ------------------------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/AttributeKinds.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal::exec;

static ParseResult parseChunks(OpAsmParser &parser, ArrayAttr &chunks);
static void printChunks(OpAsmPrinter &printer, Operation *op, ArrayAttr chunks);

#include "dialects/exec/ExecDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/exec/ExecAttributes.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/exec/ExecTypes.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/exec/Exec.cpp.inc"

void ExecDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/exec/ExecAttributes.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/exec/ExecTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/exec/Exec.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Orders
//===----------------------------------------------------------------------===//

static constexpr StringLiteral kChunkLetters = "FBIW";

/// "F0.3".
static FailureOr<ChunkAttr> parseChunk(AsmParser &parser) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef word;
  if (parser.parseKeyword(&word))
    return failure();
  size_t kind = kChunkLetters.find(word.front());
  auto [direction, microBatch] = word.drop_front().split('.');
  uint32_t numbers[2];
  if (kind == StringRef::npos || direction.getAsInteger(10, numbers[0]) ||
      microBatch.getAsInteger(10, numbers[1]))
    return parser.emitError(loc)
           << "wants a chunk like F0.3 (F, B, I or W, direction, micro-batch), got " << word;
  return ChunkAttr::get(parser.getContext(), ChunkKind(kind), numbers[0], numbers[1], false);
}

static void printChunk(raw_ostream &out, ChunkAttr chunk) {
  out << kChunkLetters[size_t(chunk.getKind())] << chunk.getDirection() << '.'
      << chunk.getMicroBatch();
}

static ChunkAttr pairedWithNext(ChunkAttr chunk) {
  return ChunkAttr::get(chunk.getContext(), chunk.getKind(), chunk.getDirection(),
                        chunk.getMicroBatch(), true);
}

Attribute ChunkAttr::parse(AsmParser &parser, Type) {
  if (parser.parseLess())
    return {};
  auto chunk = parseChunk(parser);
  if (failed(chunk))
    return {};
  bool paired = succeeded(parser.parseOptionalKeyword("paired"));
  if (parser.parseGreater())
    return {};
  return paired ? pairedWithNext(*chunk) : *chunk;
}

void ChunkAttr::print(AsmPrinter &printer) const {
  printer << '<';
  printChunk(printer.getStream(), *this);
  printer << (getPaired() ? " paired>" : ">");
}

/// "[F0.0, F0.1 + B0.0]".
static ParseResult parseChunks(OpAsmParser &parser, ArrayAttr &chunks) {
  SmallVector<Attribute> found;
  auto one = [&]() -> ParseResult {
    auto chunk = parseChunk(parser);
    if (failed(chunk))
      return failure();
    found.push_back(*chunk);
    return success();
  };
  auto item = [&]() -> ParseResult {
    if (one())
      return failure();
    while (succeeded(parser.parseOptionalPlus())) {
      found.back() = pairedWithNext(cast<ChunkAttr>(found.back()));
      if (one())
        return failure();
    }
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, item))
    return failure();
  chunks = ArrayAttr::get(parser.getContext(), found);
  return success();
}

static void printChunks(OpAsmPrinter &printer, Operation *, ArrayAttr chunks) {
  printer << '[';
  StringRef between;
  for (auto chunk : chunks.getAsRange<ChunkAttr>()) {
    printer << between;
    printChunk(printer.getStream(), chunk);
    between = chunk.getPaired() ? " + " : ", ";
  }
  printer << ']';
}

LogicalResult OrderOp::verify() {
  if (int64_t rank = getRank(); rank < 0)
    return emitOpError() << "wants a rank from 0 on, got " << rank; // C1
  for (auto other : cast<ModuleOp>((*this)->getParentOp()).getOps<OrderOp>()) {
    if (other == *this)
      break;
    if (other.getRank() == getRank())
      return emitOpError() << "is another order of rank " << getRank(); // C1
  }
  auto chunks = llvm::to_vector(getChunks().getAsRange<ChunkAttr>());
  for (auto [i, chunk] : llvm::enumerate(chunks)) {
    if (chunk.getDirection() > 1)
      return emitOpError() << "wants directions 0 and 1, got " << chunk; // C2
    if (!chunk.getPaired())
      continue;
    ChunkKind first = chunk.getKind(), second{};
    bool isPair = i + 1 < chunks.size() && !chunks[i + 1].getPaired();
    if (isPair)
      second = chunks[i + 1].getKind();
    if (!isPair || !((first == ChunkKind::Forward && second == ChunkKind::Backward) ||
                     (first == ChunkKind::Backward && second == ChunkKind::Forward)))
      return emitOpError() << "wants a pair of a forward and a whole backward chunk at item " << i
                           << ", " << chunk; // C3
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

LogicalResult LayoutAttr::verify(function_ref<InFlightDiagnostic()> error, StringRef name,
                                 int64_t outputs, int64_t inner, int64_t n, int64_t k,
                                 int64_t parts, int64_t part) {
  if (name.empty())
    return error() << "layout wants a name"; // C1
  constexpr int64_t most = 1 << 16;
  if (outputs < 0 || outputs > most || inner < 0 || inner > most || (outputs == 0) != (inner == 0))
    return error() << "layout wants outputs and inner from 1 to " << most << ", got " << outputs
                   << " and " << inner; // C2
  if (n < -1 || k < -1 || (n < 0 && k >= 0) || (n >= 0 && (k < 0 || n == k)))
    return error() << "layout wants two dimensions as n and k, got " << n << " and " << k; // C3
  if (part < 0 || part >= parts || parts > 64)
    return error() << "layout wants a part of 64 parts at most, got " << part << " of "
                   << parts; // C4
  return success();
}

int64_t LayoutAttr::elements(ArrayRef<int64_t> shape) const {
  int64_t count = 1;
  for (auto [d, size] : llvm::enumerate(shape)) {
    int64_t multiple = d == outputDim(shape.size())  ? getOutputs()
                       : d == innerDim(shape.size()) ? getInner()
                                                     : 1;
    count *= llvm::alignTo(size, std::max<int64_t>(multiple, 1));
  }
  return count;
}

SmallVector<std::pair<StringRef, int64_t>> LayoutAttr::numbers() const {
  SmallVector<std::pair<StringRef, int64_t>> given;
  if (getOutputs())
    given.append({{"outputs", getOutputs()}, {"inner", getInner()}});
  if (getN() >= 0)
    given.append({{"n", getN()}, {"k", getK()}});
  if (getParts() > 1)
    given.append({{"parts", getParts()}, {"part", getPart()}});
  return given;
}

LogicalResult LayoutAttr::holds(function_ref<InFlightDiagnostic()> error, Type type) const {
  auto tensor = dyn_cast<RankedTensorType>(type);
  int64_t rank = tensor ? tensor.getRank() : 0;
  if (tensor && tensor.hasStaticShape() && rank >= 2 && std::max(getN(), getK()) < rank)
    return success();
  return error() << "wants a matrix of static shape, or a stack of them, got " << type;
}

//===----------------------------------------------------------------------===//
// Attributes on functions that become programs and kernels
//===----------------------------------------------------------------------===//

static bool isWithin(int64_t value, int64_t least, int64_t most) {
  return value >= least && value <= most;
}

LogicalResult TensorMapAttr::verify(function_ref<InFlightDiagnostic()> error, int64_t, Type element,
                                    AffineMapAttr sizes, AffineMapAttr strideBytes,
                                    DenseI64ArrayAttr box, int64_t swizzleBytes) {
  int64_t rank = sizes.getValue().getNumResults(), strides = strideBytes.getValue().getNumResults();
  if (!isWithin(rank, 1, 5) || strides != rank - 1 || box.size() != rank)
    return error() << "tensor_map wants 1 to 5 sizes, a stride for each but the first and a box of "
                      "as many, got "
                   << rank << " sizes, " << strides << " strides and a box of " << box.size(); // C1
  for (int64_t size : box.asArrayRef())
    if (!isWithin(size, 1, 256))
      return error() << "tensor_map wants a box of sizes from 1 to 256, got " << size; // C2
  if (!llvm::is_contained({0, 32, 64, 128}, swizzleBytes))
    return error() << "tensor_map wants swizzle_bytes of 0, 32, 64 or 128, got "
                   << swizzleBytes; // C3
  if (!element.isIntOrFloat() || element.getIntOrFloatBitWidth() % 8 != 0)
    return error() << "tensor_map wants elements that are numbers of whole bytes, got "
                   << element; // C4
  AffineMap first = sizes.getValue(), second = strideBytes.getValue();
  if (first.getNumDims() || second.getNumDims() || first.getNumSymbols() != second.getNumSymbols())
    return error() << "tensor_map wants sizes and strides over the same symbols, got " << sizes
                   << " and " << strideBytes; // C5
  return success();
}

/// What says how a grid is made up.
static LogicalResult verifyGrid(function_ref<InFlightDiagnostic()> error, int64_t threads,
                                int64_t cluster, int64_t sharedBytes, ArrayAttr maps,
                                int64_t buffers, unsigned scalars) {
  if (!isWithin(threads, 1, 1024) || !isWithin(cluster, 1, 16) ||
      !isWithin(sharedBytes, 0, 227 << 10))
    return error() << "launch wants 1 to 1024 threads, clusters of 1 to 16 and 0 to " << (227 << 10)
                   << " bytes of shared memory, got " << threads << ", " << cluster << " and "
                   << sharedBytes; // C6
  if (!maps)
    return success();
  for (Attribute one : maps) {
    auto map = dyn_cast<TensorMapAttr>(one);
    if (!map || !isWithin(map.getBinding(), 0, buffers - 1) ||
        map.getSizes().getValue().getNumSymbols() != scalars)
      return error() << "launch wants tensor maps of its " << buffers << " buffers over its "
                     << scalars << " scalars, got " << one; // C7
  }
  return success();
}

LogicalResult LaunchAttr::verify(function_ref<InFlightDiagnostic()> error, AffineMapAttr tasks,
                                 DenseI64ArrayAttr access, int64_t scratchBytes, StringRef tier,
                                 int64_t threads, int64_t cluster, int64_t sharedBytes,
                                 ArrayAttr tensorMaps, bool persistent, bool loadsByThreads) {
  if (tasks.getValue().getNumDims() != 0 || tasks.getValue().getNumResults() == 0)
    return error() << "launch wants tasks over scalars alone, got " << tasks; // C1
  for (int64_t one : access.asArrayRef())
    if (one < 0 || one > 3)
      return error() << "launch wants an access from 0 to 3, got " << one; // C2
  if (scratchBytes < 0 || scratchBytes > int64_t(1) << 40)
    return error() << "launch wants scratch_bytes from 0 to 2^40, got " << scratchBytes; // C3
  if (tier.empty()) {
    if (threads || cluster != 1 || sharedBytes || tensorMaps || persistent || loadsByThreads)
      return error() << "launch wants a tier where it describes a grid"; // C5
    return success();
  }
  if (!llvm::is_contained({"serial", "rows", "tensor"}, tier))
    return error() << "launch wants the tier serial, rows or tensor, got \"" << tier << "\""; // C5
  return verifyGrid(error, threads, cluster, sharedBytes, tensorMaps, access.size(),
                    tasks.getValue().getNumSymbols());
}

static LogicalResult verifyLaunch(Operation *op, Attribute attribute) {
  auto launch = dyn_cast<LaunchAttr>(attribute);
  if (!launch)
    return op->emitError() << "exec.launch wants to be a launch, got " << attribute;
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function || int64_t(function.getNumArguments()) < launch.getAccess().size())
    return op->emitError() << "exec.launch wants a function with an argument for each of "
                           << launch.getAccess().size() << " accesses"; // C4
  return success();
}

static LogicalResult verifyKnown(llvm::function_ref<InFlightDiagnostic()> error,
                                 NamedAttribute attribute) {
  if (attribute.getName() == hadal::kLayoutAttr && !isa<LayoutAttr>(attribute.getValue()))
    return error() << "exec.layout wants to be a layout, got " << attribute.getValue();
  using Kind = hadal::AttributeKind;
  auto kind = llvm::StringSwitch<std::optional<Kind>>(attribute.getName().strref())
                  .Case(hadal::kKernelAttr, Kind::Unit)
                  .Cases({hadal::kNameAttr, hadal::kStateAttr}, Kind::String)
                  .Cases({hadal::kRegistersAttr, hadal::kStateRegistersAttr}, Kind::Strings)
                  .Case(hadal::kShapeAttr, Kind::Map)
                  .Case(hadal::kInPlaceAttr, Kind::Size)
                  .Case(hadal::kSignatureAttr, Kind::Types)
                  .Default(std::nullopt);
  return kind ? hadal::verifyAttributeKind(error, attribute.getName().strref(),
                                           attribute.getValue(), *kind)
              : success();
}

LogicalResult ExecDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  if (attribute.getName() == hadal::kLaunchAttr)
    return verifyLaunch(op, attribute.getValue());
  auto error = [op] { return op->emitError(); };
  if (failed(verifyKnown(error, attribute)))
    return failure();
  auto layout = dyn_cast<LayoutAttr>(attribute.getValue());
  if (!layout || attribute.getName() != hadal::kLayoutAttr)
    return success();
  auto global = dyn_cast<ml_program::GlobalOp>(op);
  if (!global)
    return error() << "exec.layout wants to stand on a global, an argument or a result";
  return layout.holds([&] { return error() << "exec.layout "; }, global.getType());
}

LogicalResult ExecDialect::verifyRegionArgAttribute(Operation *op, unsigned, unsigned argument,
                                                    NamedAttribute attribute) {
  auto error = [&] { return op->emitError() << "argument " << argument << ": "; };
  if (failed(verifyKnown(error, attribute)))
    return failure();
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (auto layout = dyn_cast<LayoutAttr>(attribute.getValue()); layout && function)
    return layout.holds([&] { return error() << "exec.layout "; },
                        function.getArgumentTypes()[argument]);
  if (attribute.getName() != hadal::kShapeAttr || !function)
    return success();
  auto type = dyn_cast<RankedTensorType>(function.getArgumentTypes()[argument]);
  AffineMap shape = cast<AffineMapAttr>(attribute.getValue()).getValue();
  auto registers = op->getAttrOfType<ArrayAttr>(hadal::kRegistersAttr);
  if (!type || shape.getNumResults() != type.getRank())
    return error() << "exec.shape wants a size for each dimension of a ranked tensor, got "
                   << attribute.getValue() << " of " << function.getArgumentTypes()[argument];
  if (registers && shape.getNumSymbols() > registers.size())
    return error() << "exec.shape wants symbols for the " << registers.size()
                   << " registers of the function, got " << attribute.getValue();
  return success();
}

LogicalResult ExecDialect::verifyRegionResultAttribute(Operation *op, unsigned, unsigned result,
                                                       NamedAttribute attribute) {
  auto error = [&] { return op->emitError() << "result " << result << ": "; };
  if (failed(verifyKnown(error, attribute)))
    return failure();
  auto function = dyn_cast<FunctionOpInterface>(op);
  auto layout = dyn_cast<LayoutAttr>(attribute.getValue());
  return layout && function ? layout.holds([&] { return error() << "exec.layout "; },
                                           function.getResultTypes()[result])
                            : success();
}

/// Holds `map` to the registers of the program around `op`.
static LogicalResult verifyRegisters(Operation *op, StringRef name, AffineMap map) {
  auto program = op->getParentOfType<ProgramOp>();
  if (!program)
    return op->emitOpError("wants to stand inside exec.program");
  unsigned registers = program.getRegisters().size();
  if (map.getNumDims() != 0 || map.getNumSymbols() != registers)
    return op->emitOpError() << name << " wants no dimensions and " << registers
                             << " symbols, one per register; got " << map.getNumDims() << " and "
                             << map.getNumSymbols();
  return success();
}

static LogicalResult verifyRegisters(Operation *op, StringRef name, ArrayAttr maps) {
  for (Attribute map : maps)
    if (failed(verifyRegisters(op, name, cast<AffineMapAttr>(map).getValue())))
      return failure();
  return success();
}

LogicalResult RelayoutOp::verify() {
  if (LayoutAttr layout = getLayoutAttr())
    return layout.holds([&] { return emitOpError(); }, getType()); // C1
  return success();
}

LogicalResult ParameterOp::verify() {
  if (getCount() < 1)
    return emitOpError() << "wants a positive count, got " << getCount(); // C1
  if ((getCount() > 1 || getSharded()) != getSource().contains("{}"))
    return emitOpError() << "wants {} in the name exactly when count > 1 or sharded, got \""
                         << getSource() << "\" with count " << getCount(); // C2
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.hasStaticShape())
    return emitOpError() << "wants a tensor of static shape, got " << getType(); // C3
  return success();
}

LogicalResult WeightOp::verify() {
  if (getBytes() < 1)
    return emitOpError() << "wants a positive number of bytes, got " << getBytes(); // C1
  return success();
}

void StateOp::build(OpBuilder &builder, OperationState &state, StringRef name, AffineMap shape,
                    Type element) {
  build(builder, state, name, shape, element, LayoutAttr());
}

LogicalResult StateOp::verify() {
  if (getShape().getNumDims() != 0)
    return emitOpError() << "shape wants symbols only, got " << getShape().getNumDims()
                         << " dimensions"; // C1
  return success();
}

LogicalResult ProgramOp::verify() {
  llvm::StringSet<> seen;
  for (Attribute name : getRegisters())
    if (!seen.insert(cast<StringAttr>(name).getValue()).second)
      return emitOpError() << "wants distinct registers, got " << name << " twice"; // C1
  return success();
}

LogicalResult ArgumentOp::verify() { return verifyRegisters(*this, "shape", getShape()); } // C1

LogicalResult RequireOp::verify() {
  static constexpr StringLiteral kinds[] = {"values", "distinct", "offsets",
                                            "groups", "counts",   "present"};
  if (!llvm::is_contained(kinds, getKind()))
    return emitOpError() << "wants values, distinct, offsets, groups, counts or present, got \""
                         << getKind() << "\""; // C1
  if ((getKind() == "groups") != bool(getOffsets()))
    return emitOpError() << "wants offsets with groups alone"; // C2
  if (failed(verifyRegisters(*this, "least", getLeast())))
    return failure();                                 // C3
  return verifyRegisters(*this, "below", getBelow()); // C3
}

LogicalResult RequireSizeOp::verify() {
  if (failed(verifyRegisters(*this, "size", getSize())))
    return failure();                                   // C1
  return verifyRegisters(*this, "wanted", getWanted()); // C1
}

LogicalResult TemporaryOp::verify() { return verifyRegisters(*this, "bytes", getBytes()); } // C1

LogicalResult GetOp::verify() {
  Operation *module = (*this)->getParentOfType<ModuleOp>();
  Operation *target = module ? SymbolTable::lookupSymbolIn(module, getSymbolAttr()) : nullptr;
  if (!isa_and_nonnull<ParameterOp, WeightOp, StateOp, ConstantOp>(target))
    return emitOpError() << "wants the name of a parameter, weight, state or constant, got "
                         << getSymbolAttr(); // C1
  return success();
}

LogicalResult LaunchOp::verify() {
  for (auto [name, maps] :
       {std::pair{"elements", getElements()}, std::pair{"offsets", getOffsets()}}) {
    if (!maps)
      continue;
    if (maps->size() != getBuffers().size())
      return emitOpError() << name << " wants one map per buffer (" << getBuffers().size()
                           << "), got " << maps->size(); // C1
    if (failed(verifyRegisters(*this, name, *maps)))
      return failure(); // C2
  }
  if (getFlops() && failed(verifyRegisters(*this, "flops", *getFlops())))
    return failure();                                         // C2
  return verifyRegisters(*this, "scalars", getScalarsAttr()); // C2
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  if (!isa_and_nonnull<FunctionOpInterface>(
          symbols.lookupNearestSymbolFrom(*this, getKernelAttr())))
    return emitOpError() << "wants the name of a function, got " << getKernelAttr(); // C3
  return success();
}

LogicalResult CopyOp::verify() { return verifyRegisters(*this, "bytes", getBytes()); } // C1

static LogicalResult verifyPeer(Operation *op, int64_t stage) {
  if (stage < 0)
    return op->emitOpError() << "wants a stage of the pipeline, got " << stage;
  return success();
}
static LogicalResult verifyEvent(Operation *op, int64_t event) {
  if (event < 0)
    return op->emitOpError() << "wants an event from 0 on, got " << event;
  return success();
}
LogicalResult RecordOp::verify() { return verifyEvent(*this, getEvent()); } // C1
LogicalResult WaitOp::verify() { return verifyEvent(*this, getEvent()); }   // C1

LogicalResult SendOp::verify() { return verifyPeer(*this, getStage()); }    // C1
LogicalResult ReceiveOp::verify() { return verifyPeer(*this, getStage()); } // C1

static LogicalResult verifyPositive(Operation *op,
                                    std::initializer_list<std::pair<StringRef, int64_t>> sizes) {
  for (auto [name, size] : sizes)
    if (size < 1)
      return op->emitOpError() << "wants positive " << name << ", got " << size;
  return success();
}

LogicalResult ExchangeCountsOp::verify() {
  if (failed(verifyPositive(
          *this, {{"parts", getParts()}, {"segments", getSegments()}, {"stride", getStride()}})))
    return failure(); // C1
  auto program = (*this)->getParentOfType<ProgramOp>();
  for (int64_t reg : {int64_t(getRows()), int64_t(getChoices())})
    if (!program || reg < 0 || reg >= int64_t(program.getRegisters().size()))
      return emitOpError() << "wants registers of the program, got " << reg; // C2
  return success();
}

LogicalResult ExchangeOp::verify() {
  return verifyPositive(*this, {{"parts", getParts()},
                                {"segments", getSegments()},
                                {"stride", getStride()},
                                {"row_bytes", getRowBytes()}}); // C1
}

LogicalResult CallOp::verify() {
  Operation *module = (*this)->getParentOfType<ModuleOp>();
  auto callee = module ? SymbolTable::lookupNearestSymbolFrom<ProgramOp>(module, getProgramAttr())
                       : ProgramOp();
  if (!callee)
    return emitOpError() << "wants the name of a program, got " << getProgramAttr(); // C1
  unsigned arguments = llvm::range_size(callee.getBody().getOps<ArgumentOp>());
  if (getRegisters().size() != callee.getRegisters().size() || getBuffers().size() != arguments)
    return emitOpError() << "wants " << callee.getRegisters().size() << " registers and "
                         << arguments << " buffers, got " << getRegisters().size() << " and "
                         << getBuffers().size(); // C2
  return verifyRegisters(*this, "registers", getRegistersAttr());
}

LogicalResult RepeatOp::verify() {
  auto program = (*this)->getParentOfType<ProgramOp>();
  if (!program || getReg() < 0 || getReg() >= (int64_t)program.getRegisters().size())
    return emitOpError() << "wants a register of the program, got " << getReg(); // C1
  return verifyRegisters(*this, "count", getCount());
}

LogicalResult SkipIfZeroOp::verify() { return verifyRegisters(*this, "value", getValue()); } // C1
