//===- PreTokenizer.h - cuts a text into words --------------------------===//
//
// `pre_tokenizer` of tokenizer.json: a ByteLevel, or a Sequence that ends with one, of Split,
// Digits and Punctuation.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_PRETOKENIZER_H
#define HADAL_RUNTIME_TOKENIZER_PRETOKENIZER_H

#include "runtime/tokenizer/JsonView.h"
#include "runtime/tokenizer/Regex.h"

#include <deque>
#include <vector>

namespace hadal {

/// What becomes of a match. Source: tokenizers, SplitDelimiterBehavior.
enum class SplitBehavior {
  Isolated,           ///< a piece of its own
  Removed,            ///< dropped
  MergedWithPrevious, ///< the end of the piece before it
  MergedWithNext,     ///< the front of the piece after it
  Contiguous,         ///< as Isolated, matches that touch being one
};

/// Appends the pieces of `text`, without empty ones. `invert`: what lies between the matches counts
/// as match.
void splitAt(std::string_view text, const std::vector<TextRange> &matches, SplitBehavior behavior,
             bool invert, std::vector<TextRange> &pieces);

/// Move-only; one thread at a time.
class PreTokenizer {
public:
  /// `json` is the file's "pre_tokenizer". An error names the key that is not supported.
  static Result<PreTokenizer> create(const JsonView &json);

  /// Appends the words of `text` (well-formed UTF-8) to `words`; they point into `text` or into
  /// `storage`, which is used where a space is put in front (a deque: its strings stay where they
  /// are).
  Status split(std::string_view text, std::vector<std::string_view> &words,
               std::deque<std::string> &storage) const;

private:
  struct Step {
    Regex regex;
    SplitBehavior behavior;
    bool invert;
  };
  Status addStep(const JsonView &json, bool isLast);
  Status addRegex(std::string_view pattern, SplitBehavior behavior, bool invert = false);

  std::vector<Step> steps;
  size_t prefixStep = ~size_t(0); ///< before this step a piece that begins with no space gets one
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_PRETOKENIZER_H
