//===- CodeImage.h - a shared object in memory --------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_CODEIMAGE_H
#define HADAL_RUNTIME_DEVICE_CODEIMAGE_H

#include "runtime/Result.h"

#include <cstddef>
#include <span>
#include <string>

namespace hadal {

/// An ELF shared object loaded from memory (memfd_create, dlopen); unloaded on destruction.
/// Move-only. Any thread may look up a symbol.
class CodeImage {
public:
  CodeImage() = default;
  CodeImage(CodeImage &&other) noexcept;
  CodeImage &operator=(CodeImage &&other) noexcept;
  ~CodeImage();

  /// `name` stands in errors.
  static Result<CodeImage> load(std::span<const std::byte> code, const std::string &name);

  /// NotFound: "m.hadal: code image has no symbol 'matmul_0'".
  Result<void *> symbol(const std::string &symbolName) const;

private:
  std::string name;
  void *handle = nullptr;
  int descriptor = -1; ///< open as long as the handle: dlopen knows an image by its path, so paths
                       ///< of live images must differ
};

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_CODEIMAGE_H
