//===- GraphJob.cpp - the options of a graph that is read from a file -----===//

#include "tools/compile/GraphJob.h"
#include "dialects/job/Job.h"
#include "mlir/IR/BuiltinAttributes.h"

#include <charconv>
#include <cstdlib>
#include <utility>
#include <vector>

using namespace mlir;

namespace {

/// Options of ranks, and what the graph says of each.
std::vector<std::pair<const char *, std::string>> textsOf(const hadal::job::RankOptions &o) {
  return {{"--pp", std::to_string(o.pp)},
          {"--ep", std::to_string(o.ep)},
          {"--dp", std::to_string(o.dp)},
          {"--nodes", std::to_string(o.nodes)},
          {"--schedule", o.schedule},
          {"--overlap", o.overlap ? "on" : "off"},
          {"--reduction", o.fastReduction ? "fast" : "ordered"},
          {"--dispatch", o.dispatch},
          {"--combine", o.combine},
          {"--exchange-capacity", std::to_string(o.capacity)}};
}

std::string textOf(const llvm::APFloat &number) {
  char text[32];
  auto end = std::to_chars(std::begin(text), std::end(text), number.convertToFloat());
  return {text, end.ptr};
}

/// The same for a job that trains.
std::vector<std::pair<const char *, std::string>> textsOf(hadal::job::TrainingAttr t) {
  return {{"--seq", std::to_string(t.getSequence())},
          {"--micro-batch", std::to_string(t.getMicroBatch())},
          {"--micro-batches", std::to_string(t.getMicroBatches())},
          {"--sum-groups", std::to_string(t.getSumGroups())},
          {"--mtp-weight", textOf(t.getMtpWeight())},
          {"--balance-weight", textOf(t.getBalanceWeight())},
          {"--bias-step", textOf(t.getBiasStep())},
          {"--precision", t.getPrecision().str()}};
}

} // namespace

/// Texts that say the same: "0.30" is 0.3.
static bool isSame(const std::string &said, const std::string &built) {
  char *end = nullptr;
  float number = std::strtof(built.c_str(), &end);
  return said == built || (!*end && std::strtof(said.c_str(), nullptr) == number);
}

std::string hadal::disagreement(const CLI::App &app, ModuleOp graph) {
  job::TrainingAttr training = job::trainingOf(graph);
  if (!training)
    for (const char *name : {"--seq", "--micro-batch", "--micro-batches", "--sum-groups",
                             "--mtp-weight", "--balance-weight", "--bias-step", "--precision",
                             "--fp8", "--moments", "--recompute", "--average"})
      if (app.get_option(name)->count())
        return std::string(name) + ": is for a graph that trains";
  if (training && app.get_option("--cache")->count())
    return "--cache: is for a graph that generates";
  if (training && training.getPrecision() != "fp8" && app.get_option("--fp8")->count())
    return "--fp8: is for a graph in fp8, this one was built with " + training.getPrecision().str();
  job::RanksAttr ranks = job::ranksOf(graph);
  auto known = textsOf(ranks ? ranks.getOptions() : job::RankOptions());
  if (training)
    llvm::append_range(known, textsOf(training));
  for (const auto &[name, built] : known) {
    const CLI::Option *option = app.get_option(name);
    if (option->count() && !isSame(option->as<std::string>(), built))
      return std::string(name) + "=" + option->as<std::string>() + ": this graph was built with " +
             built + "; compile its folder again for another";
  }
  return "";
}
