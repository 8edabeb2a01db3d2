//===- Orders.cpp - a schedule alone ------------------------------===//

#include "tools/plan/Orders.h"

#include "runtime/File.h"
#include "runtime/schedule/Drawing.h"
#include "tools/CommandLine.h"
#include "tools/SchedulePage.h"

#include <cstdio>
#include <cstdlib>
#include <span>

using namespace hadal;
using namespace hadal::plan;

/// A number with or without a unit of time.
struct Cost {
  double value = 0;
  bool isTime = false;
};

static Result<Cost> parseCost(const std::string &text) {
  char *end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  std::string unit = end;
  for (auto [name, seconds] : {std::pair("s", 1.0), {"ms", 1e-3}, {"us", 1e-6}})
    if (unit == name && value * seconds >= 1e-9 && value * seconds <= 1e6)
      return Cost{value * seconds, true};
  if (unit.empty() && value >= 1e-6 && value <= 1e6)
    return Cost{value, false};
  return invalidArgument(
      "--costs wants numbers from 1e-6 to 1e6, or times such as 12ms (s, ms, us), got " + text);
}

static Result<schedule::StageCosts> costsOf(const std::vector<std::string> &given) {
  if (given.empty())
    return schedule::StageCosts(schedule::Costs());
  if (given.size() != 3 && given.size() != 4)
    return invalidArgument(
        "--costs wants forward, input gradient, weight gradient and perhaps a pair, got " +
        std::to_string(given.size()) + " numbers");
  std::vector<Cost> costs;
  for (const std::string &text : given) {
    costs.push_back(HADAL_TRY(parseCost(text)));
    if (costs.back().isTime != costs.front().isTime)
      return invalidArgument("--costs wants a unit of time for all or for none, got " +
                             given.front() + " and " + text);
  }
  schedule::Costs all{costs[0].value, costs[1].value, costs[2].value,
                      costs.size() == 4 ? costs[3].value
                                        : costs[0].value + costs[1].value + costs[2].value};
  return costs.front().isTime ? schedule::StageCosts({all}, "as given by --costs")
                              : schedule::StageCosts(all);
}

Status plan::showOrders(const OrdersRequest &request) {
  if (!request.order && !request.timeline && request.html.empty())
    return invalidArgument("--schedule without a model wants --order, --timeline or --html FILE");
  schedule::Schedule made =
      HADAL_TRY(schedule::makeSchedule(request.schedule, request.ranks, request.microBatches));
  if (request.order)
    std::fprintf(printed(), "%s", schedule::toText(made).c_str());
  if (!request.timeline && request.html.empty())
    return {};
  schedule::StageCosts costs = HADAL_TRY(costsOf(request.costs));
  schedule::Timeline line = HADAL_TRY(schedule::timeline(made, costs));
  if (!request.html.empty()) {
    std::string page = schedulePage(made, line, costs);
    HADAL_TRY(writeFile(request.html, std::as_bytes(std::span(page))));
  }
  if (request.timeline)
    std::fprintf(printed(), "%s", schedule::drawText(made, line, costs).c_str());
  return {};
}
