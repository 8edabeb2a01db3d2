//===- Module.h - the module file ---------------------------------------===//
//
// A module is what hadal-compile writes and hadal-run executes: codes and the programs that launch
// their kernels. File layout and rules: runtime/module/README.md; tables: Module.fbs.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_MODULE_H
#define HADAL_RUNTIME_MODULE_MODULE_H

#include "runtime/File.h"
#include "runtime/Result.h"
#include "runtime/Tensor.h"
#include "runtime/module/Module_generated.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// An opened and checked module. Every index that its tables hold is in range and every Expr is
/// well-formed, so readers need no further checks; required tables, strings and vectors are never
/// null (see Check.cpp). Move-only.
///
/// Opening checks and never runs or loads code; loading is the device's part (device/Device.h).
/// Any thread may read it.
class Module {
public:
  /// Of a file that the user names (runtime/File.h). Errors name file, wanted, got: "m.hadal:
  /// checksum is 0123456789abcdef, contents have fedcba9876543210".
  static Result<Module> open(const std::string &path);

  /// The same over bytes in memory (the whole file: header and payload). `name` stands for the path
  /// in errors.
  static Result<Module> fromBytes(std::span<const std::byte> bytes, std::string name);

  /// The module that --emit=exe appended to an executable; none when the file carries no module.
  static Result<std::optional<Module>> openAppended(const std::string &executablePath);

  const std::string &path() const { return name; }

  /// That of the file's header: of all it holds.
  uint64_t checksum() const { return sum; }

  /// All tables.
  const fb::Module &tables() const { return *root; }

  /// What a driver needs to know of the model; null in modules made from a .mlir file.
  const fb::Model *model() const { return root->model(); }

  /// Null when there is no program of that name.
  const fb::Program *findProgram(std::string_view name) const;

  /// findProgram, with an error that lists the names there are.
  Result<const fb::Program *> program(std::string_view name) const;

  /// The bytes of the code `index`.
  std::span<const std::byte> code(uint32_t index) const;

private:
  static Result<Module> take(std::vector<std::byte> bytes, std::string name);
  static Result<Module> check(std::span<const std::byte> bytes, std::string name);

  std::string name;
  std::vector<std::byte> bytes; ///< the file, read: what was checked is what runs
  uint64_t sum = 0;
  const fb::Module *root = nullptr;
};

/// The element types of the file and of the runtime have the same values.
inline ElementType elementType(fb::ElementType type) { return static_cast<ElementType>(type); }

/// Writes `payload` (a finished FlatBuffer of fb::Module) with its header, atomically.
Status writeModule(const std::string &path, std::span<const std::byte> payload);

/// That which is written, and the only one that is read.
inline constexpr uint8_t moduleFormatVersion = 2;

/// Bytes of a module file before its payload.
inline constexpr size_t moduleHeaderBytes = 24;

/// Header and payload as writeModule writes them.
std::vector<std::byte> moduleBytes(std::span<const std::byte> payload);

/// Writes an executable that carries a module: a copy of `executablePath` (without a module of its
/// own), padding to 64 bytes, the module's bytes, and a trailer of u64 LE offset of the module and
/// the 8 bytes "HADALEXE". Atomic, mode 0755.
Status appendModule(const std::string &executablePath, std::span<const std::byte> payload,
                    const std::string &path);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_MODULE_H
