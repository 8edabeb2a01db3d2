//===- TrainingReport.h - a training run as a page ----------------------===//

#ifndef HADAL_TOOLS_RUN_TRAININGREPORT_H
#define HADAL_TOOLS_RUN_TRAININGREPORT_H

#include "runtime/training/Trainer.h"
#include "tools/Page.h"

#include <string>
#include <vector>

namespace hadal::run {

/// A self-contained page with curves of loss, learning rate, gradient norm and load violation (of `layers`), and `facts` above
/// them. The curves are there without a script, which tells the values under the pointer.
std::string trainingReport(const std::string &title, const PageFacts &facts, const std::vector<StepResult> &steps,
                           const std::vector<int64_t> &layers);

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_TRAININGREPORT_H
