#include "runtime/ranks/OpenSends.h"

#include <cstring>

using namespace hadal;

Status OpenSends::add(unsigned to, uint32_t tag, const void *data, uint64_t bytes) {
  open.push_back({to, HADAL_TRY(comm.send(to, tag, data, bytes)), nullptr, bytes});
  return {};
}

Status OpenSends::addAndClear(unsigned to, uint32_t tag, void *data, uint64_t bytes) {
  open.push_back({to, HADAL_TRY(comm.send(to, tag, data, bytes)), data, bytes});
  return {};
}

Status OpenSends::finish(const std::string &what) {
  for (const Open &one : open) {
    HADAL_TRY(comm.wait(one.message, timeout, one.to, [&] { return what; }));
    if (one.clears)
      std::memset(one.clears, 0, one.bytes);
  }
  open.clear();
  return {};
}
