// Modules with one thing changed, and whether that matters.
#ifndef HADAL_TEST_SCHEDULE_MUTANTS_H
#define HADAL_TEST_SCHEDULE_MUTANTS_H

#include "test/schedule/FakeRanks.h"

#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace hadal::fake {

struct Mutation {
  std::string kind; ///< "drop a wait"
  std::string what; ///< "stage1.forward, command 7"
  std::function<void(objects::ModuleT &)> apply;
  bool byRules = true; ///< verifyRanks alone must catch it; otherwise what programs are known to
                       ///< compute may, too
  bool isExcusable = true; ///< false: of a program that digest() does not run
};

/// Changes of a module for many ranks, for training or for inference: of its chunk programs,
/// orders, sums and shares, and of the programs that chunks call. At most `perKind` of each kind,
/// chosen by `seed`.
std::vector<Mutation> mutationsOf(const objects::ModuleT &module, size_t perKind, uint64_t seed);

/// What a step, or each program of inference, computes, as one number: every sum and result is a
/// hash of the launches that made it, in their order, each of what it read, through calls, messages
/// and exchanges back to the driver's inputs; and which parameter each sum belongs to. Nothing
/// where ranks get stuck. Two modules that verifyRanks has passed (so no command reads what may not
/// be there yet) and that agree in this compute the same.
std::optional<uint64_t> digest(const fb::Module &module);

struct MutantReport {
  size_t caught = 0;
  std::vector<std::string> equivalent, survived;          ///< a line each: kind, place, reason
  std::map<std::string, std::pair<size_t, size_t>> kinds; ///< made and caught
};

/// Verifies every mutant of `module`, by the rules alone where they should be enough; what opening
/// the file refuses counts as caught.
MutantReport tryMutants(const objects::ModuleT &module, size_t perKind, uint64_t seed);

/// Writes the first mutant of a kind that opens and that verifyModule catches. NotFound where there
/// is none.
Status writeMutant(const objects::ModuleT &module, const std::string &kind,
                   const std::string &path);

} // namespace hadal::fake

#endif // HADAL_TEST_SCHEDULE_MUTANTS_H
