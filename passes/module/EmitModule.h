//===- EmitModule.h - programs to the module file's tables ------*- C++ -*-===//

#ifndef HADAL_PASSES_MODULE_EMITMODULE_H
#define HADAL_PASSES_MODULE_EMITMODULE_H

#include "passes/targets/Target.h"
#include <cstddef>

namespace hadal {

/// The FlatBuffer of the module (Module.fbs): its exec ops, one to one, with the code of its
/// kernels and, where `job.model` is set, the model's facts. A failure has been reported through
/// the context's diagnostics.
mlir::FailureOr<std::vector<std::byte>> emitModule(mlir::ModuleOp module, const Target &target,
                                                   const CodeObject &code);

} // namespace hadal

#endif // HADAL_PASSES_MODULE_EMITMODULE_H
