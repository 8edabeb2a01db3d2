//===- Driver.cpp - a driver that was found at run time -----------------===//

#include "runtime/device/cuda/Driver.h"

#include "runtime/SharedLibrary.h"

#include <charconv>
#include <climits>
#include <utility>

using namespace hadal;
using namespace hadal::cuda;

std::string cuda::versionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::optional<int> cuda::numberAfter(std::string_view text, std::string_view prefix) {
  unsigned number = 0;
  if (!text.starts_with(prefix))
    return std::nullopt;
  const char *first = text.data() + prefix.size(), *last = text.data() + text.size();
  auto [end, failed] = std::from_chars(first, last, number);
  bool isNumber = failed == std::errc() && end == last && number <= INT_MAX;
  return isNumber ? std::optional(int(number)) : std::nullopt;
}

namespace {

Result<std::shared_ptr<const Driver>> startLibrary(const SharedLibrary &library,
                                                   EmulatorReport report, const std::string &name) {
  auto find = library.find<GetProcAddress>("cuGetProcAddress_v2");
  if (!find)
    return unsupported(name + " is older than CUDA 12.0, which hadal wants at least");
  DriverTable table;
  std::string missing;
  auto take = [&](const char *function, void **place) {
    int status = 0;
    if (find(function, place, apiVersion, 0, &status) != CUDA_SUCCESS || !*place)
      missing += (missing.empty() ? "" : ", ") + std::string(function);
  };
#define HADAL_TAKE(function, parameters)                                                           \
  take(#function, reinterpret_cast<void **>(&table.function));
  HADAL_CUDA_FUNCTIONS(HADAL_TAKE)
#undef HADAL_TAKE
  int version = 0;
  if (!missing.empty()) {
    if (table.cuDriverGetVersion)
      table.cuDriverGetVersion(&version);
    return unsupported(name + " is for CUDA " + versionText(version) +
                       ", hadal wants 12.0 or newer: it has no " + missing);
  }
  return Driver::start(table, report, name);
}

} // namespace

Result<std::shared_ptr<const Driver>> Driver::start(const DriverTable &table, EmulatorReport report,
                                                    std::string name) {
  auto driver = std::make_shared<Driver>();
  driver->functions = table;
  driver->report = report;
  table.cuDriverGetVersion(&driver->ofVersion);
  if (driver->ofVersion < apiVersion)
    return unsupported(name + " is for CUDA " + versionText(driver->ofVersion) + ", hadal wants " +
                       versionText(apiVersion) + " or newer");
  CUresult begun = table.cuInit(0);
  if (begun == CUDA_SUCCESS)
    begun = table.cuDeviceGetCount(&driver->count);
  if (begun == CUDA_ERROR_NO_DEVICE || (begun == CUDA_SUCCESS && driver->count == 0))
    return unsupported(name + " finds no device");
  if (begun != CUDA_SUCCESS)
    return unsupported(name + " does not start: " + driver->textOf(begun));
  return std::shared_ptr<const Driver>(std::move(driver));
}

Result<std::shared_ptr<const Driver>> Driver::nvidia() {
  static const auto driver = []() -> Result<std::shared_ptr<const Driver>> {
    SharedLibrary library({"libcuda.so.1"}, RTLD_NOW | RTLD_LOCAL);
    if (!library.isLoaded())
      return unsupported("no CUDA driver: " + library.problem());
    return startLibrary(library, nullptr, "the CUDA driver");
  }();
  return driver;
}

Result<std::shared_ptr<const Driver>> Driver::emulated() {
  static const auto driver = []() -> Result<std::shared_ptr<const Driver>> {
    SharedLibrary library(placesOf("libhadal-emulated.so"), RTLD_NOW | RTLD_LOCAL);
    auto report = library.find<EmulatorReport>("hadal_emulator_report");
    if (!report)
      return unsupported("no emulated device: libhadal-emulated.so cannot be loaded: " +
                         library.problem());
    return startLibrary(library, report, "the emulated device's driver");
  }();
  return driver;
}

std::string Driver::textOf(CUresult result) const {
  if (const char *said = report ? report() : nullptr; said && *said)
    return said;
  const char *name = nullptr, *text = nullptr;
  functions.cuGetErrorName(result, &name);
  functions.cuGetErrorString(result, &text);
  return (name ? name : "error " + std::to_string(int(result))) +
         (text ? ", " + std::string(text) : "");
}

Error Driver::failed(CUresult result, const std::string &what) const {
  return {result == CUDA_ERROR_OUT_OF_MEMORY ? ErrorCode::OutOfMemory : ErrorCode::Io,
          what + ": " + textOf(result)};
}
