//===- BufferSizes.h - whether launches stay in bounds ----------*- C++ -*-===//
//
// Whether launches stay within the memory that they bind.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_BUFFERSIZES_H
#define HADAL_RUNTIME_MODULE_BUFFERSIZES_H

#include "runtime/Result.h"
#include "runtime/module/Module_generated.h"

namespace hadal {

/// Compares, under several values of every program's registers, what launches, copies and calls
/// bind with the bytes that kernels (as far as they say so), copies and called programs touch.
/// InvalidFile: "program decode, command 7: matmul touches 4096 bytes of temporary 3, which has
/// 2048". For modules that checkTables has passed.
Status verifyBufferSizes(const fb::Module &module);

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_BUFFERSIZES_H
