//===- TranslateRegex.cpp - Oniguruma's syntax in PCRE2's ---------------===//
//
// The rules stand in Regex.h. The translator keeps the pattern's structure and rewrites escapes and properties; PCRE2
// then checks the whole, so that only what PCRE2 would read *differently* has to be found here.
//
//===--------------------------------------------------------------------===//

#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/UnicodeAdditions.h"

#include <algorithm>
#include <array>

using namespace hadal;

/// "A-B C" as class contents: "\x{A}-\x{B}\x{C}".
static std::string classRanges(std::string_view ranges) {
  std::string out;
  while (!ranges.empty()) {
    std::string_view range = ranges.substr(0, ranges.find(' '));
    ranges.remove_prefix(std::min(ranges.size(), range.size() + 1));
    size_t dash = range.find('-');
    out += "\\x{" + std::string(range.substr(0, dash)) + "}";
    if (dash != range.npos)
      out += "-\\x{" + std::string(range.substr(dash + 1)) + "}";
  }
  return out;
}

/// Class contents for the newer members of every category that begins with `prefix`.
static std::string additionsOf(std::string_view prefix) {
  std::string out;
  for (const UnicodeAddition &addition : unicodeAdditions)
    if (addition.category.substr(0, prefix.size()) == prefix)
      out += classRanges(addition.ranges);
  return out;
}

/// Long names of general categories.
static std::string_view shortCategory(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> names = {{
      {"letter", "L"},
      {"mark", "M"},
      {"number", "N"},
      {"punctuation", "P"},
      {"symbol", "S"},
      {"separator", "Z"},
      {"other", "C"},
      {"lowercaseletter", "Ll"},
      {"uppercaseletter", "Lu"},
      {"decimalnumber", "Nd"},
  }};
  for (auto [longName, shortName] : names)
    if (name == longName)
      return shortName;
  return {};
}

namespace {
class Translator {
public:
  Translator(std::string_view pattern) : pattern(pattern) {}
  Result<std::string> run();

private:
  bool atEnd() const { return at == pattern.size(); }
  char peek(size_t ahead = 0) const { return at + ahead < pattern.size() ? pattern[at + ahead] : '\0'; }
  bool startsWith(std::string_view text) const { return pattern.substr(at).substr(0, text.size()) == text; }
  Error refuse(const std::string &what) const {
    return unsupported("regex '" + std::string(pattern) + "': " + what + " at byte " + std::to_string(at) +
                       " is not supported");
  }

  Status escape(bool inClass);
  Status property(bool inClass);
  Status hexadecimal(size_t digits);
  Status characterClass();
  Status group();
  Status interval();
  /// A set given by class contents, or its complement.
  Status set(const std::string &contents, bool complement, bool inClass);

  std::string_view pattern;
  size_t at = 0;
  std::string out;
};
} // namespace

Status Translator::set(const std::string &contents, bool complement, bool inClass) {
  if (inClass && complement)
    return refuse("the complement of a set inside a class");
  out += inClass ? contents : (complement ? "[^" : "[") + contents + "]";
  return {};
}

Status Translator::hexadecimal(size_t digits) {
  std::string_view number = pattern.substr(at + 2, digits);
  if (number.size() != digits ||
      !std::all_of(number.begin(), number.end(), [](unsigned char c) { return isxdigit(c); }))
    return refuse("an escape without its " + std::to_string(digits) + " hexadecimal digits");
  out += "\\x{" + std::string(number) + "}";
  at += 2 + digits;
  return {};
}

Status Translator::property(bool inClass) {
  size_t close = pattern.find('}', at);
  if (peek(2) != '{' || close == pattern.npos)
    return refuse("a property without braces");
  std::string_view spelled = pattern.substr(at + 3, close - at - 3);
  bool complement = peek(1) == 'P';
  if (!spelled.empty() && spelled[0] == '^') {
    complement = !complement;
    spelled.remove_prefix(1);
  }
  // Names are compared without case, spaces, hyphens and underscores.
  std::string name;
  for (unsigned char c : spelled) {
    if (c == ' ' || c == '-' || c == '_')
      continue;
    if (!isalpha(c))
      return refuse("property '" + std::string(spelled) + "'");
    name += static_cast<char>(tolower(c));
  }
  std::string category(shortCategory(name));
  if (category.empty() && (name.size() == 1 || name.size() == 2)) {
    category = name;
    category[0] = static_cast<char>(toupper(static_cast<unsigned char>(category[0])));
  }
  // Those names mean POSIX classes, or sets that PCRE2 knows otherwise.
  static constexpr std::string_view others[] = {"alnum",    "blank", "cntrl",  "digit", "graph", "print",
                                                "punct",    "space", "xdigit", "word",  "ascii", "any",
                                                "assigned", "alpha", "lower",  "upper"};
  if (std::find(std::begin(others), std::end(others), name) != std::end(others))
    return refuse("property '" + std::string(spelled) + "'");

  std::string plain = complement ? "\\P{" : "\\p{";
  static constexpr std::string_view binary[] = {"alphabetic", "whitespace", "uppercase", "lowercase", "emoji"};
  if (!category.empty()) {
    std::string additions = additionsOf(category);
    // Inside a class the complement of a union has no spelling; there the newest characters count as unassigned.
    if (additions.empty() || category[0] == 'C' || (inClass && complement))
      out += plain + category + "}";
    else
      HADAL_TRY(set("\\p{" + category + "}" + additions, complement, inClass));
  } else if (std::find(std::begin(binary), std::end(binary), name) != std::end(binary)) {
    out += plain + name + "}";
  } else {
    out += plain + "sc:" + name + "}";
  }
  at = close + 1;
  return {};
}

Status Translator::escape(bool inClass) {
  char c = peek(1);
  auto replace = [&](std::string_view text) {
    out += text;
    at += 2;
  };
  switch (c) {
  case '\0':
    return refuse("a backslash with nothing behind it");
  case 's':
    replace("\\p{whitespace}");
    return {};
  case 'S':
    replace("\\P{whitespace}");
    return {};
  case 'w':
  case 'W':
    HADAL_TRY(set("\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}" + additionsOf("w"), c == 'W', inClass));
    at += 2;
    return {};
  case 'd':
  case 'D':
    HADAL_TRY(set("\\p{Nd}" + additionsOf("Nd"), c == 'D', inClass));
    at += 2;
    return {};
  case 'h':
  case 'H':
    HADAL_TRY(set("0-9a-fA-F", c == 'H', inClass));
    at += 2;
    return {};
  case 'v':
    replace("\\x0B");
    return {};
  case 'p':
  case 'P':
    return property(inClass);
  case 'u':
    return hexadecimal(4);
  case 'x':
    if (peek(2) != '{')
      return hexadecimal(2);
    replace("\\x"); // the braces follow as they are
    return {};
  case 'a':
  case 'e':
  case 'f':
  case 'n':
  case 'r':
  case 't':
    replace(pattern.substr(at, 2));
    return {};
  case 'A':
  case 'z':
  case 'Z':
    if (inClass)
      return refuse(std::string("\\") + c + " inside a class");
    replace(pattern.substr(at, 2));
    return {};
  default:
    if (isalnum(static_cast<unsigned char>(c)))
      return refuse(std::string("\\") + c);
    if (static_cast<unsigned char>(c) >= 0x80)
      replace(pattern.substr(at + 1, 1)); // an escaped letter of another script is that letter
    else
      replace(pattern.substr(at, 2));
    return {};
  }
}

Status Translator::characterClass() {
  out += '[';
  ++at;
  if (peek() == '^') {
    out += '^';
    ++at;
  }
  for (bool first = true; !(peek() == ']' && !first); first = false) {
    if (atEnd())
      return refuse("a class without its end");
    if (peek() == ']')
      return refuse("']' at the front of a class");
    if (peek() == '[')
      return refuse("'[' inside a class");
    if (startsWith("&&"))
      return refuse("'&&' inside a class");
    if (peek() == '\\') {
      HADAL_TRY(escape(/*inClass=*/true));
      continue;
    }
    out += pattern[at++];
  }
  out += ']';
  ++at;
  return {};
}

Status Translator::group() {
  // "(?:", lookaround, atomic and named groups are spelled alike; so is "(?i:". Options that last to the end of the
  // group mean different things once an alternative follows, except at the very front.
  static constexpr std::string_view alike[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
  if (peek(1) == '*')
    return refuse("'(*'");
  if (peek(1) != '?') {
    out += pattern[at++];
    return {};
  }
  for (std::string_view opening : alike)
    if (startsWith(opening)) {
      out += opening;
      at += opening.size();
      return {};
    }
  if (at == 0 && startsWith("(?i)")) {
    out += "(?i)";
    at += 4;
    return {};
  }
  return refuse("group '" + std::string(pattern.substr(at, 4)) + "'");
}

Status Translator::interval() {
  // "{n}", "{n,}", "{n,m}", "{,m}"; anything else is text to both.
  size_t end = at + 1;
  auto digits = [&] {
    size_t begin = end;
    while (end < pattern.size() && isdigit(static_cast<unsigned char>(pattern[end])))
      ++end;
    return end - begin;
  };
  size_t low = digits(), high = 0;
  bool comma = end < pattern.size() && pattern[end] == ',';
  if (comma) {
    ++end;
    high = digits();
  }
  if (end == pattern.size() || pattern[end] != '}' || low + high == 0) {
    out += "\\{";
    ++at;
    return {};
  }
  std::string_view text = pattern.substr(at, end + 1 - at);
  if (end + 1 < pattern.size() && pattern[end + 1] == '+')
    return refuse("'+' behind '" + std::string(text) + "'");
  out += low ? std::string(text) : "{0" + std::string(text.substr(1));
  at = end + 1;
  return {};
}

Result<std::string> Translator::run() {
  while (!atEnd()) {
    switch (peek()) {
    case '\\':
      HADAL_TRY(escape(/*inClass=*/false));
      break;
    case '[':
      HADAL_TRY(characterClass());
      break;
    case '(':
      HADAL_TRY(group());
      break;
    case '{':
      HADAL_TRY(interval());
      break;
    default:
      out += pattern[at++];
    }
  }
  return out;
}

Result<std::string> hadal::translateRegex(std::string_view pattern) { return Translator(pattern).run(); }
