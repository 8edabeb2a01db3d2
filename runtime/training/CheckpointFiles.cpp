//===- CheckpointFiles.cpp - the files of one checkpoint ----------------===//

#include "runtime/training/CheckpointFiles.h"

#include "runtime/Bfloat16.h"
#include "runtime/Finite.h"

#include <algorithm>
#include <filesystem>

using namespace hadal;

namespace {

/// A tensor of a file: trained, or passed through from `entry`.
struct Item {
  SafetensorsWriter::Planned plan;
  const TrainedTensor *trained = nullptr;
  std::optional<Checkpoint::Entry> entry;
  Values values = Values::Weight;

  uint64_t bytes() const { return *plan.bytes(); }
};

/// What a weight file has in fewer bits than the run itself.
bool isNarrowed(const TrainedTensor &tensor, const FileLayout &layout) {
  return layout.weights != ElementType::F32 && !tensor.correction;
}

/// Scales of FP8 weights mean nothing beside the trained ones, which are written wide.
bool scalesTrained(const std::string &name, const Trainables &trainables) {
  constexpr std::string_view end = "_scale_inv";
  return name.ends_with(end) && trainables.names().count(name.substr(0, name.size() - end.size()));
}

std::vector<Item> weightItems(const Trainables &trainables, const Checkpoint *source,
                              const FileLayout &layout, Values values) {
  std::vector<Item> items;
  for (const TrainedTensor &tensor : trainables.tensors()) {
    ElementType element = isNarrowed(tensor, layout) ? layout.weights : ElementType::F32;
    Values here = trainables.has(values, tensor) ? values : Values::Weight;
    items.push_back({{tensor.name, element, tensor.shape}, &tensor, {}, here});
    // Copies in layers that are not trained are there where they were.
    for (const std::string &alias : tensor.aliases)
      if (trainables.trainsLayerOf(alias) || (source && source->find(alias)))
        items.push_back({{alias, element, tensor.shape}, &tensor, {}, here});
  }
  if (source)
    for (const std::string &name : source->names())
      if (!trainables.names().count(name) && !scalesTrained(name, trainables)) {
        auto entry = *source->find(name);
        items.push_back({SafetensorsWriter::Planned::like(*entry.tensor), nullptr, entry});
      }
  return items;
}

std::string stateName(Values values, const TrainedTensor &tensor) {
  return std::string(valuesName(values)) + "." + tensor.name;
}

std::vector<Item> optimizerItems(const Trainables &trainables, const FileLayout &layout) {
  std::vector<Item> items;
  for (Values values : {Values::FirstMoment, Values::SecondMoment, Values::Weight, Values::Average})
    for (const TrainedTensor &tensor : trainables.tensors()) {
      bool isMoment = values == Values::FirstMoment || values == Values::SecondMoment;
      if (trainables.has(values, tensor) && (isMoment || isNarrowed(tensor, layout)))
        items.push_back(
            {{stateName(values, tensor), ElementType::F32, tensor.shape}, &tensor, {}, values});
    }
  return items;
}

/// Writes tensors into one file after the other.
class ItemWriter {
public:
  ItemWriter(CheckpointFolder &folder, TensorReader &reader, int64_t step)
      : folder(folder), reader(reader), step(step) {}

  /// STEM.safetensors, or shards of at most `limit` bytes and STEM.safetensors.index.json.
  Status write(const std::string &stem, std::span<const Item> items, uint64_t limit,
               const std::map<std::string, std::string> &metadata);

private:
  Status writeFile(const std::string &name, std::span<const Item> items,
                   const std::map<std::string, std::string> &metadata);
  Status writeTrained(const Item &item, SafetensorsWriter &writer);

  CheckpointFolder &folder;
  TensorReader &reader;
  int64_t step;
  std::vector<uint16_t> narrow; ///< a tensor in BF16
};

Status ItemWriter::writeTrained(const Item &item, SafetensorsWriter &writer) {
  TensorView view = HADAL_TRY(reader.read(item.values, *item.trained));
  std::span<const float> values(static_cast<const float *>(view.data),
                                view.bytes() / sizeof(float));
  bool isState = item.values == Values::FirstMoment || item.values == Values::SecondMoment;
  auto broken = [&](const char *what) {
    return invalidArgument("step " + std::to_string(step) + ": " + item.plan.name +
                           " is not finite" + what + "; no checkpoint is written");
  };
  if (!isState && !allFinite(values))
    return broken("");
  if (item.plan.element == ElementType::F32)
    return writer.write(view.data);
  narrow.resize(values.size());
  std::transform(values.begin(), values.end(), narrow.begin(), bfloat16Of);
  for (uint16_t value : narrow)
    if ((value & 0x7F80) == 0x7F80)
      return broken(" in BF16");
  return writer.write(narrow.data());
}

Status ItemWriter::writeFile(const std::string &name, std::span<const Item> items,
                             const std::map<std::string, std::string> &metadata) {
  std::vector<SafetensorsWriter::Planned> plan;
  for (const Item &item : items)
    plan.push_back(item.plan);
  Checksum checksum;
  SafetensorsWriter writer =
      HADAL_TRY(SafetensorsWriter::create(folder.pathOf(name), plan, metadata, &checksum));
  for (const Item &item : items) {
    if (item.trained) {
      HADAL_TRY(writeTrained(item, writer));
    } else {
      HADAL_TRY(writer.write(item.entry->data()));
      item.entry->file->release(*item.entry->tensor);
    }
  }
  HADAL_TRY(writer.commit());
  folder.note(name, checksum.digest());
  return {};
}

Status ItemWriter::write(const std::string &stem, std::span<const Item> items, uint64_t limit,
                         const std::map<std::string, std::string> &metadata) {
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
    return writeFile(stem + ".safetensors", items, metadata);
  std::string under = stem.substr(0, stem.rfind('/') + 1);
  // Sorted by name: an object that keeps its order is searched from its beginning for every name.
  nlohmann::json map = nlohmann::json::object();
  for (size_t shard = 0, begin = 0; shard < ends.size(); begin = ends[shard++]) {
    char number[64];
    std::snprintf(number, sizeof number, "-%05zu-of-%05zu.safetensors", shard + 1, ends.size());
    std::string name = stem + number;
    std::span<const Item> part = items.subspan(begin, ends[shard] - begin);
    HADAL_TRY(writeFile(name, part, metadata));
    for (const Item &item : part)
      map[item.plan.name] = name.substr(under.size());
  }
  nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}};
  std::string text = index.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return folder.write(stem + ".safetensors.index.json", std::as_bytes(std::span(text)));
}

/// Lays one F32 tensor of a file into place.
Status packFrom(const Checkpoint::Entry &entry, Values values, const TrainedTensor &tensor,
                Trainables &trainables) {
  const StoredTensor &stored = *entry.tensor;
  std::string where = entry.file->path() + ": " + stored.name + ": ";
  if (stored.element != ElementType::F32 || stored.shape != tensor.shape)
    return invalidFile(where + "wants F32 " + toString(tensor.shape) + ", file has " +
                       std::string(elementTypeName(stored.element)) + " " + toString(stored.shape));
  if (reinterpret_cast<uintptr_t>(entry.data()) % sizeof(float))
    return invalidFile(where + "lies misaligned");
  HADAL_TRY(trainables.pack(values, tensor,
                            {stored.element, stored.shape, const_cast<std::byte *>(entry.data())}));
  entry.file->release(stored);
  return {};
}

} // namespace

Status CheckpointFolder::write(const std::string &name, std::span<const std::byte> bytes) {
  HADAL_TRY(writeFile(pathOf(name), bytes));
  note(name, digestOf(bytes));
  return {};
}

Status hadal::writeWeights(CheckpointFolder &folder, const std::string &under,
                           const Trainables &trainables, TensorReader &reader, int64_t step,
                           const Checkpoint *source, const FileLayout &layout, Values values) {
  std::vector<Item> items = weightItems(trainables, source, layout, values);
  return ItemWriter(folder, reader, step)
      .write(under + "model", items, layout.limit, {{"format", "pt"}});
}

bool hadal::hasAverages(const Trainables &trainables) {
  return std::any_of(
      trainables.tensors().begin(), trainables.tensors().end(),
      [&](const TrainedTensor &tensor) { return trainables.has(Values::Average, tensor); });
}

Status hadal::writeOptimizer(CheckpointFolder &folder, const Trainables &trainables,
                             TensorReader &reader, const FileLayout &layout) {
  std::vector<Item> items = optimizerItems(trainables, layout);
  return ItemWriter(folder, reader, 0).write("optimizer/state", items, layout.limit, {});
}

Status hadal::visitReads(const Trainables &trainables, const Checkpoint *source,
                         const FileLayout &layout,
                         const std::function<Status(Values, const TrainedTensor &)> &visit) {
  auto visitAll = [&](const std::vector<Item> &items) -> Status {
    for (const Item &item : items)
      if (item.trained)
        HADAL_TRY(visit(item.values, *item.trained));
    return {};
  };
  HADAL_TRY(visitAll(weightItems(trainables, source, layout, Values::Weight)));
  if (hasAverages(trainables))
    HADAL_TRY(visitAll(weightItems(trainables, source, layout, Values::Average)));
  return visitAll(optimizerItems(trainables, layout));
}

Status hadal::readOptimizer(const std::string &checkpoint, Trainables &trainables) {
  std::string average = checkpoint + "/average";
  Checkpoint state = HADAL_TRY(Checkpoint::open(checkpoint + "/optimizer", "state"));
  std::optional<Checkpoint> averages;
  if (std::error_code code; hasAverages(trainables) && std::filesystem::exists(average, code))
    averages.emplace(HADAL_TRY(Checkpoint::open(average)));
  for (Values values :
       {Values::FirstMoment, Values::SecondMoment, Values::Weight, Values::Average}) {
    if (values == Values::Average)
      HADAL_TRY(trainables.startAverages());
    for (const TrainedTensor &tensor : trainables.tensors()) {
      bool isWeight = values == Values::Weight;
      if (!trainables.has(values, tensor) ||
          !(isWeight ? trainables.isHere(tensor) : trainables.isUpdatedHere(tensor)))
        continue;
      auto entry = state.find(stateName(values, tensor));
      if (!entry && isWeight)
        continue; // the weight files have all of its bits
      if (!entry && values == Values::Average && !averages)
        continue;
      if (!entry && values == Values::Average)
        entry = averages->find(tensor.name);
      if (!entry)
        return notFound((values == Values::Average ? average : state.path()) + ": no tensor '" +
                        (values == Values::Average ? tensor.name : stateName(values, tensor)) +
                        "'");
      HADAL_TRY(packFrom(*entry, values, tensor, trainables));
    }
  }
  return {};
}

Result<std::map<std::string, std::string>> hadal::readTokenizerFiles(const std::string &from) {
  std::map<std::string, std::string> files;
  std::error_code code;
  for (const char *name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model",
                           "chat_template.jinja", "generation_config.json"})
    if (std::string path = from + "/" + name; std::filesystem::is_regular_file(path, code))
      files[name] = HADAL_TRY(readTextFile(path));
  return files;
}
