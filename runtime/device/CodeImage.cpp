//===- CodeImage.cpp - a shared object in memory --------------------------===//

#include "runtime/device/CodeImage.h"

#include "runtime/File.h"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace hadal {

CodeImage::CodeImage(CodeImage &&other) noexcept { *this = std::move(other); }

CodeImage &CodeImage::operator=(CodeImage &&other) noexcept {
  std::swap(name, other.name);
  std::swap(handle, other.handle);
  std::swap(descriptor, other.descriptor);
  return *this;
}

CodeImage::~CodeImage() {
  if (handle)
    ::dlclose(handle);
  if (descriptor >= 0)
    ::close(descriptor);
}

Result<CodeImage> CodeImage::load(std::span<const std::byte> code, const std::string &name) {
  CodeImage image;
  image.name = name;
  image.descriptor = ::memfd_create("hadal-kernels", MFD_CLOEXEC);
  const std::string task = name + ": cannot make memory for code";
  if (image.descriptor < 0)
    return ioError(task + ": " + std::strerror(errno));
  HADAL_TRY(writeAll(image.descriptor, task, code));
  image.handle = ::dlopen(("/proc/self/fd/" + std::to_string(image.descriptor)).c_str(),
                          RTLD_NOW | RTLD_LOCAL);
  if (!image.handle)
    return invalidFile(name + ": code image does not load: " + ::dlerror());
  return image;
}

Result<void *> CodeImage::symbol(const std::string &symbolName) const {
  void *address = ::dlsym(handle, symbolName.c_str());
  if (!address)
    return notFound(name + ": code image has no symbol '" + symbolName + "'");
  return address;
}

} // namespace hadal
