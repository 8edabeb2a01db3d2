//===- Fp8.td - blocks of E4M3 with f32 scales ------------------------------===//

#ifndef HADAL_DIALECTS_FP8_FP8_TD
#define HADAL_DIALECTS_FP8_FP8_TD

include "dialects/GraphOp.td"
include "dialects/Tensors.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Fp8Dialect : Dialect {
  let name = "fp8";
  let cppNamespace = "::hadal::fp8";
  let summary = "E4M3 tensors with one scale per block";
  let description = [{
    FP8 as DeepSeek-V3 trains and publishes it (arXiv:2412.19437, §3.3.2): E4M3 without infinities,
    largest value 448, and one f32 scale for each block of `block` = [bm, bk] elements (activations
    1 x 128, weights 128 x 128). Blocks start at row 0 and column 0 of each tensor; those at an edge
    may be short. A value is its E4M3 number times its block's scale.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

class Fp8_Op<string mnemonic, list<Trait> traits = []>
    : Op<Fp8Dialect, mnemonic, traits # [
          Pure, DeclareOpInterfaceMethods<GraphOpInterface>,
          DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let hasVerifier = 1;
}

class TensorOfRank2Or3<list<Type> elements>
    : RankedTensorOf<elements, [HasAnyRankOfPred<[2, 3]>], "tensor of rank 2 or 3">;

def QuantizeOp : Fp8_Op<"quantize"> {
  let summary = "to E4M3 with one scale per block";
  let description = [{
    `x` [M, K] f32. For each block: amax = the largest |x|, scale = amax / 448, and 1 where amax is
    0. Returns `q` [M, K]: x / scale (a division) rounded to the nearest E4M3, ties to even; `scale`
    [ceil(M/bm), ceil(K/bk)] f32.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2; OCP OFP8 1.0 (E4M3).

    (C1) `block` is two sizes >= 1.  (C2) `x` is [M, K], K static.  (C3) `q` is [M, K].
    (C4) `scale` is [ceil(M/bm), ceil(K/bk)].

    ```mlir
    %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
        : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$x, DenseI64ArrayAttr:$block);
  let results = (outs TensorOfRank<2, [F8E4M3FN]>:$q, TensorOfRank<2, [F32]>:$scale);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($q) `,` type($scale)";
}

def DequantizeOp : Fp8_Op<"dequantize"> {
  let summary = "from E4M3 with one scale per block";
  let description = [{
    `q` [M, K], `scale` [ceil(M/bm), ceil(K/bk)] f32; or [E, M, K] and [E, ceil(M/bm), ceil(K/bk)]
    for stacked experts. Returns `result`, of q's shape, f32: each element times its block's scale,
    one rounding.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2 (a checkpoint's `weight_scale_inv` is this
    multiplier).

    (C1) `block` is two sizes >= 1.  (C2) `scale` and `result` have q's rank.  (C3) `q` is [M, K] or
    [E, M, K], only M may be dynamic.  (C4) `scale` is [ceil(M/bm), ceil(K/bk)], E before it if q
    has it.  (C5) `result` has q's shape.

    ```mlir
    %w = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
        : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
    ```
  }];
  let arguments = (ins TensorOfRank2Or3<[F8E4M3FN]>:$q, TensorOfRank2Or3<[F32]>:$scale,
                       DenseI64ArrayAttr:$block);
  let results = (outs TensorOfRank2Or3<[F32]>:$result);
  let assemblyFormat = "$q `,` $scale attr-dict `:` type($q) `,` type($scale) `->` type($result)";
}

def MatmulOp : Fp8_Op<"matmul"> {
  let summary = "rows times E4M3 weights";
  let description = [{
    `x` [T, K] f32, `weights` [N, K] E4M3, `scale` [ceil(N/bn), ceil(K/bk)] f32, `block` = [bn, bk].
    Returns `result` [T, N] f32: x times the transpose of the dequantised weights. Sums within one
    block of K are one chain of fused multiply-adds in ascending K on the unscaled weights; a
    block's sum is then multiplied by its scale and added to the result, blocks ascending.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2 (sums promoted to f32 every 128 along K).

    (C1) `block` is two sizes >= 1.  (C2) `weights` is [N, K], static.  (C3) `scale` is [ceil(N/bn),
    ceil(K/bk)].
    (C4) `x` is [T, K].  (C5) `result` is [T, N].

    ```mlir
    %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
        : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$x, TensorOfRank<2, [F8E4M3FN]>:$weights,
                       TensorOfRank<2, [F32]>:$scale, DenseI64ArrayAttr:$block);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = [{
    $x `,` $weights `,` $scale attr-dict `:`
    type($x) `,` type($weights) `,` type($scale) `->` type($result)
  }];
}

def GroupedMatmulOp : Fp8_Op<"grouped_matmul"> {
  let summary = "each expert's rows times that expert's E4M3 weights";
  let description = [{
    `rows` [R, K] f32, `weights` [E, N, K] E4M3, `scale` [E, ceil(N/bn), ceil(K/bk)] f32, `block` =
    [bn, bk]; `offsets` [E+1] and `active` [E] i32 say which rows are whose: group e is rows
    offsets[e] .. offsets[e+1]-1, `active` lists the experts that have rows, ascending, and then -1.
    With `source` [R] i32 `rows` is [T, K] and row r on the left is rows[source[r]]. Returns
    `result` [R, N] f32: row r of group e times the transpose of the dequantised weights[e], summed
    as in `fp8.matmul`.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2; MegaBlocks, arXiv:2211.15841, §4.

    (C1) `block` is two sizes >= 1.  (C2) `weights` is [E, N, K], static.  (C3) `scale` is [E,
    ceil(N/bn), ceil(K/bk)].
    (C4) `offsets` is [G+1], G a multiple of E: group g uses weights[g % E].  (C5) `active` is [G].
    (C6) `source` is [R].
    (C7) `rows` is [R, K], or [T, K] with `source`.  (C8) `result` is [R, N].

    ```mlir
    %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active {block = array<i64: 128, 128>}
        : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>,
          tensor<4xi32> -> tensor<?x200xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<3, [F8E4M3FN]>:$weights,
                       TensorOfRank<3, [F32]>:$scale, TensorOfRank<1, [I32]>:$offsets,
                       TensorOfRank<1, [I32]>:$active, Optional<TensorOfRank<1, [I32]>>:$source,
                       DenseI64ArrayAttr:$block);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $weights `,` $scale `,` $offsets `,` $active
    (`source` `(` $source^ `:` type($source) `)`)? attr-dict `:`
    type($rows) `,` type($weights) `,` type($scale) `,` type($offsets) `,` type($active)
    `->` type($result)
  }];
}

#endif // HADAL_DIALECTS_FP8_FP8_TD
