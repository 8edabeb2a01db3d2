//===- InputRules.cpp - what a program's arguments must hold --------------===//

#include "runtime/InputRules.h"
#include "runtime/Tensor.h"
#include "runtime/module/Expr.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <vector>

namespace hadal {

namespace {

std::span<const int64_t> codeOf(const fb::Expr *expr) {
  return {expr->code()->data(), expr->code()->size()};
}

/// The integers of an argument.
class Integers {
public:
  Integers(const std::byte *data, ElementType element, uint64_t bytes)
      : data(data), width(byteSize(element)), count(int64_t(bytes / width)) {}

  int64_t size() const { return count; }
  int64_t operator[](int64_t i) const {
    switch (width) {
    case 1: return at<int8_t>(i);
    case 2: return at<int16_t>(i);
    case 4: return at<int32_t>(i);
    default: return at<int64_t>(i);
    }
  }

private:
  template <typename T> int64_t at(int64_t i) const {
    T value;
    std::memcpy(&value, data + i * int64_t(sizeof(T)), sizeof(T));
    return value;
  }

  const std::byte *data;
  size_t width;
  int64_t count;
};

std::string number(int64_t n) { return std::to_string(n); }

/// "[0, 8)"; an end that nothing can pass is left out.
std::string interval(int64_t least, int64_t below) {
  if (least == INT64_MIN)
    return "below " + number(below);
  if (below == INT64_MAX)
    return "from " + number(least) + " on";
  return "in [" + number(least) + ", " + number(below) + ")";
}

/// What is wrong, after "wants "; empty if nothing is.
std::string outside(const Integers &values, int64_t least, int64_t below) {
  for (int64_t i = 0; i < values.size(); ++i)
    if (int64_t v = values[i]; v < least || v >= below)
      return "values " + interval(least, below) + ", element " + number(i) + " is " + number(v);
  return {};
}

std::string repeated(const Integers &values) {
  // They mostly ascend: a sequence takes the next slots in order.
  int64_t last = -1;
  bool ascend = true;
  for (int64_t i = 0; i < values.size() && ascend; ++i)
    if (int64_t v = values[i]; v >= 0)
      ascend = v > last, last = v;
  if (ascend)
    return {};
  std::vector<std::pair<int64_t, int64_t>> places;
  for (int64_t i = 0; i < values.size(); ++i)
    if (values[i] >= 0)
      places.emplace_back(values[i], i);
  std::sort(places.begin(), places.end());
  for (size_t i = 1; i < places.size(); ++i)
    if (places[i].first == places[i - 1].first)
      return "values that are all different, elements " + number(places[i - 1].second) + " and " +
             number(places[i].second) + " are both " + number(places[i].first);
  return {};
}

std::string unlikeOffsets(const Integers &values, int64_t end) {
  std::string wanted = "offsets that ascend from 0 to " + number(end);
  if (values.size() == 0)
    return wanted + ", has none";
  for (int64_t i = 0; i < values.size(); ++i) {
    int64_t v = values[i], before = i ? values[i - 1] : 0;
    if (v < before || (i == 0 && v != 0))
      return wanted + ", element " + number(i) + " is " + number(v) +
             (i ? " after " + number(before) : "");
  }
  if (int64_t last = values[values.size() - 1]; last != end)
    return wanted + ", the last is " + number(last);
  return {};
}

/// `offsets` ascend: a rule of theirs was held to before, or they are too short to be read.
std::string unlikeGroups(const Integers &values, const Integers &offsets, std::string_view name) {
  int64_t group = 0, groups = offsets.size() - 1;
  for (int64_t i = 0; i < values.size(); ++i) {
    while (group < groups && offsets[group + 1] <= offsets[group])
      ++group;
    int64_t wanted = group < groups ? group++ : -1;
    if (values[i] != wanted)
      return "the groups of '" + std::string(name) +
             "' that have rows, ascending, and then -1: element " + number(i) + " is " +
             number(values[i]) + ", not " + number(wanted);
  }
  return {};
}

std::string unlikeCounts(const Integers &values, int64_t rows) {
  int64_t sum = 0;
  for (int64_t i = 0; i < values.size(); ++i) {
    int64_t v = values[i];
    if (v < 0)
      return "counts of 0 or more, element " + number(i) + " is " + number(v);
    if (i % 2 == 0 && __builtin_add_overflow(sum, v, &sum))
      return "counts whose rows are " + number(rows) + " in all, they overflow";
  }
  return sum == rows ? std::string()
                     : "counts whose rows are " + number(rows) + " in all, got " + number(sum);
}

std::string unlikePresent(const Integers &values, int64_t wanted) {
  int64_t present = 0;
  for (int64_t i = 0; i < values.size(); ++i)
    present += values[i] >= 0;
  return present == wanted ? std::string()
                           : number(wanted) + " values of 0 or more, has " + number(present);
}

/// "dimension 0 of 'arg1'" for a register that is named after it.
std::string readable(const fb::Program &program, const flatbuffers::String *name) {
  std::string_view text = name->string_view();
  size_t dot = text.rfind('.');
  int dimension = 0;
  if (dot != text.npos) {
    auto [end, failed] =
        std::from_chars(text.data() + dot + 1, text.data() + text.size(), dimension);
    bool numbered = failed == std::errc() && end == text.data() + text.size();
    for (const fb::Argument *argument : *program.arguments())
      if (numbered && argument->name()->string_view() == text.substr(0, dot))
        return "dimension " + number(dimension) + " of '" + argument->name()->str() + "'";
  }
  return std::string(text);
}

} // namespace

Status checkSizes(const fb::Program &program, std::span<const int64_t> registers) {
  if (!program.size_rules())
    return {};
  for (const fb::SizeRule *rule : *program.size_rules()) {
    int64_t size = HADAL_TRY(evaluate(codeOf(rule->size()), registers)),
            wanted = HADAL_TRY(evaluate(codeOf(rule->wanted()), registers));
    if (rule->at_least() ? size >= wanted : size == wanted)
      continue;
    std::vector<std::string> names;
    for (const auto *name : *program.registers())
      names.push_back(readable(program, name));
    std::vector<std::string_view> views(names.begin(), names.end());
    std::string meaning = toString(codeOf(rule->wanted()), views), value = number(wanted);
    return invalidArgument(program.name()->str() + ": " + toString(codeOf(rule->size()), views) +
                           " is " + number(size) + ", wants " +
                           (rule->at_least() ? "at least " : "") +
                           (meaning == value ? value : meaning + ", " + value));
  }
  return {};
}

Status checkContents(const fb::Program &program, std::span<const int64_t> registers,
                     std::span<const std::byte *const> arguments, std::span<const uint64_t> bytes) {
  if (!program.content_rules())
    return {};
  auto integers = [&](uint32_t i) {
    return Integers(arguments[i], static_cast<ElementType>(program.arguments()->Get(i)->element()),
                    arguments[i] ? bytes[i] : 0);
  };
  for (const fb::ContentRule *rule : *program.content_rules()) {
    const fb::Argument *argument = program.arguments()->Get(rule->argument());
    if (bytes[rule->argument()] && !arguments[rule->argument()])
      continue;
    Integers values = integers(rule->argument());
    int64_t least = HADAL_TRY(evaluate(codeOf(rule->least()), registers)),
            below = HADAL_TRY(evaluate(codeOf(rule->below()), registers));
    std::string problem;
    switch (rule->kind()) {
    case fb::ContentKind_Values: problem = outside(values, least, below); break;
    case fb::ContentKind_Distinct:
      problem = outside(values, least, below);
      if (problem.empty())
        problem = repeated(values);
      break;
    case fb::ContentKind_Offsets: problem = unlikeOffsets(values, below); break;
    case fb::ContentKind_Groups:
      problem = unlikeGroups(values, integers(rule->offsets()),
                             program.arguments()->Get(rule->offsets())->name()->string_view());
      break;
    case fb::ContentKind_Counts: problem = unlikeCounts(values, below); break;
    case fb::ContentKind_Present: problem = unlikePresent(values, below); break;
    }
    if (!problem.empty())
      return invalidArgument(program.name()->str() + ": argument '" + argument->name()->str() +
                             "' wants " + problem);
  }
  return {};
}

} // namespace hadal
