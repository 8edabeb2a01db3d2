// What a module's tables must hold, beyond what the FlatBuffers verifier sees.
#ifndef HADAL_RUNTIME_MODULE_CHECK_H
#define HADAL_RUNTIME_MODULE_CHECK_H

#include "runtime/Result.h"
#include "runtime/module/Module_generated.h"

namespace hadal {

/// Every table, string and vector that readers use is present, every index is in range, every Expr
/// is well-formed over its program's registers, no calls go in circles. The message names the
/// place: "program decode, command 12: ...".
Status checkTables(const fb::Module &module);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_CHECK_H
