//===- FillConstants.cpp - constant tensors of one value become fills ----===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"

namespace hadal {
#define GEN_PASS_DEF_HADALFILLCONSTANTS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {
struct FillConstants : public hadal::impl::HadalFillConstantsBase<FillConstants> {
  void runOnOperation() override {
    getOperation().walk([](arith::ConstantOp constant) {
      auto tensor = dyn_cast<RankedTensorType>(constant.getType());
      auto values = dyn_cast<SplatElementsAttr>(constant.getValue());
      if (!tensor || !values)
        return;
      ImplicitLocOpBuilder b(constant.getLoc(), constant);
      Value one = arith::ConstantOp::create(b, cast<TypedAttr>(values.getSplatValue<Attribute>()));
      Value empty = tensor::EmptyOp::create(b, tensor.getShape(), tensor.getElementType());
      constant.replaceAllUsesWith(linalg::FillOp::create(b, one, empty).getResult(0));
      constant.erase();
    });
  }
};
} // namespace
