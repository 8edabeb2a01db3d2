//===- DataDigest.cpp - what data is, in a few bytes ---------------------===//

#include "runtime/DataDigest.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace hadal;

static XXH3_state_t *of(void *state) { return static_cast<XXH3_state_t *>(state); }

DataDigest::DataDigest() : state(XXH3_createState()) { XXH3_128bits_reset(of(state)); }
DataDigest::~DataDigest() { XXH3_freeState(of(state)); }

void DataDigest::add(std::span<const std::byte> bytes) {
  uint64_t length = bytes.size();
  XXH3_128bits_update(of(state), &length, sizeof length);
  if (length)
    XXH3_128bits_update(of(state), bytes.data(), length);
}

void DataDigest::add(const Checkpoint &checkpoint) {
  constexpr uint64_t block = 4096, mostBlocks = 16384;
  std::vector<std::string> names = checkpoint.names();
  uint64_t total = 0;
  for (const std::string &name : names)
    total += checkpoint.find(name)->tensor->bytes / block + 1;
  // Every stride-th block of all tensors, one after the other.
  uint64_t stride = std::max<uint64_t>(1, total / mostBlocks), number = 0;
  for (const std::string &name : names) {
    Checkpoint::Entry entry = *checkpoint.find(name);
    const StoredTensor &tensor = *entry.tensor;
    add(name);
    add(elementTypeName(tensor.element));
    add(tensor.shape);
    std::span<const std::byte> bytes(entry.data(), tensor.bytes);
    for (uint64_t at = 0; at < tensor.bytes; at += block)
      if (number++ % stride == 0)
        add(bytes.subspan(at, std::min(block, tensor.bytes - at)));
  }
}

std::string DataDigest::text() const {
  XXH128_hash_t hash = XXH3_128bits_digest(of(state));
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}
