#include "runtime/WeightStore.h"
#include "runtime/Executor.h"

#include <cstring>
#include <set>

namespace hadal {

namespace {

/// The names of tensors of stacked parameters, of which a rank may have a share.
class TensorNames {
public:
  TensorNames(const fb::Module &module, unsigned part) : parameters(*module.parameters()), part(part) {
    if (const fb::Inference *inference = module.inference())
      sharded.insert(inference->sharded()->begin(), inference->sharded()->end());
  }
  std::string of(uint32_t index, uint32_t element) const {
    const fb::Parameter &parameter = *parameters.Get(index);
    std::string name = parameter.name()->str();
    bool isShare = sharded.count(index);
    if (parameter.count() > 1 || isShare)
      name.replace(name.find("{}"), 2, std::to_string((isShare ? uint64_t(part) * parameter.count() : 0) + element));
    return name;
  }

private:
  const flatbuffers::Vector<flatbuffers::Offset<fb::Parameter>> &parameters;
  unsigned part;
  std::set<uint32_t> sharded;
};

void collect(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands, std::set<uint32_t> &parameters) {
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

} // namespace

Result<WeightStore> WeightStore::load(const Module &module, Device &device, Checkpoint source, const Progress &progress, unsigned part) {
  const fb::Module &tables = module.tables();
  TensorNames names(tables, part);
  WeightStore store;
  store.checkpoint = std::make_unique<Checkpoint>(std::move(source));
  const Checkpoint &checkpoint = *store.checkpoint;
  uint64_t total = 0, done = 0;
  for (uint32_t index = 0; index < tables.parameters()->size(); ++index) {
    const fb::Parameter *parameter = tables.parameters()->Get(index);
    Shape shape(parameter->shape()->begin(), parameter->shape()->end());
    ElementType element = elementType(parameter->element());
    auto &places = store.parameters.emplace_back();
    for (uint32_t i = 0; i < parameter->count(); ++i) {
      std::string name = names.of(index, i), wanted = std::string(elementTypeName(element)) + " " + toString(shape);
      auto entry = checkpoint.find(name);
      if (!entry)
        return notFound(checkpoint.path() + ": no tensor '" + name + "', which the module wants as " + wanted);
      if (entry->tensor->element != element || entry->tensor->shape != shape)
        return invalidFile(name + ": module wants " + wanted + ", file has " + std::string(elementTypeName(entry->tensor->element)) + " " +
                           toString(entry->tensor->shape));
      const std::byte *data = entry->data();
      if (reinterpret_cast<uintptr_t>(data) % byteSize(element)) {
        Buffer copy = HADAL_TRY(device.allocate(entry->tensor->bytes));
        std::memcpy(copy.data(), data, entry->tensor->bytes);
        data = copy.data();
        store.alignedCopies.push_back(std::move(copy));
      }
      places.push_back(data);
      total += entry->tensor->bytes;
    }
  }
  for (const fb::Weight *weight : *tables.weights())
    store.weights.push_back(HADAL_TRY(device.allocate(weight->bytes())));
  const fb::Program *pack = module.findProgram("pack");
  if (!pack)
    return store;

  // What no other program reads is released once it is packed.
  std::set<uint32_t> kept;
  for (const fb::Program *program : *tables.programs())
    if (program != pack)
      collect(*program->commands(), kept);
  auto executor = HADAL_TRY(Executor::create(module, device, store));
  executor->setLaunchObserver([&](const fb::Launch &launch, std::span<const int64_t> registers) {
    for (const fb::Binding *b : *launch.bindings()) {
      if (b->space() != fb::Space_Parameter)
        continue;
      // The pack program binds a stack's tensor by its loop register, or tensor 0.
      const auto *code = b->element()->code();
      int64_t element = code->size() == 2 && code->Get(0) == 1 ? registers[static_cast<size_t>(code->Get(1))] : 0;
      auto entry = checkpoint.find(names.of(b->index(), static_cast<uint32_t>(element)));
      if (!entry)
        continue;
      done += entry->tensor->bytes;
      if (!kept.count(b->index()))
        entry->file->release(*entry->tensor);
    }
    if (progress)
      progress(std::min(done, total), total);
  });
  ProgramRun run = HADAL_TRY(executor->prepare("pack"));
  HADAL_TRY(run.execute());
  return store;
}

uint64_t WeightStore::weightBytes() const {
  uint64_t sum = 0;
  for (const Buffer &weight : weights)
    sum += weight.size();
  return sum;
}

} // namespace hadal
