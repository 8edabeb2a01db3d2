//===- TensorFiles.cpp - the tensors that commands read and write -------===//

#include "tools/run/TensorFiles.h"

#include "runtime/DataDigest.h"
#include "runtime/training/Trainables.h"
#include "tools/run/TokenRows.h"

using namespace hadal;
using namespace hadal::run;

Result<std::vector<TrainingRow>> run::readTrainingRows(const std::string &path,
                                                       const Module &module) {
  const fb::Training &training = *HADAL_TRY(trainingOf(module));
  Safetensors file = HADAL_TRY(Safetensors::open(HADAL_TRY(MappedFile::openInput(path))));
  TokenRows tokens = HADAL_TRY(readTokenRows(file, module));
  Shape shape = {static_cast<int64_t>(tokens.rows.size()), tokens.width};
  if (Shape wanted = {training.micro_batch() * training.micro_batches(), training.sequence()};
      shape != wanted)
    return invalidFile(file.path() + ": input_ids: " + module.path() + " trains on " +
                       toString(wanted) + ", file has " + toString(shape));
  // Padding would be routed to experts and count in their loads.
  if (tokens.isPadded())
    return invalidFile(
        file.path() + ": " + (file.find("attention_mask") ? "attention_mask" : "lengths") +
        ": training wants rows without padding; labels of -100 leave places out of the loss");
  std::vector<TrainingRow> rows(tokens.rows.size());
  for (size_t i = 0; i < rows.size(); ++i)
    rows[i].tokens = std::move(tokens.rows[i]);
  if (!file.find("labels"))
    return rows;
  std::vector<int64_t> labels = HADAL_TRY(readWholeNumbers(file, "labels", shape));
  int64_t vocabulary = module.model()->vocab_size();
  for (size_t i = 0; i < labels.size(); ++i) {
    int64_t row = static_cast<int64_t>(i) / shape[1], label = labels[i];
    if (label != -100 && (label < 0 || label >= vocabulary))
      return invalidFile(file.path() + ": labels: row " + std::to_string(row) + ": label " +
                         std::to_string(label) + " is neither -100 nor in the vocabulary (0 to " +
                         std::to_string(vocabulary - 1) + ")");
    rows[row].labels.push_back(label < 0 ? -1 : static_cast<int32_t>(label));
  }
  return rows;
}

std::string run::digestOfRows(const std::vector<TrainingRow> &rows) {
  DataDigest digest;
  for (const TrainingRow &row : rows) {
    digest.add(row.tokens);
    digest.add(row.labels);
    digest.add(row.starts);
  }
  return digest.text();
}

Status run::writeTensors(const std::string &path, const NamedTensors &tensors) {
  std::vector<NamedTensor> named;
  for (const auto &[name, tensor] : tensors)
    named.push_back({name, tensor.view()});
  return writeSafetensors(path, named);
}
