//===- CheckpointTest.cpp - checkpoints of the fake job ---------------===//

#include "runtime/training/CheckpointFiles.h"
#include "test/runtime/SystemCalls.h"
#include "test/training/TrainingJob.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>

using namespace hadal;
using namespace hadal::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> namesUnder(const std::string &folder) {
  std::vector<std::string> names;
  for (const auto &entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

template <typename T> Status statusOf(const Result<T> &result) {
  return result.ok() ? Status() : Status(result.error());
}

std::string contents(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

} // namespace

// A run that stops, is read back and goes on has the weights, moments and averages of one that does
// not stop.
TEST_F(Training, ResumesBitForBit) {
  Job whole, first, second;
  ASSERT_TRUE(whole.trainables->draw(1).ok());
  ASSERT_TRUE(first.trainables->draw(1).ok());
  ASSERT_TRUE(whole.trainables->startAverages().ok());
  ASSERT_TRUE(first.trainables->startAverages().ok());
  run(whole, 1, 9);
  run(first, 1, 4);
  {
    auto checkpoints = Checkpoints::open(folder + "/out", 0);
    ASSERT_TRUE(checkpoints.ok()) << checkpoints.error().message;
    EXPECT_FALSE(Checkpoints::open(folder + "/out", 0).ok()) << "two writers";
    Status written = checkpoints->write(*first.trainables, {4, {"k", 1, 2, 3}, {}}, companions());
    ASSERT_TRUE(written.ok()) << written.error().message;
  }
  auto newest = newestCheckpoint(folder + "/out");
  ASSERT_EQ(newest, folder + "/out/step-00000004");
  auto opened = Checkpoint::open(*newest);
  ASSERT_TRUE(opened.ok());
  auto manifest = verifyCheckpoint(*newest);
  ASSERT_TRUE(manifest.ok()) << manifest.error().message;
  EXPECT_EQ(manifest->progress.step, 4);
  EXPECT_EQ(manifest->progress.data.key, "k");
  EXPECT_EQ(manifest->progress.data.seed, 1u);
  EXPECT_EQ(manifest->progress.data.epoch, 2u);
  EXPECT_EQ(manifest->progress.data.row, 3u);
  Status resumed = resumeFrom(*newest, *opened, *second.trainables);
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  run(second, 5, 9);
  for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment, Values::Average})
    for (size_t i = 0; i < 5; ++i)
      if (whole.trainables->has(values, whole.trainables->tensors()[i]))
        EXPECT_EQ(whole.values(values, i), second.values(values, i))
            << valuesName(values) << " " << i;
}

// A checkpoint is a model that others read: its configuration, every expert by name, copies, and
// tensors that are not trained.
TEST_F(Training, CheckpointContents) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::vector<uint16_t> halves = {1, 2, 3};
  std::vector<float> old(V * 2, 7);
  fs::create_directories(folder + "/source");
  std::vector<NamedTensor> source = {
      {"model.layers.2.embed_tokens.weight", TensorView::of(old, {V, 2})},
      {"other", {ElementType::BF16, {3}, halves.data()}}};
  ASSERT_TRUE(writeSafetensors(folder + "/source/model.safetensors", source).ok());
  std::ofstream(folder + "/source/tokenizer.json") << "{}";
  auto from = Checkpoint::open(folder + "/source");
  ASSERT_TRUE(from.ok());
  auto all = companions();
  all.source = &*from;
  all.tokenizer = *readTokenizerFiles(folder + "/source");
  auto checkpoints = Checkpoints::open(folder + "/out", 0);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {100, {}, {}}, all).ok());
  std::string path = folder + "/out/step-00000100";
  auto file = Safetensors::open(path + "/model.safetensors");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->tensors().size(), 7u);
  EXPECT_EQ(file->metadata().at("format"), "pt");
  Tensor table = file->read("model.embed_tokens.weight").value(),
         copy = file->read("model.layers.2.embed_tokens.weight").value();
  EXPECT_TRUE(
      std::equal(table.as<float>().begin(), table.as<float>().end(), copy.as<float>().begin()))
      << "a fresh copy";
  EXPECT_EQ(std::vector<float>(table.as<float>().begin(), table.as<float>().end()),
            job.values(Values::Weight, 0));
  EXPECT_EQ(file->find("other")->element, ElementType::BF16);
  auto config = nlohmann::json::parse(contents(path + "/config.json"));
  EXPECT_EQ(config["dtype"], "float32");
  EXPECT_FALSE(config.contains("torch_dtype"));
  EXPECT_FALSE(config.contains("quantization_config"));
  EXPECT_EQ(config["rms_norm_eps"], 1e-6);
  EXPECT_EQ(contents(path + "/tokenizer.json"), "{}");
  EXPECT_FALSE(fs::exists(path + "/optimizer/config.json"));
}

// Weights beyond a file's size lie in shards with an index, and are read back as one checkpoint.
TEST_F(Training, Shards) {
  Job job, other;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  OwnTensors own(*job.trainables);
  CheckpointFolder to(folder);
  ASSERT_TRUE(writeWeights(to, "", *job.trainables, own, 1, nullptr, {.limit = 2100}).ok());
  EXPECT_EQ(to.files().size(), 4u);
  EXPECT_TRUE(fs::exists(folder + "/model-00001-of-00003.safetensors"));
  auto opened = Checkpoint::open(folder);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->size(), 6u);
  ASSERT_TRUE(other.trainables->load(*opened).ok());
  for (size_t i = 0; i < 5; ++i)
    EXPECT_EQ(job.values(Values::Weight, i), other.values(Values::Weight, i));
}

// Half-written folders are no checkpoints, and are removed by the next run; old ones go when only
// some are kept. A run that goes on from an older checkpoint renames those that it meets.
TEST_F(Training, Folders) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out";
  for (const char *name : {"/.step-00000900.part/optimizer", "/.step-00000900.old", "/.best.part",
                           "/.step-mine.part", "/.step-00000900"})
    fs::create_directories(out + name);
  EXPECT_EQ(newestCheckpoint(out), std::nullopt);
  auto write = [&](Checkpoints &checkpoints, int64_t step) {
    Status written = checkpoints.write(*job.trainables, {step, {}, {}}, companions());
    ASSERT_TRUE(written.ok()) << written.error().message;
  };
  {
    auto checkpoints = Checkpoints::open(out, 2);
    EXPECT_EQ(namesUnder(out),
              (std::vector<std::string>{".lock", ".step-00000900", ".step-mine.part"}))
        << "others' folders stay";
    for (int64_t step : {2, 6, 10})
      write(*checkpoints, step);
    EXPECT_EQ(checkpointsUnder(out),
              (std::vector<std::string>{out + "/step-00000006", out + "/step-00000010"}));
    write(*checkpoints, 4);
    write(*checkpoints, 10);
    write(*checkpoints, 10);
  }
  EXPECT_EQ(namesUnder(out),
            (std::vector<std::string>{".lock", ".step-00000900", ".step-mine.part", "step-00000004",
                                      "step-00000006.replaced", "step-00000010",
                                      "step-00000010.replaced", "step-00000010.replaced-2"}));
  EXPECT_EQ(newestCheckpoint(out), out + "/step-00000010");
  EXPECT_EQ(newestCheckpoint(out + "/step-00000004"), out + "/step-00000004");
  { auto unused = Checkpoints::open(folder + "/unused", 0); }
  EXPECT_FALSE(fs::exists(folder + "/unused"));
}

// `step-` and digits, and nothing else, is a checkpoint; steps are numbers; copies are neither
// picked nor removed.
TEST_F(Training, OnlyStepsAreCheckpoints) {
  EXPECT_EQ(stepOfName("out/step-00000012"), 12);
  EXPECT_EQ(stepOfName("out/step-100000000/"), 100'000'000);
  for (const char *name : {"step-", "step-best", "step-00000002.bak", "step-1e3", "step-+1",
                           "step--1", "step- 1", "xstep-1", "best", "step-99999999999999999999"})
    EXPECT_EQ(stepOfName(name), std::nullopt) << name;

  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out";
  auto checkpoints = Checkpoints::open(out, 2);
  auto write = [&](int64_t step) {
    ASSERT_TRUE(checkpoints->write(*job.trainables, {step, {}, {}}, companions()).ok());
  };
  write(99'999'998);
  for (const char *copy :
       {"step-best", "step-99999998.bak", "step-00000007", "my copy", "step-best.part"})
    fs::copy(out + "/step-99999998", out + "/" + copy, fs::copy_options::recursive);
  for (int64_t step : {99'999'999, 100'000'000, 100'000'001})
    write(step);
  EXPECT_EQ(namesUnder(out),
            (std::vector<std::string>{".lock", "my copy", "step-00000007", "step-100000000",
                                      "step-100000001", "step-99999998.bak", "step-best",
                                      "step-best.part"}));
  EXPECT_EQ(newestCheckpoint(out), out + "/step-100000001");
  Status renamed = statusOf(verifyCheckpoint(out + "/step-00000007"));
  ASSERT_FALSE(renamed.ok());
  EXPECT_NE(renamed.error().message.find("is of step 99999998, its folder is called step-00000007"),
            std::string::npos)
      << renamed.error().message;
  // With a file removed it is still the newest, and is refused by that file's name.
  fs::remove(out + "/step-100000001/optimizer/training.json");
  EXPECT_EQ(newestCheckpoint(out), out + "/step-100000001");
  EXPECT_NE(
      verifyCheckpoint(out + "/step-100000001").error().message.find("training.json: No such file"),
      std::string::npos);
  EXPECT_EQ(newestWholeBeside(out + "/step-100000001"), out + "/step-100000000");
}

// A file under a checkpoint's name keeps its bytes, and the run its work.
TEST_F(Training, AFileInTheWay) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out";
  auto checkpoints = Checkpoints::open(out, 0);
  std::ofstream(out + "/step-00000003") << "mine";
  Status written = checkpoints->write(*job.trainables, {3, {}, {}}, companions());
  ASSERT_TRUE(written.ok()) << written.error().message;
  EXPECT_EQ(*readTextFile(out + "/step-00000003.replaced"), "mine");
  EXPECT_EQ(newestCheckpoint(out), out + "/step-00000003");
}

// `best` is replaced by the run, never picked, and put aside where a person has made it.
TEST_F(Training, Best) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out";
  auto checkpoints = Checkpoints::open(out, 1);
  auto best = [&](int64_t step, double loss) {
    TrainingProgress progress{step, {}, {}};
    progress.best = BestStep{step, loss};
    Status written = checkpoints->writeBest(*job.trainables, progress, companions());
    ASSERT_TRUE(written.ok()) << written.error().message;
  };
  EXPECT_FALSE(holdsBest(out));
  best(3, 2.5);
  EXPECT_TRUE(holdsBest(out));
  EXPECT_EQ(newestCheckpoint(out), std::nullopt);
  best(5, 2.25);
  EXPECT_EQ(namesUnder(out), (std::vector<std::string>{".lock", "best"}));
  ASSERT_TRUE(checkpoints->write(*job.trainables, {2, {}, {}}, companions()).ok());
  ASSERT_TRUE(checkpoints->write(*job.trainables, {4, {}, {}}, companions()).ok());
  EXPECT_EQ(namesUnder(out), (std::vector<std::string>{".lock", "best", "step-00000004"}));
  EXPECT_EQ(newestCheckpoint(out), out + "/step-00000004");
  auto manifest = verifyCheckpoint(out + "/best");
  ASSERT_TRUE(manifest.ok()) << manifest.error().message;
  ASSERT_TRUE(manifest->progress.best.has_value());
  EXPECT_EQ(manifest->progress.best->step, 5);
  EXPECT_EQ(manifest->progress.best->loss, 2.25);
  fs::remove_all(out + "/best");
  fs::copy(out + "/step-00000004", out + "/best", fs::copy_options::recursive);
  EXPECT_FALSE(holdsBest(out)) << "a person's copy";
  best(6, 2);
  EXPECT_EQ(namesUnder(out),
            (std::vector<std::string>{".lock", "best", "best.replaced", "step-00000004"}));
}

// Each of 200 flipped bits, a file whose second half is zeros, is cut, longer or missing, is
// refused by the file's name.
TEST_F(Training, DamageIsNoticed) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  ASSERT_TRUE(job.trainables->startAverages().ok());
  run(job, 1, 2);
  std::string out = folder + "/out", path = out + "/step-00000002";
  auto checkpoints = Checkpoints::open(out, 0, {.limit = 2100});
  auto all = companions();
  all.tokenizer = {{"tokenizer.json", "{\"model\": {}}"}, {"merges.txt", "a b\n"}};
  TrainingProgress progress{2, {"k", 1, 2, 3}, {{"lr", 0.1}}};
  ASSERT_TRUE(checkpoints->write(*job.trainables, progress, all).ok());
  std::vector<std::string> files;
  for (const auto &entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file())
      files.push_back(fs::relative(entry.path(), path));
  std::sort(files.begin(), files.end());
  ASSERT_GE(files.size(), 15u)
      << "shards of weights, averages and moments, their indices, and the rest";
  ASSERT_TRUE(verifyCheckpoint(path).ok());

  std::vector<std::string> missed;
  auto refusedAs = [&](const std::string &name, const std::string &bytes, const std::string &how) {
    std::ofstream(path + "/" + name, std::ios::binary) << bytes;
    Status status = statusOf(verifyCheckpoint(path));
    if (status.ok() || status.error().message.find(name + ": ") == std::string::npos)
      missed.push_back(name + " " + how + ": " + (status.ok() ? "passes" : status.error().message));
  };
  std::mt19937_64 random(1);
  int flips = 0;
  for (const std::string &name : files) {
    std::string whole = contents(path + "/" + name);
    auto flip = [&](uint64_t bit) {
      std::string bytes = whole;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
      refusedAs(name, bytes, "with bit " + std::to_string(bit) + " flipped");
      ++flips;
    };
    if (name ==
        "optimizer/training.json") { // every bit of its last two lines, which hold its own checksum
      for (uint64_t bit = (whole.size() - 32) * 8; bit < whole.size() * 8; ++bit)
        flip(bit);
      for (int i = 0; i < 100; ++i)
        flip(random() % (whole.size() * 8));
    }
    for (int i = 0; i < 8; ++i)
      flip(random() % (whole.size() * 8));
    std::string zeros = whole;
    std::fill(zeros.begin() + static_cast<ptrdiff_t>(zeros.size() / 2), zeros.end(), '\0');
    refusedAs(name, zeros, "with zeros");
    refusedAs(name, whole.substr(0, whole.size() - 1), "cut by one");
    refusedAs(name, whole.substr(0, whole.size() / 2), "cut");
    refusedAs(name, whole + "\n", "longer");
    refusedAs(name, "", "empty");
    fs::remove(path + "/" + name);
    Status gone = statusOf(verifyCheckpoint(path));
    if (gone.ok() || gone.error().message.find(name + ": No such file") == std::string::npos)
      missed.push_back(name + " missing");
    std::ofstream(path + "/" + name, std::ios::binary) << whole;
  }
  EXPECT_GE(flips, 200);
  EXPECT_EQ(missed, std::vector<std::string>{});
  ASSERT_TRUE(verifyCheckpoint(path).ok()) << "put together again";
  // A file that would be read before the shards.
  fs::copy(path + "/model-00001-of-00003.safetensors", path + "/model.safetensors");
  EXPECT_NE(verifyCheckpoint(path).error().message.find(
                "model.safetensors: is no file of this checkpoint"),
            std::string::npos);
}

// Ranks that share the reading find together what one finds alone.
TEST_F(Training, SharedVerification) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  std::string out = folder + "/out", path = out + "/step-00000002";
  auto checkpoints = Checkpoints::open(out, 0);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {2, {}, {}}, companions()).ok());
  fs::resize_file(path + "/average/model.safetensors", 100);
  int found = 0;
  for (unsigned index = 0; index < 3; ++index)
    found += !verifyCheckpoint(path, {index, 3}).ok();
  EXPECT_EQ(found, 1);
}

// A format that is newer than the program is refused by its number; the first one has no checksums
// and is read.
TEST_F(Training, Formats) {
  Job job, other;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  ASSERT_TRUE(job.trainables->startAverages().ok());
  run(job, 1, 3);
  std::string out = folder + "/out", path = out + "/step-00000003",
              file = path + "/optimizer/training.json";
  auto checkpoints = Checkpoints::open(out, 0);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {3, {"k", 1, 2, 3}, {}}, companions()).ok());
  std::string text = contents(file);
  std::ofstream(file) << R"({"format": 3, "anything": []})";
  EXPECT_NE(verifyCheckpoint(path).error().message.find(
                "training.json: has format 3, this hadal reads formats up to 2"),
            std::string::npos);
  std::ofstream(file)
      << R"({"format": 2, "step": 3, "data": {"key": "k", "seed": 1, "epoch": 2, "row": 3}, "files": {}})";
  EXPECT_NE(verifyCheckpoint(path).error().message.find("training.json: is damaged"),
            std::string::npos)
      << "no checksum";
  for (const char *bad : {"", "[]", "{}", "{\"format\": 0}", "{\"format\": \"2\"}", "nonsense"}) {
    std::ofstream(file) << bad;
    EXPECT_NE(verifyCheckpoint(path).error().message.find("training.json: "), std::string::npos)
        << bad;
  }
  std::ofstream(file) << "{\"format\": 1, \"step\": " << std::string(200'000, '[');
  EXPECT_NE(verifyCheckpoint(path).error().message.find("training.json: nests deeper than"),
            std::string::npos);
  std::ofstream(file)
      << R"({"format": 1, "step": 3, "data": {"key": "k", "seed": 1, "epoch": 2, "row": 3}, "settings": {}})";
  auto manifest = verifyCheckpoint(path);
  ASSERT_TRUE(manifest.ok()) << manifest.error().message;
  EXPECT_EQ(manifest->progress.data.row, 3u);
  ASSERT_TRUE(resumeFrom(path, *Checkpoint::open(path), *other.trainables).ok());
  for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment, Values::Average})
    for (size_t i = 0; i < 4; ++i)
      EXPECT_EQ(job.values(values, i), other.values(values, i)) << valuesName(values) << " " << i;
}

// BF16 weights are the nearest to the run's own, which the optimizer's shards keep: a run goes on
// bit for bit.
TEST_F(Training, Bfloat16Checkpoints) {
  Job job, other;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  ASSERT_TRUE(job.trainables->startAverages().ok());
  run(job, 1, 3);
  std::string out = folder + "/out", path = out + "/step-00000003";
  auto checkpoints = Checkpoints::open(out, 0, {.weights = ElementType::BF16, .limit = 2100});
  ASSERT_TRUE(checkpoints->write(*job.trainables, {3, {}, {}}, companions()).ok());
  EXPECT_EQ(nlohmann::json::parse(contents(path + "/config.json"))["dtype"], "bfloat16");
  EXPECT_TRUE(fs::exists(path + "/optimizer/state.safetensors.index.json"));
  auto opened = Checkpoint::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->find("model.layers.1.mlp.gate.e_score_correction_bias")->tensor->element,
            ElementType::F32);
  auto table = *opened->find("model.embed_tokens.weight");
  ASSERT_EQ(table.tensor->element, ElementType::BF16);
  auto *narrow = reinterpret_cast<const uint16_t *>(table.data());
  std::vector<float> own = job.values(Values::Weight, 0);
  bool isRounded = false;
  for (size_t i = 0; i < own.size(); ++i) {
    float value = std::bit_cast<float>(uint32_t(narrow[i]) << 16);
    EXPECT_LE(std::abs(value - own[i]), std::abs(own[i]) / 256) << "half of the last of 8 bits";
    isRounded |= value != own[i];
  }
  EXPECT_TRUE(isRounded);
  Status resumed = resumeFrom(path, *opened, *other.trainables);
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment, Values::Average})
    for (size_t i = 0; i < 5; ++i)
      if (job.trainables->has(values, job.trainables->tensors()[i]))
        EXPECT_EQ(job.values(values, i), other.values(values, i)) << valuesName(values) << " " << i;
}

// All of a checkpoint is on disk before it has its name, and the name before the run goes on.
TEST_F(Training, CheckpointsLast) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  auto checkpoints = Checkpoints::open(folder + "/out", 0);
  test::RecordedCalls calls;
  ASSERT_TRUE(checkpoints->write(*job.trainables, {3, {}, {}}, companions()).ok());
  std::string out = folder + "/out", part = out + "/.step-00000003.part";
  size_t named = calls.placeOf("rename " + out + "/step-00000003");
  ASSERT_LT(named, calls.all().size());
  for (const std::string &one : {part, part + "/optimizer", part + "/average"}) {
    size_t last = 0;
    for (size_t i = 0; i < calls.all().size(); ++i)
      if (calls.all()[i].starts_with("rename " + one + "/"))
        last = i;
    auto synced =
        std::find(calls.all().begin() + last, calls.all().begin() + named, "fsync " + one);
    EXPECT_NE(synced, calls.all().begin() + named) << one << " is not on disk";
  }
  EXPECT_EQ(calls.all().back(), "fsync " + out);
  EXPECT_GT(calls.all().size(), named);
}

// Moments of another shape or kind, or that lie where no number may, are refused by name.
TEST_F(Training, MomentsRefused) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  fs::create_directories(folder + "/optimizer");
  std::string path = folder + "/optimizer/state.safetensors",
              name = "first_moment.model.embed_tokens.weight";
  std::vector<double> wide(V * 2);
  std::vector<float> narrow(V * 2);
  auto said = [&](std::vector<NamedTensor> tensors) {
    EXPECT_TRUE(writeSafetensors(path, tensors).ok());
    Status status = readOptimizer(folder, *job.trainables);
    return status.ok() ? "" : status.error().message;
  };
  std::string wants = path + ": " + name + ": wants F32 [260, 2], file has ";
  EXPECT_EQ(said({{name, TensorView::of(narrow, {2, V})}}), wants + "F32 [2, 260]");
  EXPECT_EQ(said({{name, TensorView::of(wide, {V, 2})}}), wants + "F64 [260, 2]");
  std::vector<uint8_t> byte(1);
  EXPECT_EQ(
      said({{"a", {ElementType::U8, {1}, byte.data()}}, {name, TensorView::of(narrow, {V, 2})}}),
      path + ": " + name + ": lies misaligned");
}

// What the disk does not have as it was written takes no older checkpoint's place.
TEST_F(Training, ReadBack) {
  Job job;
  ASSERT_TRUE(job.trainables->draw(1).ok());
  auto checkpoints = Checkpoints::open(folder + "/out", 1);
  ASSERT_TRUE(checkpoints->write(*job.trainables, {1, {}, {}}, companions()).ok());
  {
    test::DamagedWrites damage;
    Status written = checkpoints->write(*job.trainables, {2, {}, {}}, companions());
    ASSERT_FALSE(written.ok());
    EXPECT_NE(
        written.error().message.find("read back after it was written, the older checkpoints stay"),
        std::string::npos)
        << written.error().message;
  }
  EXPECT_EQ(checkpointsUnder(folder + "/out"),
            std::vector<std::string>{folder + "/out/step-00000001"});
  ASSERT_TRUE(checkpoints->write(*job.trainables, {2, {}, {}}, companions()).ok());
  EXPECT_EQ(checkpointsUnder(folder + "/out"),
            std::vector<std::string>{folder + "/out/step-00000002"});
}
