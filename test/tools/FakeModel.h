//===- FakeModel.h - a model that can be checked by hand ----------------===//
//
// A module with the programs of --mode=generate whose answers are a hash, for tests of the drivers
// and of hadal-run without the compiler. Tokens 0 to 255 are bytes, 256 ends a sequence. Attention
// counts a FLOP for each pair of a row and a position that it sees, appending to the cache one for
// each token.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_TOOLS_FAKEMODEL_H
#define HADAL_TEST_TOOLS_FAKEMODEL_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hadal::fake {

inline constexpr int64_t vocabulary = 259;
inline constexpr int32_t eosToken = 256;
inline constexpr int64_t pageTokens = 4;
inline constexpr int64_t maxPositions = 200;
inline constexpr int64_t experts = 4;

/// The hash of a sequence with one more token at `position`.
constexpr int64_t extend(int64_t hash, int64_t position, int64_t token) {
  return (hash * 31 + (position + 1) * (token + 1)) % 1000003;
}

/// The token that the model finds likeliest.
constexpr int64_t nextOf(int64_t hash) { return hash % vocabulary; }

/// nextOf the hash of `tokens`.
inline int32_t nextOf(std::span<const int32_t> tokens) {
  int64_t hash = 0;
  for (size_t p = 0; p < tokens.size(); ++p)
    hash = extend(hash, static_cast<int64_t>(p), tokens[p]);
  return static_cast<int32_t>(nextOf(hash));
}

/// The module's FlatBuffer, with the kernels' shared object inside. Its parameter is "scale", F32
/// [1].
std::vector<std::byte> modulePayload();

} // namespace hadal::fake

#endif // HADAL_TEST_TOOLS_FAKEMODEL_H
