//===- Help.h - what --help prints --------------------------------------===//
//
// Usage, what the command does, examples (an App's footer), then the options: at most 80 columns,
// choices as words, options of a group under its name. Completion has its words from here, too.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_HELP_H
#define HADAL_TOOLS_HELP_H

#include "tools/Completion.h"

#include <CLI/CLI.hpp>

namespace hadal {

/// Options of one App that make no sense without many ranks have this group.
inline constexpr const char *kRankOptions = "Options over many ranks";

class HelpFormatter : public CLI::FormatterBase {
public:
  std::string make_help(const CLI::App *app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

/// The tool, its commands and their options, for shells to complete. `program` is its name.
CompletedTool completedTool(const CLI::App &app, const std::string &program);

/// What stands for an option's value: "constant|cosine|report", "N", "FILE"; empty for a flag.
std::string valueWord(const CLI::Option &option);

} // namespace hadal

#endif // HADAL_TOOLS_HELP_H
