//===- LaunchPlaces.h - which layer of the model a launch belongs to ----===//

#ifndef HADAL_RUNTIME_LAUNCHPLACES_H
#define HADAL_RUNTIME_LAUNCHPLACES_H

#include "runtime/module/Module.h"

#include <string>
#include <string_view>
#include <unordered_map>

namespace hadal {

/// Where in the model a launch computes. The views are into the module.
struct LaunchPlace {
  int64_t layer = -1; ///< the number that tensors' names have; -1: outside of layers, or unknown
  std::string_view tensor; ///< that it reads or changes, without layer and ".weight":
                           ///< "self_attn.q_b_proj", "lm_head"; empty: none

  /// "layer 3", "lm_head", or nothing.
  std::string text() const {
    return layer >= 0 ? "layer " + std::to_string(layer) : std::string(tensor);
  }
};

/// Of a tensor, state, packed weight or cache by its name.
LaunchPlace placeOf(std::string_view name);

/// Of all launches of a module, by the names of what they bind. A launch between two of one layer
/// is of that layer, too. Between two layers it belongs to the one before where layers ascend, or
/// to the one after where the next launch reads what it writes; where they descend, as gradients
/// do, to the one after. Any thread may read it.
class LaunchPlaces {
public:
  LaunchPlaces() = default;
  /// The module must outlive it.
  explicit LaunchPlaces(const Module &module);

  LaunchPlace of(const fb::Launch &launch) const {
    auto found = places.find(&launch);
    return found == places.end() ? LaunchPlace() : found->second;
  }

private:
  std::unordered_map<const fb::Launch *, LaunchPlace> places;
};

} // namespace hadal

#endif // HADAL_RUNTIME_LAUNCHPLACES_H
