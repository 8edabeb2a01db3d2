//===- hadal-inspect.cpp - shows what a module holds --------------------===//
//
// Exit status 0, or 1 with one line on stderr. Opening checks the module; nothing of it is loaded
// or run.
//
//===--------------------------------------------------------------------===//

#include "runtime/File.h"
#include "runtime/schedule/Drawing.h"
#include "tools/CommandLine.h"
#include "tools/Help.h"
#include "tools/ScheduleOfModule.h"
#include "tools/SchedulePage.h"
#include "tools/inspect/ChunkCosts.h"
#include "tools/inspect/Describe.h"
#include "tools/inspect/Ranks.h"
#include "tools/inspect/VerifyRanks.h"

#include <cstdio>

using namespace hadal;

namespace {

struct Request {
  std::string path, html, trace;
  double gflops = 0;
  bool json = false, timeline = false, verify = false;
};

} // namespace

static Status writePage(const std::string &path, const std::string &page) {
  return writeFile(path, std::as_bytes(std::span(page)));
}

/// The schedule of a module for many ranks: in seconds where a trace or a rate is given.
static Status showTimeline(const Module &module, const Request &request) {
  schedule::Schedule schedule = HADAL_TRY(scheduleOf(module));
  schedule::StageCosts costs{schedule::Costs()};
  if (!request.trace.empty())
    costs = HADAL_TRY(inspect::costsByTrace(module, request.trace));
  else if (request.gflops > 0)
    costs = HADAL_TRY(inspect::costsByRate(module, request.gflops));
  Result<schedule::Timeline> line = schedule::timeline(schedule, costs);
  if (!line)
    return invalidFile(module.path() + ": " + line.error().message);
  if (!request.html.empty())
    return writePage(request.html, schedulePage(schedule, *line, costs));
  std::fprintf(printed(), "%s", schedule::drawText(schedule, *line, costs).c_str());
  return {};
}

static Status show(const Request &request) {
  Module module = HADAL_TRY(Module::open(request.path));
  if (request.verify) {
    std::fprintf(printed(), "%s", HADAL_TRY(inspect::verifyText(module)).c_str());
    return {};
  }
  if (request.timeline)
    return showTimeline(module, request);
  inspect::Json description = inspect::describe(module);
  if (inspect::Json ranks = HADAL_TRY(inspect::describeRanks(module)); !ranks.is_null())
    description["ranks"] = ranks;
  if (!request.html.empty())
    HADAL_TRY(writePage(request.html, inspect::toHtml(description)));
  if (request.json)
    std::fprintf(printed(), "%s\n", description.dump(2).c_str());
  else if (request.html.empty())
    std::fprintf(printed(), "%s", inspect::toText(description).c_str());
  return {};
}

int main(int argc, char **argv) {
  startTool("hadal-inspect");
  CLI::App app("Shows the programs, kernels, buffers, parameters and schedule of a module that "
               "hadal-compile wrote.",
               "hadal-inspect");
  app.footer("  hadal-inspect m.hadal\n"
             "  hadal-inspect m.hadal --html m.html\n"
             "  hadal-inspect t8.hadal --verify\n"
             "  hadal-inspect t8.hadal --timeline --trace trace.json --html schedule.html");
  Request request;
  app.add_option("MODULE", request.path, "Module file")->type_name(kInputFile)->required();
  auto *json = app.add_flag("--json", request.json, "Print everything as JSON");
  auto *html = app.add_option("--html", request.html,
                              "Write a self-contained page: commands, buffer lifetimes, tables; "
                              "with --timeline the schedule")
                   ->type_name(kOutputFile);
  auto *timeline =
      app.add_flag("--timeline", request.timeline,
                   "Show the schedule of a module for many ranks, one row for each; each kind of "
                   "chunk takes one unit of time where seconds are not known")
          ->excludes(json);
  auto *trace = app.add_option("--trace", request.trace,
                               "With --timeline: seconds as measured, from a trace that hadal-run "
                               "train wrote with this module")
                    ->type_name(kInputFile)
                    ->needs(timeline);
  app.add_option("--gflops", request.gflops,
                 "With --timeline: seconds from the module's FLOPs, at this many GFLOP/s of a rank")
      ->check(numberWithin(1e-6, 1e12))
      ->needs(timeline)
      ->excludes(trace);
  app.add_flag("--verify", request.verify,
               "Verify what the programs compute and that they stay within their buffers; for many "
               "ranks also deadlock, use "
               "before arrival, sizes on both sides, peak memory")
      ->excludes(json)
      ->excludes(timeline)
      ->excludes(html);
  app.formatter(std::make_shared<HelpFormatter>());
  app.get_help_ptr()->description("Print this help and exit");
  app.set_version_flag("--version", HADAL_VERSION, "Print the version and exit");
  if (std::optional<int> status = parseCommandLine(app, argc, argv, "hadal-inspect"))
    return *status;
  try {
    Status status = claimStandardFiles(app, {"--json"});
    if (status.ok())
      status = show(request);
    if (!status.ok()) {
      std::fprintf(stderr, "hadal-inspect: %s\n", status.error().message.c_str());
      return 1;
    }
    return finish("hadal-inspect", 0);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "hadal-inspect: %s\n", error.what());
    return 1;
  }
}
