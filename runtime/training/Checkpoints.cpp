//===- Checkpoints.cpp - the folders that a training run leaves ---------===//

#include "runtime/training/Checkpoints.h"
#include "runtime/training/CheckpointFiles.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <unistd.h>

using namespace hadal;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

static constexpr std::string_view stepPrefix = "step-", partPrefix = ".step-";

static Error systemError(const std::string &path) { return ioError(path + ": " + std::strerror(errno)); }

/// Makes the entries of a folder last.
static Status syncFolder(const std::string &path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0)
    return systemError(path);
  Status status = ::fsync(descriptor) == 0 ? Status() : Status(systemError(path));
  ::close(descriptor);
  return status;
}

static Status makeFolder(const std::string &path) {
  std::error_code code;
  fs::create_directories(path, code);
  return code ? Status(ioError(path + ": " + code.message())) : Status();
}

/// Removes a folder that carries a final name: renamed first, so that a kill in between leaves no half of it.
static Status removeFolder(const std::string &folder, const std::string &name) {
  std::string path = folder + "/" + name, aside = folder + "/." + name + ".old";
  if (::rename(path.c_str(), aside.c_str()) != 0)
    return systemError(path);
  std::error_code code;
  fs::remove_all(aside, code);
  return {};
}

static bool isCheckpoint(const std::string &path) {
  std::error_code code;
  return fs::exists(path + "/config.json", code) && fs::exists(path + "/optimizer/training.json", code) &&
         fs::exists(path + "/optimizer/state.safetensors", code);
}

static std::string nameOf(const std::string &path) { return fs::path(path).filename().string(); }

std::vector<std::string> hadal::checkpointsUnder(const std::string &folder) {
  std::vector<std::string> found;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    if (nameOf(it->path().string()).starts_with(stepPrefix) && isCheckpoint(it->path().string()))
      found.push_back(it->path().string());
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<std::string> hadal::newestCheckpoint(const std::string &folder) {
  std::vector<std::string> found = checkpointsUnder(folder);
  if (!found.empty())
    return found.back();
  return isCheckpoint(folder) ? std::optional(folder) : std::nullopt;
}

Result<std::string> hadal::checkpointConfig(const std::string &text) {
  Json config = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object())
    return invalidFile("the module's config.json is no JSON object");
  bool isNew = config.contains("dtype");
  if (isNew)
    config["dtype"] = "float32";
  if (!isNew || config.contains("torch_dtype"))
    config["torch_dtype"] = "float32";
  config.erase("quantization_config");
  return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Checkpoints> Checkpoints::open(const std::string &folder, int64_t keep) {
  std::error_code code;
  bool isNew = !fs::exists(folder, code);
  HADAL_TRY(makeFolder(folder));
  Checkpoints result(folder, keep);
  result.isNew = isNew;
  std::string lock = folder + "/.lock";
  result.lock = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (result.lock < 0)
    return systemError(lock);
  if (::flock(result.lock, LOCK_EX | LOCK_NB) != 0)
    return ioError(folder + ": another run is writing its checkpoints there");
  std::vector<fs::path> parts;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    if (it->path().filename().string().starts_with(partPrefix))
      parts.push_back(it->path());
  for (const fs::path &part : parts)
    fs::remove_all(part, code);
  return result;
}

Checkpoints::Checkpoints(Checkpoints &&other) noexcept
    : folder(std::move(other.folder)), keep(other.keep), lock(std::exchange(other.lock, -1)), isNew(std::exchange(other.isNew, false)) {}

Checkpoints::~Checkpoints() {
  if (isNew) {
    ::unlink((folder + "/.lock").c_str());
    ::rmdir(folder.c_str());
  }
  if (lock >= 0)
    ::close(lock);
}

Status Checkpoints::write(Trainables &trainables, const TrainingProgress &progress, const CheckpointCompanions &companions) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(progress.step));
  std::string path = folder + "/" + name, part = folder + "/." + name + ".part";
  std::error_code code;
  fs::remove_all(part, code);
  Status written = [&]() -> Status {
    HADAL_TRY(makeFolder(part + "/optimizer"));
    OwnTensors own(trainables);
    TensorReader &reader = companions.reader ? *companions.reader : own;
    HADAL_TRY(writeWeights(part, trainables, reader, progress.step, companions.source));
    std::vector<std::string> models = {part};
    if (hasAverages(trainables)) {
      models.push_back(part + "/average");
      HADAL_TRY(makeFolder(models.back()));
      HADAL_TRY(writeWeights(models.back(), trainables, reader, progress.step, companions.source, shardBytes, Values::Average));
    }
    HADAL_TRY(writeOptimizer(part + "/optimizer", trainables, reader));
    Json training = {{"format", 1},
                     {"step", progress.step},
                     {"data",
                      {{"key", progress.data.key},
                       {"seed", progress.data.seed},
                       {"epoch", progress.data.epoch},
                       {"row", progress.data.row}}},
                     {"settings", progress.settings}};
    std::string text = training.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    HADAL_TRY(writeFile(part + "/optimizer/training.json", std::as_bytes(std::span(text))));
    std::string config = HADAL_TRY(checkpointConfig(companions.config));
    HADAL_TRY(syncFolder(part + "/optimizer"));
    for (auto model = models.rbegin(); model != models.rend(); ++model) {
      if (!companions.tokenizerFolder.empty())
        HADAL_TRY(copyTokenizer(companions.tokenizerFolder, *model));
      HADAL_TRY(writeFile(*model + "/config.json", std::as_bytes(std::span(config))));
      HADAL_TRY(syncFolder(*model));
    }
    // Only a run that went on from an older checkpoint meets one of its own step.
    if (fs::exists(path, code))
      HADAL_TRY(removeFolder(folder, name));
    if (::rename(part.c_str(), path.c_str()) != 0)
      return systemError(path);
    isNew = false;
    return syncFolder(folder);
  }();
  trainables.release();
  if (!written) {
    fs::remove_all(part, code);
    return written;
  }
  return removeOld();
}

Status Checkpoints::removeOld() {
  std::vector<std::string> found = checkpointsUnder(folder);
  for (size_t i = 0; keep > 0 && i + keep < found.size(); ++i)
    HADAL_TRY(removeFolder(folder, nameOf(found[i])));
  return {};
}

Result<TrainingProgress> hadal::resumeFrom(const std::string &path, const Checkpoint &opened, Trainables &trainables,
                                           const Trainables::Progress &show) {
  std::string file = path + "/optimizer/training.json", text = HADAL_TRY(readTextFile(file));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  auto number = [](const Json &object, const char *key) -> std::optional<uint64_t> {
    if (!object.is_object() || !object.contains(key) || !object[key].is_number_unsigned())
      return std::nullopt;
    return object[key].get<uint64_t>();
  };
  auto step = number(json, "step");
  Json data = step && json.contains("data") ? json["data"] : Json();
  auto seed = number(data, "seed"), epoch = number(data, "epoch"), row = number(data, "row");
  if (!step || *step > (uint64_t(1) << 53) || !seed || !epoch || !row || !data.contains("key") || !data["key"].is_string())
    return invalidFile(file + ": wants step and data, with key, seed, epoch and row");
  HADAL_TRY(trainables.load(opened, show));
  HADAL_TRY(readOptimizer(path + "/optimizer", trainables));
  HADAL_TRY(readAverages(path + "/average", trainables));
  TrainingProgress progress;
  progress.step = static_cast<int64_t>(*step);
  progress.data = {data["key"].get<std::string>(), *seed, *epoch, *row};
  if (json.contains("settings"))
    progress.settings = json["settings"];
  return progress;
}
