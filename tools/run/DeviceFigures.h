//===- DeviceFigures.h - what a run says of its device ------------------===//

#ifndef HADAL_TOOLS_RUN_DEVICEFIGURES_H
#define HADAL_TOOLS_RUN_DEVICEFIGURES_H

#include "runtime/session/Session.h"

#include <nlohmann/json.hpp>
#include <string>

namespace hadal::run {

/// Where a session runs: "2 threads"; "cuda:0, at most 12.3 GB there".
std::string placeOf(const Session &session);

/// Adds `threads` and `device`, and `device_peak_bytes` of a device with memory of its own.
void addDevice(const Session &session, nlohmann::ordered_json &figures);

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_DEVICEFIGURES_H
