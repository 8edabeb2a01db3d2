//===- TrainingReport.h - a training run as a page ----------------------===//

#ifndef HADAL_TOOLS_RUN_TRAININGREPORT_H
#define HADAL_TOOLS_RUN_TRAININGREPORT_H

#include "tools/Page.h"
#include "tools/run/TrainingLog.h"

#include <string>
#include <vector>

namespace hadal::run {

/// A self-contained page with curves of losses, learning rate, gradient norm, load violation (of
/// `layers`) and speed, and `facts` above them. The curves are there without a script, which tells
/// the values under the pointer.
std::string trainingReport(const std::string &title, const PageFacts &facts,
                           const std::vector<LoggedStep> &steps,
                           const std::vector<int64_t> &layers);

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_TRAININGREPORT_H
