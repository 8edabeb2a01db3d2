//===- QuantizeCheckpoint.h - a checkpoint's weights become FP8 --*- C++ -*-===//

#ifndef HADAL_TOOLS_COMPILE_QUANTIZECHECKPOINT_H
#define HADAL_TOOLS_COMPILE_QUANTIZECHECKPOINT_H

#include "runtime/Result.h"

#include <functional>
#include <string>

namespace mlir {
class MLIRContext;
}

namespace hadal {

/// Writes `output`, a folder as Hugging Face has FP8 models: `input` with each projection of
/// attention, MLPs and experts (those of multi-token prediction, too) as F8_E4M3 and its
/// NAME_scale_inv in F32, a scale for 128 x 128 weights. Files have the names that they have in
/// `input`, other tensors stay as they are, config.json gets a quantization_config, and the other
/// files of the folder are copied.
///
/// One tensor at a time is in memory. Codes and scales come from compiled code (fp8.quantize).
/// `output` must not be there, and appears whole or not at all, also where a signal ends the
/// program. `progress`: bytes read so far, and in all. `cacheFolder` as in CompileOptions. Errors
/// name the file or tensor: "m: is FP8 already (quantization_config in config.json)".
Status quantizeCheckpoint(mlir::MLIRContext &context, const std::string &input,
                          const std::string &output, const std::string &cacheFolder,
                          const std::function<void(uint64_t done, uint64_t total)> &progress);

} // namespace hadal

#endif // HADAL_TOOLS_COMPILE_QUANTIZECHECKPOINT_H
