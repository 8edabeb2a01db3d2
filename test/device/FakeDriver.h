//===- FakeDriver.h - a driver in a table, for tests --------------------===//
//
// The functions that CudaDevice calls, over memory whose addresses no host may touch. Operations
// wait in their stream until a query asks how far it is. It knows kernels by their names:
// "check_add" is that of the checks of devices, "trap" fails, "hang" never ends.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_DEVICE_FAKEDRIVER_H
#define HADAL_TEST_DEVICE_FAKEDRIVER_H

#include "runtime/device/cuda/Driver.h"

#include <string>
#include <vector>

namespace hadal::test {

/// What the one fake driver of the process is, and what it was asked to do.
struct FakeDriver {
  int version = 13000, devices = 1, capability = 90, multiprocessors = 4;
  uint64_t bytes = uint64_t(1) << 30; ///< that it has
  bool takesCubins = true, writesValues = true;

  struct Launch {
    std::string kernel;
    unsigned blocks, threads, sharedBytes, cluster;
    std::vector<uint64_t> parameters; ///< the first words, as many as `wantedParameters`
  };
  size_t wantedParameters = 4; ///< two addresses, a scalar, tasks
  std::vector<Launch> launches;

  struct Map {
    cuda::CUtensorMapDataType type;
    void *address;
    std::vector<uint64_t> sizes, strides;
    std::vector<uint32_t> box;
    cuda::CUtensorMapSwizzle swizzle;
  };
  std::vector<Map> maps;

  uint64_t live = 0; ///< bytes of device memory that were not given back
};

/// The driver as it is before anything has happened.
FakeDriver &newFakeDriver();
cuda::DriverTable fakeTable();

/// Started; the test fails where it does not start.
std::shared_ptr<const cuda::Driver> startFakeDriver();

} // namespace hadal::test

#endif // HADAL_TEST_DEVICE_FAKEDRIVER_H
