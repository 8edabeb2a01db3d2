//===- Executor.h - runs the programs of a module -----------------------===//
//
//     Module module = HADAL_TRY(Module::open(path));
//     CpuDevice device(threads);
//     Checkpoint checkpoint = HADAL_TRY(Checkpoint::open(folder));
//     WeightStore weights = HADAL_TRY(WeightStore::load(module, device, std::move(checkpoint)));
//     auto executor = HADAL_TRY(Executor::create(module, device, weights));
//     HADAL_TRY(executor->setStateRegister("cache_slots", 1024));
//     ProgramRun prefill = HADAL_TRY(executor->prepare("prefill"));
//     HADAL_TRY(prefill.setRegister("tokens", 17)); ...
//     HADAL_TRY(prefill.bind("token_ids", TensorView::of(tokenIds))); ...
//     HADAL_TRY(prefill.execute());
//     TensorView logits = HADAL_TRY(prefill.output("logits"));
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EXECUTOR_H
#define HADAL_RUNTIME_EXECUTOR_H

#include "runtime/Result.h"
#include "runtime/Tensor.h"
#include "runtime/Trace.h"
#include "runtime/device/Device.h"
#include "runtime/module/Module.h"
#include "runtime/parameters/WeightStore.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

class Executor;

/// What one run of a program did: counts over all launches, those of called programs included.
struct RunStatistics {
  int64_t launches = 0; ///< launches with at least one task
  int64_t flops = 0;    ///< sum of the launches' `flops`, which the compiler wrote into the module
};

/// A program of table Inference, ready to run.
struct RankProgram {
  const fb::Program *program;
  std::vector<int64_t> registers;
  std::vector<DeviceAddress>
      arguments;             ///< null: a value that an exchange crosses, or an empty list
  std::vector<bool> isBound; ///< which arguments are no such values
  std::vector<uint64_t> bytes;
  RunStatistics statistics = {};
};

/// Who runs the programs that ranks run together (table Inference).
class RankPrograms {
public:
  virtual ~RankPrograms() = default;
  /// Runs them at the same time. The other ranks must do so too, with as many of the same programs.
  virtual Status run(std::span<RankProgram> programs) = 0;
};

/// The registers and arguments of a program, to be executed any number of times. Bindings and
/// registers stay until they are set again; changing a register between executions changes the
/// shapes that arguments must have. Belongs to its executor, which must outlive it, and to the
/// executor's thread. Move-only.
class ProgramRun {
public:
  /// Registers that were never set are 0. NotFound: "prefill: no register 'token' (has tokens,
  /// sequences, attended)". InvalidArgument for a negative value.
  Status setRegister(std::string_view name, int64_t value);

  /// Binds an input, or an output to memory of the caller's. The memory must stay valid until the
  /// last execute(). Element type and rank are checked here, the shape by execute(), against the
  /// registers of then: "prefill: argument 'positions' wants I32 [17], got I32 [16]". Memory of the
  /// host is used in place where the device shares it, else execute() copies to and from it.
  Status bind(std::string_view name, const TensorView &tensor);
  Status bind(std::string_view name, const DeviceView &tensor);

  /// Makes the executor own the memory of an output again (as it does for outputs that were never
  /// bound).
  Status unbind(std::string_view name);

  /// Makes the memory ready that an execute() with these registers and bindings needs: temporaries
  /// and owned outputs. The errors are those of execute(), which does it too; a driver that is
  /// timed does it before.
  Status reserve();

  /// Checks all arguments (their sizes, and the values of those that name rows: InputRules.h),
  /// grows temporaries and owned outputs as needed, and runs the program. An input that was never
  /// bound is an error. Returns when the outputs are written.
  Status execute();

  /// An output, as bound or as owned by this run, with its shape in the last execute(), for the
  /// host to read: in place where the host sees it, else a copy. Memory that the run owns is valid
  /// until the next execute(). InvalidArgument where the last execute() failed or there was none.
  Result<TensorView> output(std::string_view name) const;
  /// The same where it lies, for other programs to read.
  Result<DeviceView> outputOnDevice(std::string_view name) const;

  /// Whether the program has a register or an argument of that name.
  bool hasRegister(std::string_view name) const;
  bool hasArgument(std::string_view name) const;

  /// The arguments that are the program's results. Of a program that ranks run together, other
  /// outputs are values that cross an exchange.
  std::vector<uint32_t> results() const;

  /// The shape of an argument at the registers' present values.
  Result<Shape> argumentShape(std::string_view name) const;

  const fb::Program &program() const { return *table; }
  const RunStatistics &statistics() const { return last; } ///< of the last execute()

private:
  friend class Executor;
  struct Slot {
    ElementType element = ElementType::F32;
    Shape shape;
    bool isBound = false;
    void *host = nullptr;                ///< bound memory of the host; null where it is another
    DeviceAddress address = nullptr;     ///< where it lay in the last execute(), or is bound
    DeviceBuffer owned;                  ///< memory of this run
    mutable std::vector<std::byte> read; ///< what the host reads, where it does not see the device
  };
  Status bind(std::string_view name, ElementType element, const Shape &shape, void *host,
              DeviceAddress address);
  /// The slot of an output of the last execute().
  Result<const Slot *> outputSlot(std::string_view name) const;
  ProgramRun(Executor &executor, const fb::Program *table);
  /// An input or a result.
  bool handsOut(uint32_t argument) const;

  Executor *executor;
  const fb::Program *table;
  const fb::InferenceProgram *shared = nullptr; ///< of a program that ranks run together
  std::vector<int64_t> registers;
  std::vector<Slot> slots; ///< one per argument
  RunStatistics last;
  bool executed = false;
};

/// Runs programs of one module on one device, one at a time. Owns the module's states and the
/// memory of temporaries. One thread at a time.
class Executor {
public:
  /// Module, device and weights must outlive the executor. A store that was loaded for another
  /// module is an error.
  static Result<std::unique_ptr<Executor>> create(const Module &module, Device &device,
                                                  const WeightStore &weights);
  ~Executor();

  const Module &module() const { return source; }

  /// The program of that name, with nothing bound. NotFound lists the programs there are.
  Result<ProgramRun> prepare(std::string_view program);

  /// Runs a call of a chunk program (table Stage), whose registers and arguments lie with the
  /// driver: argument i has `bytes[i]` bytes at `arguments[i]`, null where nothing is there yet.
  Status call(const fb::Program &chunk, const fb::Call &call, std::span<const int64_t> registers,
              std::span<const DeviceAddress> arguments, std::span<const uint64_t> bytes);

  /// Sets a register that shapes the states ("cache_slots") and allocates them (without such
  /// registers `create` has allocated them): zeroed at first; growing keeps what they hold when
  /// only the outermost dimension grows and is an error otherwise; shrinking keeps the memory.
  Status setStateRegister(std::string_view name, int64_t value);
  Result<int64_t> stateRegister(std::string_view name) const;

  /// The device that programs run on, and the stream that they are issued to.
  Device &device();
  Stream &stream();
  /// Where states that hold parameters lie.
  ParameterStore &parameters();

  /// The memory of a state; valid until a setStateRegister.
  Result<DeviceView> state(std::string_view name);

  // Operations on the executor's stream, for those who keep states and sums.
  Status copy(DeviceAddress to, DeviceAddress from, uint64_t bytes);
  Status zero(DeviceAddress at, uint64_t bytes);
  Status upload(DeviceAddress to, const void *from, uint64_t bytes);
  Status synchronize();
  /// Returns when the bytes are there.
  Status download(void *to, DeviceAddress from, uint64_t bytes);
  /// As readOnHost (runtime/device/Device.h).
  Result<const std::byte *> read(DeviceAddress from, uint64_t bytes,
                                 std::vector<std::byte> &memory);

  /// Bytes that all states take.
  uint64_t stateBytes() const;
  /// Bytes of those that anything has touched: of a rank's states others may stay untouched.
  uint64_t touchedStateBytes() const;
  /// Bytes of temporaries allocated so far.
  uint64_t temporaryBytes() const;

  /// Sum over all executions so far.
  const RunStatistics &totals() const;

  /// Executes runs at the same time where they are programs that ranks run together, else one after
  /// the other.
  Status execute(std::span<ProgramRun *const> runs);

  /// Who runs programs that ranks run together, until the next setRanks; null: they cannot be run.
  void setRanks(RankPrograms *ranks);

  /// From now on every launch and program run adds an event; null stops it. The trace must outlive
  /// the executor or the next setTrace.
  void setTrace(Trace *trace);

  /// For debugging: from now on temporaries and outputs hold NaN until they are written, guard
  /// zones lie at both ends of each, and both are looked at around every launch and copy. What is
  /// wrong ends the run with an error that names program, command and buffer. Results stay what
  /// they are; a run takes several times as long, and much longer on a device whose memory the host
  /// does not see.
  Status setMemoryCheck(bool wanted);

  /// Called after each launch, before the next command, and ends the run by an error; used to
  /// release source pages while packing.
  void setLaunchObserver(
      std::function<Status(const fb::Launch &, std::span<const int64_t> registers)> observer);

private:
  friend class ProgramRun;
  struct Implementation;
  Executor(const Module &module);
  Status reserve(ProgramRun &run);
  Status execute(ProgramRun &run);
  Status allocateStates(std::vector<int64_t> registers);

  const Module &source;
  std::unique_ptr<Implementation> self;
};

} // namespace hadal

#endif // HADAL_RUNTIME_EXECUTOR_H
