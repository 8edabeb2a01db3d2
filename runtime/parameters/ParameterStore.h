//===- ParameterStore.h - parameters, whichever modules use them --------===//
//
// Parameters live outside modules. A store has their memory, by name in the checkpoint, layout and
// shard, so that a training and a generation module have one copy where their layouts are the same.
// Where they are not, a compiled program lays a parameter from one into the other
// (WeightStore::refresh).
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_PARAMETERS_PARAMETERSTORE_H
#define HADAL_RUNTIME_PARAMETERS_PARAMETERSTORE_H

#include "runtime/device/Device.h"

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace hadal {

/// Which parameter, and how it lies.
struct ParameterKey {
  std::string name;   ///< in the checkpoint; of a stack with "{}"
  std::string layout; ///< layoutText()
  uint32_t shard = 0; ///< the expert-parallel rank whose share it is
  auto operator<=>(const ParameterKey &) const = default;
};

/// "as stored", or the name and numbers of a layout: "cpu.panels outputs=32 inner=1".
std::string layoutText(const fb::Layout *layout);

/// Whose values lie in memory.
struct ParameterContent {
  std::string origin;   ///< a checkpoint, or the store of a training module; empty: nobody's
  uint64_t version = 0; ///< how often these have changed there
  bool operator==(const ParameterContent &) const = default;
};

/// The parameter that a state of a training module holds, "weight.NAME"; empty for other states.
/// `shard`: the expert-parallel rank that has the state.
std::optional<ParameterKey> parameterOf(const fb::Module &module, const fb::State &state,
                                        uint32_t shard);

/// The parameter that a packed weight holds, "weight.NAME".
ParameterKey parameterOf(const Module &module, const fb::Weight &weight, uint32_t shard);

/// One thread at a time. What was held stays until its last holder and the store are gone.
class ParameterStore {
public:
  /// The memory of a parameter, shared by all that name it; zeroed when it is first named.
  /// InvalidArgument where it is there in another size, or on another device.
  Result<std::shared_ptr<DeviceBuffer>> hold(Device &device, const ParameterKey &key,
                                             uint64_t bytes);
  /// The same for what a training module changes: only that module fills it, and readers of the
  /// parameter in this layout see its present values. InvalidArgument also where it already holds
  /// another's weights: they would change under their reader.
  Result<std::shared_ptr<DeviceBuffer>> holdState(Device &device, const ParameterKey &key,
                                                  uint64_t bytes);

  bool isState(const ParameterKey &key) const;

  /// Whose values lie there, as far as somebody has said so. Of a state nobody does.
  ParameterContent content(const ParameterKey &key) const;
  /// Said by who has filled a parameter's memory; empty by who begins to.
  void setContent(const ParameterKey &key, ParameterContent content);

  /// What tells this store from others, as an origin of values.
  std::string name() const;

  /// A parameter has new values, in one of its layouts: what lies in others is stale.
  void changed(const std::string &name) { ++versions[name]; }

  /// How often that was so; of a stack by its name with "{}".
  uint64_t version(const std::string &name) const;

  /// Bytes of all memory, each counted once.
  uint64_t bytes() const;

private:
  struct Stored {
    std::shared_ptr<DeviceBuffer> memory;
    ParameterContent content;
    bool isState = false;
  };
  const Device *device = nullptr; ///< of all memory
  std::map<ParameterKey, Stored> stored;
  std::map<std::string, uint64_t> versions; ///< by name
};

} // namespace hadal

#endif // HADAL_RUNTIME_PARAMETERS_PARAMETERSTORE_H
