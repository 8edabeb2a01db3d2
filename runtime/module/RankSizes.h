//===- RankSizes.h - how large a rank's work is ---------------------------===//
//
// What chunk programs hold and say is known in advance but for the rows that routing sends from
// rank to rank. Here these are as an even choice of experts would have them, or as many as can
// come: for figures, never for allocation.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_RANKSIZES_H
#define HADAL_RUNTIME_MODULE_RANKSIZES_H

#include "runtime/Result.h"
#include "runtime/module/Module_generated.h"

#include <map>
#include <string>

namespace hadal {

using NamedRegisters = std::map<std::string, int64_t, std::less<>>;

/// A value of a register for comparing sizes, without relation to others: 1 to 1000. The same
/// wherever the name is the same, so that both ends of a message compare alike.
int64_t probeOf(std::string_view name, uint64_t which);

/// The registers of a stage's chunk programs for a full micro-batch, each row one sequence. Choices
/// fall on the experts of the groups that a token may choose from as if they were drawn: every part
/// gets equally many, and a token goes to each part that has one or more of its choices.
NamedRegisters balancedRegisters(const fb::Module &module, const fb::Stage &stage);

/// The same where every token of all ranks chooses as many of one rank's experts as it can, and
/// goes there in every layer: what that rank gets at most. An exchange's capacity bounds it.
NamedRegisters worstRegisters(const fb::Module &module, const fb::Stage &stage);

/// Bytes of an argument of a chunk program. InvalidFile where its shape has none.
Result<uint64_t> argumentBytes(const fb::Program &program, uint32_t argument,
                               const NamedRegisters &registers);

/// The value of an expression over a chunk program's registers.
Result<int64_t> evaluateIn(const fb::Program &program, const fb::Expr &expr,
                           const NamedRegisters &registers);

/// Bytes that a chunk program sends to other ranks: its sends, and of its exchanges what is not for
/// this rank itself.
Result<uint64_t> sentBytes(const fb::Program &program, const NamedRegisters &registers);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_RANKSIZES_H
