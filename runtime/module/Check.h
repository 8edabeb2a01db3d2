//===- Check.h - what a module's tables must hold ---------------*- C++ -*-===//
//
// What a module's tables must hold, beyond what the FlatBuffers verifier sees.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_CHECK_H
#define HADAL_RUNTIME_MODULE_CHECK_H

#include "runtime/Result.h"
#include "runtime/module/Module_generated.h"

#include <string>

namespace hadal {

/// Every table, string and vector that readers use is present, every index is in range, every Expr
/// is well-formed over its program's registers, no calls go in circles. The message names the
/// place: "program decode, command 12: ...".
Status checkTables(const fb::Module &module);

// What the files of the checks share.

/// FlatBuffers' verifier looks at the alignment of a vector's length, not of its elements.
bool isAligned(const flatbuffers::Vector<int64_t> *list);
/// A well-formed expression over so many registers; `what` stands in errors.
Status checkExpression(const fb::Expr *expr, size_t registers, const char *what);
Status checkElement(fb::ElementType type, const std::string &of);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_CHECK_H
