#include "test/fuzz/MutateIr.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <iterator>
#include <string_view>

using namespace hadal;

namespace {

struct Span {
  size_t begin, length;
};

class Mutator {
public:
  Mutator(std::string &text, const std::vector<std::string> &pieces, std::mt19937_64 &random)
      : text(text), pieces(pieces), random(random) {}

  void once() {
    switch (below(13)) {
    case 0:
    case 1: return changeNumber();
    case 12: return changeParameter();
    case 2:
    case 3: return changeType();
    case 4: return changeSize();
    case 5: return dropAttribute();
    case 6: return changeAttribute();
    case 7: return swapOperands();
    case 8: return replaceOperand();
    case 9: return changeOp();
    case 10: return changeLines();
    default: return insertLine();
    }
  }

  /// A parameter of an attribute in angle brackets: dropped, of another type, another number.
  void changeParameter() {
    static const char *const values[] = {"0",
                                         "1",
                                         "2",
                                         "3",
                                         "-1",
                                         "-2",
                                         "5",
                                         "64",
                                         "1048577",
                                         "4294967296",
                                         "1099511627777",
                                         "9223372036854775807",
                                         "-9223372036854775808",
                                         "99999999999999999999999",
                                         "true",
                                         "false",
                                         "\"\"",
                                         "\"x\"",
                                         "\"fp8\"",
                                         "\"bf16\"",
                                         "\"dualpipev\"",
                                         "1.0",
                                         "-1.0e30",
                                         "0x7FC00000",
                                         "[]",
                                         "[0]",
                                         "[1, 2, 3]",
                                         "[-1]",
                                         "[\"a\", \"a\"]",
                                         "[<>]",
                                         "<>",
                                         "@w",
                                         "#job.part<\"x\">",
                                         "f32"};
    const std::vector<Span> named = attributes();
    std::vector<Span> all;
    for (size_t at = text.find('#'); at != text.npos; at = text.find('#', at + 1)) {
      size_t end = angled(at);
      for (Span s : named)
        if (s.begin > at && s.begin + s.length <= end)
          all.push_back(s);
    }
    if (all.empty())
      return changeAttribute();
    Span at = all[below(all.size())];
    if (below(4) == 0)
      return drop(at);
    size_t value = text.find(" = ", at.begin) + 3;
    text.replace(value, at.begin + at.length - value, oneOf(values));
  }

private:
  /// The end of "#name<...>" at `begin`; where there is none, `begin`.
  size_t angled(size_t begin) {
    size_t i = begin + 1;
    while (i < text.size() && isWord(text[i]))
      ++i;
    if (i >= text.size() || text[i] != '<')
      return begin;
    int depth = 0;
    bool quoted = false;
    for (; i < text.size(); ++i) {
      if (text[i] == '"' && text[i - 1] != '\\')
        quoted = !quoted;
      else if (!quoted && text[i] == '<')
        ++depth;
      else if (!quoted && text[i] == '>' && --depth == 0)
        return i + 1;
    }
    return begin;
  }

  size_t below(size_t n) { return n ? static_cast<size_t>(random() % n) : 0; }
  template <size_t N> std::string oneOf(const char *const (&list)[N]) { return list[below(N)]; }

  /// All places where `begins` holds, as long as `goesOn` does.
  std::vector<Span> find(const std::function<bool(size_t)> &begins,
                         const std::function<bool(char)> &goesOn) {
    std::vector<Span> found;
    for (size_t i = 0; i < text.size(); ++i) {
      if (!begins(i))
        continue;
      size_t end = i + 1;
      while (end < text.size() && goesOn(text[end]))
        ++end;
      found.push_back({i, end - i});
      i = end;
    }
    return found;
  }
  static bool isWord(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$';
  }
  char before(size_t i) { return i ? text[i - 1] : ' '; }

  void replaceOne(const std::vector<Span> &places, const std::string &by) {
    if (places.empty())
      return;
    Span at = places[below(places.size())];
    text.replace(at.begin, at.length, by);
  }

  void changeNumber() {
    static const char *const edges[] = {"0",
                                        "1",
                                        "2",
                                        "3",
                                        "-1",
                                        "7",
                                        "64",
                                        "1000",
                                        "2147483648",
                                        "-2147483649",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "4611686018427387904",
                                        "0.0",
                                        "-1.5",
                                        "0x7FC00000",
                                        "0x7F800000"};
    replaceOne(find(
                   [&](size_t i) {
                     return std::isdigit(static_cast<unsigned char>(text[i])) &&
                            !isWord(before(i)) && before(i) != '%' && before(i) != 'x';
                   },
                   [](char c) { return std::isdigit(static_cast<unsigned char>(c)) || c == '.'; }),
               oneOf(edges));
  }

  void changeType() {
    static const char *const types[] = {
        "f32",   "f64",      "bf16", "f16", "i1",   "i8",           "i32",          "i64",
        "index", "f8E4M3FN", "ui32", "i7",  "i128", "complex<f32>", "!exec.buffer", "none"};
    static constexpr std::string_view known[] = {"f32", "f64", "bf16", "f16",   "i1",
                                                 "i8",  "i32", "i64",  "index", "f8E4M3FN"};
    std::vector<Span> places;
    for (std::string_view type : known)
      for (size_t at = text.find(type); at != text.npos; at = text.find(type, at + 1))
        if ((!isWord(before(at)) || before(at) == 'x') &&
            (at + type.size() >= text.size() || !isWord(text[at + type.size()])))
          places.push_back({at, type.size()});
    if (below(4)) // everywhere alike, so that operands and results go on agreeing
      return replaceOne(places, oneOf(types));
    if (places.empty())
      return;
    Span at = places[below(places.size())];
    std::string from = text.substr(at.begin, at.length), to = oneOf(types);
    for (size_t i = text.find(from); i != text.npos; i = text.find(from, i + to.size()))
      if (!isWord(before(i)) || before(i) == 'x')
        text.replace(i, from.size(), to);
  }

  /// One dimension of a shape, here or in all shapes that begin alike.
  void changeSize() {
    static const char *const sizes[] = {
        "?x", "0x", "1x", "3x", "5x", "4096x", "1073741824x", "4611686018427387904x", "", "2x2x"};
    std::vector<Span> places = find(
        [&](size_t i) {
          return (text[i] == '?' || std::isdigit(static_cast<unsigned char>(text[i]))) &&
                 (before(i) == '<' || before(i) == 'x');
        },
        [](char c) { return std::isdigit(static_cast<unsigned char>(c)) || c == 'x'; });
    std::erase_if(places, [&](Span s) { return text[s.begin + s.length - 1] != 'x'; });
    if (places.empty())
      return;
    Span at = places[below(places.size())];
    std::string from = text.substr(at.begin, at.length), to = oneOf(sizes);
    if (below(2)) {
      text.replace(at.begin, at.length, to);
      return;
    }
    for (size_t i = text.find(from); i != text.npos;
         i = text.find(from, i + std::max<size_t>(to.size(), 1)))
      if (before(i) == '<' || before(i) == 'x')
        text.replace(i, from.size(), to);
  }

  /// The parts `name = value` of dictionaries.
  std::vector<Span> attributes() {
    std::vector<Span> found;
    for (size_t at = text.find(" = "); at != text.npos; at = text.find(" = ", at + 1)) {
      size_t begin = at;
      while (begin && (isWord(text[begin - 1]) || text[begin - 1] == '"'))
        --begin;
      if (begin == at || before(begin) == '%' || before(begin) == '#')
        continue;
      int depth = 0;
      size_t end = at + 3;
      for (; end < text.size() && text[end] != '\n'; ++end) {
        char c = text[end];
        if (c == '<' || c == '[' || c == '{' || c == '(')
          ++depth;
        else if ((c == '>' && text[end - 1] != '-') || c == ']' || c == '}' || c == ')') {
          if (--depth < 0)
            break;
        } else if (c == ',' && depth == 0)
          break;
      }
      found.push_back({begin, end - begin});
    }
    return found;
  }

  void dropAttribute() {
    std::vector<Span> all = attributes();
    if (all.empty())
      return;
    drop(all[below(all.size())]);
  }

  void drop(Span at) {
    if (at.begin + at.length < text.size() && text[at.begin + at.length] == ',')
      ++at.length;
    text.erase(at.begin, at.length);
  }

  void changeAttribute() {
    static const char *const values[] = {"1 : i64",
                                         "-1 : i64",
                                         "\"x\"",
                                         "unit",
                                         "[]",
                                         "[1, 2]",
                                         "{}",
                                         "true",
                                         "1.0 : f32",
                                         "0xFFC00000 : f32",
                                         "array<i64>",
                                         "array<i64: 0, -1>",
                                         "array<i64: 4, 4>",
                                         "@w",
                                         "dense<0> : tensor<0xi32>",
                                         "dense<1.0> : tensor<2xf32>",
                                         "affine_map<()[s0] -> (s0)>",
                                         "affine_map<(d0) -> (d0)>",
                                         "affine_map<() -> ()>",
                                         "f32",
                                         "[\"a\", \"a\"]",
                                         "[{}]",
                                         "4294967296 : i64",
                                         "9223372036854775807 : i64"};
    std::vector<Span> all = attributes();
    if (all.empty())
      return;
    Span at = all[below(all.size())];
    size_t value = text.find(" = ", at.begin) + 3;
    if (below(4) == 0 && all.size() > 1) { // another one's value
      Span other = all[below(all.size())];
      size_t from = text.find(" = ", other.begin) + 3;
      text.replace(value, at.begin + at.length - value,
                   text.substr(from, other.begin + other.length - from));
      return;
    }
    text.replace(value, at.begin + at.length - value, oneOf(values));
  }

  std::vector<Span> operands() {
    return find([&](size_t i) { return text[i] == '%'; },
                [](char c) { return isWord(c) || c == '#'; });
  }

  void swapOperands() {
    std::vector<Span> all = operands();
    if (all.size() < 2)
      return;
    size_t i = below(all.size() - 1), j = below(2) ? i + 1 : below(all.size());
    Span a = all[std::min(i, j)], b = all[std::max(i, j)];
    if (a.begin == b.begin)
      return;
    std::string first = text.substr(a.begin, a.length), second = text.substr(b.begin, b.length);
    text.replace(b.begin, b.length, first);
    text.replace(a.begin, a.length, second);
  }

  void replaceOperand() {
    std::vector<Span> all = operands();
    if (all.empty())
      return;
    Span by = all[below(all.size())];
    replaceOne(all, text.substr(by.begin, by.length));
  }

  void changeOp() {
    static const char *const ops[] = {"moe.route",
                                      "moe.plan",
                                      "moe.dispatch",
                                      "moe.combine",
                                      "moe.grouped_matmul",
                                      "moe.scatter_add",
                                      "moe.update_bias",
                                      "mla.rope",
                                      "mla.attention",
                                      "mla.append_codes",
                                      "mla.cache_append",
                                      "fp8.quantize",
                                      "fp8.dequantize",
                                      "linalg.generic",
                                      "linalg.fill",
                                      "linalg.matmul",
                                      "linalg.add",
                                      "tensor.cast",
                                      "tensor.empty",
                                      "tensor.extract_slice",
                                      "tensor.insert_slice",
                                      "arith.addf",
                                      "arith.mulf",
                                      "arith.addi",
                                      "arith.divsi",
                                      "math.exp",
                                      "exec.launch",
                                      "exec.copy",
                                      "exec.temporary",
                                      "ml_program.global_load",
                                      "ml_program.global_load_const",
                                      "func.call",
                                      "func.return",
                                      "tensor.pad",
                                      "scf.for"};
    std::vector<Span> all = find(
        [&](size_t i) {
          return std::islower(static_cast<unsigned char>(text[i])) && !isWord(before(i)) &&
                 before(i) != '%' && before(i) != '@';
        },
        isWord);
    std::erase_if(
        all, [&](Span s) { return text.substr(s.begin, s.length).find('.') == std::string::npos; });
    replaceOne(all, oneOf(ops));
  }

  void changeLines() {
    std::vector<Span> lines = find([&](size_t i) { return i == 0 || text[i - 1] == '\n'; },
                                   [](char c) { return c != '\n'; });
    if (lines.size() < 2)
      return;
    Span a = lines[below(lines.size())];
    if (below(2)) {
      text.erase(a.begin, a.length);
      return;
    }
    Span b = lines[below(lines.size())];
    if (a.begin > b.begin)
      std::swap(a, b);
    std::string first = text.substr(a.begin, a.length), second = text.substr(b.begin, b.length);
    if (below(2))
      text.replace(b.begin, b.length, first);
    text.replace(a.begin, a.length, second);
  }

  void insertLine() {
    size_t at = text.find('\n', below(text.size()));
    if (at != text.npos && !pieces.empty())
      text.insert(at + 1, pieces[below(pieces.size())] + "\n");
  }

  std::string &text;
  const std::vector<std::string> &pieces;
  std::mt19937_64 &random;
};

} // namespace

std::string fuzz::mutateParameters(std::string text, std::mt19937_64 &random) {
  std::vector<std::string> pieces;
  Mutator mutator(text, pieces, random);
  for (uint64_t times = 1 + random() % 2; times > 0; --times)
    mutator.changeParameter();
  return text;
}

std::string fuzz::mutate(std::string text, const std::vector<std::string> &pieces,
                         std::mt19937_64 &random) {
  Mutator mutator(text, pieces, random);
  for (uint64_t times = 1 + random() % 3; times > 0; --times)
    mutator.once();
  return text;
}
