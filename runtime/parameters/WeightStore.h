//===- WeightStore.h - a module's parameters and packed weights ---------===//
//
// What one module reads of a ParameterStore: parameters as they lie in a checkpoint, or in another
// module's memory, and weights that the module's program "pack" makes of them. Shared by every
// executor that is made over it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_PARAMETERS_WEIGHTSTORE_H
#define HADAL_RUNTIME_PARAMETERS_WEIGHTSTORE_H

#include "runtime/Safetensors.h"
#include "runtime/device/Device.h"
#include "runtime/parameters/ParameterStore.h"
#include "runtime/parameters/TensorSource.h"

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

  /// For modules without parameters: no weights. States of a training module that hold parameters
  /// lie in `store`, those of sharded ones as this expert-parallel rank's shard.
  explicit WeightStore(std::shared_ptr<ParameterStore> store = std::make_shared<ParameterStore>(),
                       unsigned shard = 0)
      : store(std::move(store)), part(shard) {}

  /// Checks every parameter of `module` (presence, element type, shape), allocates its weights,
  /// runs its program "pack", and releases the source pages that no other program reads. Errors:
  /// "ckpt: no tensor 'model.norm.weight', which the module wants as F32 [128]",
  /// "model.norm.weight: module wants F32 [128], file has BF16 [64]", "ckpt: model.norm.weight
  /// holds NaN or an infinite value", and those of CheckpointFit.h. `part`: the expert-parallel
  /// rank whose share of sharded parameters is read. `shared`: a store that others use too, null
  /// for one of its own; what it has of the same checkpoint is not packed again, and values of
  /// another one, or of a training module's state, are an error: "model.norm.weight: the store has
  /// it of another checkpoint".
  static Result<WeightStore> load(const Module &module, Device &device, Checkpoint checkpoint,
                                  const Progress &progress = {}, unsigned part = 0,
                                  std::shared_ptr<ParameterStore> shared = nullptr);

  /// The same from another module's parameters in place of a checkpoint, of the same model and in
  /// the element types that `module` reads. Memory is held in `store`: where the other module has a
  /// parameter there in the layout that this one wants, both use one copy. The source and what it
  /// reads must outlive the result. InvalidArgument: "model.norm.weight: m.hadal wants BF16 [128],
  /// t.hadal has F32 [128]".
  static Result<WeightStore> load(const Module &module, Device &device,
                                  std::shared_ptr<ParameterStore> store, TensorSource &source,
                                  unsigned part = 0);

  /// After the other module's parameters have changed: lays out anew what does not lie as it is
  /// now, whoever else reads it in this store. Nothing where none has changed.
  Status refresh();

  /// Where the memory of parameters is.
  ParameterStore &parameters() const { return *store; }

  /// Element `element` (0 .. count-1) of parameter `parameter`, of `bytes`, which kernels only
  /// read; aligned for its element type. In the file's pages where the device shares the host's
  /// memory, else a copy that is made on first use, on the stream. One thread at a time.
  Result<DeviceAddress> parameter(Device &device, Stream &stream, uint32_t parameter,
                                  uint32_t element, uint64_t bytes) const;

  /// The expert-parallel rank whose shares these are.
  unsigned shard() const { return part; }

  /// Packed weight `weight`.
  DeviceAddress weight(uint32_t weight) const { return weights[weight]->address(); }

  /// Bytes of all packed weights.
  uint64_t weightBytes() const;

  /// Number of parameters and of weights, which an executor compares with its module's.
  size_t parameterCount() const { return source ? asStored.size() : mapped.size(); }
  size_t weightCount() const { return weights.size(); }

private:
  class TensorNames;
  static Status checkFit(const Module &module, const Checkpoint &checkpoint);
  Status holdWeights(const Module &module, Device &device);
  Status checkIsOurs(const ParameterKey &key, const std::string &origin) const;
  Status checkWeightsAreOurs(const std::string &origin) const;
  bool haveContent(const ParameterContent &content) const;
  void setContent(const ParameterContent &content);
  Status pack(const Module &module, Device &device, uint64_t total, const Progress &progress,
              const ParameterContent &content);
  Status holdAsStored();
  Status layOut();
  uint64_t versionOfAll() const;
  Result<TensorView> sourceTensor(uint32_t parameter, uint32_t element) const;

  std::shared_ptr<ParameterStore> store;
  unsigned part = 0;
  std::shared_ptr<const TensorNames> names;
  std::vector<std::shared_ptr<DeviceBuffer>> weights;
  std::vector<ParameterKey> weightKeys;

  // From files:
  std::unique_ptr<Checkpoint> checkpoint;
  std::vector<std::vector<const std::byte *>> mapped; ///< on the host
  std::vector<Buffer> alignedCopies; ///< parameters that lie misaligned in their file

  // From another module:
  TensorSource *source = nullptr;
  const Module *reader = nullptr;
  Device *device = nullptr;
  /// By parameter: its memory as stored; null where program "pack" alone reads it.
  std::vector<std::shared_ptr<DeviceBuffer>> asStored;
  std::vector<ParameterKey> storedKeys; ///< by parameter
  uint64_t laidOut = 0;                 ///< versionOfAll() when all was laid out

  /// By parameter and element: what programs read while files or another module cannot be read in
  /// place.
  mutable std::map<std::pair<uint32_t, uint32_t>, DeviceBuffer> copies;
};

} // namespace hadal

#endif // HADAL_RUNTIME_PARAMETERS_WEIGHTSTORE_H
