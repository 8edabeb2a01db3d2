// Which states a program touches.
#ifndef HADAL_RUNTIME_MODULE_BOUNDSTATES_H
#define HADAL_RUNTIME_MODULE_BOUNDSTATES_H

#include "runtime/module/Module_generated.h"

#include <set>

namespace hadal {

/// Numbers of the states that a program's commands bind, those of programs that it calls included. For modules whose
/// tables have been checked.
std::set<uint32_t> boundStates(const fb::Module &module, const fb::Program &program);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_BOUNDSTATES_H
