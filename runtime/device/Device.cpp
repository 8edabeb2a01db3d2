//===- Device.cpp - what all devices have in common ---------------------===//

#include "runtime/device/Device.h"

#include <utility>

namespace hadal {

DeviceBuffer::DeviceBuffer(Buffer memory)
    : base(memory.data()), size(memory.size()), host(std::move(memory)) {}

DeviceBuffer::DeviceBuffer(DeviceAddress address, uint64_t bytes, std::function<void()> release)
    : base(address), size(bytes), release(std::move(release)) {}

DeviceBuffer &DeviceBuffer::operator=(DeviceBuffer &&other) noexcept {
  std::swap(base, other.base);
  std::swap(size, other.size);
  std::swap(host, other.host);
  std::swap(release, other.release);
  return *this;
}

DeviceBuffer::~DeviceBuffer() {
  if (release)
    release();
}

void DeviceBuffer::populate() {
  if (isHostVisible())
    host.populate();
}

Result<DeviceBuffer> allocateFor(const std::string &what, Device &device, uint64_t bytes) {
  auto buffer = device.allocate(bytes);
  if (!buffer.ok())
    return Error{buffer.error().code, what + ": " + buffer.error().message};
  return buffer;
}

Status checkTargets(const Device &device, const Module &module) {
  for (const fb::Code *code : *module.tables().codes())
    if (Status status = device.accepts(*code->target()); !status)
      return Error{status.error().code, module.path() + ": module " + status.error().message};
  return {};
}

Result<const std::byte *> readOnHost(Device &device, Stream &stream, DeviceAddress from,
                                     uint64_t bytes, std::vector<std::byte> &memory) {
  if (device.sharesHostMemory()) {
    HADAL_TRY(device.synchronize(stream));
    return static_cast<const std::byte *>(from);
  }
  memory.resize(bytes);
  HADAL_TRY(device.download(stream, memory.data(), from, bytes));
  HADAL_TRY(device.synchronize(stream));
  return static_cast<const std::byte *>(memory.data());
}

} // namespace hadal
