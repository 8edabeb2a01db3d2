//===- File.cpp - reading by mapping, writing atomically ----------------===//

#include "runtime/File.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <optional>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hadal {

static constexpr char shrunken[] = ": has become shorter while it was read";

static Error systemError(const std::string &path) {
  int code = errno;
  std::string message = path + ": " + std::strerror(code);
  return code == ENOENT || code == ENOTDIR ? notFound(message) : ioError(message);
}

} // namespace hadal

//===----------------------------------------------------------------------===//
// MappedFile
//===----------------------------------------------------------------------===//

using namespace hadal;

namespace {

/// A mapped range, for the handler of SIGBUS, which may take no lock: nodes are never freed, and
/// those of closed files are used again.
struct Mapping {
  std::atomic<const std::byte *> base{nullptr}; ///< null: free
  std::atomic<size_t> size{0};
  std::string name;
  Mapping *next = nullptr;
};

std::atomic<Mapping *> mappings{nullptr};
std::mutex mappingsMutex;
const char *programName = "hadal";

void remember(const std::byte *base, size_t size, const std::string &name) {
  std::lock_guard lock(mappingsMutex);
  Mapping *free = mappings;
  while (free && free->base)
    free = free->next;
  if (!free) {
    free = new Mapping;
    free->next = mappings;
    mappings = free;
  }
  free->name = name;
  free->size = size;
  free->base = base;
}

void forget(const std::byte *base) {
  std::lock_guard lock(mappingsMutex);
  for (Mapping *mapping = mappings; mapping; mapping = mapping->next)
    if (mapping->base == base)
      mapping->base = nullptr;
}

void say(const char *text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); }

void onBusError(int signal, siginfo_t *info, void *) {
  auto *address = static_cast<const std::byte *>(info->si_addr);
  for (Mapping *mapping = mappings; mapping; mapping = mapping->next) {
    const std::byte *base = mapping->base;
    if (!base || address < base || address >= base + mapping->size)
      continue;
    static std::atomic_flag isSaid;
    while (isSaid.test_and_set()) // another thread ends the process
      ::pause();
    for (const char *part : {programName, ": ", mapping->name.c_str(), shrunken, "\n"})
      say(part);
    AtomicFile::removeUnfinished();
    ::_exit(1);
  }
  // Not ours: the instruction runs again and meets the system's own answer.
  ::signal(signal, SIG_DFL);
}

} // namespace

void hadal::nameShrunkenFiles(const char *program) {
  programName = program;
  struct sigaction action = {};
  action.sa_sigaction = onBusError;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

namespace hadal {

/// The descriptor of a regular file, and its size.
static Result<std::pair<int, size_t>> openRegular(const std::string &path) {
  // O_NONBLOCK: opening a pipe would wait for whoever writes to it.
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    return systemError(path);
  struct stat status;
  std::optional<Error> error;
  if (::fstat(descriptor, &status) != 0)
    error = systemError(path);
  else if (!S_ISREG(status.st_mode))
    error = ioError(path + ": wants a regular file");
  if (!error)
    return std::pair(descriptor, static_cast<size_t>(status.st_size));
  ::close(descriptor);
  return *error;
}

MappedFile::MappedFile(MappedFile &&other) noexcept { *this = std::move(other); }

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(name, other.name);
  std::swap(base, other.base);
  std::swap(size, other.size);
  std::swap(descriptor, other.descriptor);
  return *this;
}

MappedFile::~MappedFile() {
  if (descriptor >= 0)
    ::close(descriptor);
  if (!base)
    return;
  forget(base);
  ::munmap(const_cast<std::byte *>(base), size);
}

Result<MappedFile> MappedFile::open(const std::string &path) {
  auto [descriptor, size] = HADAL_TRY(openRegular(path));
  MappedFile file;
  file.name = path;
  file.size = size;
  file.descriptor = descriptor;
  if (size) {
    void *mapping = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapping == MAP_FAILED)
      return systemError(path);
    file.base = static_cast<const std::byte *>(mapping);
    remember(file.base, size, path);
  }
  return file;
}

void MappedFile::release(uint64_t offset, uint64_t length) const {
  if (!base || offset >= size)
    return;
  auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  uint64_t begin = (offset + page - 1) / page * page,
           end = std::min<uint64_t>(offset + length, size) / page * page;
  if (begin < end)
    ::madvise(const_cast<std::byte *>(base) + begin, end - begin, MADV_DONTNEED);
}

Status MappedFile::checkSize() const {
  struct stat status;
  if (descriptor >= 0 && ::fstat(descriptor, &status) == 0 &&
      static_cast<uint64_t>(status.st_size) < size)
    return ioError(name + shrunken);
  return {};
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

// Names that a signal handler can read. Whoever takes one out of its place owns it: a handler,
// which ends the process and frees nothing, or the file. Files beyond the number of places stay
// behind when the process is stopped.
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
    : path(std::move(other.path)), temporary(std::move(other.temporary)),
      place(std::exchange(other.place, -1)), descriptor(std::exchange(other.descriptor, -1)),
      written(other.written) {}

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
    return file.descriptor < 0 ? Result<AtomicFile>(systemError(path))
                               : Result<AtomicFile>(std::move(file));
  }
  // A link stays, and the file that it names is replaced.
  std::error_code code;
  for (int links = 0; links < 16 && std::filesystem::is_symlink(file.path, code); ++links)
    file.path = (std::filesystem::path(file.path).parent_path() /
                 std::filesystem::read_symlink(file.path, code))
                    .string();
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
  int folder = ::open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(),
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0)
    return {};
  // Some file systems have no fsync of folders.
  Status status = ::fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP
                      ? Status()
                      : Status(systemError(path));
  ::close(folder);
  return status;
}

Status writeFile(const std::string &path, std::span<const std::byte> bytes) {
  AtomicFile file = HADAL_TRY(AtomicFile::create(path));
  HADAL_TRY(file.write(bytes));
  return file.commit();
}

/// Fills `bytes` from a descriptor, and closes it.
static Status readAll(int descriptor, const std::string &path, std::span<std::byte> bytes) {
  std::optional<Error> error;
  for (size_t at = 0; at < bytes.size() && !error;) {
    ssize_t got = ::read(descriptor, bytes.data() + at, bytes.size() - at);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      error = systemError(path);
    else if (got == 0)
      error = ioError(path + shrunken);
    else
      at += static_cast<size_t>(got);
  }
  ::close(descriptor);
  return error ? Status(*error) : Status();
}

Result<std::vector<std::byte>> readBytes(const std::string &path) {
  auto [descriptor, size] = HADAL_TRY(openRegular(path));
  std::vector<std::byte> bytes(size);
  HADAL_TRY(readAll(descriptor, path, bytes));
  return bytes;
}

Result<std::string> readTextFile(const std::string &path) {
  auto [descriptor, size] = HADAL_TRY(openRegular(path));
  if (size > (uint64_t(1) << 30)) {
    ::close(descriptor);
    return invalidFile(path + ": wants at most 1 GiB of text, got " + std::to_string(size) +
                       " bytes");
  }
  std::string text(size, 0);
  HADAL_TRY(readAll(descriptor, path, std::as_writable_bytes(std::span(text))));
  return text;
}

} // namespace hadal
