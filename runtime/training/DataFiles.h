//===- DataFiles.h - which files a run trains on, and whether they are text //

#ifndef HADAL_RUNTIME_TRAINING_DATAFILES_H
#define HADAL_RUNTIME_TRAINING_DATAFILES_H

#include "runtime/File.h"

#include <string>
#include <string_view>
#include <vector>

namespace hadal {

enum class DataFormat {
  JsonLines, ///< *.jsonl, *.ndjson: an object with a string "text" per line, a document each
  Text,      ///< any other file: one document
};

struct DataFiles {
  std::vector<std::string> files; ///< in the order in which they are read
  std::vector<std::string>
      passedOver; ///< files of folders that neither are text by their ending nor seem to be data
};

/// The files that `names` stand for: files, folders and patterns such as "texts/*.txt" (glob(7)).
/// Names keep their order; a pattern's files come sorted, and so do a folder's, with those of the
/// folders inside it. A folder gives its *.txt,
/// *.text, *.jsonl and *.ndjson files, and none that begins with a dot. A file that several names
/// stand for is taken once. Endings are read without regard to case. "-" and pipes are files, too
/// (runtime/File.h).
///
/// Errors: "texts/*.txt: matches no file", "texts: holds no *.txt or *.jsonl file", and those of
/// dataFormatOf for the endings of all files, so that data in a folder which cannot be read is not
/// passed over.
Result<DataFiles> findDataFiles(const std::vector<std::string> &names);

/// How the file is read, by its ending and its first bytes; that of a stream may be JSON lines
/// without an ending that says so. InvalidFile names what it is and what
/// to do where it is neither: "rows.parquet: is a Parquet file; wants text or JSON lines: ...".
Result<DataFormat> dataFormatOf(const MappedFile &file);

/// InvalidFile "a.txt: line 3, byte 17: 0xE9 is not UTF-8; ..." for `text`, whose first line is
/// number `line` of `path`. A NUL is an error, too: no text has one.
Status checkText(const std::string &path, std::string_view text, uint64_t line = 1);

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_DATAFILES_H
