//===- WeightStore.h - a module's parameters and packed weights ---------===//
//
// Parameters live outside modules: read from a checkpoint, packed once by the module's program
// "pack", and shared by every executor that is made over the store.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_WEIGHTSTORE_H
#define HADAL_RUNTIME_WEIGHTSTORE_H

#include "runtime/Safetensors.h"
#include "runtime/device/Device.h"

#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace hadal {

/// Move-only. Holds the checkpoint's mapped files as long as a program reads a parameter from them.
class WeightStore {
public:
  /// Called while loading: source bytes packed so far, and in all.
  using Progress = std::function<void(uint64_t doneBytes, uint64_t totalBytes)>;

  /// An empty store, for modules without parameters.
  WeightStore() = default;

  /// Checks every parameter of `module` (presence, element type, shape), allocates its weights,
  /// runs its program "pack", and releases the source pages that no other program reads. Errors:
  /// "ckpt: no tensor 'model.norm.weight', which the module wants as F32 [128]",
  /// "model.norm.weight: module wants F32 [128], file has BF16 [64]", "ckpt: model.norm.weight
  /// holds NaN or an infinite value", and those of CheckpointFit.h. `part`: the expert-parallel
  /// rank whose share of sharded parameters is read.
  static Result<WeightStore> load(const Module &module, Device &device, Checkpoint checkpoint,
                                  const Progress &progress = {}, unsigned part = 0);

  /// Element `element` (0 .. count-1) of parameter `parameter`, of `bytes`, which kernels only
  /// read; aligned for its element type. In the file's pages where the device shares the host's
  /// memory, else a copy that is made on first use, on the stream. One thread at a time.
  Result<DeviceAddress> parameter(Device &device, Stream &stream, uint32_t parameter,
                                  uint32_t element, uint64_t bytes) const;

  /// Packed weight `weight`.
  DeviceAddress weight(uint32_t weight) const { return weights[weight].address(); }

  /// Bytes of all packed weights.
  uint64_t weightBytes() const;

  /// Number of parameters and of weights, which an executor compares with its module's.
  size_t parameterCount() const { return parameters.size(); }
  size_t weightCount() const { return weights.size(); }

private:
  class TensorNames;
  static Status checkFit(const Module &module, const Checkpoint &checkpoint);
  Status pack(const Module &module, Device &device, const TensorNames &names, uint64_t total,
              const Progress &progress);

  std::unique_ptr<Checkpoint> checkpoint;
  std::vector<std::vector<const std::byte *>> parameters; ///< on the host
  std::vector<DeviceBuffer> weights;
  /// By parameter and element, on devices that share no memory with the host.
  mutable std::map<std::pair<uint32_t, uint32_t>, DeviceBuffer> copies;
  std::vector<Buffer> alignedCopies; ///< parameters that lie misaligned in their file
};

} // namespace hadal

#endif // HADAL_RUNTIME_WEIGHTSTORE_H
