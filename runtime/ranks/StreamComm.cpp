//===- StreamComm.cpp - messages from device memory to device memory ----===//

#include "runtime/ranks/StreamComm.h"

using namespace hadal;

static DeviceAddress addressOf(const void *data) {
  return static_cast<DeviceAddress>(const_cast<void *>(data));
}

Result<Stream *> StreamComm::ownStream() {
  if (!stream)
    stream = HADAL_TRY(device.makeStream());
  return stream.get();
}

Status StreamComm::download(Copy &copy, DeviceAddress from) {
  Stream &own = *HADAL_TRY(ownStream());
  HADAL_TRY(device.download(own, copy.bytes.data(), from, copy.bytes.size()));
  return device.synchronize(own);
}

Result<Message> StreamComm::send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) {
  if (device.sharesHostMemory())
    return comm.send(to, tag, data, bytes);
  std::lock_guard lock(mutex);
  Copy copy{std::vector<std::byte>(bytes)};
  HADAL_TRY(download(copy, addressOf(data)));
  Message message = HADAL_TRY(comm.send(to, tag, copy.bytes.data(), bytes));
  copies[message.number] = std::move(copy); // its bytes stay where they are
  return message;
}

Result<Message> StreamComm::receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) {
  if (device.sharesHostMemory())
    return comm.receive(from, tag, data, bytes);
  std::lock_guard lock(mutex);
  Copy copy{std::vector<std::byte>(bytes), addressOf(data)};
  Message message = HADAL_TRY(comm.receive(from, tag, copy.bytes.data(), bytes));
  copies[message.number] = std::move(copy);
  return message;
}

Result<Message> StreamComm::reduce(std::span<const unsigned> ranks, unsigned root,
                                   ElementType element, void *data, int64_t elements,
                                   const Addition &add) {
  if (device.sharesHostMemory())
    return comm.reduce(ranks, root, element, data, elements, add);
  std::lock_guard lock(mutex);
  Copy copy{std::vector<std::byte>(uint64_t(elements) * byteSize(element)),
            root == rank() ? addressOf(data) : nullptr};
  HADAL_TRY(download(copy, addressOf(data)));
  Message message = HADAL_TRY(comm.reduce(ranks, root, element, copy.bytes.data(), elements, add));
  copies[message.number] = std::move(copy);
  return message;
}

Result<bool> StreamComm::test(Message message) {
  if (device.sharesHostMemory())
    return comm.test(message);
  std::lock_guard lock(mutex); // another message may get this one's number once it is done
  if (!HADAL_TRY(comm.test(message)))
    return false;
  auto copy = copies.extract(message.number);
  if (!copy || !copy.mapped().goal)
    return true;
  Stream &own = *HADAL_TRY(ownStream());
  const std::vector<std::byte> &bytes = copy.mapped().bytes;
  HADAL_TRY(device.upload(own, copy.mapped().goal, bytes.data(), bytes.size()));
  HADAL_TRY(device.synchronize(own)); // whatever stream reads it may begin
  return true;
}
