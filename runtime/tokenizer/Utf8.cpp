//===- Utf8.cpp - checking, repairing and streaming UTF-8 ---------------===//

#include "runtime/tokenizer/Utf8.h"

using namespace hadal;

static constexpr std::string_view replacement = "\xEF\xBF\xBD";

Utf8Step hadal::nextUtf8(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t lead = byte(0);
  if (lead < 0x80)
    return {Utf8Step::Character, 1, lead};
  // Unicode 15, table 3-7: the second byte's range depends on the first.
  uint32_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                    : lead >= 0xE0 && lead <= 0xEF ? 3
                    : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                   : 0;
  if (!length)
    return {Utf8Step::Invalid, 1, 0};
  uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t codePoint = lead & (0x7F >> length);
  for (uint32_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (i == text.size())
      return {Utf8Step::Cut, i, 0};
    if (byte(i) < low || byte(i) > high)
      return {Utf8Step::Invalid, i, 0};
    codePoint = codePoint << 6 | (byte(i) & 0x3F);
  }
  return {Utf8Step::Character, length, codePoint};
}

bool hadal::isUtf8(std::string_view text) {
  while (!text.empty()) {
    Utf8Step step = nextUtf8(text);
    if (step.kind != Utf8Step::Character)
      return false;
    text.remove_prefix(step.bytes);
  }
  return true;
}

void hadal::appendUtf8(std::string &out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  uint32_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  out += static_cast<char>((0xF00 >> length) | (c >> 6 * (length - 1)));
  for (uint32_t i = length - 1; i-- > 0;)
    out += static_cast<char>(0x80 | ((c >> 6 * i) & 0x3F));
}

std::string hadal::repairUtf8(std::string_view text) {
  Utf8Stream stream;
  std::string out = stream.push(text);
  return out += stream.finish();
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending += bytes;
  std::string_view rest = pending;
  std::string out;
  out.reserve(pending.size());
  while (!rest.empty()) {
    Utf8Step step = nextUtf8(rest);
    if (step.kind == Utf8Step::Cut)
      break;
    out += step.kind == Utf8Step::Character ? rest.substr(0, step.bytes) : replacement;
    rest.remove_prefix(step.bytes);
  }
  pending = std::string(rest);
  return out;
}

std::string Utf8Stream::finish() {
  bool cut = !pending.empty();
  pending.clear();
  return std::string(cut ? replacement : std::string_view());
}
