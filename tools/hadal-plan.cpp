//===- hadal-plan.cpp - what training would cost --------------------------===//
//
// Exit status 0, or 1 with one line on stderr.
//
//===--------------------------------------------------------------------===//

#include "runtime/module/StagePlaces.h"
#include "tools/CommandLine.h"
#include "tools/Help.h"
#include "tools/plan/Command.h"
#include "tools/plan/Orders.h"

#include <cstdio>
#include <iterator>

using namespace hadal;

namespace {

/// What the command line says.
struct Wanted {
  plan::PlanRequest request;
  plan::OrdersRequest orders;
  std::string schedule, html, precision = "fp8", split = "balanced";
  CLI::Option *pp = nullptr, *microBatches = nullptr;
  CLI::Option_group *job = nullptr, *alone = nullptr; ///< options with INPUT, and without
};

CLI::Validator positive() { return wholeNumberWithin(1, int64_t(1) << 24); }

void addCommonOptions(CLI::App &app, Wanted &wanted) {
  app.add_option("INPUT", wanted.request.input, "Folder with config.json, or a module with ranks")
      ->type_name(kData);
  app.add_option(
         "--schedule", wanted.schedule,
         "Order of the pipeline's chunks; with INPUT by default dualpipe, or zb1p where pp is odd")
      ->check(oneOf({std::begin(scheduleNames), std::end(scheduleNames)}));
  wanted.pp =
      app.add_option("--pp", wanted.request.layout.pp, "Pipeline ranks; with INPUT by default 16")
          ->check(wholeNumberWithin(0, int64_t(1) << 20));
  wanted.microBatches = app.add_option("--micro-batches", wanted.orders.microBatches,
                                       "Micro-batches of a step (with INPUT: over all ranks)")
                            ->check(positive());
  app.add_option("--html", wanted.html, "Write the timeline as a self-contained page")
      ->type_name(kOutputFile);
}

void addJobOptions(CLI::Option_group *job, Wanted &wanted) {
  plan::Layout &layout = wanted.request.layout;
  CLI::Validator ranks = wholeNumberWithin(1, int64_t(1) << 20);
  job->add_option("--cluster", wanted.request.cluster,
                  "Cluster file, or the name of one of examples/clusters")
      ->type_name(kInputFile)
      ->capture_default_str();
  job->add_option("--ep", layout.ep, "Expert-parallel ranks; by default 64")->check(ranks);
  job->add_option("--dp", layout.dp,
                  "Data-parallel replicas of them; by default as many as the cluster has room for")
      ->check(ranks);
  job->add_option("--nodes", layout.nodes,
                  "Nodes that an expert-parallel group spans; by default as few as hold it")
      ->check(ranks);
  job->add_option("--batch", layout.sequences, "Sequences of a step")
      ->check(positive())
      ->capture_default_str()
      ->excludes(wanted.microBatches);
  job->add_option("--split", wanted.split,
                  "How layers fall into stages. balanced: equal work, as hadal-compile cuts them; "
                  "even: equally many layers")
      ->check(oneOf({"balanced", "even"}))
      ->capture_default_str();
  job->add_option("--sequence", layout.sequence, "Tokens of a sequence")
      ->check(positive())
      ->capture_default_str();
  job->add_option("--micro-batch", layout.microBatch, "Sequences of a micro-batch")
      ->check(positive())
      ->capture_default_str();
  job->add_option("--precision", wanted.precision, "What products are computed in")
      ->check(oneOf({"fp8", "bf16"}))
      ->capture_default_str();
  job->add_option("--compare", wanted.request.compare, "Print a table of plans")
      ->check(oneOf({"schedules", "layouts"}));
  job->add_flag("--json", wanted.request.json, "Print one line of JSON");
  job->add_option("--trace", wanted.request.trace, "Write the simulated step as a Perfetto trace")
      ->type_name(kOutputFile);
}

void addOrdersOptions(CLI::Option_group *alone, Wanted &wanted) {
  alone->add_flag("--order", wanted.orders.order, "Print each rank's chunks in order");
  alone->add_flag("--timeline", wanted.orders.timeline,
                  "Print a drawing: one row for each rank, one column for each unit of time");
  alone
      ->add_option(
          "--costs", wanted.orders.costs,
          "What chunks take: forward, input gradient, weight gradient, and a pair, all with "
          "a unit of time (12ms; s, ms, us) or without")
      ->type_name("TIME")
      ->delimiter(',')
      ->expected(1, 4);
}

/// What the other mode has is refused, not ignored.
Status checkMode(const Wanted &wanted) {
  bool hasInput = !wanted.request.input.empty();
  for (auto *option : (hasInput ? wanted.alone : wanted.job)->get_options())
    if (*option)
      return invalidArgument(option->get_name() +
                             (hasInput ? ": is for a schedule without INPUT; hadal-inspect "
                                         "MODULE --timeline draws a module's"
                                       : ": wants INPUT"));
  return {};
}

Status run(const CLI::App &app, Wanted &wanted) {
  HADAL_TRY(claimStandardFiles(app, {"--json", "--order", "--timeline"}));
  HADAL_TRY(checkMode(wanted));
  plan::PlanRequest &request = wanted.request;
  plan::OrdersRequest &orders = wanted.orders;
  plan::Layout &layout = request.layout;
  if (request.input.empty()) {
    if (wanted.schedule.empty() || !*wanted.pp || !*wanted.microBatches)
      return invalidArgument("wants INPUT, or --schedule, --pp and --micro-batches");
    orders.schedule = wanted.schedule;
    orders.ranks = uint32_t(layout.pp);
    orders.html = wanted.html;
    return plan::showOrders(orders);
  }
  if (*wanted.pp && !layout.pp)
    return invalidArgument("--pp wants at least one rank");
  for (const char *name : {"--schedule", "--pp", "--ep", "--dp", "--nodes", "--micro-batches",
                           "--batch", "--sequence", "--micro-batch", "--precision", "--split"})
    request.layoutGiven |= app.count_all() && app.get_option(name)->count() > 0;
  layout.schedule = wanted.schedule;
  layout.precision = wanted.precision == "fp8" ? plan::Precision::Fp8 : plan::Precision::Bf16;
  layout.evenSplit = wanted.split == "even";
  if (*wanted.microBatches)
    layout.sequences = int64_t(orders.microBatches) * layout.microBatch;
  request.html = wanted.html;
  return plan::showPlan(request);
}

} // namespace

int main(int argc, char **argv) {
  startTool("hadal-plan");
  CLI::App app("Says what training would cost, and shows pipeline schedules. INPUT is a folder "
               "with a Hugging Face config.json, "
               "or a module compiled for many ranks: one step of it is simulated on a cluster. "
               "Without INPUT a schedule is shown: "
               "who does what when, and how long it takes.",
               "hadal-plan");
  app.footer("  hadal-plan model/ --pp=16 --ep=64 --schedule=dualpipe --cluster h800x2048.json\n"
             "  hadal-plan model/ --pp=16 --ep=64 --compare schedules\n"
             "  hadal-plan --schedule=dualpipe --pp=8 --micro-batches=20 --order");
  Wanted wanted;
  plan::Layout &layout = wanted.request.layout;
  layout.pp = layout.ep = layout.dp = layout.nodes = 0;
  addCommonOptions(app, wanted);
  wanted.job = app.add_option_group("With INPUT");
  addJobOptions(wanted.job, wanted);
  wanted.alone = app.add_option_group("Without INPUT");
  addOrdersOptions(wanted.alone, wanted);
  app.formatter(std::make_shared<HelpFormatter>());
  app.get_help_ptr()->description("Print this help and exit");
  app.set_version_flag("--version", HADAL_VERSION, "Print the version and exit");
  if (std::optional<int> status = parseCommandLine(app, argc, argv, "hadal-plan"))
    return *status;
  try {
    Status status = run(app, wanted);
    if (!status.ok()) {
      std::fprintf(stderr, "hadal-plan: %s\n", status.error().message.c_str());
      return 1;
    }
    return finish("hadal-plan", 0);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "hadal-plan: %s\n", error.what());
    return 1;
  }
}
