//===- SystemCalls.cpp - what a test's process asks the system for ------===//

#include "test/runtime/SystemCalls.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <sys/syscall.h>
#include <unistd.h>

using namespace hadal::test;

namespace {
std::vector<std::string> recorded;
bool isRecording = false, isDamaging = false;
size_t mostAtOnce = ~size_t(0), room = ~size_t(0);

std::string pathOf(int descriptor) {
  char path[4096];
  ssize_t length =
      ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof path);
  return {path, length > 0 ? size_t(length) : 0};
}
} // namespace

RecordedCalls::RecordedCalls() {
  recorded.clear();
  isRecording = true;
}
RecordedCalls::~RecordedCalls() { isRecording = false; }
const std::vector<std::string> &RecordedCalls::all() const { return recorded; }

size_t RecordedCalls::placeOf(const std::string &text) const {
  return std::find_if(recorded.begin(), recorded.end(),
                      [&](const std::string &call) { return call.ends_with(text); }) -
         recorded.begin();
}

LimitedWrites::LimitedWrites(size_t most, size_t total) {
  mostAtOnce = most;
  room = total;
}
LimitedWrites::~LimitedWrites() { mostAtOnce = room = ~size_t(0); }

DamagedWrites::DamagedWrites() { isDamaging = true; }
DamagedWrites::~DamagedWrites() { isDamaging = false; }

extern "C" ssize_t write(int descriptor, const void *data, size_t bytes) {
  if (descriptor > 2 && room == 0 && bytes) {
    errno = ENOSPC;
    return -1;
  }
  if (descriptor > 2)
    bytes = std::min({bytes, mostAtOnce, room});
  std::string damaged;
  if (descriptor > 2 && isDamaging && bytes >= 64) {
    damaged.assign(static_cast<const char *>(data), bytes);
    damaged[0] = static_cast<char>(damaged[0] ^ 1);
    data = damaged.data();
  }
  ssize_t done = ::syscall(SYS_write, descriptor, data, bytes);
  if (descriptor > 2 && room != ~size_t(0) && done > 0)
    room -= size_t(done);
  return done;
}

extern "C" int fsync(int descriptor) {
  if (isRecording)
    recorded.push_back("fsync " + pathOf(descriptor));
  return int(::syscall(SYS_fsync, descriptor));
}

extern "C" int rename(const char *from, const char *to) noexcept {
  int result = ::renameat(AT_FDCWD, from, AT_FDCWD, to);
  if (isRecording && result == 0)
    recorded.push_back(std::string("rename ") + to);
  return result;
}
