//===- Images.cpp - shared objects from memory --------------------------===//

#include "runtime/emulated/Images.h"

#include "runtime/emulated/EmulatorCalls.h"

#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>

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

/// NAME.locations: strings ended by zero bytes, an empty one after the last.
static std::vector<const char *> splitLocations(const char *strings) {
  std::vector<const char *> split;
  for (; *strings; strings += std::strlen(strings) + 1)
    split.push_back(strings);
  return split;
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
  showCalls();
  Result<CodeImage> code = CodeImage::load(
      {static_cast<const std::byte *>(image), elfBytes(*static_cast<const Elf64_Ehdr *>(image))},
      "the emulated device");
  if (!code.ok()) {
    log = code.error().message;
    result = code.error().code == ErrorCode::Io ? CUDA_ERROR_OUT_OF_MEMORY : result;
    return nullptr;
  }
  std::unique_ptr<Image> loaded(new Image);
  loaded->code = std::move(*code);
  result = CUDA_SUCCESS;
  return loaded;
}

Function *Image::find(const std::string &name) {
  auto known = functions.find(name);
  if (known != functions.end())
    return known->second.get();
  Result<void *> entry = code.symbol(name), params = code.symbol(name + ".params");
  if (!entry.ok() || !params.ok())
    return nullptr;
  auto *bytes = static_cast<const uint32_t *>(*params);
  Result<void *> locations = code.symbol(name + ".locations");
  auto function = std::make_unique<Function>();
  function->name = name;
  function->entry = reinterpret_cast<KernelEntry>(*entry);
  function->paramBytes.assign(bytes + 1, bytes + 1 + bytes[0]);
  if (locations.ok())
    function->locations = splitLocations(static_cast<const char *>(*locations));
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
