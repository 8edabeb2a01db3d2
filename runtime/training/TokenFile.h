//===- TokenFile.h - the tokens of a text corpus, mapped ----------------===//

#ifndef HADAL_RUNTIME_TRAINING_TOKENFILE_H
#define HADAL_RUNTIME_TRAINING_TOKENFILE_H

#include "runtime/File.h"
#include "runtime/Tokenizer.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace hadal {

/// Text files as tokens, read as DataFiles.h says.
///
/// Tokenizing is done once: the tokens are kept in a cache file, written aside and renamed, whose
/// name is the hash of all texts and of the tokenizer. Its layout, little-endian: tokens i32;
/// padding to 8 bytes; where each document begins, and the end, u64; then u64 XXH3-64 of all this,
/// u64 documents, u64 tokens, 16 bytes of the hash, "HADALTK2". Any thread may read it.
class TokenFile {
public:
  using Progress = std::function<void(uint64_t doneBytes, uint64_t totalBytes)>;

  /// `tokenizerFolder` holds tokenizer.json. The cache file lies in `cacheFolder`, which is made.
  /// Errors: "corpus.jsonl: line 17: wants an object with a string "text"", "a.txt: holds no text",
  /// and those of dataFormatOf and checkText.
  static Result<TokenFile> open(const std::vector<std::string> &files,
                                const std::string &tokenizerFolder, const std::string &cacheFolder,
                                const Progress &progress = {});

  uint64_t documents() const { return starts.size() - 1; }
  std::span<const int32_t> document(uint64_t number) const {
    return tokens.subspan(starts[number], starts[number + 1] - starts[number]);
  }

  /// Whether the cache file is still as long as it was (see MappedFile::checkSize).
  Status checkSize() const { return file.checkSize(); }

  /// The hash of texts and tokenizer, in hexadecimal.
  const std::string &key() const { return hash; }

private:
  static Result<TokenFile> map(const std::string &path, const std::string &hash);

  MappedFile file;
  std::span<const int32_t> tokens;
  std::span<const uint64_t> starts;
  std::string hash;
};

/// $XDG_CACHE_HOME/hadal, or ~/.cache/hadal, or a folder in /tmp.
std::string defaultCacheFolder();

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_TOKENFILE_H
