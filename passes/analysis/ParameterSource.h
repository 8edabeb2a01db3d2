//===- ParameterSource.h - what is made of a checkpoint's tensor alone ----===//
//
// Codes of weights that a checkpoint has in other types, and scales that are not f32, are the same
// in each run: the program @pack makes them once.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_ANALYSIS_PARAMETERSOURCE_H
#define HADAL_PASSES_ANALYSIS_PARAMETERSOURCE_H

#include "dialects/fp8/Fp8.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include <optional>

namespace hadal {

/// A parameter, or one that an element-wise op widens.
struct ParameterSource {
  mlir::ml_program::GlobalLoadConstOp load;
  mlir::linalg::GenericOp widening = {};
};

/// What `v` is, where it is one of the two.
std::optional<ParameterSource> parameterSource(mlir::Value v);

/// The op that makes codes, or their scales, of a parameter; null where `v` is something else.
fp8::QuantizeOp quantizerOfParameter(mlir::Value v);

/// The parameter that `v` is, or is made of by these; null where there is none.
mlir::ml_program::GlobalLoadConstOp parameterOf(mlir::Value v);

/// True if @pack computes `op`: fp8.quantize of a parameter, and a parameter that is widened to
/// scale weights.
bool isMadeByPack(mlir::Operation *op);

} // namespace hadal

#endif // HADAL_PASSES_ANALYSIS_PARAMETERSOURCE_H
