//===- File.cpp - reading by mapping, writing atomically ----------------===//

#include "runtime/File.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <optional>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hadal {

static constexpr char standardStream[] = "-";
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

bool isStream(const std::string &path) {
  struct stat status;
  return path == standardStream || (::stat(path.c_str(), &status) == 0 &&
                                    !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode));
}

std::string nameOfInput(const std::string &path) {
  return path == standardStream ? "standard input" : path;
}

/// A descriptor that is closed where its function ends without keeping it.
namespace {
class OpenFile {
public:
  explicit OpenFile(int descriptor) : descriptor(descriptor) {}
  OpenFile(OpenFile &&other) noexcept
      : size(other.size), isCopy(other.isCopy), descriptor(std::exchange(other.descriptor, -1)) {}
  OpenFile &operator=(OpenFile &&) = delete;
  ~OpenFile() {
    if (descriptor >= 0)
      ::close(descriptor);
  }

  int get() const { return descriptor; }
  int keep() { return std::exchange(descriptor, -1); }

  size_t size = 0;
  bool isCopy = false; ///< of what a stream gave

private:
  int descriptor;
};
} // namespace

Status writeAll(int descriptor, const std::string &name, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t done = ::write(descriptor, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0)
      return systemError(name);
    if (done == 0)
      return ioError(name + ": takes no more bytes");
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
  return {};
}

/// The next bytes of a stream; 0 at its end. A named pipe gives nothing as long as no writer has
/// opened it, which is not its end; `hasWriter` says whether one has.
static Result<size_t> readSome(int descriptor, const std::string &name, std::span<std::byte> into,
                               bool &hasWriter) {
  constexpr int patienceMs = 5000;
  for (bool isLate = false;;) {
    ssize_t got = ::read(descriptor, into.data(), into.size());
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0 && errno != EAGAIN)
      return systemError(name);
    hasWriter |= got != 0; // EAGAIN: it is there, and slow
    if (got > 0 || (got == 0 && hasWriter))
      return static_cast<size_t>(got);
    if (isLate && !hasWriter)
      return ioError(name + ": is a pipe that nothing writes to");
    pollfd waiting{descriptor, POLLIN, 0};
    isLate = ::poll(&waiting, 1, hasWriter ? -1 : patienceMs) == 0;
    if (waiting.revents == POLLHUP) // it has come and gone
      return size_t(0);
  }
}

/// All that a stream gives, as a file in memory.
static Result<OpenFile> copyStream(int descriptor, const std::string &name, bool hasWriter) {
  OpenFile copy(::memfd_create("hadal-input", MFD_CLOEXEC));
  if (copy.get() < 0)
    return systemError(name);
  std::vector<std::byte> part(1 << 16);
  while (size_t got = HADAL_TRY(readSome(descriptor, name, part, hasWriter))) {
    HADAL_TRY(writeAll(copy.get(), name, std::span(part).first(got)));
    copy.size += got;
  }
  if (::lseek(copy.get(), 0, SEEK_SET) != 0)
    return systemError(name);
  copy.isCopy = true;
  return copy;
}

/// `streams`: whether a stream is read.
static Result<OpenFile> openFile(const std::string &path, bool streams) {
  bool isStandard = streams && path == standardStream;
  std::string name = isStandard ? nameOfInput(path) : path;
  // O_NONBLOCK: opening a pipe would wait for its writer.
  OpenFile file(isStandard ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                           : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status;
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0)
    return systemError(name);
  // Standard input may be a file that another program has read the beginning of.
  if (isStandard || (streams && (S_ISFIFO(status.st_mode) || ::isatty(file.get()))))
    return copyStream(file.get(), name, /*hasWriter=*/isStandard);
  if (!S_ISREG(status.st_mode))
    return ioError(path + ": wants a regular file" + (streams ? " or a pipe" : ""));
  file.size = static_cast<size_t>(status.st_size);
  return file;
}

MappedFile::MappedFile(MappedFile &&other) noexcept { *this = std::move(other); }

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(name, other.name);
  std::swap(base, other.base);
  std::swap(size, other.size);
  std::swap(descriptor, other.descriptor);
  std::swap(streamed, other.streamed);
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

Result<MappedFile> MappedFile::map(std::string name, int descriptor, size_t size) {
  MappedFile file;
  file.name = std::move(name);
  file.size = size;
  file.descriptor = descriptor;
  if (size) {
    void *mapping = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapping == MAP_FAILED)
      return systemError(file.name);
    file.base = static_cast<const std::byte *>(mapping);
    remember(file.base, size, file.name);
  }
  return file;
}

Result<MappedFile> MappedFile::open(const std::string &path) {
  OpenFile file = HADAL_TRY(openFile(path, /*streams=*/false));
  return map(path, file.keep(), file.size);
}

Result<MappedFile> MappedFile::openInput(const std::string &path) {
  OpenFile open = HADAL_TRY(openFile(path, /*streams=*/true));
  MappedFile file = HADAL_TRY(map(nameOfInput(path), open.keep(), open.size));
  file.streamed = open.isCopy;
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

// Names that a signal handler can read. What takes one out of its place owns it: a handler, which
// ends the process and frees nothing, or the file. Files beyond the number of places stay
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
  file.path = path == standardStream ? "standard output" : path;
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
    return ioError(path + ": is a folder");
  if (isStream(path)) {
    // A device or a pipe (/dev/null, /dev/stdout) is written to. A rename would take its place.
    std::fflush(stdout); // what was printed before comes before
    file.descriptor = path == standardStream ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                                             : ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    return file.descriptor < 0 ? Result<AtomicFile>(systemError(file.path))
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
  HADAL_TRY(writeAll(descriptor, path, bytes));
  written += bytes.size();
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

static Status readAll(int descriptor, const std::string &name, std::span<std::byte> bytes) {
  for (size_t at = 0; at < bytes.size();) {
    ssize_t got = ::read(descriptor, bytes.data() + at, bytes.size() - at);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return systemError(name);
    if (got == 0)
      return ioError(name + shrunken);
    at += static_cast<size_t>(got);
  }
  return {};
}

Result<std::vector<std::byte>> readInputBytes(const std::string &path) {
  OpenFile file = HADAL_TRY(openFile(path, /*streams=*/true));
  std::vector<std::byte> bytes(file.size);
  HADAL_TRY(readAll(file.get(), nameOfInput(path), bytes));
  return bytes;
}

static Result<std::string> readText(const OpenFile &file, const std::string &name) {
  if (file.size > (uint64_t(1) << 30))
    return invalidFile(name + ": wants at most 1 GiB of text, got " + std::to_string(file.size) +
                       " bytes");
  std::string text(file.size, 0);
  HADAL_TRY(readAll(file.get(), name, std::as_writable_bytes(std::span(text))));
  return text;
}

Result<std::string> readTextFile(const std::string &path) {
  return readText(HADAL_TRY(openFile(path, /*streams=*/false)), path);
}

Result<std::string> readInputText(const std::string &path) {
  return readText(HADAL_TRY(openFile(path, /*streams=*/true)), nameOfInput(path));
}

Status checkFolderOf(const std::string &path) {
  if (path.empty() || path == "-")
    return {};
  if (isStream(path))
    return ::access(path.c_str(), W_OK) == 0 ? Status()
                                             : Status(ioError(path + ": " + std::strerror(errno)));
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty())
    folder = ".";
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    return ioError(path + ": there is no folder '" + folder + "'");
  if (::access(folder.c_str(), W_OK) != 0)
    return ioError(path + ": the folder '" + folder + "' cannot be written to");
  if (std::filesystem::is_directory(path, ignored))
    return ioError(path + ": is a folder");
  return {};
}

} // namespace hadal
