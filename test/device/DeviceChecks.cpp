//===- DeviceChecks.cpp - what every device has to do -------------------===//

#include "test/Works.h"
#include "test/device/DeviceTest.h"

#include "runtime/Abi.h"

#include <numeric>
#include <thread>

using namespace hadal;
using namespace hadal::test;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes pattern(uint64_t bytes, unsigned seed) {
  Bytes made(bytes);
  for (uint64_t i = 0; i < bytes; ++i)
    made[i] = uint8_t(i * 7 + i / 251 + seed);
  return made;
}

/// A device with a stream.
struct Bench {
  Device &device;
  std::unique_ptr<Stream> stream;

  Result<Bytes> read(DeviceAddress from, uint64_t bytes) {
    Bytes all(bytes, 0xAA);
    HADAL_TRY(device.download(*stream, all.data(), from, bytes));
    HADAL_TRY(device.synchronize(*stream));
    return all;
  }
  Status write(DeviceAddress to, const Bytes &bytes) {
    return device.upload(*stream, to, bytes.data(), bytes.size());
  }
};

Result<Bench> benchOf(Device &device) { return Bench{device, HADAL_TRY(device.makeStream())}; }

/// Memory is zero, aligned, as large as asked for, and each buffer's own.
std::string allocations(const DeviceUnderTest &under) {
  Bench bench = WORKS(benchOf(under.device));
  std::vector<DeviceBuffer> all;
  for (uint64_t bytes : {uint64_t(0), uint64_t(1), uint64_t(64), uint64_t(4097), uint64_t(5) << 20})
    all.push_back(WORKS(under.device.allocate(bytes)));
  for (const DeviceBuffer &buffer : all) {
    if (!buffer.address() || reinterpret_cast<uintptr_t>(buffer.address()) % HADAL_ALIGNMENT)
      return "an address of " + std::to_string(buffer.bytes()) + " bytes is not aligned";
    if (WORKS(bench.read(buffer.address(), buffer.bytes())) != Bytes(buffer.bytes(), 0))
      return "memory of " + std::to_string(buffer.bytes()) + " bytes is not zero";
  }
  for (size_t i = 0; i < all.size(); ++i)
    WORKS(under.device.fill(*bench.stream, all[i].address(), uint8_t(i + 1), all[i].bytes()));
  for (size_t i = 0; i < all.size(); ++i)
    if (WORKS(bench.read(all[i].address(), all[i].bytes())) !=
        Bytes(all[i].bytes(), uint8_t(i + 1)))
      return "two buffers overlap";
  return "";
}

/// What is more than there is, is refused, and the device goes on.
std::string refusedAllocations(const DeviceUnderTest &under) {
  auto buffer = under.device.allocate(uint64_t(1) << 60);
  if (buffer.ok())
    return "2^60 bytes are there";
  if (buffer.error().code != ErrorCode::OutOfMemory)
    return "the error is " + buffer.error().message;
  return allocations(under);
}

/// Bytes go up, at offsets too, and down; the source may change when the call has returned.
std::string uploads(const DeviceUnderTest &under) {
  Bench bench = WORKS(benchOf(under.device));
  for (uint64_t bytes : {0, 1, 63, 4097, 3 << 20}) {
    DeviceBuffer buffer = WORKS(under.device.allocate(bytes + 5));
    Bytes data = pattern(bytes, 3), sent = data;
    WORKS(bench.write(buffer.address() + 5, sent));
    std::fill(sent.begin(), sent.end(), 0xEE);
    if (WORKS(bench.read(buffer.address() + 5, bytes)) != data)
      return std::to_string(bytes) + " bytes come back otherwise";
    if (WORKS(bench.read(buffer.address(), 5)) != Bytes(5, 0))
      return "an upload of " + std::to_string(bytes) + " bytes writes before its place";
  }
  return "";
}

/// A fill touches its range alone.
std::string fills(const DeviceUnderTest &under) {
  Bench bench = WORKS(benchOf(under.device));
  DeviceBuffer buffer = WORKS(under.device.allocate(1000));
  WORKS(under.device.fill(*bench.stream, buffer.address(), 0x11, 1000));
  WORKS(under.device.fill(*bench.stream, buffer.address() + 100, 0x22, 700));
  Bytes wanted(1000, 0x11);
  std::fill(wanted.begin() + 100, wanted.begin() + 800, 0x22);
  return WORKS(bench.read(buffer.address(), 1000)) == wanted ? "" : "the bytes are others";
}

/// From buffer to buffer, and inside one where the ranges overlap, in both directions.
std::string copies(const DeviceUnderTest &under) {
  Bench bench = WORKS(benchOf(under.device));
  DeviceBuffer from = WORKS(under.device.allocate(5000)), to = WORKS(under.device.allocate(5000));
  Bytes data = pattern(5000, 9), wanted = data;
  WORKS(bench.write(from.address(), data));
  WORKS(under.device.copy(*bench.stream, to.address(), from.address(), 5000));
  if (WORKS(bench.read(to.address(), 5000)) != data)
    return "a copy is not what it was made of";
  WORKS(under.device.copy(*bench.stream, to.address() + 100, to.address(), 4900));
  std::copy_backward(wanted.begin(), wanted.end() - 100, wanted.end());
  if (WORKS(bench.read(to.address(), 5000)) != wanted)
    return "a copy upwards in one buffer goes wrong";
  WORKS(under.device.copy(*bench.stream, from.address(), from.address() + 3, 4997));
  std::copy(data.begin() + 3, data.end(), data.begin());
  return WORKS(bench.read(from.address(), 5000)) == data
             ? ""
             : "a copy downwards in one buffer goes wrong";
}

using Numbers = std::vector<int64_t>;

Result<DeviceBuffer> numbersOnDevice(Bench &bench, const Numbers &numbers) {
  DeviceBuffer buffer = HADAL_TRY(bench.device.allocate(numbers.size() * sizeof(int64_t)));
  HADAL_TRY(bench.device.upload(*bench.stream, buffer.address(), numbers.data(), buffer.bytes()));
  return buffer;
}

Result<Numbers> numbersOf(Bench &bench, const DeviceBuffer &buffer) {
  Numbers all(buffer.bytes() / sizeof(int64_t));
  HADAL_TRY(bench.device.download(*bench.stream, all.data(), buffer.address(), buffer.bytes()));
  HADAL_TRY(bench.device.synchronize(*bench.stream));
  return all;
}

Status add(Device &device, Stream &stream, const LoadedKernel &kernel, const DeviceBuffer &from,
           const DeviceBuffer &to, int64_t scalar, int64_t tasks) {
  const DeviceAddress buffers[] = {from.address(), to.address()};
  return device.launch(stream, kernel, buffers, {&scalar, 1}, tasks);
}

/// Every task runs once, and a launch sees what was issued before it: uploads, fills, launches.
std::string launches(const DeviceUnderTest &under) {
  Bench bench = WORKS(benchOf(under.device));
  for (int64_t count : {1, 2, 1000, 100'003}) {
    Numbers ascending(count);
    std::iota(ascending.begin(), ascending.end(), 0);
    DeviceBuffer from = WORKS(numbersOnDevice(bench, ascending)),
                 to = WORKS(numbersOnDevice(bench, Numbers(count, 77)));
    WORKS(under.device.fill(*bench.stream, to.address(), 0, to.bytes()));
    WORKS(add(under.device, *bench.stream, under.add, from, to, 5, count));
    WORKS(add(under.device, *bench.stream, under.add, from, to, -2, count / 2 + 1));
    Numbers sums = WORKS(numbersOf(bench, to));
    for (int64_t i = 0; i < count; ++i)
      if (sums[i] != (i < count / 2 + 1 ? 2 * i + 3 : i + 5))
        return std::to_string(count) + " tasks: element " + std::to_string(i) + " is " +
               std::to_string(sums[i]);
  }
  return "";
}

/// What one stream makes another reads after an event, whichever of them is synchronized.
std::string events(const DeviceUnderTest &under) {
  Device &device = under.device;
  Bench first = WORKS(benchOf(device)), second = WORKS(benchOf(device));
  std::unique_ptr<Event> event = WORKS(device.makeEvent());
  constexpr int64_t count = 5000;
  DeviceBuffer ones = WORKS(numbersOnDevice(first, Numbers(count, 1))),
               middle = WORKS(device.allocate(ones.bytes())),
               last = WORKS(device.allocate(ones.bytes()));
  WORKS(device.synchronize(*first.stream));
  for (int round = 1; round <= 3; ++round) { // an event may be recorded again
    WORKS(add(device, *first.stream, under.add, ones, middle, 0, count));
    WORKS(device.record(*first.stream, *event));
    WORKS(device.wait(*second.stream, *event));
    WORKS(device.copy(*second.stream, last.address(), middle.address(), middle.bytes()));
    if (WORKS(numbersOf(second, last)) != Numbers(count, round))
      return "round " + std::to_string(round) + ": a stream did not wait";
  }
  WORKS(device.synchronize(*first.stream));
  std::unique_ptr<Event> never = WORKS(device.makeEvent());
  return device.wait(*first.stream, *never).ok() ? "waits for an event that nothing recorded" : "";
}

/// Another thread copies on a stream of its own while this one launches.
std::string threads(const DeviceUnderTest &under) {
  Device &device = under.device;
  std::string problem;
  std::thread other([&] {
    problem = [&]() -> std::string {
      Bench bench = WORKS(benchOf(device));
      DeviceBuffer from = WORKS(device.allocate(70'000)), to = WORKS(device.allocate(70'000));
      for (unsigned round = 0; round < 20; ++round) {
        Bytes data = pattern(70'000, round);
        WORKS(bench.write(from.address(), data));
        WORKS(device.copy(*bench.stream, to.address(), from.address(), 70'000));
        if (WORKS(bench.read(to.address(), 70'000)) != data)
          return "a copy beside launches goes wrong";
      }
      return "";
    }();
  });
  std::string mine;
  for (int round = 0; round < 3 && mine.empty(); ++round)
    mine = launches(under);
  other.join();
  return mine.empty() ? problem : mine;
}

/// A device says of every target whether it runs its code, and of a wrong one why not.
std::string targets(const DeviceUnderTest &under) {
  auto refusal = [&](const char *family, std::vector<std::string> features) {
    flatbuffers::FlatBufferBuilder b;
    b.Finish(fb::CreateTarget(b, b.CreateString(family), b.CreateString("any"),
                              b.CreateVectorOfStrings(features)));
    Status status = under.device.accepts(*flatbuffers::GetRoot<fb::Target>(b.GetBufferPointer()));
    return status ? std::string() : status.error().message;
  };
  if (refusal("pdp11", {}).find("pdp11") == std::string::npos)
    return "the refusal of another family is '" + refusal("pdp11", {}) + "'";
  return "";
}

/// The host reads what a device holds: in place exactly where the device says so.
std::string hostReads(const DeviceUnderTest &under) {
  Bench bench = WORKS(benchOf(under.device));
  DeviceBuffer buffer = WORKS(under.device.allocate(300));
  Bytes data = pattern(300, 1);
  WORKS(bench.write(buffer.address(), data));
  std::vector<std::byte> memory;
  auto *seen = WORKS(readOnHost(under.device, *bench.stream, buffer.address(), 300, memory));
  if (!std::equal(data.begin(), data.end(), reinterpret_cast<const uint8_t *>(seen)))
    return "the host reads other bytes";
  if (under.device.sharesHostMemory() != (seen == buffer.address()))
    return "sharesHostMemory is not as it says";
  if (under.device.sharesHostMemory() && !buffer.isHostVisible())
    return "a buffer of shared memory is not visible";
  return "";
}

} // namespace

const std::vector<DeviceCheck> &hadal::test::deviceChecks() {
  static const std::vector<DeviceCheck> checks = {
      {"allocations", allocations}, {"refused allocations", refusedAllocations},
      {"uploads", uploads},         {"fills", fills},
      {"copies", copies},           {"launches", launches},
      {"events", events},           {"threads", threads},
      {"targets", targets},         {"hostReads", hostReads},
  };
  return checks;
}
