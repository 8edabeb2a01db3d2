//===- SchedulePage.h - a schedule as a page ----------------------------===//

#ifndef HADAL_TOOLS_SCHEDULEPAGE_H
#define HADAL_TOOLS_SCHEDULEPAGE_H

#include "runtime/schedule/Timeline.h"

#include <string>
#include <string_view>

namespace hadal {

/// JavaScript that the pages of schedules share: chunkColour("F0") for kind and direction,
/// chunkKeys(place, kinds) for the line of colours.
extern const std::string_view chunkScript;

/// One self-contained page: ranks by time, a colour for each kind, its depth for the direction,
/// names and times under the pointer, idle shares; times are seconds where `costs`, which `line`
/// was made with, are.
std::string schedulePage(const schedule::Schedule &schedule, const schedule::Timeline &line,
                         const schedule::StageCosts &costs);

} // namespace hadal

#endif // HADAL_TOOLS_SCHEDULEPAGE_H
