//===- CommandLine.h - what the tools' command lines have in common -----===//
//
// Options say what they take and refuse the rest by name, a wrong word is answered with the nearest
// right one, "-" is standard input or output wherever a file stands, and output that could not be
// written is noticed. Each is an error of one line on stderr and exit status 1.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_COMMANDLINE_H
#define HADAL_TOOLS_COMMANDLINE_H

#include "runtime/Result.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hadal {

/// The one of `words` that `word` was probably meant to be: a few letters wrong, or its beginning.
/// Empty: none.
std::string nearestWord(const std::string &word, const std::vector<std::string> &words);

/// Real numbers from `low` to `high`; nan, which lies on no side of any bound, is turned away.
CLI::Validator numberWithin(double low, double high);

/// Whole numbers from `low` to `high`, in plain decimal digits: no "1e3", "0x10", "1'000", "7up",
/// and no "010", which CLI11 would take for octal digits.
CLI::Validator wholeNumberWithin(int64_t low, int64_t high);

/// Whole numbers from 0 to 2^64 - 1.
CLI::Validator seedNumber();

/// Some words: "wants cosine, constant or report, got cosin (did you mean cosine?)".
CLI::Validator oneOf(std::vector<std::string> words);

/// An option whose words stand for the values of an enumeration. What was given stays in words, as
/// ranks compare it.
template <typename Value>
CLI::Option *addChoice(CLI::App &app, const std::string &name, Value &value,
                       const std::map<std::string, Value> &values, const std::string &description) {
  std::vector<std::string> words;
  for (const auto &[word, meaning] : values)
    words.push_back(word);
  return app
      .add_option_function<std::string>(
          name, [&value, values](const std::string &word) { value = values.at(word); }, description)
      ->check(oneOf(std::move(words)));
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

/// Types, for Option::type_name, of options whose values are files or folders: what --help shows,
/// completion offers, and "-" stands for.
inline constexpr const char *kInputFile = "FILE";     ///< is read; "-": standard input
inline constexpr const char *kOutputFile = "NEWFILE"; ///< is written; "-": standard output
inline constexpr const char *kFolder = "DIR"; ///< or weights, which may be one file; "-" is refused
inline constexpr const char *kData = "PATH";  ///< files and folders that are read, as kInputFile

/// Whether the option has one of these types.
bool namesPath(const CLI::Option &option);

/// The options and arguments of a command, those in groups included.
std::vector<const CLI::Option *> optionsOf(const CLI::App &command);

/// After parsing: whether standard input and standard output, "-", stand for one file each at most
/// and for no folder. `printing`: options that say what is printed on standard output, which is one
/// file then. InvalidArgument: "--input and --routes: standard input can be only one file".
Status claimStandardFiles(const CLI::App &command, std::vector<std::string> printing = {});

/// Where a command prints: standard output, or standard error where a file goes to standard output.
std::FILE *printed();

//===----------------------------------------------------------------------===//
// Beginning and end
//===----------------------------------------------------------------------===//

/// The first call of main(). Closed standard descriptors are opened, so that no file becomes
/// standard output; a signal that ends the process leaves no part of a file; and a mapped file that
/// shrinks is named (runtime/File.h). `program` must stay.
void startTool(const char *program);

/// Parses the arguments. Empty: the tool goes on. Otherwise its exit status: 0 after --help and
/// --version, 1 after a wrong use, which is told on stderr unless `silent`.
std::optional<int> parseCommandLine(CLI::App &app, int argc, char **argv,
                                    const std::string &program, bool silent = false);

/// Writes out what waits for standard output. An error where that, or anything before, could not be
/// written: "standard output: No space left on device".
Status flushOutput();

/// The end of a tool that comes to exit status `status`: says on stderr where standard output was
/// lost, which makes it 1.
int finish(const std::string &program, int status);

} // namespace hadal

#endif // HADAL_TOOLS_COMMANDLINE_H
