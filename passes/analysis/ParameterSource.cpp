//===- ParameterSource.cpp - what is made of a checkpoint's tensor alone --===//

#include "passes/analysis/ParameterSource.h"
#include "mlir/IR/Matchers.h"
#include "passes/analysis/GraphQueries.h"

using namespace mlir;
using namespace hadal;

std::optional<ParameterSource> hadal::parameterSource(Value v) {
  auto loadOf = [](Value v) { return v.getDefiningOp<ml_program::GlobalLoadConstOp>(); };
  if (auto load = v ? loadOf(v) : ml_program::GlobalLoadConstOp())
    return ParameterSource{load};
  auto generic = v ? v.getDefiningOp<linalg::GenericOp>() : linalg::GenericOp();
  if (!generic || generic.getNumDpsInputs() != 1 || generic.getNumResults() != 1 ||
      generic.getNumParallelLoops() != generic.getNumLoops() ||
      !llvm::all_of(generic.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); }))
    return std::nullopt;
  // Constants alone come from outside.
  bool isClosed = llvm::all_of(readsOf(generic, *generic->getBlock()), [&](Value read) {
    return llvm::is_contained(generic->getOperands(), read) || matchPattern(read, m_Constant());
  });
  auto load = isClosed ? loadOf(generic.getDpsInputs()[0]) : ml_program::GlobalLoadConstOp();
  return load ? std::optional(ParameterSource{load, generic}) : std::nullopt;
}

fp8::QuantizeOp hadal::quantizerOfParameter(Value v) {
  auto quantize = v ? v.getDefiningOp<fp8::QuantizeOp>() : fp8::QuantizeOp();
  bool isOfParameter = quantize && !quantize.getOffsets() &&
                       quantize.getX().getDefiningOp<ml_program::GlobalLoadConstOp>();
  return isOfParameter ? quantize : fp8::QuantizeOp();
}

ml_program::GlobalLoadConstOp hadal::parameterOf(Value v) {
  if (fp8::QuantizeOp quantize = quantizerOfParameter(v))
    v = quantize.getX();
  auto source = parameterSource(v);
  return source ? source->load : ml_program::GlobalLoadConstOp();
}

bool hadal::isMadeByPack(Operation *op) {
  if (isa<fp8::QuantizeOp>(op))
    return bool(quantizerOfParameter(op->getResult(0)));
  if (op->getNumResults() != 1)
    return false;
  auto source = parameterSource(op->getResult(0));
  return source && source->widening && !op->use_empty() &&
         llvm::all_of(op->getUsers(), [](Operation *user) {
           return isa<fp8::DequantizeOp, fp8::MatmulOp, fp8::GroupedMatmulOp>(user);
         });
}
