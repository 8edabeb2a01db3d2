//===- CompareRuns.cpp - hadal-compare-runs -----------------------------===//
//
// Pairs of training runs that differ in one thing, such as the precision: run i of one kind and run
// i of the other have the same seed and data. Says how far the mean losses at the end are apart,
// relative to the second kind's: of each pair, the mean over the pairs, and its standard error. A
// page has the curves.
//
//     hadal-compare-runs --of fp8-1.jsonl fp8-2.jsonl --with bf16-1.jsonl bf16-2.jsonl
//         --names FP8 BF16 --html page.html
//
// Prints one line of JSON.
//
//===--------------------------------------------------------------------===//

#include "runtime/File.h"
#include "tools/Charts.h"
#include "tools/CommandLine.h"
#include "tools/run/TrainingLog.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <span>
#include <sstream>

using namespace hadal;
using namespace hadal::run;
using Json = nlohmann::ordered_json;

namespace {

struct Options {
  std::vector<std::string> of, with;
  std::vector<std::string> names = {"first", "second"};
  std::string html, title = "Two kinds of training runs";
  int64_t last = 100;
};

/// The losses of one run, a step each, from the first one on.
struct Run {
  std::string path;
  std::vector<double> losses;

  double meanOfLast(size_t steps) const {
    double sum = 0;
    for (double loss : std::span(losses).last(steps))
      sum += loss;
    return sum / double(steps);
  }
};

struct Pair {
  Run of, with;
  double difference = 0; ///< of the mean losses at the end, relative to the second
};

/// A mean over runs, and its standard error; none of one alone.
struct Mean {
  double mean = 0;
  std::optional<double> error;
};

Mean meanOf(const std::vector<double> &values) {
  Mean found;
  double count = double(values.size()), squares = 0;
  for (double value : values)
    found.mean += value / count;
  for (double value : values)
    squares += (value - found.mean) * (value - found.mean);
  if (values.size() > 1)
    found.error = std::sqrt(squares / (count - 1) / count);
  return found;
}

Result<Run> readRun(const std::string &path) {
  Run run{path, {}};
  std::string text = HADAL_TRY(readTextFile(path)), line;
  std::istringstream lines(text);
  while (std::getline(lines, line)) {
    std::optional<LoggedStep> step = parseLogLine(line);
    if (!step || step->step != int64_t(run.losses.size()) + 1)
      return invalidFile(path + ": line " + std::to_string(run.losses.size() + 1) +
                         ": wants the log of step " + std::to_string(run.losses.size() + 1));
    run.losses.push_back(step->loss);
  }
  return run;
}

Result<std::vector<Pair>> readPairs(const Options &options) {
  if (options.of.size() != options.with.size())
    return invalidArgument("wants as many logs of one kind as of the other, got " +
                           std::to_string(options.of.size()) + " and " +
                           std::to_string(options.with.size()));
  std::vector<Pair> pairs;
  for (size_t i = 0; i < options.of.size(); ++i) {
    Pair pair{HADAL_TRY(readRun(options.of[i])), HADAL_TRY(readRun(options.with[i]))};
    size_t steps = pair.of.losses.size();
    const Run &first = pairs.empty() ? pair.of : pairs.front().of;
    for (const Run &run : {pair.of, pair.with})
      if (run.losses.size() != first.losses.size())
        return invalidFile(run.path + ": has " + std::to_string(run.losses.size()) + " steps, " +
                           first.path + " has " + std::to_string(first.losses.size()));
    if (steps < size_t(options.last))
      return invalidFile(pair.of.path + ": wants at least " + std::to_string(options.last) +
                         " steps (--last), has " + std::to_string(steps));
    pair.difference =
        pair.of.meanOfLast(size_t(options.last)) / pair.with.meanOfLast(size_t(options.last)) - 1;
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<double> differencesOf(const std::vector<Pair> &pairs) {
  std::vector<double> differences;
  for (const Pair &pair : pairs)
    differences.push_back(pair.difference);
  return differences;
}

/// "0.12 % ± 0.05 %".
std::string inWords(const Mean &mean) {
  return formatted("%+.3f %%", 100 * mean.mean) +
         (mean.error ? formatted(" ± %.3f %%", 100 * *mean.error) : "");
}

/// The mean over the runs of each step's figure.
template <typename Of> std::vector<double> overRuns(const std::vector<Pair> &pairs, Of of) {
  std::vector<double> means(pairs.front().of.losses.size());
  for (size_t step = 0; step < means.size(); ++step)
    for (const Pair &pair : pairs)
      means[step] += of(pair, step) / double(pairs.size());
  return means;
}

std::string pageOf(const Options &options, const std::vector<Pair> &pairs) {
  Page page;
  page.title = options.title;
  Mean mean = meanOf(differencesOf(pairs));
  std::string ofLast = "mean loss of the last " + std::to_string(options.last) + " steps";
  page.facts = {{options.names[0] + " against " + options.names[1] + ", " + ofLast, inWords(mean)},
                {"Pairs of runs", std::to_string(pairs.size())},
                {"Steps", std::to_string(pairs.front().of.losses.size())}};
  for (size_t i = 0; i < pairs.size(); ++i)
    page.facts.push_back({"Pair " + std::to_string(i + 1),
                          formatted("%.4f", pairs[i].of.meanOfLast(size_t(options.last))) + ", " +
                              formatted("%.4f", pairs[i].with.meanOfLast(size_t(options.last))) +
                              ": " + formatted("%+.3f %%", 100 * pairs[i].difference)});
  std::vector<int64_t> steps(pairs.front().of.losses.size());
  for (size_t i = 0; i < steps.size(); ++i)
    steps[i] = int64_t(i) + 1;
  Charts charts(std::move(steps));
  charts.add(
      "Loss, nats per token, mean over the runs",
      {{options.names[0],
        overRuns(pairs, [](const Pair &pair, size_t step) { return pair.of.losses[step]; }), 1},
       {options.names[1],
        overRuns(pairs, [](const Pair &pair, size_t step) { return pair.with.losses[step]; }), 0}},
      {.smooth = true});
  charts.add("Relative difference of the losses, percent, mean over the pairs",
             {{"difference",
               overRuns(pairs,
                        [](const Pair &pair, size_t step) {
                          return 100 * (pair.of.losses[step] / pair.with.losses[step] - 1);
                        }),
               4}},
             {.smooth = true, .fromZero = true});
  charts.draw(page);
  return pageText(page);
}

Status compare(const Options &options) {
  std::vector<Pair> pairs = HADAL_TRY(readPairs(options));
  Mean mean = meanOf(differencesOf(pairs));
  if (!options.html.empty()) {
    std::string page = pageOf(options, pairs);
    HADAL_TRY(writeFile(options.html, std::as_bytes(std::span(page))));
  }
  Json line = {{"relative_difference", mean.mean},
               {"standard_error", mean.error ? Json(*mean.error) : Json()},
               {"last", options.last},
               {"steps", pairs.front().of.losses.size()},
               {"pairs", Json::array()}};
  for (const Pair &pair : pairs)
    line["pairs"].push_back({{options.names[0], pair.of.meanOfLast(size_t(options.last))},
                             {options.names[1], pair.with.meanOfLast(size_t(options.last))},
                             {"relative_difference", pair.difference}});
  std::printf("%s\n", line.dump().c_str());
  return {};
}

} // namespace

int main(int argc, char **argv) {
  startTool("hadal-compare-runs");
  Options options;
  CLI::App app("Says how far the losses of two kinds of training runs are apart at their end.",
               "hadal-compare-runs");
  app.add_option("--of", options.of, "Logs of one kind (hadal-run train --log), a run each")
      ->required();
  app.add_option("--with", options.with, "Logs of the other, in the same order")->required();
  app.add_option("--names", options.names, "What the two are called")
      ->expected(2)
      ->capture_default_str();
  app.add_option("--last", options.last, "Steps at the end whose mean loss counts")
      ->check(wholeNumberWithin(1, int64_t(1) << 40))
      ->capture_default_str();
  app.add_option("--html", options.html, "Page with the curves")->type_name(kOutputFile);
  app.add_option("--title", options.title, "Of the page");
  if (std::optional<int> status = parseCommandLine(app, argc, argv, "hadal-compare-runs"))
    return *status;
  Status compared = compare(options);
  if (!compared.ok())
    std::fprintf(stderr, "hadal-compare-runs: %s\n", compared.error().message.c_str());
  return finish("hadal-compare-runs", compared.ok() ? 0 : 1);
}
