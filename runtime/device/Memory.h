//===- Memory.h - aligned host memory -----------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_MEMORY_H
#define HADAL_RUNTIME_DEVICE_MEMORY_H

#include "runtime/Result.h"

#include <cstddef>
#include <cstdint>

namespace hadal {

/// Zeroed memory aligned to HADAL_ALIGNMENT; from 64 KiB on zeroed by the system on first touch, from 4 MiB on aligned to
/// 2 MiB with huge pages asked for. Move-only.
class Buffer {
public:
  Buffer() = default;
  Buffer(Buffer &&other) noexcept;
  Buffer &operator=(Buffer &&other) noexcept;
  ~Buffer();

  /// OutOfMemory: "cannot allocate 123 bytes".
  static Result<Buffer> allocate(uint64_t bytes);

  /// Takes all of its pages from the system now: what is first touched inside a kernel waits for the system there.
  void populate();

  std::byte *data() const { return base; }
  uint64_t size() const { return bytes; }

private:
  std::byte *base = nullptr;
  uint64_t bytes = 0;
  void *mapping = nullptr; ///< null for memory from the heap
  uint64_t mappingBytes = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_MEMORY_H
