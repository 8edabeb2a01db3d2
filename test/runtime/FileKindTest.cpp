//===- FileKindTest.cpp - files that are not what their names say -------===//

#include "runtime/FileKind.h"
#include "runtime/Safetensors.h"
#include "runtime/Tokenizer.h"
#include "runtime/module/Module.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace hadal;

namespace {

using namespace std::string_literals;

FileKind kindOf(const std::string &text) { return recogniseFile(std::as_bytes(std::span(text))); }

const std::string lfsPointer =
    "version https://git-lfs.github.com/spec/v1\noid sha256:3f1c\nsize 4976698672\n";

// Each kind by a beginning that a real file of it has.
TEST(FileKind, FirstBytesSayWhatAFileIs) {
  EXPECT_EQ(kindOf(""), FileKind::Empty);
  EXPECT_EQ(kindOf(std::string(4096, '\0')), FileKind::Zeros);
  EXPECT_EQ(kindOf(lfsPointer), FileKind::GitLfsPointer);
  EXPECT_EQ(kindOf("# xet version 0\nfilesize = 12\n"), FileKind::XetPointer);
  for (const char *page : {"<!DOCTYPE html><html>", "<!doctype HTML>", "\n  <html lang=en>",
                           "<?xml version='1.0'?><Error>", "\xef\xbb\xbf<HTML>"})
    EXPECT_EQ(kindOf(page), FileKind::Html) << page;
  EXPECT_EQ(kindOf("GGUF\3\0\0\0"s), FileKind::Gguf);
  EXPECT_EQ(kindOf("PK\3\4\0\0\0\0\0\0"s), FileKind::Zip);
  EXPECT_EQ(kindOf("\x80\2\x8a\nl\xfc"s), FileKind::Pickle);
  EXPECT_EQ(kindOf("\x93NUMPY\1\0"s), FileKind::Numpy);
  EXPECT_EQ(kindOf("\x89HDF\r\n\x1a\n"s), FileKind::Hdf5);
  EXPECT_EQ(kindOf("PAR1\x15"s), FileKind::Parquet);
  EXPECT_EQ(kindOf("\x1f\x8b\x08\0\0\0\0\0\0\3"s), FileKind::Gzip);
  EXPECT_EQ(kindOf("BZh91AY"), FileKind::Bzip2);
  EXPECT_EQ(kindOf("\xfd"
                   "7zXZ\0\0"s),
            FileKind::Xz);
  EXPECT_EQ(kindOf("\x28\xb5\x2f\xfd\x04"s), FileKind::Zstandard);
  EXPECT_EQ(kindOf("lmgg\0\0\0\0"s), FileKind::Gguf);
  EXPECT_EQ(kindOf("7z\xbc\xaf\x27\x1c\0\4"s), FileKind::SevenZip);
  EXPECT_EQ(kindOf("Rar!\x1a\7\1\0"s), FileKind::Rar);
  EXPECT_EQ(kindOf("%PDF-1.7\n"), FileKind::Pdf);
  EXPECT_EQ(kindOf("\x7f"
                   "ELF\2\1\1"s),
            FileKind::Elf);
  EXPECT_EQ(kindOf("HADAL\0\0\1"s + std::string(16, 'x')), FileKind::HadalModule);
  EXPECT_EQ(kindOf("\xff\xfe{\0"s), FileKind::Utf16);
  EXPECT_EQ(kindOf(std::string(257, 'a') + "ustar\0"s), FileKind::Tar);
  EXPECT_EQ(kindOf("{\"a\": 1}"), FileKind::Json);
  EXPECT_EQ(kindOf("\xef\xbb\xbf \n[1]"), FileKind::Json);
  EXPECT_EQ(kindOf("In the beginning"), FileKind::Unknown);
}

// The length of a header may look like another format's magic: gzip's 1f 8b 08 is a header of
// 559,903 bytes.
TEST(FileKind, AHeaderOfAnyLengthIsSafetensors) {
  EXPECT_EQ(kindOf("\x1f\x8b\x08\0\0\0\0\0{\"a\""s), FileKind::Safetensors);
  EXPECT_EQ(kindOf("PK\3\4\0\0\0\0{\""s), FileKind::Safetensors);
}

// An error says what came and what helps, and a kind without words would say nothing.
TEST(FileKind, EveryKindHasWords) {
  for (int kind = static_cast<int>(FileKind::Unknown) + 1; kind <= static_cast<int>(FileKind::Json);
       ++kind)
    EXPECT_FALSE(describe(static_cast<FileKind>(kind)).empty()) << kind;
}

class ForeignFiles : public ::testing::Test {
protected:
  void SetUp() override {
    folder =
        (std::filesystem::temp_directory_path() / ("hadal-kinds-" + std::to_string(::getpid())))
            .string();
    std::filesystem::create_directory(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  void write(const std::string &name, const std::string &text) {
    std::ofstream(folder + "/" + name, std::ios::binary) << text;
  }
  std::string errorOfOpening() {
    auto checkpoint = Checkpoint::open(folder);
    return checkpoint.ok() ? "" : checkpoint.error().message;
  }

  std::string folder;
};

TEST_F(ForeignFiles, WeightsThatAreNone) {
  write("model.safetensors", lfsPointer);
  EXPECT_EQ(
      errorOfOpening(),
      folder +
          "/model.safetensors: wants safetensors, is a Git LFS pointer, not the file itself (run "
          "'git lfs pull' in its folder)");
  write("model.safetensors", "{\"error\":\"Repository not found\"}");
  EXPECT_EQ(errorOfOpening(), folder + "/model.safetensors: wants safetensors, is JSON text");
  write("model.safetensors", "Entry not found");
  EXPECT_EQ(
      errorOfOpening(),
      folder +
          "/model.safetensors: wants safetensors, is text that begins with \"Entry not found\"");
  // Bytes of no format that has a name here; no length that they happen to spell.
  write("model.safetensors", "\x90\x81\x7f\x1c\x33\x52\x61\x70 and more");
  EXPECT_EQ(errorOfOpening(),
            folder + "/model.safetensors: wants safetensors, is a file of another format");
}

// A pointer lies where the large files of a repository are: a tokenizer, a module.
TEST_F(ForeignFiles, OtherFilesThatAreNone) {
  write("tokenizer.json", lfsPointer);
  write("m.hadal", "PK\3\4");
  std::string pointer = ": wants JSON, is a Git LFS pointer, not the file itself (run 'git lfs "
                        "pull' in its folder)";
  EXPECT_EQ(Tokenizer::open(folder).error().message, folder + "/tokenizer.json" + pointer);
  EXPECT_EQ(Module::open(folder + "/m.hadal").error().message,
            folder + "/m.hadal: wants a module of hadal-compile, is " +
                std::string(describe(FileKind::Zip)));
  write("tokenizer.json", "{}");
  write("tokenizer_config.json", lfsPointer);
  EXPECT_EQ(Tokenizer::open(folder).error().message, folder + "/tokenizer_config.json" + pointer);
}

TEST_F(ForeignFiles, AnIndexThatIsNone) {
  write("model.safetensors.index.json", lfsPointer);
  EXPECT_EQ(errorOfOpening(), folder + "/model.safetensors.index.json: wants JSON, is a Git LFS "
                                       "pointer, not the file itself (run "
                                       "'git lfs pull' in its folder)");
}

TEST_F(ForeignFiles, AFolderOfOtherFormats) {
  write("pytorch_model-00001-of-00002.bin", "PK\3\4");
  write("pytorch_model-00002-of-00002.bin", "PK\3\4");
  EXPECT_EQ(
      errorOfOpening(),
      folder +
          ": wants model.safetensors, model.safetensors.index.json or one *.safetensors file, has "
          "only pytorch_model-00001-of-00002.bin and 1 more, in a format that hadal does not read");
}

} // namespace
