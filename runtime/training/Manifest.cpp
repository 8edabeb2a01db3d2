//===- Manifest.cpp - training.json of a checkpoint ---------------------===//

#include "runtime/training/Manifest.h"

#include "runtime/File.h"
#include "runtime/Json.h"

#include <algorithm>
#include <filesystem>

using namespace hadal;
using Json = nlohmann::ordered_json;

namespace {

// How the file ends. Its bytes are compared, so that a bit that flips here is noticed as well.
constexpr std::string_view beforeChecksum = ",\n  \"xxh3\": \"", afterChecksum = "\"\n}\n";
constexpr size_t checksumDigits = 16,
                 endBytes = beforeChecksum.size() + checksumDigits + afterChecksum.size();

std::string checksumOf(std::string_view text) {
  return hexOf(digestOf(std::as_bytes(std::span(text))).xxh3);
}

/// The checksum at the end of the file; none where it does not end so.
std::optional<std::string_view> statedChecksum(std::string_view text) {
  if (text.size() < endBytes)
    return std::nullopt;
  std::string_view end = text.substr(text.size() - endBytes);
  if (!end.starts_with(beforeChecksum) || !end.ends_with(afterChecksum))
    return std::nullopt;
  return end.substr(beforeChecksum.size(), checksumDigits);
}

std::optional<uint64_t> numberAt(const Json &object, const char *key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number_unsigned())
    return std::nullopt;
  return object[key].get<uint64_t>();
}

std::optional<uint64_t> parseHex(const std::string &text) {
  if (text.size() != checksumDigits)
    return std::nullopt;
  uint64_t value = 0;
  for (char c : text) {
    size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos)
      return std::nullopt;
    value = value << 4 | digit;
  }
  return value;
}

Status readFiles(const std::string &path, const Json &json, Manifest &manifest) {
  if (!json.contains("files") || !json["files"].is_object())
    return invalidFile(path + ": wants files, with bytes and xxh3 of each");
  for (const auto &[name, entry] : json["files"].items()) {
    auto bytes = numberAt(entry, "bytes");
    auto xxh3 = bytes && entry.contains("xxh3") && entry["xxh3"].is_string()
                    ? parseHex(entry["xxh3"].get<std::string>())
                    : std::nullopt;
    if (!xxh3)
      return invalidFile(path + ": wants bytes and xxh3 of " + name);
    manifest.files[name] = {*bytes, *xxh3};
  }
  return {};
}

} // namespace

std::string hadal::manifestText(const Manifest &manifest) {
  const TrainingProgress &progress = manifest.progress;
  Json json = {{"format", manifest.format},
               {"name", manifest.name},
               {"step", progress.step},
               {"data",
                {{"key", progress.data.key},
                 {"seed", progress.data.seed},
                 {"epoch", progress.data.epoch},
                 {"row", progress.data.row}}},
               {"settings", progress.settings}};
  if (progress.best)
    json["best"] = {{"step", progress.best->step}, {"loss", progress.best->loss}};
  Json files = Json::object();
  for (const auto &[name, digest] : manifest.files)
    files[name] = {{"bytes", digest.bytes}, {"xxh3", hexOf(digest.xxh3)}};
  json["files"] = std::move(files);
  std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace);
  text.resize(text.size() - 2); // "\n}"
  std::string checksum = checksumOf(text);
  return text.append(beforeChecksum).append(checksum).append(afterChecksum);
}

Result<Manifest> hadal::readManifest(const std::string &checkpoint) {
  std::string path = checkpoint + "/optimizer/training.json", text = HADAL_TRY(readTextFile(path));
  auto stated = statedChecksum(text);
  if (stated && *stated != checksumOf(std::string_view(text).substr(0, text.size() - endBytes)))
    return invalidFile(path + ": is damaged: its checksum is not that of its contents");
  Json json = HADAL_TRY(parseJsonObject<Json>(text, path));
  auto format = numberAt(json, "format");
  if (!format || *format == 0)
    return invalidFile(path + ": is damaged: wants a format");
  if (*format > Manifest::newestFormat)
    return unsupported(path + ": has format " + std::to_string(*format) +
                       ", this hadal reads formats up to " +
                       std::to_string(Manifest::newestFormat) + ": a newer hadal wrote it");
  if (*format > 1 && !stated)
    return invalidFile(path + ": is damaged: its end, with its checksum, is missing");
  Manifest manifest;
  manifest.format = *format;
  if (json.contains("name") && json["name"].is_string())
    manifest.name = json["name"].get<std::string>();
  auto step = numberAt(json, "step");
  Json data = step && json.contains("data") ? json["data"] : Json();
  auto seed = numberAt(data, "seed"), epoch = numberAt(data, "epoch"), row = numberAt(data, "row");
  if (!step || *step > (uint64_t(1) << 53) || !seed || !epoch || !row || !data.contains("key") ||
      !data["key"].is_string())
    return invalidFile(path + ": wants step and data, with key, seed, epoch and row");
  TrainingProgress &progress = manifest.progress;
  progress.step = static_cast<int64_t>(*step);
  progress.data = {data["key"].get<std::string>(), *seed, *epoch, *row};
  if (json.contains("settings"))
    progress.settings = json["settings"];
  if (json.contains("best"))
    if (auto bestStep = numberAt(json["best"], "step");
        bestStep && json["best"].contains("loss") && json["best"]["loss"].is_number())
      progress.best = {static_cast<int64_t>(*bestStep), json["best"]["loss"].get<double>()};
  if (*format > 1)
    HADAL_TRY(readFiles(path, json, manifest));
  return manifest;
}

Status hadal::verifyFiles(const std::string &checkpoint, const Manifest &manifest, PartOfWork part,
                          const std::function<void(uint64_t, uint64_t)> &progress) {
  std::vector<std::pair<std::string, Digest>> mine;
  uint64_t total = 0, done = 0;
  unsigned number = 0;
  for (const auto &file : manifest.files)
    if (number++ % part.count == part.index) {
      mine.push_back(file);
      total += file.second.bytes;
    }
  for (const auto &[name, wanted] : mine) {
    std::string path = checkpoint + "/" + name;
    Digest found = HADAL_TRY(digestOfFile(path, [&](uint64_t bytes) {
      done += bytes;
      if (progress)
        progress(std::min(done, total), total);
    }));
    if (found.bytes != wanted.bytes)
      return invalidFile(path + ": is damaged: has " + std::to_string(found.bytes) + " bytes, " +
                         std::to_string(wanted.bytes) + " were written");
    if (found.xxh3 != wanted.xxh3)
      return invalidFile(path + ": is damaged: its XXH3 is " + hexOf(found.xxh3) +
                         ", what was written had " + hexOf(wanted.xxh3));
  }
  // A whole file goes before shards when a folder is read.
  std::error_code code;
  for (const char *name :
       {"model.safetensors", "average/model.safetensors", "optimizer/state.safetensors"})
    if (manifest.format > 1 && part.index == 0 && !manifest.files.count(name) &&
        std::filesystem::exists(checkpoint + "/" + name, code))
      return invalidFile(checkpoint + "/" + name + ": is no file of this checkpoint");
  return {};
}
