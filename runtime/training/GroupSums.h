//===- GroupSums.h - sums of groups, joined in a halving tree -----------===//
//
// States in which micro-batches add up are cut into groups: at the end of each the states begin
// anew at zero, and what they held joins the sums before it as a binary counter carries. Group sums
// a, b, c, d make (a + b) + (c + d). All of it is for the executor's thread.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_GROUPSUMS_H
#define HADAL_RUNTIME_TRAINING_GROUPSUMS_H

#include "runtime/Executor.h"

#include <memory>
#include <optional>
#include <vector>

namespace hadal {

/// Runs the programs `add` and `add.i32`: to += from, element by element.
class Adder {
public:
  static Result<Adder> create(Executor &executor);
  Status add(ElementType element, DeviceAddress from, DeviceAddress to, int64_t elements);
  /// The same of memory of the host.
  Status addOnHost(ElementType element, const void *from, void *to, int64_t elements);

private:
  Adder(ProgramRun floats, std::optional<ProgramRun> integers)
      : floats(std::move(floats)), integers(std::move(integers)) {}
  template <typename View> Status add(const View &from, const View &to);
  ProgramRun floats;
  std::optional<ProgramRun> integers;
};

/// A sum whose groups join. Its memory may be any of the device; partial sums are the runtime's
/// own.
class GroupCounter {
public:
  /// `groups` is a power of two.
  GroupCounter(Executor &executor, DeviceView sum, int64_t groups)
      : executor(&executor), sum(std::move(sum)), groups(groups) {}

  /// Ends a group: after the last one the total lies in the sum, else zeros.
  Status endGroup(Adder &adder);

  /// Forgets groups that were not brought to an end.
  void restart() { count = 0; }

  const DeviceView &view() const { return sum; }

private:
  Executor *executor;
  DeviceView sum;
  int64_t groups, count = 0;
  std::vector<DeviceBuffer> partials; ///< partials[i]: the sum of 2^i groups
};

/// Several states whose groups end together.
class GroupSums {
public:
  static Result<GroupSums> create(Executor &executor, int64_t groups);
  Status add(const std::string &state);
  Status endGroup();
  void restart();

private:
  GroupSums(Executor &executor, Adder adder, int64_t groups)
      : executor(&executor), adder(std::move(adder)), groups(groups) {}
  Executor *executor;
  Adder adder;
  int64_t groups;
  std::vector<GroupCounter> counters;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_GROUPSUMS_H
