//===- StreamComm.h - messages from device memory to device memory ------===//

#ifndef HADAL_RUNTIME_RANKS_STREAMCOMM_H
#define HADAL_RUNTIME_RANKS_STREAMCOMM_H

#include "runtime/comm/Comm.h"
#include "runtime/device/Device.h"

#include <map>
#include <mutex>

namespace hadal {

/// What chunks, sums and weights say to other ranks, over a Comm for the host's memory: `data` is
/// the address of what lies in a device's memory. Where the device shares the host's, messages use
/// it in place, else they go through copies. What is sent has been computed: the sender has
/// synchronized the stream that wrote it. Any thread may use it.
class StreamComm final : public Comm {
public:
  /// Both must outlive it.
  StreamComm(Comm &comm, Device &device) : comm(comm), device(device) {}

  unsigned rank() const override { return comm.rank(); }
  unsigned size() const override { return comm.size(); }
  Result<Message> send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) override;
  Result<Message> receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) override;
  /// `add` is called with memory of the host.
  Result<Message> reduce(std::span<const unsigned> ranks, unsigned root, ElementType element,
                         void *data, int64_t elements, const Addition &add) override;
  Result<bool> test(Message message) override;
  void abort(const std::string &reason) override { comm.abort(reason); }

private:
  /// A copy on the host, and where its bytes go when the message is done; null: nowhere.
  struct Copy {
    std::vector<std::byte> bytes;
    DeviceAddress goal = nullptr;
  };
  Result<Stream *> ownStream();
  Status download(Copy &copy, DeviceAddress from);

  Comm &comm;
  Device &device;
  std::mutex mutex; ///< of all below
  std::unique_ptr<Stream> stream;
  std::map<uint64_t, Copy> copies; ///< by message
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_STREAMCOMM_H
