#include "tools/plan/Orders.h"

#include "runtime/File.h"
#include "runtime/schedule/Drawing.h"
#include "tools/CommandLine.h"
#include "tools/SchedulePage.h"

#include <cstdio>
#include <span>

using namespace hadal;
using namespace hadal::plan;

static Result<schedule::Costs> costsOf(const std::vector<double> &given) {
  if (given.empty())
    return schedule::Costs();
  for (double cost : given)
    if (!(cost >= 1e-6 && cost <= 1e6))
      return invalidArgument("--costs wants numbers from 1e-6 to 1e6");
  if (given.size() != 3 && given.size() != 4)
    return invalidArgument(
        "--costs wants forward, input gradient, weight gradient and perhaps a pair, got " +
        std::to_string(given.size()) + " numbers");
  return schedule::Costs{given[0], given[1], given[2],
                         given.size() == 4 ? given[3] : given[0] + given[1] + given[2]};
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
  schedule::Costs costs = HADAL_TRY(costsOf(request.costs));
  schedule::Timeline line = HADAL_TRY(schedule::timeline(made, costs));
  if (!request.html.empty()) {
    std::string page = schedulePage(made, line, costs);
    HADAL_TRY(writeFile(request.html, std::as_bytes(std::span(page))));
  }
  if (request.timeline)
    std::fprintf(printed(), "%s", schedule::drawText(made, line, costs).c_str());
  return {};
}
