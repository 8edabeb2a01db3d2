//===- Tokenizer.h - text to token ids and back -------------------------===//
//
// Reads Hugging Face's tokenizer.json: byte-level BPE as DeepSeek, GPT-2, Llama 3 and Qwen files
// spell it, and gives the ids that the `tokenizers` package gives. What a file asks for and this
// reader does not have is an error that names the key. `truncation` and `padding` are not read.
// What `post_processor` puts around a text stands around a prompt; a beginning-of-sequence token
// also where tokenizer_config.json says add_bos_token. Neither comes twice.
//
// Input need not be well-formed UTF-8: ill-formed sequences become U+FFFD first (Rust's
// String::from_utf8_lossy).
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_H
#define HADAL_RUNTIME_TOKENIZER_H

#include "runtime/Result.h"
#include "runtime/tokenizer/Utf8.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// Move-only; one thread at a time.
class Tokenizer {
public:
  /// tokenizer.json of `folder`, and tokenizer_config.json where there is one. Errors:
  /// "ckpt/tokenizer.json: model.type: wants "BPE", got "Unigram"".
  static Result<Tokenizer> open(const std::string &folder);

  /// The same from the files' contents; `config` may be empty. Errors name the key only.
  static Result<Tokenizer> parse(std::string_view json, std::string_view config = {});

  Tokenizer(Tokenizer &&) noexcept;
  Tokenizer &operator=(Tokenizer &&) noexcept;
  ~Tokenizer();

  /// The ids of a text. Added tokens that are spelled out in it become themselves; nothing is put
  /// in front.
  Result<std::vector<int32_t>> encode(std::string_view text) const;

  /// encode, with what `post_processor` puts before and after it, and a beginning-of-sequence token
  /// where tokenizer_config.json asks for one. A text that spells these tokens itself does not get
  /// them again.
  Result<std::vector<int32_t>> encodePrompt(std::string_view text) const;

  /// The text of some ids. Ids without a token give nothing; `skipSpecial` leaves out special
  /// tokens.
  std::string decode(std::span<const int32_t> ids, bool skipSpecial) const;

  /// The bytes that an id stands for, which may be a part of a character.
  std::string_view bytes(int32_t id) const;
  bool isSpecial(int32_t id) const;

  /// bos_token and eos_token of tokenizer_config.json.
  std::optional<int32_t> bosToken() const;
  std::optional<int32_t> eosToken() const;

  /// One more than the largest id.
  int32_t idCount() const;

private:
  struct Implementation;
  Tokenizer(std::unique_ptr<Implementation> self);
  std::unique_ptr<Implementation> self;
};

/// Decodes ids as they come: what can be shown after each, whole characters only.
class StreamingDecoder {
public:
  StreamingDecoder(const Tokenizer &tokenizer, bool skipSpecial)
      : tokenizer(tokenizer), skipSpecial(skipSpecial) {}

  std::string push(int32_t id) {
    return skipSpecial && tokenizer.isSpecial(id) ? std::string()
                                                  : stream.push(tokenizer.bytes(id));
  }
  std::string finish() { return stream.finish(); }

private:
  const Tokenizer &tokenizer;
  Utf8Stream stream;
  bool skipSpecial;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_H
