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

static constexpr int64_t largestCount = int64_t(1) << 20, largestSize = int64_t(1) << 40,
                         mostElements = int64_t(1) << 48;

#include "dialects/job/JobDialect.cpp.inc"

//===----------------------------------------------------------------------===//
// Text of parameters
//===----------------------------------------------------------------------===//

namespace hadal::job {

static FailureOr<APFloat> parseF32(AsmParser &parser) {
  APFloat value(0.0f);
  if (parser.parseFloat(APFloat::IEEEsingle(), value))
    return failure();
  return value;
}

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
// What verifiers ask
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

static LogicalResult wantSizes(Error error, StringRef of, ArrayRef<int64_t> sizes) {
  for (int64_t n : sizes)
    if (failed(wantWithin(error, of, n, 0, largestSize)))
      return failure();
  return success();
}

/// `numbers` are f32.
static LogicalResult wantFloatsWithin(Error error,
                                      ArrayRef<std::pair<StringRef, const APFloat *>> numbers,
                                      float least, float most) {
  for (auto [of, n] : numbers)
    if (float value = n->convertToFloat(); !(value >= least && value <= most))
      return error() << of << " wants to be from " << least << " to " << most << ", got " << value;
  return success();
}

//===----------------------------------------------------------------------===//
// Model and settings
//===----------------------------------------------------------------------===//

LogicalResult ModelAttr::verify(Error error, StringRef, int64_t vocabulary, int64_t hidden,
                                int64_t layers, int64_t latent, int64_t ropeDim, int64_t experts,
                                int64_t expertsPerToken, int64_t groups, int64_t groupsPerToken,
                                ArrayRef<int64_t> moeLayers, int64_t maxPositions,
                                int64_t pageTokens, int64_t cacheElements, ArrayRef<int64_t> eos,
                                int64_t bos, int64_t parameters, int64_t activeParameters,
                                ArrayRef<StringAttr> configuration) {
  const std::pair<StringRef, int64_t> sizes[] = {{"vocab_size", vocabulary},
                                                 {"hidden_size", hidden},
                                                 {"layers", layers},
                                                 {"latent", latent},
                                                 {"rope_dim", ropeDim},
                                                 {"experts", experts},
                                                 {"experts_per_token", expertsPerToken},
                                                 {"expert_groups", groups},
                                                 {"groups_per_token", groupsPerToken},
                                                 {"max_positions", maxPositions},
                                                 {"cache_elements_per_token", cacheElements},
                                                 {"parameter_count", parameters},
                                                 {"active_parameter_count", activeParameters}};
  constexpr int64_t largestId = std::numeric_limits<int32_t>::max();
  for (auto [of, n] : sizes)
    if (failed(wantSizes(error, of, n)))
      return failure();
  if (failed(wantSizes(error, "moe_layers", moeLayers)) ||              // C1
      failed(wantWithin(error, "page_tokens", pageTokens, 1, 65536)) || // C2
      failed(wantWithin(error, "bos_token_id", bos, -1, largestId)))    // C3
    return failure();
  for (int64_t id : eos)
    if (failed(wantWithin(error, "eos_token_ids", id, 0, largestId)))
      return failure();
  for (StringAttr entry : configuration)
    if (entry.getValue().split('=').first.empty())
      return error() << "configuration wants NAME=VALUE, got " << entry; // C4
  return success();
}

ModelAttr ModelAttr::withPageTokens(int64_t tokens) const {
  return get(getContext(), getModelType(), getVocabSize(), getHiddenSize(), getLayers(),
             getLatent(), getRopeDim(), getExperts(), getExpertsPerToken(), getExpertGroups(),
             getGroupsPerToken(), getMoeLayers(), getMaxPositions(), tokens,
             getCacheElementsPerToken(), getEosTokenIds(), getBosTokenId(), getParameterCount(),
             getActiveParameterCount(), getConfiguration());
}

LogicalResult SettingsAttr::verify(Error error, StringRef moments, StringRef products,
                                   StringRef recompute, bool, StringRef, StringRef cache) {
  return failure(failed(wantWord(error, "moments", moments, {"fp32", "bf16"})) ||
                 failed(wantWord(error, "products", products, {"auto", "fma", "tiles"})) ||
                 failed(wantWord(error, "recompute", recompute, {"none", "report", "all"})) ||
                 failed(wantWord(error, "cache", cache, {"fp32", "fp8"}))); // C1
}

ModelAttr job::modelOf(Operation *module) { return module->getAttrOfType<ModelAttr>(kModelAttr); }

SettingsAttr job::settingsOf(Operation *module) {
  if (auto settings = module->getAttrOfType<SettingsAttr>(kSettingsAttr))
    return settings;
  module->getContext()->getOrLoadDialect<JobDialect>(); // a hand-written module may not name it
  return SettingsAttr::get(module->getContext(), "fp32", "auto", "none", false, "", "fp32");
}

bool job::hasSettings(Operation *module) {
  return bool(module->getAttrOfType<SettingsAttr>(kSettingsAttr));
}

//===----------------------------------------------------------------------===//
// Training
//===----------------------------------------------------------------------===//

LogicalResult TrainingAttr::verify(Error error, int64_t microBatch, int64_t sequence,
                                   int64_t microBatches, int64_t sumGroups, int64_t mtpDepth,
                                   APFloat mtpWeight, APFloat balanceWeight, APFloat biasStep,
                                   StringRef precision, int64_t firstMtpLayer,
                                   ArrayRef<int64_t> moeLayers, StringRef) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  for (auto [name, n] : {std::pair("micro_batch", microBatch),
                         {"sequence", sequence},
                         {"micro_batches", microBatches},
                         {"sum_groups", sumGroups}})
    if (failed(wantWithin(error, name, n, 1, most))) // C1
      return failure();
  if (microBatch > most / sequence || microBatch * sequence > most / microBatches)
    return error() << "micro_batch, sequence and micro_batches want a step of less than 2^31 "
                      "tokens"; // C2
  if (failed(wantWithin(error, "mtp_depth", mtpDepth, 0, 1024)) ||
      failed(wantSizes(error, "first_mtp_layer", firstMtpLayer)) ||
      failed(wantSizes(error, "moe_layers", moeLayers))) // C3
    return failure();
  if (failed(wantFloatsWithin(error,
                              {{"mtp_weight", &mtpWeight},
                               {"balance_weight", &balanceWeight},
                               {"bias_step", &biasStep}},
                              0, 1e6f))) // C4
    return failure();
  return wantWord(error, "precision", precision, {"fp32", "bf16", "fp8"}); // C5
}

TrainingAttr TrainingAttr::getChecked(Error error, MLIRContext *context, const TrainingOptions &o,
                                      int64_t mtpDepth, int64_t firstMtpLayer,
                                      ArrayRef<int64_t> moeLayers) {
  auto real = [](double v) { return APFloat(float(v)); };
  return getChecked(error, context, o.microBatch, o.sequence, o.microBatches, o.groups(), mtpDepth,
                    real(o.mtpWeight), real(o.balanceWeight), real(o.biasStep),
                    StringRef(o.precision), firstMtpLayer, moeLayers, StringRef(o.configText));
}

LogicalResult TrainableAttr::verify(Error error, StringRef name, ArrayRef<int64_t> shape,
                                    int64_t count, ArrayRef<StringAttr>, bool, APFloat mean,
                                    APFloat deviation, bool, StringRef, int64_t packedElements) {
  if (name.empty())
    return error() << "name wants to be that of a parameter"; // C1
  if (failed(wantWithin(error, "count", count, 1, mostElements)) ||
      failed(wantSizes(error, "shape", shape)))
    return failure();
  int64_t elements = count;
  for (int64_t n : shape) {
    if (n && elements > mostElements / n)
      return error() << name << " wants less than 2^48 elements"; // C2
    elements *= n;
  }
  constexpr float most = std::numeric_limits<float>::max();
  return failure(
      failed(wantWithin(error, "packed_elements", packedElements, 0, mostElements)) || // C3
      failed(wantFloatsWithin(error, {{"init_mean", &mean}, {"init_std", &deviation}}, -most,
                              most))); // C4
}

TrainableAttr TrainableAttr::withShare(int64_t count) const {
  return get(getContext(), getName(), getShape(), count, getAliases(), getCorrection(),
             getInitMean(), getInitStd(), /*sharded=*/true, getLayout(), getPackedElements());
}

TrainableAttr TrainableAttr::withLayout(StringRef layout, int64_t packedElements) const {
  return get(getContext(), getName(), getShape(), getCount(), getAliases(), getCorrection(),
             getInitMean(), getInitStd(), getSharded(), layout, packedElements);
}

LogicalResult QuantizationAttr::verify(Error error, int64_t rows, int64_t columns,
                                       StringRef scales) {
  return failure(failed(wantWithin(error, "rows", rows, 1, largestCount)) ||
                 failed(wantWithin(error, "columns", columns, 1, largestCount)) ||    // C1
                 failed(wantWord(error, "scales", scales, {"f32", "bf16", "e8m0"}))); // C2
}

TrainingAttr job::trainingOf(Operation *module) {
  return module->getAttrOfType<TrainingAttr>(kTrainingAttr);
}

SmallVector<TrainableAttr> job::trainablesOf(Operation *module) {
  auto list = module->getAttrOfType<ArrayAttr>(kTrainablesAttr);
  return list ? llvm::to_vector(list.getAsRange<TrainableAttr>()) : SmallVector<TrainableAttr>();
}

void job::setTrainables(Operation *module, ArrayRef<TrainableAttr> trainables) {
  SmallVector<Attribute> list(trainables.begin(), trainables.end());
  module->setAttr(kTrainablesAttr, ArrayAttr::get(module->getContext(), list));
}

QuantizationAttr job::quantizationOf(Operation *module) {
  return module->getAttrOfType<QuantizationAttr>(kQuantizationAttr);
}

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

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
  if (name == kTrainablesAttr) {
    auto list = dyn_cast<ArrayAttr>(value);
    if (!list || !llvm::all_of(list, [](Attribute a) { return isa<TrainableAttr>(a); }))
      return op->emitError() << name << " wants to be a list of #job.trainable<...>, got " << value;
    return success();
  }
  auto isOne = llvm::StringSwitch<std::optional<bool>>(name)
                   .Case(kModelAttr, isa<ModelAttr>(value))
                   .Case(kPartAttr, isa<PartAttr>(value))
                   .Case(kQuantizationAttr, isa<QuantizationAttr>(value))
                   .Case(kRanksAttr, isa<RanksAttr>(value))
                   .Case(kSettingsAttr, isa<SettingsAttr>(value))
                   .Case(kTrainingAttr, isa<TrainingAttr>(value))
                   .Default(std::nullopt);
  if (!isOne)
    return op->emitError() << "the dialect job has no attribute " << name;
  if (!*isOne)
    return op->emitError() << name << " wants to be a #" << name << "<...>, got " << value;
  // What says nothing would be believed to be said.
  auto training = dyn_cast_or_null<TrainingAttr>(op->getAttr(kTrainingAttr));
  if (auto settings = dyn_cast<SettingsAttr>(value);
      settings && !settings.getFp8().empty() && (!training || training.getPrecision() != "fp8"))
    return op->emitError() << name << " wants no fp8 options in a graph "
                           << (training ? "in " + training.getPrecision() : "that does not train");
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
    {kAccumulateAttr, Kind::String},
    {kArgumentAttr, Kind::Size},
    {kBf16ValuesAttr, Kind::Unit},
    {kChunkAttr, Kind::Unit},
    {kDifferentiateAttr, Kind::Unit},
    {kGradientAttr, Kind::Unit},
    {kGradientOfAttr, Kind::Symbol},
    {kGradientOfArgumentAttr, Kind::Size},
    {kGradientOfResultAttr, Kind::Size},
    {kLayoutOfAttr, Kind::Symbol},
    {kLossAttr, Kind::Unit},
    {kRecomputedAttr, Kind::Unit},
    {kSegmentOwnersAttr, Kind::Sizes},
    {kStageAttr, Kind::Integer},
    {kStopGradientAttr, Kind::Unit},
    {kUseAttr, Kind::Size},
};

LogicalResult verifyKnown(Error error, NamedAttribute attribute) {
  StringRef name = attribute.getName();
  const Key *known =
      llvm::find_if(keysOfAttributes, [&](const Key &key) { return key.name == name; });
  if (known == std::end(keysOfAttributes))
    return error() << "the dialect hadal has no attribute " << name;
  return verifyAttributeKind(error, name, attribute.getValue(), known->kind);
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
