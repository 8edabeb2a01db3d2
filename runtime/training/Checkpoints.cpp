//===- Checkpoints.cpp - the folders that a training run leaves ---------===//

#include "runtime/training/Checkpoints.h"

#include "runtime/Json.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <unistd.h>

using namespace hadal;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

static constexpr std::string_view stepPrefix = "step-", bestName = "best";

static Error systemError(const std::string &path) {
  return ioError(path + ": " + std::strerror(errno));
}

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

static std::string nameOf(const std::string &path) {
  fs::path all(path);
  return (all.has_filename() ? all : all.parent_path()).filename().string();
}

static Status renameTo(const std::string &from, const std::string &to) {
  return ::rename(from.c_str(), to.c_str()) == 0 ? Status() : Status(systemError(from));
}

/// Removes a folder that carries a final name: renamed first, so that a kill in between leaves no
/// half of it.
static Status removeFolder(const std::string &folder, const std::string &name) {
  std::string aside = folder + "/." + name + ".old";
  std::error_code code;
  fs::remove_all(aside, code);
  HADAL_TRY(renameTo(folder + "/" + name, aside));
  fs::remove_all(aside, code);
  return {};
}

/// Gives a folder that is in the way a name that nothing else looks at: NAME.replaced,
/// NAME.replaced-2, ...
static Status putAside(const std::string &path) {
  std::error_code code;
  std::string aside = path + ".replaced";
  for (int number = 2; fs::exists(fs::symlink_status(aside, code)); ++number)
    aside = path + ".replaced-" + std::to_string(number);
  return renameTo(path, aside);
}

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

static std::string nameOfStep(int64_t step) {
  char name[40];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return name;
}

std::optional<int64_t> hadal::stepOfName(const std::string &path) {
  std::string name = nameOf(path);
  if (!name.starts_with(stepPrefix))
    return std::nullopt;
  const char *begin = name.data() + stepPrefix.size(), *end = name.data() + name.size();
  if (begin == end || !std::all_of(begin, end, [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  int64_t step = 0;
  auto [last, failed] = std::from_chars(begin, end, step);
  return failed == std::errc() && last == end ? std::optional(step) : std::nullopt;
}

std::vector<std::string> hadal::checkpointsUnder(const std::string &folder) {
  std::vector<std::pair<int64_t, std::string>> found;
  std::error_code code, ignored;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    if (auto step = stepOfName(it->path().string()); step && fs::is_directory(it->path(), ignored))
      found.push_back({*step, it->path().string()});
  // Of one step, the name that a run gives comes last.
  std::sort(found.begin(), found.end(), [](const auto &a, const auto &b) {
    auto key = [](const auto &one) {
      return std::tuple(one.first, nameOf(one.second) == nameOfStep(one.first), one.second);
    };
    return key(a) < key(b);
  });
  std::vector<std::string> paths;
  for (auto &[step, path] : found)
    paths.push_back(std::move(path));
  return paths;
}

std::optional<std::string> hadal::newestCheckpoint(const std::string &folder) {
  std::vector<std::string> found = checkpointsUnder(folder);
  if (!found.empty())
    return found.back();
  std::error_code code;
  return fs::is_directory(folder + "/optimizer", code) ? std::optional(folder) : std::nullopt;
}

/// Whether a run wrote this checkpoint under this name, so that it may remove it.
static bool isRuns(const std::string &path) {
  auto manifest = readManifest(path);
  if (!manifest.ok())
    return false;
  bool isOld = manifest->format == 1; // says no name
  return nameOf(path) == (isOld ? nameOfStep(manifest->progress.step) : manifest->name);
}

bool hadal::holdsBest(const std::string &folder) {
  return isRuns(folder + "/" + std::string(bestName));
}

//===----------------------------------------------------------------------===//
// Checkpoints
//===----------------------------------------------------------------------===//

Result<std::string> hadal::checkpointConfig(const std::string &text, ElementType weights) {
  Json config = HADAL_TRY(parseJsonObject<Json>(text, "the module's config.json"));
  const char *name = weights == ElementType::BF16 ? "bfloat16" : "float32";
  bool isNew = config.contains("dtype");
  if (isNew)
    config["dtype"] = name;
  if (!isNew || config.contains("torch_dtype"))
    config["torch_dtype"] = name;
  config.erase("quantization_config");
  return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// What a run that was killed left under its own names: ".step-00000100.part",
/// ".step-00000100.old", ".best.part".
static bool isLeftOver(const std::string &name) {
  if (!name.starts_with(".") || !(name.ends_with(".part") || name.ends_with(".old")))
    return false;
  std::string of = name.substr(1, name.rfind('.') - 1);
  return of == bestName || stepOfName(of);
}

Result<Checkpoints> Checkpoints::open(const std::string &folder, int64_t keep,
                                      const FileLayout &layout) {
  std::error_code code;
  bool isNew = !fs::exists(folder, code);
  HADAL_TRY(makeFolder(folder));
  Checkpoints result(folder, keep, layout);
  result.isNew = isNew;
  std::string lock = folder + "/.lock";
  result.lock = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (result.lock < 0)
    return systemError(lock);
  if (::flock(result.lock, LOCK_EX | LOCK_NB) != 0)
    return ioError(folder + ": another run is writing its checkpoints there");
  // A kill may have come when the old `best` was moved and the new one was not yet there.
  std::string best = folder + "/" + std::string(bestName), oldBest = folder + "/.best.old";
  if (!fs::exists(best, code) && fs::exists(oldBest, code))
    HADAL_TRY(renameTo(oldBest, best));
  std::vector<fs::path> parts;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    if (isLeftOver(it->path().filename().string()))
      parts.push_back(it->path());
  for (const fs::path &part : parts)
    fs::remove_all(part, code);
  return result;
}

Checkpoints::Checkpoints(Checkpoints &&other) noexcept
    : folder(std::move(other.folder)), keep(other.keep), layout(other.layout),
      lock(std::exchange(other.lock, -1)), isNew(std::exchange(other.isNew, false)) {}

Checkpoints::~Checkpoints() {
  if (isNew) {
    ::unlink((folder + "/.lock").c_str());
    ::rmdir(folder.c_str());
  }
  if (lock >= 0)
    ::close(lock);
}

/// All files of a checkpoint, synced, under a name that is not yet its own.
Status Checkpoints::writePart(const std::string &name, Trainables &trainables,
                              const TrainingProgress &progress,
                              const CheckpointCompanions &companions) {
  std::string part = folder + "/." + name + ".part";
  HADAL_TRY(makeFolder(part + "/optimizer"));
  OwnTensors own(trainables);
  TensorReader &reader = companions.reader ? *companions.reader : own;
  CheckpointFolder to(part);
  HADAL_TRY(writeWeights(to, "", trainables, reader, progress.step, companions.source, layout));
  std::vector<std::string> models = {""};
  if (hasAverages(trainables)) {
    models.push_back("average/");
    HADAL_TRY(makeFolder(part + "/average"));
    HADAL_TRY(writeWeights(to, models.back(), trainables, reader, progress.step, companions.source,
                           layout, Values::Average));
  }
  HADAL_TRY(writeOptimizer(to, trainables, reader, layout));
  std::string config = HADAL_TRY(checkpointConfig(companions.config, layout.weights));
  for (const std::string &model : models) {
    for (const auto &[name, text] : companions.tokenizer)
      HADAL_TRY(to.write(model + name, std::as_bytes(std::span(text))));
    HADAL_TRY(to.write(model + "config.json", std::as_bytes(std::span(config))));
  }
  Manifest manifest{.name = name, .progress = progress, .files = to.files()};
  std::string text = manifestText(manifest);
  HADAL_TRY(to.write("optimizer/training.json", std::as_bytes(std::span(text))));
  for (const char *folder : {"/optimizer", "/average", ""})
    if (std::error_code code; fs::exists(part + folder, code))
      HADAL_TRY(syncFolder(part + folder));
  return {};
}

/// Whether the device has what was written.
static Status readBack(const std::string &part, const std::string &instead) {
  auto manifest = readManifest(part);
  Status status = manifest.ok() ? verifyFiles(part, *manifest) : Status(manifest.error());
  if (!status)
    return ioError(status.error().message + "; read back after it was written, " + instead);
  return {};
}

Status Checkpoints::write(Trainables &trainables, const TrainingProgress &progress,
                          const CheckpointCompanions &companions) {
  std::string name = nameOfStep(progress.step), path = folder + "/" + name,
              part = folder + "/." + name + ".part";
  std::error_code code;
  fs::remove_all(part, code);
  Status written = [&]() -> Status {
    HADAL_TRY(writePart(name, trainables, progress, companions));
    if (keep > 0)
      HADAL_TRY(readBack(part, "the older checkpoints stay"));
    // Only a run that went on from an older checkpoint meets others.
    for (const std::string &other : checkpointsUnder(folder))
      if (*stepOfName(other) >= progress.step)
        HADAL_TRY(putAside(other));
    if (fs::exists(fs::symlink_status(path, code))) // no checkpoint: a file, a link to nothing
      HADAL_TRY(putAside(path));
    HADAL_TRY(renameTo(part, path));
    isNew = false;
    return syncFolder(folder);
  }();
  trainables.release();
  if (!written) {
    fs::remove_all(part, code);
    return written;
  }
  return removeOld(progress.step);
}

Status Checkpoints::writeBest(Trainables &trainables, const TrainingProgress &progress,
                              const CheckpointCompanions &companions) {
  std::string path = folder + "/" + std::string(bestName), part = folder + "/.best.part",
              old = folder + "/.best.old";
  std::error_code code;
  fs::remove_all(part, code);
  Status written = [&]() -> Status {
    HADAL_TRY(writePart(std::string(bestName), trainables, progress, companions));
    HADAL_TRY(readBack(part, "the older best checkpoint stays"));
    if (fs::exists(fs::symlink_status(path, code))) {
      fs::remove_all(old, code);
      HADAL_TRY(isRuns(path) ? renameTo(path, old) : putAside(path));
    }
    HADAL_TRY(renameTo(part, path));
    isNew = false;
    return syncFolder(folder);
  }();
  trainables.release();
  fs::remove_all(written.ok() ? old : part, code);
  if (!written && !fs::exists(path, code) && fs::exists(old, code))
    (void)renameTo(old, path);
  return written;
}

/// Removes what `keep` leaves over of the checkpoints up to `step`.
Status Checkpoints::removeOld(int64_t step) {
  if (keep <= 0)
    return {};
  std::vector<std::string> runs;
  for (const std::string &path : checkpointsUnder(folder))
    if (*stepOfName(path) <= step && isRuns(path))
      runs.push_back(path);
  for (size_t i = 0; i + keep < runs.size(); ++i)
    HADAL_TRY(removeFolder(folder, nameOf(runs[i])));
  return {};
}

//===----------------------------------------------------------------------===//
// Going on
//===----------------------------------------------------------------------===//

Result<Manifest> hadal::verifyCheckpoint(const std::string &checkpoint, PartOfWork part,
                                         const std::function<void(uint64_t, uint64_t)> &progress) {
  Manifest manifest = HADAL_TRY(readManifest(checkpoint));
  auto step = stepOfName(checkpoint);
  if (step && *step != manifest.progress.step)
    return invalidFile(checkpoint + "/optimizer/training.json: is of step " +
                       std::to_string(manifest.progress.step) + ", its folder is called " +
                       nameOf(checkpoint));
  HADAL_TRY(verifyFiles(checkpoint, manifest, part, progress));
  return manifest;
}

std::optional<std::string> hadal::newestWholeBeside(const std::string &damaged) {
  fs::path place(damaged);
  std::string name = nameOf(damaged),
              folder = (place.has_filename() ? place : place.parent_path()).parent_path().string();
  std::vector<std::string> all = checkpointsUnder(folder.empty() ? "." : folder);
  for (auto path = all.rbegin(); path != all.rend(); ++path)
    if (nameOf(*path) != name && verifyCheckpoint(*path).ok())
      return *path;
  return std::nullopt;
}

Status hadal::resumeFrom(const std::string &checkpoint, const Checkpoint &opened,
                         Trainables &trainables, const Trainables::Progress &show) {
  HADAL_TRY(trainables.load(opened, show));
  return readOptimizer(checkpoint, trainables);
}
