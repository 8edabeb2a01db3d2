//===- hadal-plan.cpp - what training would cost --------------------------===//
//
// Exit status 0, or 1 with one line on stderr.
//
//===--------------------------------------------------------------------===//

#include "tools/plan/Orders.h"

#include <CLI/CLI.hpp>

#include <cstdio>

using namespace hadal;

int main(int argc, char **argv) {
  CLI::App app("Shows pipeline schedules: who does what when, and how long it takes.", "hadal-plan");
  plan::OrdersRequest orders;
  app.add_option("--schedule", orders.schedule, "1f1b, zb1p, dualpipe or dualpipev")->required();
  app.add_option("--pp", orders.ranks, "Pipeline ranks")->required();
  app.add_option("--micro-batches", orders.microBatches, "Micro-batches of a step")->required();
  app.add_flag("--order", orders.order, "Print each rank's chunks in order");
  app.add_flag("--timeline", orders.timeline, "Print a drawing: a row a rank, a column a unit of time");
  app.add_option("--html", orders.html, "Write the drawing as a self-contained page");
  app.add_option("--costs", orders.costs, "What chunks take: forward, input gradient, weight gradient, and a pair")
      ->delimiter(',')
      ->expected(1, 4);
  app.set_version_flag("--version", HADAL_VERSION);
  app.failure_message([](const CLI::App *, const CLI::Error &error) {
    return std::string("hadal-plan: ") + error.what() + " (see hadal-plan --help)\n";
  });
  try {
    app.parse(argc, argv);
    if (Status status = plan::showOrders(orders); !status.ok()) {
      std::fprintf(stderr, "hadal-plan: %s\n", status.error().message.c_str());
      return 1;
    }
    return 0;
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "hadal-plan: %s\n", error.what());
    return 1;
  }
}
