//===- DataDigest.h - what data is, in a few bytes -----------------------===//
//
// Ranks of a job compare what they run on. Digests find accidents (another copy, another file), not
// malice.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_DATADIGEST_H
#define HADAL_RUNTIME_DATADIGEST_H

#include "runtime/Safetensors.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hadal {

/// Sums up parts, in order, each with its length. One thread at a time.
class DataDigest {
public:
  DataDigest();
  ~DataDigest();
  DataDigest(const DataDigest &) = delete;
  DataDigest &operator=(const DataDigest &) = delete;

  void add(std::span<const std::byte> bytes);
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  template <typename T> void add(const std::vector<T> &values) {
    add(std::as_bytes(std::span(values)));
  }

  /// Names, types, shapes, and bytes: all of a checkpoint up to 64 MiB, else some 16,384 blocks of
  /// 4 KiB spread evenly over it. Files and offsets do not count: the same tensors may be cut into
  /// other files.
  void add(const Checkpoint &checkpoint);

  /// 32 hexadecimal digits.
  std::string text() const;

private:
  void *state;
};

/// Of one thing.
template <typename T> std::string dataDigestOf(const T &value) {
  DataDigest digest;
  digest.add(value);
  return digest.text();
}

} // namespace hadal

#endif // HADAL_RUNTIME_DATADIGEST_H
