//===- Devices.cpp - the devices of this machine ------------------------===//

#include "runtime/device/Devices.h"

#include "runtime/device/CpuDevice.h"
#include "runtime/device/CpuFeatures.h"
#include "runtime/device/cuda/CudaDevice.h"

#include <cstdio>
#include <cstdlib>

using namespace hadal;

std::string hadal::deviceOf(const Module &module) {
  std::string_view family = module.tables().codes()->Get(0)->target()->family()->string_view();
  return family == "nvptx" ? "cuda" : family == "emulated" ? "emulated" : "cpu";
}

static Result<std::unique_ptr<Device>> openCpu(unsigned threads) {
  auto device = std::make_unique<CpuDevice>(threads);
  if (Status started = device->started(); !started)
    return Error{started.error().code, "--threads: " + started.error().message};
  return std::unique_ptr<Device>(std::move(device));
}

static Result<std::unique_ptr<Device>> openCuda(const std::string &device, int ordinal,
                                                const DeviceOptions &options) {
  auto driver = cuda::Driver::nvidia();
  if (!driver.ok())
    return Error{driver.error().code, device + ": " + driver.error().message};
  if (ordinal < 0) // the rank's
    ordinal = int(options.rankHere % unsigned((*driver)->devices()));
  return std::unique_ptr<Device>(
      HADAL_TRY(CudaDevice::open(*driver, ordinal, options.timeoutSeconds.value_or(300))));
}

static Result<std::unique_ptr<Device>> openEmulated(const DeviceOptions &options) {
  if (options.emulatorSeed)
    ::setenv("HADAL_EMULATOR_SEED", std::to_string(*options.emulatorSeed).c_str(), 1);
  return std::unique_ptr<Device>(HADAL_TRY(CudaDevice::open(
      HADAL_TRY(cuda::Driver::emulated()), 0, options.timeoutSeconds.value_or(3600))));
}

Result<std::unique_ptr<Device>> hadal::openDevice(const DeviceOptions &options) {
  const std::string &device = options.device;
  if (options.emulatorSeed && device != "emulated")
    return invalidArgument("--emulator-seed: is for the device emulated, this is " + device);
  if (device == "cpu")
    return openCpu(options.threads);
  if (device == "emulated")
    return openEmulated(options);
  if (device == "cuda")
    return openCuda(device, -1, options);
  if (std::optional<int> ordinal = cuda::numberAfter(device, "cuda:"))
    return openCuda(device, *ordinal, options);
  return invalidArgument("device '" + device + "': wants cpu, cuda:N or emulated");
}

static DeviceListing listingOf(const CudaDevice &device, int driverVersion) {
  DeviceListing listing{std::string(device.name()), ""};
  auto facts = device.facts();
  if (!facts.ok())
    return {listing.name, facts.error().message};
  constexpr double gibibyte = double(1 << 30);
  char text[512];
  std::snprintf(text, sizeof text,
                "%s, sm_%d, %d multiprocessors, %.1f of %.1f GiB free, driver of CUDA %s",
                facts->name.c_str(), facts->capability, facts->multiprocessors,
                double(facts->freeBytes) / gibibyte, double(facts->totalBytes) / gibibyte,
                cuda::versionText(driverVersion).c_str());
  listing.text = text;
  return listing;
}

static void listDriver(const Result<std::shared_ptr<const cuda::Driver>> &driver, const char *kind,
                       std::vector<DeviceListing> &all) {
  if (!driver.ok()) {
    all.push_back({kind, driver.error().message});
    return;
  }
  for (int i = 0; i < (*driver)->devices(); ++i) {
    auto device = CudaDevice::open(*driver, i);
    if (device.ok())
      all.push_back(listingOf(**device, (*driver)->version()));
    else
      all.push_back({kind, device.error().message});
  }
}

std::vector<DeviceListing> hadal::listDevices() {
  std::vector<DeviceListing> all = {{"cpu", std::string(cpuArchitecture()) + ", " +
                                                std::to_string(ThreadPool::availableThreads()) +
                                                " threads"}};
  listDriver(cuda::Driver::nvidia(), "cuda", all);
  listDriver(cuda::Driver::emulated(), "emulated", all);
  return all;
}
