//===- Help.cpp - what --help prints ------------------------------------===//

#include "tools/Help.h"

#include "tools/CommandLine.h"

#include <algorithm>
#include <sstream>
#include <utility>

using namespace hadal;

namespace {

constexpr size_t columns = 80, textColumn = 26;

/// Appends words to `out`, which stands at column `at`, and breaks lines before `columns`; lines go
/// on at `indent`. Line breaks of `text` stay, and lines that begin with two spaces (commands) are
/// left as they are.
void wrap(std::string &out, size_t at, std::string_view text, size_t indent) {
  std::istringstream lines{std::string(text)};
  bool isFirst = true;
  for (std::string line; std::getline(lines, line); isFirst = false) {
    if (!isFirst) {
      out += '\n';
      at = 0;
    }
    if (line.starts_with("  ")) {
      out += line;
      continue;
    }
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (at > indent && at + 1 + word.size() >= columns) {
        out += '\n';
        at = 0;
      }
      if (at < indent) {
        out.append(indent - at, ' ');
        at = indent;
      } else if (at > indent) {
        out += ' ';
        ++at;
      }
      out += word;
      at += word.size();
    }
  }
  out += '\n';
}

/// A line with `left` in its first column and `text` in the second; a long `left` has a line of its
/// own.
void entry(std::string &out, const std::string &left, std::string_view text) {
  out += "  " + left;
  size_t at = 2 + left.size();
  if (at + 2 > textColumn) {
    out += '\n';
    at = 0;
  }
  wrap(out, at, text, textColumn);
}

/// The words in "{a,b,c}", as oneOf() describes them, as "a|b|c"; empty for other descriptions.
std::string choices(const std::string &description) {
  size_t open = description.find('{'), close = description.find('}');
  if (open == std::string::npos || close == std::string::npos)
    return "";
  std::string words = description.substr(open + 1, close - open - 1);
  std::replace(words.begin(), words.end(), ',', '|');
  return words;
}

std::string nameOf(const CLI::Option &option) {
  return option.get_positional() ? option.get_name(true) : option.get_name(false, true);
}

std::string describe(const CLI::Option &option) {
  std::string text = option.get_description();
  if (std::string value = option.get_default_str(); !value.empty() && option.get_type_size() != 0) {
    value.erase(std::remove(value.begin(), value.end(), '"'), value.end());
    text += " (default " + value + ")";
  }
  return text;
}

void options(std::string &out, const std::string &title,
             const std::vector<const CLI::Option *> &list) {
  if (list.empty())
    return;
  out += '\n';
  wrap(out, 0, title + ":", 0);
  for (const CLI::Option *option : list) {
    std::string name = nameOf(*option), value = option->get_positional() ? "" : valueWord(*option);
    if (option->get_expected_max() >= CLI::detail::expected_max_vector_size)
      value += value.empty() ? "" : " ...";
    std::string text = describe(*option);
    if (2 + name.size() + 1 + value.size() > columns) { // too many choices for the first column
      text += ": ";
      for (char c : std::exchange(value, "NAME"))
        text += c == '|' ? std::string(", ") : std::string(1, c);
    }
    entry(out, value.empty() ? name : name + " " + value, text);
  }
}

/// Options that stand in groups of which one is wanted; CLI11 keeps each in an App without a name.
void optionGroups(std::string &out, const CLI::App &app) {
  for (const CLI::App *group :
       app.get_subcommands([](const CLI::App *sub) { return sub->get_name().empty(); })) {
    std::string title = group->get_group();
    if (group->get_require_option_min() == 1 && group->get_require_option_max() == 1)
      title += " (one of these)";
    if (!group->get_description().empty())
      title += ", " + group->get_description();
    options(out, title, group->get_options([&](const CLI::Option *option) {
      return !option->get_group().empty() && option != group->get_help_ptr();
    }));
  }
}

std::string usage(const CLI::App &app, const std::string &name) {
  std::string out = "Usage: " + name;
  bool hasCommands =
      !app.get_subcommands([](const CLI::App *sub) { return !sub->get_name().empty(); }).empty();
  if (hasCommands)
    out += " COMMAND";
  for (const CLI::Option *option :
       app.get_options([](const CLI::Option *option) { return option->get_positional(); }))
    out += option->get_required() ? " " + nameOf(*option) : " [" + nameOf(*option) + "]";
  return out + " [options]\n";
}

} // namespace

std::string hadal::valueWord(const CLI::Option &option) {
  if (option.get_type_size() == 0)
    return "";
  if (!option.get_option_text().empty())
    return option.get_option_text();
  // The type, then what each validator wants: "TEXT:{a,b,c}", "INT:INT in 1 to 5".
  std::string type = option.get_type_name(), check;
  if (size_t colon = type.find(':'); colon != std::string::npos) {
    check = type.substr(colon + 1);
    type.resize(colon);
  }
  if (std::string words = choices(check); !words.empty())
    return words;
  if (type == kOutputFile)
    return kInputFile;
  if (type == "INT" || type == "UINT")
    return "N";
  return type == "FLOAT" ? "X" : type;
}

std::string HelpFormatter::make_help(const CLI::App *app, std::string name,
                                     CLI::AppFormatMode) const {
  std::string out = usage(*app, name);
  if (std::string text = app->get_description(); !text.empty()) {
    out += '\n';
    wrap(out, 0, text, 0);
  }
  if (std::string examples = app->get_footer(); !examples.empty()) {
    out += "\nExamples:\n";
    wrap(out, 0, examples, 2);
  }
  auto commands =
      app->get_subcommands([](const CLI::App *sub) { return !sub->get_name().empty(); });
  if (!commands.empty()) {
    out += "\nCommands (" + name + " COMMAND --help tells more):\n";
    for (const CLI::App *command : commands)
      entry(out, command->get_name(), command->get_description());
  }
  options(out, "Arguments",
          app->get_options([](const CLI::Option *option) { return option->get_positional(); }));
  optionGroups(out, *app);
  for (const std::string &group : app->get_groups())
    if (!group.empty())
      options(out, group, app->get_options([&](const CLI::Option *option) {
        return option->nonpositional() && option->get_group() == group;
      }));
  return out;
}

//===----------------------------------------------------------------------===//
// Completion
//===----------------------------------------------------------------------===//

/// What a line of a shell has room for: the text up to its first stop.
static std::string firstPart(const std::string &text) {
  return text.substr(0, std::min({text.find("; "), text.find(". "), text.find(": ")}));
}

static CompletedOption completedOption(const CLI::Option &option) {
  CompletedOption result;
  for (const std::string &name : option.get_lnames())
    result.names.push_back("--" + name);
  for (const std::string &name : option.get_snames())
    result.names.push_back("-" + name);
  result.description = firstPart(option.get_description());
  std::string word = valueWord(option);
  result.value = word.empty()                  ? CompletedValue::None
                 : word == kFolder             ? CompletedValue::Folder
                 : namesPath(option)           ? CompletedValue::File
                 : word.find('|') != word.npos ? CompletedValue::Words
                                               : CompletedValue::Text;
  std::istringstream words(result.value == CompletedValue::Words ? word : "");
  for (std::string one; std::getline(words, one, '|');)
    result.words.push_back(one);
  return result;
}

static std::vector<CompletedOption> completedOptions(const CLI::App &command) {
  std::vector<CompletedOption> options;
  for (const CLI::Option *option : optionsOf(command))
    if (option->nonpositional() && !option->get_group().empty())
      options.push_back(completedOption(*option));
  return options;
}

CompletedTool hadal::completedTool(const CLI::App &app, const std::string &program) {
  CompletedTool tool;
  tool.name = program;
  tool.options = completedOptions(app);
  for (const CLI::App *command :
       app.get_subcommands([](const CLI::App *sub) { return !sub->get_name().empty(); }))
    tool.commands.push_back(
        {command->get_name(), firstPart(command->get_description()), completedOptions(*command)});
  return tool;
}
