//===- TableHash.h - hashes of what tables say ----------------------------===//
//
// Hashes of what a module's tables say, without walking any command: of names and sizes, of
// expressions, of kernels. Dataflow.h puts them together to what programs compute.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_TABLEHASH_H
#define HADAL_RUNTIME_MODULE_TABLEHASH_H

#include "runtime/module/Module_generated.h"

#include <cstdint>
#include <string_view>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace hadal::tablehash {

/// Of words and texts, in their order.
class Hash {
public:
  Hash() = default;
  explicit Hash(std::string_view kind) { add(kind); }
  Hash &add(uint64_t word) {
    value = XXH3_64bits_withSeed(&word, sizeof word, value);
    return *this;
  }
  Hash &add(std::string_view text) {
    value = XXH3_64bits_withSeed(text.data(), text.size(), value + 1);
    return *this;
  }
  Hash &add(const flatbuffers::String *text) { return add(text->string_view()); }
  uint64_t value = 0;
};

/// Of an expression, put after what `hash` has. With `registers` a register counts as its hash
/// there, else as its number.
uint64_t ofExpr(Hash hash, const fb::Expr &expr, const std::vector<uint64_t> *registers);

/// What all programs share: names and sizes of what they bind.
struct Leaves {
  explicit Leaves(const fb::Module &module);

  std::vector<uint64_t> parameters, weights, states, constants, kernels;
};

/// Of the tables that say who adds what up, and who has which share of a parameter.
uint64_t placesHash(const fb::Module &module);

} // namespace hadal::tablehash

#endif // HADAL_RUNTIME_MODULE_TABLEHASH_H
