//===- Job.cpp - the verifiers of what a job is -----------------------------===//

#include "dialects/job/Job.h"
#include "dialects/AttributeKinds.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::job;

static constexpr int64_t largestCount = int64_t(1) << 20, largestSize = int64_t(1) << 40;

#include "dialects/job/JobDialect.cpp.inc"

//===----------------------------------------------------------------------===//
// Text of parameters
//===----------------------------------------------------------------------===//

namespace hadal::job {

template <typename T> static FailureOr<SmallVector<T>> parseList(AsmParser &parser) {
  SmallVector<T> list;
  auto one = [&]() -> ParseResult {
    FailureOr<T> element = FieldParser<T>::parse(parser);
    if (failed(element))
      return failure();
    list.push_back(*element);
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, one))
    return failure();
  return list;
}

template <typename T> static void printList(AsmPrinter &printer, ArrayRef<T> list) {
  printer << "[";
  llvm::interleaveComma(list, printer.getStream(), [&](const T &element) {
    if constexpr (std::is_base_of_v<Attribute, T>)
      printer.printStrippedAttrOrType(element);
    else
      printer << element;
  });
  printer << "]";
}

} // namespace hadal::job

#define GET_ATTRDEF_CLASSES
#include "dialects/job/JobAttributes.cpp.inc"

MLIR_DEFINE_EXPLICIT_TYPE_ID(hadal::job::HadalDialect)

void JobDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/job/JobAttributes.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Parts of the model
//===----------------------------------------------------------------------===//

LogicalResult PartAttr::verify(function_ref<InFlightDiagnostic()> error, StringRef name) {
  if (name.empty())
    return error() << "wants the name of a part"; // C1
  return success();
}

PartAttr job::partAttrOf(Operation *op) {
  return op ? op->getAttrOfType<PartAttr>(kPartAttr) : PartAttr();
}

StringRef job::partOf(Operation *op) {
  PartAttr part = partAttrOf(op);
  return part ? part.getName() : StringRef();
}

bool job::computes(Operation *op) {
  auto isTensor = [](Type type) { return isa<RankedTensorType>(type); };
  if (!llvm::any_of(op->getResultTypes(), isTensor) || op->hasTrait<OpTrait::ConstantLike>() ||
      isa_and_nonnull<ml_program::MLProgramDialect>(op->getDialect()) || isa<CallOpInterface>(op))
    return false;
  return !isa<tensor::CastOp, tensor::CollapseShapeOp, tensor::EmptyOp, tensor::ExpandShapeOp,
              tensor::ExtractSliceOp, linalg::FillOp>(op);
}

void job::setPart(Operation *op, PartAttr part) {
  if (part && computes(op) && !op->hasAttr(kPartAttr))
    op->setAttr(kPartAttr, part);
}

void PartListener::notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) {
  if (isa_and_nonnull<FunctionOpInterface>(op->getParentOp()))
    setPart(op, part);
}

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

using Error = function_ref<InFlightDiagnostic()>;

static LogicalResult wantWithin(Error error, StringRef of, int64_t n, int64_t least, int64_t most) {
  if (n < least || n > most)
    return error() << of << " wants to be from " << least << " to " << most << ", got " << n;
  return success();
}

static LogicalResult wantWord(Error error, StringRef of, StringRef word,
                              ArrayRef<StringRef> words) {
  if (!llvm::is_contained(words, word))
    return error() << of << " wants one of " << llvm::join(words, ", ") << ", got \"" << word
                   << "\"";
  return success();
}

LogicalResult RanksAttr::verify(Error error, int64_t pp, int64_t ep, int64_t dp, int64_t nodes,
                                StringRef schedule, bool overlap, bool fastReduction,
                                StringRef dispatch, StringRef combine, int64_t capacity,
                                ArrayRef<StageAttr> stages, ArrayRef<ProgramAttr> programs) {
  for (auto [name, n] : {std::pair("pp", pp), {"ep", ep}, {"dp", dp}, {"nodes", nodes}})
    if (failed(wantWithin(error, name, n, 1, largestCount))) // C1
      return failure();
  if (ep % nodes)
    return error() << "nodes (" << nodes << ") wants to divide ep (" << ep << ")"; // C2
  if (failed(wantWord(error, "dispatch", dispatch, {"fp32", "bf16", "fp8"})) ||
      failed(wantWord(error, "combine", combine, {"fp32", "bf16"})) || // C3
      failed(wantWithin(error, "capacity", capacity, 0, largestSize))) // C4
    return failure();
  if (schedule.empty())
    return error() << "schedule wants a name"; // C5
  return success();
}

RanksAttr RanksAttr::get(MLIRContext *context, const RankOptions &o, ArrayRef<StageAttr> stages) {
  return get(context, o.pp, o.ep, o.dp, o.nodes, o.schedule, o.overlap, o.fastReduction, o.dispatch,
             o.combine, o.capacity, stages, {});
}

RankOptions RanksAttr::getOptions() const {
  return {.pp = getPp(),
          .ep = getEp(),
          .dp = getDp(),
          .nodes = getNodes(),
          .schedule = getSchedule().str(),
          .overlap = getOverlap(),
          .fastReduction = getFastReduction(),
          .dispatch = getDispatch().str(),
          .combine = getCombine().str(),
          .capacity = getCapacity()};
}

RanksAttr RanksAttr::withStages(ArrayRef<StageAttr> stages) const {
  return get(getContext(), getPp(), getEp(), getDp(), getNodes(), getSchedule(), getOverlap(),
             getFastReduction(), getDispatch(), getCombine(), getCapacity(), stages, getPrograms());
}

RanksAttr RanksAttr::withPrograms(ArrayRef<ProgramAttr> programs) const {
  return get(getContext(), getPp(), getEp(), getDp(), getNodes(), getSchedule(), getOverlap(),
             getFastReduction(), getDispatch(), getCombine(), getCapacity(), getStages(), programs);
}

LogicalResult StageAttr::verify(Error error, int64_t firstLayer, int64_t layers, StringRef,
                                StringRef, StringRef, ArrayRef<AccumulatorAttr>) {
  return failure(failed(wantWithin(error, "first_layer", firstLayer, 0, largestSize)) ||
                 failed(wantWithin(error, "layers", layers, 0, largestSize))); // C1
}

LogicalResult AccumulatorAttr::verify(Error error, StringRef state, int64_t trainable, int64_t use,
                                      ArrayRef<int64_t> owners) {
  if (failed(wantWithin(error, "trainable", trainable, -1, largestSize)) ||
      failed(wantWithin(error, "use", use, 0, largestSize)))
    return failure();
  for (int64_t owner : owners)
    if (failed(wantWithin(error, "segment_owners", owner, 0, largestSize))) // C1
      return failure();
  if (state.empty())
    return error() << "state wants a name"; // C2
  return success();
}

LogicalResult ProgramAttr::verify(Error error, StringRef name, ArrayRef<StringAttr> outputs) {
  if (name.empty())
    return error() << "name wants to be that of a program"; // C1
  llvm::SmallDenseSet<StringAttr> seen;
  for (StringAttr output : outputs)
    if (!seen.insert(output).second)
      return error() << "outputs has " << output << " twice"; // C2
  return success();
}

RanksAttr job::ranksOf(Operation *module) { return module->getAttrOfType<RanksAttr>(kRanksAttr); }

//===----------------------------------------------------------------------===//
// Attributes with the prefix job
//===----------------------------------------------------------------------===//

LogicalResult JobDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  StringRef name = attribute.getName();
  Attribute value = attribute.getValue();
  auto [known, isOne] = llvm::StringSwitch<std::pair<bool, bool>>(name)
                            .Case(kPartAttr, {true, isa<PartAttr>(value)})
                            .Case(kRanksAttr, {true, isa<RanksAttr>(value)})
                            .Default({false, false});
  if (!known)
    return op->emitError() << "the dialect job has no attribute " << name;
  if (!isOne)
    return op->emitError() << name << " wants to be a #" << name << "<...>, got " << value;
  return success();
}

//===----------------------------------------------------------------------===//
// Attributes with the prefix hadal
//===----------------------------------------------------------------------===//

namespace {

using Kind = AttributeKind;
struct Key {
  StringRef name;
  Kind kind;
};

constexpr Key keysOfAttributes[] = {
    {"hadal.accumulate", Kind::String},
    {"hadal.argument", Kind::Size},
    {"hadal.bf16_values", Kind::Unit},
    {"hadal.chunk", Kind::Unit},
    {"hadal.differentiate", Kind::Unit},
    {"hadal.gradient", Kind::Unit},
    {"hadal.gradient_of", Kind::Symbol},
    {"hadal.gradient_of_argument", Kind::Size},
    {"hadal.gradient_of_result", Kind::Size},
    {"hadal.layout_of", Kind::Symbol},
    {"hadal.loss", Kind::Unit},
    {"hadal.model", Kind::Dictionary},
    {"hadal.quantization", Kind::Sizes},
    {"hadal.recomputed", Kind::Unit},
    {"hadal.segment_owners", Kind::Sizes},
    {"hadal.settings", Kind::Dictionary},
    {"hadal.stage", Kind::Integer},
    {"hadal.stop_gradient", Kind::Unit},
    {"hadal.trainables", Kind::Dictionaries},
    {"hadal.training", Kind::Dictionary},
    {"hadal.use", Kind::Size},
};

constexpr Key keysOfModel[] = {
    {"active_parameter_count", Kind::Integer},
    {"bos_token_id", Kind::Integer},
    {"cache_elements_per_token", Kind::Size},
    {"eos_token_ids", Kind::Integers},
    {"expert_groups", Kind::Size},
    {"experts", Kind::Size},
    {"experts_per_token", Kind::Size},
    {"groups_per_token", Kind::Size},
    {"hidden_size", Kind::Size},
    {"latent", Kind::Size},
    {"layers", Kind::Size},
    {"max_positions", Kind::Size},
    {"model_type", Kind::String},
    {"moe_layers", Kind::Integers},
    {"page_tokens", Kind::Size},
    {"parameter_count", Kind::Integer},
    {"rope_dim", Kind::Size},
    {"vocab_size", Kind::Size},
};

constexpr Key keysOfTraining[] = {
    {"balance_weight", Kind::Float}, {"bias_step", Kind::Float},  {"config_json", Kind::String},
    {"first_mtp_layer", Kind::Size}, {"micro_batch", Kind::Size}, {"micro_batches", Kind::Size},
    {"moe_layers", Kind::Integers},  {"mtp_depth", Kind::Size},   {"mtp_weight", Kind::Float},
    {"precision", Kind::String},     {"sequence", Kind::Size},    {"sum_groups", Kind::Size},
};

constexpr Key keysOfTrainable[] = {
    {"aliases", Kind::Strings}, {"correction", Kind::Bool},      {"count", Kind::Size},
    {"init_mean", Kind::Float}, {"init_std", Kind::Float},       {"layout", Kind::String},
    {"name", Kind::String},     {"packed_elements", Kind::Size}, {"shape", Kind::Sizes},
    {"sharded", Kind::Bool},
};

/// Keys that are not listed are left alone.
LogicalResult verifyKeys(Error error, const Twine &of, DictionaryAttr values, ArrayRef<Key> keys) {
  for (const Key &key : keys)
    if (Attribute value = values.get(key.name))
      if (failed(verifyAttributeKind(error, of + " " + key.name, value, key.kind)))
        return failure();
  return success();
}

LogicalResult verifyKeysOfEach(Error error, const Twine &of, Attribute list, ArrayRef<Key> keys) {
  if (list)
    for (Attribute each : cast<ArrayAttr>(list))
      if (failed(verifyKeys(error, of, cast<DictionaryAttr>(each), keys)))
        return failure();
  return success();
}

LogicalResult verifyTraining(Error error, DictionaryAttr training) {
  if (failed(verifyKeys(error, "hadal.training", training, keysOfTraining)))
    return failure();
  for (StringRef count : {"micro_batch", "sequence", "micro_batches", "sum_groups"})
    if (auto n = training.getAs<IntegerAttr>(count);
        n && (n.getInt() < 1 || n.getInt() > (1 << 30)))
      return error() << "hadal.training " << count << " wants to be from 1 to 2^30, got "
                     << n.getInt();
  if (auto depth = training.getAs<IntegerAttr>("mtp_depth"); depth && depth.getInt() > 1024)
    return error() << "hadal.training mtp_depth wants to be at most 1024, got " << depth.getInt();
  return success();
}

LogicalResult verifyTrainables(Error error, ArrayAttr list) {
  if (failed(verifyKeysOfEach(error, "hadal.trainables", list, keysOfTrainable)))
    return failure();
  for (Attribute each : list) {
    auto entry = cast<DictionaryAttr>(each);
    // Their product is a size, too.
    int64_t elements = 1;
    auto times = [&](int64_t n) {
      elements = n && elements > (int64_t(1) << 48) / n ? -1
                 : elements < 0                         ? elements
                                                        : elements * n;
    };
    if (auto count = entry.getAs<IntegerAttr>("count")) {
      if (count.getInt() < 1)
        return error() << "hadal.trainables count wants to be at least 1, got " << count.getInt();
      times(count.getInt());
    }
    if (auto shape = entry.getAs<DenseI64ArrayAttr>("shape"))
      for (int64_t n : shape.asArrayRef())
        times(n);
    if (elements < 0)
      return error() << "hadal.trainables wants less than 2^48 elements, got " << each;
  }
  return success();
}

/// Settings are words of hadal-compile's options, and one switch.
LogicalResult verifySettings(Error error, DictionaryAttr settings) {
  static constexpr StringRef moments[] = {"fp32", "bf16"}, products[] = {"auto", "fma", "tiles"},
                             recompute[] = {"none", "report", "all"};
  const std::pair<StringRef, ArrayRef<StringRef>> words[] = {
      {"moments", moments}, {"products", products}, {"recompute", recompute}};
  for (NamedAttribute setting : settings) {
    StringRef key = setting.getName();
    Attribute value = setting.getValue();
    if (key == "average") {
      if (failed(verifyAttributeKind(error, "hadal.settings average", value, Kind::Bool)))
        return failure();
      continue;
    }
    auto known = llvm::find_if(words, [&](auto &entry) { return entry.first == key; });
    if (known == std::end(words))
      return error() << "hadal.settings has no key " << key;
    auto word = dyn_cast<StringAttr>(value);
    if (!word || !llvm::is_contained(known->second, word.getValue()))
      return error() << "hadal.settings " << key << " wants one of "
                     << llvm::join(known->second, ", ") << ", got " << value;
  }
  return success();
}

LogicalResult verifyKnown(Error error, NamedAttribute attribute) {
  StringRef name = attribute.getName();
  const Key *known =
      llvm::find_if(keysOfAttributes, [&](const Key &key) { return key.name == name; });
  if (known == std::end(keysOfAttributes))
    return error() << "the dialect hadal has no attribute " << name;
  Attribute value = attribute.getValue();
  if (failed(verifyAttributeKind(error, name, value, known->kind)))
    return failure();
  if (name == "hadal.model")
    return verifyKeys(error, name, cast<DictionaryAttr>(value), keysOfModel);
  if (name == "hadal.training")
    return verifyTraining(error, cast<DictionaryAttr>(value));
  if (name == "hadal.settings")
    return verifySettings(error, cast<DictionaryAttr>(value));
  if (name == "hadal.trainables")
    return verifyTrainables(error, cast<ArrayAttr>(value));
  if (name == "hadal.quantization") {
    ArrayRef<int64_t> block = cast<DenseI64ArrayAttr>(value).asArrayRef();
    if (block.size() != 2 || block[0] < 1 || block[1] < 1)
      return error() << "hadal.quantization wants two sizes of at least 1, got " << value;
  }
  return success();
}

LogicalResult wantKeysOf(Operation *module, StringRef name, DictionaryAttr values,
                         ArrayRef<StringRef> keys) {
  for (StringRef key : keys)
    if (!values.get(key))
      return module->emitError() << name << " wants " << key;
  return success();
}

} // namespace

LogicalResult HadalDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  return verifyKnown([op] { return op->emitError(); }, attribute);
}

LogicalResult HadalDialect::verifyRegionArgAttribute(Operation *op, unsigned, unsigned argument,
                                                     NamedAttribute attribute) {
  return verifyKnown([&] { return op->emitError() << "argument " << argument << ": "; }, attribute);
}

LogicalResult HadalDialect::verifyRegionResultAttribute(Operation *op, unsigned, unsigned result,
                                                        NamedAttribute attribute) {
  return verifyKnown([&] { return op->emitError() << "result " << result << ": "; }, attribute);
}

LogicalResult job::wantKeys(Operation *module, StringRef name, ArrayRef<StringRef> keys) {
  auto values = module->getAttrOfType<DictionaryAttr>(name);
  if (!values)
    return module->emitError() << "wants " << name;
  return wantKeysOf(module, name, values, keys);
}

LogicalResult job::wantKeysOfEach(Operation *module, StringRef name, ArrayRef<StringRef> keys) {
  auto list = module->getAttrOfType<ArrayAttr>(name);
  if (!list)
    return module->emitError() << "wants " << name;
  for (Attribute each : list)
    if (failed(wantKeysOf(module, name, cast<DictionaryAttr>(each), keys)))
      return failure();
  return success();
}
