//===- Session.h - a module with its weights, ready to run --------------===//

#ifndef HADAL_RUNTIME_SESSION_SESSION_H
#define HADAL_RUNTIME_SESSION_SESSION_H

#include "runtime/Executor.h"
#include "runtime/Trace.h"
#include "runtime/device/Devices.h"
#include "runtime/module/Module.h"
#include "runtime/parameters/WeightStore.h"
#include "runtime/ranks/Gather.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hadal {

/// What every program that runs a module says.
struct SessionOptions {
  std::string module;  ///< path; unused where the executable carries its module
  std::string weights; ///< folder or file; empty: none
  std::string trace;   ///< file to write; empty: none
  std::string output;  ///< safetensors file to write; empty: none
  std::string device;  ///< as DeviceOptions has it; empty: what the module is for
  unsigned threads = 0;
  std::optional<uint64_t> emulatorSeed;
  std::optional<double> deviceTimeout; ///< seconds
  bool checkMemory = false;            ///< Executor::setMemoryCheck
};

/// Where a checkpoint's tokenizer lies: `weights` may name the folder or its one file.
std::string weightsFolder(const std::string &weights);

/// The model's end-of-sequence tokens: those of the folder of the weights, else the module's.
Result<std::vector<int64_t>> eosTokensOf(const std::string &weights, const fb::Model &model);

/// A device and the parameters on it. Sessions may share both: what lies alike in several modules
/// is there once. For one thread, that of these sessions.
struct Machine {
  /// The device that the options name, or that the module is for. 0 threads: this machine's cores,
  /// divided by the ranks that run on it.
  static Result<std::shared_ptr<Machine>> open(const SessionOptions &options, const Module &module);
  Machine(std::unique_ptr<Device> device, unsigned threads);

  std::unique_ptr<Device> device;
  unsigned threads; ///< of this process that compute
  std::shared_ptr<ParameterStore> parameters = std::make_shared<ParameterStore>();
};

/// Belongs to one thread. Neither copied nor moved: the executor refers to its neighbours.
class Session {
public:
  /// Opens and checks the module (`carried`: the executable's own) and nothing else, so that a
  /// caller can look at its input before the weights are read. `machine`: what it shares with other
  /// sessions, whose threads are the machine's; null: one of its own.
  static Result<std::unique_ptr<Session>> open(const SessionOptions &options,
                                               std::optional<Module> carried,
                                               std::shared_ptr<Machine> machine = nullptr);

  /// Opens the checkpoint, its headers alone, where one was given and the module wants one.
  Status openWeights();
  /// The same of a checkpoint that the options have not named.
  Status openWeights(const std::string &weights);

  /// What is the same on all ranks: the module, and the weights that openWeights() has opened.
  void addFacts(std::vector<Fact> &facts) const;

  /// Reads and packs the weights and makes the executor. A training module has its weights in
  /// states, which are the caller's to fill. A rank reads its share of the experts, as number
  /// `part` of those that run the module. `progress` is told of bytes packed.
  Status load(unsigned part = 0, const WeightStore::Progress &progress = {});

  /// The same with the parameters of a module that is open on the same machine, such as one that
  /// trains them (TrainedWeights), which must outlive the session; refresh() after they have
  /// changed.
  Status load(TensorSource &source, unsigned part = 0);
  Status refresh() { return weights.refresh(); }

  /// Writes the trace that was asked for.
  Status writeTrace() const;
  const Trace &tracing() const { return trace; }
  /// That trace; null where none was asked for.
  Trace *traceWanted() { return options.trace.empty() ? nullptr : &trace; }

  const Module &module() const { return opened; }
  unsigned threads() const { return machine->threads; }
  const Device &device() const { return *machine->device; }
  double loadSeconds() const { return seconds; } ///< that load() took

  /// After load().
  Executor &executor() { return *runner; }

private:
  Session(Module module, const SessionOptions &options, std::shared_ptr<Machine> machine,
          bool isShared)
      : opened(std::move(module)), options(options), machine(std::move(machine)),
        isShared(isShared) {}
  /// Makes the executor, and says how long load() took since `start`.
  Status endLoad(std::chrono::steady_clock::time_point start);

  Module opened;
  SessionOptions options;
  std::shared_ptr<Machine> machine;
  bool isShared;                        ///< the machine
  std::optional<Checkpoint> checkpoint; ///< of openWeights(), until load()
  WeightStore weights;
  Trace trace;
  std::unique_ptr<Executor> runner;
  double seconds = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_SESSION_SESSION_H
