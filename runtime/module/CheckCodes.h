//===- CheckCodes.h - what a module's codes and kernels must hold -------===//

#ifndef HADAL_RUNTIME_MODULE_CHECKCODES_H
#define HADAL_RUNTIME_MODULE_CHECKCODES_H

#include "runtime/Result.h"
#include "runtime/module/Module_generated.h"

#include <string>

namespace hadal {

/// There is code, each for a target; each kernel names one of the codes, whose format fits the
/// shape of its launches, and describes its bindings, its tensor maps and its needs within what
/// hardware has. Wants the module's vector of kernels to be there.
Status checkCodes(const fb::Module &module);

/// Of the weight or state `of`; a null layout is in order.
Status checkLayout(const fb::Layout *layout, const std::string &of);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_CHECKCODES_H
