//===- Module.cpp - the module file ---------------------------------------===//

#include "runtime/module/Module.h"
#include "runtime/FileKind.h"
#include "runtime/module/Check.h"

#include <algorithm>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace hadal {

static constexpr char magic[8] = {'H', 'A', 'D', 'A', 'L', 0, 0, moduleFormatVersion};
static constexpr char trailerMagic[8] = {'H', 'A', 'D', 'A', 'L', 'E', 'X', 'E'};
static constexpr size_t headerBytes = moduleHeaderBytes;

static uint64_t word(std::span<const std::byte> bytes, size_t at) {
  uint64_t value;
  std::memcpy(&value, bytes.data() + at, 8);
  return value;
}

static std::string hexadecimal(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

Result<Module> Module::open(const std::string &path) {
  // Read, not mapped: what was checked is what runs, whatever becomes of the file.
  return take(HADAL_TRY(readInputBytes(path)), nameOfInput(path));
}

Result<Module> Module::fromBytes(std::span<const std::byte> bytes, std::string name) {
  return take({bytes.begin(), bytes.end()}, std::move(name));
}

/// Memory of operator new has the alignment that tables want.
Result<Module> Module::take(std::vector<std::byte> bytes, std::string name) {
  Module module = HADAL_TRY(check(bytes, std::move(name)));
  module.bytes = std::move(bytes);
  return module;
}

Result<std::optional<Module>> Module::openAppended(const std::string &executablePath) {
  MappedFile file = HADAL_TRY(MappedFile::open(executablePath));
  auto bytes = file.bytes();
  if (bytes.size() < 16 || std::memcmp(bytes.data() + bytes.size() - 8, trailerMagic, 8) != 0)
    return std::optional<Module>();
  uint64_t offset = word(bytes, bytes.size() - 16);
  if (offset % 8 || offset > bytes.size() - 16)
    return invalidFile(executablePath + ": the module it carries begins at byte " +
                       std::to_string(offset) + ", file has " + std::to_string(bytes.size()));
  return std::optional(
      HADAL_TRY(fromBytes(bytes.subspan(offset, bytes.size() - 16 - offset), executablePath)));
}

Result<Module> Module::check(std::span<const std::byte> bytes, std::string name) {
  HADAL_TRY(refuseForeignFile(name, bytes, "a module of hadal-compile", FileKind::HadalModule));
  if (bytes.size() < headerBytes)
    return invalidFile(name + ": not a hadal module: wants at least " +
                       std::to_string(headerBytes) + " bytes, has " + std::to_string(bytes.size()));
  if (std::memcmp(bytes.data(), magic, 7) != 0)
    return invalidFile(name + ": not a hadal module");
  if (bytes[7] != std::byte(magic[7]))
    return unsupported(name + ": module format is version " + std::to_string(int(bytes[7])) +
                       ", this program reads version " + std::to_string(moduleFormatVersion));
  uint64_t size = word(bytes, 8);
  if (size != bytes.size() - headerBytes)
    return invalidFile(name + ": module wants " + std::to_string(size) +
                       " bytes after its header, file has " +
                       std::to_string(bytes.size() - headerBytes));
  auto payload = bytes.subspan(headerBytes);
  uint64_t stored = word(bytes, 16), computed = XXH3_64bits(payload.data(), payload.size());
  if (stored != computed)
    return invalidFile(name + ": checksum is " + hexadecimal(stored) + ", contents have " +
                       hexadecimal(computed));
  auto *data = reinterpret_cast<const uint8_t *>(payload.data());
  if (payload.size() < 8 || payload.size() >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return invalidFile(name + ": tables are damaged");
  flatbuffers::Verifier verifier(data, payload.size(), /*max_depth=*/64, /*max_tables=*/50'000'000);
  if (!fb::VerifyModuleBuffer(verifier))
    return invalidFile(name + ": tables are damaged");
  Module module;
  module.root = fb::GetModule(data);
  Status status = checkTables(*module.root);
  if (!status)
    return invalidFile(name + ": " + status.error().message);
  module.name = std::move(name);
  module.sum = stored;
  return module;
}

const fb::Program *Module::findProgram(std::string_view programName) const {
  for (const fb::Program *p : *root->programs())
    if (p->name()->string_view() == programName)
      return p;
  return nullptr;
}

Result<const fb::Program *> Module::program(std::string_view programName) const {
  if (const fb::Program *p = findProgram(programName))
    return p;
  std::string known;
  for (const fb::Program *p : *root->programs())
    known += (known.empty() ? "" : ", ") + p->name()->str();
  return notFound(name + ": no program '" + std::string(programName) + "' (has " + known + ")");
}

std::span<const std::byte> Module::code(uint32_t index) const {
  const auto &bytes = *root->codes()->Get(index)->bytes();
  return {reinterpret_cast<const std::byte *>(bytes.data()), bytes.size()};
}

std::vector<std::byte> moduleBytes(std::span<const std::byte> payload) {
  std::vector<std::byte> bytes(headerBytes + payload.size());
  uint64_t size = payload.size(), checksum = XXH3_64bits(payload.data(), payload.size());
  std::memcpy(bytes.data(), magic, 8);
  std::memcpy(bytes.data() + 8, &size, 8);
  std::memcpy(bytes.data() + 16, &checksum, 8);
  std::memcpy(bytes.data() + headerBytes, payload.data(), payload.size());
  return bytes;
}

Status writeModule(const std::string &path, std::span<const std::byte> payload) {
  return writeFile(path, moduleBytes(payload));
}

Status appendModule(const std::string &executablePath, std::span<const std::byte> payload,
                    const std::string &path) {
  MappedFile runner = HADAL_TRY(MappedFile::open(executablePath));
  AtomicFile file = HADAL_TRY(AtomicFile::create(path, /*executable=*/true));
  auto bytes = runner.bytes();
  if (bytes.size() >= 16 && std::memcmp(bytes.data() + bytes.size() - 8, trailerMagic, 8) == 0)
    bytes = bytes.first(std::min<uint64_t>(word(bytes, bytes.size() - 16), bytes.size()));
  HADAL_TRY(file.write(bytes));
  static constexpr std::byte padding[64] = {};
  HADAL_TRY(file.write(padding, (64 - bytes.size() % 64) % 64));
  uint64_t offset = file.position();
  HADAL_TRY(file.write(moduleBytes(payload)));
  HADAL_TRY(file.write(&offset, 8));
  HADAL_TRY(file.write(trailerMagic, 8));
  return file.commit();
}

} // namespace hadal
