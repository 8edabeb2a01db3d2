//===- AddedTokens.h - tokens matched before everything else ------------===//
//
// `added_tokens` of tokenizer.json, special ones and others. Source: tokenizers, AddedVocabulary.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_ADDEDTOKENS_H
#define HADAL_RUNTIME_TOKENIZER_ADDEDTOKENS_H

#include "runtime/tokenizer/JsonView.h"
#include "runtime/tokenizer/Regex.h"

#include <array>
#include <optional>
#include <vector>

namespace hadal {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;    ///< left out when a text is decoded for a reader
  bool singleWord = false; ///< only where no word character touches it
  bool stripLeft = false;  ///< takes the white space before it
  bool stripRight = false; ///< takes the white space after it
  bool normalized = true;  ///< looked for in a second pass, in what the others leave
};

/// A part of a text: an added token's, or (without `id`) ordinary text.
struct SplitPart {
  std::string_view text;
  std::optional<int32_t> id;
};

/// Move-only; one thread at a time.
class AddedTokens {
public:
  /// `json` is the file's "added_tokens" (absent: none).
  static Result<AddedTokens> create(const JsonView &json);

  const std::vector<AddedToken> &tokens() const { return list; }

  /// The text in order. Of the tokens that match somewhere the leftmost is taken, of those the
  /// longest.
  Result<std::vector<SplitPart>> split(std::string_view text) const;

private:
  /// Tokens of one pass, ascending by content, so that those with a common front stand together.
  struct Pass {
    std::vector<const AddedToken *> sorted;
    std::array<bool, 256> begins{};
    const AddedToken *longestAt(std::string_view text) const;
  };
  AddedTokens(Regex word) : wordCharacter(std::move(word)) {}
  Result<bool> touchesWord(std::string_view character) const;
  Status splitPass(const Pass &pass, std::string_view text, std::vector<SplitPart> &parts) const;

  std::vector<AddedToken> list; ///< never grows after create: the passes point into it
  Pass passes[2];
  Regex wordCharacter;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_ADDEDTOKENS_H
