//===- Devices.h - the devices of this machine --------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_DEVICES_H
#define HADAL_RUNTIME_DEVICE_DEVICES_H

#include "runtime/device/Device.h"

#include <optional>
#include <string>
#include <vector>

namespace hadal {

/// Which device, and its settings.
struct DeviceOptions {
  std::string device;   ///< "cpu", "cuda:N", "cuda" (the rank's), "emulated"
  unsigned threads = 0; ///< of the CPU; 0: all that the process may use
  /// Of the emulated device: which order its threads and copies have. It counts for the first one
  /// that a process opens.
  std::optional<uint64_t> emulatorSeed;
  /// For a launch on a GPU; 0: none. Without: 300, and an hour where it is emulated.
  std::optional<double> timeoutSeconds;
  unsigned rankHere = 0; ///< number of this process on its machine: "cuda" deals devices out by it
};

/// The device that a module is for: "cpu", "cuda" or "emulated". Its codes have one family.
std::string deviceOf(const Module &module);

/// Opens a device. InvalidArgument: "device 'gpu': wants cpu, cuda:N or emulated". Unsupported
/// where there is no driver, or one that is too old: "cuda:0: no CUDA driver: ...".
Result<std::unique_ptr<Device>> openDevice(const DeviceOptions &options);

/// A device of this machine, for people: "cuda:0", "NVIDIA H200, sm_90, 132 multiprocessors, ...".
/// Where there is none of a kind, why.
struct DeviceListing {
  std::string name, text;
};
std::vector<DeviceListing> listDevices();

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_DEVICES_H
