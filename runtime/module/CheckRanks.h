//===- CheckRanks.h - tables of a job of many ranks -------------*- C++ -*-===//

#ifndef HADAL_RUNTIME_MODULE_CHECKRANKS_H
#define HADAL_RUNTIME_MODULE_CHECKRANKS_H

#include "runtime/Result.h"
#include "runtime/module/ChunkKind.h"
#include "runtime/module/Module_generated.h"

#include <string>

namespace hadal {

/// Every table, string and vector of Training.ranks is present, every index is in range, numbers of
/// ranks, stages, orders and micro-batches fit each other, chunk programs hold no other commands
/// than they may, and name arguments, registers and stages that there are. What the chunks mean
/// together is verifyRanks' question (Verify.h). For modules whose programs have passed
/// checkTables' own tests.
Status checkRanks(const fb::Module &module);

// StagePlaces of the table, which must have passed checkRanks.

/// Directions that a rank works in.
uint32_t directionsOf(const fb::Ranks &ranks);

/// The stage that the pipeline rank `pp` is in `direction`.
uint32_t stageOf(const fb::Ranks &ranks, uint32_t pp, uint32_t direction);

/// Owners of micro-batches: (expert-parallel rank, data-parallel rank), twice for dualpipe.
uint64_t ownersOf(const fb::Ranks &ranks);

/// Where the item ends that begins at chunk `first`: one chunk, or two that are issued together.
uint32_t endOfItem(const fb::Order &order, uint32_t first);

/// Where the chunks end that may run while the item at `first` is the first one that has not ended:
/// it, and all up to the end of the next item that is no weight gradient; where it is one itself,
/// of the next two. With `overlap` off that is the item.
uint32_t endOfWindow(const fb::Order &order, uint32_t first, bool overlap);

/// "F0.3".
std::string chunkName(const fb::Chunk &chunk);

/// The item that begins at chunk `first`: "F0.3", or "F0.3+B1.1".
std::string itemName(const fb::Order &order, uint32_t first);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_CHECKRANKS_H
