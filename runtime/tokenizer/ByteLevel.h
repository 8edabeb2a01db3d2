//===- ByteLevel.h - bytes as printable characters ----------------------===//
//
// Byte-level tokenizers write every byte as one character: those that print as themselves, the
// others as U+0100 and on. Source: openai/gpt-2, src/encoder.py, bytes_to_unicode.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_BYTELEVEL_H
#define HADAL_RUNTIME_TOKENIZER_BYTELEVEL_H

#include "runtime/tokenizer/Utf8.h"

#include <array>
#include <optional>

namespace hadal {

/// The character that stands for each byte.
constexpr std::array<char32_t, 256> byteCharacters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    characters[byte] = printable ? byte : next++;
  }
  return characters;
}

/// The bytes that a token's text stands for; none if it has a character that stands for no byte.
inline std::optional<std::string> bytesOfCharacters(std::string_view text) {
  static const auto byteOf = [] {
    std::array<int16_t, 0x144> table;
    table.fill(-1);
    for (unsigned byte = 0; byte < 256; ++byte)
      table[byteCharacters()[byte]] = static_cast<int16_t>(byte);
    return table;
  }();
  std::string bytes;
  while (!text.empty()) {
    Utf8Step step = nextUtf8(text);
    if (step.kind != Utf8Step::Character || step.codePoint >= byteOf.size() ||
        byteOf[step.codePoint] < 0)
      return std::nullopt;
    bytes += static_cast<char>(byteOf[step.codePoint]);
    text.remove_prefix(step.bytes);
  }
  return bytes;
}

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_BYTELEVEL_H
