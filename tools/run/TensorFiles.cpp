//===- TensorFiles.cpp - the tensors that commands read and write -------===//

#include "tools/run/TensorFiles.h"

#include "runtime/ModelLimits.h"

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

Status run::writeTensors(const std::string &path, const NamedTensors &tensors) {
  std::vector<NamedTensor> named;
  for (const auto &[name, tensor] : tensors)
    named.push_back({name, tensor.view()});
  return writeSafetensors(path, named);
}
