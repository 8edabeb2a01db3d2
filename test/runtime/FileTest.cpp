//===- FileTest.cpp - files on disks that are slow, full or wrong -------===//

#include "runtime/File.h"
#include "runtime/Safetensors.h"
#include "runtime/Tensor.h"
#include "runtime/device/CodeImage.h"
#include "runtime/module/Module.h"
#include "test/runtime/SystemCalls.h"
#include "test/tools/FakeModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace hadal;
namespace fs = std::filesystem;

namespace {

class Disk : public testing::Test {
protected:
  void SetUp() override {
    folder = testing::TempDir() + "hadal-disk-" + std::to_string(getpid());
    fs::create_directory(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  size_t count() const { return std::distance(fs::directory_iterator(folder), {}); }
  std::string folder;
};

std::span<const std::byte> bytesOf(const std::string &text) {
  return std::as_bytes(std::span(text));
}

/// A safetensors file: a header, and zeros after it.
std::string safetensors(const std::string &header, size_t dataBytes) {
  uint64_t length = header.size();
  return std::string(reinterpret_cast<const char *>(&length), 8) + header +
         std::string(dataBytes, '\0');
}

std::string errorOf(const std::string &file) {
  auto parsed = Safetensors::parse(bytesOf(file), "f");
  return parsed.ok() ? "" : parsed.error().message;
}

std::string entry(const std::string &name, int size, int begin, int end) {
  return "\"" + name + R"(": {"dtype": "U8", "shape": [)" + std::to_string(size) +
         R"(], "data_offsets": [)" + std::to_string(begin) + ", " + std::to_string(end) + "]}";
}

} // namespace

// The system may write less than it was asked to: the rest follows.
TEST_F(Disk, ShortWritesGoOn) {
  std::string text = "more than three bytes";
  {
    test::LimitedWrites limit(3);
    ASSERT_TRUE(writeFile(folder + "/f", bytesOf(text)).ok());
  }
  EXPECT_EQ(*readTextFile(folder + "/f"), text);
}

// A full disk is an error that names the file, and leaves what was there before.
TEST_F(Disk, FullDisk) {
  ASSERT_TRUE(writeFile(folder + "/f", bytesOf("old")).ok());
  {
    test::LimitedWrites limit(4, 10);
    Status status = writeFile(folder + "/f", bytesOf("more than ten bytes"));
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().message, folder + "/f: No space left on device");
  }
  EXPECT_EQ(*readTextFile(folder + "/f"), "old");
  EXPECT_EQ(count(), 1u);
}

// A file is on disk before it has its name, and its name before the writer is told so.
TEST_F(Disk, ContentsBeforeNames) {
  test::RecordedCalls calls;
  ASSERT_TRUE(writeFile(folder + "/f", bytesOf("text")).ok());
  ASSERT_EQ(calls.all().size(), 3u);
  EXPECT_TRUE(calls.all()[0].starts_with("fsync " + folder + "/f.")) << calls.all()[0];
  EXPECT_EQ(calls.all()[1], "rename " + folder + "/f");
  EXPECT_EQ(calls.all()[2], "fsync " + folder);
}

// Others may read what is written, as far as the mask lets them; programs may be run.
TEST_F(Disk, Permissions) {
  mode_t before = ::umask(027);
  for (bool executable : {false, true}) {
    auto file = AtomicFile::create(folder + "/f", executable);
    ASSERT_TRUE(file.ok() && file->commit().ok());
    struct stat status;
    ASSERT_EQ(::stat((folder + "/f").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, executable ? 0750u : 0640u);
  }
  ::umask(before);
}

TEST_F(Disk, OnlyRegularFilesAreMapped) {
  EXPECT_EQ(MappedFile::open(folder).error().message, folder + ": wants a regular file");
  EXPECT_EQ(MappedFile::open("/dev/null").error().message, "/dev/null: wants a regular file");
  EXPECT_EQ(MappedFile::open(folder + "/none").error().code, ErrorCode::NotFound);
}

// A stream that the user names is read to its end, however it comes; what is read of it can be
// released like a file.
TEST_F(Disk, Streams) {
  std::string pipe = folder + "/pipe", text(300000, 't');
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50)); // after the reader
    std::ofstream out(pipe);
    out << text.substr(0, 5) << std::flush;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    out << text.substr(5);
  });
  auto file = MappedFile::openInput(pipe);
  writer.join();
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->isStream());
  EXPECT_EQ(file->path(), pipe);
  file->release(0, text.size());
  EXPECT_TRUE(std::ranges::equal(file->bytes(), bytesOf(text)));
  ASSERT_TRUE(writeFile(folder + "/f", bytesOf("text")).ok());
  EXPECT_FALSE(MappedFile::openInput(folder + "/f")->isStream());
  EXPECT_EQ(*readInputText(folder + "/f"), "text");
  EXPECT_EQ(MappedFile::openInput(folder).error().message,
            folder + ": wants a regular file or a pipe");
  EXPECT_TRUE(isStream("-") && isStream(pipe) && isStream("/dev/null"));
  EXPECT_FALSE(isStream(folder) || isStream(folder + "/f") || isStream(folder + "/none"));
}

// A writer that has come and gone leaves an empty pipe, which is not waited for.
TEST_F(Disk, StreamsWithoutBytes) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[1]);
  std::string path = "/dev/fd/" + std::to_string(ends[0]);
  EXPECT_EQ(readInputText(path).value(), "");
  ::close(ends[0]);
}

// Code that the system took in pieces is whole code.
TEST_F(Disk, CodeImagesInPieces) {
  auto payload = fake::modulePayload();
  auto module = Module::fromBytes(moduleBytes(payload), "fake");
  ASSERT_TRUE(module.ok());
  test::LimitedWrites limit(1000);
  auto image = CodeImage::load(module->code(0), "code");
  ASSERT_TRUE(image.ok()) << image.error().message;
  EXPECT_TRUE(image->symbol("fake_argmax").ok());
}

TEST_F(Disk, OtherModulesAreRefused) {
  std::vector<std::byte> bytes = moduleBytes(fake::modulePayload());
  auto refusal = [&](size_t at, int bits) {
    auto changed = bytes;
    changed[at] ^= std::byte(bits);
    auto module = Module::fromBytes(changed, "m");
    return module.ok() ? "" : module.error().message;
  };
  EXPECT_EQ(refusal(0, 1), "m: not a hadal module");
  EXPECT_NE(refusal(7, 3).find("version 2"), std::string::npos) << refusal(7, 3);
  EXPECT_NE(refusal(bytes.size() - 1, 1).find("checksum"), std::string::npos);
  EXPECT_NE(refusal(8, 8).find("after its header"), std::string::npos);
}

//===----------------------------------------------------------------------===//
// Safetensors
//===----------------------------------------------------------------------===//

TEST(SafetensorsHeader, PlacesOfTensors) {
  auto two = [](const std::string &a, const std::string &b) {
    return safetensors("{" + a + ", " + b + "}", 8);
  };
  EXPECT_EQ(errorOf(two(entry("a", 4, 0, 4), entry("b", 4, 4, 8))), "");
  EXPECT_EQ(errorOf(two(entry("a", 5, 0, 5), entry("b", 4, 4, 8))),
            "f: tensors 'a' and 'b' overlap");
  EXPECT_EQ(errorOf(two(entry("a", 8, 0, 8), entry("b", 8, 0, 8))),
            "f: tensors 'a' and 'b' overlap");
  EXPECT_NE(
      errorOf(two(entry("a", 4, 0, 4), entry("b", 5, 4, 9))).find("inside the file's 8 bytes"),
      std::string::npos);
  EXPECT_NE(errorOf(two(entry("a", 3, 0, 4), entry("b", 4, 4, 8)))
                .find("wants 3 bytes for U8 [3], offsets give 4"),
            std::string::npos);
  EXPECT_NE(errorOf(two(entry("a", 4, 4, 0), entry("b", 4, 4, 8))).find("data_offsets"),
            std::string::npos);
}

TEST(SafetensorsHeader, Sizes) {
  std::string whole = safetensors("{" + entry("a", 4, 0, 4) + "}", 4);
  EXPECT_EQ(errorOf(whole), "");
  for (uint64_t length : {whole.size() - 7, whole.size(), size_t(1) << 40, size_t(1) << 63}) {
    std::string changed = whole;
    std::memcpy(changed.data(), &length, 8);
    EXPECT_NE(errorOf(changed).find("does not fit the file's"), std::string::npos)
        << length << ": " << errorOf(changed);
  }
  EXPECT_EQ(errorOf(safetensors("{}", 0)), "");
  EXPECT_NE(errorOf("1234567"), "");
}

// Nothing that the format has is nested deep; a parser's stack is not for what is.
TEST(SafetensorsHeader, Depth) {
  auto nested = [](size_t depth) {
    return safetensors(
        R"({"__metadata__": {"a": )" + std::string(depth, '[') + std::string(depth, ']') + "}}", 0);
  };
  EXPECT_EQ(errorOf(nested(3)), "");
  for (size_t depth : {100, 300'000})
    EXPECT_EQ(errorOf(nested(depth)), "f: header nests deeper than 64 levels");
}

TEST_F(Disk, ATensorInTwoShardsIsRefused) {
  std::vector<float> a = {1};
  NamedTensor tensor{"a", TensorView::of(a)};
  for (const char *name : {"/1.safetensors", "/2.safetensors"})
    ASSERT_TRUE(writeSafetensors(folder + name, {&tensor, 1}).ok());
  std::ofstream(folder + "/model.safetensors.index.json")
      << R"({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})";
  auto opened = Checkpoint::open(folder);
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("'a'"), std::string::npos) << opened.error().message;
}

TEST_F(Disk, DataAreAligned) {
  std::vector<float> a = {1, 2}, b = {3};
  for (size_t length = 1; length < 70; ++length) {
    NamedTensor tensors[] = {{std::string(length, 'x'), TensorView::of(a)},
                             {"b", TensorView::of(b)}};
    ASSERT_TRUE(writeSafetensors(folder + "/f", tensors).ok());
    auto file = Safetensors::open(folder + "/f");
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(file->find(std::string(length, 'x'))->offset % 64, 0u) << length;
    EXPECT_EQ(file->read("b")->as<float>()[0], 3);
  }
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

TEST(Shapes, Elements) {
  auto count = [](std::vector<int64_t> shape) { return elementCount(shape); };
  EXPECT_EQ(count({}), 1);
  EXPECT_EQ(count({2, 3}), 6);
  EXPECT_EQ(count({5, 0, 3}), 0);
  EXPECT_EQ(count({-1}), std::nullopt);
  EXPECT_EQ(count({0, -1}), std::nullopt);
  EXPECT_EQ(count({int64_t(1) << 32, int64_t(1) << 32}), std::nullopt);
  EXPECT_EQ(count({int64_t(1) << 32, int64_t(1) << 31}), std::nullopt);
  EXPECT_EQ(byteCount(ElementType::F64, std::vector<int64_t>{int64_t(1) << 60}), std::nullopt);
  EXPECT_FALSE(Tensor::create(ElementType::F32, {-1}).ok());
}
