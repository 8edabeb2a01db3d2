//===- OpenSends.cpp - messages of a step that are on their way -----------===//

#include "runtime/ranks/OpenSends.h"

using namespace hadal;

Status OpenSends::add(unsigned to, uint32_t tag, DeviceAddress data, uint64_t bytes) {
  HADAL_TRY(executor.synchronize());
  open.push_back({to, HADAL_TRY(comm.send(to, tag, data, bytes)), nullptr, bytes});
  return {};
}

Status OpenSends::addAndClear(unsigned to, uint32_t tag, DeviceAddress data, uint64_t bytes) {
  HADAL_TRY(executor.synchronize());
  open.push_back({to, HADAL_TRY(comm.send(to, tag, data, bytes)), data, bytes});
  return {};
}

Status OpenSends::finish(const std::string &what) {
  for (const Open &one : open) {
    HADAL_TRY(comm.wait(one.message, timeout, one.to, [&] { return what; }));
    if (one.clears)
      HADAL_TRY(executor.zero(one.clears, one.bytes));
  }
  open.clear();
  return {};
}
