//===- MemoryGuards.cpp - whether programs stay in what they wrote ----===//
//
// The host looks at the bytes: in place where it sees the device's memory, else at copies.
//
//===--------------------------------------------------------------------===//

#include "runtime/MemoryCheck.h"
#include "runtime/executor/Implementation.h"

#include <algorithm>

namespace hadal {

using namespace execution;

const ProgramFlow &Executor::Implementation::flowOf(const fb::Program &program) const {
  const auto &all = *module.tables().programs();
  for (uint32_t i = 0; i < all.size(); ++i)
    if (all.Get(i) == &program)
      return flows[i];
  return flows.front();
}

/// Fills memory with the pattern of what was not written.
Status Executor::Implementation::poison(std::span<std::byte> memory) {
  if (device.sharesHostMemory()) {
    memory::poison(memory);
    return {};
  }
  std::vector<std::byte> pattern(std::min<size_t>(memory.size(), size_t(1) << 20));
  memory::poison(pattern);
  for (size_t at = 0; at < memory.size(); at += pattern.size())
    HADAL_TRY(device.upload(*stream, memory.data() + at, pattern.data(),
                            std::min(pattern.size(), memory.size() - at)));
  return {};
}

Status Executor::Implementation::setGuard(std::span<std::byte> zone) {
  return device.fill(*stream, zone.data(), memory::guardByte, zone.size());
}

/// What lies there now; valid until the next look.
Result<std::span<const std::byte>>
Executor::Implementation::look(std::span<const std::byte> memory) {
  auto *from = const_cast<DeviceAddress>(memory.data());
  return std::span(HADAL_TRY(readOnHost(device, *stream, from, memory.size(), looked)),
                   memory.size());
}

/// Looks at a part first: memory that anything has written to mostly shows it there.
Result<bool> Executor::Implementation::isUnwritten(std::span<const std::byte> memory) {
  constexpr size_t part = 4096;
  if (memory.size() > part && !memory::isUnwritten(HADAL_TRY(look(memory.first(part)))))
    return false;
  return memory::isUnwritten(HADAL_TRY(look(memory)));
}

Status Executor::Implementation::guardSlots(Frame &frame, const std::vector<uint64_t> &offsets,
                                            const std::vector<uint64_t> &slotBytes, size_t depth) {
  frame.owners.assign(offsets.size(), 0);
  std::byte *arena = arenas[depth].address();
  for (size_t slot = 0; slot < offsets.size(); ++slot) {
    std::byte *begin = arena + offsets[slot], *end = begin + slotBytes[slot];
    std::string of = "slot " + std::to_string(slot) + " of its temporaries";
    frame.guards.push_back({{begin - memory::guardBytes, memory::guardBytes}, of});
    // Up to the next slot's guard.
    frame.guards.push_back(
        {{end, aligned(slotBytes[slot]) - slotBytes[slot] + memory::guardBytes}, of});
    HADAL_TRY(poison({begin, end}));
  }
  for (Frame::Guard &guard : frame.guards)
    HADAL_TRY(setGuard(guard.zone));
  return {};
}

/// Outputs of a program that is run by itself lie in guarded memory while it runs.
Status Executor::Implementation::shadowOutputs(Frame &frame) {
  const ProgramFlow &flow = flowOf(*frame.program);
  for (uint32_t i = 0; i < frame.arguments.size(); ++i) {
    if (!frame.program->arguments()->Get(i)->output() || !frame.arguments[i])
      continue;
    uint64_t bytes = frame.argumentBytes[i];
    Frame::Shadow shadow{HADAL_TRY(device.allocate(aligned(bytes) + 2 * memory::guardBytes)),
                         frame.arguments[i], i};
    DeviceAddress begin = shadow.memory.address() + memory::guardBytes;
    bool isNew = flow.isKnown && !flow.arguments[i].reads && !flow.arguments[i].keeps;
    if (isNew)
      HADAL_TRY(poison({begin, bytes}));
    else if (bytes)
      HADAL_TRY(device.copy(*stream, begin, frame.arguments[i], bytes));
    std::string of = "'" + frame.program->arguments()->Get(i)->name()->str() + "'";
    for (std::span<std::byte> zone : {std::span(shadow.memory.address(), memory::guardBytes),
                                      std::span(begin + bytes, memory::guardBytes)}) {
      HADAL_TRY(setGuard(zone));
      frame.guards.push_back({zone, of});
    }
    frame.arguments[i] = begin;
    frame.shadows.push_back(std::move(shadow));
  }
  return {};
}

Status Executor::Implementation::returnOutputs(Frame &frame) {
  const ProgramFlow &flow = flowOf(*frame.program);
  for (Frame::Shadow &shadow : frame.shadows) {
    uint64_t bytes = frame.argumentBytes[shadow.argument];
    std::span<std::byte> written(frame.arguments[shadow.argument], bytes);
    bool isNew = flow.isKnown && !flow.arguments[shadow.argument].reads &&
                 !flow.arguments[shadow.argument].keeps;
    if (std::optional<uint64_t> at =
            isNew ? memory::firstUnwritten(HADAL_TRY(look(written))) : std::nullopt)
      return invalidArgument("memory check: nothing has written to byte " + std::to_string(*at) +
                             " of output '" +
                             frame.program->arguments()->Get(shadow.argument)->name()->str() +
                             "', which has " + std::to_string(bytes));
    HADAL_TRY(device.copy(*stream, shadow.goal, written.data(), bytes));
  }
  return device.synchronize(*stream); // the shadows are given back next
}

/// Of temporaries: their lifetime begins, or goes on. Of outputs and temporaries: what is read was
/// written.
Status Executor::Implementation::beforeAccess(Frame &frame, const fb::Binding &binding,
                                              fb::Access access, const std::string &what) {
  bool isTemporary = binding.space() == fb::Space_Temporary;
  if (!isTemporary && binding.space() != fb::Space_Argument)
    return {};
  uint32_t index = binding.index();
  std::string name = isTemporary
                         ? "temporary " + std::to_string(index)
                         : "'" + frame.program->arguments()->Get(index)->name()->str() + "'";
  auto broken = [&](const std::string &problem) {
    return invalidArgument("memory check: command " + std::to_string(frame.at) + ", " + what +
                           ", reads " + name + ", " + problem);
  };
  std::span<std::byte> memory =
      isTemporary ? std::span(frame.temporaries[index], frame.temporaryBytes[index])
                  : std::span(frame.arguments[index], frame.argumentBytes[index]);
  bool reads = access == fb::Access_Read || access == fb::Access_Update;
  if (isTemporary) {
    uint32_t &owner = frame.owners[frame.program->temporaries()->Get(index)->slot()];
    if (reads && owner != index + 1)
      return broken(owner ? "whose memory temporary " + std::to_string(owner - 1) + " has by then"
                          : "which nothing has written");
    if (owner != index + 1)
      HADAL_TRY(poison(memory));
    owner = index + 1;
  }
  if (reads && HADAL_TRY(isUnwritten(memory)))
    return broken("which nothing has written");
  return {};
}

Status Executor::Implementation::afterAccess(const Frame &frame, const std::string &what) {
  // Of a device's own memory all zones are copied at once.
  std::vector<std::byte> copies;
  if (!device.sharesHostMemory()) {
    size_t bytes = 0, at = 0;
    for (const Frame::Guard &guard : frame.guards)
      bytes += guard.zone.size();
    copies.resize(bytes);
    for (const Frame::Guard &guard : frame.guards) {
      HADAL_TRY(device.download(*stream, copies.data() + at, guard.zone.data(), guard.zone.size()));
      at += guard.zone.size();
    }
    HADAL_TRY(device.synchronize(*stream));
  }
  const std::byte *copy = copies.data();
  for (const Frame::Guard &guard : frame.guards) {
    std::span<const std::byte> zone = guard.zone;
    if (!copies.empty()) {
      zone = {copy, zone.size()};
      copy += zone.size();
    }
    if (std::optional<uint64_t> at = memory::firstChanged(zone))
      return invalidArgument("memory check: command " + std::to_string(frame.at) + ", " + what +
                             ", writes outside of " + guard.of + ", to byte " +
                             std::to_string(*at) + " of the guard zone at its " +
                             (&guard - frame.guards.data() & 1 ? "end" : "beginning"));
  }
  return {};
}

} // namespace hadal
