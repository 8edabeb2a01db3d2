//===- Checksum.h - whether a file is what was written ------------------===//

#ifndef HADAL_RUNTIME_CHECKSUM_H
#define HADAL_RUNTIME_CHECKSUM_H

#include "runtime/Result.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace hadal {

/// How long some bytes are, and their XXH3 (64 bits). It tells damage, not malice.
struct Digest {
  uint64_t bytes = 0;
  uint64_t xxh3 = 0;

  bool operator==(const Digest &) const = default;
};

/// A digest of bytes that come piece by piece. One thread at a time.
class Checksum {
public:
  Checksum();
  void add(std::span<const std::byte> piece);
  Digest digest() const;

private:
  struct State;
  struct Free {
    void operator()(State *state) const;
  };
  std::unique_ptr<State, Free> state;
  uint64_t bytes = 0;
};

Digest digestOf(std::span<const std::byte> bytes);

/// 16 hexadecimal digits, lower case.
std::string hexOf(uint64_t xxh3);

/// Reads a regular file through, from the device where the system's copy of it can be dropped.
/// `progress` is called with the bytes of each piece. Errors: NotFound or Io, "FILE: No such file
/// or directory".
Result<Digest> digestOfFile(const std::string &path,
                            const std::function<void(uint64_t)> &progress = {});

} // namespace hadal

#endif // HADAL_RUNTIME_CHECKSUM_H
