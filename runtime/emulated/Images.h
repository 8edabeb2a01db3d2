//===- Images.h - shared objects with emulated kernels ------------------===//

#ifndef HADAL_RUNTIME_EMULATED_IMAGES_H
#define HADAL_RUNTIME_EMULATED_IMAGES_H

#include "runtime/device/CodeImage.h"
#include "runtime/device/cuda/DriverTypes.h"
#include "runtime/emulated/Launch.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace hadal::emulated {

/// A kernel of an image: what EmulatorCalls.h says that an image exports for it.
struct Function {
  std::string name;
  KernelEntry entry = nullptr;
  std::vector<uint32_t> paramBytes;
  std::vector<const char *> locations;
  uint32_t mostSharedBytes = 48 << 10; ///< until the attribute is raised
  bool anyClusterSize = false;         ///< more than 8 blocks
};

/// A loaded image. Unloads it on destruction.
class Image {
public:
  /// `image` is an ELF shared object, whose headers give its size; calls of hadal_emu_* are bound
  /// to this library. Null, and `log` says why, where it is no such thing or does not load.
  static std::unique_ptr<Image> load(const void *image, std::string &log, cuda::CUresult &result);

  /// Null where the image has no such kernel. Stays with the image.
  Function *find(const std::string &name);
  bool has(const Function *function) const;

private:
  CodeImage code;
  std::map<std::string, std::unique_ptr<Function>> functions;
};

/// A copy of a launch's parameters, each aligned to 64 bytes.
class Parameters {
public:
  Parameters(const Function &function, void *const *values);
  void *const *pointers() const { return places.data(); }

private:
  struct alignas(64) Unit {
    unsigned char bytes[64];
  };
  std::vector<Unit> units;
  std::vector<void *> places;
};

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_IMAGES_H
