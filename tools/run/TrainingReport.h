//===- TrainingReport.h - a training run as a page ----------------------===//

#ifndef HADAL_TOOLS_RUN_TRAININGREPORT_H
#define HADAL_TOOLS_RUN_TRAININGREPORT_H

#include "runtime/training/Trainer.h"

#include <string>
#include <utility>
#include <vector>

namespace hadal::run {

/// What the page says above its curves: "name", "value".
using ReportFacts = std::vector<std::pair<std::string, std::string>>;

/// A self-contained page with curves of loss, learning rate, gradient norm and load violation (of `layers`). Nothing is fetched,
/// and nothing needs a script.
std::string trainingReport(const std::string &title, const ReportFacts &facts, const std::vector<StepResult> &steps,
                           const std::vector<int64_t> &layers);

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_TRAININGREPORT_H
