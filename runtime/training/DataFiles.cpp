//===- DataFiles.cpp - which files a run trains on, and whether they are text =//

#include "runtime/training/DataFiles.h"

#include "runtime/FileKind.h"
#include "runtime/Json.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>
#include <filesystem>
#include <glob.h>
#include <set>

using namespace hadal;
namespace fs = std::filesystem;

namespace {

constexpr const char *wanted =
    "wants text in UTF-8, or JSON lines (*.jsonl: an object with \"text\" per line)";

std::string endingOf(const std::string &path) {
  std::string ending = fs::path(path).extension().string();
  for (char &c : ending)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return ending;
}

bool isJsonLines(const std::string &ending) { return ending == ".jsonl" || ending == ".ndjson"; }
bool isPlainText(const std::string &ending) { return ending == ".txt" || ending == ".text"; }

Error refuse(const std::string &path, std::string_view what) {
  return invalidFile(path + ": is " + std::string(what) + "; " + wanted);
}

/// What a file is, in words for data.
std::string_view describeData(FileKind kind) {
  return kind == FileKind::Zip      ? "a ZIP archive (unpack it first)"
         : kind == FileKind::Pickle ? "a Python pickle"
         : kind == FileKind::Json   ? "JSON, not JSON lines"
                                    : describe(kind);
}

/// Endings that say what a file is even where its bytes could pass for text.
struct Ending {
  std::string_view ending;
  FileKind kind; ///< Unknown:
  std::string_view what = {};
};
constexpr Ending endings[] = {
    {".parquet", FileKind::Parquet},
    {".arrow", FileKind::Arrow},
    {".feather", FileKind::Arrow},
    {".json", FileKind::Json},
    {".gz", FileKind::Gzip},
    {".tgz", FileKind::Gzip},
    {".zst", FileKind::Zstandard},
    {".xz", FileKind::Xz},
    {".bz2", FileKind::Bzip2},
    {".zip", FileKind::Zip},
    {".tar", FileKind::Tar},
    {".safetensors", FileKind::Safetensors},
    {".gguf", FileKind::Gguf},
    {".npy", FileKind::Numpy},
    {".npz", FileKind::Numpy},
    {".h5", FileKind::Hdf5},
    {".hdf5", FileKind::Hdf5},
    {".pkl", FileKind::Pickle},
    {".pt", FileKind::Pickle},
    {".csv", FileKind::Unknown, "a table (write its texts as JSON lines)"},
    {".tsv", FileKind::Unknown, "a table (write its texts as JSON lines)"},
    {".lz4", FileKind::Unknown, "compressed by lz4 (unpack it first)"},
    {".7z", FileKind::Unknown, "a 7z archive (unpack it first)"},
    {".sqlite", FileKind::Unknown, "a database"},
    {".pdf", FileKind::Unknown, "a PDF"},
};

Status checkEnding(const std::string &path) {
  std::string ending = endingOf(path);
  for (const Ending &known : endings)
    if (ending == known.ending)
      return refuse(path, known.kind == FileKind::Unknown ? known.what : describeData(known.kind));
  return {};
}

/// Of a file that begins as JSON does.
bool isJsonByFirstLine(std::string_view text, bool wantsText) {
  size_t begin = text.find_first_of("{[");
  std::string_view line = text.substr(begin, std::min(text.find('\n', begin), text.size()) - begin);
  auto json = parseJson(line, "");
  return json.ok() && (!wantsText || (json->is_object() && json->contains("text")));
}

class Finder {
public:
  Status add(const std::string &name) {
    if (isStream(name)) {
      found.files.push_back(name);
      return {};
    }
    std::error_code code;
    fs::file_status status = fs::status(name, code);
    if (fs::is_directory(status))
      return addFolder(name);
    if (fs::is_regular_file(status))
      return addFile(name);
    return name.find_first_of("*?[") != name.npos
               ? addPattern(name)
               : Status(notFound(name + ": No such file or directory"));
  }

  DataFiles found;

private:
  Status addFile(const std::string &path) {
    HADAL_TRY(checkEnding(path));
    std::error_code code;
    if (seen.insert(fs::canonical(path, code).string()).second)
      found.files.push_back(path);
    return {};
  }

  Status addFolder(const std::string &folder) {
    std::vector<std::string> inside;
    std::error_code code, ignored;
    fs::recursive_directory_iterator it(folder, code), end;
    for (; !code && it != end; it.increment(code)) {
      if (it->path().filename().string().starts_with('.')) {
        if (it->is_directory(ignored))
          it.disable_recursion_pending();
      } else if (it->is_regular_file(ignored)) {
        inside.push_back(it->path().string());
      }
    }
    if (code)
      return ioError(folder + ": " + code.message());
    std::sort(inside.begin(), inside.end());
    bool isEmpty = true;
    for (const std::string &path : inside) {
      std::string ending = endingOf(path);
      HADAL_TRY(checkEnding(path));
      if (!isJsonLines(ending) && !isPlainText(ending)) {
        found.passedOver.push_back(path);
        continue;
      }
      isEmpty = false;
      HADAL_TRY(addFile(path));
    }
    return isEmpty ? Status(notFound(folder + ": holds no *.txt or *.jsonl file")) : Status();
  }

  Status addPattern(const std::string &pattern) {
    glob_t matches = {};
    int failed = ::glob(pattern.c_str(), GLOB_ERR, nullptr, &matches);
    std::vector<std::string> paths(matches.gl_pathv,
                                   matches.gl_pathv + (failed ? 0 : matches.gl_pathc));
    ::globfree(&matches);
    if (failed && failed != GLOB_NOMATCH)
      return ioError(pattern + ": a folder cannot be read");
    if (paths.empty())
      return notFound(pattern + ": matches no file");
    std::sort(paths.begin(), paths.end()); // whatever the locale
    for (const std::string &path : paths)
      HADAL_TRY(add(path));
    return {};
  }

  std::set<std::string> seen; ///< canonical paths
};

} // namespace

Result<DataFiles> hadal::findDataFiles(const std::vector<std::string> &names) {
  Finder finder;
  for (const std::string &name : names)
    HADAL_TRY(finder.add(name));
  return std::move(finder.found);
}

Result<DataFormat> hadal::dataFormatOf(const MappedFile &file) {
  const std::string &path = file.path();
  HADAL_TRY(checkEnding(path));
  std::string ending = endingOf(path);
  FileKind kind = recogniseFile(file.bytes());
  if (kind == FileKind::Json) {
    std::string_view text(reinterpret_cast<const char *>(file.bytes().data()), file.bytes().size());
    // What comes through a pipe has no name to say what it is.
    if (isJsonLines(ending) || (file.isStream() && isJsonByFirstLine(text, /*wantsText=*/true)))
      return DataFormat::JsonLines;
    // JSON under another name would be trained on with its braces and keys. A *.txt is believed,
    // unless it holds rows.
    if (isJsonByFirstLine(text, /*wantsText=*/isPlainText(ending)))
      return refuse(path, isPlainText(ending)
                              ? "JSON by its first line (name it *.jsonl)"
                              : "JSON by its first line (name it *.jsonl, or *.txt if it is text)");
  } else if (kind == FileKind::Html ? isPlainText(ending) || isJsonLines(ending)
                                    : kind != FileKind::Unknown && kind != FileKind::Empty) {
    return refuse(path, describeData(kind));
  }
  return isJsonLines(ending) ? DataFormat::JsonLines : DataFormat::Text;
}

Status hadal::checkText(const std::string &path, std::string_view text, uint64_t line) {
  uint64_t begin = 0;
  for (uint64_t at = 0; at < text.size();) {
    Utf8Step step = nextUtf8(text.substr(at));
    bool isNul = step.kind == Utf8Step::Character && text[at] == '\0';
    if (step.kind != Utf8Step::Character || isNul) {
      char byte[8];
      std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned char>(text[at]));
      return invalidFile(path + ": line " + std::to_string(line) + ", byte " +
                         std::to_string(at - begin + 1) + ": " + byte +
                         (isNul ? " (NUL) stands in no text; " : " is not UTF-8; ") + wanted);
    }
    if (text[at] == '\n') {
      ++line;
      begin = at + 1;
    }
    at += step.bytes;
  }
  return {};
}
