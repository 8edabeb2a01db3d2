//===- CheckpointFiles.cpp - the files of one checkpoint ----------------===//

#include "runtime/training/CheckpointFiles.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>

using namespace hadal;
using Json = nlohmann::ordered_json;

namespace {

/// A tensor of the weight files: trained, or passed through from `entry`.
struct Item {
  SafetensorsWriter::Planned plan;
  const TrainedTensor *trained = nullptr;
  std::optional<Checkpoint::Entry> entry;
  Values values = Values::Weight;

  uint64_t bytes() const { return *byteCount(plan.element, plan.shape); }
};

std::vector<Item> itemsOf(const Trainables &trainables, const Checkpoint *source) {
  std::vector<Item> items;
  for (const TrainedTensor &tensor : trainables.tensors()) {
    items.push_back({{tensor.name, ElementType::F32, tensor.shape}, &tensor, {}});
    // Copies in layers that are not trained are there where they were.
    for (const std::string &alias : tensor.aliases)
      if (trainables.trainsLayerOf(alias) || (source && source->find(alias)))
        items.push_back({{alias, ElementType::F32, tensor.shape}, &tensor, {}});
  }
  if (source)
    for (const std::string &name : source->names())
      if (!trainables.names().count(name)) {
        auto entry = *source->find(name);
        items.push_back({{name, entry.tensor->element, entry.tensor->shape}, nullptr, entry});
      }
  return items;
}

/// What stands for a tensor in files of averages.
Values averageOf(const Trainables &trainables, const TrainedTensor &tensor) {
  return trainables.has(Values::Average, tensor) ? Values::Average : Values::Weight;
}

Status writeShard(const std::string &path, std::span<const Item> items, TensorReader &reader, int64_t step) {
  std::vector<SafetensorsWriter::Planned> plan;
  for (const Item &item : items)
    plan.push_back(item.plan);
  SafetensorsWriter writer = HADAL_TRY(SafetensorsWriter::create(path, plan, {{"format", "pt"}}));
  for (const Item &item : items) {
    if (!item.trained) {
      HADAL_TRY(writer.write(item.entry->data()));
      item.entry->file->release(*item.entry->tensor);
      continue;
    }
    TensorView view = HADAL_TRY(reader.read(item.values, *item.trained));
    if (!allFinite({static_cast<const float *>(view.data), view.bytes() / sizeof(float)}))
      return invalidArgument("step " + std::to_string(step) + ": " + item.plan.name + " is not finite; no checkpoint is written");
    HADAL_TRY(writer.write(view.data));
  }
  return writer.commit();
}

constexpr Values optimizerValues[] = {Values::FirstMoment, Values::SecondMoment};

std::string stateName(Values values, const TrainedTensor &tensor) { return std::string(valuesName(values)) + "." + tensor.name; }

} // namespace

Status hadal::writeWeights(const std::string &folder, const Trainables &trainables, TensorReader &reader, int64_t step, const Checkpoint *source,
                           uint64_t limit, Values values) {
  std::vector<Item> items = itemsOf(trainables, source);
  for (Item &item : items)
    if (item.trained && values == Values::Average)
      item.values = averageOf(trainables, *item.trained);
  std::vector<size_t> ends; // of the shards
  uint64_t total = 0, inShard = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    uint64_t bytes = items[i].bytes();
    if (inShard && inShard + bytes > limit) {
      ends.push_back(i);
      inShard = 0;
    }
    inShard += bytes;
    total += bytes;
  }
  ends.push_back(items.size());
  if (ends.size() == 1)
    return writeShard(folder + "/model.safetensors", items, reader, step);
  Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", Json::object()}};
  for (size_t shard = 0, begin = 0; shard < ends.size(); begin = ends[shard++]) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, ends.size());
    std::span<const Item> part(items.data() + begin, ends[shard] - begin);
    HADAL_TRY(writeShard(folder + "/" + name, part, reader, step));
    for (const Item &item : part)
      index["weight_map"][item.plan.name] = name;
  }
  std::string text = index.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return writeFile(folder + "/model.safetensors.index.json", std::as_bytes(std::span(text)));
}

bool hadal::hasAverages(const Trainables &trainables) {
  return std::any_of(trainables.tensors().begin(), trainables.tensors().end(),
                     [&](const TrainedTensor &tensor) { return trainables.has(Values::Average, tensor); });
}

Status hadal::writeOptimizer(const std::string &folder, const Trainables &trainables, TensorReader &reader) {
  std::vector<SafetensorsWriter::Planned> plan;
  for (Values values : optimizerValues)
    for (const TrainedTensor &tensor : trainables.tensors())
      if (trainables.has(values, tensor))
        plan.push_back({stateName(values, tensor), ElementType::F32, tensor.shape});
  SafetensorsWriter writer = HADAL_TRY(SafetensorsWriter::create(folder + "/state.safetensors", plan));
  for (Values values : optimizerValues)
    for (const TrainedTensor &tensor : trainables.tensors())
      if (trainables.has(values, tensor))
        HADAL_TRY(writer.write(HADAL_TRY(reader.read(values, tensor)).data));
  return writer.commit();
}

Status hadal::visitReads(const Trainables &trainables, const Checkpoint *source,
                         const std::function<Status(Values, const TrainedTensor &)> &visit) {
  for (const Item &item : itemsOf(trainables, source))
    if (item.trained)
      HADAL_TRY(visit(Values::Weight, *item.trained));
  if (hasAverages(trainables))
    for (const Item &item : itemsOf(trainables, source))
      if (item.trained)
        HADAL_TRY(visit(averageOf(trainables, *item.trained), *item.trained));
  for (Values values : optimizerValues)
    for (const TrainedTensor &tensor : trainables.tensors())
      if (trainables.has(values, tensor))
        HADAL_TRY(visit(values, tensor));
  return {};
}

Status hadal::readOptimizer(const std::string &folder, Trainables &trainables) {
  Safetensors file = HADAL_TRY(Safetensors::open(folder + "/state.safetensors"));
  for (Values values : optimizerValues)
    for (const TrainedTensor &tensor : trainables.tensors()) {
      if (!trainables.has(values, tensor) || !trainables.isUpdatedHere(tensor))
        continue;
      std::string name = stateName(values, tensor);
      const StoredTensor *stored = file.find(name);
      if (!stored)
        return notFound(file.path() + ": no tensor '" + name + "'");
      if (stored->element != ElementType::F32 || stored->shape != tensor.shape)
        return invalidFile(file.path() + ": " + name + ": wants F32 " + toString(tensor.shape) + ", file has " +
                           std::string(elementTypeName(stored->element)) + " " + toString(stored->shape));
      if (reinterpret_cast<uintptr_t>(file.data(*stored)) % sizeof(float))
        return invalidFile(file.path() + ": " + name + ": lies misaligned");
      HADAL_TRY(trainables.pack(values, tensor, {stored->element, stored->shape, const_cast<std::byte *>(file.data(*stored))}));
      file.release(*stored);
    }
  return {};
}

Status hadal::readAverages(const std::string &folder, Trainables &trainables) {
  trainables.startAverages();
  if (std::error_code code; !hasAverages(trainables) || !std::filesystem::exists(folder, code))
    return {};
  Checkpoint checkpoint = HADAL_TRY(Checkpoint::open(folder));
  for (const TrainedTensor &tensor : trainables.tensors()) {
    if (!trainables.has(Values::Average, tensor) || !trainables.isUpdatedHere(tensor))
      continue;
    auto entry = checkpoint.find(tensor.name);
    if (!entry)
      return notFound(folder + ": no tensor '" + tensor.name + "'");
    const StoredTensor &stored = *entry->tensor;
    bool aligned = reinterpret_cast<uintptr_t>(entry->data()) % sizeof(float) == 0;
    if (stored.element != ElementType::F32 || stored.shape != tensor.shape || !aligned)
      return invalidFile(folder + ": " + tensor.name + ": wants F32 " + toString(tensor.shape) + ", file has " +
                         std::string(elementTypeName(stored.element)) + " " + toString(stored.shape) + (aligned ? "" : ", misaligned"));
    HADAL_TRY(trainables.pack(Values::Average, tensor, {stored.element, stored.shape, const_cast<std::byte *>(entry->data())}));
    entry->file->release(stored);
  }
  return {};
}

Status hadal::copyTokenizer(const std::string &from, const std::string &to) {
  std::error_code code;
  for (const char *name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
                           "tokenizer.model", "chat_template.jinja", "generation_config.json"}) {
    std::string source = from + "/" + name;
    if (!std::filesystem::is_regular_file(source, code))
      continue;
    MappedFile file = HADAL_TRY(MappedFile::open(source));
    HADAL_TRY(writeFile(to + "/" + name, file.bytes()));
  }
  return {};
}
