//===- Checksum.cpp - whether a file is what was written ----------------===//

#include "runtime/Checksum.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace hadal;

struct Checksum::State {
  XXH3_state_t hash;
};

Checksum::Checksum() : state(new State) { XXH3_64bits_reset(&state->hash); }

void Checksum::Free::operator()(State *state) const { delete state; }

void Checksum::add(std::span<const std::byte> piece) {
  XXH3_64bits_update(&state->hash, piece.data(), piece.size());
  bytes += piece.size();
}

Digest Checksum::digest() const { return {bytes, XXH3_64bits_digest(&state->hash)}; }

Digest hadal::digestOf(std::span<const std::byte> bytes) {
  return {bytes.size(), XXH3_64bits(bytes.data(), bytes.size())};
}

std::string hadal::hexOf(uint64_t xxh3) {
  std::string text(16, '0');
  for (int i = 15; i >= 0; --i, xxh3 >>= 4)
    text[i] = "0123456789abcdef"[xxh3 & 15];
  return text;
}

Result<Digest> hadal::digestOfFile(const std::string &path,
                                   const std::function<void(uint64_t)> &progress) {
  auto failed = [&] {
    int code = errno;
    std::string message = path + ": " + std::strerror(code);
    return code == ENOENT || code == ENOTDIR ? notFound(message) : ioError(message);
  };
  // Nobody may ever write to a pipe that lies there.
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    return failed();
  std::unique_ptr<int, void (*)(int *)> closing(&descriptor, [](int *one) { ::close(*one); });
  struct stat status;
  if (::fstat(descriptor, &status) != 0)
    return failed();
  if (!S_ISREG(status.st_mode))
    return ioError(path + ": wants a regular file");
  // What lies in memory would be right although the device has lost it. Pages that are not written
  // yet stay.
  ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
  Checksum checksum;
  std::vector<std::byte> buffer(size_t(1) << 20);
  for (;;) {
    ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return failed();
    if (count == 0)
      return checksum.digest();
    checksum.add({buffer.data(), size_t(count)});
    if (progress)
      progress(uint64_t(count));
  }
}
