//===- Golden.h - tensors of the golden folders as arrays ---------------===//

#ifndef HADAL_TEST_FRONTEND_GOLDEN_H
#define HADAL_TEST_FRONTEND_GOLDEN_H

#include "test/interpreter/GraphInterpreter.h"

#include "frontend/Parameters.h"
#include "runtime/Safetensors.h"

namespace hadal::frontend {

/// A tensor of a file; empty where the file has none of that name.
Array readArray(const Safetensors &file, llvm::StringRef name);

/// A parameter, shaped like its global: [experts, ...] for a stack.
Array readParameter(const Checkpoint &checkpoint, const ParameterDescription &parameter);

} // namespace hadal::frontend

#endif // HADAL_TEST_FRONTEND_GOLDEN_H
