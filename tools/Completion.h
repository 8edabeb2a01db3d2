//===- Completion.h - files from which shells complete command lines ----===//
//
// Written from what a tool knows of its own options, so that nothing is listed twice. Needs neither
// CLI11 nor LLVM, whose tools both use it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_COMPLETION_H
#define HADAL_TOOLS_COMPLETION_H

#include "runtime/Result.h"

#include <string>
#include <vector>

namespace hadal {

/// What a value is, for a shell to offer.
enum class CompletedValue {
  None, ///< a flag
  Text, ///< anything: nothing is offered
  Words,
  File,
  Folder,
};

struct CompletedOption {
  std::vector<std::string> names; ///< "--lr", "-o"
  std::string description;        ///< a line
  CompletedValue value = CompletedValue::None;
  std::vector<std::string> words; ///< of Words
};

/// A tool, or a command of one. Its arguments are files.
struct CompletedCommand {
  std::string name, description;
  std::vector<CompletedOption> options;
};

struct CompletedTool : CompletedCommand {
  std::vector<CompletedCommand> commands; ///< one of which follows; empty: none
};

/// The file for "bash", "zsh" or "fish". InvalidArgument for another shell.
Result<std::string> completionFor(const std::string &shell, const CompletedTool &tool);

/// `TOOL --completion SHELL [FILE]`, which --help does not list: writes that file, without FILE to
/// standard output. Gives the tool's exit status.
int writeCompletion(const std::vector<std::string> &arguments, const CompletedTool &tool);

/// The first argument of such a call.
inline constexpr const char *kCompletion = "--completion";

} // namespace hadal

#endif // HADAL_TOOLS_COMPLETION_H
