//===- Orders.h - hadal-plan --schedule -----------------------------------===//
//
// A schedule alone, without model and cluster: its orders, its drawing in given costs.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_PLAN_ORDERS_H
#define HADAL_TOOLS_PLAN_ORDERS_H

#include "runtime/schedule/Timeline.h"

#include <string>

namespace hadal::plan {

struct OrdersRequest {
  std::string schedule;
  uint32_t ranks = 0;
  uint32_t microBatches = 0;
  /// Forward, input gradient, weight gradient, and a pair (by default their sum), as numbers or all
  /// as "12ms" (s, ms, us); none: unit time.
  std::vector<std::string> costs;
  bool order = false;    ///< print the orders
  bool timeline = false; ///< print the drawing
  std::string html;      ///< write the page here
};

/// Prints and writes what is asked for; of `order`, `timeline` and `html` at least one.
/// InvalidArgument for sizes that the schedule does not have.
Status showOrders(const OrdersRequest &request);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_ORDERS_H
