//===- GraphJob.cpp - the options of a graph that is read from a file -----===//

#include "tools/compile/GraphJob.h"
#include "mlir/IR/BuiltinAttributes.h"

#include <charconv>
#include <cstdlib>

using namespace mlir;

namespace {

/// An option, where the graph has what it says, and what a graph without that is.
struct JobOption {
  const char *option;
  StringRef key;
  StringRef otherwise;
};

constexpr JobOption kOfTraining[] = {
    {"--seq", "sequence", ""},
    {"--micro-batch", "micro_batch", ""},
    {"--micro-batches", "micro_batches", ""},
    {"--sum-groups", "sum_groups", ""},
    {"--mtp-weight", "mtp_weight", ""},
    {"--balance-weight", "balance_weight", ""},
    {"--bias-step", "bias_step", ""},
    {"--precision", "precision", ""},
};
constexpr JobOption kOfRanks[] = {
    {"--pp", "pp", "1"},
    {"--ep", "ep", "1"},
    {"--dp", "dp", "1"},
    {"--nodes", "nodes", "1"},
    {"--schedule", "schedule", "1f1b"},
    {"--overlap", "overlap", "on"},
    {"--reduction", "fast_reduction", "ordered"},
    {"--dispatch", "dispatch", "fp32"},
    {"--combine", "combine", "fp32"},
    {"--exchange-capacity", "capacity", "0"},
};

std::string textOf(StringRef key, Attribute value, StringRef otherwise) {
  if (auto truth = dyn_cast_if_present<BoolAttr>(value)) {
    if (key == "overlap")
      return truth.getValue() ? "on" : "off";
    return truth.getValue() ? "fast" : "ordered";
  }
  if (auto number = dyn_cast_if_present<IntegerAttr>(value))
    return std::to_string(number.getInt());
  if (auto real = dyn_cast_if_present<FloatAttr>(value)) {
    char text[32];
    auto end = std::to_chars(std::begin(text), std::end(text), real.getValue().convertToFloat());
    return {text, end.ptr};
  }
  if (auto word = dyn_cast_if_present<StringAttr>(value))
    return word.str();
  return otherwise.str();
}

bool isSame(Attribute value, const std::string &text, const std::string &said) {
  if (auto real = dyn_cast_if_present<FloatAttr>(value))
    return real.getValue().convertToFloat() == std::strtof(said.c_str(), nullptr);
  return text == said;
}

} // namespace

std::string hadal::disagreement(const CLI::App &app, ModuleOp graph) {
  auto training = graph->getAttrOfType<DictionaryAttr>("hadal.training");
  auto ranks = graph->getAttrOfType<DictionaryAttr>("hadal.ranks");
  if (!ranks)
    ranks = graph->getAttrOfType<DictionaryAttr>("hadal.inference");
  auto check = [&](const JobOption &known, DictionaryAttr facts) -> std::string {
    const CLI::Option *option = app.get_option(known.option);
    if (!option->count())
      return "";
    Attribute value = facts ? facts.get(known.key) : Attribute();
    std::string text = textOf(known.key, value, known.otherwise), said = option->as<std::string>();
    if (text.empty() || isSame(value, text, said)) // compile() says what is missing
      return "";
    return std::string(known.option) + "=" + said + ": this graph was built with " + text +
           "; compile its folder again for another";
  };
  if (!training)
    for (const char *name : {"--seq", "--micro-batch", "--micro-batches", "--sum-groups",
                             "--mtp-weight", "--balance-weight", "--bias-step", "--precision",
                             "--moments", "--recompute", "--average"})
      if (app.get_option(name)->count())
        return std::string(name) + ": is for a graph that trains";
  for (const JobOption &known : kOfTraining)
    if (std::string problem = check(known, training); !problem.empty())
      return problem;
  for (const JobOption &known : kOfRanks)
    if (std::string problem = check(known, ranks); !problem.empty())
      return problem;
  return "";
}
