//===- StartToolTest.cpp - how a tool ends when it is stopped -----------===//

#include "runtime/File.h"
#include "tools/CommandLine.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <sys/resource.h>
#include <unistd.h>

using namespace hadal;
namespace fs = std::filesystem;

namespace {

class StartTool : public testing::Test {
protected:
  void SetUp() override {
    folder = testing::TempDir() + "hadal-start-" + std::to_string(::getpid());
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }

  std::string folder;
};

} // namespace

// Whoever stops a tool sees the signal, and no part of what it was writing.
TEST_F(StartTool, ASignalLeavesNoPartOfAFile) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    auto stopped = [&] {
      ::signal(signal, SIG_DFL); // nohup and test drivers ignore some
      startTool("the-test");
      auto file = AtomicFile::create(folder + "/out");
      (void)!file->write("a part", 6).ok();
      ::raise(signal);
    };
    EXPECT_EXIT(stopped(), testing::KilledBySignal(signal), "");
    EXPECT_TRUE(fs::is_empty(folder)) << signal;
  }
}

// A limit of file sizes is met as a full disk is.
TEST_F(StartTool, ALimitOfFileSizesIsAnError) {
  auto limited = [&] {
    startTool("the-test");
    rlimit limit = {100, 100};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    Status written = writeFile(folder + "/out", std::vector<std::byte>(1000));
    ::_exit(!written && written.error().message.find("File too large") != std::string::npos ? 7
                                                                                            : 8);
  };
  EXPECT_EXIT(limited(), testing::ExitedWithCode(7), "");
  EXPECT_TRUE(fs::is_empty(folder));
}
