//===- Verify.h - whether many ranks can run a module together -------------===//
//
// Executes the orders of all pipeline ranks symbolically, command by command: no numbers, only who
// has written what. Expert- and data-parallel ranks do the same as each other, so one column of
// pipeline ranks stands for all.
//
// What is taken for granted of the runtime, and no more: each of the two streams of a rank runs its
// commands in order, over the ends of chunks; the two wait for each other by events alone, whose
// numbers belong to one run of a program; the two chunks of a pair run side by side, in any
// mixture. With overlap chunks of the next item may, too (endOfWindow in CheckRanks.h), but for two
// of one micro-batch and stage; then messages of different chunks may pass each other, and are told
// apart by micro-batch. A send begins at once and ends some time; messages are known by stages,
// direction and value, and come in the order in which they were sent. A value's memory is taken
// when the command that writes it begins, and given back when the last chunk that has it as an
// argument has ended.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_VERIFY_H
#define HADAL_RUNTIME_MODULE_VERIFY_H

#include "runtime/Result.h"
#include "runtime/module/Module.h"

namespace hadal {

/// Holds a module for many ranks to these rules; others pass. InvalidFile names the first place
/// where one is broken: "t.hadal: pipeline rank 1, item 12 (B0.3), program stage1.input_grad,
/// command 4: reads 'x' before it is written".
///  1. Chunk programs: those of readChunkPrograms (ChunkPrograms.h).
///  2. Orders have every chunk once, weight gradients of a direction in ascending order of
///     micro-batches, pairs of a forward and a whole backward.
///  3. Messages: each is received, by its own micro-batch, in the order of sending and in its size.
///  4. No deadlock: with these messages and events all ranks come to their ends.
///  5. A command reads nothing that was not written before it on its stream or before an event that
///     it has waited for (directly or through others), and nothing whose memory was given back;
///     nothing is written twice. The same holds for registers.
///  6. The exchanges of an expert-parallel group have one order: no two are free to pass each
///     other.
///  7. Every gradient of every trainable parameter is summed once for each of its uses, in the
///     state of its name, and bound by chunks of one kind of the stage that sums it; what else
///     chunks add up is among the stage's sums too.
///  8. Stacks of experts that ranks share hold the rank's part of all experts, the others all of
///     them.
/// In inference over ranks 1 and 3 to 6 hold for each program that ranks run together.
Status verifyRanks(const Module &module);

/// What opening a module leaves out, for modules on one rank and on many:
///  - programs compute what the compiler meant (Dataflow.h), called programs too: launches, their
///  order, what they bind and pass, the places of temporaries, and the tables of sums and shares;
///  - whatever registers are, launches, copies and calls stay within the buffers that they bind.
/// InvalidFile where the module does not say what its programs compute, if that is `required`.
Status verifyPrograms(const Module &module, bool required);

/// Both: what a module for many ranks is held to before it runs.
Status verifyModule(const Module &module);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_VERIFY_H
