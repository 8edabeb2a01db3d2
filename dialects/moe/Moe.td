//===- Moe.td - mixture of experts ------------------------------------------===//

#ifndef HADAL_DIALECTS_MOE_MOE_TD
#define HADAL_DIALECTS_MOE_MOE_TD

include "dialects/GraphOp.td"
include "dialects/Tensors.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def MoeDialect : Dialect {
  let name = "moe";
  let cppNamespace = "::hadal::moe";
  let summary = "choosing experts, rows to experts and back";
  let description = [{
    DeepSeekMoE with auxiliary-loss-free balancing (DeepSeek-V3, arXiv:2412.19437, §2.1.2). Sizes: T
    tokens, E experts, K choices of a token, R = T * K rows after dispatch (ordered by expert, then
    by token), H hidden, N and K of a matmul as usual. Across ranks: P parts, S segments, the tokens
    of one source each. Expert ids and rows are data: a kernel does not check them; the
    runtime does where they come from outside.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

/// `asked`: the methods of GraphOpInterface that the op answers itself.
class Moe_OpWithEffects<string mnemonic, list<Trait> traits = [], list<string> asked = []>
    : Op<MoeDialect, mnemonic, traits # [
          DeclareOpInterfaceMethods<GraphOpInterface, asked>,
          DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let hasVerifier = 1;
}

class Moe_Op<string mnemonic, list<Trait> traits = [], list<string> asked = []>
    : Moe_OpWithEffects<mnemonic, traits # [Pure], asked>;

/// What ranks send each other: an op that writes it is neither dropped nor merged with its like,
/// for the other ranks take part in it.
def MessagesResource : Resource<"::hadal::moe::MessagesResource">;

def RouteOp : Moe_Op<"route", [AttrSizedOperandSegments], ["mayBeRecomputed"]> {
  let summary = "choose top_k experts a token within the best groups";
  let description = [{
    `logits` [T, E]: s = sigmoid(logits) are the affinities, or with `softmax` each row's softmax.
    `bias` [E] moves the choice, never the weight: b = s + bias, and b = s without it. A group is E
    / groups consecutive experts; its score is the sum of its two largest b, or with `group_maximum`
    its largest. The `group_limit` best groups stay in play (with group_limit == groups that is all
    of them, and no score is needed), and of their experts the `top_k` with the largest b are
    chosen. Ties in either choice take the lower id. With `forced` [T, K] the choice is given
    instead. The weight of a choice is its s; with `normalize` divided by (the row's sum of chosen s
    + 1e-20); then times `scale`. Returns `weights` [T, K] and `experts` [T, K] i32, a row's ids
    ascending, or as `forced` gives them.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.2, eq. 12-16 and "node-limited routing"; with
    softmax and group_maximum DeepSeek-V2, arXiv:2405.04434, §2.2.1-2.2.2.

    (C1) `logits` is [T, E], E static.  (C2) `bias` is [E].  (C3) `top_k` >= 1.  (C4) `weights` is
    [T, K], K = `top_k`.
    (C5) `experts` is [T, K].  (C6) `forced` is [T, K].  (C7) `groups` >= 1.  (C8) E is a multiple
    of `groups`.
    (C9) 1 <= `group_limit` <= `groups`.  (C10) `top_k` <= `group_limit` * E / `groups`.
    (C11) E / `groups` >= 2 where `group_limit` < `groups` and a group's score takes two experts.
    (C12) `scale` is finite.

    ```mlir
    %w, %e = moe.route %logits, %bias
        {groups = 4 : i64, group_limit = 2 : i64, top_k = 4 : i64, normalize = true,
         scale = 2.5 : f32}
        : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
    %w, %e = moe.route %logits, %bias forced(%given : tensor<?x4xi32>) {...}
        : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
    %w, %e = moe.route %logits
        {softmax, group_maximum, groups = 4 : i64, group_limit = 2 : i64, top_k = 4 : i64,
         normalize = false, scale = 16.0 : f32}
        : tensor<?x16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, Optional<TensorOfRank<1, [F32]>>:$bias,
                       Optional<TensorOfRank<2, [I32]>>:$forced, I64Attr:$groups,
                       I64Attr:$group_limit, I64Attr:$top_k, BoolAttr:$normalize, F32Attr:$scale,
                       UnitAttr:$softmax, UnitAttr:$group_maximum);
  let results = (outs TensorOfRank<2, [F32]>:$weights, TensorOfRank<2, [I32]>:$experts);
  let assemblyFormat = [{
    $logits (`,` $bias^)? (`forced` `(` $forced^ `:` type($forced) `)`)? attr-dict `:`
    type($logits) (`,` type($bias)^)? `->` type($weights) `,` type($experts)
  }];
}

def PlanOp : Moe_Op<"plan", [AttrSizedOperandSegments], ["mayBeRecomputed"]> {
  let summary = "sort choices by expert";
  let description = [{
    `experts` [T, K] i32. The R = T * K choices (t, k) are ordered by expert, then t, then k; a
    choice's place is its row. Returns `source` [R] i32, the token of each row; `position` [T, K]
    i32, the row of each choice; `offsets` [E+1] i32, group e being rows offsets[e] ..
    offsets[e+1]-1; `active` [E] i32, the experts that have rows, ascending, and then -1. E =
    `expert_count`. Where tokens came from other ranks (`moe.exchange`) some choices are not of this
    rank: an expert of -1 has no row, and its position is -1. Then R is `choices`, the number of
    choices that are. `segments` [2S] i32, counts as `moe.exchange_counts` receives them, says which
    tokens belong together: block s has segments[2s] tokens, ascending. Choices are then ordered by
    block, expert, t, k, and there are S * E groups, expert e of block s being group s * E + e.
    Source: MegaBlocks, arXiv:2211.15841, §5.1 (grouping tokens by expert without dropping any).

    (C1) `experts` is [T, K], K static.  (C2) `expert_count` >= 1.  (C3) `source` is [R], R = T * K
    without `choices`.
    (C4) `position` is [T, K].  (C5) `offsets` is [S*E+1] (S = 1 without `segments`).  (C6) `active`
    is [S*E].
    (C7) `segments` is [2S].  (C8) `segments` only with `choices`.

    ```mlir
    %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
        : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
    %source, %position, %offsets, %active = moe.plan %ids segments(%received : tensor<8xi32>)
        choices(%choices) {expert_count = 4 : i64}
        : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [I32]>:$experts, Optional<TensorOfRank<1, [I32]>>:$segments,
                       Optional<Index>:$choices, I64Attr:$expert_count);
  let extraClassDeclaration = [{
    /// S.
    int64_t segmentCount() { return getSegments() ? getSegments().getType().getDimSize(0) / 2 : 1; }
  }];
  let results = (outs TensorOfRank<1, [I32]>:$source, TensorOfRank<2, [I32]>:$position,
                      TensorOfRank<1, [I32]>:$offsets, TensorOfRank<1, [I32]>:$active);
  let assemblyFormat = [{
    $experts (`segments` `(` $segments^ `:` type($segments) `)`)?
    (`choices` `(` $choices^ `)`)? attr-dict `:` type($experts) `->`
    type($source) `,` type($position) `,` type($offsets) `,` type($active)
  }];
}

def PlanSendsOp : Moe_Op<"plan_sends", [], ["mayBeRecomputed"]> {
  let summary = "which tokens go to which part";
  let description = [{
    `experts` [T, K] i32, -1 = no choice. Part p of P = `parts` has the experts p * E/P .. (p+1) *
    E/P - 1, E = `expert_count`. A row goes out for each token and part with a choice there: once,
    however many choices. Rows are ordered by part, segment, token. Without `received` there is one
    segment, all tokens. With `received` [2S] i32, the counts of the exchange that brought the
    tokens, block s is the tokens of segment s: received[2s] of them, ascending. S = `segments`.
    Returns `source` [C] i32, the token of each row, and 0 after the last, C = T * min(K, P) being
    what there may be at most; `slots` [T, P] i32, the row of each token and part, -1 where none
    goes; `ids` [C, K] i32, the choices of the row's token that are of its part, as numbers inside
    the part, -1 for the others; `counts` [2PS] i32, (rows, choices) of each part and segment.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2 (a token crosses to a node once); DeepEP's layout
    of a dispatch.

    (C1) `experts` is [T, K], K static.  (C2) `parts` >= 1.  (C3) E is a multiple of `parts`, E >=
    1.  (C4) `segments` >= 1, and 1 without `received`.
    (C5) `received` is [2S].  (C6) `source` is [C].  (C7) `slots` is [T, P].  (C8) `ids` is [C, K].
    (C9) `counts` is [2PS].

    ```mlir
    %source, %slots, %ids, %counts = moe.plan_sends %experts
        {expert_count = 16 : i64, parts = 4 : i64, segments = 1 : i64}
        : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<8xi32>
    %source, %slots, %ids, %counts = moe.plan_sends %ids0 segments(%received : tensor<4xi32>)
        {expert_count = 8 : i64, parts = 4 : i64, segments = 2 : i64}
        : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<16xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [I32]>:$experts, Optional<TensorOfRank<1, [I32]>>:$received,
                       I64Attr:$expert_count, I64Attr:$parts, I64Attr:$segments);
  let results = (outs TensorOfRank<1, [I32]>:$source, TensorOfRank<2, [I32]>:$slots,
                      TensorOfRank<2, [I32]>:$ids, TensorOfRank<1, [I32]>:$counts);
  let extraClassDeclaration = [{
    /// Rows that a token may become: min(K, P).
    int64_t rowsOfToken() {
      return std::min<int64_t>(getExperts().getType().getDimSize(1), getParts());
    }
  }];
  let assemblyFormat = [{
    $experts (`segments` `(` $received^ `:` type($received) `)`)? attr-dict `:`
    type($experts) `->` type($source) `,` type($slots) `,` type($ids) `,` type($counts)
  }];
}

def ExchangeCountsOp : Moe_OpWithEffects<"exchange_counts", [
    AllTypesMatch<["send", "receive"]>, MemoryEffects<[MemWrite<MessagesResource>]>],
    ["registerOf"]> {
  let summary = "how many rows each part will send";
  let description = [{
    Among P = `parts` expert-parallel ranks: this one (coordinate ep) is part p = ep / stride % P,
    and part q is the rank of coordinate ep + (q - p) * `stride`. `send` [2PS] i32 are (rows,
    choices) of each part and segment, S = `segments`; block [q] goes to part q. Returns `receive`
    [2PS]: what the parts have sent here, by part and segment; and `rows` and `choices`, the sums of
    what comes. The program holds these in the registers `rows_register` and `choices_register`.
    Source: DeepEP's notified dispatch; Megatron-Core's all-to-all token dispatcher (counts first).

    (C1) `parts`, `segments`, `stride` >= 1.  (C2) `send` is [2PS].

    ```mlir
    %received, %rows, %choices = moe.exchange_counts %counts
        {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "L3.0.rows",
         choices_register = "L3.0.choices"} : tensor<8xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<1, [I32]>:$send, I64Attr:$parts, I64Attr:$segments,
                       I64Attr:$stride, StrAttr:$rows_register, StrAttr:$choices_register);
  let results = (outs TensorOfRank<1, [I32]>:$receive, Index:$rows, Index:$choices);
  let extraClassDeclaration = [{
    /// Uses of `rows` and `choices` that are in another part of a function that is cut become uses
    /// of a moe.count, right after this op.
    void cutCounts(llvm::function_ref<bool(mlir::OpOperand &)> isElsewhere);
  }];
  let assemblyFormat = "$send attr-dict `:` type($send)";
}

def CountOp : Op<MoeDialect, "count", [
    Pure, DeclareOpInterfaceMethods<GraphOpInterface, ["registerOf"]>]> {
  let summary = "a count that moe.exchange_counts has set elsewhere";
  let description = [{
    The number in the register `reg` of the program. Takes the place of a result of the
    `moe.exchange_counts` that sets the register, where a function is cut between the two
    (`--hadal-split-backward`, `--hadal-cut-chunks`).
    Source: none; a name for what the program holds already.

    ```mlir
    %rows = moe.count "L3.0.rows"
    ```
  }];
  let arguments = (ins StrAttr:$reg);
  let results = (outs Index:$result);
  let assemblyFormat = "$reg attr-dict";
}

def ExchangeOp : Moe_OpWithEffects<"exchange", [
    AttrSizedOperandSegments, AllTypesMatch<["send", "receive"]>,
    MemoryEffects<[MemWrite<MessagesResource>]>]> {
  let summary = "rows to other ranks";
  let description = [{
    Among the parts that `moe.exchange_counts` describes. `x` [C, H]: first the rows for part 0,
    then those for part 1 ...; `send` [2PS] i32 counts them. Returns `result` [R, H]: first the rows
    that part 0 has sent here ...; `receive` [2PS] counts these. On the way back the two change
    places, and a row comes back to where it was. R is `rows`, or the leading size of `like`: then
    rows after the last that comes are undefined. The adjoint goes the other way. With `format`,
    "bf16" or "fp8" (E4M3 in tiles of 1 x 128 with an f32 scale each), rows are rounded to what
    travels: the result has the values of that format, and sums are no longer those of one rank.
    `format_back` is the adjoint's, whose rounding the gradient does not see. With `capacity` more
    rows to or from one part are an error, never a dropped token.
    Source: GShard, arXiv:2006.16668, §3.1 (all-to-all); DeepSeek-V3, arXiv:2412.19437, §3.2.2.

    (C1) `parts`, `segments`, `stride` >= 1.  (C2) `send` is [2PS].  (C3) Either `rows` or `like`.
    (C4) `x` is [C, H], H static.  (C5) `result` is [R, H], of the elements of `x`.  (C6) `like` has
    the leading size R.
    (C7) `format` and `format_back` are "bf16" or "fp8", where `x` is f32.  (C8) `capacity` >= 1.

    ```mlir
    %there = moe.exchange %x, %counts, %received rows(%rows)
        {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
        : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
    %back = moe.exchange %y, %received, %counts like(%source : tensor<?xi32>)
        {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
        : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32, F8E4M3FN, F8E5M2, I32, I16]>:$x,
                       TensorOfRank<1, [I32]>:$send, TensorOfRank<1, [I32]>:$receive,
                       Optional<Index>:$rows, Optional<AnyRankedTensor>:$like,
                       I64Attr:$parts, I64Attr:$segments, I64Attr:$stride,
                       OptionalAttr<StrAttr>:$format, OptionalAttr<StrAttr>:$format_back,
                       OptionalAttr<I64Attr>:$capacity);
  let results = (outs TensorOfRank<2, [F32, F8E4M3FN, F8E5M2, I32, I16]>:$result);
  let assemblyFormat = [{
    $x `,` $send `,` $receive (`rows` `(` $rows^ `)`)?
    (`like` `(` $like^ `:` type($like) `)`)? attr-dict `:`
    type($x) `,` type($send) `->` type($result)
  }];
}

def DispatchOp : Moe_Op<"dispatch"> {
  let summary = "rows of tokens in the order of experts";
  let description = [{
    `x` [T, H], `source` [R] i32 from `moe.plan`. Returns `result` [R, H]: row r is x[source[r]].
    Rows of FP8 codes go like any other, and their scales in a dispatch of their own.
    Source: GShard, arXiv:2006.16668, §2.2 (dispatch), without capacity.

    (C1) `x` is [T, H], H static.  (C2) `source` is [R].  (C3) `result` is [R, H], of the elements
    of `x`.

    ```mlir
    %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32, F8E4M3FN, F8E5M2]>:$x,
                       TensorOfRank<1, [I32]>:$source);
  let results = (outs TensorOfRank<2, [F32, F8E4M3FN, F8E5M2]>:$result);
  let assemblyFormat = "$x `,` $source attr-dict `:` type($x) `,` type($source) `->` type($result)";
}

def GroupedMatmulOp : Moe_Op<"grouped_matmul"> {
  let summary = "each expert's rows times that expert's weights";
  let description = [{
    `rows` [R, K], `weights` [E, N, K], `offsets` [E+1] and `active` [E] i32 from `moe.plan`.
    Returns `result` [R, N] f32: row r of group e is rows[r] times weights[e] transposed, each
    element one chain of fused multiply-adds in ascending K. With `source` [R] i32 `rows` is [T, K]
    and row r on the left is rows[source[r]]. With `transpose` the weights are not transposed and N
    is summed over: `rows` is [R, N] (or [T, N]) and `result` [R, K], row r of group e being rows[r]
    times weights[e], one chain in ascending N. This is the adjoint with respect to `rows`. A plan
    with segments has G = S * E groups: group g uses weights[g % E].
    Source: MegaBlocks, arXiv:2211.15841, §4 (grouped products of varying row counts).

    (C1) `weights` is [E, N, K], all static.  (C2) `offsets` is [G+1], G a multiple of E.  (C3)
    `active` is [G].  (C4) `source` is [R].
    (C5) `rows` is [R, K], or [T, K] with `source`; N for K with `transpose`.
    (C6) `result` is [R, N]; K for N with `transpose`.

    ```mlir
    %y = moe.grouped_matmul %rows, %weights, %offsets, %active
        : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32>
        -> tensor<?x24xf32>
    %y = moe.grouped_matmul %x, %weights, %offsets, %active source(%source : tensor<?xi32>)
        : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32>
        -> tensor<?x24xf32>
    %dx = moe.grouped_matmul %dy, %weights, %offsets, %active {transpose}
        : tensor<?x24xf32>, tensor<16x24x64xf32>, tensor<17xi32>, tensor<16xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<3, [F32, BF16, F16]>:$weights,
                       TensorOfRank<1, [I32]>:$offsets, TensorOfRank<1, [I32]>:$active,
                       Optional<TensorOfRank<1, [I32]>>:$source, UnitAttr:$transpose);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $weights `,` $offsets `,` $active
    (`source` `(` $source^ `:` type($source) `)`)? attr-dict `:`
    type($rows) `,` type($weights) `,` type($offsets) `,` type($active)
    `->` type($result)
  }];
}

def GroupedWeightGradOp : Moe_Op<"grouped_weight_grad", [
    AllTypesMatch<["init", "result"]>,
    DeclareOpInterfaceMethods<DestinationStyleOpInterface, ["getDpsInitsMutable"]>], ["flops"]> {
  let summary = "adjoint of moe.grouped_matmul with respect to the weights";
  let description = [{
    `rows` [R, K], `gradient` [R, N] the gradient of the product, `offsets` [E+1] and `active` [E]
    i32 from `moe.plan`, `init` [E, N, K]. With `source` [R] i32 `rows` is [T, K] and row r is
    rows[source[r]]. Returns `result` [E, N, K]: init[e,n,k] plus the sum over the rows r of group e
    of gradient[r,n] * rows[r,k], each element one chain of fused multiply-adds in ascending r that
    starts from `init`, so that the micro-batches of a step chain too. With segments E here is the
    number of groups: each segment has sums of its own. Experts without rows keep `init`.
    Destination style: an `init` without further uses is written in place.
    Source: MegaBlocks, arXiv:2211.15841, §4 (DSD and SDD products of the backward pass).

    (C1) `init` is [E, N, K], all static.  (C2) `offsets` is [E+1].  (C3) `active` is [E].  (C4)
    `source` is [R].
    (C5) `gradient` is [R, N].  (C6) `rows` is [R, K], or [T, K] with `source`.

    ```mlir
    %dw = moe.grouped_weight_grad %rows, %dy, %offsets, %active, %zero
        : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>,
          tensor<16x24x64xf32> -> tensor<16x24x64xf32>
    %dw = moe.grouped_weight_grad %x, %dy, %offsets, %active, %zero source(%source : tensor<?xi32>)
        : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>,
          tensor<16x24x64xf32> -> tensor<16x24x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<2, [F32]>:$gradient,
                       TensorOfRank<1, [I32]>:$offsets, TensorOfRank<1, [I32]>:$active,
                       TensorOfRank<3, [F32]>:$init, Optional<TensorOfRank<1, [I32]>>:$source);
  let results = (outs TensorOfRank<3, [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $gradient `,` $offsets `,` $active `,` $init
    (`source` `(` $source^ `:` type($source) `)`)? attr-dict `:`
    type($rows) `,` type($gradient) `,` type($offsets) `,` type($active) `,` type($init)
    `->` type($result)
  }];
}

def CombineOp : Moe_Op<"combine"> {
  let summary = "weighted sum of a token's expert rows";
  let description = [{
    `rows` [R, H]; `position`, `experts` [T, K] i32 and `weights` [T, K] name each choice's row,
    expert and weight. Returns `result` [T, H]: the sum over k of weights[t,k] *
    rows[position[t,k]], in the halving tree over expert ids: sum(lo, hi) of a range of ids with one
    expert is its weighted row, of a longer one sum(lo, mid) + sum(mid, hi) with mid = lo + (hi -
    lo) / 2 rounded down; a side without a choice adds nothing. The root is (0, E), E =
    `expert_count`. The tree makes the partial sum of an owner of consecutive experts a subtree, so
    the bits do not depend on how a power of owners splits the experts. Two choices of one expert in
    a row (only `forced` can make them) add in order of k. With `partial` some choices may be
    missing: where position[t,k] is -1 choice k of token t adds nothing, and a token without any
    gives zeros. An owner's part of the sum is such a combination, and so is the sum of the owners'
    parts.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.2, eq. 12; order of sums: dialects/README.md.

    (C1) `position` is [T, K], K static.  (C2) `experts` is [T, K].  (C3) `weights` is [T, K].
    (C4) `rows` is [R, H], H static.  (C5) R = T * K without `partial`.  (C6) `result` is [T, H].
    (C7) `expert_count` >= 1.

    ```mlir
    %y = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
        : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<2, [I32]>:$position,
                       TensorOfRank<2, [I32]>:$experts, TensorOfRank<2, [F32]>:$weights,
                       I64Attr:$expert_count, UnitAttr:$partial);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $position `,` $experts `,` $weights attr-dict `:`
    type($rows) `,` type($position) `,` type($experts) `,` type($weights) `->` type($result)
  }];
}

def CombineGradOp : Moe_Op<"combine_grad", [
    AllTypesMatch<["rows", "rows_grad"]>, AllTypesMatch<["weights", "weights_grad"]>]> {
  let summary = "adjoint of moe.combine";
  let description = [{
    `rows` [R, H], `position` [T, K] i32 and `weights` [T, K] as in `moe.combine`; `gradient` [T, H]
    the gradient of its result. Returns `rows_grad` [R, H]: row position[t,k] is weights[t,k] *
    gradient[t]; and `weights_grad` [T, K]: the dot product of rows[position[t,k]] and gradient[t].
    Every row is the place of one choice (`moe.plan`), so every row is written. With `partial` a
    choice without a row (position -1) has a weight gradient of 0.
    Source: the adjoint of DeepSeek-V3, arXiv:2412.19437, §2.1.2, eq. 12.

    (C1) `position` is [T, K], K static.  (C2) `weights` is [T, K].  (C3) `rows` is [R, H], H
    static.
    (C4) R = T * K without `partial`.  (C5) `gradient` is [T, H].

    ```mlir
    %drows, %dw = moe.combine_grad %rows, %position, %weights, %g
        : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x64xf32>
        -> tensor<?x64xf32>, tensor<?x4xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<2, [I32]>:$position,
                       TensorOfRank<2, [F32]>:$weights, TensorOfRank<2, [F32]>:$gradient,
                       UnitAttr:$partial);
  let results = (outs TensorOfRank<2, [F32]>:$rows_grad, TensorOfRank<2, [F32]>:$weights_grad);
  let assemblyFormat = [{
    $rows `,` $position `,` $weights `,` $gradient attr-dict `:`
    type($rows) `,` type($position) `,` type($weights) `,` type($gradient)
    `->` type($rows_grad) `,` type($weights_grad)
  }];
}

def RouteGradOp : Moe_Op<"route_grad", [AllTypesMatch<["logits", "logits_grad"]>]> {
  let summary = "adjoint of moe.route's weights";
  let description = [{
    `logits` [T, E], `normalize`, `scale` and `softmax` as in `moe.route`; `experts` [T, K] i32 its
    choice, which is constant; `gradient` [T, K] the gradient of its weights. Returns `logits_grad`
    [T, E]. With the affinities s and S the row's sum of chosen s + 1e-20: s_k's gradient d_k is
    scale * (gradient[k] - sum_j gradient[j] * s_j / S) / S with `normalize`, scale * gradient[k]
    without, and 0 where an expert is not chosen; an expert chosen twice gets both. A logit's
    gradient is d * s * (1 - s), or with `softmax` s * (d - sum_j d_j * s_j), which is not zero for
    the others.
    Source: the adjoint of DeepSeek-V3, arXiv:2412.19437, §2.1.2, eq. 13-15, and of DeepSeek-V2,
    arXiv:2405.04434, eq. 20-22.

    (C1) `logits` is [T, E], E static.  (C2) `experts` is [T, K], K static.  (C3) `gradient` is [T,
    K].  (C4) `scale` is finite.

    ```mlir
    %dlogits = moe.route_grad %logits, %experts, %g {normalize = true, scale = 2.5 : f32}
        : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, TensorOfRank<2, [I32]>:$experts,
                       TensorOfRank<2, [F32]>:$gradient, BoolAttr:$normalize, F32Attr:$scale,
                       UnitAttr:$softmax);
  let results = (outs TensorOfRank<2, [F32]>:$logits_grad);
  let assemblyFormat = [{
    $logits `,` $experts `,` $gradient attr-dict `:`
    type($logits) `,` type($experts) `,` type($gradient)
    `->` type($logits_grad)
  }];
}

def BalanceLossOp : Moe_Op<"balance_loss"> {
  let summary = "sequence-wise balance loss";
  let description = [{
    `logits` [T, E], s = sigmoid(logits), or with `softmax` each row's softmax. `offsets` [S+1] i32,
    ascending from 0 to T: sequence q is rows offsets[q] .. offsets[q+1]-1, T_q of them. Returns
    `fractions` [S, E]: E / (top_k * T_q) times the number of the sequence's tokens that choose the
    expert: whose `top_k` largest s (without bias and without groups; ties take the lower id) hold
    it, or whose row of `experts` [T, K] names it; and `loss` [S]: the sum over experts of fraction
    * P, P the sequence's mean of s_e / sum_j s_j. A sequence without tokens has zeros.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.2, eq. 17-20; with `experts`, the choice that was
    made, DeepSeek-V2, arXiv:2405.04434, eq. 23-25. The factor alpha is the caller's.

    (C1) `logits` is [T, E], E static.  (C2) `offsets` is [S+1].  (C3) 1 <= `top_k` <= E.  (C4)
    `loss` is [S].
    (C5) `fractions` is [S, E].  (C6) `experts` is [T, K], K = `top_k`.

    ```mlir
    %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 4 : i64}
        : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
    %loss, %fractions = moe.balance_loss %logits, %offsets chosen(%experts : tensor<?x4xi32>)
        {softmax, top_k = 4 : i64}
        : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, TensorOfRank<1, [I32]>:$offsets,
                       Optional<TensorOfRank<2, [I32]>>:$experts, I64Attr:$top_k,
                       UnitAttr:$softmax);
  let results = (outs TensorOfRank<1, [F32]>:$loss, TensorOfRank<2, [F32]>:$fractions);
  let assemblyFormat = [{
    $logits `,` $offsets (`chosen` `(` $experts^ `:` type($experts) `)`)? attr-dict `:`
    type($logits) `,` type($offsets)
    `->` type($loss) `,` type($fractions)
  }];
}

def BalanceLossGradOp : Moe_Op<"balance_loss_grad", [AllTypesMatch<["logits", "logits_grad"]>]> {
  let summary = "adjoint of moe.balance_loss";
  let description = [{
    `logits`, `offsets`, `softmax` as in `moe.balance_loss`; `fractions` [S, E] its second result,
    constants; `gradient` [S] the gradient of its loss. Returns `logits_grad` [T, E]: for a token of
    sequence q, with the affinities s, Z = sum_j s_j and c = sum_j fractions[q,j] * s_j / Z,
    gradient[q] / T_q * (fractions[q,e] - c) / Z times s_e * (1 - s_e), or with `softmax`, where Z
    is 1, times s_e.
    Source: the adjoint of DeepSeek-V3, arXiv:2412.19437, §2.1.2, eq. 17-20, and of DeepSeek-V2,
    arXiv:2405.04434, eq. 23-25.

    (C1) `logits` is [T, E], E static.  (C2) `offsets` is [S+1].  (C3) `fractions` is [S, E].  (C4)
    `gradient` is [S].

    ```mlir
    %dlogits = moe.balance_loss_grad %logits, %offsets, %fractions, %g
        : tensor<?x16xf32>, tensor<?xi32>, tensor<?x16xf32>, tensor<?xf32> -> tensor<?x16xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, TensorOfRank<1, [I32]>:$offsets,
                       TensorOfRank<2, [F32]>:$fractions, TensorOfRank<1, [F32]>:$gradient,
                       UnitAttr:$softmax);
  let results = (outs TensorOfRank<2, [F32]>:$logits_grad);
  let assemblyFormat = [{
    $logits `,` $offsets `,` $fractions `,` $gradient attr-dict `:`
    type($logits) `,` type($offsets) `,` type($fractions) `,` type($gradient)
    `->` type($logits_grad)
  }];
}

def ScatterAddOp : Moe_Op<"scatter_add", [
    AllTypesMatch<["init", "result"]>,
    DeclareOpInterfaceMethods<DestinationStyleOpInterface, ["getDpsInitsMutable"]>]> {
  let summary = "add rows to the rows that ids name";
  let description = [{
    `rows` [R, H], `ids` [R] i32, 0 <= id < V, any of them more than once, `init` [V, H]. Returns
    `result` [V, H]: `init` with rows[r] added to row ids[r] for each r in ascending order. It is
    the adjoint of a `moe.dispatch` that gathers by any ids (an embedding). Destination style: an
    `init` without further uses is written in place.
    Source: the adjoint of a gather.

    (C1) `rows` is [R, H], H static.  (C2) `ids` is [R].  (C3) `init` is [V, H].

    ```mlir
    %dx = moe.scatter_add %rows, %ids, %zero
        : tensor<?x64xf32>, tensor<?xi32>, tensor<100x64xf32> -> tensor<100x64xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$rows, TensorOfRank<1, [I32]>:$ids,
                       TensorOfRank<2, [F32]>:$init);
  let results = (outs TensorOfRank<2, [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $ids `,` $init attr-dict `:`
    type($rows) `,` type($ids) `,` type($init) `->` type($result)
  }];
}

def UpdateBiasOp : Moe_Op<"update_bias", [AllTypesMatch<["bias", "result"]>]> {
  let summary = "auxiliary-loss-free balancing";
  let description = [{
    `bias` [E], `load` [E] i32: rows each expert had in this step. Returns `result` [E]: bias[e] +
    step * sign(total - E * load[e]), total the sum of `load`, integers (64 bits) up to the sign,
    sign(0) = 0.
    Source: DeepSeek-V3, arXiv:2412.19437, §2.1.2; Wang et al., arXiv:2408.15664, algorithm 1.

    (C1) `bias` is [E], E static.  (C2) `load` is [E].  (C3) `step` is finite and >= 0.

    ```mlir
    %new = moe.update_bias %bias, %load {step = 1.000000e-03 : f32}
        : tensor<16xf32>, tensor<16xi32> -> tensor<16xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<1, [F32]>:$bias, TensorOfRank<1, [I32]>:$load, F32Attr:$step);
  let results = (outs TensorOfRank<1, [F32]>:$result);
  let assemblyFormat = [{
    $bias `,` $load attr-dict `:` type($bias) `,` type($load) `->` type($result)
  }];
}

#endif // HADAL_DIALECTS_MOE_MOE_TD
