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

/// An option, and where the graph has what it says.
struct JobOption {
  const char *option;
  StringRef key;
};

constexpr JobOption kOfTraining[] = {
    {"--seq", "sequence"},
    {"--micro-batch", "micro_batch"},
    {"--micro-batches", "micro_batches"},
    {"--sum-groups", "sum_groups"},
    {"--mtp-weight", "mtp_weight"},
    {"--balance-weight", "balance_weight"},
    {"--bias-step", "bias_step"},
    {"--precision", "precision"},
};
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

std::string textOf(Attribute value) {
  if (auto number = dyn_cast_if_present<IntegerAttr>(value))
    return std::to_string(number.getInt());
  if (auto real = dyn_cast_if_present<FloatAttr>(value)) {
    char text[32];
    auto end = std::to_chars(std::begin(text), std::end(text), real.getValue().convertToFloat());
    return {text, end.ptr};
  }
  auto word = dyn_cast_if_present<StringAttr>(value);
  return word ? word.str() : "";
}

bool isSame(Attribute value, const std::string &text, const std::string &said) {
  if (auto real = dyn_cast_if_present<FloatAttr>(value))
    return real.getValue().convertToFloat() == std::strtof(said.c_str(), nullptr);
  return text == said;
}

} // namespace

/// What the command line says of `option`, if it is not what the graph was built with.
static std::string contradiction(const CLI::App &app, const char *option, const std::string &built,
                                 function_ref<bool(const std::string &)> isSame) {
  const CLI::Option *said = app.get_option(option);
  if (!said->count() || isSame(said->as<std::string>()))
    return "";
  return std::string(option) + "=" + said->as<std::string>() + ": this graph was built with " +
         built + "; compile its folder again for another";
}

std::string hadal::disagreement(const CLI::App &app, ModuleOp graph) {
  auto training = graph->getAttrOfType<DictionaryAttr>("hadal.training");
  if (!training)
    for (const char *name : {"--seq", "--micro-batch", "--micro-batches", "--sum-groups",
                             "--mtp-weight", "--balance-weight", "--bias-step", "--precision",
                             "--moments", "--recompute", "--average"})
      if (app.get_option(name)->count())
        return std::string(name) + ": is for a graph that trains";
  for (const JobOption &known : kOfTraining) {
    Attribute value = training ? training.get(known.key) : Attribute();
    if (!value) // compile() says what is missing
      continue;
    std::string text = textOf(value);
    auto same = [&](const std::string &said) { return isSame(value, text, said); };
    if (std::string problem = contradiction(app, known.option, text, same); !problem.empty())
      return problem;
  }
  job::RanksAttr ranks = job::ranksOf(graph);
  for (const auto &[option, built] : textsOf(ranks ? ranks.getOptions() : job::RankOptions())) {
    auto same = [&](const std::string &said) { return said == built; };
    if (std::string problem = contradiction(app, option, built, same); !problem.empty())
      return problem;
  }
  return "";
}
