//===- TensorFiles.cpp - the tensors that commands read and write -------===//

#include "tools/run/TensorFiles.h"

#include "runtime/ModelLimits.h"
#include "runtime/training/Trainables.h"

using namespace hadal;
using namespace hadal::run;

Result<std::vector<std::vector<int32_t>>> run::readTokenRows(const std::string &path, const Module &module) {
  const fb::Model &model = *HADAL_TRY(modelOf(module));
  Safetensors file = HADAL_TRY(Safetensors::open(path));
  Tensor ids = HADAL_TRY(file.read("input_ids"));
  bool isWide = ids.element() == ElementType::I64;
  if ((!isWide && ids.element() != ElementType::I32) || ids.shape().size() != 2 || ids.size() == 0)
    return invalidFile(path + ": input_ids: wants I64 [B, T] with at least one row and one token, got " +
                       std::string(elementTypeName(ids.element())) + " " + toString(ids.shape()));
  int64_t count = ids.dim(0), length = ids.dim(1);
  std::vector<std::vector<int32_t>> rows(count, std::vector<int32_t>(length));
  for (int64_t i = 0; i < ids.size(); ++i) {
    int64_t id = isWide ? ids.as<int64_t>()[i] : ids.as<int32_t>()[i];
    if (id != static_cast<int32_t>(id))
      return invalidFile(path + ": input_ids: row " + std::to_string(i / length) + ": token id " + std::to_string(id) +
                         " is not in the vocabulary (0 to " + std::to_string(model.vocab_size() - 1) + ")");
    rows[i / length][i % length] = static_cast<int32_t>(id);
  }
  for (int64_t row = 0; row < count; ++row)
    HADAL_TRY(checkSequence(model, rows[row], path + ": input_ids: row " + std::to_string(row)));
  return rows;
}

Result<std::vector<TrainingRow>> run::readTrainingRows(const std::string &path, const Module &module) {
  const fb::Training &training = *HADAL_TRY(trainingOf(module));
  auto tokens = HADAL_TRY(readTokenRows(path, module));
  int64_t wanted = training.micro_batch() * training.micro_batches();
  Shape shape = {static_cast<int64_t>(tokens.size()), static_cast<int64_t>(tokens[0].size())};
  if (shape != Shape{wanted, training.sequence()})
    return invalidFile(path + ": input_ids: module trains on " + toString(Shape{wanted, training.sequence()}) + ", file has " + toString(shape));
  std::vector<TrainingRow> rows(tokens.size());
  for (size_t i = 0; i < rows.size(); ++i)
    rows[i].tokens = std::move(tokens[i]);
  Safetensors file = HADAL_TRY(Safetensors::open(path));
  if (!file.find("labels"))
    return rows;
  Tensor labels = HADAL_TRY(file.read("labels"));
  bool isWide = labels.element() == ElementType::I64;
  if ((!isWide && labels.element() != ElementType::I32) || labels.shape() != shape)
    return invalidFile(path + ": labels: wants I64 " + toString(shape) + ", got " + std::string(elementTypeName(labels.element())) + " " +
                       toString(labels.shape()));
  for (int64_t i = 0; i < labels.size(); ++i) {
    int64_t label = isWide ? labels.as<int64_t>()[i] : labels.as<int32_t>()[i];
    if (label >= module.model()->vocab_size())
      return invalidFile(path + ": labels: row " + std::to_string(i / shape[1]) + ": token id " + std::to_string(label) +
                         " is not in the vocabulary (0 to " + std::to_string(module.model()->vocab_size() - 1) + ")");
    rows[i / shape[1]].labels.push_back(label < 0 ? -1 : static_cast<int32_t>(label));
  }
  return rows;
}

Status run::writeTensors(const std::string &path, const NamedTensors &tensors) {
  std::vector<NamedTensor> named;
  for (const auto &[name, tensor] : tensors)
    named.push_back({name, tensor.view()});
  return writeSafetensors(path, named);
}
