//===- Sample.td - rows of logits to tokens and probabilities ---------------===//

#ifndef HADAL_DIALECTS_SAMPLE_SAMPLE_TD
#define HADAL_DIALECTS_SAMPLE_SAMPLE_TD

include "dialects/Tensors.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def SampleDialect : Dialect {
  let name = "sample";
  let cppNamespace = "::hadal::sample";
  let summary = "rows of logits to tokens and probabilities";
  let description = [{
    What generation and scoring do with a model's logits. Sizes: R rows, each by itself; V the
    vocabulary; P likeliest tokens of a row; S tokens seen by all rows together. A row's result
    depends on its own operands alone, and each search has one order, so that equal logits give
    equal tokens on every target. Token ids and offsets are data: a kernel does not check them, the
    runtime does where they come from outside.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

class Sample_Op<string mnemonic, list<Trait> traits = []>
    : Op<SampleDialect, mnemonic, traits # [
          Pure, DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface,
                                          ["reifyResultShapes"]>]> {
  let hasVerifier = 1;
}

def ArgmaxOp : Sample_Op<"argmax"> {
  let summary = "the id of each row's largest logit";
  let description = [{
    `logits` [R, V]. Returns `ids` [R] i32: the id of the row's largest logit, the lowest among
    equals.

    (C1) `logits` is [R, V], V static.  (C2) `ids` is [R].

    ```mlir
    %ids = sample.argmax %logits : tensor<?x512xf32> -> tensor<?xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits);
  let results = (outs TensorOfRank<1, [I32]>:$ids);
  let assemblyFormat = "$logits attr-dict `:` type($logits) `->` type($ids)";
}

def ChooseOp : Sample_Op<"choose"> {
  let summary = "one token per row, by chance";
  let description = [{
    `logits` [R, V]; of each row `temperature` [R] > 0, `top_k` [R] i32 >= 1, `top_p` [R], `min_p`
    [R], and `uniform` [R], a number in [0, 1) that the caller draws. A token's weight is
    exp((logit - the row's largest) / temperature). Chosen from are, in this order: the top_k
    largest weights (all where top_k is V or more), of these the smallest set of largest ones whose
    sum reaches top_p of their total, of these the ones of at least min_p; among equals the lower
    ids. Sums are in f64, ascending. Returns `ids` [R] i32: the first of these tokens, ids
    ascending, up to which the sum of weights exceeds uniform times their total.
    Source: Holtzman et al., arXiv:1904.09751 (top_p); Nguyen et al., arXiv:2407.01082 (min_p).

    (C1) `logits` is [R, V], V static.  (C2) `temperature`, `top_k`, `top_p`, `min_p` and `uniform`
    are [R].  (C3) `ids` is [R].

    ```mlir
    %ids = sample.choose %logits, %temperature, %top_k, %top_p, %min_p, %uniform
        : tensor<?x512xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xf32>, tensor<?xf32>,
          tensor<?xf32> -> tensor<?xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, TensorOfRank<1, [F32]>:$temperature,
                       TensorOfRank<1, [I32]>:$top_k, TensorOfRank<1, [F32]>:$top_p,
                       TensorOfRank<1, [F32]>:$min_p, TensorOfRank<1, [F32]>:$uniform);
  let results = (outs TensorOfRank<1, [I32]>:$ids);
  let assemblyFormat = [{
    $logits `,` $temperature `,` $top_k `,` $top_p `,` $min_p `,` $uniform attr-dict `:`
    type($logits) `,` type($temperature) `,` type($top_k) `,` type($top_p) `,` type($min_p) `,`
    type($uniform) `->` type($ids)
  }];
}

def NllOp : Sample_Op<"nll"> {
  let summary = "negative log-likelihood of each row's target";
  let description = [{
    `logits` [R, V], `targets` [R] i32. Returns `nll` [R]: log(sum over v of exp(logits[r, v])) -
    logits[r, targets[r]]. The row's largest logit is taken off before exp; the sum is in f64.

    (C1) `logits` is [R, V], V static.  (C2) `targets` is [R].  (C3) `nll` is [R].

    ```mlir
    %nll = sample.nll %logits, %targets : tensor<?x512xf32>, tensor<?xi32> -> tensor<?xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, TensorOfRank<1, [I32]>:$targets);
  let results = (outs TensorOfRank<1, [F32]>:$nll);
  let assemblyFormat = [{
    $logits `,` $targets attr-dict `:` type($logits) `,` type($targets) `->` type($nll)
  }];
}

def LogProbabilitiesOp : Sample_Op<"log_probabilities", [
    AllTypesMatch<["chosen_init", "chosen"]>, AllTypesMatch<["top_ids_init", "top_ids"]>,
    AllTypesMatch<["top_init", "top"]>,
    DeclareOpInterfaceMethods<DestinationStyleOpInterface, ["getDpsInitsMutable"]>]> {
  let summary = "log-probabilities of a token and of the likeliest ones";
  let description = [{
    `logits` [R, V], `ids` [R] i32. A token's log-probability is its logit less log(sum over v of
    exp(logits[r, v])), computed as in `sample.nll`. Returns `chosen` [R], that of ids[r]; `top_ids`
    [R, P] i32, the P likeliest tokens, likeliest first, lower ids first among equals; `top` [R, P],
    theirs. Destination style: the inits say how large P is, and are overwritten.

    (C1) `logits` is [R, V], V static.  (C2) `ids` is [R].  (C3) `chosen` is [R].  (C4) `top_ids` is
    [R, P].  (C5) `top` is [R, P].

    ```mlir
    %c, %i, %t = sample.log_probabilities %logits, %ids into %c0, %i0, %t0
        : tensor<?x512xf32>, tensor<?xi32> into tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, TensorOfRank<1, [I32]>:$ids,
                       TensorOfRank<1, [F32]>:$chosen_init, TensorOfRank<2, [I32]>:$top_ids_init,
                       TensorOfRank<2, [F32]>:$top_init);
  let results = (outs TensorOfRank<1, [F32]>:$chosen, TensorOfRank<2, [I32]>:$top_ids,
                      TensorOfRank<2, [F32]>:$top);
  let assemblyFormat = [{
    $logits `,` $ids `into` $chosen_init `,` $top_ids_init `,` $top_init attr-dict `:`
    type($logits) `,` type($ids) `into` type($chosen_init) `,` type($top_ids_init) `,`
    type($top_init)
  }];
}

def PenalizeOp : Sample_Op<"penalize", [AllTypesMatch<["logits", "penalized"]>]> {
  let summary = "the repetition penalty";
  let description = [{
    `logits` [R, V], `penalty` [R] > 0, `offsets` [R+1] i32, `seen` [S] i32: row r has seen the
    tokens seen[offsets[r]] .. seen[offsets[r+1] - 1], each once. Returns `penalized` [R, V]: the
    logits, and of a token seen logit / penalty where it is 0 or more, logit * penalty where it is
    negative.
    Source: Keskar et al., CTRL, arXiv:1909.05858, section 4.1; for negative logits as transformers
    has it.

    (C1) `logits` is [R, V], V static.  (C2) `penalty` is [R].  (C3) `offsets` is [R+1].  (C4)
    `seen` is [S].

    ```mlir
    %penalized = sample.penalize %logits, %penalty, %offsets, %seen
        : tensor<?x512xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xi32>
    ```
  }];
  let arguments = (ins TensorOfRank<2, [F32]>:$logits, TensorOfRank<1, [F32]>:$penalty,
                       TensorOfRank<1, [I32]>:$offsets, TensorOfRank<1, [I32]>:$seen);
  let results = (outs TensorOfRank<2, [F32]>:$penalized);
  let assemblyFormat = [{
    $logits `,` $penalty `,` $offsets `,` $seen attr-dict `:`
    type($logits) `,` type($penalty) `,` type($offsets) `,` type($seen)
  }];
}

#endif // HADAL_DIALECTS_SAMPLE_SAMPLE_TD
