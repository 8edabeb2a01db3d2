//===- QuantizeCheckpoint.cpp - a checkpoint's weights become FP8 ---------===//

#include "tools/compile/QuantizeCheckpoint.h"
#include "frontend/Parameters.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "passes/module/Compile.h"
#include "runtime/CheckpointFit.h"
#include "runtime/Executor.h"
#include "runtime/Finite.h"
#include "runtime/Json.h"
#include "runtime/Safetensors.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/session/FunctionCall.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <set>
#include <sys/file.h>
#include <unistd.h>

using namespace hadal;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// What a scale is for: rows and columns of a weight, as DeepSeek publishes its models.
static constexpr int64_t kBlock = 128;

//===----------------------------------------------------------------------===//
// Codes and scales
//===----------------------------------------------------------------------===//

namespace {

/// Codes of a weight and its scales, both where they are to be written from.
struct Quantized {
  Buffer codes;
  std::vector<float> scales;
};

/// Runs fp8.quantize, compiled for each number of columns and element type that there is.
class Quantizer {
public:
  /// The weights that will come.
  static Result<std::unique_ptr<Quantizer>> create(mlir::MLIRContext &context,
                                                   const std::vector<const StoredTensor *> &weights,
                                                   const std::string &cacheFolder);

  /// InvalidFile, which `where` begins, for numbers that are not finite.
  Result<Quantized> quantize(const Checkpoint::Entry &entry, const std::string &where);

private:
  explicit Quantizer(Module module) : module(std::move(module)) {}
  static std::string nameOf(const StoredTensor &weight) {
    return llvm::formatv("quantize_{0}_{1}", weight.dtype, weight.shape[1]).str();
  }
  static std::string functionFor(const StoredTensor &weight);

  Module module;
  CpuDevice device;
  WeightStore none;
  std::unique_ptr<Executor> executor;
};

} // namespace

std::string Quantizer::functionFor(const StoredTensor &weight) {
  const char *element = weight.element == ElementType::BF16  ? "bf16"
                        : weight.element == ElementType::F16 ? "f16"
                                                             : "f32";
  int64_t k = weight.shape[1];
  std::string x = llvm::formatv("tensor<?x{0}x{1}>", k, element),
              codes = llvm::formatv("tensor<?x{0}xf8E4M3FN>", k),
              scales = llvm::formatv("tensor<?x{0}xf32>", llvm::divideCeil(k, kBlock));
  return llvm::formatv("func.func @{0}(%x: {1}) -> ({2}, {3}) {{\n"
                       "  %q, %s = fp8.quantize %x {{block = array<i64: {4}, {4}>} : {1} -> {2}, "
                       "{3}\n  return %q, %s : {2}, {3}\n}\n",
                       nameOf(weight), x, codes, scales, kBlock);
}

Result<std::unique_ptr<Quantizer>>
Quantizer::create(mlir::MLIRContext &context, const std::vector<const StoredTensor *> &weights,
                  const std::string &cacheFolder) {
  std::map<std::string, std::string> functions;
  for (const StoredTensor *weight : weights)
    if (std::string &text = functions[nameOf(*weight)]; text.empty())
      text = functionFor(*weight);
  std::string text;
  for (auto &[name, function] : functions)
    text += function;
  auto graph = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  if (!graph)
    return unsupported("the quantizer's graph cannot be read");
  CompileOptions options;
  options.cacheFolder = cacheFolder;
  auto payload = compilePayload(*graph, options);
  if (!payload)
    return unsupported("the quantizer cannot be compiled: " + llvm::toString(payload.takeError()));
  std::unique_ptr<Quantizer> made(
      new Quantizer(HADAL_TRY(Module::fromBytes(moduleBytes(*payload), "the quantizer"))));
  made->executor = HADAL_TRY(Executor::create(made->module, made->device, made->none));
  return made;
}

Result<Quantized> Quantizer::quantize(const Checkpoint::Entry &entry, const std::string &where) {
  const StoredTensor &weight = *entry.tensor;
  int64_t rows = weight.shape[0], columns = weight.shape[1];
  uint64_t rowBytes = uint64_t(columns) * byteSize(weight.element);
  // Blocks begin anew at each piece.
  constexpr int64_t pieceElements = 1 << 22;
  int64_t pieceRows = std::max<int64_t>(pieceElements / columns / kBlock, 1) * kBlock;
  Quantized made{HADAL_TRY(Buffer::allocate(uint64_t(rows) * uint64_t(columns))), {}};
  ProgramRun run = HADAL_TRY(executor->prepare(nameOf(weight)));
  Buffer aligned;
  for (int64_t row = 0; row < rows; row += pieceRows) {
    int64_t count = std::min(pieceRows, rows - row);
    uint64_t bytes = uint64_t(count) * rowBytes;
    const std::byte *from = entry.data() + uint64_t(row) * rowBytes;
    if (!allFinite(weight.element, from, uint64_t(count) * uint64_t(columns)))
      return invalidFile(where + weight.name + " holds NaN or an infinite value");
    if (reinterpret_cast<uintptr_t>(from) % byteSize(weight.element)) {
      if (aligned.size() < bytes)
        aligned = HADAL_TRY(Buffer::allocate(bytes));
      std::memcpy(aligned.data(), from, bytes);
      from = aligned.data();
    }
    TensorView piece{weight.element, {count, columns}, const_cast<std::byte *>(from)};
    TensorView codes{ElementType::F8E4M3,
                     {count, columns},
                     made.codes.data() + uint64_t(row) * uint64_t(columns)};
    HADAL_TRY(bindWithSizes(run, "arg0", piece));
    HADAL_TRY(run.bind("result0", codes));
    HADAL_TRY(run.execute());
    TensorView scales = HADAL_TRY(run.output("result1"));
    auto *first = static_cast<const float *>(scales.data);
    made.scales.insert(made.scales.end(), first, first + scales.bytes() / sizeof(float));
  }
  return made;
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

namespace {

/// A tensor that is written: one of the input as it is, or the codes or scales of one.
struct Item {
  enum Kind { Copy, Codes, Scales } kind;
  Checkpoint::Entry source;

  SafetensorsWriter::Planned planned() const {
    const StoredTensor &stored = *source.tensor;
    if (kind == Copy)
      return SafetensorsWriter::Planned::like(stored);
    if (kind == Codes)
      return {stored.name, ElementType::F8E4M3, stored.shape};
    Shape blocks{int64_t(llvm::divideCeil(stored.shape[0], kBlock)),
                 int64_t(llvm::divideCeil(stored.shape[1], kBlock))};
    return {stored.name + "_scale_inv", ElementType::F32, std::move(blocks)};
  }
  /// The format has no holes: what wants much alignment comes before what spoils it. Scales after
  /// their codes, which are computed with them, where that spoils nothing.
  int rank() const {
    SafetensorsWriter::Planned plan = planned();
    uint64_t size = byteSize(plan.element), bytes = *plan.bytes();
    if (kind == Scales)
      return 3;
    if (size >= 4)
      return size >= 8 ? 0 : 1;
    if (kind == Codes && bytes % 4 == 0)
      return 2;
    return size == 2 ? 4 : 5;
  }
};

/// A signal is noted and obeyed once what was written is gone.
class Interruptible {
public:
  Interruptible() {
    struct sigaction action = {}, before = {};
    action.sa_handler = [](int signal) { noted = signal; };
    action.sa_flags = SA_RESTART;
    for (int signal : {SIGINT, SIGTERM, SIGHUP})
      if (::sigaction(signal, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
        ::sigaction(signal, &action, nullptr);
  }
  Status check() const { return noted ? Status(ioError("stopped by a signal")) : Status(); }
  /// Ends the process as the signal would have.
  void obey() const {
    if (!noted)
      return;
    ::signal(noted, SIG_DFL);
    ::raise(noted);
  }

private:
  static inline std::atomic<int> noted{0};
};

/// Writes the files of one folder.
class FolderWriter {
public:
  using Progress = std::function<void(uint64_t, uint64_t)>;
  FolderWriter(Quantizer &quantizer, const Checkpoint &checkpoint, std::string folder,
               const Interruptible &signals, const Progress &progress)
      : quantizer(quantizer), checkpoint(checkpoint), folder(std::move(folder)), signals(signals),
        progress(progress) {}

  /// All tensors, in files of the names that they have.
  Status writeWeights(const std::set<std::string> &projections);
  /// config.json with a quantization_config, and what else lies in `input`.
  Status writeOthers(const std::string &input);

private:
  Status writeFile(const std::string &name, std::vector<Item> items,
                   const std::map<std::string, std::string> &metadata);
  Status writeItem(SafetensorsWriter &writer, const Item &item);
  Status writeText(const std::string &name, const Json &json);

  Quantizer &quantizer;
  const Checkpoint &checkpoint;
  std::string folder;
  const Interruptible &signals;
  const Progress &progress;
  /// Scales of a weight whose codes were needed first, or the other way round.
  std::map<std::string, std::vector<float>> scales;
  uint64_t done = 0, total = 0;
};

std::string fileName(const std::string &path) { return fs::path(path).filename().string(); }

} // namespace

Status FolderWriter::writeItem(SafetensorsWriter &writer, const Item &item) {
  const StoredTensor &stored = *item.source.tensor;
  if (item.kind == Item::Copy) {
    HADAL_TRY(writer.write(item.source.data()));
    item.source.file->release(stored);
    done += stored.bytes;
    return {};
  }
  auto known = scales.find(stored.name);
  if (item.kind == Item::Scales && known != scales.end()) {
    HADAL_TRY(writer.write(known->second.data()));
    return {};
  }
  Quantized made = HADAL_TRY(quantizer.quantize(item.source, checkpoint.path() + ": "));
  item.source.file->release(stored);
  HADAL_TRY(writer.write(item.kind == Item::Codes ? static_cast<const void *>(made.codes.data())
                                                  : made.scales.data()));
  if (item.kind == Item::Codes) {
    scales[stored.name] = std::move(made.scales);
    done += stored.bytes;
  }
  return {};
}

Status FolderWriter::writeFile(const std::string &name, std::vector<Item> items,
                               const std::map<std::string, std::string> &metadata) {
  std::stable_sort(items.begin(), items.end(),
                   [](const Item &a, const Item &b) { return a.rank() < b.rank(); });
  std::vector<SafetensorsWriter::Planned> plan;
  for (const Item &item : items)
    plan.push_back(item.planned());
  SafetensorsWriter writer =
      HADAL_TRY(SafetensorsWriter::create(folder + "/" + name, plan, metadata));
  scales.clear();
  for (const Item &item : items) {
    HADAL_TRY(signals.check());
    HADAL_TRY(writeItem(writer, item));
    progress(done, total);
  }
  HADAL_TRY(checkpoint.checkSize());
  return writer.commit();
}

Status FolderWriter::writeWeights(const std::set<std::string> &projections) {
  struct File {
    std::vector<Item> items;
    const Safetensors *source = nullptr;
  };
  std::map<std::string, File> files;
  Json places = Json::object();
  uint64_t bytes = 0;
  for (const std::string &name : checkpoint.names()) {
    Checkpoint::Entry entry = *checkpoint.find(name);
    std::string file = fileName(entry.file->path());
    files[file].source = entry.file;
    bool isProjection = projections.count(name);
    for (Item::Kind kind : {Item::Copy, Item::Codes, Item::Scales}) {
      if (isProjection == (kind == Item::Copy))
        continue;
      files[file].items.push_back({kind, entry});
      SafetensorsWriter::Planned plan = files[file].items.back().planned();
      places[plan.name] = file;
      bytes += *plan.bytes();
    }
    total += entry.tensor->bytes;
  }
  for (auto &[name, file] : files)
    HADAL_TRY(writeFile(name, std::move(file.items), file.source->metadata()));
  // A single file is found without an index by this name alone.
  if (files.size() == 1 && files.begin()->first == "model.safetensors")
    return {};
  Json index = {{"metadata", {{"total_size", bytes}}}, {"weight_map", std::move(places)}};
  return writeText("model.safetensors.index.json", index);
}

Status FolderWriter::writeText(const std::string &name, const Json &json) {
  std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return hadal::writeFile(folder + "/" + name, std::as_bytes(std::span(text)));
}

Status FolderWriter::writeOthers(const std::string &input) {
  Json config = HADAL_TRY(readJsonObject<Json>(input + "/config.json"));
  config["quantization_config"] = {{"activation_scheme", "dynamic"},
                                   {"fmt", "e4m3"},
                                   {"quant_method", "fp8"},
                                   {"weight_block_size", {kBlock, kBlock}}};
  std::error_code code;
  for (fs::directory_iterator it(input, code), end; !code && it != end; it.increment(code)) {
    std::string name = it->path().filename().string();
    bool isWeights = name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") ||
                     isOtherWeightFile(name);
    if (isWeights || name == "config.json" || !it->is_regular_file(code))
      continue;
    MappedFile file = HADAL_TRY(MappedFile::open(it->path().string()));
    HADAL_TRY(hadal::writeFile(folder + "/" + name, file.bytes()));
  }
  if (code)
    return ioError(input + ": " + code.message());
  // Last: a folder that has it is whole.
  return writeText("config.json", config);
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

/// The model's parameters, and that the checkpoint has all of them.
static Result<std::set<std::string>> projectionsOf(const std::string &input,
                                                   const Checkpoint &checkpoint) {
  auto model = frontend::readModelDescription(input);
  if (!model)
    return invalidFile(llvm::toString(model.takeError()));
  const frontend::ModelConfig &config = model->config;
  if (config.quantization)
    return invalidArgument(input + ": is FP8 already (quantization_config in config.json)");
  std::set<int64_t> mtp =
      textPartOf(checkpoint, config.naming, config.isNested, config.layers).mtpLayers;
  int64_t mtpDepth = mtp.empty() ? 0 : *mtp.rbegin() + 1 - config.layers;
  if (llvm::Error error = frontend::checkMtpTensors(config, mtpDepth, checkpoint))
    return invalidFile(llvm::toString(std::move(error)));
  std::vector<std::string> names = frontend::projectionNames(config, mtpDepth);
  return std::set<std::string>(names.begin(), names.end());
}

/// Makes the empty folder that is written in, which no other run gets while the result is open.
static Result<int> openPart(const std::string &part) {
  std::error_code code;
  fs::create_directory(part, code);
  if (code)
    return ioError(part + ": " + code.message());
  int lock = ::open(part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (lock < 0)
    return ioError(part + ": " + std::strerror(errno));
  // File systems without locks of folders have other errors, and are written to all the same.
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(lock);
    return ioError(part + ": another run is writing there");
  }
  std::vector<fs::path> leftOver; // of a run that was killed
  for (fs::directory_iterator it(part, code), end; !code && it != end; it.increment(code))
    leftOver.push_back(it->path());
  for (const fs::path &path : leftOver)
    fs::remove_all(path, code);
  return lock;
}

Status hadal::quantizeCheckpoint(mlir::MLIRContext &context, const std::string &input,
                                 const std::string &output, const std::string &cacheFolder,
                                 const std::function<void(uint64_t, uint64_t)> &progress) {
  std::error_code code;
  fs::path place = fs::path(output + "/").parent_path().lexically_normal();
  while (!place.has_filename() && place.has_relative_path())
    place = place.parent_path();
  if (fs::exists(fs::symlink_status(place, code)))
    return invalidArgument(output + ": is there already; --emit=checkpoint makes a new folder");
  Checkpoint checkpoint = HADAL_TRY(Checkpoint::open(input));
  std::set<std::string> projections = HADAL_TRY(projectionsOf(input, checkpoint));
  std::vector<const StoredTensor *> weights;
  for (const std::string &name : projections)
    weights.push_back(checkpoint.find(name)->tensor);
  auto quantizer = HADAL_TRY(Quantizer::create(context, weights, cacheFolder));

  std::string part = (place.parent_path() / ("." + place.filename().string() + ".part")).string();
  int lock = HADAL_TRY(openPart(part));
  Interruptible signals;
  Status written = [&]() -> Status {
    FolderWriter writer(*quantizer, checkpoint, part, signals, progress);
    HADAL_TRY(writer.writeWeights(projections));
    HADAL_TRY(writer.writeOthers(input));
    HADAL_TRY(signals.check());
    fs::rename(part, place, code);
    return code ? Status(ioError(output + ": " + code.message())) : Status();
  }();
  if (!written)
    fs::remove_all(part, code);
  ::close(lock);
  signals.obey();
  return written;
}
