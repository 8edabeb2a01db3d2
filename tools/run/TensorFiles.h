//===- TensorFiles.h - the tensors that commands read and write ---------===//

#ifndef HADAL_TOOLS_RUN_TENSORFILES_H
#define HADAL_TOOLS_RUN_TENSORFILES_H

#include "runtime/Safetensors.h"
#include "runtime/module/Module.h"
#include "runtime/training/MicroBatch.h"

#include <string>
#include <utility>
#include <vector>

namespace hadal::run {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// readTokenRows of a safetensors file that the user names, with `labels` [B, T] where the file has
/// them: what each place is to predict to be, -100 for nothing. Each row must have the T tokens
/// that the training module wants, and there must be as many as a step has.
Result<std::vector<TrainingRow>> readTrainingRows(const std::string &path, const Module &module);

/// What rows are, for ranks to compare.
std::string digestOfRows(const std::vector<TrainingRow> &rows);

/// All tensors to one safetensors file, atomically.
Status writeTensors(const std::string &path, const NamedTensors &tensors);

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_TENSORFILES_H
