//===- Mla.td - multi-head latent attention ---------------------------------===//

#ifndef HADAL_DIALECTS_MLA_MLA_TD
#define HADAL_DIALECTS_MLA_MLA_TD

include "dialects/GraphOp.td"
include "dialects/Tensors.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def MlaDialect : Dialect {
  let name = "mla";
  let cppNamespace = "::hadal::mla";
  let summary = "attention from a compressed latent";
  let description = [{
    Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, §2.1; DeepSeek-V3, arXiv:2412.19437,
    §2.1.1) on flattened tokens. Sizes: T tokens, B sequences, nh heads, dn and dr the parts of a
    query without and with rotary position, dv the value's size, rk the latent's, S slots of the
    cache, P pages of a sequence.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

/// `asked`: the methods of GraphOpInterface that the op answers itself.
class Mla_Op<string mnemonic, list<Trait> traits = [], list<string> asked = []>
    : Op<MlaDialect, mnemonic, traits # [
          Pure, DeclareOpInterfaceMethods<GraphOpInterface, asked>,
          DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let hasVerifier = 1;
}

def RotationOp : Mla_Op<"rotation", [], ["mayBeRecomputed"]> {
  let summary = "cosines and sines of rotary positions";
  let description = [{
    `positions` [T] i32: index of each token within its sequence. `frequencies` [H]: one angular
    frequency a pair, H = dr / 2, with any YaRN correction already in them. Returns `cos` and `sin`
    [T, H]: of f32(position) * frequency, the product rounded to f32, times `magnitude`.
    Source: RoFormer, arXiv:2104.09864, §3.2; YaRN, arXiv:2309.00071, §3.4 (magnitude).

    (C1) `frequencies` is [H], H static.
    (C2) `cos` is [T, H].  (C3) `sin` is [T, H].

    ```mlir
    %cos, %sin = mla.rotation %positions
        {frequencies = dense<[1.0, 0.1]> : tensor<2xf32>, magnitude = 1.0 : f32}
        : tensor<?xi32> -> tensor<?x2xf32>, tensor<?x2xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<1, [I32]>:$positions, F32TableAttr:$frequencies,
                       F32Attr:$magnitude);
  let results = (outs TensorOfRank<2, [F32]>:$cos, TensorOfRank<2, [F32]>:$sin);
  let assemblyFormat = "$positions attr-dict `:` type($positions) `->` type($cos) `,` type($sin)";
}

def RopeOp : Mla_Op<"rope", [AllTypesMatch<["x", "result"]>]> {
  let summary = "rotary position embedding";
  let description = [{
    `x` [T, h, dr]: the rotary part of h heads. `cos`, `sin` [T, dr/2] from `mla.rotation`. With
    `interleave` the pair j of a head is (a, b) = (x[2j], x[2j+1]), without it (x[j], x[dr/2 + j]).
    Returns a tensor like `x` that holds first all a' = a cos - b sin, then all b' = b cos + a sin.
    This order is a fixed permutation of queries and keys alike, which no score sees; the latent
    cache holds it. With `adjoint` it is the transposed linear map: `x` is in the rotated order (all
    a', then all b'), the result in the pairs' order, a = a' cos + b' sin, b = b' cos - a' sin.
    Source: RoFormer, arXiv:2104.09864, eq. 34.

    (C1) `x` is [T, h, dr], h and dr static.  (C2) dr is even.
    (C3) `cos` is [T, dr/2].  (C4) `sin` is [T, dr/2].

    ```mlir
    %r = mla.rope %x, %cos, %sin {interleave = true}
        : tensor<?x4x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x4x8xf32>
    %dx = mla.rope %g, %cos, %sin {adjoint, interleave = true}
        : tensor<?x4x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x4x8xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<3, [F32]>:$x, TensorOfRank<2, [F32]>:$cos,
                       TensorOfRank<2, [F32]>:$sin, BoolAttr:$interleave, UnitAttr:$adjoint);
  let results = (outs TensorOfRank<3, [F32]>:$result);
  let assemblyFormat = [{
    $x `,` $cos `,` $sin attr-dict `:` type($x) `,` type($cos) `,` type($sin) `->` type($result)
  }];
}

def AttentionOp : Mla_Op<"attention", [], ["flops"]> {
  let summary = "causal attention on expanded heads";
  let description = [{
    `q_nope` [T, nh, dn], `q_rope` [T, nh, dr], `k_nope` [T, nh, dn], `k_rope` [T, dr] (one rotary
    key for all heads), `v` [T, nh, dv]. `offsets` [B+1] i32, ascending from 0 to T: sequence b is
    rows offsets[b] .. offsets[b+1]-1. For row t and head h over the rows s <= t of the same
    sequence: score = (q_nope[t,h] . k_nope[s,h] + q_rope[t,h] . k_rope[s]) * scale, p =
    softmax(score). Returns `result` [T, nh, dv]: sum over s of p[s] * v[s,h]; and, where it is
    asked for, `lse` [T, nh]: the logarithm of the sum of exp(score), from which
    `mla.attention_grad` has every p again.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.1, eq. 1-11.

    (C1) `q_nope` is [T, nh, dn], nh and dn static.  (C2) `q_rope` is [T, nh, dr].  (C3) `k_nope` is
    [T, nh, dn].
    (C4) `k_rope` is [T, dr].  (C5) `v` is [T, nh, dv].  (C6) `offsets` is [B+1].  (C7) `result` is
    [T, nh, dv].
    (C8) `scale` is finite.  (C9) `lse` is [T, nh].

    ```mlir
    %o = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 0.25 : f32}
        : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>,
          tensor<?x4x10xf32>, tensor<?xi32>
        -> tensor<?x4x10xf32>
    %o, %lse = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 0.25 : f32}
        : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>,
          tensor<?x4x10xf32>, tensor<?xi32>
        -> tensor<?x4x10xf32>, tensor<?x4xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<3, [F32]>:$q_nope, TensorOfRank<3, [F32]>:$q_rope,
                       TensorOfRank<3, [F32]>:$k_nope, TensorOfRank<2, [F32]>:$k_rope,
                       TensorOfRank<3, [F32]>:$v, TensorOfRank<1, [I32]>:$offsets, F32Attr:$scale);
  let results = (outs TensorOfRank<3, [F32]>:$result, Optional<TensorOfRank<2, [F32]>>:$lse);
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$q_nope,
                                 "::mlir::Value":$q_rope, "::mlir::Value":$k_nope,
                                 "::mlir::Value":$k_rope, "::mlir::Value":$v,
                                 "::mlir::Value":$offsets, "::mlir::FloatAttr":$scale), [{
    build($_builder, $_state, result, /*lse=*/::mlir::Type(), q_nope, q_rope, k_nope, k_rope, v,
          offsets, scale);
  }]>];
  let assemblyFormat = [{
    $q_nope `,` $q_rope `,` $k_nope `,` $k_rope `,` $v `,` $offsets attr-dict `:`
    type($q_nope) `,` type($q_rope) `,` type($k_nope) `,` type($k_rope) `,` type($v) `,`
    type($offsets)
    `->` type($result) (`,` type($lse)^)?
  }];
}

def AttentionGradOp : Mla_Op<"attention_grad", [
    AllTypesMatch<["q_nope", "q_nope_grad"]>, AllTypesMatch<["q_rope", "q_rope_grad"]>,
    AllTypesMatch<["k_nope", "k_nope_grad"]>, AllTypesMatch<["v", "v_grad"]>], ["flops"]> {
  let summary = "adjoint of mla.attention";
  let description = [{
    Operands and `scale` as in `mla.attention`; `lse` [T, nh] its second result; `gradient` [T, nh,
    dv] the gradient of its first; `delta` [T, nh] the sum over d of result[t,h,d] *
    gradient[t,h,d]. With score and p = exp(score - lse) as there and ds = p * (gradient[t,h] .
    v[s,h] - delta[t,h]) * scale for s <= t: `q_nope_grad`[t,h] is the sum over s of ds *
    k_nope[s,h], `q_rope_grad`[t,h] of ds * k_rope[s]; over t `k_nope_grad`[s,h] is the sum of ds *
    q_nope[t,h], `k_rope_grad`[s,h] of ds * q_rope[t,h], `v_grad`[s,h] of p * gradient[t,h]. All
    sums ascend in s or t. `k_rope_grad` [T, nh, dr] is apart for each head: the shared
    key's gradient is the sum over heads.
    Source: FlashAttention-2, arXiv:2307.08691, §3.1.2 (backward pass), on the scores of
    DeepSeek-V3, §2.1.1.

    (C1) `q_nope` is [T, nh, dn], nh and dn static.  (C2) `q_rope` is [T, nh, dr].  (C3) `k_nope` is
    [T, nh, dn].
    (C4) `k_rope` is [T, dr].  (C5) `v` is [T, nh, dv].  (C6) `offsets` is [B+1].  (C7) `gradient`
    is [T, nh, dv].
    (C8) `scale` is finite.  (C9) `lse` is [T, nh].  (C10) `delta` is [T, nh].  (C11) `k_rope_grad`
    is [T, nh, dr].

    ```mlir
    %dqn, %dqr, %dkn, %dkr, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %g
        {scale = 0.25 : f32}
        : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>,
          tensor<?x4x10xf32>, tensor<?xi32>,
          tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
        -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>,
           tensor<?x4x10xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<3, [F32]>:$q_nope, TensorOfRank<3, [F32]>:$q_rope,
                       TensorOfRank<3, [F32]>:$k_nope, TensorOfRank<2, [F32]>:$k_rope,
                       TensorOfRank<3, [F32]>:$v, TensorOfRank<1, [I32]>:$offsets,
                       TensorOfRank<2, [F32]>:$lse, TensorOfRank<2, [F32]>:$delta,
                       TensorOfRank<3, [F32]>:$gradient, F32Attr:$scale);
  let results = (outs TensorOfRank<3, [F32]>:$q_nope_grad, TensorOfRank<3, [F32]>:$q_rope_grad,
                      TensorOfRank<3, [F32]>:$k_nope_grad, TensorOfRank<3, [F32]>:$k_rope_grad,
                      TensorOfRank<3, [F32]>:$v_grad);
  let assemblyFormat = [{
    $q_nope `,` $q_rope `,` $k_nope `,` $k_rope `,` $v `,` $offsets `,` $lse `,` $delta `,`
    $gradient attr-dict `:`
    type($q_nope) `,` type($q_rope) `,` type($k_nope) `,` type($k_rope) `,` type($v) `,`
    type($offsets) `,` type($lse) `,` type($delta) `,` type($gradient)
    `->` type($q_nope_grad) `,` type($q_rope_grad) `,` type($k_nope_grad) `,` type($k_rope_grad) `,`
    type($v_grad)
  }];
}

def CacheAppendOp : Mla_Op<"cache_append", [
    AllTypesMatch<["cache", "result"]>,
    DeclareOpInterfaceMethods<DestinationStyleOpInterface, ["getDpsInitsMutable"]>]> {
  let summary = "write tokens into the latent cache";
  let description = [{
    `ckv` [T, rk]: normalised latents. `k_rope` [T, dr]: rotated shared keys. `slots` [T] i32: a
    cache row for each token, all different, 0 <= slot < S (the driver's promise: kernels do not
    check data). `cache` [S, rk + dr]. Returns `cache` with row slots[t] holding ckv[t] and then
    k_rope[t]; all other rows as they were. Destination style: a cache without further uses is
    written in place.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.1 (only the latent and the shared key are cached).

    (C1) `ckv` is [T, rk], rk static.  (C2) `k_rope` is [T, dr], dr static.  (C3) `slots` is [T].
    (C4) `cache` is [S, rk + dr].

    ```mlir
    %new = mla.cache_append %ckv, %k_rope, %slots, %cache
        : tensor<?x24xf32>, tensor<?x8xf32>, tensor<?xi32>, tensor<?x32xf32> -> tensor<?x32xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$ckv, TensorOfRank<2, [F32]>:$k_rope,
                       TensorOfRank<1, [I32]>:$slots, TensorOfRank<2, [F32]>:$cache);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = [{
    $ckv `,` $k_rope `,` $slots `,` $cache attr-dict `:`
    type($ckv) `,` type($k_rope) `,` type($slots) `,` type($cache) `->` type($result)
  }];
}

def AppendCodesOp : Mla_Op<"append_codes", [
    AllTypesMatch<["codes", "result"]>,
    DeclareOpInterfaceMethods<DestinationStyleOpInterface, ["getDpsInitsMutable"]>]> {
  let summary = "write tokens' codes into the latent cache";
  let description = [{
    `q` [T, rk]: latents in codes. `slots` as in `mla.cache_append`, `codes` [S, rk]. Returns
    `codes` with row slots[t] holding q[t]; all other rows as they were. Their scales and the
    rotated shared keys go into a cache of numbers: `mla.cache_append` of scales [T, ceil(rk/tile)]
    instead of latents. Destination style: codes without further uses are written in place.
    Source: ours (the latent in E4M3 in tiles of 1 x 128, the key as it is).

    (C1) `q` is [T, rk], rk static.  (C2) `slots` is [T].  (C3) `codes` is [S, rk].

    ```mlir
    %new = mla.append_codes %q, %slots, %codes
        : tensor<?x24xf8E4M3FN>, tensor<?xi32>, tensor<?x24xf8E4M3FN> -> tensor<?x24xf8E4M3FN>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F8E4M3FN]>:$q, TensorOfRank<1, [I32]>:$slots,
                       TensorOfRank<2, [F8E4M3FN]>:$codes);
  let results = (outs TensorOfRank<2, [F8E4M3FN]>:$result);
  let assemblyFormat = [{
    $q `,` $slots `,` $codes attr-dict `:`
    type($q) `,` type($slots) `,` type($codes) `->` type($result)
  }];
}

def LatentAttentionOp : Mla_Op<"latent_attention", [AttrSizedOperandSegments], ["flops"]> {
  let summary = "attention of new tokens over the latent cache";
  let description = [{
    `q_latent` [R, nh, rk]: queries of R new tokens absorbed into the latent, W_k,h^T q_nope.
    `q_rope` [R, nh, dr]. `cache` [S, rk + dr]. `page_table` [B, P] i32: page p of sequence b holds
    positions p * page_tokens and on; unused entries are 0. `positions` [R] i32: index of each new
    token, whose own row the cache already holds. `offsets` [B+1] i32, ascending from 0 to R: rows
    offsets[b] .. offsets[b+1]-1 are of sequence b, as when drafts are verified; without it each
    sequence has one row, R = B. For row r of sequence b and head h over q = 0 .. positions[r], with
    row = page_table[b, q / page_tokens] * page_tokens + q mod page_tokens, [c ; k] = cache[row]:
    score = (q_latent[r,h] . c + q_rope[r,h] . k) * scale, p = softmax(score). Returns `result`
    [R, nh, rk]: sum over q of p[q] * c. The value's projection W_v,h follows as a matmul. A row's
    bits do not depend on the other rows. With `codes` [S, rk] E4M3 the cache is [S, ceil(rk/tile) +
    dr], a row being [s ; k], and c is codes[row] times its tile's scale of s (one rounding).
    Source: DeepSeek-V2, arXiv:2405.04434, §2.1.2 (absorbed projections); DeepSeek-V3, §2.1.1.

    (C1) `q_latent` is [R, nh, rk], nh and rk static.  (C2) `q_rope` is [R, nh, dr].  (C3) `cache`
    is [S, rk + dr].
    (C4) `page_table` is [B, P].  (C5) `positions` is [R].  (C6) `result` is [R, nh, rk].
    (C7) `scale` is finite.  (C8) `page_tokens` >= 1.  (C9) S is a multiple of `page_tokens`.
    (C10) `offsets` is [B+1].  (C11) `tile` is there if `codes` is, and at least 1.
    (C12) `codes` is [S, rk], and `cache` is [S, ceil(rk/tile) + dr] then.

    ```mlir
    %o = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
        {scale = 0.25 : f32, page_tokens = 64 : i64}
        : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>,
          tensor<?xi32> -> tensor<?x4x24xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<3, [F32]>:$q_latent, TensorOfRank<3, [F32]>:$q_rope,
                       TensorOfRank<2, [F32]>:$cache, TensorOfRank<2, [I32]>:$page_table,
                       TensorOfRank<1, [I32]>:$positions,
                       Optional<TensorOfRank<1, [I32]>>:$offsets,
                       Optional<TensorOfRank<2, [F8E4M3FN]>>:$codes, F32Attr:$scale,
                       I64Attr:$page_tokens, OptionalAttr<I64Attr>:$tile);
  let results = (outs TensorOfRank<3, [F32]>:$result);
  let assemblyFormat = [{
    $q_latent `,` $q_rope `,` $cache `,` $page_table `,` $positions
    (`offsets` `(` $offsets^ `:` type($offsets) `)`)?
    (`codes` `(` $codes^ `:` type($codes) `)`)? attr-dict `:`
    type($q_latent) `,` type($q_rope) `,` type($cache) `,` type($page_table) `,` type($positions)
    `->` type($result)
  }];
}

#endif // HADAL_DIALECTS_MLA_MLA_TD
