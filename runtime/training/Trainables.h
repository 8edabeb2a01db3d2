//===- Trainables.h - the parameters that training updates --------------===//
//
// Their values lie packed in the module's states. The module's programs lay them out and back, and
// draw initial values; this class names the places.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_TRAINABLES_H
#define HADAL_RUNTIME_TRAINING_TRAINABLES_H

#include "runtime/Executor.h"
#include "runtime/Safetensors.h"
#include "runtime/parameters/TensorSource.h"

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hadal {

/// The table of a training module, or an error where it has none:
/// "m.hadal: is no training module; compile a folder with --mode=train".
Result<const fb::Training *> trainingOf(const Module &module);

/// What a parameter has a value of.
enum class Values { Weight, Gradient, FirstMoment, SecondMoment, Average };
inline constexpr size_t valuesCount = 5;

/// "weight", "gradient", "first_moment", ...: what stands before the parameter's name in the name
/// of its state.
std::string_view valuesName(Values values);

/// One tensor of a checkpoint: an element of a trainable parameter.
struct TrainedTensor {
  uint32_t trainable;
  uint32_t element; ///< of the stack, as the ranks that have it hold it
  std::string name; ///< in the checkpoint
  Shape shape;
  std::vector<std::string> aliases; ///< checkpoint tensors that are copies of it
  bool correction;                  ///< a routing bias: has a weight and nothing else
  uint32_t shard = 0;               ///< of a sharded stack; 0 where it is none
};

/// Which of the trained tensors a rank has, and which rank updates each: moments and averages are
/// there alone. Without one, one rank has all.
struct TensorShares {
  unsigned rank = 0, shards = 1, shard = 0;
  std::vector<bool> held;                       ///< by trainable
  std::vector<std::vector<unsigned>> updatedBy; ///< by trainable and shard
};

/// For the executor's thread.
class Trainables {
public:
  using Progress = std::function<void(uint64_t done, uint64_t total)>;

  /// The executor must outlive the result.
  static Result<Trainables> create(Executor &executor, TensorShares shares = {});

  /// Of all ranks, in the order of the module's table, elements of a stack ascending.
  const std::vector<TrainedTensor> &tensors() const { return all; }

  /// Names of all tensors and of their copies.
  const std::set<std::string> &names() const { return known; }

  /// Whether a tensor's name is of a layer of the module: MTP layers may be left out.
  bool trainsLayerOf(const std::string &name) const;

  /// Whether the module keeps such values of a tensor.
  bool has(Values values, const TrainedTensor &tensor) const {
    return bases[tensor.trainable][size_t(values)].address != nullptr;
  }

  /// Whether this rank has the weight of a tensor.
  bool isHere(const TrainedTensor &tensor) const {
    return shares.held.empty() ||
           (shares.held[tensor.trainable] && (!isSharded(tensor) || tensor.shard == shares.shard));
  }
  /// The rank that updates a tensor, where its gradient, moments and average are whole.
  unsigned updatedBy(const TrainedTensor &tensor) const {
    return shares.updatedBy.empty() ? shares.rank
                                    : shares.updatedBy[tensor.trainable][tensor.shard];
  }
  bool isUpdatedHere(const TrainedTensor &tensor) const { return updatedBy(tensor) == shares.rank; }

  /// Where a rank's own values lie, all elements of the rank's stack one after another; null where
  /// the module keeps none.
  DeviceAddress data(Values values, uint32_t trainable) const {
    return bases[trainable][size_t(values)].address;
  }
  ElementType elementOf(Values values, uint32_t trainable) const {
    return bases[trainable][size_t(values)].element;
  }

  /// Fills this rank's weights from a checkpoint, F32, BF16 or F16, and gives its pages back.
  /// Errors: "ckpt: no tensor 'model.norm.weight', which the module trains", "model.norm.weight:
  /// module wants F32, BF16 or F16 [128], file has F16 [64]".
  Status load(const Checkpoint &checkpoint, const Progress &progress = {});

  /// Fills this rank's weights with random values that depend on the seed and the tensor's name
  /// only.
  Status draw(uint64_t seed, const Progress &progress = {});

  /// The weights have new values: tells the store, so that other modules lay theirs out anew.
  void noteChange();
  /// Where the weights lie.
  const ParameterStore &store() const { return executor.parameters(); }

  /// Averages begin as the weights are.
  Status startAverages();

  /// Lays `tensor`, F32 in a checkpoint's order, into place.
  Status pack(Values values, const TrainedTensor &tensor, const TensorView &from);

  /// The values of one tensor in a checkpoint's order; valid until the next call.
  Result<TensorView> unpack(Values values, const TrainedTensor &tensor);

  /// Gives the memory of the last unpacked tensor back.
  void release() { buffer = Buffer(), wide = DeviceBuffer(); }

  /// Memory for a tensor's values in a checkpoint's order, as unpack() has it; OutOfMemory names
  /// the tensor.
  Result<TensorView> memoryFor(const TrainedTensor &tensor);

  /// The first tensor of this rank with a value that is infinite or no number; null: none.
  Result<const TrainedTensor *> findNotFinite(Values values);

  /// What a run begins with: weights, moments and averages of this rank. "the first moment of
  /// model.norm.weight is not finite".
  Status checkFinite();

  /// The tensor of this rank with the value of largest magnitude, and the bits of that; null where
  /// it has none.
  Result<const TrainedTensor *> findLargest(Values values, uint32_t *bits = nullptr);

private:
  void noteChange(const fb::Trainable &trainable);
  std::string programOf(std::string_view what, const TrainedTensor &tensor) const;
  const fb::Program *codesPackingOf(const TrainedTensor &tensor) const;
  Trainables(Executor &executor, const fb::Training &table, TensorShares shares)
      : executor(executor), table(table), shares(std::move(shares)) {}
  bool isSharded(const TrainedTensor &tensor) const {
    return table.trainables()->Get(tensor.trainable)->sharded();
  }
  DeviceView packedView(Values values, const TrainedTensor &tensor) const;
  Result<DeviceView> wideMemory(int64_t elements);
  Result<DeviceView> widened(const DeviceView &narrow);
  Status convert(const char *program, const DeviceView &from, const DeviceView &to);
  Result<uint32_t> largestBits(Values values, const TrainedTensor &tensor);
  Result<ProgramRun *> run(const std::string &program);
  Status pack(std::string_view program, const TrainedTensor &tensor, Values values,
              const TensorView &from);
  Status inMemory(ProgramRun &program, Values values, const TrainedTensor &tensor, bool writes);
  float *scratch(int64_t elements);
  std::string whyMissing(const Checkpoint &checkpoint, const TrainedTensor &tensor) const;

  Executor &executor;
  const fb::Training &table;
  TensorShares shares;
  std::vector<TrainedTensor> all;
  std::set<std::string> known;
  struct Base {
    DeviceAddress address = nullptr;        ///< null: none
    ElementType element = ElementType::F32; ///< moments may be BF16
  };
  std::vector<std::array<Base, valuesCount>> bases; ///< of each trainable's states
  std::map<std::string, ProgramRun> runs;           ///< by program
  Buffer buffer;
  DeviceBuffer wide; ///< a tensor of BF16 values in f32, for the programs that know no other
};

/// Where a checkpoint's tensors are read from: this rank's memory, or that of whichever rank has
/// them.
class TensorReader {
public:
  virtual ~TensorReader() = default;
  /// The values of one tensor in a checkpoint's order; valid until the next call.
  virtual Result<TensorView> read(Values values, const TrainedTensor &tensor) = 0;
};

class OwnTensors final : public TensorReader {
public:
  explicit OwnTensors(Trainables &trainables) : trainables(trainables) {}
  Result<TensorView> read(Values values, const TrainedTensor &tensor) override {
    return trainables.unpack(values, tensor);
  }

private:
  Trainables &trainables;
};

/// The weights of a training module, for another module to read (WeightStore::load).
class TrainedWeights final : public TensorSource {
public:
  /// Both must outlive it.
  TrainedWeights(const Module &module, Trainables &trainables);
  const Module &module() const override { return trained; }
  Result<TensorView> tensor(const std::string &name) override;
  const ParameterStore &store() const override { return trainables.store(); }

private:
  const Module &trained;
  Trainables &trainables;
  std::map<std::string, const TrainedTensor *, std::less<>> byName; ///< copies, too
};

/// "layer 3", from "model.layers.3.mlp..." (layerNumberOf), or nothing.
std::string layerOf(std::string_view tensorName);

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_TRAINABLES_H
