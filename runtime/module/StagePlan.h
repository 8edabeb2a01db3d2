//===- StagePlan.h - the programs of a stage, their names as numbers ------===//
//
// The one reader of chunk programs: who runs them, who predicts what they take and who verifies
// them all begin from here.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_STAGEPLAN_H
#define HADAL_RUNTIME_MODULE_STAGEPLAN_H

#include "runtime/module/ChunkKind.h"
#include "runtime/module/Module_generated.h"

#include <array>
#include <map>
#include <string>
#include <vector>

namespace hadal {

/// A program of a stage: its names as numbers of the stage.
struct PlannedProgram {
  const fb::Program *program = nullptr; ///< null where the plan has none of the kind
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

/// Any thread may read it.
struct StagePlan {
  unsigned stage = 0;
  const fb::Stage *table = nullptr; ///< null: of a program that is no stage's
  std::vector<std::string> valueNames, registerNames;
  std::map<std::string, uint32_t, std::less<>> valueNumbers, registerNumbers; ///< by name
  std::vector<StageProgram> lastProgram; ///< of each value: the last one that has it as an argument
  std::vector<bool> isWritten;           ///< of each value: a command writes it
  std::array<PlannedProgram, stageProgramCount> programs;

  /// Of a stage of a module that checkRanks has passed.
  static StagePlan of(const fb::Module &module, unsigned stage);
  /// The same without what is known of sums.
  static StagePlan of(const fb::Module &module, const fb::Stage &stage);
  /// Of a program of table Inference, which is no stage's: as its Forward.
  static StagePlan ofProgram(const fb::Program &program);

private:
  void set(StageProgram which, const fb::Program &program);
  void findSums(const fb::Module &module, PlannedProgram &program) const;
};

/// What a chunk runs, the last program first.
std::vector<StageProgram> programsLastFirst(fb::ChunkKind kind);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_STAGEPLAN_H
