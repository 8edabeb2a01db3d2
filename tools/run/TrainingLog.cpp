//===- TrainingLog.cpp - what a training run says of its steps ----------===//

#include "tools/run/TrainingLog.h"

#include <nlohmann/json.hpp>

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

std::string run::logLine(const StepResult &result) {
  // One depth's loss is what the module gave; a mean of several has more digits than f32.
  std::string mtp = result.mtpLosses.size() == 1 ? shortest(result.mtpLosses[0]) : shortest(result.mtpLoss());
  std::string line = "{\"step\": " + std::to_string(result.step) + ", \"loss\": " + shortest(result.loss) + ", \"mtp_loss\": " + mtp +
                     ", \"balance_loss\": " + shortest(result.balanceLoss) + ", \"grad_norm\": " + shortest(result.gradientNorm) +
                     ", \"lr\": " + shortest(result.rate) + ", \"tokens_per_second\": " +
                     shortest(static_cast<float>(result.seconds > 0 ? static_cast<double>(result.tokens) / result.seconds : 0)) +
                     ", \"violation\": [";
  for (size_t i = 0; i < result.violation.size(); ++i)
    line += (i ? ", " : "") + shortest(result.violation[i]);
  return line + "]}";
}

std::optional<StepResult> run::parseLogLine(const std::string &line) {
  nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer())
    return std::nullopt;
  auto valueOf = [](const nlohmann::json &value) {
    return value.is_number() ? value.get<float>() : value.is_null() ? std::numeric_limits<float>::quiet_NaN() : 0.f;
  };
  auto number = [&](const char *key) { return json.contains(key) ? valueOf(json[key]) : 0.f; };
  StepResult result;
  result.step = json["step"].get<int64_t>();
  result.loss = number("loss");
  result.mtpLosses = {number("mtp_loss")};
  result.balanceLoss = number("balance_loss");
  result.gradientNorm = number("grad_norm");
  result.rate = number("lr");
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
    : path(std::move(other.path)), descriptor(std::exchange(other.descriptor, -1)), all(std::move(other.all)) {}

TrainingLog::~TrainingLog() {
  if (descriptor < 0)
    return;
  ::close(descriptor);
  // A run that stops before its first step leaves nothing.
  std::error_code code;
  if (all.empty() && std::filesystem::is_regular_file(path, code))
    ::unlink(path.c_str());
}

Status TrainingLog::add(const StepResult &result) {
  all.push_back(result);
  if (descriptor < 0)
    return {};
  std::string line = logLine(result) + "\n";
  for (size_t done = 0; done < line.size();) {
    ssize_t written = ::write(descriptor, line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return ioError(path + ": " + std::strerror(errno));
    if (written == 0)
      return ioError(path + ": takes no more bytes");
    done += static_cast<size_t>(written);
  }
  return {};
}

//===----------------------------------------------------------------------===//
// TrainingDisplay
//===----------------------------------------------------------------------===//

TrainingDisplay::TrainingDisplay(int64_t firstStep, int64_t lastStep)
    : firstStep(firstStep), lastStep(lastStep), start(std::chrono::steady_clock::now()) {}

void TrainingDisplay::show(const StepResult &result) {
  bool isEdge = result.step == firstStep || result.step == lastStep;
  if (!isEdge && !display.isDue())
    return;
  double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  int64_t done = result.step - firstStep + 1, left = lastStep - result.step;
  double perStep = elapsed / static_cast<double>(done);
  double rate = perStep > 0 ? static_cast<double>(result.tokens) / perStep : 0;
  char text[256];
  std::snprintf(text, sizeof text, "step %lld/%lld  loss %.4f  %.0f tokens/s  %s left", static_cast<long long>(result.step),
                static_cast<long long>(lastStep), static_cast<double>(result.loss), rate,
                readableSeconds(perStep * static_cast<double>(left)).c_str());
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
