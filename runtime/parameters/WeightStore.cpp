//===- WeightStore.cpp - a module's parameters and packed weights -------===//

#include "runtime/parameters/WeightStore.h"

#include "runtime/CheckpointFit.h"
#include "runtime/DataDigest.h"
#include "runtime/Executor.h"
#include "runtime/Finite.h"
#include "runtime/module/Names.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace hadal {

/// The names of tensors of stacked parameters, of which a rank may have a share.
class WeightStore::TensorNames {
public:
  TensorNames(const fb::Module &module, unsigned part)
      : parameters(*module.parameters()), part(part) {
    if (const fb::Inference *inference = module.inference())
      sharded.insert(inference->sharded()->begin(), inference->sharded()->end());
  }
  bool isSharded(uint32_t index) const { return sharded.count(index); }
  std::string of(uint32_t index, uint32_t element) const {
    const fb::Parameter &parameter = *parameters.Get(index);
    std::string name = parameter.name()->str();
    bool isShare = sharded.count(index);
    if (parameter.count() > 1 || isShare)
      name.replace(name.find("{}"), 2,
                   std::to_string((isShare ? uint64_t(part) * parameter.count() : 0) + element));
    return name;
  }

private:
  const flatbuffers::Vector<flatbuffers::Offset<fb::Parameter>> &parameters;
  unsigned part;
  std::set<uint32_t> sharded;
};

static void collect(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
                    std::set<uint32_t> &parameters) {
  auto add = [&](const fb::Binding *b) {
    if (b->space() == fb::Space_Parameter)
      parameters.insert(b->index());
  };
  for (const fb::Command *command : commands) {
    if (auto *launch = command->action_as_Launch())
      for (const fb::Binding *b : *launch->bindings())
        add(b);
    else if (auto *copy = command->action_as_Copy())
      add(copy->source());
    else if (auto *call = command->action_as_Call())
      for (const fb::Binding *b : *call->arguments())
        add(b);
    else if (auto *repeat = command->action_as_Repeat())
      collect(*repeat->body(), parameters);
    else if (auto *skip = command->action_as_SkipIfZero())
      collect(*skip->body(), parameters);
  }
}

/// The parameters that programs other than "pack" read.
static std::set<uint32_t> keptParameters(const fb::Module &module) {
  std::set<uint32_t> kept;
  for (const fb::Program *program : *module.programs())
    if (program->name()->string_view() != names::program::pack)
      collect(*program->commands(), kept);
  return kept;
}

static std::string typeAndShape(ElementType element, const Shape &shape) {
  return std::string(elementTypeName(element)) + " " + toString(shape);
}

/// What the module reads as tensor `name`, which is there as it wants it.
static Result<Checkpoint::Entry> wantedTensor(const Module &module, const Checkpoint &checkpoint,
                                              const std::string &name, ElementType element,
                                              const Shape &shape) {
  auto entry = checkpoint.find(name);
  if (!entry)
    return notFound(checkpoint.path() + ": no tensor '" + name + "', which the module wants as " +
                    typeAndShape(element, shape));
  const StoredTensor &stored = *entry->tensor;
  if (stored.element == element && stored.shape == shape)
    return *entry;
  std::string message = name + ": module wants " + typeAndShape(element, shape) + ", file has " +
                        typeAndShape(stored.element, stored.shape);
  // A module is compiled for the element types that its folder's weights have.
  if (stored.shape == shape)
    message += "; compile " + checkpoint.path() + " for a module of these weights";
  return invalidFile(message);
}

/// The weights are the model's, by their configuration and their names.
Status WeightStore::checkFit(const Module &module, const Checkpoint &checkpoint) {
  HADAL_TRY(checkConfig(module, checkpoint));
  const fb::Module &tables = module.tables();
  std::set<std::string> known;
  unsigned parts = tables.inference() ? tables.inference()->ep() : 1;
  for (unsigned part = 0; part < parts; ++part) {
    TensorNames names(tables, part);
    for (uint32_t index = 0; index < tables.parameters()->size(); ++index)
      for (uint32_t i = 0; i < tables.parameters()->Get(index)->count(); ++i)
        known.insert(names.of(index, i));
  }
  return checkNothingElse(module, checkpoint,
                          [&](const std::string &name) { return known.count(name) != 0; });
}

Status WeightStore::holdWeights(const Module &module, Device &device) {
  for (const fb::Weight *weight : *module.tables().weights()) {
    weightKeys.push_back(parameterOf(module, *weight, part));
    weights.push_back(HADAL_TRY(store->hold(device, weightKeys.back(), weight->bytes())));
  }
  return {};
}

/// What the store has of a parameter already is `origin`'s: a training module's state is its own
/// store's, wherever its values come from.
Status WeightStore::checkIsOurs(const ParameterKey &key, const std::string &origin) const {
  std::string has = store->isState(key) ? store->name() : store->content(key).origin;
  if (has.empty() || has == origin)
    return {};
  return invalidArgument(key.name + ": the store has it of another " +
                         (has.starts_with("store ") ? "module" : "checkpoint"));
}

Status WeightStore::checkWeightsAreOurs(const std::string &origin) const {
  for (const ParameterKey &key : weightKeys)
    HADAL_TRY(checkIsOurs(key, origin));
  return {};
}

/// Whether all packed weights are these. States have their module's present values.
bool WeightStore::haveContent(const ParameterContent &content) const {
  return std::all_of(weightKeys.begin(), weightKeys.end(), [&](const ParameterKey &key) {
    return store->isState(key) || store->content(key) == content;
  });
}

void WeightStore::setContent(const ParameterContent &content) {
  for (const ParameterKey &key : weightKeys)
    if (!store->isState(key))
      store->setContent(key, content);
}

Result<WeightStore> WeightStore::load(const Module &module, Device &device, Checkpoint source,
                                      const Progress &progress, unsigned part,
                                      std::shared_ptr<ParameterStore> shared) {
  const fb::Module &tables = module.tables();
  HADAL_TRY(checkFit(module, source));
  auto names = std::make_shared<const TensorNames>(tables, part);
  // A store of its own has nobody who asks whose values it has.
  ParameterContent content;
  if (shared)
    content.origin = "checkpoint " + dataDigestOf(source);
  WeightStore store(shared ? std::move(shared) : std::make_shared<ParameterStore>(), part);
  store.names = names;
  store.checkpoint = std::make_unique<Checkpoint>(std::move(source));
  const Checkpoint &checkpoint = *store.checkpoint;
  uint64_t total = 0;
  for (uint32_t index = 0; index < tables.parameters()->size(); ++index) {
    const fb::Parameter *parameter = tables.parameters()->Get(index);
    Shape shape(parameter->shape()->begin(), parameter->shape()->end());
    ElementType element = elementType(parameter->element());
    auto &places = store.mapped.emplace_back();
    for (uint32_t i = 0; i < parameter->count(); ++i) {
      Checkpoint::Entry entry =
          HADAL_TRY(wantedTensor(module, checkpoint, names->of(index, i), element, shape));
      const std::byte *data = entry.data();
      if (reinterpret_cast<uintptr_t>(data) % byteSize(element)) {
        Buffer copy = HADAL_TRY(Buffer::allocate(entry.tensor->bytes));
        std::memcpy(copy.data(), data, entry.tensor->bytes);
        data = copy.data();
        store.alignedCopies.push_back(std::move(copy));
      }
      places.push_back(data);
      total += entry.tensor->bytes;
    }
  }
  HADAL_TRY(store.holdWeights(module, device));
  HADAL_TRY(store.checkWeightsAreOurs(content.origin));
  HADAL_TRY(store.pack(module, device, total, progress, content));
  HADAL_TRY(checkpoint.checkSize());
  return store;
}

/// Runs program "pack", and looks at every tensor's numbers: as it is packed, while its pages are
/// there, or after.
Status WeightStore::pack(const Module &module, Device &device, uint64_t total,
                         const Progress &progress, const ParameterContent &content) {
  const fb::Module &tables = module.tables();
  std::set<std::pair<uint32_t, uint32_t>> seen;
  Status numbers; // of the first tensor whose are not finite
  auto look = [&](uint32_t index, uint32_t element) -> Result<Checkpoint::Entry> {
    Checkpoint::Entry entry = *checkpoint->find(names->of(index, element));
    const StoredTensor &stored = *entry.tensor;
    if (!seen.insert({index, element}).second ||
        allFinite(stored.element, entry.data(), stored.bytes / byteSize(stored.element)))
      return entry;
    Error error =
        invalidFile(checkpoint->path() + ": " + stored.name + " holds NaN or an infinite value");
    numbers = error;
    return error;
  };
  bool isThere = !content.origin.empty() && haveContent(content);
  if (module.findProgram(names::program::pack) && !isThere) {
    setContent({});                                   // until all is there
    std::set<uint32_t> kept = keptParameters(tables); // the others are released once packed
    uint64_t done = 0;
    auto executor = HADAL_TRY(Executor::create(module, device, *this));
    executor->setLaunchObserver(
        [&](const fb::Launch &launch, std::span<const int64_t> registers) -> Status {
          for (const fb::Binding *b : *launch.bindings()) {
            if (b->space() != fb::Space_Parameter)
              continue;
            // The pack program binds a stack's tensor by its loop register, or tensor 0.
            const auto *code = b->element()->code();
            int64_t element = code->size() == 2 && code->Get(0) == 1
                                  ? registers[static_cast<size_t>(code->Get(1))]
                                  : 0;
            Checkpoint::Entry entry = HADAL_TRY(look(b->index(), static_cast<uint32_t>(element)));
            done += entry.tensor->bytes;
            if (kept.count(b->index()))
              continue;
            entry.file->release(*entry.tensor);
            if (auto copy = copies.find({b->index(), uint32_t(element)}); copy != copies.end()) {
              HADAL_TRY(device.synchronize(executor->stream())); // the launch has read it
              copies.erase(copy);
            }
          }
          if (progress)
            progress(std::min(done, total), total);
          return {};
        });
    ProgramRun run = HADAL_TRY(executor->prepare(names::program::pack));
    Status packed = run.execute();
    HADAL_TRY(numbers); // without the name of the program before it
    HADAL_TRY(packed);
    setContent(content);
  }
  for (uint32_t index = 0; index < tables.parameters()->size(); ++index)
    for (uint32_t i = 0; i < tables.parameters()->Get(index)->count(); ++i)
      HADAL_TRY(look(index, i));
  return {};
}

Result<DeviceAddress> WeightStore::parameter(Device &device, Stream &stream, uint32_t parameter,
                                             uint32_t element, uint64_t bytes) const {
  if (source && asStored[parameter])
    return asStored[parameter]->address() + element * bytes;
  const std::byte *data = source ? nullptr : mapped[parameter][element];
  if (data && device.sharesHostMemory())
    return const_cast<DeviceAddress>(data);
  auto copy = copies.find({parameter, element});
  if (copy == copies.end()) {
    if (source)
      data = static_cast<const std::byte *>(HADAL_TRY(sourceTensor(parameter, element)).data);
    DeviceBuffer memory = HADAL_TRY(allocateFor(names->of(parameter, element), device, bytes));
    HADAL_TRY(device.upload(stream, memory.address(), data, bytes));
    copy = copies.emplace(std::pair(parameter, element), std::move(memory)).first;
  }
  return copy->second.address();
}

uint64_t WeightStore::weightBytes() const {
  uint64_t sum = 0;
  for (const auto &weight : weights)
    sum += weight->bytes();
  return sum;
}

Result<WeightStore> WeightStore::load(const Module &module, Device &device,
                                      std::shared_ptr<ParameterStore> parameters,
                                      TensorSource &source, unsigned part) {
  HADAL_TRY(checkSameModel(module, source.module()));
  WeightStore store(std::move(parameters), part);
  store.names = std::make_shared<const TensorNames>(module.tables(), part);
  store.source = &source;
  store.reader = &module;
  store.device = &device;
  HADAL_TRY(store.holdAsStored());
  HADAL_TRY(store.holdWeights(module, device));
  HADAL_TRY(store.checkWeightsAreOurs(source.store().name()));
  HADAL_TRY(store.layOut());
  return store;
}

/// Memory for the parameters that programs read as they are stored.
Status WeightStore::holdAsStored() {
  const fb::Module &tables = reader->tables();
  std::set<uint32_t> kept = keptParameters(tables);
  for (uint32_t index = 0; index < tables.parameters()->size(); ++index) {
    const fb::Parameter &parameter = *tables.parameters()->Get(index);
    Shape shape(parameter.shape()->begin(), parameter.shape()->end());
    ParameterKey key{parameter.name()->str(), layoutText(nullptr),
                     names->isSharded(index) ? part : 0};
    HADAL_TRY(sourceTensor(index, 0)); // another type is told before another size
    asStored.emplace_back();
    storedKeys.push_back(key);
    if (!kept.count(index))
      continue;
    HADAL_TRY(checkIsOurs(key, source->store().name()));
    asStored.back() = HADAL_TRY(store->hold(
        *device, key, *byteCount(elementType(parameter.element()), shape) * parameter.count()));
  }
  return {};
}

/// A tensor of the other module, as this one reads it.
Result<TensorView> WeightStore::sourceTensor(uint32_t index, uint32_t element) const {
  const fb::Parameter &parameter = *reader->tables().parameters()->Get(index);
  Shape shape(parameter.shape()->begin(), parameter.shape()->end());
  std::string name = names->of(index, element);
  TensorView view = HADAL_TRY(source->tensor(name));
  if (view.element != elementType(parameter.element()) || view.shape != shape)
    return invalidArgument(name + ": " + reader->path() + " wants " +
                           typeAndShape(elementType(parameter.element()), shape) + ", " +
                           source->module().path() + " has " +
                           typeAndShape(view.element, view.shape));
  return view;
}

/// Grows whenever one of the parameters changes.
uint64_t WeightStore::versionOfAll() const {
  uint64_t sum = 0;
  for (const fb::Parameter *parameter : *reader->tables().parameters())
    sum += source->store().version(parameter->name()->str());
  return sum;
}

/// Fills what nobody has filled with the present values: parameters as stored, and weights by
/// program "pack".
Status WeightStore::layOut() {
  const fb::Module &tables = reader->tables();
  std::string origin = source->store().name();
  uint64_t all = versionOfAll();
  auto executor = HADAL_TRY(Executor::create(*reader, *device, *this));
  for (uint32_t index = 0; index < tables.parameters()->size(); ++index) {
    const fb::Parameter &parameter = *tables.parameters()->Get(index);
    const ParameterKey &key = storedKeys[index];
    ParameterContent content{origin, source->store().version(parameter.name()->str())};
    bool fills = asStored[index] && !store->isState(key) && store->content(key) != content;
    for (uint32_t i = 0; i < parameter.count(); ++i) {
      TensorView view = HADAL_TRY(sourceTensor(index, i)); // it has to fit, read or not
      if (fills)
        HADAL_TRY(executor->upload(asStored[index]->address() + i * view.bytes(), view.data,
                                   view.bytes()));
    }
    if (fills)
      store->setContent(key, content);
  }
  HADAL_TRY(executor->synchronize()); // the stream ends with the executor
  if (reader->findProgram(names::program::pack) && !haveContent({origin, all})) {
    executor->setLaunchObserver([&](const fb::Launch &, std::span<const int64_t>) -> Status {
      HADAL_TRY(device->synchronize(executor->stream())); // the launch has read them
      copies.clear();
      return {};
    });
    setContent({}); // until all is there
    ProgramRun run = HADAL_TRY(executor->prepare(names::program::pack));
    HADAL_TRY(run.execute());
    setContent({origin, all});
  }
  laidOut = all;
  return {};
}

Status WeightStore::refresh() { return source && versionOfAll() != laidOut ? layOut() : Status(); }

} // namespace hadal
