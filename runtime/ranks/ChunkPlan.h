//===- ChunkPlan.h - the programs of a stage, and a micro-batch in it ---===//

#ifndef HADAL_RUNTIME_RANKS_CHUNKPLAN_H
#define HADAL_RUNTIME_RANKS_CHUNKPLAN_H

#include "runtime/Executor.h"
#include "runtime/module/ChunkKind.h"
#include "runtime/ranks/MemoryPool.h"
#include "runtime/ranks/RankLayout.h"

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace hadal {

/// A program of a stage: its names as numbers of the stage.
struct ChunkProgram {
  const fb::Program *program = nullptr;
  StageProgram which = StageProgram::Forward;
  std::vector<uint32_t> values;    ///< of each argument
  std::vector<uint32_t> registers; ///< of each register
  /// Of each command that communicates: its number among those that go the same way, which both
  /// ends count alike.
  std::vector<uint32_t> ordinals;
  std::array<std::vector<uint32_t>, 2> streams; ///< commands of each
  /// Of each command that adds to sums of the stage: the last command that adds to one of the same.
  std::map<uint32_t, uint32_t> lastAdding;
};

struct StagePlan {
  unsigned stage = 0;
  const fb::Stage *table = nullptr;
  std::vector<std::string> valueNames, registerNames;
  std::vector<StageProgram> lastProgram; ///< of each value: the last one that has it as an argument
  std::array<ChunkProgram, stageProgramCount> programs;

  static StagePlan of(const fb::Module &module, unsigned stage);
  /// Of a program of table Inference, which is no stage's: as its Forward.
  static StagePlan ofProgram(const fb::Program &program);

private:
  void set(StageProgram which, const fb::Program &program);
  void findSums(const fb::Module &module, ChunkProgram &program) const;
};

/// What a micro-batch has in a stage.
struct MicroBatchValues {
  struct Value {
    std::shared_ptr<std::byte> memory; ///< null for an input that the driver keeps
    DeviceAddress data = nullptr;      ///< null: not there
    uint64_t bytes = 0;
    unsigned arriving = 0; ///< messages that write it and are not done
  };

  MicroBatchValues() = default;
  MicroBatchValues(const StagePlan &plan, unsigned direction, unsigned number);

  /// What the driver gives, by name; names that the plan has no use for are left out. The memory of
  /// inputs must stay where the device shares the host's; else it is copied into the pool's.
  void setRegister(const std::string &name, int64_t value);
  Status setInput(const std::string &name, const TensorView &view, Executor &executor,
                  MemoryPool &pool);

  /// The values of a program's registers.
  std::vector<int64_t> registersOf(const ChunkProgram &program) const;

  /// Takes memory for an argument that a command is about to write, if it has none.
  Status allocate(MemoryPool &pool, const ChunkProgram &program, uint32_t argument);

  Value &valueOf(const ChunkProgram &program, uint32_t argument) {
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

/// What a chunk runs, the last program first.
std::vector<StageProgram> programsLastFirst(fb::ChunkKind kind);

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_CHUNKPLAN_H
