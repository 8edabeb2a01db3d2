//===- CompileCache.cpp - modules and kernels by what they were made from ===//

#include "passes/module/CompileCache.h"

#include "runtime/File.h"
#include "runtime/module/Module.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/CachePruning.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"

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

static std::string digestOf(llvm::StringRef text) {
  return llvm::toHex(llvm::BLAKE3::hash(llvm::arrayRefFromStringRef(text)), /*LowerCase=*/true);
}

static std::unique_ptr<llvm::MemoryBuffer> readBytes(const llvm::Twine &path) {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  return file ? std::move(*file) : nullptr;
}

/// The compiler's own program: another build may make other code from the same graph. Read once.
static const std::string &compilerDigest() {
  static const std::string digest = [] {
    auto program = readBytes("/proc/self/exe");
    return program ? digestOf(program->getBuffer()) : std::string();
  }();
  return digest;
}

/// Everything beside a graph that code depends on; empty where the compiler cannot be read.
static std::string compilerOf(const Target &target) {
  if (compilerDigest().empty())
    return "";
  const Processor &processor = target.processor();
  return llvm::formatv("{0} LLVM {1}\n{2} {3} {4} {5} {6}\n", compilerDigest(), LLVM_VERSION_STRING,
                       processor.triple, processor.name, llvm::join(processor.features, ","),
                       target.name(), target.family())
      .str();
}

/// A name that LLVM's pruning knows.
static std::string pathIn(const std::string &folder, llvm::StringRef key) {
  return folder + "/llvmcache-" + key.str();
}

/// Used just now, whatever the file system notes of reads.
static void touch(const std::string &path) {
  auto handle = fs::openNativeFileForReadWrite(path, fs::CD_OpenExisting, fs::OF_None);
  if (!handle)
    return llvm::consumeError(handle.takeError());
  auto now = std::chrono::system_clock::now();
  (void)fs::setLastAccessAndModificationTime(*handle, now, now);
  fs::closeFile(*handle);
}

static void pruneFolder(const std::string &folder) {
  llvm::CachePruningPolicy policy;
  policy.Interval = std::chrono::seconds(0);
  policy.Expiration = std::chrono::hours(0); // none: size alone bounds it
  policy.MaxSizePercentageOfAvailableSpace = 50;
  policy.MaxSizeBytes = std::max<uint64_t>(limitBytes(), 1); // 0 would be no limit
  llvm::pruneCache(folder, policy);
}

std::string CompileCache::keyOf(mlir::ModuleOp graph, const Target &target,
                                llvm::StringRef options) {
  std::string compiler = compilerOf(target);
  if (compiler.empty())
    return "";
  std::string text;
  llvm::raw_string_ostream out(text);
  out << compiler << options << "\n";
  graph.print(out);
  return digestOf(text);
}

std::optional<std::vector<std::byte>> CompileCache::find(llvm::StringRef key) const {
  if (folder.empty() || key.empty())
    return std::nullopt;
  std::string path = pathIn(folder, key);
  auto file = readBytes(path);
  if (!file)
    return std::nullopt;
  llvm::StringRef text = file->getBuffer();
  auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  if (auto module = Module::fromBytes(bytes, path); !module.ok()) {
    fs::remove(path);
    return std::nullopt;
  }
  touch(path);
  auto payload = bytes.subspan(moduleHeaderBytes);
  return std::vector<std::byte>(payload.begin(), payload.end());
}

void CompileCache::store(llvm::StringRef key, llvm::ArrayRef<std::byte> payload) const {
  if (folder.empty() || key.empty() || fs::create_directories(folder))
    return;
  (void)writeModule(pathIn(folder, key), std::span(payload.data(), payload.size()));
  pruneFolder(folder);
}

KernelCache::KernelCache(llvm::StringRef moduleFolder, const Target &target) {
  if (moduleFolder.empty())
    return;
  compiler = compilerOf(target);
  if (!compiler.empty())
    folder = (llvm::sys::path::parent_path(moduleFolder) + "/kernels").str();
}

std::string KernelCache::keyOf(llvm::StringRef text) const {
  return digestOf(compiler + text.str());
}

/// An object's digest, then the object.
std::optional<std::string> KernelCache::find(llvm::StringRef key) const {
  if (folder.empty())
    return std::nullopt;
  std::string path = pathIn(folder, key);
  auto file = readBytes(path);
  if (!file)
    return std::nullopt;
  llvm::StringRef digest = file->getBuffer().take_front(64),
                  object = file->getBuffer().drop_front(digest.size());
  if (digest != digestOf(object)) {
    fs::remove(path);
    return std::nullopt;
  }
  touch(path);
  return object.str();
}

void KernelCache::store(llvm::StringRef key, llvm::StringRef object) const {
  if (folder.empty() || fs::create_directories(folder))
    return;
  // Beside it, then renamed.
  llvm::consumeError(llvm::writeToOutput(pathIn(folder, key), [&](llvm::raw_ostream &out) {
    out << digestOf(object) << object;
    return llvm::Error::success();
  }));
}

void KernelCache::prune() const {
  if (!folder.empty())
    pruneFolder(folder);
}
