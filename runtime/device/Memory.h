//===- Memory.h - aligned host memory -----------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_MEMORY_H
#define HADAL_RUNTIME_DEVICE_MEMORY_H

#include "runtime/Result.h"

#include <cstddef>
#include <cstdint>

namespace hadal {

/// Zeroed memory aligned to HADAL_ALIGNMENT; from 64 KiB on zeroed by the system on first touch,
/// from 4 MiB on aligned to 2 MiB with huge pages asked for. Move-only.
class Buffer {
public:
  Buffer() = default;
  Buffer(Buffer &&other) noexcept;
  Buffer &operator=(Buffer &&other) noexcept;
  ~Buffer();

  /// What is smaller comes from the heap. A rank of a training job has states that it never
  /// touches: their pages must cost nothing.
  static constexpr uint64_t smallestMapping = uint64_t(64) << 10;

  /// OutOfMemory: "cannot allocate 123 bytes".
  static Result<Buffer> allocate(uint64_t bytes);

  /// Takes all of its pages from the system now: what is first touched inside a kernel waits for
  /// the system there.
  void populate();

  std::byte *data() const { return base; }
  uint64_t size() const { return bytes; }

  /// Bytes of the pages that the system has given it so far; all of what comes from the heap.
  uint64_t touchedBytes() const;

  /// Most bytes that all buffers of the process had at the same time, touched or not.
  static uint64_t peakBytes();

private:
  std::byte *base = nullptr;
  uint64_t bytes = 0;
  void *mapping = nullptr; ///< null for memory from the heap
  uint64_t mappingBytes = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_MEMORY_H
