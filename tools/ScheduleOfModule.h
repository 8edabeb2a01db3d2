//===- ScheduleOfModule.h - the orders that a module holds --------------===//

#ifndef HADAL_TOOLS_SCHEDULEOFMODULE_H
#define HADAL_TOOLS_SCHEDULEOFMODULE_H

#include "runtime/module/Module.h"
#include "runtime/schedule/Schedule.h"

namespace hadal {

/// What each of the module's pipeline ranks runs. InvalidArgument for modules that are not for many
/// ranks.
inline Result<schedule::Schedule> scheduleOf(const Module &module) {
  const fb::Training *training = module.tables().training();
  const fb::Ranks *ranks = training ? training->ranks() : nullptr;
  if (!ranks)
    return invalidArgument(module.path() +
                           ": has no schedule: it is not for training on many ranks");
  uint64_t columns = uint64_t(ranks->ep()) * ranks->dp();
  schedule::Schedule schedule{
      ranks->schedule()->str(), ranks->pp(), uint32_t(training->micro_batches() / columns), {}};
  for (const fb::Order *order : *ranks->orders()) {
    schedule::Order &items = schedule.orders.emplace_back();
    for (const fb::Chunk *chunk : *order->chunks())
      items.push_back({static_cast<ChunkKind>(chunk->kind()), chunk->direction(),
                       chunk->micro_batch(), chunk->paired()});
  }
  return schedule;
}

} // namespace hadal

#endif // HADAL_TOOLS_SCHEDULEOFMODULE_H
