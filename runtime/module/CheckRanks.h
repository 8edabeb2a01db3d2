//===- CheckRanks.h - whether a module's table of ranks holds together --===//

#ifndef HADAL_RUNTIME_MODULE_CHECKRANKS_H
#define HADAL_RUNTIME_MODULE_CHECKRANKS_H

#include "runtime/Result.h"
#include "runtime/module/Module_generated.h"

#include <set>

namespace hadal {

/// Numbers of the programs that stages name; what a table lacks or has out of range is checkRanks' to say.
std::set<uint32_t> chunkProgramsOf(const fb::Module &module);

/// A command of a chunk program: its kind, stream and what it names. `program` is well-formed but for its commands.
Status checkChunkCommand(const fb::Module &module, const fb::Program &program, const fb::Command &command);

/// Groups, ranks, stages, accumulators and orders of a training job whose other tables are well-formed.
Status checkRanks(const fb::Module &module);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_CHECKRANKS_H
