//===- TranslateRegex.cpp - Oniguruma's syntax in PCRE2's ---------------===//
//
// The rules stand in Regex.h. The translator keeps the pattern's structure and rewrites escapes,
// properties and classes; PCRE2 then checks the whole, so that only what PCRE2 would read
// *differently* has to be found here.
//
// PCRE2 has neither classes inside classes nor intersections. A class becomes one of its classes
// where it can be one, else a group that matches one character:
//
//   [a&&b]      (?:(?=[a])[b])          both match here
//   [a&&[^b]]   (?:(?![b])[a])
//   [a[^b]]     (?:[a]|[^b])
//   [^a&&b]     (?:(?!(?=[a])[b])(?s:.))    the complement is of the whole class
//
//===--------------------------------------------------------------------===//

#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/UnicodeAdditions.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

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

/// Class contents for the newer members of every category that begins with `prefix`, or of a
/// script.
static std::string additionsOf(std::string_view prefix) {
  std::string out;
  bool isScript = prefix.starts_with("sc:");
  for (const UnicodeAddition &addition : unicodeAdditions)
    if (isScript ? addition.category == prefix : addition.category.starts_with(prefix))
      out += classRanges(addition.ranges);
  return out;
}

/// What \w has. Inside a class Oniguruma leaves out the numbers of Latin-1 (², ¼), which it takes
/// outside one.
static std::string wordCharacters(bool inClass) {
  std::string additions = additionsOf("w");
  size_t beyondLatin1 = additions.find("\\x{897}");
  return "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}" +
         (inClass ? additions.substr(beyondLatin1) : additions);
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

/// A set of characters, as PCRE2 spells it.
struct CharacterSet {
  std::string contents; ///< of a class, no '-' at its ends that could become a range; or
  std::string group;    ///< what matches one character, where one class does not do
  bool complement = false;

  bool isClass() const { return group.empty(); }
  bool isEmpty() const { return group.empty() && contents.empty(); }
  std::string spelled() const {
    return isClass() ? (complement ? "[^" : "[") + contents + "]" : group;
  }
};

class Translator {
public:
  Translator(std::string_view pattern)
      : pattern(pattern), ignoresCase(pattern.find("(?i") != pattern.npos) {}
  Result<std::string> run();

private:
  bool atEnd() const { return at == pattern.size(); }
  char peek(size_t ahead = 0) const {
    return at + ahead < pattern.size() ? pattern[at + ahead] : '\0';
  }
  bool startsWith(std::string_view text) const {
    return pattern.substr(at).substr(0, text.size()) == text;
  }
  Error refuse(const std::string &what) const {
    return unsupported("regex '" + std::string(pattern) + "': " + what + " at byte " +
                       std::to_string(at) + " is not supported");
  }

  Status escape(bool inClass);
  Status property(bool inClass);
  Status hexadecimal(size_t digits);
  Result<CharacterSet> characterClass(int depth);
  Result<CharacterSet> classOperand(int depth);
  Status classHyphen(bool isFirst);
  Status group();
  Status interval();
  /// A set given by class contents, or its complement.
  Status set(const std::string &contents, bool complement, bool inClass);

  std::string_view pattern;
  bool ignoresCase; ///< somewhere
  size_t at = 0;
  std::string out;
  std::vector<CharacterSet>
      apart; ///< members of the class that is being read that stand beside its contents in `out`
};
} // namespace

Status Translator::set(const std::string &contents, bool complement, bool inClass) {
  if (inClass && complement)
    apart.push_back({contents, {}, true});
  else
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
  static constexpr std::string_view others[] = {
      "alnum",  "blank", "cntrl", "digit", "graph",    "print", "punct", "space",
      "xdigit", "word",  "ascii", "any",   "assigned", "alpha", "lower", "upper"};
  if (std::find(std::begin(others), std::end(others), name) != std::end(others))
    return refuse("property '" + std::string(spelled) + "'");

  std::string plain = complement ? "\\P{" : "\\p{";
  static constexpr std::string_view binary[] = {"alphabetic", "whitespace", "uppercase",
                                                "lowercase", "emoji"};
  if (!category.empty()) {
    std::string additions = additionsOf(category);
    if (additions.empty() || category[0] == 'C')
      out += plain + category + "}";
    else
      HADAL_TRY(set("\\p{" + category + "}" + additions, complement, inClass));
  } else if (std::find(std::begin(binary), std::end(binary), name) != std::end(binary)) {
    out += plain + name + "}";
  } else {
    std::string additions = additionsOf("sc:" + name);
    if (additions.empty())
      out += plain + "sc:" + name + "}";
    else
      HADAL_TRY(set("\\p{sc:" + name + "}" + additions, complement, inClass));
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
  case '\0': return refuse("a backslash with nothing after it");
  case 's': replace("\\p{whitespace}"); return {};
  case 'S': replace("\\P{whitespace}"); return {};
  case 'w':
  case 'W':
    HADAL_TRY(set(wordCharacters(inClass), c == 'W', inClass));
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
  case 'v': replace("\\x0B"); return {};
  case 'p':
  case 'P': return property(inClass);
  case 'u': return hexadecimal(4);
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
  case 't': replace(pattern.substr(at, 2)); return {};
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

/// All characters that are in one of `sets`.
static CharacterSet unionOf(const std::vector<CharacterSet> &sets) {
  CharacterSet classes, all;
  std::string others;
  for (const CharacterSet &set : sets) {
    if (set.isClass() && !set.complement)
      classes.contents += set.contents;
    else
      others += (others.empty() ? "" : "|") + set.spelled();
  }
  if (others.empty())
    return classes;
  if (sets.size() == 1)
    return sets[0];
  all.group = "(?:" + (classes.isEmpty() ? "" : classes.spelled() + "|") + others + ")";
  return all;
}

/// All characters that are in each of `sets`.
static CharacterSet intersectionOf(const std::vector<CharacterSet> &sets) {
  CharacterSet outside, all; // outside: what the complements leave out
  outside.complement = true;
  std::vector<const CharacterSet *> inside;
  for (const CharacterSet &set : sets) {
    if (set.isClass() && set.complement)
      outside.contents += set.contents;
    else
      inside.push_back(&set);
  }
  if (inside.empty())
    return outside;
  if (sets.size() == 1)
    return sets[0];
  all.group = "(?:";
  if (!outside.contents.empty())
    all.group += "(?![" + outside.contents + "])";
  for (size_t i = 0; i + 1 < inside.size(); ++i)
    all.group += "(?=" + inside[i]->spelled() + ")";
  all.group += inside.back()->spelled() + ")";
  return all;
}

static bool isSetEscape(std::string_view text) {
  static constexpr std::string_view letters = "sSwWdDhHpP";
  return text.size() > 1 && text[0] == '\\' && letters.find(text[1]) != letters.npos;
}

/// A '-' of a class: an operator between two characters, else itself. `isFirst`: no character
/// stands before it.
Status Translator::classHyphen(bool isFirst) {
  bool isLast = peek(1) == ']' || pattern.substr(at + 1).starts_with("&&");
  if (!isFirst && !isLast && (peek(1) == '[' || isSetEscape(pattern.substr(at + 1))))
    return refuse("a range that ends in a set");
  out += isFirst || isLast ? "\\-" : "-";
  ++at;
  return {};
}

/// One side of "&&": the union of what stands there, up to "&&" or the class's end.
Result<CharacterSet> Translator::classOperand(int depth) {
  std::string around = std::exchange(out, {});
  std::vector<CharacterSet> apartAround = std::exchange(apart, {});
  bool afterCharacter = false; // with which a hyphen makes a range
  while (!startsWith("&&") && peek() != ']') {
    if (atEnd())
      return refuse("a class without its end");
    if (startsWith("[:"))
      return refuse("'[:' inside a class");
    if (peek() == '[') {
      CharacterSet inner = HADAL_TRY(characterClass(depth + 1));
      apart.push_back(std::move(inner));
      afterCharacter = false;
    } else if (peek() == '-') {
      HADAL_TRY(classHyphen(!afterCharacter));
      afterCharacter = true;
    } else if (peek() == '\\') {
      afterCharacter = !isSetEscape(pattern.substr(at));
      HADAL_TRY(escape(/*inClass=*/true));
    } else {
      // Signs that mean something at the front of PCRE2's classes may come to stand there.
      if (std::string_view("^:.=").find(peek()) != std::string_view::npos)
        out += '\\';
      out += pattern[at++];
      afterCharacter = true;
    }
  }
  CharacterSet contents;
  contents.contents = std::exchange(out, std::move(around));
  std::vector<CharacterSet> members = std::exchange(apart, std::move(apartAround));
  if (!contents.isEmpty())
    members.insert(members.begin(), std::move(contents));
  if (members.empty())
    return refuse("an empty side of '&&'");
  return unionOf(members);
}

Result<CharacterSet> Translator::characterClass(int depth) {
  if (depth > 16)
    return refuse("a class that deep inside others");
  size_t begin = at++;
  bool complement = peek() == '^';
  at += complement;
  if (peek() == ']')
    return refuse("']' at the front of a class");
  std::vector<CharacterSet> operands;
  operands.push_back(HADAL_TRY(classOperand(depth)));
  while (startsWith("&&")) {
    at += 2;
    operands.push_back(HADAL_TRY(classOperand(depth)));
  }
  ++at;
  CharacterSet all = intersectionOf(operands);
  // Oniguruma looks at the other case of an inner class after it has been complemented, PCRE2
  // before.
  bool isPlain =
      all.isClass() && pattern.substr(begin, at - begin).find("&&") == pattern.npos && depth == 0;
  if (ignoresCase && !isPlain)
    return refuse("'&&' or a class inside a class, where case does not matter,");
  if (complement && all.isClass())
    all.complement = !all.complement;
  else if (complement)
    all.group = "(?:(?!" + all.group + ")(?s:.))";
  return all;
}

Status Translator::group() {
  // "(?:", lookaround, atomic and named groups are spelled alike; so is "(?i:". Options that last
  // to the end of the group mean different things once an alternative follows, except at the very
  // front.
  static constexpr std::string_view alike[] = {
      "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
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
    return refuse("'+' after '" + std::string(text) + "'");
  out += low ? std::string(text) : "{0" + std::string(text.substr(1));
  at = end + 1;
  return {};
}

Result<std::string> Translator::run() {
  while (!atEnd()) {
    switch (peek()) {
    case '\\': HADAL_TRY(escape(/*inClass=*/false)); break;
    case '[': out += HADAL_TRY(characterClass(0)).spelled(); break;
    case '(': HADAL_TRY(group()); break;
    case '{': HADAL_TRY(interval()); break;
    default: out += pattern[at++];
    }
  }
  return out;
}

Result<std::string> hadal::translateRegex(std::string_view pattern) {
  return Translator(pattern).run();
}
