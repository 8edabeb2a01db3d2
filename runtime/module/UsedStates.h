//===- UsedStates.h - which states programs have ----------------*- C++ -*-===//

#ifndef HADAL_RUNTIME_MODULE_USEDSTATES_H
#define HADAL_RUNTIME_MODULE_USEDSTATES_H

#include "runtime/module/Module_generated.h"

#include <set>

namespace hadal {

/// Numbers of the states that a program's commands bind, and those of the programs it calls.
std::set<uint32_t> usedStates(const fb::Module &module, const fb::Program &program);

/// Of one command.
std::set<uint32_t> usedStates(const fb::Module &module, const fb::Command &command);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_USEDSTATES_H
