//===- Bpe.h - byte-pair encoding of one word ---------------------------===//
//
// `model` of tokenizer.json, type BPE, over byte-level characters (ByteLevel.h). Source: Sennrich
// et al., 2016, arXiv:1508.07909; tie and merge order as the tokenizers package has them.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_BPE_H
#define HADAL_RUNTIME_TOKENIZER_BPE_H

#include "runtime/tokenizer/JsonView.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace hadal {

/// The bits of two 32-bit words, well mixed.
struct PairHash {
  size_t operator()(uint64_t pair) const {
    pair *= 0x9E3779B97F4A7C15u;
    return pair ^ (pair >> 32);
  }
};

class Bpe {
public:
  /// `json` is the file's "model".
  static Result<Bpe> create(const JsonView &json);

  /// Appends the ids of a word (its raw bytes) in O(n log n). A byte that the vocabulary has no
  /// token for is dropped.
  void encode(std::string_view word, std::vector<int32_t> &ids) const;

  /// The id of a token as it is spelled in the file.
  std::optional<int32_t> id(std::string_view token) const;

  /// Every token with its id, as spelled in the file.
  const std::unordered_map<std::string, int32_t> &vocabulary() const { return ids; }

private:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  static uint64_t pairOf(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  Status addVocabulary(const JsonView &json);
  Status addMerges(const JsonView &json);

  std::unordered_map<std::string, int32_t> ids;
  std::unordered_map<uint64_t, Merge, PairHash> merges;
  std::array<int32_t, 256> byteIds; ///< -1: no token
  bool ignoreMerges = false;        ///< a word that is a token needs no merges to become it
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_BPE_H
