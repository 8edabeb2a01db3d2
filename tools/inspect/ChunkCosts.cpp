//===- ChunkCosts.cpp - what chunks of a module take --------------===//

#include "tools/inspect/ChunkCosts.h"

#include "runtime/File.h"
#include "runtime/Json.h"
#include "tools/plan/ModuleWork.h"

#include <algorithm>
#include <map>

using namespace hadal;
using schedule::Costs;
using schedule::StageCosts;

static std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

Result<StageCosts> inspect::costsByRate(const Module &module, double gflops) {
  plan::StepWork work = HADAL_TRY(plan::workOf(module));
  std::vector<Costs> stages;
  for (const plan::StageWork &stage : work.stages) {
    double rate = gflops * 1e9;
    Costs costs{flopsOf(stage.forward) / rate, flopsOf(stage.inputGrad) / rate,
                flopsOf(stage.weightGrad) / rate, 0};
    if (!(costs.forward > 0 && costs.inputGrad > 0 && costs.weightGrad > 0))
      return invalidArgument(module.path() + ": stage " + std::to_string(stages.size()) +
                             " has chunks without FLOPs, of which no rate makes seconds");
    stages.push_back(costs);
  }
  return StageCosts(std::move(stages), "the module's FLOPs at " + number(gflops) +
                                           " GFLOP/s; what has no FLOPs takes no time");
}

namespace {

/// Seconds that runs of each program took.
using Measured = std::map<std::string, std::vector<double>, std::less<>>;

class TraceCosts {
public:
  TraceCosts(const Module &module, const std::string &path, Measured measured)
      : module(module), path(path), measured(std::move(measured)) {}

  Result<StageCosts> all() const {
    std::vector<Costs> stages;
    for (const fb::Stage *stage : *module.tables().training()->ranks()->stages()) {
      Costs costs;
      costs.forward = HADAL_TRY(chunk(stage->forward()));
      costs.inputGrad = HADAL_TRY(chunk(stage->input_grad()));
      costs.weightGrad = HADAL_TRY(chunk(stage->weight_grad()));
      stages.push_back(costs);
    }
    return StageCosts(std::move(stages), "medians of computing as measured in " + path +
                                             ", without exchanges and waits");
  }

private:
  /// The sum over the programs that a chunk calls.
  Result<double> chunk(uint32_t program) const {
    double sum = 0;
    for (const fb::Command *command : *module.tables().programs()->Get(program)->commands())
      if (const fb::Call *call = command->action_as_Call())
        sum += HADAL_TRY(median(*module.tables().programs()->Get(call->program())));
    return std::max(sum, 1e-9); // a chunk that computes nothing, as the clock would tell
  }
  Result<double> median(const fb::Program &program) const {
    auto found = measured.find(program.name()->string_view());
    if (found == measured.end())
      return invalidFile(path + ": has no run of program " + program.name()->str() +
                         "; wants a trace of hadal-run train with " + module.path());
    std::vector<double> times = found->second;
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return times[times.size() / 2];
  }

  const Module &module;
  const std::string &path;
  Measured measured;
};

} // namespace

static Result<Measured> readPrograms(const std::string &path) {
  nlohmann::json trace = HADAL_TRY(readJsonObject<nlohmann::json>(path));
  auto events = trace.find("traceEvents");
  if (events == trace.end() || !events->is_array())
    return invalidFile(path + ": wants a trace, has no array \"traceEvents\"");
  Measured measured;
  for (const nlohmann::json &event : *events) {
    if (!event.is_object() || event.value("cat", nlohmann::json()) != "program")
      continue;
    auto name = event.find("name"), took = event.find("dur");
    if (name == event.end() || !name->is_string() || took == event.end() || !took->is_number())
      return invalidFile(path + ": wants events with a name and a number \"dur\"");
    double seconds = took->get<double>() * 1e-6;
    if (!(seconds >= 0 && seconds < 1e9))
      return invalidFile(path + ": event " + name->get<std::string>() + " has a \"dur\" of " +
                         took->dump());
    measured[name->get<std::string>()].push_back(seconds);
  }
  return measured;
}

Result<StageCosts> inspect::costsByTrace(const Module &module, const std::string &path) {
  HADAL_TRY(plan::layoutOf(module));
  return TraceCosts(module, path, HADAL_TRY(readPrograms(path))).all();
}
