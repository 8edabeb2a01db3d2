#include "tools/plan/Sources.h"

#include "runtime/File.h"
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
  llvm::Expected<frontend::ModelConfig> config = frontend::parseModelConfig(text, folder + "/config.json");
  if (!config)
    return invalidFile(llvm::toString(config.takeError()));
  size = {config->layers, config->experts};
  return WorkSource([config = *config](const Layout &layout, int64_t stages, const Cluster &cluster) {
    return workOfModel(config, layout, stages, cluster);
  });
#else
  (void)size;
  return unsupported(folder + ": this build has no frontend and plans modules only");
#endif
}

Result<WorkSource> plan::openSource(const std::string &input, Layout &layout, ModelSize &size) {
  (void)layout;
  if (std::filesystem::is_directory(input))
    return openModel(input, size);
  return invalidArgument(input + ": wants a folder with config.json");
}
