//===- Moe.td - mixture of experts ------------------------------------------===//

#ifndef HADAL_DIALECTS_MOE_MOE_TD
#define HADAL_DIALECTS_MOE_MOE_TD

include "dialects/Tensors.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def MoeDialect : Dialect {
  let name = "moe";
  let cppNamespace = "::hadal::moe";
  let summary = "choosing experts, rows to experts and back";
  let description = [{
    DeepSeekMoE with auxiliary-loss-free balancing (DeepSeek-V3, arXiv:2412.19437, §2.1.2). Sizes: T tokens, E experts, K choices
    of a token, R = T * K rows after dispatch (ordered by expert, then by token), H hidden, N and K of a matmul as usual.
    Expert ids and rows are data: a kernel does not check them, whoever feeds them from outside does.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

class Moe_Op<string mnemonic, list<Trait> traits = []>
    : Op<MoeDialect, mnemonic, traits # [Pure, DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface,
                                                                        ["reifyResultShapes"]>]> {
  let hasVerifier = 1;
}

def RouteOp : Moe_Op<"route"> {
  let summary = "choose top_k experts a token within the best groups";
  let description = [{
    `logits` [T, E]: s = sigmoid(logits) are the affinities. `bias` [E] moves the choice, never the weight: b = s + bias.
    A group is E / groups consecutive experts; its score is the sum of its two largest b. The `group_limit` best groups stay
    in play (with group_limit == groups that is all of them, and no score is needed), and of their experts the `top_k` with the
    largest b are chosen. Ties in either choice take the lower id. With `forced` [T, K] the choice is given instead.
    The weight of a choice is its s; with `normalize` divided by (the row's sum of chosen s + 1e-20); then times `scale`.
    Returns `weights` [T, K] and `experts` [T, K] i32, a row's ids ascending, or as `forced` gives them.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.2, eq. 12-16 and "node-limited routing".

    (C1) `logits` is [T, E], E static.  (C2) `bias` is [E].  (C3) `top_k` >= 1.  (C4) `weights` is [T, K], K = `top_k`.
    (C5) `experts` is [T, K].  (C6) `forced` is [T, K].  (C7) `groups` >= 1.  (C8) E is a multiple of `groups`.
    (C9) 1 <= `group_limit` <= `groups`.  (C10) `top_k` <= `group_limit` * E / `groups`.
    (C11) E / `groups` >= 2 where `group_limit` < `groups`: a group's score takes two experts.
    (C12) `scale` is finite.

    ```mlir
    %w, %e = moe.route %logits, %bias {groups = 4 : i64, group_limit = 2 : i64, top_k = 4 : i64, normalize = true, scale = 2.5 : f32}
        : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
    %w, %e = moe.route %logits, %bias forced(%given : tensor<?x4xi32>) {...}
        : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, TensorOfRank<1, [F32]>:$bias,
                       Optional<TensorOfRank<2, [I32]>>:$forced,
                       I64Attr:$groups, I64Attr:$group_limit, I64Attr:$top_k, BoolAttr:$normalize, F32Attr:$scale);
  let results = (outs TensorOfRank<2, [F32]>:$weights, TensorOfRank<2, [I32]>:$experts);
  let assemblyFormat = [{
    $logits `,` $bias (`forced` `(` $forced^ `:` type($forced) `)`)? attr-dict `:`
    type($logits) `,` type($bias) `->` type($weights) `,` type($experts)
  }];
}

def PlanOp : Moe_Op<"plan"> {
  let summary = "sort choices by expert";
  let description = [{
    `experts` [T, K] i32. The R = T * K choices (t, k) are ordered by expert, then t, then k; a choice's place is its row.
    Returns `source` [R] i32, the token of each row; `position` [T, K] i32, the row of each choice; `offsets` [E+1] i32, group e
    being rows offsets[e] .. offsets[e+1]-1; `active` [E] i32, the experts that have rows, ascending, and then -1.
    E = `expert_count`.
    Source: MegaBlocks, arXiv:2211.15841, §5.1 (grouping tokens by expert without dropping any).

    (C1) `experts` is [T, K], K static.  (C2) `expert_count` >= 1.  (C3) `source` is [R], R = T * K.
    (C4) `position` is [T, K].  (C5) `offsets` is [E+1].  (C6) `active` is [E].

    ```mlir
    %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
        : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [I32]>:$experts, I64Attr:$expert_count);
  let results = (outs TensorOfRank<1, [I32]>:$source, TensorOfRank<2, [I32]>:$position, TensorOfRank<1, [I32]>:$offsets,
                      TensorOfRank<1, [I32]>:$active);
  let assemblyFormat = [{
    $experts attr-dict `:` type($experts) `->` type($source) `,` type($position) `,` type($offsets) `,` type($active)
  }];
}

def DispatchOp : Moe_Op<"dispatch"> {
  let summary = "rows of tokens in the order of experts";
  let description = [{
    `x` [T, H], `source` [R] i32 from `moe.plan`. Returns `result` [R, H]: row r is x[source[r]].
    Source: GShard, arXiv:2006.16668, §2.2 (dispatch), without capacity.

    (C1) `x` is [T, H], H static.  (C2) `source` is [R].  (C3) `result` is [R, H].

    ```mlir
    %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$x, TensorOfRank<1, [I32]>:$source);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = "$x `,` $source attr-dict `:` type($x) `,` type($source) `->` type($result)";
}

def GroupedMatmulOp : Moe_Op<"grouped_matmul"> {
  let summary = "each expert's rows times that expert's weights";
  let description = [{
    `rows` [R, K], `weights` [E, N, K], `offsets` [E+1] and `active` [E] i32 from `moe.plan`.
    Returns `result` [R, N] f32: row r of group e is rows[r] times weights[e] transposed, each element one chain of fused
    multiply-adds in ascending K. With `source` [R] i32 `rows` is [T, K] and row r on the left is rows[source[r]].
    With `transpose` the weights are not transposed and N is summed over: `rows` is [R, N] (or [T, N]) and `result` [R, K],
    row r of group e being rows[r] times weights[e], one chain in ascending N. This is the adjoint with respect to `rows`.
    Source: MegaBlocks, arXiv:2211.15841, §4 (grouped products of varying row counts).

    (C1) `weights` is [E, N, K], all static.  (C2) `offsets` is [E+1].  (C3) `active` is [E].  (C4) `source` is [R].
    (C5) `rows` is [R, K], or [T, K] with `source`; N for K with `transpose`.
    (C6) `result` is [R, N]; K for N with `transpose`.

    ```mlir
    %y = moe.grouped_matmul %rows, %weights, %offsets, %active
        : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
    %y = moe.grouped_matmul %x, %weights, %offsets, %active source(%source : tensor<?xi32>)
        : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
    %dx = moe.grouped_matmul %dy, %weights, %offsets, %active {transpose}
        : tensor<?x24xf32>, tensor<16x24x64xf32>, tensor<17xi32>, tensor<16xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<3, [F32, BF16]>:$weights,
                       TensorOfRank<1, [I32]>:$offsets, TensorOfRank<1, [I32]>:$active,
                       Optional<TensorOfRank<1, [I32]>>:$source, UnitAttr:$transpose);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $weights `,` $offsets `,` $active (`source` `(` $source^ `:` type($source) `)`)? attr-dict `:`
    type($rows) `,` type($weights) `,` type($offsets) `,` type($active) `->` type($result)
  }];
}

def GroupedWeightGradOp : Moe_Op<"grouped_weight_grad", [
    AllTypesMatch<["init", "result"]>, DeclareOpInterfaceMethods<DestinationStyleOpInterface, ["getDpsInitsMutable"]>]> {
  let summary = "adjoint of moe.grouped_matmul with respect to the weights";
  let description = [{
    `rows` [R, K], `gradient` [R, N] the gradient of the product, `offsets` [E+1] and `active` [E] i32 from `moe.plan`, `init`
    [E, N, K]. With `source` [R] i32 `rows` is [T, K] and row r is rows[source[r]].
    Returns `result` [E, N, K]: init[e,n,k] plus the sum over the rows r of group e of gradient[r,n] * rows[r,k], each element
    one chain of fused multiply-adds in ascending r that starts from `init`, so that the micro-batches of a step chain too.
    Experts without rows keep `init`. Destination style: an `init` without further uses is written in place.
    Source: MegaBlocks, arXiv:2211.15841, §4 (DSD and SDD products of the backward pass).

    (C1) `init` is [E, N, K], all static.  (C2) `offsets` is [E+1].  (C3) `active` is [E].  (C4) `source` is [R].
    (C5) `gradient` is [R, N].  (C6) `rows` is [R, K], or [T, K] with `source`.

    ```mlir
    %dw = moe.grouped_weight_grad %rows, %dy, %offsets, %active, %zero
        : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32> -> tensor<16x24x64xf32>
    %dw = moe.grouped_weight_grad %x, %dy, %offsets, %active, %zero source(%source : tensor<?xi32>)
        : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32> -> tensor<16x24x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<2, [F32]>:$gradient, TensorOfRank<1, [I32]>:$offsets,
                       TensorOfRank<1, [I32]>:$active, TensorOfRank<3, [F32]>:$init,
                       Optional<TensorOfRank<1, [I32]>>:$source);
  let results = (outs TensorOfRank<3, [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $gradient `,` $offsets `,` $active `,` $init (`source` `(` $source^ `:` type($source) `)`)? attr-dict `:`
    type($rows) `,` type($gradient) `,` type($offsets) `,` type($active) `,` type($init) `->` type($result)
  }];
}

def CombineOp : Moe_Op<"combine"> {
  let summary = "weighted sum of a token's expert rows";
  let description = [{
    `rows` [R, H]; `position`, `experts` [T, K] i32 and `weights` [T, K] name each choice's row, expert and weight.
    Returns `result` [T, H]: the sum over k of weights[t,k] * rows[position[t,k]], in the halving tree over expert ids:
    sum(lo, hi) of a range of ids with one expert is its weighted row, of a longer one sum(lo, mid) + sum(mid, hi) with
    mid = lo + (hi - lo) / 2 rounded down; a side without a choice adds nothing. The root is (0, E), E = `expert_count`.
    The tree makes the partial sum of an owner of consecutive experts a subtree, so the bits do not depend on how a power
    of two of owners splits the experts. Two choices of one expert in a row (only `forced` can make them) add in order of k.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.2, eq. 12; order of sums: the design's own.

    (C1) `position` is [T, K], K static.  (C2) `experts` is [T, K].  (C3) `weights` is [T, K].
    (C4) `rows` is [R, H], H static.  (C5) R = T * K.  (C6) `result` is [T, H].  (C7) `expert_count` >= 1.

    ```mlir
    %y = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
        : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<2, [I32]>:$position, TensorOfRank<2, [I32]>:$experts,
                       TensorOfRank<2, [F32]>:$weights, I64Attr:$expert_count);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $position `,` $experts `,` $weights attr-dict `:`
    type($rows) `,` type($position) `,` type($experts) `,` type($weights) `->` type($result)
  }];
}

def UpdateBiasOp : Moe_Op<"update_bias", [AllTypesMatch<["bias", "result"]>]> {
  let summary = "auxiliary-loss-free balancing";
  let description = [{
    `bias` [E], `load` [E] i32: rows each expert had in this step. Returns `result` [E]:
    bias[e] + step * sign(total - E * load[e]), total the sum of `load`, integers (64 bits) up to the sign, sign(0) = 0.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.2; Wang et al., arXiv:2408.15664, algorithm 1.

    (C1) `bias` is [E], E static.  (C2) `load` is [E].  (C3) `step` is finite and >= 0.

    ```mlir
    %new = moe.update_bias %bias, %load {step = 1.000000e-03 : f32} : tensor<16xf32>, tensor<16xi32> -> tensor<16xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<1, [F32]>:$bias, TensorOfRank<1, [I32]>:$load, F32Attr:$step);
  let results = (outs TensorOfRank<1, [F32]>:$result);
  let assemblyFormat = "$bias `,` $load attr-dict `:` type($bias) `,` type($load) `->` type($result)";
}

#endif // HADAL_DIALECTS_MOE_MOE_TD
