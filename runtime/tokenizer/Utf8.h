//===- Utf8.h - checking, repairing and streaming UTF-8 -----------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_UTF8_H
#define HADAL_RUNTIME_TOKENIZER_UTF8_H

#include <cstdint>
#include <string>
#include <string_view>

namespace hadal {

/// What stands at the front of a byte string.
struct Utf8Step {
  enum Kind {
    Character, ///< `bytes` bytes of a well-formed character
    Invalid,   ///< `bytes` bytes to be replaced by one U+FFFD (a maximal subpart, Unicode 15 §3.9)
    Cut,       ///< all that is left is the beginning of a character
  };
  Kind kind;
  uint32_t bytes;
  char32_t codePoint; ///< of a Character
};

/// `text` must not be empty.
Utf8Step nextUtf8(std::string_view text);

bool isUtf8(std::string_view text);

/// Appends `codePoint`, which must be a Unicode scalar value.
void appendUtf8(std::string &out, char32_t codePoint);

/// Every ill-formed sequence replaced by U+FFFD, one for each maximal subpart, as Rust's
/// String::from_utf8_lossy does.
std::string repairUtf8(std::string_view text);

/// Repairs a text that arrives in pieces: a character cut at the end of a piece waits for the next
/// one.
class Utf8Stream {
public:
  /// What can be shown after `bytes` have arrived.
  std::string push(std::string_view bytes);

  /// What is left: "" or one U+FFFD.
  std::string finish();

private:
  std::string pending;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_UTF8_H
