//===- Faults.cpp - system calls that fail when they are told to --------===//
//
// A library for LD_PRELOAD. HADAL_FAULT=CALL:N:KIND disturbs the N-th call (from 1) of a process:
//
//     CALL   write, fsync, rename, mmap, mkostemp, mkdir or read, each of regular files only (and
//            of no standard stream)
//     KIND   an error (EIO, ENOSPC, ENOMEM), which the call then has; short, for write and read:
//            it does half; kill: SIGKILL before it; shrink, for mmap: the file is emptied after it
//
// After an error all further calls of that name fail too, as on a disk that is full, unless KIND
// ends in "once". HADAL_FAULT_COUNTS=FILE: how often each was called, a line each.
//
//===--------------------------------------------------------------------===//

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

constexpr const char *names[] = {"write", "fsync", "rename", "mmap", "mkostemp", "mkdir", "read"};
enum Call { Write, Fsync, Rename, Mmap, Mkostemp, Mkdir, Read, callCount };

enum class Fault { None, Short, Failed };

struct Plan {
  int call = -1;
  long number = 0;
  int error = 0;
  bool isShort = false, shrinks = false, kills = false, isOnce = false;
  std::atomic<long> counts[callCount] = {};

  Plan() {
    char name[32] = "", kind[32] = "";
    const char *text = std::getenv("HADAL_FAULT");
    if (!text || std::sscanf(text, "%31[^:]:%ld:%31s", name, &number, kind) != 3)
      return;
    for (int i = 0; i < callCount; ++i)
      if (std::strcmp(name, names[i]) == 0)
        call = i;
    isShort = std::strncmp(kind, "short", 5) == 0;
    kills = std::strcmp(kind, "kill") == 0;
    shrinks = std::strcmp(kind, "shrink") == 0;
    isOnce = isShort || shrinks || std::strstr(kind, "once");
    error = std::strncmp(kind, "ENOSPC", 6) == 0   ? ENOSPC
            : std::strncmp(kind, "ENOMEM", 6) == 0 ? ENOMEM
                                                   : EIO;
  }
  ~Plan() {
    const char *path = std::getenv("HADAL_FAULT_COUNTS");
    if (!path)
      return;
    std::string text;
    for (int i = 0; i < callCount; ++i)
      text += std::string(names[i]) + " " + std::to_string(counts[i]) + "\n";
    std::FILE *file = std::fopen(path, "w");
    if (!file)
      return;
    std::fputs(text.c_str(), file);
    std::fclose(file);
  }

  Fault next(Call which) {
    long now = ++counts[which];
    if (which != call || now < number || (isOnce && now > number))
      return Fault::None;
    if (kills)
      ::kill(::getpid(), SIGKILL);
    if (isShort || shrinks)
      return Fault::Short;
    errno = error;
    return Fault::Failed;
  }
};

Plan &plan() {
  static Plan one;
  return one;
}

/// Made before main, so that it is there at the end for a program that calls nothing of this.
__attribute__((constructor)) void makePlan() { plan(); }

/// A file or folder on a disk: what the kernel tells in /proc and /sys only looks like one.
bool isOurs(int descriptor) {
  struct stat status;
  struct statfs system;
  return descriptor > 2 && ::fstat(descriptor, &status) == 0 &&
         (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) &&
         ::fstatfs(descriptor, &system) == 0 && system.f_type != PROC_SUPER_MAGIC &&
         system.f_type != SYSFS_MAGIC;
}

template <typename Function> Function real(const char *name, Function) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

#define REAL(name) real(#name, &name)

} // namespace

extern "C" {

ssize_t write(int descriptor, const void *data, size_t bytes) {
  static auto *next = REAL(write);
  Fault fault = isOurs(descriptor) ? plan().next(Write) : Fault::None;
  return fault == Fault::Failed
             ? -1
             : next(descriptor, data, fault == Fault::Short ? bytes - bytes / 2 : bytes);
}

ssize_t read(int descriptor, void *data, size_t bytes) {
  static auto *next = REAL(read);
  Fault fault = isOurs(descriptor) ? plan().next(Read) : Fault::None;
  return fault == Fault::Failed
             ? -1
             : next(descriptor, data, fault == Fault::Short ? bytes - bytes / 2 : bytes);
}

ssize_t pread(int descriptor, void *data, size_t bytes, off_t offset) {
  static auto *next = REAL(pread);
  Fault fault = isOurs(descriptor) ? plan().next(Read) : Fault::None;
  return fault == Fault::Failed
             ? -1
             : next(descriptor, data, fault == Fault::Short ? bytes - bytes / 2 : bytes, offset);
}

int fsync(int descriptor) {
  static auto *next = REAL(fsync);
  return isOurs(descriptor) && plan().next(Fsync) == Fault::Failed ? -1 : next(descriptor);
}

int rename(const char *from, const char *to) {
  static auto *next = REAL(rename);
  return plan().next(Rename) == Fault::Failed ? -1 : next(from, to);
}

int mkostemp(char *path, int flags) {
  static auto *next = REAL(mkostemp);
  return plan().next(Mkostemp) == Fault::Failed ? -1 : next(path, flags);
}

int mkdir(const char *path, mode_t mode) {
  static auto *next = REAL(mkdir);
  return plan().next(Mkdir) == Fault::Failed ? -1 : next(path, mode);
}

void *mmap(void *address, size_t bytes, int protection, int flags, int descriptor, off_t offset) {
  static auto *next = REAL(mmap);
  bool isFile = !(flags & MAP_ANONYMOUS) && isOurs(descriptor);
  Fault fault = isFile ? plan().next(Mmap) : Fault::None;
  if (fault == Fault::Failed)
    return MAP_FAILED;
  void *mapping = next(address, bytes, protection, flags, descriptor, offset);
  if (fault == Fault::Short)
    (void)!::truncate(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), 0);
  return mapping;
}

} // extern "C"
