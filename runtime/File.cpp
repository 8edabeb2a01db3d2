#include "runtime/File.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hadal {

static Error systemError(const std::string &path) {
  int code = errno;
  std::string message = path + ": " + std::strerror(code);
  return code == ENOENT || code == ENOTDIR ? notFound(message) : ioError(message);
}

//===----------------------------------------------------------------------===//
// MappedFile
//===----------------------------------------------------------------------===//

MappedFile::MappedFile(MappedFile &&other) noexcept { *this = std::move(other); }

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(name, other.name);
  std::swap(base, other.base);
  std::swap(size, other.size);
  return *this;
}

MappedFile::~MappedFile() {
  if (base)
    ::munmap(const_cast<std::byte *>(base), size);
}

Result<MappedFile> MappedFile::open(const std::string &path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe that nobody writes to is refused, not waited for
  if (descriptor < 0)
    return systemError(path);
  struct stat status;
  if (::fstat(descriptor, &status) != 0) {
    Error error = systemError(path);
    ::close(descriptor);
    return error;
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor);
    return ioError(path + ": wants a regular file");
  }
  MappedFile file;
  file.name = path;
  file.size = static_cast<size_t>(status.st_size);
  if (file.size) {
    void *mapping = ::mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapping == MAP_FAILED) {
      Error error = systemError(path);
      ::close(descriptor);
      return error;
    }
    file.base = static_cast<const std::byte *>(mapping);
  }
  ::close(descriptor);
  return file;
}

void MappedFile::release(uint64_t offset, uint64_t length) const {
  if (!base || offset >= size)
    return;
  auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  uint64_t begin = (offset + page - 1) / page * page, end = std::min<uint64_t>(offset + length, size) / page * page;
  if (begin < end)
    ::madvise(const_cast<std::byte *>(base) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::willNeed(uint64_t offset, uint64_t length) const {
  if (!base || offset >= size)
    return;
  auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  uint64_t begin = offset / page * page, end = std::min<uint64_t>(offset + length, size);
  ::madvise(const_cast<std::byte *>(base) + begin, end - begin, MADV_WILLNEED);
}

//===----------------------------------------------------------------------===//
// AtomicFile
//===----------------------------------------------------------------------===//

// Names that a signal handler can read. Whoever takes one out of its place owns it: a handler, which ends the process and
// frees nothing, or the file. Files beyond the number of places stay behind when the process is stopped.
static std::array<std::atomic<char *>, 64> unfinished;

static int noteUnfinished(const std::string &name) {
  char *copy = ::strdup(name.c_str());
  for (size_t place = 0; place < unfinished.size(); ++place) {
    char *none = nullptr;
    if (unfinished[place].compare_exchange_strong(none, copy))
      return static_cast<int>(place);
  }
  std::free(copy);
  return -1;
}

static void forgetUnfinished(int place) {
  if (place >= 0)
    std::free(unfinished[place].exchange(nullptr));
}

void AtomicFile::removeUnfinished() {
  for (std::atomic<char *> &place : unfinished)
    if (char *name = place.exchange(nullptr))
      ::unlink(name);
}

AtomicFile::AtomicFile(AtomicFile &&other) noexcept
    : path(std::move(other.path)), temporary(std::move(other.temporary)), place(std::exchange(other.place, -1)),
      descriptor(std::exchange(other.descriptor, -1)), written(other.written) {}

AtomicFile::~AtomicFile() {
  if (descriptor >= 0) {
    ::close(descriptor);
    if (!temporary.empty())
      ::unlink(temporary.c_str());
  }
  forgetUnfinished(place);
}

Result<AtomicFile> AtomicFile::create(const std::string &path, bool executable) {
  AtomicFile file;
  file.path = path;
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
    return ioError(path + ": is a folder");
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    // A device or a pipe (/dev/null, /dev/stdout) is written to. A rename would take its place.
    file.descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    return file.descriptor < 0 ? Result<AtomicFile>(systemError(path)) : Result<AtomicFile>(std::move(file));
  }
  // A link stays, and the file that it names is replaced.
  std::error_code code;
  for (int links = 0; links < 16 && std::filesystem::is_symlink(file.path, code); ++links)
    file.path = (std::filesystem::path(file.path).parent_path() / std::filesystem::read_symlink(file.path, code)).string();
  file.temporary = file.path + ".XXXXXX";
  file.descriptor = ::mkostemp(file.temporary.data(), O_CLOEXEC);
  if (file.descriptor < 0)
    return systemError(path);
  file.place = noteUnfinished(file.temporary);
  mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(file.descriptor, (executable ? 0755 : 0644) & ~mask);
  return file;
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t done = ::write(descriptor, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0)
      return systemError(path);
    if (done == 0)
      return ioError(path + ": takes no more bytes");
    written += static_cast<uint64_t>(done);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
  return {};
}

Status AtomicFile::commit() {
  if (temporary.empty()) {
    if (::close(std::exchange(descriptor, -1)) != 0)
      return systemError(path);
    return {};
  }
  if (::fsync(descriptor) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0)
    return systemError(path);
  ::close(std::exchange(descriptor, -1));
  // The rename lasts only when the folder is on disk too.
  size_t slash = path.rfind('/');
  int folder = ::open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0)
    return {};
  // Some file systems have no fsync of folders.
  Status status = ::fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP ? Status() : Status(systemError(path));
  ::close(folder);
  return status;
}

Status writeFile(const std::string &path, std::span<const std::byte> bytes) {
  AtomicFile file = HADAL_TRY(AtomicFile::create(path));
  HADAL_TRY(file.write(bytes));
  return file.commit();
}

Result<std::string> readTextFile(const std::string &path) {
  MappedFile file = HADAL_TRY(MappedFile::open(path));
  auto bytes = file.bytes();
  if (bytes.size() > (uint64_t(1) << 30))
    return invalidFile(path + ": wants at most 1 GiB of text, got " + std::to_string(bytes.size()) + " bytes");
  return std::string(reinterpret_cast<const char *>(bytes.data()), bytes.size());
}

} // namespace hadal
