//===- CommandLine.cpp - what the tools' command lines have in common ---===//

#include "tools/CommandLine.h"

#include "runtime/File.h"
#include "tools/Help.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <span>
#include <unistd.h>

using namespace hadal;

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

/// Letters to insert, take out, change, or swap with their neighbour.
static size_t editDistance(const std::string &a, const std::string &b) {
  std::vector<size_t> before, last(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before = last;
    last = now;
  }
  return last[b.size()];
}

static std::string lowered(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string hadal::nearestWord(const std::string &word, const std::vector<std::string> &words) {
  std::string nearest, wanted = lowered(word);
  size_t least = SIZE_MAX;
  for (const std::string &candidate : words) {
    std::string known = lowered(candidate);
    size_t distance = editDistance(wanted, known), length = std::max(wanted.size(), known.size());
    bool isBeginning = wanted.size() >= 2 && known.starts_with(wanted);
    if ((distance <= (length + 1) / 3 || isBeginning) && distance < least)
      least = distance, nearest = candidate;
  }
  return nearest;
}

/// "a, b or c".
static std::string listed(const std::vector<std::string> &words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i)
    text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  return text;
}

static std::string didYouMean(const std::string &word, const std::vector<std::string> &words) {
  std::string nearest = nearestWord(word, words);
  return nearest.empty() ? "" : " (did you mean " + nearest + "?)";
}

//===----------------------------------------------------------------------===//
// Validators
//===----------------------------------------------------------------------===//

CLI::Validator hadal::numberWithin(double low, double high) {
  auto show = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.7g", value);
    return std::string(text);
  };
  std::string range = show(low) + " to " + show(high);
  return CLI::Validator(
      [=](std::string &text) {
        char *end = nullptr;
        double value = std::strtod(text.c_str(), &end);
        bool isNumber = end != text.c_str() && *end == 0;
        return isNumber && value >= low && value <= high
                   ? std::string()
                   : "wants a number from " + range + ", got " + text;
      },
      "NUMBER in " + range);
}

/// `Number`: int64_t or uint64_t.
template <typename Number> static CLI::Validator wholeNumber(Number low, Number high) {
  std::string range = std::to_string(low) + " to " + std::to_string(high);
  return CLI::Validator(
      [=](std::string &text) {
        Number value = 0;
        auto read = std::from_chars(text.data(), text.data() + text.size(), value);
        bool isPlain = read.ec == std::errc() && text == std::to_string(value);
        return isPlain && value >= low && value <= high
                   ? std::string()
                   : "wants a whole number from " + range + ", got " +
                         (text.empty() ? "nothing" : text);
      },
      range);
}

CLI::Validator hadal::wholeNumberWithin(int64_t low, int64_t high) {
  return wholeNumber<int64_t>(low, high);
}

CLI::Validator hadal::seedNumber() { return wholeNumber<uint64_t>(0, UINT64_MAX); }

CLI::Validator hadal::oneOf(std::vector<std::string> words) {
  std::string set = "{"; // as CLI11 and HelpFormatter spell choices
  for (const std::string &word : words)
    set += (set.size() > 1 ? "," : "") + word;
  return CLI::Validator(
      [=](std::string &text) {
        if (std::find(words.begin(), words.end(), text) != words.end())
          return std::string();
        return "wants " + listed(words) + ", got " + (text.empty() ? "nothing" : text) +
               didYouMean(text, words);
      },
      set + "}");
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

bool hadal::namesPath(const CLI::Option &option) {
  std::string type = option.get_type_name();
  return type == kInputFile || type == kOutputFile || type == kFolder || type == kData;
}

std::vector<const CLI::Option *> hadal::optionsOf(const CLI::App &command) {
  std::vector<const CLI::Option *> options = command.get_options();
  for (const CLI::App *group :
       command.get_subcommands([](const CLI::App *inner) { return inner->get_name().empty(); }))
    for (const CLI::Option *option : optionsOf(*group))
      options.push_back(option);
  return options;
}

/// Whether a file goes to standard output.
static bool isOutputTaken = false;

/// "--input", "-o", "MODULE".
static std::string spelled(const CLI::Option &option) {
  return option.get_name(/*positional=*/option.get_positional());
}

static bool isStandard(const std::string &path, const char *device, const char *descriptor) {
  return path == "-" || path == device || path == descriptor;
}

Status hadal::claimStandardFiles(const CLI::App &command, std::vector<std::string> printing) {
  std::string input, output;
  auto claim = [](std::string &owner, const std::string &option, const char *what) -> Status {
    if (!owner.empty())
      return invalidArgument(owner + (owner == option ? "" : " and " + option) + ": standard " +
                             what + " can be only one file");
    owner = option;
    return {};
  };
  for (const CLI::Option *option : optionsOf(command)) {
    std::string name = spelled(*option), type = option->get_type_name();
    for (const std::string &path : option->results()) {
      bool isInput = isStandard(path, "/dev/stdin", "/dev/fd/0"),
           isOutput = isStandard(path, "/dev/stdout", "/dev/fd/1");
      if (type == kFolder && path == "-")
        return invalidArgument(name + ": wants a folder, - is standard input");
      if ((type == kInputFile || type == kData) && isInput)
        HADAL_TRY(claim(input, name, "input"));
      if (type == kOutputFile && isOutput)
        HADAL_TRY(claim(output, name, "output"));
    }
  }
  for (const CLI::Option *option : optionsOf(command))
    if (!output.empty() && option->count() &&
        std::find(printing.begin(), printing.end(), spelled(*option)) != printing.end())
      return invalidArgument(output + " and " + spelled(*option) +
                             ": standard output can be only one file");
  isOutputTaken = !output.empty();
  return {};
}

std::FILE *hadal::printed() { return isOutputTaken ? stderr : stdout; }

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

/// The options of a command as they are spelled.
static std::vector<std::string> optionNames(const CLI::App &command) {
  std::vector<std::string> names;
  for (const CLI::Option *option : optionsOf(command)) {
    for (const std::string &name : option->get_lnames())
      names.push_back("--" + name);
    for (const std::string &name : option->get_snames())
      names.push_back("-" + name);
  }
  return names;
}

/// What is wrong with the arguments that nothing takes; empty where there are none.
static std::string complaintAboutExtras(CLI::App &app) {
  std::vector<std::string> extras = app.remaining(/*recurse=*/true), commands;
  auto isOption = [](const std::string &word) { return word.size() > 1 && word[0] == '-'; };
  for (const CLI::App *command :
       app.get_subcommands([](CLI::App *inner) { return !inner->get_name().empty(); }))
    commands.push_back(command->get_name());
  std::vector<CLI::App *> chosen = app.get_subcommands();
  if (auto word = std::find_if_not(extras.begin(), extras.end(), isOption);
      chosen.empty() && !commands.empty() && word != extras.end())
    return *word + ": is no command, wants " + listed(commands) + didYouMean(*word, commands);
  auto option = std::find_if(extras.begin(), extras.end(), isOption);
  if (option == extras.end())
    return extras.empty() ? "" : extras.front() + ": is one argument too many";
  std::string name = option->substr(0, option->find('='));
  std::vector<std::string> options = optionNames(chosen.empty() ? app : *chosen.front());
  return name + ": is no option" + (chosen.empty() ? "" : " of " + chosen.front()->get_name()) +
         didYouMean(name, options);
}

/// The signal ends the process as ever, but leaves no part of a file.
static void endWithoutParts(int signal) {
  AtomicFile::removeUnfinished();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void hadal::startTool(const char *program) {
  // What a closed descriptor is asked for fails, as gnulib's stdopen makes it.
  for (int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(descriptor, F_GETFD) < 0)
      (void)::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  struct sigaction action = {}, before = {};
  action.sa_handler = endWithoutParts;
  action.sa_flags = SA_NODEFER; // it is raised again
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
    if (::sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_DFL)
      ::sigaction(signal, &action, nullptr);
  ::signal(SIGXFSZ, SIG_IGN); // a write past a limit of file sizes fails as on a full disk
  nameShrunkenFiles(program);
}

/// Whether a command has an option "--name" that takes a value.
static bool takesValue(const CLI::App &app, const std::string &name) {
  for (const CLI::Option *option : optionsOf(app))
    if (option->check_lname(name) && option->get_items_expected_max() > 0)
      return true;
  std::vector<const CLI::App *> commands =
      app.get_subcommands([](const CLI::App *inner) { return !inner->get_name().empty(); });
  return std::any_of(commands.begin(), commands.end(),
                     [&](const CLI::App *command) { return takesValue(*command, name); });
}

/// The arguments in reverse. "--name=" gets an empty value of its own: CLI11 would take the next
/// word for it.
static std::vector<std::string> wordsOf(const CLI::App &app, int argc, char **argv) {
  std::vector<std::string> words;
  bool mayBeOptions = true;
  for (std::string word : std::span(argv, size_t(argc)).subspan(1)) {
    mayBeOptions = mayBeOptions && word != "--";
    bool isEmpty = mayBeOptions && word.starts_with("--") && word.find('=') == word.size() - 1 &&
                   takesValue(app, word.substr(2, word.size() - 3));
    if (isEmpty)
      word.pop_back();
    words.push_back(std::move(word));
    if (isEmpty)
      words.emplace_back();
  }
  std::reverse(words.begin(), words.end());
  return words;
}

std::optional<int> hadal::parseCommandLine(CLI::App &app, int argc, char **argv,
                                           const std::string &program, bool silent) {
  if (argc > 1 && argv[1] == std::string_view(kCompletion))
    return writeCompletion({argv + 2, argv + argc}, completedTool(app, program));
  try {
    app.parse(wordsOf(app, argc, argv));
  } catch (const CLI::ParseError &error) {
    if (error.get_exit_code() == 0) {
      if (!silent)
        app.exit(error);
      return finish(program, 0);
    }
    // An option that is spelled wrong may be why another is missing.
    bool isAboutExtras = dynamic_cast<const CLI::ExtrasError *>(&error) ||
                         dynamic_cast<const CLI::RequiredError *>(&error);
    std::string complaint = isAboutExtras ? complaintAboutExtras(app) : "";
    if (!silent)
      std::fprintf(stderr, "%s: %s (see %s --help)\n", program.c_str(),
                   complaint.empty() ? error.what() : complaint.c_str(), app.get_name().c_str());
    return 1;
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Output
//===----------------------------------------------------------------------===//

Status hadal::flushOutput() {
  // A write that failed before has left its mark, but not its reason.
  bool failedBefore = std::ferror(stdout) || !std::cout;
  errno = 0;
  bool failed = std::fflush(stdout) != 0;
  if (!failed && !failedBefore)
    return {};
  std::string reason = failed && errno ? std::strerror(errno) : "could not be written to";
  return ioError("standard output: " + reason);
}

int hadal::finish(const std::string &program, int status) {
  Status flushed = flushOutput();
  if (flushed.ok() || status != 0) // one line is enough
    return status;
  std::fprintf(stderr, "%s: %s\n", program.c_str(), flushed.error().message.c_str());
  return 1;
}
