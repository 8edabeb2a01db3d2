//===- CompileCache.cpp - finished modules by what they were made from --===//

#include "passes/target/CompileCache.h"

#include "runtime/File.h"
#include "runtime/module/Module.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/CachePruning.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"

#include <algorithm>
#include <chrono>

using namespace hadal;
namespace fs = llvm::sys::fs;

CompileCache::CompileCache(std::string folder) : folder(std::move(folder)) {}

static uint64_t limitBytes() {
  uint64_t bytes = uint64_t(2) << 30;
  if (auto text = llvm::sys::Process::GetEnv("HADAL_CACHE_BYTES"))
    if (uint64_t wanted; !llvm::StringRef(*text).getAsInteger(10, wanted))
      bytes = wanted;
  return bytes;
}

std::string CompileCache::defaultFolder() {
  using llvm::sys::Process;
  if (auto named = Process::GetEnv("HADAL_CACHE_DIR"); named && !named->empty())
    return *named + "/modules";
  if (auto cache = Process::GetEnv("XDG_CACHE_HOME"); cache && !cache->empty())
    return *cache + "/hadal/modules";
  if (auto home = Process::GetEnv("HOME"); home && !home->empty())
    return *home + "/.cache/hadal/modules";
  return "";
}

/// The compiler's own program: another build may make other code from the same graph.
static std::string compilerDigest() {
  auto program = llvm::MemoryBuffer::getFile("/proc/self/exe", /*IsText=*/false,
                                             /*RequiresNullTerminator=*/false);
  if (!program)
    return "";
  auto digest = llvm::BLAKE3::hash(llvm::arrayRefFromStringRef((*program)->getBuffer()));
  return llvm::toHex(digest);
}

std::string CompileCache::keyOf(mlir::ModuleOp graph, const CpuTarget &target,
                                llvm::StringRef options) {
  std::string compiler = compilerDigest();
  if (compiler.empty())
    return "";
  std::string text;
  llvm::raw_string_ostream out(text);
  out << compiler << " LLVM " << LLVM_VERSION_STRING << "\n"
      << target.triple << " " << target.cpu << " " << llvm::join(target.features, ",") << " "
      << target.lanes << "\n"
      << options << "\n";
  graph.print(out);
  return llvm::toHex(llvm::BLAKE3::hash(llvm::arrayRefFromStringRef(text)), /*LowerCase=*/true);
}

/// The name that LLVM's pruning knows.
std::string CompileCache::pathOf(llvm::StringRef key) const {
  return (folder + "/llvmcache-" + key).str();
}

std::optional<std::vector<std::byte>> CompileCache::find(llvm::StringRef key) const {
  if (folder.empty() || key.empty())
    return std::nullopt;
  std::string path = pathOf(key);
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!file)
    return std::nullopt;
  llvm::StringRef text = (*file)->getBuffer();
  auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  if (auto module = Module::fromBytes(bytes, path); !module.ok()) {
    fs::remove(path);
    return std::nullopt;
  }
  // Used just now, whatever the file system notes of reads.
  if (auto handle = fs::openNativeFileForReadWrite(path, fs::CD_OpenExisting, fs::OF_None)) {
    auto now = std::chrono::system_clock::now();
    (void)fs::setLastAccessAndModificationTime(*handle, now, now);
    fs::closeFile(*handle);
  } else {
    llvm::consumeError(handle.takeError());
  }
  auto payload = bytes.subspan(moduleHeaderBytes);
  return std::vector<std::byte>(payload.begin(), payload.end());
}

void CompileCache::store(llvm::StringRef key, llvm::ArrayRef<std::byte> payload) const {
  if (folder.empty() || key.empty() || fs::create_directories(folder))
    return;
  (void)writeModule(pathOf(key), std::span(payload.data(), payload.size()));
  llvm::CachePruningPolicy policy;
  policy.Interval = std::chrono::seconds(0);
  policy.Expiration = std::chrono::hours(0); // none: size alone bounds it
  policy.MaxSizePercentageOfAvailableSpace = 50;
  policy.MaxSizeBytes = std::max<uint64_t>(limitBytes(), 1); // 0 would be no limit
  llvm::pruneCache(folder, policy);
}
