//===- UsedRegisters.h - which registers a program looks at -----*- C++ -*-===//

#ifndef HADAL_RUNTIME_MODULE_USEDREGISTERS_H
#define HADAL_RUNTIME_MODULE_USEDREGISTERS_H

#include "runtime/module/Module_generated.h"

#include <vector>

namespace hadal::verify {

/// By number. Programs that this one calls count with all that it gives them.
std::vector<bool> usedRegisters(const fb::Program &program);

} // namespace hadal::verify

#endif // HADAL_RUNTIME_MODULE_USEDREGISTERS_H
