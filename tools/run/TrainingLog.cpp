//===- TrainingLog.cpp - what a training run says of its steps ----------===//

#include "tools/run/TrainingLog.h"

#include "runtime/Json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <sstream>
#include <unistd.h>

using namespace hadal;
using namespace hadal::run;

/// JSON has no word for what is not finite but null.
template <typename Number> static std::string shortest(Number value) {
  if (!(std::abs(value) <= std::numeric_limits<Number>::max()))
    return "null";
  char text[64];
  auto [end, failed] = std::to_chars(text, text + sizeof text, value);
  return std::string(text, failed == std::errc() ? end : text);
}

std::string run::logLine(const LoggedStep &result) {
  // One depth's loss is what the module gave; a mean of several has more digits than f32.
  std::string mtp =
      result.mtpLosses.size() == 1 ? shortest(result.mtpLosses[0]) : shortest(result.mtpLoss());
  auto optional = [](const char *name, std::optional<float> value) {
    return value ? ", \"" + std::string(name) + "\": " + shortest(*value) : "";
  };
  std::string line =
      "{\"step\": " + std::to_string(result.step) + ", \"loss\": " + shortest(result.loss) +
      optional("val_loss", result.validationLoss) + ", \"mtp_loss\": " + mtp +
      ", \"balance_loss\": " + shortest(result.balanceLoss) +
      ", \"grad_norm\": " + shortest(result.gradientNorm) + ", \"lr\": " + shortest(result.rate) +
      ", \"tokens_per_second\": " + shortest(static_cast<float>(result.tokensPerSecond())) +
      ", \"tflops\": " + shortest(result.teraflops) + optional("mfu", result.utilization) +
      ", \"memory_bytes\": " + std::to_string(result.memoryBytes) + ", \"violation\": [";
  for (size_t i = 0; i < result.violation.size(); ++i)
    line += (i ? ", " : "") + shortest(result.violation[i]);
  line += "]";
  if (!result.configChange.empty())
    line += ", \"config_change\": " +
            nlohmann::json(result.configChange)
                .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return line + "}";
}

std::optional<LoggedStep> run::parseLogLine(const std::string &line) {
  auto parsed = parseJsonObject(line, "");
  if (!parsed.ok())
    return std::nullopt;
  nlohmann::json &json = *parsed;
  if (!json.contains("step") || !json["step"].is_number_integer())
    return std::nullopt;
  auto valueOf = [](const nlohmann::json &value) {
    return value.is_number() ? value.get<float>()
           : value.is_null() ? std::numeric_limits<float>::quiet_NaN()
                             : 0.f;
  };
  auto number = [&](const char *key) { return json.contains(key) ? valueOf(json[key]) : 0.f; };
  LoggedStep result;
  result.step = json["step"].get<int64_t>();
  result.loss = number("loss");
  result.mtpLosses = {number("mtp_loss")};
  result.balanceLoss = number("balance_loss");
  result.gradientNorm = number("grad_norm");
  result.rate = number("lr");
  if (json.contains("config_change") && json["config_change"].is_string())
    result.configChange = json["config_change"].get<std::string>();
  if (json.contains("val_loss"))
    result.validationLoss = number("val_loss");
  if (json.contains("violation") && json["violation"].is_array())
    for (const auto &value : json["violation"])
      result.violation.push_back(valueOf(value));
  return result;
}

//===----------------------------------------------------------------------===//
// TrainingLog
//===----------------------------------------------------------------------===//

Result<TrainingLog> TrainingLog::open(const std::string &path, int64_t resumedStep) {
  TrainingLog log;
  log.path = path;
  if (path.empty())
    return log;
  if (isStream(path)) { // opened once: a pipe's reader takes its closing for the end
    log.stream.emplace(HADAL_TRY(AtomicFile::create(path)));
    return log;
  }
  std::string kept;
  std::error_code code;
  if (resumedStep > 0 && std::filesystem::exists(path, code)) {
    std::istringstream lines(HADAL_TRY(readTextFile(path)));
    for (std::string line; std::getline(lines, line);)
      if (auto step = parseLogLine(line); step && step->step <= resumedStep) {
        kept += line + "\n";
        log.all.push_back(std::move(*step));
      }
  }
  HADAL_TRY(writeFile(path, std::as_bytes(std::span(kept))));
  log.descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (log.descriptor < 0)
    return ioError(path + ": " + std::strerror(errno));
  return log;
}

TrainingLog::TrainingLog(TrainingLog &&other) noexcept
    : path(std::move(other.path)), descriptor(std::exchange(other.descriptor, -1)),
      stream(std::move(other.stream)), all(std::move(other.all)) {}

TrainingLog::~TrainingLog() {
  if (descriptor < 0)
    return;
  ::close(descriptor);
  // A run that stops before its first step leaves nothing.
  std::error_code code;
  if (all.empty() && std::filesystem::is_regular_file(path, code))
    ::unlink(path.c_str());
}

Status TrainingLog::add(const LoggedStep &result) {
  all.push_back(result);
  if (descriptor < 0 && !stream)
    return {};
  std::string line = logLine(result) + "\n";
  if (stream)
    return stream->write(line.data(), line.size());
  return writeAll(descriptor, path, std::as_bytes(std::span(line)));
}

//===----------------------------------------------------------------------===//
// TrainingDisplay
//===----------------------------------------------------------------------===//

TrainingDisplay::TrainingDisplay(int64_t firstStep, int64_t lastStep)
    : firstStep(firstStep), lastStep(lastStep), start(std::chrono::steady_clock::now()) {}

std::string run::progressText(const LoggedStep &result, int64_t lastStep,
                              std::optional<float> validationLoss, double secondsPerStep,
                              size_t columns) {
  auto fixed = [](const char *pattern, double value) {
    char text[64];
    std::snprintf(text, sizeof text, pattern, value);
    return std::string(text);
  };
  // All speeds are the mean's; the step's own are in the log.
  double ofMean = result.seconds > 0 && secondsPerStep > 0 ? result.seconds / secondsPerStep : 1;
  std::string speed = fixed("%.3g TFLOP/s", result.teraflops * ofMean);
  if (result.utilization)
    speed += fixed(" (%.0f %%)", *result.utilization * ofMean * 100);
  double rate = secondsPerStep > 0 ? static_cast<double>(result.tokens) / secondsPerStep : 0;
  struct Part {
    std::string text;
    int rank; ///< those of the lowest leave first
  };
  std::vector<Part> parts = {
      {"step " + std::to_string(result.step) + "/" + std::to_string(lastStep), 9},
      {fixed("loss %.4f", result.loss), 8}};
  if (validationLoss)
    parts.push_back({fixed("val %.4f", *validationLoss), 5});
  parts.push_back({fixed("%.0f tokens/s", rate), 6});
  parts.push_back({speed, 2});
  parts.push_back({readableBytes(result.memoryBytes), 1});
  parts.push_back(
      {readableSeconds(secondsPerStep * static_cast<double>(lastStep - result.step)) + " left", 7});
  while (true) {
    std::string text;
    for (const Part &part : parts)
      text += (text.empty() ? "" : "  ") + part.text;
    if (text.size() <= columns || parts.size() == 1)
      return text;
    parts.erase(std::min_element(parts.begin(), parts.end(),
                                 [](const Part &a, const Part &b) { return a.rank < b.rank; }));
  }
}

void TrainingDisplay::show(const LoggedStep &result) {
  bool isEdge = result.step == firstStep || result.step == lastStep;
  if (result.validationLoss)
    validationLoss = result.validationLoss;
  if (!isEdge && !display.isDue())
    return;
  double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  double perStep = elapsed / static_cast<double>(result.step - firstStep + 1);
  std::string text = progressText(result, lastStep, validationLoss, perStep, 100);
  display.draw(static_cast<double>(result.step) / static_cast<double>(lastStep), text, isEdge);
}

std::string run::readableBytes(uint64_t bytes) {
  char text[32];
  double value = static_cast<double>(bytes);
  if (bytes < 1'000'000)
    std::snprintf(text, sizeof text, "%.1f kB", value * 1e-3);
  else if (bytes < 1'000'000'000)
    std::snprintf(text, sizeof text, "%.1f MB", value * 1e-6);
  else
    std::snprintf(text, sizeof text, "%.2f GB", value * 1e-9);
  return text;
}

uint64_t run::peakBytes() {
  auto *file = std::fopen("/proc/self/status", "r");
  if (!file)
    return 0;
  char line[256];
  unsigned long long kibibytes = 0;
  while (std::fgets(line, sizeof line, file))
    if (std::sscanf(line, "VmHWM: %llu kB", &kibibytes) == 1)
      break;
  std::fclose(file);
  return kibibytes * 1024;
}
