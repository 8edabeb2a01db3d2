//===- Regex.h - the regular expressions of tokenizer.json --------------===//
//
// The `tokenizers` package matches with Oniguruma (Ruby syntax, Unicode 16); this class matches
// with PCRE2. A pattern is translated so that both find the same matches; what PCRE2 reads
// differently and cannot be rewritten is refused.
//
//   \s \S        White_Space (PCRE2's own \s also takes U+180E)
//   \w \W        letters, marks, decimal digits, connectors (PCRE2's own \w takes all \p{N} and no
//                marks)
//   \h \H \v     hexadecimal digit, vertical tab (PCRE2: kinds of white space)
//   \p{Han} ...  the script (PCRE2's own is the script's extensions)
//   \p{L} ...    with the characters that Unicode 15 and 16 added, where PCRE2's tables are those
//                of 14
//   [a[^b]]      a class inside a class, and
//   [a&&[^b]]    what is in both: a class, or a group that matches one character
//   \uXXXX, {,n} spelled as PCRE2 wants them;  ^ and $ match at lines, as in Ruby
//
// Refused: [:name:], \b \B \G \K \X \R \y \Y, {n,m}+ (possessive in PCRE2 only), inline options
// other than (?i: and a leading (?i), && and inner classes in a pattern with these, escapes that
// neither knows.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_REGEX_H
#define HADAL_RUNTIME_TOKENIZER_REGEX_H

#include "runtime/Result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin, end;
};

/// A compiled pattern. Move-only; one thread at a time (matching uses memory of its own).
class Regex {
public:
  /// An Oniguruma pattern. Errors name the pattern and the place: "regex '(a': missing closing
  /// parenthesis at byte 2".
  static Result<Regex> compile(std::string_view pattern);

  /// A pattern that matches `text` itself.
  static Result<Regex> literal(std::string_view text);

  Regex(Regex &&) noexcept;
  Regex &operator=(Regex &&) noexcept;
  ~Regex();

  /// Calls back for each match in order, as the `onig` crate's find_iter: an empty match directly
  /// after the last match is passed over. `text` must be well-formed UTF-8. An error when matching
  /// runs out of its step or memory limits.
  Status findAll(std::string_view text, std::vector<TextRange> &matches) const;

private:
  struct Implementation;
  Regex(std::unique_ptr<Implementation> self);
  static Result<Regex> compileTranslated(std::string_view shown, const std::string &pattern);
  std::unique_ptr<Implementation> self;
};

/// The pattern as PCRE2 is given it.
Result<std::string> translateRegex(std::string_view pattern);

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_REGEX_H
