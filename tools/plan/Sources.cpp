//===- Sources.cpp - where plans take their work from -------------===//

#include "tools/plan/Sources.h"

#include "runtime/File.h"
#include "runtime/FileKind.h"
#include "runtime/module/Verify.h"
#include "runtime/training/ranks/PredictMemory.h"
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

/// `name`: of the config.json that `text` is of.
static Result<WorkSource> openModel(const std::string &text, const std::string &name,
                                    ModelSize &size) {
#ifdef HADAL_PLAN_READS_MODELS
  llvm::Expected<frontend::ModelConfig> config = frontend::parseModelConfig(text, name);
  if (!config)
    return invalidFile(llvm::toString(config.takeError()));
  size = {config->layers, config->experts};
  return WorkSource{[config = *config](const Layout &layout, int64_t stages) {
                      return workOfModel(config, layout, stages);
                    },
                    {},
                    {}};
#else
  (void)text, (void)size;
  return unsupported(name + ": this build has no frontend and plans modules only");
#endif
}

/// A module's stages are what they are: other schedules may run them, other layouts may not.
static Result<WorkSource> openModule(Module module, Layout &layout) {
  layout = HADAL_TRY(layoutOf(module));
  StepWork work = HADAL_TRY(workOf(module));
  HADAL_TRY(verifyRanks(module));
  std::vector<double> activations;
  for (const RankPeak &peak : HADAL_TRY(predictPeaks(module)))
    activations.push_back(double(peak.bytes));
  return WorkSource{
      [work = std::move(work), own = layout,
       file = module.path()](const Layout &asked, int64_t stages) -> Result<StepWork> {
        if (stages != int64_t(work.stages.size()) || asked.pp != own.pp || asked.ep != own.ep ||
            asked.dp != own.dp)
          return invalidArgument(file + ": is compiled for pp " + std::to_string(own.pp) + ", ep " +
                                 std::to_string(own.ep) + ", dp " + std::to_string(own.dp) +
                                 " and " + std::to_string(work.stages.size()) + " stages");
        return work;
      },
      HADAL_TRY(scheduleOf(module)), std::move(activations)};
}

Result<WorkSource> plan::openSource(const std::string &input, Layout &layout, ModelSize &size) {
  if (std::filesystem::is_directory(input)) {
    std::string path = input + "/config.json";
    return openModel(HADAL_TRY(readTextFile(path)), path, size);
  }
  MappedFile file = HADAL_TRY(MappedFile::openInput(input));
  if (recogniseFile(file.bytes()) != FileKind::Json)
    return openModule(HADAL_TRY(Module::fromBytes(file.bytes(), file.path())), layout);
  std::string text(reinterpret_cast<const char *>(file.bytes().data()), file.bytes().size());
  return openModel(text, file.path(), size);
}
