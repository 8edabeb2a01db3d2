//===- RuntimeTest.cpp - files, expressions, modules, threads -----------===//

#include "runtime/File.h"
#include "runtime/Json.h"
#include "runtime/Safetensors.h"
#include "runtime/device/CodeImage.h"
#include "runtime/device/Memory.h"
#include "runtime/device/ThreadPool.h"
#include "runtime/module/Expr.h"
#include "runtime/module/Module.h"
#include "test/tools/FakeModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace hadal;

namespace {

using Code = std::vector<int64_t>;

int64_t valueOf(const Code &code, const Code &registers = {}) {
  EXPECT_TRUE(checkExpr(code, registers.size()).ok());
  auto value = evaluate(code, registers);
  EXPECT_TRUE(value.ok());
  return value.ok() ? *value : -999;
}

// One reader for all JSON: it says where a text goes wrong, and deep nesting is refused before
// anything recurses on it.
TEST(Json, SaysWhatIsWrongAndWhere) {
  auto messageOf = [](const std::string &text) {
    return parseJsonObject(text, "a.json").error().message;
  };
  EXPECT_EQ(messageOf("{\n \"a\": 1,,\n}"), "a.json: line 2, column 9: is no JSON");
  EXPECT_EQ(messageOf(""), "a.json: line 1, column 1: is no JSON");
  EXPECT_EQ(messageOf("[1]"), "a.json: wants an object, got an array");
  EXPECT_EQ(messageOf("7"), "a.json: wants an object, got a number");
  EXPECT_EQ(parseJsonObject("", "").error().message, "line 1, column 1: is no JSON");
}

TEST(Json, NestingIsBounded) {
  auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parseJson(nested(maxJsonDepth), "a").ok());
  EXPECT_EQ(parseJson(nested(maxJsonDepth + 1), "a").error().message,
            "a: nests deeper than 64 levels");
  EXPECT_FALSE(parseJson<nlohmann::ordered_json>(nested(10'000'000), "a").ok());
  EXPECT_FALSE(parseJson(std::string(1000, '{'), "a").ok());
  // Brackets in strings, after an escaped quote too, nest nothing.
  EXPECT_TRUE(parseJson("[\"\\\"" + std::string(1000, '[') + "\", {}]", "a").ok());
  // Deep ones after a string that ends in a backslash do.
  EXPECT_FALSE(parseJson("[\"\\\\\", " + nested(1000) + "]", "a").ok());
}

TEST(Expr, RoundsTowardsMinusInfinity) {
  enum : int64_t { C, R, Add, Mul, Floor, Ceil, Mod, Min };
  EXPECT_EQ(valueOf({C, 7}), 7);
  EXPECT_EQ(valueOf({R, 1}, {3, 5}), 5);
  EXPECT_EQ(valueOf({R, 0, C, 64, Ceil, 0, C, 4096, Mul, 0}, {65}), 8192);
  EXPECT_EQ(valueOf({C, -7, C, 2, Floor, 0}), -4);
  EXPECT_EQ(valueOf({C, -7, C, 2, Ceil, 0}), -3);
  EXPECT_EQ(valueOf({C, -7, C, 4, Mod, 0}), 1);
  EXPECT_EQ(valueOf({C, 3, C, 9, Min, 0}), 3);
  Code readable = {R, 0, C, 64, Ceil, 0};
  std::vector<std::string_view> names = {"tokens"};
  EXPECT_EQ(toString(readable, names), "ceildiv(tokens, 64)");
}

TEST(Expr, OverflowAndDivisionByZeroAreErrors) {
  for (const Code &code :
       {Code{0, INT64_MAX, 0, 1, 2, 0}, Code{0, INT64_MAX, 0, 2, 3, 0}, Code{0, 1, 0, 0, 4, 0},
        Code{0, 1, 0, 0, 5, 0}, Code{0, 1, 0, 0, 6, 0}, Code{0, INT64_MIN, 0, -1, 4, 0}}) {
    ASSERT_TRUE(checkExpr(code, 0).ok());
    EXPECT_FALSE(evaluate(code, {}).ok());
  }
}

TEST(Expr, MalformedCodeIsRefused) {
  for (const Code &code : {Code{}, Code{0}, Code{9, 0}, Code{-1, 0}, Code{1, 2}, Code{1, -1},
                           Code{2, 0}, Code{0, 1, 0, 2}, Code{0, 1, 2, 0}})
    EXPECT_FALSE(checkExpr(code, 2).ok());
  Code deep;
  for (size_t i = 0; i <= maxExprPairs; ++i)
    deep.insert(deep.end(), {0, 1});
  EXPECT_FALSE(checkExpr(deep, 0).ok());
}

// As long as an expression may be, and no longer: a register plus ones.
TEST(Expr, LongestIsTaken) {
  Code sum = {1, 0};
  while (sum.size() / 2 + 2 <= maxExprPairs - 1)
    sum.insert(sum.end(), {0, 1, 2, 0});
  ASSERT_EQ(sum.size() / 2, maxExprPairs - 1);
  EXPECT_EQ(valueOf(sum, {5}), 5 + int64_t(maxExprPairs - 2) / 2);
  sum.insert(sum.end(), {0, 1, 2, 0});
  EXPECT_FALSE(checkExpr(sum, 1).ok());
}

class Files : public testing::Test {
protected:
  void SetUp() override {
    folder = testing::TempDir() + "hadal-runtime-" + std::to_string(getpid());
    std::filesystem::create_directory(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  size_t count() const { return std::distance(std::filesystem::directory_iterator(folder), {}); }
  std::string folder;
};

TEST_F(Files, AnUncommittedFileLeavesNothing) {
  {
    auto file = AtomicFile::create(folder + "/out");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write("half", 4).ok());
  }
  EXPECT_EQ(count(), 0u);
  std::string whole = "whole";
  ASSERT_TRUE(writeFile(folder + "/out", std::as_bytes(std::span(whole))).ok());
  EXPECT_EQ(count(), 1u);
  EXPECT_EQ(*readTextFile(folder + "/out"), "whole");
  EXPECT_FALSE(writeFile(folder + "/nowhere/out", std::as_bytes(std::span(whole))).ok());
}

/// What a signal handler does before it ends the process: nothing half written stays, and what is
/// committed does.
TEST_F(Files, UnfinishedFilesAreRemoved) {
  auto done = AtomicFile::create(folder + "/done"), moved = AtomicFile::create(folder + "/out");
  ASSERT_TRUE(done.ok() && moved.ok());
  ASSERT_TRUE(done->commit().ok());
  AtomicFile open = std::move(*moved);
  ASSERT_TRUE(open.write("half", 4).ok());
  EXPECT_EQ(count(), 2u);
  AtomicFile::removeUnfinished();
  EXPECT_EQ(count(), 1u);
  EXPECT_TRUE(std::filesystem::exists(folder + "/done"));
  EXPECT_FALSE(open.commit().ok());
}

/// A device stays what it is, and so does a link; the file that the link names is replaced.
TEST_F(Files, OnlyRegularFilesAreReplaced) {
  std::string text = "text";
  auto bytes = std::as_bytes(std::span(text));
  std::string pipe = folder + "/pipe", link = folder + "/link", target = folder + "/target";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  EXPECT_TRUE(writeFile(pipe, bytes).ok());
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  char got[8];
  EXPECT_EQ(read(reader, got, sizeof got), 4);
  close(reader);
  std::filesystem::create_symlink("target", link);
  EXPECT_TRUE(writeFile(link, bytes).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(*readTextFile(target), text);
  EXPECT_EQ(writeFile(folder, bytes).error().message, folder + ": is a folder");
}

TEST_F(Files, SafetensorsComeBackAsTheyWere) {
  std::vector<float> a = {1, -2, 3.5f, 0, 5, 6};
  std::vector<int64_t> b = {-1};
  std::vector<float> last = {7, 8};
  std::vector<int64_t> shapeA = {2, 3};
  TensorView viewA = TensorView::of(a);
  viewA.shape = shapeA;
  NamedTensor tensors[] = {{"a", viewA}, {"b", TensorView::of(b)}, {"last", TensorView::of(last)}};
  ASSERT_TRUE(writeSafetensors(folder + "/w.safetensors", tensors).ok());
  auto file = Safetensors::open(folder + "/w.safetensors");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const StoredTensor *stored = file->find("a");
  ASSERT_NE(stored, nullptr);
  EXPECT_EQ(stored->shape, shapeA);
  EXPECT_EQ(std::memcmp(file->data(*stored), a.data(), 24), 0);
  EXPECT_EQ(file->read("b")->as<int64_t>()[0], -1);
  EXPECT_EQ(file->read("last")->as<float>()[1], 8);
  EXPECT_EQ(file->read("c").error().message, folder + "/w.safetensors: no tensor 'c'");
  NamedTensor twice[] = {{"a", viewA}, {"a", viewA}};
  EXPECT_FALSE(writeSafetensors(folder + "/twice", twice).ok());
  EXPECT_EQ(count(), 1u);
}

TEST(SafetensorsHeader, ANameThatComesTwiceIsRefused) {
  std::string entry = R"("a": {"dtype": "F32", "shape": [1], "data_offsets": )",
              header = "{" + entry + "[0, 4]}, " + entry + "[4, 8]}}";
  uint64_t length = header.size();
  std::string file(reinterpret_cast<const char *>(&length), 8);
  file += header + std::string(8, '\0');
  auto parsed = Safetensors::parse(std::as_bytes(std::span(file)), "f");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message, "f: tensor 'a' is there twice");
}

// A tensor of a format that is not known does not make the others unreadable: it is an error when
// its values are asked for, and it can be copied as it is.
TEST_F(Files, ATensorOfAnUnknownDtypeHarmsNoOther) {
  std::string header =
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"s":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[4,8]},)"
      R"("q":{"dtype":"F4","shape":[4],"data_offsets":[8,10]}})";
  uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char *>(&length), 8);
  bytes += header + std::string("\0\0\x80\x3f\x7f\x80\x81\x82\x12\x34", 10);
  auto file = Safetensors::parse(std::as_bytes(std::span(bytes)), "w.safetensors");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->read("a")->as<float>()[0], 1);
  EXPECT_EQ(file->find("s")->element, ElementType::F8E8M0);
  EXPECT_EQ(file->find("q")->element, ElementType::Other);
  EXPECT_EQ(file->find("q")->bytes, 2u);
  EXPECT_EQ(file->read("q").error().message,
            "w.safetensors: tensor 'q' has the dtype F4, which is not read");
  // Sizes of known types are checked.
  std::string cut = bytes;
  cut.replace(cut.find("[4,8]"), 5, "[5,8]");
  EXPECT_EQ(Safetensors::parse(std::as_bytes(std::span(cut)), "w").error().message,
            "w: tensor 's': wants 4 bytes for F8_E8M0 [4], offsets give 3");
  // Copies.
  SafetensorsWriter::Planned plan[] = {SafetensorsWriter::Planned::like(*file->find("q")),
                                       SafetensorsWriter::Planned::like(*file->find("s"))};
  auto writer = SafetensorsWriter::create(folder + "/copy.safetensors", plan);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->write(file->data(*file->find("q"))).ok());
  ASSERT_TRUE(writer->write(file->data(*file->find("s"))).ok());
  ASSERT_TRUE(writer->commit().ok());
  auto copy = Safetensors::open(folder + "/copy.safetensors");
  ASSERT_TRUE(copy.ok()) << copy.error().message;
  EXPECT_EQ(copy->find("q")->dtype, "F4");
  EXPECT_EQ(std::memcmp(copy->data(*copy->find("q")), "\x12\x34", 2), 0);
}

// Shards by index: a shard that is missing, or one outside the folder, is an error.
TEST_F(Files, CheckpointFollowsItsIndex) {
  std::vector<float> a = {1}, b = {2};
  NamedTensor first{"a", TensorView::of(a)}, second{"b", TensorView::of(b)};
  ASSERT_TRUE(writeSafetensors(folder + "/1.safetensors", {&first, 1}).ok());
  ASSERT_TRUE(writeSafetensors(folder + "/2.safetensors", {&second, 1}).ok());
  auto index = [&](const std::string &map) {
    std::ofstream(folder + "/model.safetensors.index.json") << R"({"weight_map": {)" << map << "}}";
  };
  index(R"("a": "1.safetensors", "b": "2.safetensors")");
  auto checkpoint = Checkpoint::open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  ASSERT_TRUE(checkpoint->find("b"));
  EXPECT_EQ(*reinterpret_cast<const float *>(checkpoint->find("b")->data()), 2);
  EXPECT_FALSE(checkpoint->find("c"));
  index(R"("a": "1.safetensors", "b": "3.safetensors")");
  EXPECT_FALSE(Checkpoint::open(folder).ok());
  // This one is there, and would be found.
  std::string way = "../" + std::filesystem::path(folder).filename().string() + "/1.safetensors";
  ASSERT_TRUE(std::filesystem::exists(folder + "/" + way));
  index("\"a\": \"" + way + "\"");
  EXPECT_EQ(Checkpoint::open(folder).error().message,
            folder + "/model.safetensors.index.json: weight_map of 'a' wants a file's name");
}

TEST_F(Files, AnExecutableCarriesAModule) {
  ASSERT_FALSE(Module::openAppended("/proc/self/exe")->has_value());
  auto payload = fake::modulePayload();
  ASSERT_TRUE(appendModule("/proc/self/exe", payload, folder + "/exe").ok());
  auto carried = Module::openAppended(folder + "/exe");
  ASSERT_TRUE(carried.ok()) << carried.error().message;
  ASSERT_TRUE(carried->has_value());
  EXPECT_NE((*carried)->findProgram("decode"), nullptr);
  EXPECT_EQ((*carried)->program("train").error().code, ErrorCode::NotFound);
}

TEST(CodeImage, TwoLiveImagesAreTwo) {
  auto payload = fake::modulePayload();
  auto module = Module::fromBytes(moduleBytes(payload), "fake");
  ASSERT_TRUE(module.ok());
  auto first = CodeImage::load(module->code(0), "first"),
       second = CodeImage::load(module->code(0), "second");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(*first->symbol("fake_argmax"), *second->symbol("fake_argmax"));
  EXPECT_EQ(first->symbol("nothing").error().message, "first: code image has no symbol 'nothing'");
  std::vector<std::byte> junk(100);
  EXPECT_FALSE(CodeImage::load(junk, "junk").ok());
}

TEST(ThreadPool, EveryTaskRunsOnce) {
  for (unsigned threads : {1u, 2u, 5u}) {
    ThreadPool pool(threads);
    for (int64_t tasks : {0, 1, 2, 7, 64, 1001}) {
      std::vector<std::atomic<int>> ran(static_cast<size_t>(tasks));
      for (int repeat = 0; repeat < 20; ++repeat)
        pool.parallelFor(tasks, [&](int64_t begin, int64_t end, unsigned worker) {
          EXPECT_LT(worker, threads);
          for (int64_t i = begin; i < end; ++i)
            ++ran[static_cast<size_t>(i)];
        });
      for (auto &times : ran)
        EXPECT_EQ(times, 20);
    }
  }
}

// A launch ends when all of its tasks have ended, however long those of other workers take.
TEST(ThreadPool, WaitsForItsWorkers) {
  ThreadPool pool(4);
  for (int launch = 0; launch < 10; ++launch) {
    std::atomic<int> done{0};
    pool.parallelFor(8, [&](int64_t begin, int64_t end, unsigned worker) {
      std::this_thread::sleep_for(std::chrono::milliseconds(worker ? 3 : 1));
      done += static_cast<int>(end - begin);
    });
    ASSERT_EQ(done, 8);
  }
}

// Memory is zero, also where it was somebody else's before; what was given back is not counted
// among what there is.
TEST(Buffer, ZeroAndCounted) {
  for (uint64_t bytes : {uint64_t(1), uint64_t(4096), Buffer::smallestMapping, uint64_t(5) << 20})
    for (int round = 0; round < 20; ++round) {
      auto buffer = Buffer::allocate(bytes);
      ASSERT_TRUE(buffer.ok());
      EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + bytes, [](std::byte b) {
        return b == std::byte(0);
      })) << bytes;
      std::memset(buffer->data(), 0xff, bytes);
    }
  uint64_t before = Buffer::peakBytes();
  for (int round = 0; round < 20; ++round)
    ASSERT_TRUE(Buffer::allocate(uint64_t(5) << 20).ok());
  EXPECT_EQ(Buffer::peakBytes(), before);
  EXPECT_FALSE(Buffer::allocate(uint64_t(1) << 50).ok());
}

/// Short launches one after another, with more workers than cores: late workers join the right
/// launch or none.
TEST(ThreadPool, LateWorkersTouchNothing) {
  ThreadPool pool(9);
  int64_t expected = 0;
  std::atomic<int64_t> sum{0};
  for (int64_t launch = 0; launch < 20000; ++launch) {
    int64_t tasks = 2 + launch % 5; // lives as long as the launch
    pool.parallelFor(tasks, [&sum, &tasks](int64_t begin, int64_t end, unsigned) {
      ASSERT_LE(end, tasks);
      for (int64_t i = begin; i < end; ++i)
        sum.fetch_add(i + 1);
    });
    expected += tasks * (tasks + 1) / 2;
    ASSERT_EQ(sum.load(), expected);
  }
}

} // namespace
