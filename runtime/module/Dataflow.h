//===- Dataflow.h - what the programs of a module compute -----------------===//
//
// Executes programs symbolically, command by command: no numbers, only which kernel made what from
// what. What a program leaves in an output or a state becomes a hash of the kernels that made it,
// of their scalars, and of what they read, back to the program's inputs. Two programs of equal
// hashes compute the same.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_DATAFLOW_H
#define HADAL_RUNTIME_MODULE_DATAFLOW_H

#include "runtime/Result.h"
#include "runtime/module/Module_generated.h"

#include <map>
#include <vector>

namespace hadal {

/// Where temporaries lie: in their slots, as the module runs, or each in memory of its own, as the
/// compiler means it. Equal hashes say that no two temporaries that live at the same time share a
/// slot.
enum class TemporaryMemory { Slots, OfItsOwn };

/// Whether a kernel says what it reads and writes.
inline bool isDescribed(const fb::Kernel &kernel) {
  return kernel.buffers() && kernel.buffers()->size() == kernel.bindings();
}

/// What a program does with an argument, a state or a weight.
struct BufferUse {
  bool reads = false; ///< needs what was there before the program ran
  bool keeps = false; ///< leaves a part of what was there before
  bool writes = false;
};

struct ProgramFlow {
  uint64_t hash = 0;
  bool isKnown = true; ///< false: a kernel, here or in a program that it calls, does not say what
                       ///< it reads and writes
  std::vector<BufferUse> arguments;
  std::map<uint32_t, BufferUse> states, weights; ///< by number; those of called programs too
};

/// One for each program. For modules whose tables have passed checkTables' tests of indices and
/// calls. InvalidFile: "program decode, command 7: reads temporary 3, which nothing has written".
/// Where the kernels are known:
///  - a temporary is written before it is read, and its slot has been given to no other in between;
///  - what a launch writes is bound by nothing else of that launch;
///  - inputs, parameters and constants are not written, weights by the program "pack" alone;
///  - every output is written.
Result<std::vector<ProgramFlow>> dataflowOf(const fb::Module &module, TemporaryMemory memory);

/// What Module.dataflow holds: the hash of each program with temporaries in memory of their own,
/// and last one of the tables that say whose sums and whose share of parameters are where.
Result<std::vector<uint64_t>> dataflowHashes(const fb::Module &module, TemporaryMemory memory);

/// Writes what the programs of a finished module compute into its vector `dataflow`, which is there
/// and has the right size. `payload` is its FlatBuffer. An error where slots change what is
/// computed.
Status writeDataflow(uint8_t *payload);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_DATAFLOW_H
