//===- TokenRows.h - rows of token ids from a file ----------------------===//

#ifndef HADAL_TOOLS_RUN_TOKENROWS_H
#define HADAL_TOOLS_RUN_TOKENROWS_H

#include "runtime/Safetensors.h"
#include "runtime/module/Module.h"

#include <string>
#include <vector>

namespace hadal::run {

/// Rows of different lengths, each without its padding.
struct TokenRows {
  std::vector<std::vector<int32_t>> rows;
  std::vector<int64_t> begins; ///< the column of each row's first token
  int64_t width = 0;           ///< columns

  bool isPadded() const;
};

/// Reads `input_ids` [B, T] of a safetensors file, and what says which of them are there:
///
///   attention_mask [B, T]  1 for a token, 0 for padding, which is before or after a row's tokens
///                          and not among them
///   lengths [B]            tokens of each row, the first of its columns
///   position_ids [B, T]    the tokens of a row have 0, 1, 2 ...; a check alone
///   labels [B, T]          for training; here only known
///
/// Tensors of whole numbers (mask: also BOOL). Checked against the model's vocabulary and
/// positions. Any other tensor is an error that names it.
Result<TokenRows> readTokenRows(const Safetensors &file, const Module &module);

/// The same from a file that the user names (runtime/File.h), which may also be JSON, [[1, 2],
/// [3]], [1, 2] for one row or {"input_ids":
/// [[1, 2], [3]]}, or text with the ids of one row on each line. Which of these it is its first
/// bytes tell.
Result<TokenRows> readTokenRows(const std::string &path, const Module &module);

/// A tensor of whole numbers, as they are; `shape` is the wanted one.
Result<std::vector<int64_t>> readWholeNumbers(const Safetensors &file, const std::string &name,
                                              const Shape &shape);

/// The lines of a file that the user names, with a prompt on each: UTF-8, none of them empty.
/// "prompts.txt: line 3: has no text".
Result<std::vector<std::string>> readPromptLines(const std::string &path);

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_TOKENROWS_H
