#include "runtime/device/CodeImage.h"

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
  if (image.descriptor < 0)
    return ioError(name + ": cannot make memory for code: " + std::strerror(errno));
  while (!code.empty()) {
    ssize_t written = ::write(image.descriptor, code.data(), code.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return ioError(name + ": cannot make memory for code: " + std::strerror(errno));
    code = code.subspan(static_cast<size_t>(written));
  }
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
