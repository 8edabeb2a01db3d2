//===- InputRules.h - what a program's arguments must hold --------------===//
//
// Kernels take places and sizes from index tensors without a check. The compiler knows which
// argument names which rows, and writes it into the module (tables ContentRule and SizeRule); a
// program is held to it where it is entered, not where it is called.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_INPUTRULES_H
#define HADAL_RUNTIME_INPUTRULES_H

#include "runtime/Result.h"
#include "runtime/module/Module.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace hadal {

/// Holds the registers of a program to the rules of its sizes. InvalidArgument: "f: dimension 0 of
/// 'arg1' is 5, wants dimension 0 of 'arg0', 4".
Status checkSizes(const fb::Program &program, std::span<const int64_t> registers);

/// Holds index tensors to the program's rules; argument i has `bytes[i]` bytes at `arguments[i]`,
/// one without memory is left out. InvalidArgument: "f: argument 'arg1' wants values in [0, 8),
/// element 3 is 11".
Status checkContents(const fb::Program &program, std::span<const int64_t> registers,
                     std::span<const std::byte *const> arguments, std::span<const uint64_t> bytes);

} // namespace hadal

#endif // HADAL_RUNTIME_INPUTRULES_H
