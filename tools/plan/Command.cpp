//===- Command.cpp - what hadal-plan is asked for -----------------===//

#include "tools/plan/Command.h"

#include "runtime/File.h"
#include "tools/CommandLine.h"
#include "tools/plan/Compare.h"
#include "tools/plan/Report.h"
#include "tools/plan/Sources.h"
#include "tools/plan/Timelines.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <span>

using namespace hadal;
using namespace hadal::plan;

static Result<Cluster> readCluster(const std::string &file) {
  std::string name = std::filesystem::path(file).filename().string();
  if (file != "-" && !std::filesystem::exists(file))
    if (const char *text = knownCluster(name))
      return parseCluster(text, name);
  std::string text = HADAL_TRY(readInputText(file));
  return parseCluster(text, nameOfInput(file));
}

/// The largest power of two up to `most` that `holds`.
template <typename Holds> static int64_t largestPower(int64_t most, Holds holds) {
  while (most > 1 && !holds(most))
    most /= 2;
  return most;
}

/// Fills in what was not said: the report's pp and ep, or as much of them as the model has layers
/// and experts for; nodes full of ranks; as many replicas as the cluster has room for and the step
/// can be split among.
static void complete(Layout &l, const ModelSize &size, const Cluster &cluster) {
  if (!l.pp)
    l.pp = largestPower(16, [&](int64_t pp) { return pp <= size.layers && pp <= cluster.gpus; });
  if (l.schedule.empty()) // two directions want two ranks
    l.schedule = l.pp % 2 ? "zb1p" : "dualpipe";
  if (!l.ep)
    l.ep = largestPower(
        64, [&](int64_t ep) { return size.experts % ep == 0 && l.pp * ep <= cluster.gpus; });
  for (int64_t nodes = 1; !l.nodes; ++nodes)
    if (l.ep % nodes == 0 && l.ep / nodes <= cluster.gpusPerNode)
      l.nodes = nodes;
  if (l.dp)
    return;
  int64_t most = std::max<int64_t>(1, cluster.gpus / (l.pp * l.ep));
  for (l.dp = most; l.dp > 1; --l.dp)
    if (l.microBatches() &&
        schedule::makeSchedule(l.schedule, uint32_t(l.pp), uint32_t(l.microBatches())).ok())
      return;
  // The message about the largest says most.
  if (!l.microBatches() ||
      !schedule::makeSchedule(l.schedule, uint32_t(l.pp), uint32_t(l.microBatches())).ok())
    l.dp = most;
}

static Status write(const std::string &file, const std::string &text) {
  return writeFile(file, std::as_bytes(std::span(text)));
}

Status plan::showPlan(PlanRequest request) {
  Cluster cluster = HADAL_TRY(readCluster(request.cluster));
  ModelSize size;
  WorkSource source = HADAL_TRY(openSource(request.input, request.layout, size));
  bool isModule = source.orders.has_value();
  if (request.layoutGiven && isModule)
    return invalidArgument(nameOfInput(request.input) +
                           ": is a module, which says schedule, layout and batch itself");
  if (request.compare == "layouts" && isModule)
    return invalidArgument(
        "--compare layouts: " + nameOfInput(request.input) +
        " is compiled for one layout; compare those of a folder with config.json");
  complete(request.layout, size, cluster);

  if (!request.compare.empty()) {
    std::vector<Candidate> all = request.compare == "schedules"
                                     ? compareSchedules(source, request.layout, cluster)
                                     : compareLayouts(source, request.layout, cluster);
    if (std::none_of(all.begin(), all.end(), [](const Candidate &c) { return c.plan.ok(); }))
      return all.empty() ? invalidArgument("no layout of " +
                                           std::to_string(request.layout.world()) + " GPUs fits")
                         : Status(all.front().plan.error());
    if (request.json) {
      nlohmann::ordered_json list = nlohmann::ordered_json::array();
      for (const Candidate &c : all)
        if (c.plan.ok())
          list.push_back(toJson(**c.plan));
      std::fprintf(printed(), "%s\n", nlohmann::ordered_json{{"compare", list}}.dump().c_str());
    } else {
      std::fprintf(printed(), "%s", toText(all).c_str());
    }
    return {};
  }

  std::unique_ptr<Plan> plan = HADAL_TRY(makePlan(source, request.layout, cluster));
  std::string text = HADAL_TRY(toText(source, *plan));
  if (!request.trace.empty())
    HADAL_TRY(writeTrace(*plan, request.trace));
  if (!request.html.empty())
    HADAL_TRY(write(request.html, toPage(*plan, text)));
  std::fprintf(printed(), "%s",
               request.json ? (toJson(*plan).dump() + "\n").c_str() : text.c_str());
  return {};
}
