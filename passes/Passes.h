//===- Passes.h - the compiler's passes -------------------------*- C++ -*-===//
//
// Passes.td describes them in running order.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_PASSES_H
#define HADAL_PASSES_PASSES_H

#include "dialects/job/Options.h"
#include "mlir/Pass/Pass.h"
#include <memory>

namespace hadal {
#define GEN_PASS_DECL
#include "passes/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "passes/Passes.h.inc"
} // namespace hadal

#endif // HADAL_PASSES_PASSES_H
