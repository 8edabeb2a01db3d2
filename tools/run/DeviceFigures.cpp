//===- DeviceFigures.cpp - what a run says of its device ----------------===//

#include "tools/run/DeviceFigures.h"

#include "tools/run/TrainingLog.h"

using namespace hadal;

std::string run::placeOf(const Session &session) {
  const Device &device = session.device();
  if (device.sharesHostMemory())
    return std::to_string(session.threads()) + " threads";
  return std::string(device.name()) + ", at most " + readableBytes(device.peakBytes()) + " there";
}

void run::addDevice(const Session &session, nlohmann::ordered_json &figures) {
  const Device &device = session.device();
  figures["threads"] = session.threads();
  figures["device"] = std::string(device.name());
  if (!device.sharesHostMemory())
    figures["device_peak_bytes"] = device.peakBytes();
}
