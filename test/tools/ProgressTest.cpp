//===- ProgressTest.cpp - lines that show how far work has come ---------===//

#include "tools/Progress.h"

#include <gtest/gtest.h>

using namespace hadal;

/// Columns that UTF-8 text takes on a terminal, where every character is one wide.
static size_t columnsOf(const std::string &text) {
  size_t columns = 0;
  for (char c : text)
    columns += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return columns;
}

// A line never takes more columns than there are, and the bar gives way before the text does.
TEST(Progress, LinesFitTheTerminal) {
  std::string text = "step 123456/1000000  loss 6.4949  12345 tokens/s  12 h 34 min left";
  for (unsigned columns = 1; columns <= 200; ++columns) {
    std::string line = progressLine(0.5, text, columns);
    EXPECT_LE(columnsOf(line), columns);
    if (columns >= text.size())
      EXPECT_TRUE(line.ends_with(text)) << line;
    else
      EXPECT_EQ(line, text.substr(0, columns));
  }
}

// The bar is filled as far as the work has come, also where a caller's fraction is out of range.
TEST(Progress, BarShowsTheFraction) {
  auto filled = [](double fraction) {
    std::string line = progressLine(fraction, "", 80);
    size_t count = 0;
    for (size_t at = 0; (at = line.find("━", at)) != std::string::npos; ++at)
      ++count;
    return count;
  };
  EXPECT_EQ(filled(0), 0u);
  EXPECT_EQ(filled(0.5), 12u);
  EXPECT_EQ(filled(1), 24u);
  EXPECT_EQ(filled(7), 24u);
  EXPECT_EQ(filled(-1), 0u);
}

// Words stay whole, and all of them are there in their order.
TEST(Progress, SentencesAreWrapped) {
  EXPECT_EQ(wrappedLines("one two three", 80), "one two three");
  EXPECT_EQ(wrappedLines("one two three", 8), "one two\n  three");
  EXPECT_EQ(wrappedLines("one two three", 7), "one two\n  three");
  EXPECT_EQ(wrappedLines("a muchtoolongword b", 6), "a\n  muchtoolongword\n  b");
  EXPECT_EQ(wrappedLines("", 6), "");
}

TEST(Progress, ReadableSeconds) {
  EXPECT_EQ(readableSeconds(0.4), "0 s");
  EXPECT_EQ(readableSeconds(59.6), "1 min 00 s");
  EXPECT_EQ(readableSeconds(200), "3 min 20 s");
  EXPECT_EQ(readableSeconds(3720), "1 h 02 min");
}
