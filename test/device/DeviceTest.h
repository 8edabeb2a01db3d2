//===- DeviceTest.h - what every device has to do -----------------------===//
//
// Conformance checks that run on every device, as CommTest.h has them for communicators. A check
// returns what went wrong, or nothing.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_DEVICE_DEVICETEST_H
#define HADAL_TEST_DEVICE_DEVICETEST_H

#include "runtime/device/Device.h"

#include <string>
#include <vector>

namespace hadal::test {

/// What the checks launch: a kernel of two buffers of I64 and a scalar, whose task i adds the
/// scalar and element i of the first to element i of the second.
struct DeviceUnderTest {
  Device &device;
  const LoadedKernel &add;
};

struct DeviceCheck {
  const char *name;
  std::string (*run)(const DeviceUnderTest &under);
};

const std::vector<DeviceCheck> &deviceChecks();

} // namespace hadal::test

#endif // HADAL_TEST_DEVICE_DEVICETEST_H
