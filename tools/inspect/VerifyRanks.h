//===- VerifyRanks.h - hadal-inspect --verify -----------------------------===//

#ifndef HADAL_TOOLS_INSPECT_VERIFYRANKS_H
#define HADAL_TOOLS_INSPECT_VERIFYRANKS_H

#include "runtime/module/Module.h"

namespace hadal::inspect {

/// Verifies the module (verifyModule in runtime/module/Verify.h) and says what was looked at; for
/// training on many ranks also where each pipeline rank holds most.
Result<std::string> verifyText(const Module &module);

} // namespace hadal::inspect

#endif // HADAL_TOOLS_INSPECT_VERIFYRANKS_H
