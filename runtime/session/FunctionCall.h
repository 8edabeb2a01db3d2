//===- FunctionCall.h - sizes that arguments bring with them ------------===//

#ifndef HADAL_RUNTIME_SESSION_FUNCTIONCALL_H
#define HADAL_RUNTIME_SESSION_FUNCTIONCALL_H

#include "runtime/Executor.h"

#include <string_view>

namespace hadal {

/// Binds an argument, and sets the registers "ARGUMENT.D", which functions have for their dynamic
/// dimensions, to its dimension D. Other registers are left alone. InvalidArgument:
/// "f: arg0: wants at least 2 dimensions, got [3]".
Status bindWithSizes(ProgramRun &run, std::string_view argument, const TensorView &tensor);

} // namespace hadal

#endif // HADAL_RUNTIME_SESSION_FUNCTIONCALL_H
