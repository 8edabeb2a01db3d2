//===- Devices.cpp - hadal-run devices ----------------------------------===//

#include "runtime/device/Devices.h"
#include "tools/CommandLine.h"
#include "tools/run/Commands.h"

#include <cstdio>

using namespace hadal;

Status run::devices() {
  for (const DeviceListing &device : listDevices())
    std::printf("%-10s %s\n", device.name.c_str(), device.text.c_str());
  return flushOutput();
}
