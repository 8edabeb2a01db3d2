//===- FileKind.h - what a file is by its first bytes -------------------===//
//
// A file often is not what its name says: a clone without Git LFS leaves pointers, a failed
// download leaves a web page. This is the one place that recognises such files, so that every
// reader can say what came instead and what to do.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_FILEKIND_H
#define HADAL_RUNTIME_FILEKIND_H

#include "runtime/Result.h"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace hadal {

enum class FileKind {
  Unknown,
  Empty,
  Zeros, ///< 64 zero bytes or more, or nothing but zeros
  GitLfsPointer,
  XetPointer,
  Html, ///< or XML
  Gguf,
  Zip, ///< also what torch.save writes
  Pickle,
  Numpy,
  Hdf5,
  Parquet,
  Arrow,
  Gzip,
  Bzip2,
  Xz,
  Zstandard,
  Tar,
  SevenZip,
  Rar,
  Pdf,
  Elf,         ///< a program or library
  HadalModule, ///< what hadal-compile writes
  Utf16,       ///< by its byte-order mark
  Safetensors,
  Json, ///< begins with { or [, after a byte-order mark of UTF-8 and white space
};

/// What `bytes`, the beginning of a file (512 bytes decide every kind) or all of it, say that the
/// file is.
FileKind recogniseFile(std::span<const std::byte> bytes);

/// "a Git LFS pointer, not the file itself (run 'git lfs pull' in its folder)": what it is, and
/// what helps where something does. Empty for Unknown.
std::string_view describe(FileKind kind);

/// An error for bytes that are known to be something else than `wanted`, a kind that stands after
/// "wants": "safetensors", "JSON", "text".
///
///     DIR/model.safetensors: wants safetensors, is a Git LFS pointer, not the file itself
///                            (run 'git lfs pull' in its folder)
///
/// Kinds in `accepted` pass, and so do unknown ones, whose reader finds the better words. Error
/// code: InvalidFile.
Status refuseForeignFile(const std::string &path, std::span<const std::byte> bytes,
                         std::string_view wanted, std::span<const FileKind> accepted);

/// As above, where one kind is accepted.
inline Status refuseForeignFile(const std::string &path, std::span<const std::byte> bytes,
                                std::string_view wanted, FileKind accepted) {
  return refuseForeignFile(path, bytes, wanted, std::span(&accepted, 1));
}

} // namespace hadal

#endif // HADAL_RUNTIME_FILEKIND_H
