//===- Images.cpp - shared objects from memory --------------------------===//

#include "runtime/emulated/Images.h"

#include "runtime/emulated/EmulatorCalls.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

namespace hadal::emulated {

using namespace hadal::cuda;

/// Bytes of an ELF file, by its headers: up to the end of its sections and segments.
static uint64_t elfBytes(const Elf64_Ehdr &header) {
  uint64_t bytes = header.e_shoff + uint64_t(header.e_shnum) * header.e_shentsize;
  auto *segments = reinterpret_cast<const Elf64_Phdr *>(reinterpret_cast<const char *>(&header) +
                                                        header.e_phoff);
  for (uint32_t i = 0; i < header.e_phnum; ++i)
    bytes = std::max(bytes, segments[i].p_offset + segments[i].p_filesz);
  return bytes;
}

/// Makes hadal_emu_* visible to images: this library was loaded for its user alone.
static void showCalls() {
  Dl_info info;
  if (::dladdr(reinterpret_cast<void *>(&hadal_emu_thread_index), &info) && info.dli_fname)
    ::dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

static bool writeAll(int descriptor, const void *bytes, uint64_t count) {
  auto *at = static_cast<const char *>(bytes);
  while (count) {
    ssize_t written = ::write(descriptor, at, count);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return false;
    at += written;
    count -= static_cast<uint64_t>(written);
  }
  return true;
}

std::unique_ptr<Image> Image::load(const void *image, std::string &log, CUresult &result) {
  Elf64_Ehdr header;
  result = CUDA_ERROR_INVALID_IMAGE;
  if (!image || std::memcmp(image, ELFMAG, SELFMAG) != 0) {
    log = "not a shared object: the emulated device runs no PTX";
    return nullptr;
  }
  std::memcpy(&header, image, sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_type != ET_DYN) {
    log = "not a shared object for this machine";
    result = CUDA_ERROR_NO_BINARY_FOR_GPU;
    return nullptr;
  }
  std::unique_ptr<Image> loaded(new Image);
  loaded->descriptor = ::memfd_create("hadal-emulated-kernels", MFD_CLOEXEC);
  if (loaded->descriptor < 0 ||
      !writeAll(loaded->descriptor, image, elfBytes(*static_cast<const Elf64_Ehdr *>(image)))) {
    log = std::string("cannot make memory for code: ") + std::strerror(errno);
    result = CUDA_ERROR_OUT_OF_MEMORY;
    return nullptr;
  }
  showCalls();
  std::string path = "/proc/self/fd/" + std::to_string(loaded->descriptor);
  loaded->handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!loaded->handle) {
    log = std::string("the shared object does not load: ") + ::dlerror();
    return nullptr;
  }
  result = CUDA_SUCCESS;
  return loaded;
}

Image::~Image() {
  if (handle)
    ::dlclose(handle);
  if (descriptor >= 0)
    ::close(descriptor);
}

Function *Image::find(const std::string &name) {
  auto known = functions.find(name);
  if (known != functions.end())
    return known->second.get();
  void *entry = ::dlsym(handle, name.c_str());
  auto *params = static_cast<const uint32_t *>(::dlsym(handle, (name + ".params").c_str()));
  if (!entry || !params)
    return nullptr;
  auto function = std::make_unique<Function>();
  function->name = name;
  function->entry = reinterpret_cast<KernelEntry>(entry);
  function->paramBytes.assign(params + 1, params + 1 + params[0]);
  function->locations =
      splitLocations(static_cast<const char *>(::dlsym(handle, (name + ".locations").c_str())));
  return (functions[name] = std::move(function)).get();
}

bool Image::has(const Function *function) const {
  return std::any_of(functions.begin(), functions.end(),
                     [&](const auto &each) { return each.second.get() == function; });
}

Parameters::Parameters(const Function &function, void *const *values) {
  size_t count = 0;
  for (uint32_t bytes : function.paramBytes)
    count += (bytes + sizeof(Unit) - 1) / sizeof(Unit);
  units.resize(count);
  size_t next = 0;
  for (size_t i = 0; i < function.paramBytes.size(); ++i) {
    places.push_back(&units[next]);
    std::memcpy(&units[next], values[i], function.paramBytes[i]);
    next += (function.paramBytes[i] + sizeof(Unit) - 1) / sizeof(Unit);
  }
}

} // namespace hadal::emulated
