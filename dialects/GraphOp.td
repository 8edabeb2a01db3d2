//===- GraphOp.td - what passes ask of an op of the model -------------------===//

#ifndef HADAL_DIALECTS_GRAPHOP_TD
#define HADAL_DIALECTS_GRAPHOP_TD

include "mlir/IR/OpBase.td"

def GraphOpInterface : OpInterface<"GraphOpInterface"> {
  let description = [{
    What passes want to know of an op of the model's dialects beside its shapes
    (ReifyRankedShapedTypeOpInterface), its destination (DestinationStyleOpInterface) and its
    effects. A new op answers here, and no pass has to learn its name.
  }];
  let cppNamespace = "::hadal";
  let methods = [
    InterfaceMethod<[{
        Multiplications and additions, as a function of the sizes; null where there are none worth
        counting, or where the op is a product that passes/analysis/Products.h reads.
      }],
      "::mlir::AffineExpr", "flops", (ins "const ::hadal::WorkSizes &":$sizes), "", "return {};">,
    InterfaceMethod<[{
        Whether the op may be computed again instead of keeping its results. What chooses is asked
        once: what is computed again must be what was computed.
      }],
      "bool", "mayBeRecomputed", (ins), "", "return true;">,
    InterfaceMethod<[{
        The register of the program that holds an index result; null for others.
      }],
      "::mlir::StringAttr", "registerOf", (ins "unsigned":$result), "", "return {};">
  ];
}

#endif // HADAL_DIALECTS_GRAPHOP_TD
