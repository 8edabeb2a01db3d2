//===- CheckInference.h - tables of inference on many ranks -----*- C++ -*-===//

#ifndef HADAL_RUNTIME_MODULE_CHECKINFERENCE_H
#define HADAL_RUNTIME_MODULE_CHECKINFERENCE_H

#include "runtime/Result.h"
#include "runtime/module/Module_generated.h"

namespace hadal {

/// Numbers of ranks are possible, every index is in range, its programs hold no other commands than
/// they may, on the streams where these belong, and exchange among ranks that there are. For
/// modules whose programs have passed checkTables' own tests.
Status checkInference(const fb::Module &module);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_CHECKINFERENCE_H
