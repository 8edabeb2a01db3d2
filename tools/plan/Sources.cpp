#include "tools/plan/Sources.h"

#include "runtime/File.h"
#include "runtime/module/Verify.h"
#include "tools/ScheduleOfModule.h"
#include "tools/plan/ModuleWork.h"
#ifdef HADAL_PLAN_READS_MODELS
#include "tools/plan/ModelWork.h"
#endif

#include <filesystem>

using namespace hadal;
using namespace hadal::plan;

const char *plan::knownCluster(const std::string &name) {
  static const std::pair<const char *, const char *> files[] = {
#include "tools/plan/KnownClusters.inc"
  };
  for (const auto &[file, text] : files)
    if (name == file)
      return text;
  return nullptr;
}

static Result<WorkSource> openModel(const std::string &folder, ModelSize &size) {
#ifdef HADAL_PLAN_READS_MODELS
  std::string text = HADAL_TRY(readTextFile(folder + "/config.json"));
  llvm::Expected<frontend::ModelConfig> config =
      frontend::parseModelConfig(text, folder + "/config.json");
  if (!config)
    return invalidFile(llvm::toString(config.takeError()));
  size = {config->layers, config->experts};
  return WorkSource{[config = *config](const Layout &layout, int64_t stages) {
                      return workOfModel(config, layout, stages);
                    },
                    {},
                    {}};
#else
  (void)size;
  return unsupported(folder + ": this build has no frontend and plans modules only");
#endif
}

/// A module's stages are what they are: other schedules may run them, other layouts may not.
static Result<WorkSource> openModule(const std::string &file, Layout &layout) {
  Module module = HADAL_TRY(Module::open(file));
  layout = HADAL_TRY(layoutOf(module));
  StepWork work = HADAL_TRY(workOf(module));
  std::vector<RankPeak> peaks;
  HADAL_TRY(verifyRanks(module, &peaks));
  std::vector<double> activations;
  for (const RankPeak &peak : peaks)
    activations.push_back(double(peak.bytes));
  return WorkSource{[work = std::move(work), own = layout,
                     file](const Layout &asked, int64_t stages) -> Result<StepWork> {
                      if (stages != int64_t(work.stages.size()) || asked.pp != own.pp ||
                          asked.ep != own.ep || asked.dp != own.dp)
                        return invalidArgument(
                            file + ": is compiled for pp " + std::to_string(own.pp) + ", ep " +
                            std::to_string(own.ep) + ", dp " + std::to_string(own.dp) + " and " +
                            std::to_string(work.stages.size()) + " stages");
                      return work;
                    },
                    HADAL_TRY(scheduleOf(module)), std::move(activations)};
}

Result<WorkSource> plan::openSource(const std::string &input, Layout &layout, ModelSize &size) {
  return std::filesystem::is_directory(input) ? openModel(input, size) : openModule(input, layout);
}
