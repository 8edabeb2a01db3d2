//===- File.h - reading by mapping, writing atomically ------------------===//
//
// Files that a user names on a command line may also be streams: "-", which is standard input or
// standard output, or a pipe (mkfifo, and /dev/fd/N of a shell's process substitution). openInput()
// and its like read them, AtomicFile and what is built on it write them. Files that lie in folders
// are regular files.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_FILE_H
#define HADAL_RUNTIME_FILE_H

#include "runtime/Result.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hadal {

/// Whether it is "-", or a pipe or device that is there.
bool isStream(const std::string &path);

/// What errors call an input: "standard input" for "-", else its path.
std::string nameOfInput(const std::string &path);

/// A file mapped read-only. Move-only; unmapped on destruction. An empty file maps to an empty
/// span. Where the file becomes shorter, reading what it has lost raises SIGBUS:
/// nameShrunkenFiles().
class MappedFile {
public:
  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept;
  MappedFile &operator=(MappedFile &&other) noexcept;
  ~MappedFile();

  /// Errors: NotFound or Io, "model.hadal: No such file or directory"; Io for anything but a
  /// regular file.
  static Result<MappedFile> open(const std::string &path);

  /// The same of a file that the user names. A stream is read to its end into memory, and called
  /// by nameOfInput(). Io for a named pipe that nothing opens for writing within five seconds.
  static Result<MappedFile> openInput(const std::string &path);

  std::span<const std::byte> bytes() const { return {base, size}; }
  const std::string &path() const { return name; }

  /// Whether openInput() has read it from a stream.
  bool isStream() const { return streamed; }

  /// Drops the resident pages that lie wholly inside [offset, offset + length). They come back from
  /// the file when they are read again.
  void release(uint64_t offset, uint64_t length) const;

  /// Io where the file has become shorter than it was when it was mapped: "w: has become shorter
  /// while it was read". Inside the last page that is left reading gives zeros and no signal.
  Status checkSize() const;

  /// Asks the system to read [offset, offset + length) ahead.
  void willNeed(uint64_t offset, uint64_t length) const;

private:
  /// Takes the descriptor.
  static Result<MappedFile> map(std::string name, int descriptor, size_t size);

  std::string name;
  const std::byte *base = nullptr;
  size_t size = 0;
  int descriptor = -1;
  bool streamed = false;
};

/// Writes a file that appears whole or not at all: bytes go to a temporary name in the same folder;
/// commit() syncs and renames it onto `path`; without a commit the temporary file is removed. A
/// stream is written to directly.
class AtomicFile {
public:
  AtomicFile(AtomicFile &&other) noexcept;
  AtomicFile &operator=(AtomicFile &&) = delete;
  ~AtomicFile();

  /// `executable`: the file gets mode 0755 (less the umask), otherwise 0644.
  static Result<AtomicFile> create(const std::string &path, bool executable = false);

  Status write(std::span<const std::byte> bytes);
  Status write(const void *data, size_t size) {
    return write({static_cast<const std::byte *>(data), size});
  }

  /// Bytes written so far.
  uint64_t position() const { return written; }

  Status commit();

  /// Removes the temporary files of all that are not committed. For a signal handler that ends the
  /// process.
  static void removeUnfinished();

private:
  AtomicFile() = default;
  std::string path, temporary;
  int place = -1; ///< of `temporary` among those that removeUnfinished() knows; -1: it does not
  int descriptor = -1;
  uint64_t written = 0;
};

/// Writes to an open descriptor until all is written. IoError, which `name` begins.
Status writeAll(int descriptor, const std::string &name, std::span<const std::byte> bytes);

/// The whole file, atomically.
Status writeFile(const std::string &path, std::span<const std::byte> bytes);

/// From now on a read of a mapped file that has become shorter, on any thread, ends the process
/// with exit status 1 and one line: "PROGRAM: ckpt/model.safetensors: has become shorter while it
/// was read". `program` must stay.
void nameShrunkenFiles(const char *program);

/// The whole of a file that the user names, read into memory. Errors as of MappedFile::openInput.
Result<std::vector<std::byte>> readInputBytes(const std::string &path);

/// The whole file as a string (small text files such as config.json; at most 1 GiB).
Result<std::string> readTextFile(const std::string &path);

/// The same of a file that the user names.
Result<std::string> readInputText(const std::string &path);

/// Says before the work, not after it, that an output cannot be written. An empty path is no
/// output.
Status checkFolderOf(const std::string &path);

} // namespace hadal

#endif // HADAL_RUNTIME_FILE_H
