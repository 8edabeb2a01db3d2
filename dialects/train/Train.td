//===- Train.td - what a step of training computes of all gradients ---------===//

#ifndef HADAL_DIALECTS_TRAIN_TRAIN_TD
#define HADAL_DIALECTS_TRAIN_TRAIN_TD

include "dialects/Tensors.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def TrainDialect : Dialect {
  let name = "train";
  let cppNamespace = "::hadal::train";
  let summary = "norms of gradients, with one order of sums";
  let description = [{
    The norm that gradients are clipped by is a sum over all parameters, wherever they lie. Its
    order is fixed by cutting it: blocks of a tensor, blocks to a tensor, tensors to the norm. So
    its bits depend neither on tasks nor on which rank holds which tensor. Sizes: T tensors of one
    shape, N elements of each as they lie in memory, padding included, which is zero; B =
    ceil(N / `block`).
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

class Train_Op<string mnemonic, list<Trait> traits = []>
    : Op<TrainDialect, mnemonic, traits # [
          Pure, DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface,
                                          ["reifyResultShapes"]>]> {
  let hasVerifier = 1;
}

def SquareSumsOp : Train_Op<"square_sums"> {
  let summary = "sums of squares of each tensor's blocks";
  let description = [{
    `x` [T, N] f32. Returns `sums` [T, B] f32: the sum of squares of elements b * block .. min((b +
    1) * block, N) - 1. Blocks begin anew in each tensor, so that an owner of some tensors has whole
    blocks. The order within a block is the target's: it depends on the element's place in the block
    and on the block's length alone.

    (C1) `block` >= 1.  (C2) `x` is [T, N].  (C3) `sums` is [T, B].

    ```mlir
    %sums = train.square_sums %x {block = 4096 : i64} : tensor<?x?xf32> -> tensor<?x?xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$x, I64Attr:$block);
  let results = (outs TensorOfRank<2, [F32]>:$sums);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($sums)";
}

def SumRowsOp : Train_Op<"sum_rows"> {
  let summary = "a row's sum in f64";
  let description = [{
    `x` [T, B] f32. Returns `sums` [T] f64: each row's sum in f64, elements ascending, from 0 on.

    (C1) `x` is [T, B].  (C2) `sums` is [T].

    ```mlir
    %sums = train.sum_rows %blocks : tensor<?x?xf32> -> tensor<?xf64>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$x);
  let results = (outs TensorOfRank<1, [F64]>:$sums);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($sums)";
}

def NormOp : Train_Op<"norm"> {
  let summary = "the norm of tensors from their sums of squares";
  let description = [{
    `sums` [T] f64. Returns `norm` [1] f32: the square root of their sum, both in f64, elements
    ascending, from 0 on; one rounding to f32.
    Source: Pascanu et al., arXiv:1211.5063, section 3.2 (gradients are clipped by it).

    (C1) `sums` is [T].  (C2) `norm` is [1].

    ```mlir
    %norm = train.norm %sums : tensor<?xf64> -> tensor<1xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<1, [F64]>:$sums);
  let results = (outs TensorOfRank<1, [F32]>:$norm);
  let assemblyFormat = "$sums attr-dict `:` type($sums) `->` type($norm)";
}

#endif // HADAL_DIALECTS_TRAIN_TRAIN_TD
