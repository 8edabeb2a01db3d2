//===- CheckpointFit.h - whether a checkpoint is the module's -----------===//
//
// Shapes and element types are compared where weights are read. Here is the rest: values of the
// configuration that no shape shows, tensors that the model has no place for, and a head that a
// tied model does not expect.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_CHECKPOINTFIT_H
#define HADAL_RUNTIME_CHECKPOINTFIT_H

#include "runtime/ModelConfig.h"
#include "runtime/Safetensors.h"
#include "runtime/module/Module.h"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace hadal {

/// The part of a checkpoint that a text model is read from.
struct TextPart {
  TensorNaming naming;
  bool isNested = false;       ///< the rest of a larger model stands beside it
  int64_t layers = 0;          ///< of the main model
  std::set<int64_t> mtpLayers; ///< numbers of those of multi-token prediction, after the others
};

/// With the layers of multi-token prediction that the checkpoint has. A layer is one by the tensors
/// that no other has (enorm, hnorm, eh_proj, shared_head): any other layer after `layers` is a part
/// of a larger model than the configuration describes.
TextPart textPartOf(const Checkpoint &checkpoint, const TensorNaming &naming, bool isNested,
                    int64_t layers);

/// Tensors that the main model has no use for and that change nothing: layers of multi-token
/// prediction, rotary tables that old versions of transformers wrote, tensors without elements, and
/// the other parts of a larger model. The one list for compiler and runtime.
bool changesNothing(const StoredTensor &tensor, const TextPart &part);

/// How a checkpoint begins the names of a larger model's text part, by its one embedding table;
/// `guess` where there is not one.
TensorNaming namingOf(const Checkpoint &checkpoint, const TensorNaming &guess);

/// Whether the head (lm_head.weight) is there and other than the embedding table: in element type,
/// in shape or in any byte. With tie_word_embeddings such a head is used (as transformers 5 does),
/// an equal one ignored.
bool hasOwnHead(const Checkpoint &checkpoint, const TensorNaming &naming = {});

/// The configuration beside the weights at `path` (a folder or a file in it) as a model made of the
/// two has it: a head of its own unties it. None where there is no config.json.
Result<std::optional<ModelConfig>> configOf(const Checkpoint &checkpoint);

/// Where that configuration first differs from the one the module was compiled from; none where
/// there is no config.json or the module holds no configuration.
Result<std::optional<ConfigDifference>> configDifference(const Module &module,
                                                         const Checkpoint &checkpoint);

/// The difference as an error: "ckpt/config.json: rope_theta is 500000, module m.hadal was compiled
/// with 10000; compile that folder".
Error otherConfig(const Module &module, const Checkpoint &checkpoint,
                  const ConfigDifference &difference);

/// InvalidFile where the module is of a tied model and the checkpoint has a head of its own.
Status checkHead(const Module &module, const Checkpoint &checkpoint);

/// checkHead, and InvalidFile where the configurations differ.
Status checkConfig(const Module &module, const Checkpoint &checkpoint);

/// Whether each tensor of the checkpoint is one that `isKnown` or that changes nothing:
/// "ckpt: model.layers.0.self_attn.o_proj.bias is in the checkpoint, but not in the model that
/// m.hadal was compiled from".
Status checkNothingElse(const Module &module, const Checkpoint &checkpoint,
                        const std::function<bool(const std::string &)> &isKnown);

/// Whether two modules are of one model: "g.hadal: vocab_size is 100, t.hadal was compiled with
/// 120".
Status checkSameModel(const Module &mine, const Module &theirs);

} // namespace hadal

#endif // HADAL_RUNTIME_CHECKPOINTFIT_H
