//===- AddedTokens.cpp - tokens matched before everything else ----------===//

#include "runtime/tokenizer/AddedTokens.h"

#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

using namespace hadal;

/// Unicode's White_Space.
static bool isWhiteSpace(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

static std::string_view firstCharacter(std::string_view text) {
  return text.empty() ? text : text.substr(0, nextUtf8(text).bytes);
}

static std::string_view lastCharacter(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0 && (text[--begin] & 0xC0) == 0x80)
    ;
  return text.substr(begin);
}

static bool isWhiteSpace(std::string_view character) {
  return !character.empty() && isWhiteSpace(nextUtf8(character).codePoint);
}

Result<AddedTokens> AddedTokens::create(const JsonView &json) {
  // A word character as Unicode's UTS 18 has it, which is not quite Oniguruma's \w.
  AddedTokens result(
      HADAL_TRY(Regex::compile("[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200C\\u200D]")));
  if (json.absent())
    return result;
  if (!json.json().is_array())
    return json.wants("an array");
  for (size_t i = 0; i < json.json().size(); ++i) {
    JsonView entry = json.element(i);
    AddedToken token;
    token.content = HADAL_TRY(entry["content"].string());
    token.id = HADAL_TRY(entry["id"].tokenId());
    token.special = HADAL_TRY(entry["special"].boolean(false));
    token.singleWord = HADAL_TRY(entry["single_word"].boolean(false));
    token.stripLeft = HADAL_TRY(entry["lstrip"].boolean(false));
    token.stripRight = HADAL_TRY(entry["rstrip"].boolean(false));
    token.normalized = HADAL_TRY(entry["normalized"].boolean(true));
    result.list.push_back(std::move(token));
  }
  for (const AddedToken &token : result.list)
    if (!token.content.empty()) {
      Pass &pass = result.passes[token.normalized];
      pass.sorted.push_back(&token);
      pass.begins[static_cast<uint8_t>(token.content[0])] = true;
    }
  for (Pass &pass : result.passes)
    std::sort(pass.sorted.begin(), pass.sorted.end(), [](const AddedToken *a, const AddedToken *b) {
      return a->content != b->content ? a->content < b->content : a->id < b->id;
    });
  return result;
}

const AddedToken *AddedTokens::Pass::longestAt(std::string_view text) const {
  if (!begins[static_cast<uint8_t>(text[0])])
    return nullptr;
  const AddedToken *longest = nullptr;
  auto first = sorted.begin(), last = sorted.end();
  // [first, last): the tokens that share their first `length` bytes with the text.
  for (size_t length = 0; length < text.size() && first != last; ++length) {
    auto byte = [&](const AddedToken *token) {
      return token->content.size() > length ? static_cast<uint8_t>(token->content[length]) : -1;
    };
    int wanted = static_cast<uint8_t>(text[length]);
    first = std::partition_point(first, last,
                                 [&](const AddedToken *token) { return byte(token) < wanted; });
    last = std::partition_point(first, last,
                                [&](const AddedToken *token) { return byte(token) == wanted; });
    if (first != last && (*first)->content.size() == length + 1)
      longest = *first;
  }
  return longest;
}

Result<bool> AddedTokens::touchesWord(std::string_view character) const {
  std::vector<TextRange> matches;
  HADAL_TRY(wordCharacter.findAll(character, matches));
  return !matches.empty();
}

Status AddedTokens::splitPass(const Pass &pass, std::string_view text,
                              std::vector<SplitPart> &parts) const {
  size_t done = 0; // end of the last part
  for (size_t at = 0; at < text.size();) {
    const AddedToken *token = pass.longestAt(text.substr(at));
    if (!token) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + token->content.size();
    at = end;
    if (token->singleWord && (HADAL_TRY(touchesWord(lastCharacter(text.substr(0, begin)))) ||
                              HADAL_TRY(touchesWord(firstCharacter(text.substr(end))))))
      continue;
    if (token->stripLeft)
      while (begin > done && isWhiteSpace(lastCharacter(text.substr(0, begin))))
        begin -= lastCharacter(text.substr(0, begin)).size();
    if (token->stripRight)
      while (isWhiteSpace(firstCharacter(text.substr(end))))
        end += firstCharacter(text.substr(end)).size();
    // Matches are found before white space is taken, as the tokenizers package does it: the next
    // one may begin inside.
    if (done < begin)
      parts.push_back({text.substr(done, begin - done), std::nullopt});
    parts.push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  if (done < text.size())
    parts.push_back({text.substr(done), std::nullopt});
  return {};
}

Result<std::vector<SplitPart>> AddedTokens::split(std::string_view text) const {
  std::vector<SplitPart> first, parts;
  HADAL_TRY(splitPass(passes[false], text, first));
  for (const SplitPart &part : first) {
    if (part.id)
      parts.push_back(part);
    else
      HADAL_TRY(splitPass(passes[true], part.text, parts));
  }
  return parts;
}
