//===- SharedLibrary.h - libraries that are found at run time -------------===//

#ifndef HADAL_RUNTIME_SHAREDLIBRARY_H
#define HADAL_RUNTIME_SHAREDLIBRARY_H

#include <dlfcn.h>
#include <string>
#include <vector>

namespace hadal {

/// A library that stays loaded until the process ends: drivers do not like to be unloaded. Any
/// thread may look up a symbol.
class SharedLibrary {
public:
  /// Loads the first of `paths` that is there and can be loaded; the system searches for one
  /// without a '/'. `mode` as dlopen takes it.
  SharedLibrary(const std::vector<std::string> &paths, int mode);

  bool isLoaded() const { return handle; }
  /// Why the first of the paths that was tried could not be loaded.
  const std::string &problem() const { return firstProblem; }

  /// A function of the library; null where it has none of that name, or is not loaded.
  template <typename Function> Function find(const char *name) const {
    return handle ? reinterpret_cast<Function>(::dlsym(handle, name)) : nullptr;
  }

private:
  void *handle = nullptr;
  std::string firstProblem;
};

/// Where a library that comes with hadal may lie: beside the program, in ../lib there, beside the
/// library that holds this code (libhadal.so in a program that embeds it), or where the system
/// searches.
std::vector<std::string> placesOf(const std::string &library);

} // namespace hadal

#endif // HADAL_RUNTIME_SHAREDLIBRARY_H
