//===- Regex.cpp - matching with PCRE2 ----------------------------------===//

#include "runtime/tokenizer/Regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

using namespace hadal;

namespace {
template <auto function> struct Free {
  template <typename T> void operator()(T *p) const { function(p); }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Free<pcre2_compile_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Free<pcre2_jit_stack_free>>;

/// The stack that compiled patterns may use; a match that wants more is done by the interpreter, on
/// the heap.
constexpr size_t jitStackBytes = size_t(1) << 20;
/// Kibibytes the interpreter may use for one match: some million backtracking points.
constexpr uint32_t heapLimitKiB = 1 << 20;
} // namespace

struct Regex::Implementation {
  std::string shown;
  Code code;
  MatchData match;
  MatchContext context;
  JitStack stack;
};

Regex::Regex(std::unique_ptr<Implementation> self) : self(std::move(self)) {}
Regex::Regex(Regex &&) noexcept = default;
Regex &Regex::operator=(Regex &&) noexcept = default;
Regex::~Regex() = default;

static std::string messageOf(int code) {
  unsigned char text[256] = {};
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char *>(text);
}

Result<Regex> Regex::compileTranslated(std::string_view shown, const std::string &pattern) {
  auto self = std::make_unique<Implementation>();
  self->shown = shown;
  CompileContext compiling(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(compiling.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE place = 0;
  // NEVER_BACKSLASH_C: a match that ends inside a character would break the text.
  uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  self->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                 options, &code, &place, compiling.get()));
  if (!self->code)
    return invalidFile("regex '" + std::string(shown) + "': " + messageOf(code));
  // Without a JIT (the system may forbid executable memory) the interpreter matches the same.
  pcre2_jit_compile(self->code.get(), PCRE2_JIT_COMPLETE);
  self->match.reset(pcre2_match_data_create_from_pattern(self->code.get(), nullptr));
  self->context.reset(pcre2_match_context_create(nullptr));
  self->stack.reset(pcre2_jit_stack_create(size_t(32) << 10, jitStackBytes, nullptr));
  if (!self->match || !self->context)
    return outOfMemory("regex '" + std::string(shown) + "': no memory to match with");
  pcre2_jit_stack_assign(self->context.get(), nullptr, self->stack.get());
  pcre2_set_heap_limit(self->context.get(), heapLimitKiB);
  return Regex(std::move(self));
}

Result<Regex> Regex::compile(std::string_view pattern) {
  return compileTranslated(pattern, HADAL_TRY(translateRegex(pattern)));
}

Result<Regex> Regex::literal(std::string_view text) {
  std::string pattern;
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && !isalnum(static_cast<unsigned char>(c)))
      pattern += '\\';
    pattern += c;
  }
  return compileTranslated(text, pattern);
}

static size_t nextCharacter(std::string_view text, size_t at) {
  do
    ++at;
  while (at < text.size() && (text[at] & 0xC0) == 0x80);
  return at;
}

Status Regex::findAll(std::string_view text, std::vector<TextRange> &matches) const {
  auto subject = reinterpret_cast<PCRE2_SPTR>(text.data() ? text.data() : "");
  constexpr size_t none = ~size_t(0);
  size_t from = 0, lastEnd = none;
  while (from <= text.size()) {
    auto run = [&](uint32_t options) {
      return pcre2_match(self->code.get(), subject, text.size(), from, options, self->match.get(),
                         self->context.get());
    };
    int found = run(PCRE2_NO_UTF_CHECK);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
      found = run(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
    if (found == PCRE2_ERROR_NOMATCH)
      return {};
    if (found < 0)
      return unsupported("regex '" + self->shown + "': " + messageOf(found));
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(self->match.get());
    TextRange range = {ends[0], ends[1]};
    // \K inside a lookahead, the only way to a match that ends before it starts, is refused by
    // translateRegex.
    if (range.begin == range.end && range.end == lastEnd) {
      from = nextCharacter(text, from);
      continue;
    }
    matches.push_back(range);
    from = lastEnd = range.end;
  }
  return {};
}
