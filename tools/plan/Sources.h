//===- Sources.h - where plans take their work from -----------------------===//

#ifndef HADAL_TOOLS_PLAN_SOURCES_H
#define HADAL_TOOLS_PLAN_SOURCES_H

#include "tools/plan/Plan.h"

namespace hadal::plan {

/// What bounds a layout.
struct ModelSize {
  int64_t layers = 0, experts = 0;
};

/// The work of `input`, which the user names (runtime/File.h): a folder with config.json, such a
/// file, or a module with ranks, which sets `layout` to its own. `size` bounds layouts that are to
/// be found.
Result<WorkSource> openSource(const std::string &input, Layout &layout, ModelSize &size);

/// The text of a file of examples/clusters by its name, or null: those files are part of the
/// program.
const char *knownCluster(const std::string &name);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_SOURCES_H
