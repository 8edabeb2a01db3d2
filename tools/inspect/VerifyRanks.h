// hadal-inspect --verify.
#ifndef HADAL_TOOLS_INSPECT_VERIFYRANKS_H
#define HADAL_TOOLS_INSPECT_VERIFYRANKS_H

#include "runtime/module/Module.h"

namespace hadal::inspect {

/// Verifies the programs and orders of all ranks (runtime/module/Verify.h) and says for each pipeline rank where it holds most.
/// InvalidArgument for a module of one rank, which has nothing to verify.
Result<std::string> verifyText(const Module &module);

} // namespace hadal::inspect

#endif // HADAL_TOOLS_INSPECT_VERIFYRANKS_H
