//===- Fp8.td - 8-bit floats with one f32 scale per tile --------------------===//

#ifndef HADAL_DIALECTS_FP8_FP8_TD
#define HADAL_DIALECTS_FP8_FP8_TD

include "dialects/GraphOp.td"
include "dialects/Tensors.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Fp8Dialect : Dialect {
  let name = "fp8";
  let cppNamespace = "::hadal::fp8";
  let summary = "8-bit floats with one f32 scale per tile";
  let description = [{
    FP8 as DeepSeek-V3 trains and publishes it (arXiv:2412.19437, §3.3): codes of few bits and one
    f32 scale for each tile of `block` = [bm, bk] elements (activations 1 x 128, weights 128 x 128,
    128 x 1 where rows are summed over). A value is its code's number times its tile's scale.

    Tiles start at row 0 and column 0 of each matrix; those at an edge may be short. A size of 0
    means the whole dimension. With `offsets` [G+1] i32 the rows are those of G groups, group g
    being rows offsets[g] .. offsets[g+1]-1, and tiles begin anew with each group, so that none has
    rows of two: tile t of group g has row floor(offsets[g] / bm) + g + t of the scales, or row g
    where bm = 0. There are S = floor(M/bm) + G rows of scales (G where bm = 0); nothing reads those
    that no tile has. Without offsets S = ceil(M/bm), and 1 where bm = 0.

    Formats: E4M3 (largest value 448, no infinity), E5M2 (57344), and E5M6 (65024), the upper 12
    bits of an f16, for what is kept from the forward to the backward pass (§3.3.3). A row of K
    E5M6 codes is ceil(3K/2) bytes: the upper 8 bits of each code, then the lower 4, two codes to a
    byte, the even one's in the lower half.

    An attribute without a dialect's prefix that an op does not know is an error.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

/// `asked`: the methods of GraphOpInterface that the op answers itself.
class Fp8_Op<string mnemonic, list<Trait> traits = [], list<string> asked = []>
    : Op<Fp8Dialect, mnemonic, traits # [
          Pure, DeclareOpInterfaceMethods<GraphOpInterface, asked>,
          DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let hasVerifier = 1;
}

class TensorOfRank2Or3<list<Type> elements>
    : RankedTensorOf<elements, [HasAnyRankOfPred<[2, 3]>], "tensor of rank 2 or 3">;

def QuantizeOp : Fp8_Op<"quantize"> {
  let summary = "to codes with one scale per tile";
  let description = [{
    `x` [M, K] f32, bf16 or f16, or [E, M, K], a matrix by itself each. For each tile: amax = the
    largest |x|, scale = amax / the format's largest value (one f32 division), not below 2^-126, and
    1 where amax is 0; with `pow2` the next power of two that is not below that. Returns the codes
    `q` [M, K] of x / scale (a division), rounded to nearest, ties to even, subnormals included; a
    sign of zero stays. `scale` [S, ceil(K/bk)] f32, S as the dialect says; rows of it that no tile
    has are 1. `format` is "e4m3" (where there is none), "e5m2" or "e5m6".

    Overflow shows. A tile with a NaN has the scale NaN (bits 0x7fc00000) and NaN codes; one with an
    infinity, and no NaN, has an infinite scale, NaN codes where x is infinite, and zeros elsewhere,
    whose values, 0 * infinity, are NaN. A NaN code has the sign of its x.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2 (tiles), §3.3.3 (E5M6, powers of two); OCP OFP8
    1.0 (E4M3, E5M2). The least scale and overflow are ours.

    (C1) `block` is two sizes >= 0.  (C2) `format` is one of the three.  (C3) `x` is [M, K] or [E,
    M, K], only M may be dynamic.  (C4) `q` and `scale` have x's rank.  (C5) `offsets` is [G+1]; x
    is of rank 2 and bm is not 1.
    (C6) `q` has x's shape and the format's elements; for E5M6 i8, ceil(3K/2) for K, bk being even
    or 1.
    (C7) `scale` is [S, ceil(K/bk)], E before it if x has it.

    ```mlir
    %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
        : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
    %q, %scale = fp8.quantize %x offsets(%o : tensor<9xi32>) {block = array<i64: 128, 1>, pow2}
        : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
    %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>, format = "e5m6", pow2}
        : tensor<?x300xf32> -> tensor<?x450xi8>, tensor<?x3xf32>
    ```
  }];
  let arguments = (ins TensorOfRank2Or3<[F32, BF16, F16]>:$x,
                       Optional<TensorOfRank<1, [I32]>>:$offsets, DenseI64ArrayAttr:$block,
                       UnitAttr:$pow2, OptionalAttr<StrAttr>:$format);
  let results = (outs TensorOfRank2Or3<[F8E4M3FN, F8E5M2, I8]>:$q, TensorOfRank2Or3<[F32]>:$scale);
  // The types of the results follow from the rest.
  let builders = [OpBuilder<(ins "::mlir::Value":$x, "::llvm::ArrayRef<int64_t>":$block,
                                 CArg<"::mlir::Value", "{}">:$offsets, CArg<"bool", "false">:$pow2,
                                 CArg<"Format", "Format::E4M3">:$format)>];
  let assemblyFormat = [{
    $x (`offsets` `(` $offsets^ `:` type($offsets) `)`)? attr-dict `:`
    type($x) `->` type($q) `,` type($scale)
  }];
  let extraClassDeclaration = [{
    Format codeFormat() { return formatOf(getFormat()); }
  }];
}

def DequantizeOp : Fp8_Op<"dequantize"> {
  let summary = "from codes with one scale per tile";
  let description = [{
    `q`, `scale`, `offsets` and the attributes as those of `fp8.quantize`. Returns `result` [M, K]
    or [E, M, K] f32: each code's number times its tile's scale, one rounding (none where the scale
    is a power of two). `pow2` says that, and changes nothing.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2 (a checkpoint's `weight_scale_inv` is this
    multiplier).

    (C1) `block` is two sizes >= 0.  (C2) `format` is one of the three.  (C3) `q`, `scale` and
    `result` have one rank.  (C4) `result` is [M, K] or [E, M, K], only M may be dynamic.
    (C5) `offsets` is [G+1]; q is of rank 2 and bm is not 1.  (C6) `q` has result's shape and the
    format's elements; for E5M6 i8, ceil(3K/2) for K, bk being even or 1.
    (C7) `scale` is [S, ceil(K/bk)], E before it if q has it.

    ```mlir
    %w = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
        : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
    ```
  }];
  let arguments = (ins TensorOfRank2Or3<[F8E4M3FN, F8E5M2, I8]>:$q, TensorOfRank2Or3<[F32]>:$scale,
                       Optional<TensorOfRank<1, [I32]>>:$offsets, DenseI64ArrayAttr:$block,
                       UnitAttr:$pow2, OptionalAttr<StrAttr>:$format);
  let results = (outs TensorOfRank2Or3<[F32]>:$result);
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$q, "::mlir::Value":$scale,
                                 "::llvm::ArrayRef<int64_t>":$block), [{
    build($_builder, $_state, result, q, scale, ::mlir::Value(), block, /*pow2=*/false, {});
  }]>];
  let assemblyFormat = [{
    $q `,` $scale (`offsets` `(` $offsets^ `:` type($offsets) `)`)? attr-dict `:`
    type($q) `,` type($scale) `->` type($result)
  }];
  let extraClassDeclaration = [{
    Format codeFormat() { return formatOf(getFormat()); }
    /// Whether it widens E4M3 in blocks of a fixed size, as weights are stored.
    bool isOfBlocks() {
      return codeFormat() == Format::E4M3 && !getOffsets() && getBlock()[0] && getBlock()[1];
    }
  }];
}

def MatmulOp : Fp8_Op<"matmul"> {
  let summary = "rows times weights in codes";
  let description = [{
    `weights` [N, K] codes, `scale` [ceil(N/bn), ceil(K/bk)] f32, `block` = [bn, bk]. `x` [T, K].
    Returns `result` [T, N] f32: x times the transpose of the dequantised weights.

    Without `x_scale` x is f32 and the weights are E4M3. Sums within one block of K are one chain of
    fused multiply-adds in ascending K on the unscaled weights; a block's sum is then multiplied by
    its scale and added to the result, blocks ascending.

    With `x_scale` [T, ceil(K/bk)] x is codes in tiles of 1 x bk. Of each tile of K: part = a chain
    of f32 fused multiply-adds on the codes' numbers, k ascending, from zero; sum =
    fma(part, f32(x's scale * the weights' scale), sum), tiles ascending, from zero. With
    `transpose` N is summed over instead: x is [T, N] in tiles of 1 x bn with `x_scale` [T,
    ceil(N/bn)], and `result` is [T, K]; blocks must not be square.
    `interval` is how many k a part has, where that is less than a tile; each is promoted with its
    tile's scales. `interval` = 0: no promotion; both operands have one scale per row of theirs
    (block [bn, 0], with transpose [0, bk]), and the result is the chain over all * (x's scale *
    the weights' scale).
    `accumulate` = "hopper": a part is what a Hopper tensor core is reported to form. In steps of 32
    the products and the accumulator are aligned to the largest exponent and cut toward zero to 13
    fraction bits, added exactly, and cut toward zero to 13 bits after the leading one.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2 (sums promoted to f32 every 128 along K);
    arXiv:2505.09343, §3.1.1, and arXiv:2411.10958, §3.4 (the tensor core's accumulator).

    (C1) `block` is two sizes >= 0, >= 1 without `x_scale`.  (C2) `weights` is [N, K], static.
    (C3) `scale` is [ceil(N/bn), ceil(K/bk)].
    (C4) `x` is codes with `x_scale`; without it x is f32 and `weights` is E4M3.
    (C5) `transpose`, `accumulate` and `interval` want `x_scale`.  (C6) `accumulate` is "hopper".
    (C7) `interval` is 0, 32, 64 or 128; it divides the tile of what is summed over, and 0 wants a
    tile of 0.
    (C8) `x` is [T, K]; N for K with `transpose`.  (C9) `x_scale` is [T, ceil(K/bk)]; [T,
    ceil(N/bn)] with `transpose`.  (C10) `result` is [T, N]; K for N with `transpose`.

    ```mlir
    %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
        : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
    %y = fp8.matmul %q, %w, %scale x_scale(%qs : tensor<?x3xf32>) {block = array<i64: 128, 128>}
        : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32, F8E4M3FN, F8E5M2]>:$x,
                       TensorOfRank<2, [F8E4M3FN, F8E5M2]>:$weights, TensorOfRank<2, [F32]>:$scale,
                       Optional<TensorOfRank<2, [F32]>>:$x_scale, DenseI64ArrayAttr:$block,
                       UnitAttr:$transpose, OptionalAttr<StrAttr>:$accumulate,
                       OptionalAttr<I64Attr>:$interval);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$x,
                                 "::mlir::Value":$weights, "::mlir::Value":$scale,
                                 "::llvm::ArrayRef<int64_t>":$block), [{
    build($_builder, $_state, result, x, weights, scale, ::mlir::Value(), block,
          /*transpose=*/false, {}, {});
  }]>];
  let assemblyFormat = [{
    $x `,` $weights `,` $scale (`x_scale` `(` $x_scale^ `:` type($x_scale) `)`)? attr-dict `:`
    type($x) `,` type($weights) `,` type($scale) `->` type($result)
  }];
}

def GroupedMatmulOp : Fp8_Op<"grouped_matmul", [AttrSizedOperandSegments]> {
  let summary = "each expert's rows times that expert's weights in codes";
  let description = [{
    `weights` [E, N, K] codes, `scale` [E, ceil(N/bn), ceil(K/bk)] f32, `block` = [bn, bk];
    `offsets` [G+1] and `active` [G] i32 say which rows are whose: group g is rows offsets[g] ..
    offsets[g+1]-1 and uses weights[g % E]; `active` lists the groups that have rows, ascending, and
    then -1. `rows` [R, K]; with `source` [R] i32 `rows` is [T, K] and row r on the left is
    rows[source[r]]. Returns `result` [R, N] f32: row r of group g times the transpose of the
    dequantised weights[g % E], summed as in `fp8.matmul`, whose attributes and `x_scale` this has:
    a scale per tile of `rows`, so that row r has those of row source[r], too.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2; MegaBlocks, arXiv:2211.15841, §4.

    (C1) .. (C7) as those of `fp8.matmul`, `weights` being [E, N, K] and `scale` [E, ceil(N/bn),
    ceil(K/bk)].
    (C8) `offsets` is [G+1], G a multiple of E.  (C9) `active` is [G].  (C10) `source` is [R].
    (C11) `rows` is [R, K], or [T, K] with `source`; N for K with `transpose`.  (C12) `result` is
    [R, N]; K for N with `transpose`.
    (C13) `x_scale` is [R, ceil(K/bk)], or [T, ceil(K/bk)] with `source`; ceil(N/bn) with
    `transpose`.

    ```mlir
    %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active {block = array<i64: 128, 128>}
        : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>,
          tensor<4xi32> -> tensor<?x200xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32, F8E4M3FN, F8E5M2]>:$rows,
                       TensorOfRank<3, [F8E4M3FN, F8E5M2]>:$weights, TensorOfRank<3, [F32]>:$scale,
                       TensorOfRank<1, [I32]>:$offsets, TensorOfRank<1, [I32]>:$active,
                       Optional<TensorOfRank<1, [I32]>>:$source,
                       Optional<TensorOfRank<2, [F32]>>:$x_scale, DenseI64ArrayAttr:$block,
                       UnitAttr:$transpose, OptionalAttr<StrAttr>:$accumulate,
                       OptionalAttr<I64Attr>:$interval);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$rows,
                                 "::mlir::Value":$weights, "::mlir::Value":$scale,
                                 "::mlir::Value":$offsets, "::mlir::Value":$active,
                                 "::mlir::Value":$source, "::llvm::ArrayRef<int64_t>":$block), [{
    build($_builder, $_state, result, rows, weights, scale, offsets, active, source,
          ::mlir::Value(), block, /*transpose=*/false, {}, {});
  }]>];
  let assemblyFormat = [{
    $rows `,` $weights `,` $scale `,` $offsets `,` $active
    (`source` `(` $source^ `:` type($source) `)`)?
    (`x_scale` `(` $x_scale^ `:` type($x_scale) `)`)? attr-dict `:`
    type($rows) `,` type($weights) `,` type($scale) `,` type($offsets) `,` type($active)
    `->` type($result)
  }];
}

def WeightGradOp : Fp8_Op<"weight_grad", [
    AttrSizedOperandSegments, AllTypesMatch<["init", "result"]>,
    DeclareOpInterfaceMethods<DestinationStyleOpInterface, ["getDpsInitsMutable"]>], ["flops"]> {
  let summary = "adjoint of a product with respect to its weights, of codes";
  let description = [{
    `gradient` [T, N] codes, that of the product, `gradient_scale` [S, N]; `x` [T, K] codes, the
    product's rows, `x_scale` [S, K]; both in tiles of `block` = [bt, 1] as `fp8.quantize` makes
    them, with the same `offsets`. Returns `result`, `init` [N, K] plus the sum over the tiles of
    rows, ascending: part[n,k] = a chain of f32 fused multiply-adds of gradient[t,n] * x[t,k] on the
    codes' numbers, t ascending, from zero; sum = fma(part, f32(gradient's scale * x's scale), sum).
    The sum starts from `init`, so that the micro-batches of a step are one chain. With `offsets`
    [G+1] and `active` [G] (the groups that have rows, ascending, and then -1) `init` is [E, N, K]:
    group g adds to matrix g % E, groups ascending; matrices without rows keep `init`.
    `accumulate` and `interval` as in `fp8.matmul`, rows being what is summed over: `interval` = 0
    wants a block of [0, 1], one scale for each column of a group, and promotes at a group's end.
    Destination style: an `init` without further uses is written in place.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2 and figure 7.

    (C1) `block` is a size >= 0 and 1.  (C2) `init` is [N, K], with `offsets` [E, N, K]; static.
    (C3) `offsets` is [G+1], G a multiple of E, bt is not 1.  (C4) `active` is [G], and there if
    `offsets` is.  (C5) `gradient` is [T, N].  (C6) `x` is [T, K].
    (C7) `gradient_scale` is [S, N], S as the dialect says.  (C8) `x_scale` is [S, K].
    (C9) `accumulate` is "hopper".  (C10) `interval` is 0, 32, 64 or 128; it divides bt, and 0 wants
    bt to be 0.

    ```mlir
    %dw = fp8.weight_grad %dy, %dys, %x, %xs, %zero {block = array<i64: 128, 1>}
        : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
          tensor<24x64xf32> -> tensor<24x64xf32>
    %dw = fp8.weight_grad %dy, %dys, %x, %xs, %sum
        offsets(%offsets : tensor<17xi32>) active(%active : tensor<16xi32>)
        {block = array<i64: 128, 1>}
        : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
          tensor<16x24x64xf32> -> tensor<16x24x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F8E4M3FN, F8E5M2]>:$gradient,
                       TensorOfRank<2, [F32]>:$gradient_scale,
                       TensorOfRank<2, [F8E4M3FN, F8E5M2]>:$x, TensorOfRank<2, [F32]>:$x_scale,
                       TensorOfRank2Or3<[F32]>:$init, Optional<TensorOfRank<1, [I32]>>:$offsets,
                       Optional<TensorOfRank<1, [I32]>>:$active, DenseI64ArrayAttr:$block,
                       OptionalAttr<StrAttr>:$accumulate, OptionalAttr<I64Attr>:$interval);
  let results = (outs TensorOfRank2Or3<[F32]>:$result);
  let assemblyFormat = [{
    $gradient `,` $gradient_scale `,` $x `,` $x_scale `,` $init
    (`offsets` `(` $offsets^ `:` type($offsets) `)` `active` `(` $active `:` type($active) `)`)?
    attr-dict `:` type($gradient) `,` type($gradient_scale) `,` type($x) `,` type($x_scale) `,`
    type($init) `->` type($result)
  }];
}

#endif // HADAL_DIALECTS_FP8_FP8_TD
