//===- StagePlaces.h - which pipeline rank holds which stage --------------===//
//
// The rule of table Ranks (Module.fbs), for all that have a schedule's name and a number of
// pipeline ranks: tables, layouts and makers of schedules.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_STAGEPLACES_H
#define HADAL_RUNTIME_MODULE_STAGEPLACES_H

#include <cstdint>
#include <string_view>

namespace hadal {

/// All that there are.
inline constexpr std::string_view scheduleNames[] = {"1f1b", "zb1p", "dualpipe", "dualpipev"};

inline bool isSchedule(std::string_view name) {
  for (std::string_view known : scheduleNames)
    if (name == known)
      return true;
  return false;
}

struct StagePlaces {
  uint32_t pp = 1;                  ///< pipeline ranks
  bool isDual = false, isV = false; ///< dualpipe, dualpipev

  static StagePlaces of(std::string_view schedule, uint32_t pp) {
    return {pp, schedule == "dualpipe", schedule == "dualpipev"};
  }

  /// Directions that a rank works in: two for dualpipe, whose directions are independent, and for
  /// dualpipev, whose second direction is the way back; else one.
  uint32_t directions() const { return isDual || isV ? 2 : 1; }
  /// Those of them that have micro-batches of their own.
  uint32_t ownerDirections() const { return isDual ? 2 : 1; }
  uint32_t stages() const { return isV ? 2 * pp : pp; }

  /// The stage that pipeline rank `p` is in `direction`.
  uint32_t stageOf(uint32_t p, uint32_t direction) const {
    return direction == 0 ? p : stages() - 1 - p;
  }
  /// The pipeline rank that holds a stage for micro-batches of `direction` (of dualpipe; the others
  /// have no choice).
  uint32_t holderOf(uint32_t stage, uint32_t direction) const {
    bool mirrored = isV ? stage >= pp : isDual && direction != 0;
    return mirrored ? stages() - 1 - stage : stage;
  }
};

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_STAGEPLACES_H
