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
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::job;

#include "dialects/job/JobDialect.cpp.inc"

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

LogicalResult JobDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  StringRef name = attribute.getName();
  if (name != kPartAttr)
    return op->emitError() << "the dialect job has no attribute " << name;
  if (!isa<PartAttr>(attribute.getValue()))
    return op->emitError() << name << " wants to be a #job.part<\"NAME\">, got "
                           << attribute.getValue();
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
    {"hadal.chunk", Kind::Unit},
    {"hadal.differentiate", Kind::Unit},
    {"hadal.gradient", Kind::Unit},
    {"hadal.gradient_of", Kind::Symbol},
    {"hadal.gradient_of_argument", Kind::Size},
    {"hadal.gradient_of_result", Kind::Size},
    {"hadal.inference", Kind::Dictionary},
    {"hadal.layout_of", Kind::Symbol},
    {"hadal.loss", Kind::Unit},
    {"hadal.model", Kind::Dictionary},
    {"hadal.quantization", Kind::Sizes},
    {"hadal.ranks", Kind::Dictionary},
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

constexpr Key keysOfRanks[] = {
    {"capacity", Kind::Size},   {"combine", Kind::String},
    {"dispatch", Kind::String}, {"dp", Kind::Size},
    {"ep", Kind::Size},         {"fast_reduction", Kind::Bool},
    {"nodes", Kind::Size},      {"overlap", Kind::Bool},
    {"pp", Kind::Size},         {"programs", Kind::Dictionaries},
    {"schedule", Kind::String}, {"stages", Kind::Dictionaries},
};

constexpr Key keysOfTrainable[] = {
    {"aliases", Kind::Strings}, {"correction", Kind::Bool},      {"count", Kind::Size},
    {"init_mean", Kind::Float}, {"init_std", Kind::Float},       {"layout", Kind::String},
    {"name", Kind::String},     {"packed_elements", Kind::Size}, {"shape", Kind::Sizes},
    {"sharded", Kind::Bool},
};

constexpr Key keysOfStage[] = {
    {"accumulators", Kind::Dictionaries},
    {"first_layer", Kind::Size},
    {"forward", Kind::String},
    {"input_grad", Kind::String},
    {"layers", Kind::Size},
    {"weight_grad", Kind::String},
};

constexpr Key keysOfProgram[] = {{"outputs", Kind::Strings}, {"program", Kind::String}};
constexpr Key keysOfAccumulator[] = {{"segment_owners", Kind::Sizes},
                                     {"state", Kind::String},
                                     {"trainable", Kind::Integer},
                                     {"use", Kind::Size}};

using Error = function_ref<InFlightDiagnostic()>;

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

LogicalResult verifyRanks(Error error, StringRef of, DictionaryAttr ranks) {
  if (failed(verifyKeys(error, of, ranks, keysOfRanks)) ||
      failed(verifyKeysOfEach(error, of + " programs", ranks.get("programs"), keysOfProgram)) ||
      failed(verifyKeysOfEach(error, of + " stages", ranks.get("stages"), keysOfStage)))
    return failure();
  for (StringRef count : {"pp", "ep", "dp", "nodes"})
    if (auto n = ranks.getAs<IntegerAttr>(count); n && (n.getInt() < 1 || n.getInt() > (1 << 20)))
      return error() << of << ' ' << count << " wants to be from 1 to 2^20, got " << n.getInt();
  if (auto stages = ranks.getAs<ArrayAttr>("stages"))
    for (Attribute stage : stages)
      if (failed(verifyKeysOfEach(error, of + " accumulators",
                                  cast<DictionaryAttr>(stage).get("accumulators"),
                                  keysOfAccumulator)))
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
    return success();
  Attribute value = attribute.getValue();
  if (failed(verifyAttributeKind(error, name, value, known->kind)))
    return failure();
  if (name == "hadal.model")
    return verifyKeys(error, name, cast<DictionaryAttr>(value), keysOfModel);
  if (name == "hadal.training")
    return verifyTraining(error, cast<DictionaryAttr>(value));
  if (name == "hadal.ranks" || name == "hadal.inference")
    return verifyRanks(error, name, cast<DictionaryAttr>(value));
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
