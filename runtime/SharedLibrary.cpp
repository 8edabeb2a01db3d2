//===- SharedLibrary.cpp - libraries that are found at run time -----------===//

#include "runtime/SharedLibrary.h"

#include <unistd.h>

using namespace hadal;

SharedLibrary::SharedLibrary(const std::vector<std::string> &paths, int mode) {
  for (const std::string &path : paths) {
    if (path.find('/') != std::string::npos && ::access(path.c_str(), R_OK) != 0)
      continue;
    if ((handle = ::dlopen(path.c_str(), mode)))
      return;
    if (const char *text = ::dlerror(); text && firstProblem.empty())
      firstProblem = text;
  }
}

static std::string folderOfProgram() {
  char path[4096];
  ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  std::string text(path, length > 0 ? size_t(length) : 0);
  return text.substr(0, text.rfind('/'));
}

/// Of the library that this code is in; of the program where it is in none.
static std::string folderOfLibrary() {
  Dl_info info = {};
  std::string text = ::dladdr(reinterpret_cast<void *>(&folderOfProgram), &info) && info.dli_fname
                         ? info.dli_fname
                         : "";
  return text.substr(0, text.rfind('/') == std::string::npos ? 0 : text.rfind('/'));
}

std::vector<std::string> hadal::placesOf(const std::string &library) {
  std::string folder = folderOfProgram();
  return {folder + "/" + library, folder + "/../lib/" + library, folderOfLibrary() + "/" + library,
          library};
}
