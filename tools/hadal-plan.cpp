//===- hadal-plan.cpp - what training would cost --------------------------===//
//
// Exit status 0, or 1 with one line on stderr.
//
//===--------------------------------------------------------------------===//

#include "tools/CommandLine.h"
#include "tools/Help.h"
#include "tools/plan/Command.h"
#include "tools/plan/Orders.h"

#include <cstdio>

using namespace hadal;

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
  plan::PlanRequest request;
  plan::Layout &layout = request.layout;
  layout.pp = layout.ep = layout.dp = layout.nodes = 0;
  plan::OrdersRequest orders;
  std::string schedule, html, precision = "fp8", split = "balanced";
  CLI::Validator positive = wholeNumberWithin(1, int64_t(1) << 24),
                 ranks = wholeNumberWithin(1, int64_t(1) << 20);
  app.add_option("INPUT", request.input, "Folder with config.json, or a module with ranks")
      ->type_name(kData);
  app.add_option(
         "--schedule", schedule,
         "Order of the pipeline's chunks; with INPUT by default dualpipe, or zb1p where pp is odd")
      ->check(oneOf({"1f1b", "zb1p", "dualpipe", "dualpipev"}));
  auto *pp = app.add_option("--pp", layout.pp, "Pipeline ranks; with INPUT by default 16")
                 ->check(wholeNumberWithin(0, int64_t(1) << 20));
  auto *microBatches = app.add_option("--micro-batches", orders.microBatches,
                                      "Micro-batches of a step (with INPUT: over all ranks)")
                           ->check(positive);
  app.add_option("--html", html, "Write the timeline as a self-contained page")
      ->type_name(kOutputFile);

  auto *job = app.add_option_group("With INPUT");
  job->add_option("--cluster", request.cluster,
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
      ->check(positive)
      ->capture_default_str()
      ->excludes(microBatches);
  job->add_option("--split", split,
                  "How layers fall into stages. balanced: equal work, as hadal-compile cuts them; "
                  "even: equally many layers")
      ->check(oneOf({"balanced", "even"}))
      ->capture_default_str();
  job->add_option("--sequence", layout.sequence, "Tokens of a sequence")
      ->check(positive)
      ->capture_default_str();
  job->add_option("--micro-batch", layout.microBatch, "Sequences of a micro-batch")
      ->check(positive)
      ->capture_default_str();
  job->add_option("--precision", precision, "What products are computed in")
      ->check(oneOf({"fp8", "bf16"}))
      ->capture_default_str();
  job->add_option("--compare", request.compare, "Print a table of plans")
      ->check(oneOf({"schedules", "layouts"}));
  job->add_flag("--json", request.json, "Print one line of JSON");
  job->add_option("--trace", request.trace, "Write the simulated step as a Perfetto trace")
      ->type_name(kOutputFile);

  auto *alone = app.add_option_group("Without INPUT");
  alone->add_flag("--order", orders.order, "Print each rank's chunks in order");
  alone->add_flag("--timeline", orders.timeline,
                  "Print a drawing: one row for each rank, one column for each unit of time");
  alone
      ->add_option(
          "--costs", orders.costs,
          "What chunks take: forward, input gradient, weight gradient, and a pair, all with "
          "a unit of time (12ms; s, ms, us) or without")
      ->type_name("TIME")
      ->delimiter(',')
      ->expected(1, 4);
  app.formatter(std::make_shared<HelpFormatter>());
  app.get_help_ptr()->description("Print this help and exit");
  app.set_version_flag("--version", HADAL_VERSION, "Print the version and exit");
  if (std::optional<int> status = parseCommandLine(app, argc, argv, "hadal-plan"))
    return *status;
  try {
    Status status = [&]() -> Status {
      HADAL_TRY(claimStandardFiles(app, {"--json", "--order", "--timeline"}));
      // What the other mode has is refused, not ignored.
      for (auto *option : (request.input.empty() ? job : alone)->get_options())
        if (*option)
          return invalidArgument(option->get_name() +
                                 (request.input.empty()
                                      ? ": wants INPUT"
                                      : ": is for a schedule without INPUT; hadal-inspect "
                                        "MODULE --timeline draws a module's"));
      if (!request.input.empty()) {
        if (*pp && !layout.pp)
          return invalidArgument("--pp wants at least one rank");
        for (const char *name :
             {"--schedule", "--pp", "--ep", "--dp", "--nodes", "--micro-batches", "--batch",
              "--sequence", "--micro-batch", "--precision", "--split"})
          request.layoutGiven |= app.count_all() && app.get_option(name)->count() > 0;
        layout.schedule = schedule;
        layout.precision = precision == "fp8" ? plan::Precision::Fp8 : plan::Precision::Bf16;
        layout.evenSplit = split == "even";
        if (*microBatches)
          layout.sequences = int64_t(orders.microBatches) * layout.microBatch;
        request.html = html;
        return plan::showPlan(request);
      }
      if (schedule.empty() || !*pp || !*microBatches)
        return invalidArgument("wants INPUT, or --schedule, --pp and --micro-batches");
      orders.schedule = schedule;
      orders.ranks = uint32_t(layout.pp);
      orders.html = html;
      return plan::showOrders(orders);
    }();
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
