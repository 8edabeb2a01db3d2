//===- Trainables.cpp - the parameters that training updates ------------===//

#include "runtime/training/Trainables.h"

#include "runtime/CheckpointFit.h"
#include "runtime/Finite.h"
#include "runtime/TensorNames.h"
#include "runtime/module/Names.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace hadal;

Result<const fb::Training *> hadal::trainingOf(const Module &module) {
  if (!module.tables().training() || !module.model())
    return invalidArgument(module.path() +
                           ": is no training module; compile a folder with --mode=train");
  return module.tables().training();
}

std::string_view hadal::valuesName(Values values) {
  static constexpr std::string_view all[valuesCount] = {
      names::argument::weight, names::argument::gradient, names::argument::firstMoment,
      names::argument::secondMoment, names::argument::average};
  return all[size_t(values)];
}

std::string hadal::layerOf(std::string_view tensorName) {
  std::optional<int64_t> number = layerNumberOf(tensorName);
  return number ? "layer " + std::to_string(*number) : std::string();
}

/// The name of one element of a stack.
static std::string elementName(std::string name, uint32_t count, uint32_t element) {
  size_t at = name.find("{}"); // a rank may hold one element of a stack
  if (count > 1 || at != std::string::npos)
    name.replace(at, 2, std::to_string(element));
  return name;
}

Result<Trainables> Trainables::create(Executor &executor, TensorShares shares) {
  const fb::Training &table = *HADAL_TRY(trainingOf(executor.module()));
  Trainables result(executor, table, std::move(shares));
  for (const fb::Trainable *trainable : *table.trainables()) {
    uint32_t number = static_cast<uint32_t>(result.bases.size());
    std::string name = trainable->name()->str();
    result.bases.emplace_back();
    for (size_t i = 0; i < valuesCount; ++i) {
      bool isOptional = i == size_t(Values::Average);
      if (trainable->correction() && i != size_t(Values::Weight))
        continue;
      auto state = executor.state(std::string(valuesName(Values(i))) + "." + name);
      if (!state.ok() && isOptional)
        continue;
      DeviceView view = HADAL_TRY(std::move(state));
      int64_t wanted = trainable->packed_elements() * trainable->count();
      bool mayBeShort = i == size_t(Values::FirstMoment) || i == size_t(Values::SecondMoment);
      bool isKnown =
          view.element == ElementType::F32 || (mayBeShort && view.element == ElementType::BF16);
      // The sum over the micro-batches of a sharded stack has a part for each rank they come from.
      auto elements = elementCount(view.shape);
      bool fits = elements == wanted || (i == size_t(Values::Gradient) && trainable->sharded() &&
                                         elements && *elements > wanted);
      if (!isKnown || !fits)
        return invalidFile(executor.module().path() + ": state " +
                           std::string(valuesName(Values(i))) + "." + name + ": wants F32 [" +
                           std::to_string(wanted) + "], has " +
                           std::string(elementTypeName(view.element)) + " " + toString(view.shape));
      result.bases.back()[i] = {view.address, view.element};
    }
    uint32_t shards = trainable->sharded() ? result.shares.shards : 1,
             count = trainable->count() * shards;
    for (uint32_t at = 0; at < count; ++at) {
      TrainedTensor tensor{number, at % trainable->count(), elementName(name, count, at), {},
                           {},     trainable->correction(), at / trainable->count()};
      tensor.shape.assign(trainable->shape()->begin(), trainable->shape()->end());
      for (const auto *alias : *trainable->aliases())
        tensor.aliases.push_back(elementName(alias->str(), count, at));
      result.known.insert(tensor.name);
      result.known.insert(tensor.aliases.begin(), tensor.aliases.end());
      result.all.push_back(std::move(tensor));
    }
  }
  return result;
}

bool Trainables::trainsLayerOf(const std::string &name) const {
  std::optional<int64_t> number = layerNumberOf(name);
  return number && *number < table.first_mtp_layer() + table.mtp_depth();
}

DeviceView Trainables::packedView(Values values, const TrainedTensor &tensor) const {
  int64_t elements = table.trainables()->Get(tensor.trainable)->packed_elements();
  const Base &base = bases[tensor.trainable][size_t(values)];
  return {
      base.element, {elements}, base.address + tensor.element * elements * byteSize(base.element)};
}

Result<ProgramRun *> Trainables::run(const std::string &program) {
  auto found = runs.find(program);
  if (found == runs.end())
    found = runs.emplace(program, HADAL_TRY(executor.prepare(program))).first;
  return &found->second;
}

float *Trainables::scratch(int64_t elements) {
  uint64_t bytes = static_cast<uint64_t>(elements) * sizeof(float);
  if (buffer.size() < bytes) {
    buffer = Buffer();
    auto larger = Buffer::allocate(bytes);
    if (!larger.ok())
      return nullptr;
    buffer = std::move(*larger);
  }
  return reinterpret_cast<float *>(buffer.data());
}

/// Memory for `elements` values in f32, on the device; valid until the next call.
Result<DeviceView> Trainables::wideMemory(int64_t elements) {
  uint64_t bytes = uint64_t(elements) * sizeof(float);
  if (wide.bytes() < bytes) {
    wide = DeviceBuffer();
    wide = HADAL_TRY(executor.device().allocate(bytes));
  }
  return DeviceView{ElementType::F32, {elements}, wide.address()};
}

/// Between BF16 and f32, by the program `widen` or `narrow`.
Status Trainables::convert(const char *program, const DeviceView &from, const DeviceView &to) {
  ProgramRun &converting = *HADAL_TRY(run(program));
  HADAL_TRY(converting.setRegister(names::reg::elements, from.shape[0]));
  HADAL_TRY(converting.bind(names::argument::from, from));
  HADAL_TRY(converting.bind(names::argument::to, to));
  return converting.execute();
}

/// BF16 values in f32, valid until the next call.
Result<DeviceView> Trainables::widened(const DeviceView &narrow) {
  DeviceView inF32 = HADAL_TRY(wideMemory(narrow.shape[0]));
  HADAL_TRY(convert(names::program::widen, narrow, inF32));
  return inF32;
}

/// Runs a program between `packed` and a checkpoint's tensor. Programs know F32; BF16 values pass
/// through `wide`.
Status Trainables::inMemory(ProgramRun &program, Values values, const TrainedTensor &tensor,
                            bool writes) {
  DeviceView packed = packedView(values, tensor);
  if (packed.element == ElementType::F32) {
    HADAL_TRY(program.bind(names::argument::packed, packed));
    return program.execute();
  }
  DeviceView inF32 = HADAL_TRY(writes ? wideMemory(packed.shape[0]) : widened(packed));
  HADAL_TRY(program.bind(names::argument::packed, inF32));
  HADAL_TRY(program.execute());
  return writes ? convert(names::program::narrow, inF32, packed)
                : Status(); // exact for what was BF16
}

/// Of the largest magnitude among a tensor's values, its bits.
Result<uint32_t> Trainables::largestBits(Values values, const TrainedTensor &tensor) {
  DeviceView packed = packedView(values, tensor);
  if (packed.element != ElementType::F32)
    packed = HADAL_TRY(widened(packed));
  ProgramRun &magnitude = *HADAL_TRY(run(names::program::magnitude));
  HADAL_TRY(magnitude.setRegister(names::reg::elements, packed.shape[0]));
  HADAL_TRY(magnitude.bind(names::argument::values, packed));
  HADAL_TRY(magnitude.execute());
  uint32_t bits;
  std::memcpy(&bits, HADAL_TRY(magnitude.output(names::argument::largest)).data, sizeof bits);
  return bits;
}

/// The name of a program for a tensor's layout: "pack.f32.plain.24".
std::string Trainables::programOf(std::string_view what, const TrainedTensor &tensor) const {
  return std::string(what) + table.trainables()->Get(tensor.trainable)->layout()->str();
}

Status Trainables::pack(std::string_view program, const TrainedTensor &tensor, Values values,
                        const TensorView &from) {
  ProgramRun &packing = *HADAL_TRY(run(programOf(program, tensor)));
  HADAL_TRY(packing.bind(names::argument::tensor, from));
  return inMemory(packing, values, tensor, /*writes=*/true);
}

Status Trainables::pack(Values values, const TrainedTensor &tensor, const TensorView &from) {
  HADAL_TRY(pack(names::program::packF32, tensor, values, from));
  if (values == Values::Weight)
    noteChange(*table.trainables()->Get(tensor.trainable));
  return {};
}

Result<TensorView> Trainables::memoryFor(const TrainedTensor &tensor) {
  int64_t elements = *elementCount(tensor.shape);
  float *to = scratch(elements);
  if (!to)
    return outOfMemory("cannot allocate " + std::to_string(elements) + " elements for " +
                       tensor.name);
  return TensorView{ElementType::F32, tensor.shape, to};
}

Result<TensorView> Trainables::unpack(Values values, const TrainedTensor &tensor) {
  TensorView view = HADAL_TRY(memoryFor(tensor));
  ProgramRun &unpacking = *HADAL_TRY(run(programOf(names::program::unpack, tensor)));
  HADAL_TRY(unpacking.bind(names::argument::tensor, view));
  HADAL_TRY(inMemory(unpacking, values, tensor, /*writes=*/false));
  return view;
}

/// The program that widens a tensor's FP8 codes by their scales; null where there is none.
const fb::Program *Trainables::codesPackingOf(const TrainedTensor &tensor) const {
  return executor.module().findProgram(programOf(names::program::packF8, tensor));
}

/// In which such a program takes the scales.
static ElementType typeOfScales(const fb::Program &packing) {
  for (const fb::Argument *argument : *packing.arguments())
    if (argument->name()->string_view() == names::argument::scale)
      return elementType(argument->element());
  return ElementType::F32;
}

/// What may be behind a tensor's absence, as the end of a line.
std::string Trainables::whyMissing(const Checkpoint &checkpoint,
                                   const TrainedTensor &tensor) const {
  if (std::optional<int64_t> layer = layerNumberOf(tensor.name);
      layer && *layer >= table.first_mtp_layer())
    return " for multi-token prediction (compile with --mtp-weight=0 to train without it)";
  std::string other = recogniseOtherNaming(checkpoint, tensor.name);
  return other.empty() ? "" : ": " + other;
}

/// The program that lays a tensor of this element type out; empty where there is none.
static std::string_view packingOf(ElementType element) {
  switch (element) {
  case ElementType::F32: return names::program::packF32;
  case ElementType::BF16: return names::program::packBf16;
  case ElementType::F16: return names::program::packF16;
  default: return "";
  }
}

Status Trainables::load(const Checkpoint &checkpoint, const Progress &progress) {
  HADAL_TRY(checkNothingElse(executor.module(), checkpoint, [&](const std::string &name) {
    constexpr std::string_view scale = "_scale_inv"; // of FP8 weights alone
    std::string weight =
        name.ends_with(scale) ? name.substr(0, name.size() - scale.size()) : std::string();
    auto scaled = checkpoint.find(weight);
    return known.count(name) ||
           (known.count(weight) && scaled && scaled->tensor->element == ElementType::F8E4M3);
  }));
  // Look at all of them before the first is read.
  uint64_t total = 0, done = 0;
  for (const TrainedTensor &tensor : all) {
    auto entry = checkpoint.find(tensor.name);
    if (!entry)
      return notFound(checkpoint.path() + ": no tensor '" + tensor.name +
                      "', which the module trains" + whyMissing(checkpoint, tensor));
    const StoredTensor &stored = *entry->tensor;
    bool hasCodes = stored.element == ElementType::F8E4M3 && stored.shape == tensor.shape;
    if (const fb::Program *packing = hasCodes ? codesPackingOf(tensor) : nullptr) {
      auto scale = checkpoint.find(tensor.name + "_scale_inv");
      if (!scale)
        return notFound(checkpoint.path() + ": no tensor '" + tensor.name +
                        "_scale_inv', which scales " + tensor.name);
      if (ElementType wanted = typeOfScales(*packing); scale->tensor->element != wanted)
        return invalidFile(checkpoint.path() + ": " + scale->tensor->name + ": module wants " +
                           std::string(elementTypeName(wanted)) + ", file has " +
                           std::string(elementTypeName(scale->tensor->element)) +
                           "; compile that folder");
      total += isHere(tensor) ? stored.bytes : 0;
      continue;
    }
    if (packingOf(stored.element).empty() || stored.shape != tensor.shape)
      return invalidFile(checkpoint.path() + ": " + tensor.name +
                         ": module wants F32, BF16 or F16 " + toString(tensor.shape) +
                         ", file has " + std::string(elementTypeName(stored.element)) + " " +
                         toString(stored.shape));
    total += isHere(tensor) ? stored.bytes : 0;
  }
  for (const TrainedTensor &tensor : all) {
    if (!isHere(tensor))
      continue;
    auto entry = *checkpoint.find(tensor.name);
    const StoredTensor &stored = *entry.tensor;
    TensorView view{stored.element, stored.shape, const_cast<std::byte *>(entry.data())};
    if (reinterpret_cast<uintptr_t>(view.data) % byteSize(stored.element)) {
      void *copy = scratch(*elementCount(tensor.shape));
      if (!copy)
        return outOfMemory("cannot allocate " + std::to_string(stored.bytes) + " bytes for " +
                           tensor.name);
      std::memcpy(copy, view.data, stored.bytes);
      view.data = copy;
    }
    if (stored.element == ElementType::F8E4M3) {
      auto scale = *checkpoint.find(tensor.name + "_scale_inv");
      // Its place in the file may be any.
      std::vector<std::byte> scales(scale.data(), scale.data() + scale.tensor->bytes);
      ProgramRun &packing = *HADAL_TRY(run(programOf(names::program::packF8, tensor)));
      HADAL_TRY(
          packing.bind(names::argument::scale,
                       TensorView{scale.tensor->element, scale.tensor->shape, scales.data()}));
      HADAL_TRY(pack(names::program::packF8, tensor, Values::Weight, view));
    } else {
      HADAL_TRY(pack(packingOf(stored.element), tensor, Values::Weight, view));
    }
    entry.file->release(stored);
    done += stored.bytes;
    if (progress)
      progress(done, total);
  }
  buffer = Buffer();
  noteChange();
  return checkpoint.checkSize();
}

Status Trainables::draw(uint64_t seed, const Progress &progress) {
  ProgramRun &drawing = *HADAL_TRY(run(names::program::draw));
  std::vector<int32_t> key(2);
  std::vector<float> scale(2);
  HADAL_TRY(drawing.bind(names::argument::key, TensorView::of(key)));
  HADAL_TRY(drawing.bind(names::argument::scale, TensorView::of(scale)));
  uint64_t done = 0;
  for (const TrainedTensor &tensor : all) {
    const fb::Trainable &trainable = *table.trainables()->Get(tensor.trainable);
    if (tensor.correction || !isHere(tensor))
      continue; // a correction begins at 0, as the state is
    uint64_t hash = XXH3_64bits_withSeed(tensor.name.data(), tensor.name.size(), seed);
    std::memcpy(key.data(), &hash, sizeof hash);
    scale = {trainable.init_mean(), trainable.init_std()};
    int64_t elements = *elementCount(tensor.shape);
    float *values = scratch(elements);
    if (!values)
      return outOfMemory("cannot allocate " + std::to_string(elements) + " elements for " +
                         tensor.name);
    HADAL_TRY(drawing.setRegister(names::reg::elements, elements));
    HADAL_TRY(
        drawing.bind(names::argument::values, TensorView{ElementType::F32, {elements}, values}));
    HADAL_TRY(drawing.execute());
    HADAL_TRY(pack(Values::Weight, tensor, {ElementType::F32, tensor.shape, values}));
    if (progress)
      progress(++done, all.size());
  }
  HADAL_TRY(drawing.unbind(names::argument::values));
  buffer = Buffer();
  return {};
}

void Trainables::noteChange(const fb::Trainable &trainable) {
  executor.parameters().changed(trainable.name()->str());
  for (const auto *alias : *trainable.aliases())
    executor.parameters().changed(alias->str());
}

void Trainables::noteChange() {
  for (const fb::Trainable *trainable : *table.trainables())
    noteChange(*trainable);
}

TrainedWeights::TrainedWeights(const Module &module, Trainables &trainables)
    : trained(module), trainables(trainables) {
  for (const TrainedTensor &tensor : trainables.tensors()) {
    byName[tensor.name] = &tensor;
    for (const std::string &alias : tensor.aliases)
      byName[alias] = &tensor;
  }
}

Result<TensorView> TrainedWeights::tensor(const std::string &name) {
  auto found = byName.find(name);
  if (found == byName.end())
    return notFound(trained.path() + ": trains no tensor '" + name + "'");
  if (!trainables.isHere(*found->second))
    return invalidArgument(name + ": another rank has it");
  return trainables.unpack(Values::Weight, *found->second);
}

Status Trainables::startAverages() {
  for (const TrainedTensor &tensor : all)
    if (has(Values::Average, tensor) && isUpdatedHere(tensor)) {
      DeviceView to = packedView(Values::Average, tensor);
      HADAL_TRY(executor.copy(to.address, packedView(Values::Weight, tensor).address, to.bytes()));
    }
  return {};
}

Result<const TrainedTensor *> Trainables::findNotFinite(Values values) {
  bool isUpdaters = values != Values::Weight && values != Values::Gradient;
  for (const TrainedTensor &tensor : all)
    if (has(values, tensor) && (isUpdaters ? isUpdatedHere(tensor) : isHere(tensor)) &&
        !isFiniteMagnitude(HADAL_TRY(largestBits(values, tensor))))
      return &tensor;
  return static_cast<const TrainedTensor *>(nullptr);
}

Status Trainables::checkFinite() {
  static constexpr std::pair<Values, const char *> kept[] = {
      {Values::Weight, ""},
      {Values::FirstMoment, "the first moment of "},
      {Values::SecondMoment, "the second moment of "},
      {Values::Average, "the average of "}};
  for (auto [values, what] : kept)
    if (const TrainedTensor *tensor = HADAL_TRY(findNotFinite(values)))
      return invalidArgument(what + tensor->name + " is not finite");
  return {};
}

Result<const TrainedTensor *> Trainables::findLargest(Values values, uint32_t *bits) {
  const TrainedTensor *found = nullptr;
  uint32_t largest = 0;
  for (const TrainedTensor &tensor : all)
    if (isHere(tensor) && has(values, tensor)) {
      uint32_t here = HADAL_TRY(largestBits(values, tensor));
      if (here > largest || !found) {
        largest = here;
        found = &tensor;
      }
    }
  if (bits)
    *bits = largest;
  return found;
}
