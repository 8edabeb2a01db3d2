//===- TensorNames.h - what tensors of a checkpoint are called ----------===//

#ifndef HADAL_RUNTIME_TENSORNAMES_H
#define HADAL_RUNTIME_TENSORNAMES_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hadal {

class Checkpoint;

/// The layer that a tensor belongs to: 3 for "model.layers.3.mlp.gate.weight" and for
/// "language_model.model.layers.3.mlp.gate.weight"; none for "lm_head.weight".
std::optional<int64_t> layerNumberOf(std::string_view tensorName);

/// Why `checkpoint` may lack the tensor `missing`: it has the weights by other names. A clause that
/// says which naming was recognised, or nothing. Looks at all names, so it is for errors only.
///
///     its names begin with 'language_model.' (as model.embed_tokens.weight)
std::string recogniseOtherNaming(const Checkpoint &checkpoint, std::string_view missing);

} // namespace hadal

#endif // HADAL_RUNTIME_TENSORNAMES_H
