//===- DataTest.cpp - micro-batches, packing, shuffling -----------------===//

#include "runtime/File.h"
#include "runtime/Safetensors.h"
#include "runtime/training/DataFiles.h"
#include "runtime/training/MicroBatch.h"
#include "runtime/training/PackedRows.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

using namespace hadal;

namespace {

using Ids = std::vector<int32_t>;

/// A folder with a tokenizer whose ids are the letters' places in "abc..."; E closes a document, P,
/// S and M fill in.
class Data : public testing::Test {
protected:
  void SetUp() override {
    folder = testing::TempDir() + "hadal-data-" + std::to_string(getpid());
    std::filesystem::create_directories(folder);
    nlohmann::json vocabulary = nlohmann::json::object(), added = nlohmann::json::array();
    for (int i = 0; i < 26; ++i)
      vocabulary[std::string(1, static_cast<char>('a' + i))] = i;
    int id = 26;
    for (const char *text : {"<end>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"})
      added.push_back({{"id", id++}, {"content", text}, {"special", true}, {"normalized", false}});
    nlohmann::json byteLevel = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
    write("tokenizer.json",
          nlohmann::json{
              {"added_tokens", added},
              {"pre_tokenizer", byteLevel},
              {"decoder", byteLevel},
              {"model",
               {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}}}}
              .dump());
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::string write(const std::string &name, const std::string &text) {
    std::ofstream(folder + "/" + name) << text;
    return folder + "/" + name;
  }

  TokenFile open(const std::vector<std::string> &files) {
    auto opened = TokenFile::open(files, folder, folder + "/cache");
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    return std::move(*opened);
  }

  /// 20 documents of 1 to 20 letters, each of one letter, as JSON lines.
  std::string documents() {
    std::string lines;
    for (int i = 0; i < 20; ++i)
      lines +=
          nlohmann::json{{"text", std::string(1 + i * 7 % 20, static_cast<char>('a' + i))}}.dump() +
          "\n";
    return write("d.jsonl", lines);
  }

  std::unique_ptr<PackedRows> pack(PackingOptions options) {
    auto packed = PackedRows::create(open({documents()}), options);
    EXPECT_TRUE(packed.ok()) << packed.error().message;
    return std::move(*packed);
  }

  std::string folder;
};

Ids flattened(const std::vector<TrainingRow> &rows) {
  Ids all;
  for (const TrainingRow &row : rows)
    all.insert(all.end(), row.tokens.begin(), row.tokens.end());
  return all;
}

} // namespace

// Two rows, one of them two sequences, at depths 0, 1 and 2; a label that asks for another token,
// and one for none.
TEST(MicroBatch, ByHand) {
  std::vector<TrainingRow> rows = {{{10, 11, 12, 13}, {10, 99, -1, 13}, {}},
                                   {{20, 21, 22, 23, 24}, {}, {2, 4}}};
  MicroBatch batch(rows, 2);
  EXPECT_EQ(batch.tokens(), 9);

  const MicroBatch::Depth &main = batch.depth(0);
  EXPECT_EQ(main.tokenIds, (Ids{10, 11, 12, 13, 20, 21, 22, 23, 24}));
  EXPECT_EQ(main.positions, (Ids{0, 1, 2, 3, 0, 1, 0, 1, 0}));
  EXPECT_EQ(main.targets, (Ids{99, -1, 13, -1, 21, -1, 23, -1, -1}));
  EXPECT_EQ(main.offsets, (Ids{0, 4, 6, 8, 9}));
  EXPECT_EQ(main.attended, 10 + 3 + 3 + 1);
  EXPECT_TRUE(main.rows.empty());

  const MicroBatch::Depth &one = batch.depth(1);
  EXPECT_EQ(one.rows, (Ids{0, 1, 2, 4, 6}));
  EXPECT_EQ(one.tokenIds, (Ids{11, 12, 13, 21, 23}));
  EXPECT_EQ(one.positions, (Ids{0, 1, 2, 0, 0}));
  EXPECT_EQ(one.targets, (Ids{-1, 13, -1, -1, -1}));
  EXPECT_EQ(one.offsets, (Ids{0, 3, 4, 5, 5}));

  const MicroBatch::Depth &two = batch.depth(2);
  EXPECT_EQ(two.rows, (Ids{0, 1})) << "rows of depth 1";
  EXPECT_EQ(two.tokenIds, (Ids{12, 13}));
  EXPECT_EQ(two.targets, (Ids{13, -1}));
  EXPECT_EQ(two.offsets, (Ids{0, 2, 2, 2, 2}));

  EXPECT_EQ(batch.counts().predictions, (Ids{4, 1, 1}));
  EXPECT_EQ(batch.counts().sequences, 4);
}

// A whole row of T tokens predicts T-1, and at depth 1 T-2 of T-1 rows. Source: DeepSeek-V3,
// arXiv:2412.19437, §2.2 (depth k predicts k tokens further).
TEST(MicroBatch, WholeRows) {
  std::vector<TrainingRow> rows(3, {Ids(24, 5), {}, {}});
  MicroBatch batch(rows, 1);
  EXPECT_EQ(batch.counts().predictions, (Ids{3 * 23, 3 * 22}));
  EXPECT_EQ(batch.depth(1).tokenIds.size(), 3u * 23);
  EXPECT_EQ(batch.depth(1).rows[23], 24);
  EXPECT_EQ(batch.depth(1).offsets, (Ids{0, 23, 46, 69}));
}

// Every number below n comes once, for any n; another key gives another order.
TEST(Permutation, Bijective) {
  for (uint64_t n : {1, 2, 3, 5, 16, 17, 1000}) {
    std::set<uint64_t> seen;
    uint64_t same = 0;
    for (uint64_t i = 0; i < n; ++i) {
      seen.insert(Permutation(n, 7)(i));
      EXPECT_LT(Permutation(n, 7)(i), n);
      same += Permutation(n, 7)(i) == Permutation(n, 8)(i);
    }
    EXPECT_EQ(seen.size(), n);
    if (n == 1000)
      EXPECT_LT(same, 20u);
  }
}

// Text is tokenized once; the second time the tokens come from the cache, and damage to it is
// repaired.
TEST_F(Data, TokenCache) {
  std::string text = write("a.txt", "abcab"),
              lines =
                  write("b.jsonl",
                        "{\"text\": \"xy\"}\n\n{\"text\": \"\"}\n{\"text\": \"z\", \"more\": 1}");
  for (int round = 0; round < 4; ++round) {
    TokenFile file = open({text, lines});
    ASSERT_EQ(file.documents(), 3u);
    EXPECT_EQ(Ids(file.document(0).begin(), file.document(0).end()), (Ids{0, 1, 2, 0, 1}));
    EXPECT_EQ(Ids(file.document(1).begin(), file.document(1).end()), (Ids{23, 24}));
    EXPECT_EQ(Ids(file.document(2).begin(), file.document(2).end()), (Ids{25}));
    std::string path = folder + "/cache/" + file.key() + ".tokens";
    ASSERT_TRUE(std::filesystem::exists(path));
    // Cut by a word, then a token changed.
    if (round == 1)
      std::filesystem::resize_file(path, std::filesystem::file_size(path) - 8);
    else if (round == 2)
      std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
          .write("\x7f\x7f\x7f\x7f", 4);
  }
  EXPECT_NE(open({text}).key(), open({lines}).key());
}

// The cache knows text by the tokenizer that cuts it, too.
TEST_F(Data, CacheKeys) {
  std::string text = write("a.txt", "ab"), tokenizer = *readTextFile(folder + "/tokenizer.json"),
              key = open({text}).key();
  tokenizer.replace(tokenizer.find("<end>"), 5, "<END>");
  write("tokenizer.json", tokenizer);
  EXPECT_NE(open({text}).key(), key);
}

// What cannot be text for training is refused with its place.
TEST_F(Data, Refused) {
  auto errorOf = [&](const std::string &path) {
    return TokenFile::open({path}, folder, folder + "/cache").error().message;
  };
  EXPECT_NE(errorOf(write("bad.jsonl", "{\"text\": \"x\"}\n\n{\"txt\": 1}\n"))
                .find("bad.jsonl: line 3: wants an object"),
            std::string::npos);
  EXPECT_NE(errorOf(write("empty.txt", "")).find("empty.txt: holds no text"), std::string::npos);
  EXPECT_NE(errorOf(folder + "/none").find("No such file"), std::string::npos);
  auto packed = PackedRows::create(open({write("short.txt", "abc")}), {.rowTokens = 8,
                                                                       .seed = 0,
                                                                       .maskDocuments = false,
                                                                       .endOfSequence = {},
                                                                       .fimRate = 0,
                                                                       .fim = {}});
  EXPECT_EQ(packed.error().message, "the data has 3 tokens, a row has 8");
}

// A format that is not known is refused by what it is, whether its ending says so or its first
// bytes; capitals do not matter.
TEST_F(Data, OtherFormatsAreRefused) {
  auto errorOf = [&](const std::string &name, const std::string &text) {
    auto opened = TokenFile::open({write(name, text)}, folder, folder + "/cache");
    return opened.ok() ? std::string() : opened.error().message;
  };
  auto refuses = [&](const std::string &name, const std::string &text, const std::string &what) {
    std::string error = errorOf(name, text);
    EXPECT_NE(error.find(name + ": is " + what + "; wants text in UTF-8, or JSON lines"),
              std::string::npos)
        << name << ": " << error;
  };
  std::string plain = "plain text in letters", row = "{\"text\": \"abc\"}\n";
  for (const char *name : {"a.parquet", "A.PARQUET"})
    refuses(name, plain, "a Parquet file");
  refuses("rows.json", row, "JSON, not JSON lines");
  refuses("rows.jsonl.gz", plain, "compressed by gzip (unpack it first)");
  refuses("rows.csv", plain, "a table (write its texts as JSON lines)");
  using namespace std::string_literals;
  refuses("unnamed", "PAR1" + plain, "a Parquet file");
  refuses("b.txt", "\x1f\x8b\x08" + plain, "compressed by gzip (unpack it first)");
  refuses("c.jsonl", "\x28\xb5\x2f\xfd" + plain, "compressed by zstd (unpack it first)");
  refuses("d.txt", "PK\3\4" + plain, "a ZIP archive (unpack it first)");
  refuses("e.txt",
          "\xff\xfe"
          "a\0b\0"s,
          "text in UTF-16 (write it in UTF-8)");
  refuses("f.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
          "a Git LFS pointer, not the file itself (run 'git lfs pull' in its folder)");
  refuses("f.txt", "<!DOCTYPE html><p>404</p>", "an HTML or XML page (of a download that failed?)");
  EXPECT_EQ(errorOf("f.html", "<!DOCTYPE html><p>a page</p>"), "") << "what its name says";
  // JSON under another name: its braces and keys are no text.
  refuses("g.txt", row, "JSON by its first line (name it *.jsonl)");
  refuses("h.dat", row, "JSON by its first line (name it *.jsonl, or *.txt if it is text)");
  refuses("h.dat", "\n[1, 2]\n",
          "JSON by its first line (name it *.jsonl, or *.txt if it is text)");
  EXPECT_EQ(errorOf("i.txt", "[1, 2]abc\n"), "");
  EXPECT_EQ(errorOf("j.md", "abc [1, 2]\n"), "");

  auto upper = open({write("UPPER.JSONL", row)}), lower = open({write("lower.jsonl", row)}),
       other = open({write("n.NdJson", row)});
  EXPECT_EQ(upper.document(0).size(), 3u);
  EXPECT_EQ(upper.key(), lower.key());
  EXPECT_EQ(other.key(), lower.key());
}

// What is no text is refused with file, line and byte, and nothing of it is kept for the next run.
TEST_F(Data, BytesThatAreNoText) {
  auto errorOf = [&](const std::string &name, const std::string &text) {
    std::string path = write(name, text), cache = folder + "/fresh", error;
    for (int round = 0; round < 2; ++round) {
      auto opened = TokenFile::open({path}, folder, cache);
      error = opened.ok() ? "" : opened.error().message.substr(folder.size() + 1);
      EXPECT_TRUE(!std::filesystem::exists(cache) || std::filesystem::is_empty(cache)) << name;
    }
    return error.substr(0, error.find(';'));
  };
  using namespace std::string_literals;
  EXPECT_EQ(errorOf("latin1.txt", "abc\nab\xe9z\n"),
            "latin1.txt: line 2, byte 3: 0xE9 is not UTF-8");
  EXPECT_EQ(errorOf("latin1.jsonl", "{\"text\": \"a\"}\n\n{\"text\": \"\xe9\"}\n"),
            "latin1.jsonl: line 3, byte 11: 0xE9 is not UTF-8");
  EXPECT_EQ(errorOf("cut.txt", "abc\xe2\x82"), "cut.txt: line 1, byte 4: 0xE2 is not UTF-8");
  EXPECT_EQ(errorOf("surrogate.txt", "\xed\xa0\x80"),
            "surrogate.txt: line 1, byte 1: 0xED is not UTF-8");
  EXPECT_EQ(errorOf("nul.bin", "ab\0c"s), "nul.bin: line 1, byte 3: 0x00 (NUL) stands in no text");
  EXPECT_EQ(errorOf("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": \"a\"\n"),
            "bad.jsonl: line 2: is no JSON");
  EXPECT_EQ(errorOf("array.jsonl", "[{\"text\": \"a\"}]\n"),
            "array.jsonl: line 1: wants an object with a string \"text\"");
}

// Files, folders and patterns become a list whose order follows from the names alone; a file that
// several of them give is taken once.
TEST_F(Data, FindsFiles) {
  for (const char *inside : {"texts/sub", "texts/.git", "texts/empty"})
    std::filesystem::create_directories(folder + "/" + inside);
  for (const char *name : {"z.txt", "texts/b.TXT", "texts/a.jsonl", "texts/sub/0.txt",
                           "texts/.git/x.txt", "texts/.hidden.txt", "texts/README.md"})
    write(name, "abc");
  auto find = [&](std::vector<std::string> names) {
    for (std::string &name : names)
      name = folder + "/" + name;
    auto found = findDataFiles(names);
    if (!found.ok())
      return std::vector<std::string>{found.error().message};
    for (std::vector<std::string> *paths : {&found->files, &found->passedOver})
      for (std::string &path : *paths)
        path = path.substr(folder.size() + 1);
    found->files.push_back("-");
    found->files.insert(found->files.end(), found->passedOver.begin(), found->passedOver.end());
    return found->files;
  };
  using Paths = std::vector<std::string>;
  EXPECT_EQ(find({"z.txt", "texts"}), (Paths{"z.txt", "texts/a.jsonl", "texts/b.TXT",
                                             "texts/sub/0.txt", "-", "texts/README.md"}));
  EXPECT_EQ(find({"texts/*.[Tj]*", "z.txt"}),
            (Paths{"texts/a.jsonl", "texts/b.TXT", "z.txt", "-"}));
  EXPECT_EQ(find({"texts/sub/0.txt", "texts/*/*.txt", "texts/sub"})[1], "-") << "once";
  EXPECT_EQ(find({"texts/README.md"}), (Paths{"texts/README.md", "-"})) << "named, it is taken";
  EXPECT_EQ(find({"texts/*.parquet"}), (Paths{folder + "/texts/*.parquet: matches no file"}));
  EXPECT_EQ(find({"texts/empty"}),
            (Paths{folder + "/texts/empty: holds no *.txt or *.jsonl file"}));
  EXPECT_NE(find({"none"})[0].find("none: No such file"), std::string::npos);
  ASSERT_EQ(mkfifo((folder + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(find({"pipe", "texts/../pipe"}), (Paths{"pipe", "texts/../pipe", "-"})) << "as it is";
  write("texts/sub/data.parquet", "PAR1");
  EXPECT_NE(find({"texts"})[0].find("texts/sub/data.parquet: is a Parquet file"), std::string::npos)
      << "data that cannot be read is not passed over";
}

// One epoch gives every token of every document once, but for those at the front and at the back
// that fill no row; epochs differ.
TEST_F(Data, EpochsCoverTheData) {
  PackingOptions options;
  options.rowTokens = 5;
  options.endOfSequence = 26;
  auto rows = pack(options);
  auto take = [&] {
    uint64_t count = rows->rowsOfEpoch();
    auto all = rows->next(static_cast<int64_t>(count));
    EXPECT_TRUE(all.ok());
    return flattened(*all);
  };
  Ids first = take();
  EXPECT_GE(first.size(), 210u + 20 - 8);
  std::map<int32_t, int> counts;
  for (int32_t id : first)
    ++counts[id];
  int missing = 20 - counts[26];
  for (int i = 0; i < 20; ++i) {
    EXPECT_LE(counts[i], 1 + i * 7 % 20);
    missing += 1 + i * 7 % 20 - counts[i];
  }
  EXPECT_LE(missing, 8);
  ASSERT_TRUE(rows->seek({rows->position().key, 0, 1, 0}).ok());
  EXPECT_NE(take(), first);
}

// Rows of one long document come in another order than they stand there; a place after the last
// row is refused.
TEST_F(Data, RowsAreShuffled) {
  std::string text;
  for (int i = 0; i < 26 * 20; ++i)
    text += static_cast<char>('a' + i / 20);
  PackingOptions options;
  options.rowTokens = 20;
  auto rows = PackedRows::create(open({write("long.txt", text)}), options);
  ASSERT_TRUE(rows.ok());
  auto count = static_cast<int64_t>((*rows)->rowsOfEpoch());
  Ids firsts;
  int goOn = 0; // rows that go on where the one before ended
  int32_t last = -2;
  auto epoch = (*rows)->next(count);
  ASSERT_TRUE(epoch.ok());
  for (const TrainingRow &row : *epoch) {
    firsts.push_back(row.tokens.front());
    goOn += firsts.back() == last || firsts.back() == last + 1;
    last = row.tokens.back();
  }
  EXPECT_LT(goOn, count / 2);
  EXPECT_EQ(std::set<int32_t>(firsts.begin(), firsts.end()).size(), firsts.size());
  DataPosition place = (*rows)->position();
  place.row = static_cast<uint64_t>(count);
  EXPECT_TRUE((*rows)->seek({place.key, 0, 0, place.row}).ok());
  EXPECT_FALSE((*rows)->seek({place.key, 0, 0, place.row + 1}).ok());
}

// Data of hardly more than a row make one row, whatever is skipped.
TEST_F(Data, LittleData) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    PackingOptions options;
    options.rowTokens = 8;
    options.seed = seed;
    auto rows = PackedRows::create(open({write("little.txt", "abcdefghij")}), options);
    ASSERT_TRUE(rows.ok());
    ASSERT_EQ((*rows)->rowsOfEpoch(), 1u) << seed;
    EXPECT_EQ((*(*rows)->next(2))[1].tokens.size(), 8u);
  }
}

// The rows from a position on are the same whether a run went there or began there; a seed gives
// one order.
TEST_F(Data, PositionResumes) {
  PackingOptions options;
  options.rowTokens = 7;
  options.seed = 11;
  auto whole = pack(options), again = pack(options);
  std::vector<Ids> rows;
  std::vector<DataPosition> positions;
  for (int i = 0; i < 100; ++i) {
    positions.push_back(whole->position());
    rows.push_back(flattened(*whole->next(3)));
  }
  EXPECT_GT(positions.back().epoch, 3u);
  for (int i = 99; i >= 0; i -= 9) {
    ASSERT_TRUE(again->seek(positions[i]).ok());
    EXPECT_EQ(flattened(*again->next(3)), rows[i]) << i;
  }
  EXPECT_FALSE(again->seek({"", 11, 0, 1000}).ok());
  options.seed = 12;
  EXPECT_NE(flattened(*pack(options)->next(3)), rows[0]);
}

// With masked documents a new sequence begins where another document does, and nowhere else.
TEST_F(Data, MaskedDocuments) {
  PackingOptions options;
  options.rowTokens = 16;
  options.maskDocuments = true;
  auto rows = pack(options);
  auto some = rows->next(50);
  size_t starts = 0;
  for (const TrainingRow &row : *some) {
    Ids expected;
    for (int32_t i = 1; i < 16; ++i)
      if (row.tokens[i] != row.tokens[i - 1])
        expected.push_back(i);
    EXPECT_EQ(row.starts, expected);
    starts += expected.size();
  }
  EXPECT_GT(starts, 50u);
  options.maskDocuments = false;
  EXPECT_TRUE((*pack(options)->next(1))[0].starts.empty());
}

// Validation rows hold every token of every document once and in order, the last row filled up with
// what predicts nothing.
TEST_F(Data, ValidationRows) {
  PackingOptions options;
  options.rowTokens = 8;
  options.endOfSequence = 26;
  for (bool masked : {false, true}) {
    options.maskDocuments = masked;
    auto rows = ValidationRows::create(open({documents()}), options);
    ASSERT_TRUE(rows.ok()) << rows.error().message;
    Ids wanted, got;
    for (int i = 0; i < 20; ++i) {
      wanted.insert(wanted.end(), 1 + i * 7 % 20, i);
      wanted.push_back(26);
    }
    ASSERT_EQ(wanted.size() % 8, 6u);
    ASSERT_EQ(rows->count(), wanted.size() / 8 + 1);
    int64_t predictions = 0, boundaries = 0;
    for (uint64_t i = 0; i < rows->count(); ++i) {
      TrainingRow row = rows->row(i);
      EXPECT_EQ(row.tokens.size(), 8u);
      bool isLast = i + 1 == rows->count();
      EXPECT_EQ(row.labels,
                isLast ? (Ids{wanted.end()[-6], wanted.end()[-5], wanted.end()[-4],
                              wanted.end()[-3], wanted.end()[-2], wanted.end()[-1], -1, -1})
                       : Ids());
      got.insert(got.end(), row.tokens.begin(), row.tokens.end());
      predictions += MicroBatch({&row, 1}, 0).counts().predictions[0];
      boundaries += static_cast<int64_t>(row.starts.size());
    }
    got.resize(wanted.size());
    EXPECT_EQ(got, wanted);
    EXPECT_EQ(predictions, static_cast<int64_t>(wanted.size() - rows->count()) - boundaries);
    EXPECT_EQ(boundaries > 0, masked);
  }
  options.endOfSequence.reset();
  EXPECT_EQ(ValidationRows::create(open({write("one.txt", "a")}), options).error().message,
            "the validation data has nothing to predict: 1 tokens");
}

// A document to fill in is prefix, suffix, middle, each after its mark; put back together it is the
// document. All of them at rate 1, about half at one half. Source: DeepSeek-V3, arXiv:2412.19437,
// section 4.1.
TEST_F(Data, FillInMiddle) {
  auto tokenizer = Tokenizer::open(folder);
  ASSERT_TRUE(tokenizer.ok());
  PackingOptions options;
  auto fim = FillInMiddle::of(*tokenizer);
  ASSERT_TRUE(fim.ok()) << fim.error().message;
  EXPECT_EQ(fim->begin, 27);
  options.fim = *fim;
  options.fimRate = 1;
  options.endOfSequence = 26;
  std::string alphabet = "abcdefghijklmnopqrstuvwxyz";
  options.rowTokens = 26 + 4;
  std::set<Ids> seen;
  auto rows = PackedRows::create(open({write("one.txt", alphabet)}), options);
  ASSERT_TRUE(rows.ok());
  for (int i = 0; i < 40; ++i) {
    Ids row = flattened(*(*rows)->next(1));
    auto at = [&](int32_t id) { return std::find(row.begin(), row.end(), id) - row.begin(); };
    ASSERT_EQ(at(27), 0);
    ASSERT_EQ(at(26), 29);
    Ids whole(row.begin() + 1, row.begin() + at(28));
    whole.insert(whole.end(), row.begin() + at(29) + 1, row.end() - 1);
    whole.insert(whole.end(), row.begin() + at(28) + 1, row.begin() + at(29));
    for (int32_t j = 0; j < 26; ++j)
      EXPECT_EQ(whole[j], j);
    seen.insert(row);
  }
  EXPECT_GT(seen.size(), 30u);

  options.fimRate = 0.5;
  options.rowTokens = 5;
  auto half = pack(options);
  int split = 0;
  auto some = half->next(static_cast<int64_t>(half->rowsOfEpoch()));
  for (int32_t id : flattened(*some))
    split += id == 28;
  EXPECT_GT(split, 4);
  EXPECT_LT(split, 15);

  auto plain = Tokenizer::parse(
      R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel",
    "add_prefix_space": false, "use_regex": false}, "decoder": {"type": "ByteLevel"}, "added_tokens": []})");
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  EXPECT_FALSE(FillInMiddle::of(*plain).ok());
}
