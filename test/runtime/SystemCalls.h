//===- SystemCalls.h - what a test's process asks the system for --------===//
//
// The library SystemCalls stands before libc: its write, fsync and rename do what the system's do,
// note that they did it, and can be told to do less. For programs with one thread.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_RUNTIME_SYSTEMCALLS_H
#define HADAL_TEST_RUNTIME_SYSTEMCALLS_H

#include <cstddef>
#include <string>
#include <vector>

namespace hadal::test {

/// While it lives, calls are noted: "fsync PATH", "rename PATH" (the new name).
class RecordedCalls {
public:
  RecordedCalls();
  ~RecordedCalls();

  const std::vector<std::string> &all() const;
  /// The place of the first call that ends in `text`, or all().size().
  size_t placeOf(const std::string &text) const;
};

/// While it lives, a write does at most `most` bytes; after `total` bytes in all it fails, as on a
/// disk that is full.
class LimitedWrites {
public:
  explicit LimitedWrites(size_t most, size_t total = ~size_t(0));
  ~LimitedWrites();
};

/// While it lives, writes of 64 bytes and more come to the disk with their first bit flipped.
class DamagedWrites {
public:
  DamagedWrites();
  ~DamagedWrites();
};

} // namespace hadal::test

#endif // HADAL_TEST_RUNTIME_SYSTEMCALLS_H
