//===- Driver.h - a driver that was found at run time -------------------===//

#ifndef HADAL_RUNTIME_DEVICE_CUDA_DRIVER_H
#define HADAL_RUNTIME_DEVICE_CUDA_DRIVER_H

#include "runtime/Result.h"
#include "runtime/device/cuda/DriverTypes.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hadal::cuda {

/// The functions of a driver.
struct DriverTable {
#define HADAL_MEMBER(name, parameters) CUresult(*name) parameters = nullptr;
  HADAL_CUDA_FUNCTIONS(HADAL_MEMBER)
#undef HADAL_MEMBER
};

/// A driver that has been started. Its functions may be called by several threads.
class Driver {
public:
  /// NVIDIA's, of libcuda.so.1. Loaded once in a process. Unsupported: "no CUDA driver:
  /// libcuda.so.1: cannot open shared object file", "no CUDA device: ...", "the CUDA driver is for
  /// CUDA 11.8, hadal wants 12.0 or newer".
  static Result<std::shared_ptr<const Driver>> nvidia();

  /// The stand-in, of libhadal-emulated.so beside the program, in ../lib there, or beside
  /// libhadal.so where that is what runs. It takes its seed from the environment,
  /// HADAL_EMULATOR_SEED, when it is first loaded.
  static Result<std::shared_ptr<const Driver>> emulated();

  /// Starts a driver that is there: `report` where it is the stand-in, null else. `name` begins
  /// errors: "the CUDA driver".
  static Result<std::shared_ptr<const Driver>> start(const DriverTable &table,
                                                     EmulatorReport report, std::string name);

  const DriverTable &table() const { return functions; }
  bool isEmulated() const { return report; }
  int version() const { return ofVersion; } ///< 12090: of CUDA 12.9
  int devices() const { return count; }

  /// "CUDA_ERROR_ILLEGAL_ADDRESS, an illegal memory access was encountered"; what the stand-in
  /// reports, where it has something to say.
  std::string textOf(CUresult result) const;

  /// An error of a function: "cuMemcpyHtoDAsync: ...". OutOfMemory, or Io.
  Status check(CUresult result, const char *function) const {
    return result == CUDA_SUCCESS ? Status() : Status(failed(result, function));
  }
  Error failed(CUresult result, const std::string &what) const;

private:
  DriverTable functions;
  EmulatorReport report = nullptr;
  int ofVersion = 0, count = 0;
};

/// "12.9".
std::string versionText(int version);

/// The number that a text ends with, after `prefix`: 3 of "cuda:3". None where it is another text.
std::optional<int> numberAfter(std::string_view text, std::string_view prefix);

} // namespace hadal::cuda

#endif // HADAL_RUNTIME_DEVICE_CUDA_DRIVER_H
