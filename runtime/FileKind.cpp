//===- FileKind.cpp - what a file is by its first bytes -----------------===//

#include "runtime/FileKind.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>

namespace hadal {

using namespace std::string_view_literals;

namespace {

struct Magic {
  std::string_view bytes;
  FileKind kind;
};

/// Sources: the formats' own descriptions, and file(1)'s magic for the compressed ones.
constexpr Magic magics[] = {
    {"version https://git-lfs.github.com/"sv, FileKind::GitLfsPointer},
    {"# xet version "sv, FileKind::XetPointer},
    {"GGUF"sv, FileKind::Gguf},
    {"FUGG"sv, FileKind::Gguf},
    {"lmgg"sv, FileKind::Gguf}, // GGML, which came before
    {"tjgg"sv, FileKind::Gguf},
    {"PK\3\4"sv, FileKind::Zip},
    {"PK\5\6"sv, FileKind::Zip},
    {"\x93NUMPY"sv, FileKind::Numpy},
    {"\x89HDF\r\n\x1a\n"sv, FileKind::Hdf5},
    {"PAR1"sv, FileKind::Parquet},
    {"ARROW1\0\0"sv, FileKind::Arrow},
    {"\x1f\x8b"sv, FileKind::Gzip},
    {"BZh"sv, FileKind::Bzip2},
    {"\3757zXZ\0"sv, FileKind::Xz},
    {"\x28\xb5\x2f\xfd"sv, FileKind::Zstandard},
    {"7z\xbc\xaf\x27\x1c"sv, FileKind::SevenZip},
    {"Rar!\x1a\7"sv, FileKind::Rar},
    {"%PDF-"sv, FileKind::Pdf},
    {"\177ELF"sv, FileKind::Elf},
    {"HADAL\0\0"sv, FileKind::HadalModule},
    {"\xff\xfe"sv, FileKind::Utf16},
    {"\xfe\xff"sv, FileKind::Utf16},
};

/// The length of a header that may be one, and its JSON. Asked first: a length may look like
/// another kind's magic.
bool beginsLikeSafetensors(std::string_view bytes) {
  uint64_t length;
  if (bytes.size() < 9)
    return false;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length >= 2 && length <= (uint64_t(1) << 40) && bytes[8] == '{';
}

bool isSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view withoutMarkAndSpace(std::string_view bytes) {
  if (bytes.starts_with("\xef\xbb\xbf"))
    bytes.remove_prefix(3);
  while (!bytes.empty() && isSpace(bytes.front()))
    bytes.remove_prefix(1);
  return bytes;
}

bool beginsLikeMarkup(std::string_view text) {
  for (std::string_view tag :
       {"<!doctype"sv, "<html"sv, "<head"sv, "<body"sv, "<?xml"sv, "<!--"sv, "<error"sv})
    if (text.size() >= tag.size() &&
        std::equal(tag.begin(), tag.end(), text.begin(),
                   [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); }))
      return true;
  return false;
}

/// Protocols 2 to 5 begin with their number; what torch.save wrote before it wrote ZIP is such a
/// stream.
bool beginsLikePickle(std::string_view bytes) {
  return bytes.size() > 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5;
}

} // namespace

FileKind recogniseFile(std::span<const std::byte> begin) {
  std::string_view bytes(reinterpret_cast<const char *>(begin.data()),
                         std::min<size_t>(begin.size(), 512));
  if (bytes.empty())
    return FileKind::Empty;
  if (bytes.find_first_not_of('\0') >= std::min<size_t>(64, bytes.size()))
    return FileKind::Zeros;
  if (beginsLikeSafetensors(bytes))
    return FileKind::Safetensors;
  for (const Magic &magic : magics)
    if (bytes.starts_with(magic.bytes))
      return magic.kind;
  if (beginsLikePickle(bytes))
    return FileKind::Pickle;
  if (bytes.size() >= 262 && bytes.substr(257, 5) == "ustar")
    return FileKind::Tar;
  std::string_view text = withoutMarkAndSpace(bytes);
  if (beginsLikeMarkup(text))
    return FileKind::Html;
  if (!text.empty() && (text.front() == '{' || text.front() == '['))
    return FileKind::Json;
  return FileKind::Unknown;
}

std::string_view describe(FileKind kind) {
  switch (kind) {
  case FileKind::Unknown: return "";
  case FileKind::Empty: return "empty";
  case FileKind::Zeros: return "a file that begins with zeros (an unfinished download?)";
  case FileKind::GitLfsPointer:
    return "a Git LFS pointer, not the file itself (run 'git lfs pull' in its folder)";
  case FileKind::XetPointer:
    return "a Xet pointer, not the file itself (check it out with git-xet, or use 'hf download')";
  case FileKind::Html: return "an HTML or XML page (of a download that failed?)";
  case FileKind::Gguf:
    return "a GGUF (or GGML) file, which is llama.cpp's format (take the model's safetensors "
           "files)";
  case FileKind::Zip:
    return "a ZIP archive, as PyTorch's .bin and .pt files are (take or make safetensors files)";
  case FileKind::Pickle:
    return "a Python pickle, as PyTorch's old .bin files are (take or make safetensors files)";
  case FileKind::Numpy: return "a NumPy array";
  case FileKind::Hdf5: return "an HDF5 file";
  case FileKind::Parquet: return "a Parquet file";
  case FileKind::Arrow: return "an Arrow file";
  case FileKind::Gzip: return "compressed by gzip (unpack it first)";
  case FileKind::Bzip2: return "compressed by bzip2 (unpack it first)";
  case FileKind::Xz: return "compressed by xz (unpack it first)";
  case FileKind::Zstandard: return "compressed by zstd (unpack it first)";
  case FileKind::Tar: return "a tar archive (unpack it first)";
  case FileKind::SevenZip: return "a 7z archive (unpack it first)";
  case FileKind::Rar: return "a RAR archive (unpack it first)";
  case FileKind::Pdf: return "a PDF";
  case FileKind::Elf: return "a program or library (ELF)";
  case FileKind::HadalModule: return "a module of hadal-compile";
  case FileKind::Utf16: return "text in UTF-16 (write it in UTF-8)";
  case FileKind::Safetensors: return "a safetensors file";
  case FileKind::Json: return "JSON text";
  }
  return "";
}

Status refuseForeignFile(const std::string &path, std::span<const std::byte> bytes,
                         std::string_view wanted, std::span<const FileKind> accepted) {
  FileKind kind = recogniseFile(bytes);
  if (kind == FileKind::Unknown ||
      std::find(accepted.begin(), accepted.end(), kind) != accepted.end())
    return {};
  return invalidFile(path + ": wants " + std::string(wanted) + ", is " +
                     std::string(describe(kind)));
}

} // namespace hadal
