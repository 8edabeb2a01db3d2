//===- MicroBatchValues.h - a micro-batch in a stage --------------------===//

#ifndef HADAL_RUNTIME_RANKS_MICROBATCHVALUES_H
#define HADAL_RUNTIME_RANKS_MICROBATCHVALUES_H

#include "runtime/Executor.h"
#include "runtime/module/StagePlan.h"
#include "runtime/ranks/MemoryPool.h"

#include <memory>
#include <string>
#include <vector>

namespace hadal {

/// What a micro-batch has in a stage.
struct MicroBatchValues {
  struct Value {
    std::shared_ptr<std::byte> memory; ///< null for an input that the driver keeps
    DeviceAddress data = nullptr;      ///< null: not there
    uint64_t bytes = 0;
    unsigned arriving = 0; ///< messages that write it and are not done
  };

  MicroBatchValues(const StagePlan &plan, unsigned direction, unsigned number);

  /// What the driver gives, by name; names that the plan has no use for are left out. The memory of
  /// inputs must stay where the device shares the host's; else it is copied into the pool's.
  void setRegister(const std::string &name, int64_t value);
  Status setInput(const std::string &name, const TensorView &view, Executor &executor,
                  MemoryPool &pool);

  /// The values of a program's registers.
  std::vector<int64_t> registersOf(const PlannedProgram &program) const;

  /// Takes memory for an argument that a command is about to write, if it has none.
  Status allocate(MemoryPool &pool, const PlannedProgram &program, uint32_t argument);

  Value &valueOf(const PlannedProgram &program, uint32_t argument) {
    return values[program.values[argument]];
  }

  /// A program has ended: gives back what no later one has as an argument.
  void release(StageProgram done);

  const StagePlan *plan = nullptr;
  unsigned direction = 0, number = 0; ///< of the micro-batch, with its owner
  size_t ended = 0;                   ///< programs
  std::vector<Value> values;
  std::vector<int64_t> registers;
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_MICROBATCHVALUES_H
