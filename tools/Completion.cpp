//===- Completion.cpp - files from which shells complete command lines --===//

#include "tools/Completion.h"

#include "runtime/File.h"

#include <algorithm>
#include <cstdio>

using namespace hadal;

//===----------------------------------------------------------------------===//
// What shells have in common
//===----------------------------------------------------------------------===//

static std::string joined(const std::vector<std::string> &words, const char *between) {
  std::string text;
  for (const std::string &word : words)
    text += (text.empty() ? "" : between) + word;
  return text;
}

/// `text` with a backslash before each of `special`.
static std::string escaped(const std::string &text, std::string_view special) {
  std::string result;
  for (char c : text) {
    if (special.find(c) != special.npos)
      result += '\\';
    result += c;
  }
  return result;
}

/// In single quotes of bash and zsh.
static std::string quoted(const std::string &text) {
  std::string result = "'";
  for (char c : text)
    result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

static std::string head(const CompletedTool &tool, const char *shell) {
  return "# Completion of " + tool.name + " for " + shell + ", written by `" + tool.name + " " +
         kCompletion + " " + shell + "`.\n";
}

static std::vector<std::string> namesOf(const std::vector<CompletedOption> &options) {
  std::vector<std::string> names;
  for (const CompletedOption &option : options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

static std::vector<std::string> namesOf(const std::vector<CompletedCommand> &commands) {
  std::vector<std::string> names;
  for (const CompletedCommand &command : commands)
    names.push_back(command.name);
  return names;
}

//===----------------------------------------------------------------------===//
// bash
//===----------------------------------------------------------------------===//

/// The options of `command`, and what follows each.
static std::string bashOptions(const CompletedCommand &command, const std::string &indent) {
  std::string text = indent + "options=" + quoted(joined(namesOf(command.options), " ")) + "\n",
              cases;
  for (const CompletedOption &option : command.options) {
    std::string line = indent + "  " + joined(option.names, "|") + ") ";
    switch (option.value) {
    case CompletedValue::None: continue;
    case CompletedValue::Text: line += "return"; break;
    case CompletedValue::Words: line += "words=" + quoted(joined(option.words, " ")); break;
    case CompletedValue::File: line += "files=-f"; break;
    case CompletedValue::Folder: line += "files=-d"; break;
    }
    cases += line + " ;;\n";
  }
  return cases.empty() ? text : text + indent + "case $before in\n" + cases + indent + "esac\n";
}

static std::string bash(const CompletedTool &tool) {
  std::string function = "_" + tool.name;
  std::replace(function.begin(), function.end(), '-', '_');
  std::string text = head(tool, "bash") + function + R"(() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  local options= words= files= command= i
  # "--name=value" comes as three words.
  if [[ $word == = ]]; then
    word=
  elif [[ $before == = ]]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
)";
  if (tool.commands.empty()) {
    text += bashOptions(tool, "  ");
  } else {
    text += "  for ((i = 1; i < COMP_CWORD; ++i)); do\n    case ${COMP_WORDS[i]} in\n      " +
            joined(namesOf(tool.commands), "|") +
            ") command=${COMP_WORDS[i]} && break ;;\n    esac\n  done\n  case $command in\n";
    for (const CompletedCommand &command : tool.commands)
      text += "    " + command.name + ")\n" + bashOptions(command, "      ") + "      ;;\n";
    text += "    *)\n" + bashOptions(tool, "      ") +
            "      words=" + quoted(joined(namesOf(tool.commands), " ")) + "\n      ;;\n  esac\n";
  }
  text += R"(  if [[ -z $files && $word == -* ]]; then
    words=$options
  elif [[ -z $words ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen ${files:--f} -- "$word")
    return
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F )";
  return text + function + " " + tool.name + "\n";
}

//===----------------------------------------------------------------------===//
// zsh
//===----------------------------------------------------------------------===//

/// A line for _arguments: '(-o --output)'{-o+,--output=}'[description]:value:action'.
static std::string zshOption(const CompletedOption &option) {
  bool hasValue = option.value != CompletedValue::None;
  std::vector<std::string> spellings;
  for (const std::string &name : option.names)
    spellings.push_back(name + (!hasValue ? "" : name.starts_with("--") ? "=" : "+"));
  std::string action = option.value == CompletedValue::Words ? "(" + joined(option.words, " ") + ")"
                       : option.value == CompletedValue::File   ? "_files"
                       : option.value == CompletedValue::Folder ? "_files -/"
                                                                : " ";
  std::string rest =
      "[" + escaped(option.description, "[]:\\") + "]" + (hasValue ? ":value:" + action : "");
  return spellings.size() == 1 ? quoted("*" + spellings[0] + rest)
                               : "'*'{" + joined(spellings, ",") + "}" + quoted(rest);
}

static std::string zshArguments(const CompletedCommand &command, const std::string &indent) {
  std::string text = indent + "_arguments -S \\\n";
  for (const CompletedOption &option : command.options)
    text += indent + "  " + zshOption(option) + " \\\n";
  return text + indent + "  '*:file:_files'\n";
}

static std::string zsh(const CompletedTool &tool) {
  std::string text = "#compdef " + tool.name + "\n" + head(tool, "zsh");
  if (tool.commands.empty())
    return text + zshArguments(tool, "");
  text += "local curcontext=$curcontext state line\nlocal -a commands\ncommands=(\n";
  for (const CompletedCommand &command : tool.commands)
    text += "  " + quoted(command.name + ":" + escaped(command.description, ":\\")) + "\n";
  text += ")\n_arguments -C \\\n";
  for (const CompletedOption &option : tool.options)
    text += "  " + zshOption(option) + " \\\n";
  text += "  '1: :->command' \\\n  '*:: :->arguments'\ncase $state in\n"
          "  command) _describe command commands ;;\n  arguments)\n    case $line[1] in\n";
  for (const CompletedCommand &command : tool.commands)
    text += "      " + command.name + ")\n" + zshArguments(command, "        ") + "        ;;\n";
  return text + "    esac\n    ;;\nesac\n";
}

//===----------------------------------------------------------------------===//
// fish
//===----------------------------------------------------------------------===//

static std::string fishQuoted(const std::string &text) { return "'" + escaped(text, "'\\") + "'"; }

/// `condition`: where the option stands; empty: anywhere.
static std::string fishOption(const std::string &tool, const std::string &condition,
                              const CompletedOption &option) {
  std::string text = "complete -c " + tool + condition;
  for (const std::string &name : option.names)
    text += name.starts_with("--") ? " -l " + name.substr(2)
            : name.size() == 2     ? " -s " + name.substr(1)
                                   : " -o " + name.substr(1);
  switch (option.value) {
  case CompletedValue::None: break;
  case CompletedValue::Text: text += " -x"; break;
  case CompletedValue::Words: text += " -x -a " + fishQuoted(joined(option.words, " ")); break;
  case CompletedValue::File: text += " -r -F"; break;
  case CompletedValue::Folder: text += " -x -a '(__fish_complete_directories)'"; break;
  }
  return text + " -d " + fishQuoted(option.description) + "\n";
}

static std::string fish(const CompletedTool &tool) {
  std::string text = head(tool, "fish");
  std::string alone = tool.commands.empty() ? "" : " -n __fish_use_subcommand";
  for (const CompletedCommand &command : tool.commands)
    text += "complete -c " + tool.name + alone + " -f -a " + command.name + " -d " +
            fishQuoted(command.description) + "\n";
  for (const CompletedOption &option : tool.options)
    text += fishOption(tool.name, alone, option);
  for (const CompletedCommand &command : tool.commands)
    for (const CompletedOption &option : command.options)
      text +=
          fishOption(tool.name, " -n '__fish_seen_subcommand_from " + command.name + "'", option);
  return text;
}

//===----------------------------------------------------------------------===//
// All of them
//===----------------------------------------------------------------------===//

Result<std::string> hadal::completionFor(const std::string &shell, const CompletedTool &tool) {
  if (shell == "bash")
    return bash(tool);
  if (shell == "zsh")
    return zsh(tool);
  if (shell == "fish")
    return fish(tool);
  return invalidArgument(std::string(kCompletion) + ": wants bash, zsh or fish, got " +
                         (shell.empty() ? "nothing" : shell));
}

int hadal::writeCompletion(const std::vector<std::string> &arguments, const CompletedTool &tool) {
  Status status = [&]() -> Status {
    std::string text = HADAL_TRY(completionFor(arguments.empty() ? "" : arguments[0], tool));
    return writeFile(arguments.size() > 1 ? arguments[1] : "-", std::as_bytes(std::span(text)));
  }();
  if (status.ok())
    return 0;
  std::fprintf(stderr, "%s: %s\n", tool.name.c_str(), status.error().message.c_str());
  return 1;
}
