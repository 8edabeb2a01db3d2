//===- Tensors.td - tensor types that hadal's dialects share ----------------===//

#ifndef HADAL_DIALECTS_TENSORS_TD
#define HADAL_DIALECTS_TENSORS_TD

include "mlir/IR/OpBase.td"

/// A ranked tensor of one rank; the sizes are the verifier's business, which knows their names.
class TensorOfRank<int rank, list<Type> elements>
    : RankedTensorOf<elements, [HasAnyRankOfPred<[rank]>], "tensor of rank " # rank>;

/// f32 constants with a shape, printed so that they read back exactly.
def F32TableAttr : FloatElementsAttr<32>;

#endif // HADAL_DIALECTS_TENSORS_TD
