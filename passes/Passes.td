//===- Passes.td - all passes, in running order ----------------------------===//

#ifndef HADAL_PASSES_PASSES_TD
#define HADAL_PASSES_PASSES_TD

include "mlir/Pass/PassBase.td"

// In running order: reading this file from top to bottom is reading the compiler.

//===----------------------------------------------------------------------===//
// between the phases
//===----------------------------------------------------------------------===//

def HadalVerifyPhase : Pass<"hadal-verify-phase", "::mlir::ModuleOp"> {
  let summary = "hold a module to the ops that may exist after a phase";
  let description = [{
        hadal-opt graph.mlir --hadal-verify-phase=graph

    Changes nothing. Phases are graph (what the frontend writes), sharded (after --mla-absorb
    and --moe-shard-experts), scheduled (all that programs are formed of), kernels (programs, and
    kernels on memrefs); dialects/README.md has the table. Up to scheduled every product has a part
    of the model (`job.part`), which --hadal-round-products and --hadal-recompute choose by. Fails
    at the first op that may not stand there, and where the options do not say one phase.
    Test: test/passes/hadal-verify-phase.mlir.
  }];
  let options = [Option<"graph", "graph", "bool", "false", "the frontend's phase">,
                 Option<"sharded", "sharded", "bool", "false", "experts are on their ranks">,
                 Option<"scheduled", "scheduled", "bool", "false",
                        "all is there that programs are formed of">,
                 Option<"kernels", "kernels", "bool", "false", "programs, and kernels on memrefs">];
}

//===----------------------------------------------------------------------===//
// specialize, first: hand-written graphs in the words that later passes know
//===----------------------------------------------------------------------===//

def HadalInlineCalls : Pass<"hadal-inline-calls", "::mlir::ModuleOp"> {
  let summary = "what functions call becomes part of them";
  let description = [{
        %y = call @half(%x)    ->    %y = arith.mulf %x, ...

    A program is one function. Private functions that are called go. Leaves modules without calls
    alone. Fails where a call is left: of a function that calls itself or has no body of one block.
    Test: test/passes/hadal-inline-calls.mlir.
  }];
}

def HadalFillConstants : Pass<"hadal-fill-constants", "::mlir::func::FuncOp"> {
  let summary = "constant tensors of one value become fills";
  let description = [{
        %c = arith.constant dense<2.0> : tensor<8xf32>
    ->  %two = arith.constant 2.0 : f32
        %c = linalg.fill ins(%two) outs(tensor.empty)

    Leaves constants of several values: a module holds no such data, they are parameters.
    Test: test/passes/hadal-fill-constants.mlir.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::arith::ArithDialect"];
}

//===----------------------------------------------------------------------===//
// shard: experts on ranks
//===----------------------------------------------------------------------===//

def MoeShardExperts : Pass<"moe-shard-experts", "::mlir::ModuleOp"> {
  let summary = "experts over ranks: dispatch and combine become exchanges";
  let description = [{
        %plan = moe.plan %experts                   %sends = moe.plan_sends %experts
        %r = moe.dispatch %x, %plan                 %there = moe.exchange (moe.dispatch %x, %sends)
        %y = moe.grouped_matmul %r, %w ...    ->    %plan = moe.plan %ids_there segments ...
        %z = moe.combine %y, %plan                  ... as before, this rank's experts on these rows
                                                    %back = moe.exchange (moe.combine %y, %plan)
                                                    %z = moe.combine %back, %sends
    Parameters [E, N, K] that grouped products read become [E / ranks, N, K]. Their globals get
    `hadal.segment_owners`, the rank that each segment of rows comes from, their entries of
    `job.trainables` `sharded` and a smaller `count`. The function gets the registers
    "L<layer>.<level>.rows" and ".choices". With `nodes` between 1 and `ranks` there are two levels
    of exchange: to the nodes, and inside them. A plan that something else reads (the loads) stays
    for that. Before differentiation: gradients go back the same ways. The graph is that of every
    rank. Sums are those of one rank with all experts, bit for bit. Fails where ranks are no power
    of two, where nodes do not divide them, where they do not divide the experts, and where a plan
    is read in other ways. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2; GShard, arXiv:2006.16668,
    §3.1.
    Test: test/passes/moe-shard-experts.mlir, test/autodiff/ShardExpertsTest.cpp.
  }];
  let options = [Option<"ranks", "ranks", "int64_t", "::hadal::job::RankOptions().ep",
                        "expert-parallel ranks">,
                 Option<"nodes", "nodes", "int64_t", "::hadal::job::RankOptions().nodes",
                        "nodes that these ranks span">,
                 Option<"dispatch", "dispatch", "std::string",
                        "::hadal::job::RankOptions().dispatch",
                        "what rows travel as to the experts, and their gradients: fp32, bf16, fp8">,
                 Option<"combine", "combine", "std::string", "::hadal::job::RankOptions().combine",
                        "what rows travel as on the way back: fp32 or bf16">,
                 Option<"capacity", "capacity", "int64_t", "::hadal::job::RankOptions().capacity",
                        "most rows from one rank to another; more are an error. 0: any number">];
  let dependentDialects = ["::hadal::moe::MoeDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

//===----------------------------------------------------------------------===//
// autodiff: from the loss to its gradient
//===----------------------------------------------------------------------===//

def HadalDifferentiate : Pass<"hadal-differentiate", "::mlir::ModuleOp"> {
  let summary = "add the gradient of each function that asks for it";
  let description = [{
        func.func @loss(%x {hadal.gradient}, ...) -> tensor<f32> attributes {hadal.differentiate} {
          %w = ml_program.global_load @w
          %y = linalg.matmul_transpose_b %x, %w ...
          return %loss
    ->  func.func @loss_gradient(%x {hadal.gradient}, ...)
            -> (tensor<f32>, tensor<?xKxf32>, tensor<NxKxf32> {hadal.gradient_of = @w}) {
          ... all of @loss ...
          %dx = linalg.generic (mulf, addf) %dy, %w       %dw = linalg.generic (mulf, addf) %dy, %x
          return %loss, %dx, %dw

    After the results of the function come the gradients of its first result, a tensor of one
    float: first of the arguments with `hadal.gradient`, in order, then of the mutable globals that
    it loads and depends on, by first load. Where results have the attribute `hadal.gradient`, these
    are differentiated instead, and arguments after the others bring their gradients. Reverse mode
    on the ops as they stand: a linalg op's gradient is a linalg.generic over the same loops, the
    ops of mla and moe have rules of their own (passes/autodiff/Rules.h). What several readers add
    to a value is added from the last reader to the first. What adds to a parameter is one chain:
    each sum starts from the one before. An op with `hadal.stop_gradient` counts as constant. An op
    without a rule that the gradient goes through is an error. Source: Griewank and Walther,
    Evaluating Derivatives, 2nd ed., §3.2.
    Test: test/passes/hadal-differentiate.mlir, test/autodiff (finite differences).
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::hadal::mla::MlaDialect", "::hadal::moe::MoeDialect"];
}

def Fp8Quantize : Pass<"fp8-quantize", "::mlir::ModuleOp"> {
  let summary = "Linears compute with FP8 codes, and the backward half keeps codes";
  let description = [{
        hadal-opt loss.mlir --hadal-differentiate --fp8-quantize="interval=128,*.o_proj:0"

        %y = linalg.matmul %x, %w            %xq, %xs = fp8.quantize %x {block = [1, 128]}
        ...                                  %wq, %ws = fp8.quantize %w {block = [128, 128]}
        %dx = linalg.generic %dy, %w         %y = fp8.matmul %xq, %wq, %ws x_scale(%xs)
        %dw = linalg.generic %dy, %x    ->   ...
                                             %dx = fp8.matmul %dq, %wq, %ws x_scale(%ds) {transpose}
                                             %dw = fp8.weight_grad %dt, %dts, %xt, %xts
    The three products of every Linear take codes with scales (DeepSeek-V3, arXiv:2412.19437,
    section 3.3.1): forward X in tiles of 1 x 128 and W in 128 x 128; the input gradient dY in 1 x
    128 and the same codes of W; the weight gradient dY and X in 128 tokens x 1 channel (section
    3.3.2, figure 7). So do grouped products, whose tiles along tokens begin anew with each group. A
    value is quantized once for a tile. Which products are a Linear's forward ones and which its
    gradients is seen from what the losses are made of, as --hadal-recompute does.

    Left as they are: embedding, head, gates, norms, attention's core, eh_proj; known by `job.part`.
    In functions whose ops are of no part, every product with a parameter is a Linear's.

    The backward half keeps few bits of activations (section 3.3.3):

        %h = swiglu(%g, %u)                    %gq, %gs = fp8.quantize %g {block = [1, 128]}
        ...                             ->     ...
        %dg = (%dh, %g, %u)                    %g' = fp8.dequantize %gq, %gs
        %dw = (%dy, %h)                        %dg = (%dh, %g', %u')
                                               %dw = (%dy, swiglu(%g', %u'))
    What stands element by element between results of Linears and another's input (SwiGLU) is
    computed again from these results in E4M3; of attention's output E5M6 is kept, with powers of
    two as scales, and turned for the weight gradient with powers of two. After a norm the weight
    gradient reads the norm's output, which is cheap to compute again. Ours, where the report is
    silent: SwiGLU of dense layers and shared experts is kept in codes, too, and E5M6 has a scale
    for 128 numbers.

    Routed experts (from moe.plan to moe.combine; section 3.3.2): the tokens' rows, and the
    gradients that go to the experts, are quantized where they are, with powers of two, and codes
    travel:

        %r = moe.dispatch %x, %source          %xq, %xs = fp8.quantize %x {block = [1, 128], pow2}
        %g = moe.grouped_matmul %r, %wg   ->   %g = fp8.grouped_matmul %xq, ... x_scale(%xs)
    An exchange between ranks is two then, of codes and of scales, so that nothing is rounded that
    one rank does not round, and `format` of --moe-shard-experts has no say. Weight gradients read
    what travelled, turned with powers of two. The experts' outputs are not kept (ours): of the
    gradient's codes as they travelled, V = W_down^T g; a routing weight's gradient is the sum of
    H * V over a row, H's is the weight times V, and the weight joins H in down's weight gradient.

    Options are VALUE, for all Linears, or PATTERN:VALUE for parts of the model whose names match
    (`*`, `?`, `[...]`), several with commas between; the last that matches counts. `swiglu` and
    `attention-output` are those of the Linear that reads (down_proj, o_proj). Where nothing
    promotes (`interval=0`) each row of an operand has one scale. Fails on other values, and where a
    pattern matches no Linear. Test: test/passes/fp8-quantize.mlir, fp8-quantize-activations.mlir,
    fp8-quantize-experts.mlir.
  }];
  let options = [Option<"format", "format", "std::string", "\"e4m3\"",
                        "what operands are: e4m3 or e5m2">,
                 Option<"scales", "scales", "std::string", "\"f32\"",
                        "f32, or pow2: the next power of two">,
                 Option<"gradientTile", "gradient-tile", "std::string", "\"1x128\"",
                        "tile of dY for the input gradient: 1x128 or 128x128">,
                 Option<"attentionOutput", "attention-output", "std::string", "\"e5m6\"",
                        "what is kept of attention's output: e5m6 or e4m3">,
                 Option<"swiglu", "swiglu", "std::string", "\"e4m3\"",
                        "what is kept of SwiGLU's inputs: e4m3, or f32 (nothing changes)">,
                 Option<"interval", "interval", "std::string", "\"128\"",
                        "products that are summed up before a sum is promoted to f32: 128, 64, 32, "
                        "or 0 (all)">,
                 Option<"accumulate", "accumulate", "std::string", "\"fp32\"",
                        "how these are summed up: fp32, or hopper (as its tensor cores are "
                        "reported to: 13 fraction bits, cut off)">];
  let dependentDialects = ["::hadal::fp8::Fp8Dialect", "::hadal::moe::MoeDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::arith::ArithDialect"];
}

def Fp8WeightStates : Pass<"fp8-weight-states", "::mlir::ModuleOp"> {
  let summary = "codes of weights are made once a step";
  let description = [{
        %w = ml_program.global_load @w
        %q, %s = fp8.quantize %w {block = array<i64: 128, 128>}
    ->  %q = ml_program.global_load @copy.codes.128x128.w
        %s = ml_program.global_load @copy.scales.128x128.w
    and a function @quantize_weights that makes them, which training runs when a step begins, before
    its micro-batches: all of these read the same codes, forward and backward. On many ranks there
    is one for each pipeline stage, @quantize_weights.stage.N. Leaves alone what is quantized of
    anything but a mutable global. Before the backward half is split off, which then loads codes
    itself. Test: test/passes/fp8-weight-states.mlir.
  }];
  let dependentDialects = ["::mlir::ml_program::MLProgramDialect", "::mlir::func::FuncDialect"];
}

def Fp8SinkDequantize : Pass<"fp8-sink-dequantize", "::mlir::ModuleOp"> {
  let summary = "rows of codes are widened after they have moved";
  let description = [{
        %x = fp8.dequantize %q, %s           %q1 = moe.dispatch %q, %source
        %y = moe.dispatch %x, %source   ->   %s1 = moe.dispatch %s, %source
                                             %y = fp8.dequantize %q1, %s1
    and likewise through moe.exchange, whose `format` has nothing left to round. Takes codes in
    tiles of a row. The values are the same, bit for bit. Before --moe-encode-exchanges, which would
    round them again. Test: test/passes/fp8-sink-dequantize.mlir.
  }];
  let dependentDialects = ["::hadal::fp8::Fp8Dialect"];
}

def MoeEncodeExchanges : Pass<"moe-encode-exchanges", "::mlir::ModuleOp"> {
  let summary = "rows travel between ranks in fewer bits";
  let description = [{
        %there = moe.exchange %x {format = "fp8"}    ->    %q, %s = fp8.quantize %x
                                                         %q1 = moe.exchange %q
                                                         %s1 = moe.exchange %s
                                                         %there = fp8.dequantize %q1, %s1
    and with "bf16" through the upper halves of the numbers. After differentiation, which takes the
    rounding for nothing: gradients are those of the exchange. Leaves exchanges without `format`.
    Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2. Test: test/passes/moe-encode-exchanges.mlir.
  }];
  let dependentDialects = ["::hadal::fp8::Fp8Dialect", "::hadal::moe::MoeDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::arith::ArithDialect"];
}

def HadalSplitBackward : Pass<"hadal-split-backward", "::mlir::ModuleOp"> {
  let summary = "cut a gradient function into forward, input gradients and weight gradients";
  let description = [{
        func.func @loss_gradient(%x)
            -> (%y, %dx {hadal.gradient_of_argument}, %dw {hadal.gradient_of})
    ->  func.func @loss_forward(%x) -> (%y, %saved {exec.name = "saved.0"})
        func.func @loss_input_grad(%x, %saved, %dy)
            -> (%dx {hadal.gradient_of_argument}, %kept {exec.name = "kept.0"})
        func.func @loss_weight_grad(%x, %saved, %kept) -> (%dw {hadal.gradient_of})
    so that a pipeline's schedule can run weight gradients later. An op belongs to the first of the
    three whose results are made of it. Values that a later part reads go on under the names `saved`
    and `kept`, in order; sizes, initial values, views and loads of parameters are made anew
    instead, and counts of moe.exchange_counts are read from their registers (moe.count). Codes go
    on instead of what they were made of (fp8.quantize belongs to the part that makes its input).
    Arguments are those of the gradient function that the part reads, each with its number
    there (`hadal.argument`). Takes functions whose name ends in _gradient; fails after
    --hadal-accumulate-gradients. Source: Qi et al., Zero Bubble Pipeline Parallelism,
    arXiv:2401.10241, section 2. Test: test/passes/hadal-split-backward.mlir.
  }];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

def HadalAccumulateGradients : Pass<"hadal-accumulate-gradients", "::mlir::ModuleOp"> {
  let summary = "gradients and losses add up in globals, micro-batch by micro-batch";
  let description = [{
        func.func @f(...) -> (tensor<4x8xf32> {hadal.gradient_of = @w})
          %0 = linalg.fill ...
          %1 = linalg.generic (dy^T x) outs(%0)
          return %1
    ->    %0 = ml_program.global_load @sum.gradient.w
          %1 = linalg.generic (dy^T x) outs(%0)
          ml_program.global_store @sum.gradient.w = %1
    A result with `hadal.gradient_of` adds up in @sum.gradient.NAME, one with `hadal.accumulate =
    "NAME"` in @sum.NAME; the states that these become lose the `sum.` (attribute `exec.state`). A
    sum that starts from zeros starts from the global instead, so that micro-batches make one chain;
    anything else is added to it. @loss becomes @evaluate, @loss_gradient becomes @gradients. Leaves
    other results alone. Fails before --hadal-differentiate. Test:
    test/passes/hadal-accumulate-gradients.mlir.
  }];
  let dependentDialects = ["::mlir::ml_program::MLProgramDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::arith::ArithDialect"];
}

//===----------------------------------------------------------------------===//
// quantize: which products run in which precision
//===----------------------------------------------------------------------===//

def HadalRoundProducts : Pass<"hadal-round-products", "::mlir::ModuleOp"> {
  let summary = "products take operands that are rounded to bf16";
  let description = [{
        %y = linalg.matmul %x, %w    ->    %r = linalg.generic (round to bf16) %x
                                           %v = ml_program.global_load @copy.rounded.w
                                           %y = linalg.matmul %r, %v
    In all three directions: forward products, input gradients, weight gradients. Sums and
    everything else stay in f32, the masters of the weights too: the program `zero` fills the state
    `rounded.NAME` from `weight.NAME` when a step begins. Leaves the routers' gates and attention
    alone. After differentiation, so that the gradient products round their own operands.
    Test: test/passes/hadal-round-products.mlir.
  }];
  let options = [Option<"precision", "precision", "std::string",
                        "::hadal::job::TrainingOptions().precision",
                        "fp32 (changes nothing) or bf16">];
  let dependentDialects = ["::mlir::ml_program::MLProgramDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

//===----------------------------------------------------------------------===//
// specialize: from the model's graph to the functions that serve it
//===----------------------------------------------------------------------===//

def HadalMakePrograms : Pass<"hadal-make-programs", "::mlir::ModuleOp"> {
  let summary = "make prefill, inspect and decode of @forward";
  let description = [{
    `@forward` computes whole sequences and knows no cache. Copies of it serve:

    | program | rows | attends to | results | experts |
    |---|---|---|---|---|
    | `@prefill` | whole sequences | its own rows | logits | routed |
    | `@inspect` | whole sequences | its own rows | all | routed |
    | `@inspect_routed` | whole sequences | its own rows | all | given, as arguments |
    | `@decode` | the newest of each sequence | the cache | logits | routed |

    Each gets the argument `slots`, where its rows go in the cache; what attends to the cache gets
    `page_table`. The passes that follow look for these. Leaves modules without @forward alone.
    Fails where an argument of @forward is missing. Test: test/passes/hadal-make-programs.mlir.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}

def MlaAppendCache : Pass<"mla-append-cache", "::mlir::ModuleOp"> {
  let summary = "functions with `slots` keep latents and rope keys of their rows";
  let description = [{
        func @f(..., %slots {exec.name = "slots"})
          %o = mla.attention %qn, %qr, %kn, %kr, %v
    ->  exec.state "cache.0"
        func @f(..., %slots {exec.name = "slots"}, %c0 {exec.state = "cache.0"})
          %c1 = mla.cache_append %ckv, %kr, %slots, %c0
          %o = mla.attention %qn, %qr, %kn, %kr, %v
          return ..., %c1 {exec.state = "cache.0"}

    The cache of a layer is a state of the module, one row of rk + dr numbers for each token, which
    all functions share. With `cache` fp8 the latent is kept in E4M3, in tiles of 1 x 128 with an
    f32 scale each, in a state "cache.0.codes"; "cache.0" has the scales and then the key. Rows that
    are codes times scales already are kept as these. Fails where the keys of an attention are no
    product of a latent and a parameter. Test: test/passes/mla-append-cache.mlir.
  }];
  let options = [Option<"cache", "cache", "std::string", "\"fp32\"",
                        "what latents are kept in: fp32 or fp8">];
  let dependentDialects = ["::hadal::exec::ExecDialect", "::hadal::fp8::Fp8Dialect",
                           "::hadal::mla::MlaDialect"];
}

def MlaAbsorb : Pass<"mla-absorb", "::mlir::ModuleOp"> {
  let summary = "functions with `page_table` attend to the latent cache";
  let description = [{
    The key projection is absorbed into the query and the value projection follows the attention, so
    that the cache is never expanded:

        %kv = linalg.matmul %ckv, %w_kv_b
        %c1 = mla.cache_append %ckv, %k_rope, %slots, %c0
        %o = mla.attention %qn, %qr, %kn, %kr, %v
    ->  %c1 = mla.cache_append %ckv, %k_rope, %slots, %c0
        %ql = linalg.contract %qn, %w_k
        %ol = mla.latent_attention %ql, %qr, %c1, %table, %positions
        %o = linalg.contract %ol, %w_v

    Source: DeepSeek-V2, arXiv:2405.04434, section 2.1.2. Leaves every other function alone. Fails
    where an attention's latent was not appended to a cache. Test: test/passes/mla-absorb.mlir.
  }];
  let options = [Option<"pageTokens", "page-tokens", "int64_t", "::hadal::job::defaultPageTokens",
                        "positions of a page of the latent cache">];
  let dependentDialects = ["::hadal::mla::MlaDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def HadalFuseElementwise : Pass<"hadal-fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "an element-wise op joins its only reader, if that is element-wise too";
  let description = [{
        %b = linalg.generic (add bias) %y
        %r = linalg.generic (add residual) %b, %x
    ->  %r = linalg.generic (add, add) %y, %bias, %x
    Leaves products, reductions and gathers, and moves no reshape: a product stays what the kernels
    know. Test: test/passes/hadal-fuse-elementwise.mlir.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}

def Fp8FoldDequantize : Pass<"fp8-fold-dequantize", "::mlir::ModuleOp"> {
  let summary = "products with dequantized operands become products of codes";
  let description = [{
        %w = fp8.dequantize %q, %s
        %y = linalg.matmul %x, %w       ->       %y = fp8.matmul %x, %q, %s
        %z = moe.grouped_matmul %x, %w  ->       %z = fp8.grouped_matmul %x, %q, %s
    Rows that are dequantized, too, in tiles of 1 x a block's length, are taken as codes (x_scale).
    Leaves dequantized weights that something else reads. Test:
    test/passes/fp8-fold-dequantize.mlir.
  }];
}

def MoeFuseDispatch : Pass<"moe-fuse-dispatch", "::mlir::ModuleOp"> {
  let summary = "grouped products read the tokens' rows where they lie";
  let description = [{
        %rows = moe.dispatch %x, %source
        %y = moe.grouped_matmul %rows, %w, ...
    ->  %y = moe.grouped_matmul %x, %w, ... source(%source)
    Leaves a dispatch that something else reads. Test: test/passes/moe-fuse-dispatch.mlir.
  }];
}

//===----------------------------------------------------------------------===//
// programs: from functions to programs and kernels
//===----------------------------------------------------------------------===//

def HadalRecompute : Pass<"hadal-recompute", "::mlir::ModuleOp"> {
  let summary = "the backward half computes activations again instead of keeping them";
  let description = [{
    In a function of losses and gradients, what the losses are made of is the forward half, all else
    the backward half. Forward values that the policy names get a copy before their first reader in
    the backward half:

        %n = norm(%x)                      %n = norm(%x)
        ... forward ...              ->    ... forward ...
        %dw = outer(%dy, %n)               %m = norm(%x) {hadal.recomputed}
                                           %dw = outer(%dy, %m)
    `report`: RMSNorm, the up-projections of MLA, SwiGLU's output (DeepSeek-V3, arXiv:2412.19437,
    section 3.2.3); with them what costs next to nothing: rotations, codes of what is made again,
    rows of the embedding. `all`: everything but the layers' inputs and the experts' choice. Codes
    that are kept instead of a value (fp8.quantize in tiles of one row) are of the forward half, and
    the report keeps them. The values are the same, bit for bit. After CSE, which would undo it.
    Parts of the model are known by `job.part`. Test: test/passes/hadal-recompute.mlir.
  }];
  let options = [Option<"policy", "policy", "std::string", "\"none\"", "none, report or all">];
}

def HadalCutChunks : Pass<"hadal-cut-chunks", "::mlir::ModuleOp"> {
  let summary = "what a pipeline stage does with a micro-batch, cut where ranks talk to each other";
  let description = [{
    In a module with `job.ranks`, the three functions of each stage:

        func.func @stage.0_forward(%x) -> %y
          ops
          moe.exchange
          ops
    ->  func.func private @stage.0.forward(%x) -> %y attributes {hadal.chunk}
          %a = call @stage.0.forward.0(%x)
          %b = moe.exchange %a
          %y = call @stage.0.forward.1(%a, %b)

    Every value that crosses has a name (`exec.name`) and sizes over the micro-batch's registers
    (`exec.shape`), known to all chunks of the stage. `job.ranks` gets the names of the chunks and
    the sums that they add to. A function reads what moe.exchange_counts has counted from the
    program's registers (moe.count). Fails where a size is no function of these. In a module whose
    `job.ranks` has no stages, each public function with an exchange, which keeps its name;
    `job.ranks` gets a list of them and of their results. States stay with the sections that use
    them. Tests: test/passes/hadal-cut-chunks.mlir, hadal-cut-chunks-inference.mlir.
  }];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def ExecAssignLayouts : Pass<"exec-assign-layouts", "::mlir::ModuleOp"> {
  let summary = "say how tensors lie in memory, as the target likes them";
  let description = [{
        ml_program.global private mutable @w : tensor<6x8xf32>
        func.func @f(%x) {
          %w = ml_program.global_load @w
          %y = linalg.matmul %x, %w
          %v = ml_program.global_load_const @v
          %z = linalg.matmul %x, %v
    ->  ml_program.global private mutable @w : tensor<6x8xf32>
          {exec.layout = #exec.layout<"cpu.panels", outputs = 16, inner = 2>}
        ...
          %p = exec.relayout %v : tensor<6x8xf32>
                   as #exec.layout<"cpu.packed", outputs = 16, inner = 2>
          %z = linalg.matmul %x, %p

    Asks the target (passes/targets/Target.h) of each mutable global, by what reads it. A global
    with `hadal.layout_of`, a gradient or a rounded copy, lies as its parameter does. The weights of
    a product that lie otherwise than its kernel wants them are copied. Leaves layouts that are
    given, and what the target wants as stored. --exec-form-programs follows attributes and copies.
    Fails where there is no such target, and on weights of dynamic shape.
    Test: test/passes/exec-assign-layouts.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"host\"",
                        "what kernels are made for">];
  let dependentDialects = ["::hadal::exec::ExecDialect"];
}

def ExecFormPrograms : Pass<"exec-form-programs", "::mlir::ModuleOp"> {
  let summary = "functions become programs that launch kernels";
  let description = [{
        func.func @f(%x) {
          %0 = linalg.matmul %x, %w
          %1 = linalg.generic (silu) %0
          return %1
    ->  exec.program @f registers ["arg0.0"] {
          exec.launch @kernel_0(%x, %packed_w, %y) ...
        func.func private @kernel_0(...) {exec.kernel}

    A kernel is one op, or several as the target has it (on CPUs a product with the
    element-wise op that follows it, a pair of products of one left operand under one such op, a
    chain of linalg ops over the same rows). Equal kernels are one. What an exec.relayout copies is
    laid out: parameters once, by the program @pack, other tensors by a launch before their readers.
    Sizes become functions of the program's registers. Fails on ops that no kernel knows.
    Test: test/passes/exec-form-programs.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"host\"",
                        "what kernels are made for">];
  let dependentDialects = ["::hadal::exec::ExecDialect", "::mlir::func::FuncDialect",
                           "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def ExecAddSampling : Pass<"exec-add-sampling", "::mlir::ModuleOp"> {
  let summary = "add the programs over rows of logits: argmax, sample, nll and their kin";
  let description = [{
    Each launches one kernel, which holds one op of the dialect `sample`; a target lowers it. The
    driver draws the random number, the kernel chooses: `argmax` (ties take the lower id),
    `sample` (temperature, then the top_k likeliest tokens, then the smallest set of these whose
    probabilities reach top_p, then those at least min_p times as likely as the likeliest), `nll`
    (negative log-likelihood of a target), `log_probabilities` (of the chosen token and of the
    likeliest ones), `penalize` (the repetition penalty of tokens seen).
    Test: test/passes/exec-add-sampling.mlir.
  }];
  let options = [Option<"vocabulary", "vocabulary", "int64_t", "0", "logits of a row">];
  let dependentDialects = ["::hadal::exec::ExecDialect", "::hadal::sample::SampleDialect",
                           "::mlir::func::FuncDialect"];
}

def ExecAddOptimizer : Pass<"exec-add-optimizer", "::mlir::ModuleOp"> {
  let summary = "add the programs of a training job that no graph op describes";
  let description = [{
    From `job.trainables`: `zero`, `norms`, `optimizer` (the step's learning rate, clipping,
    AdamW, then the program `balance`), `draw` (first values) and, for each layout of a parameter,
    `pack.f32.LAYOUT`, `pack.bf16.LAYOUT` and `unpack.LAYOUT`; with them the states of the moments.
    Kernels are computations on tensors, in `linalg` and, where a sum has an order, `train`; a
    target lowers them. Runs after --exec-form-programs, which says how parameters lie.
    Test: test/passes/exec-add-optimizer.mlir.
  }];
  let options = [Option<"moments", "moments", "std::string", "\"fp32\"",
                        "element type of the moments: fp32 or bf16">,
                 Option<"average", "average", "bool", "false",
                        "keep a moving average of the weights">];
  let dependentDialects = ["::hadal::fp8::Fp8Dialect", "::hadal::exec::ExecDialect",
                           "::hadal::train::TrainDialect", "::mlir::func::FuncDialect",
                           "::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def ExecPlanMemory : Pass<"exec-plan-memory", "::mlir::ModuleOp"> {
  let summary = "give temporaries slots, so that values whose lives do not meet share memory";
  let description = [{
        %0 = exec.temporary bytes #map    ->    %0 = exec.temporary bytes #map slot 0
    A slot is as large as its largest temporary; among free slots the one of the nearest size for a
    typical run is taken.
    Test: test/passes/exec-plan-memory.mlir.
  }];
}

def HadalLowerKernels : Pass<"hadal-lower-kernels", "::mlir::ModuleOp"> {
  let summary = "kernels on tensors become kernels on memrefs";
  let description = [{
        func.func private @k(%x: tensor<?x64xf32>, ...) -> tensor<?x32xf32> attributes {exec.kernel}
    ->  func.func private @k(%x: memref<?x64xf32>, ..., %y: memref<?x32xf32>,
                             %begin: index, %end: index, %scratch: memref<?xi8>)
          attributes {exec.kernel, exec.launch = #exec.launch<tasks = ..., access = ...>}
    Products, attention, routing and quantization have emitters of their own; groups of linalg ops
    are tiled over rows, fused, bufferized and lowered to loops. Test:
    test/passes/hadal-lower-kernels.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"host\"",
                        "what kernels are made for">];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::vector::VectorDialect", "::mlir::scf::SCFDialect",
                           "::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::affine::AffineDialect",
                           "::mlir::tensor::TensorDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::bufferization::BufferizationDialect",
                           "::hadal::hopper::HopperDialect"];
}

def ExecOrderChunks : Pass<"exec-order-chunks", "::mlir::ModuleOp"> {
  let summary = "write the order in which each pipeline rank does its chunks";
  let description = [{
        module attributes {job.ranks = #job.ranks<pp = 2, ...>, job.training = ...}
    ->  exec.order 0 [F0.0, F0.1, B0.0, B0.1]
        exec.order 1 [F0.0, B0.0, F0.1, B0.1]
    The orders of a schedule (runtime/schedule), for the step's micro-batches. Leaves orders alone
    that stand there, made by hand: they need to be of this job's ranks, directions and
    micro-batches, and `hadal-inspect --verify` says of the module whether all ranks come to their
    ends with them. Leaves a job on one rank alone, and inference. Fails where the schedule does not
    work with so many ranks and micro-batches, or wants other stages than the model was cut into.
    Test: test/passes/exec-order-chunks.mlir.
  }];
  let options = [Option<"schedule", "schedule", "std::string", "",
                        "1f1b, zb1p, dualpipe or dualpipev; by default what job.ranks says">];
  let dependentDialects = ["::hadal::exec::ExecDialect"];
}

//===----------------------------------------------------------------------===//
// targets: from kernels to LLVM
//===----------------------------------------------------------------------===//

def HopperToNvvm : Pass<"hopper-to-nvvm", "::mlir::ModuleOp"> {
  let summary = "hopper ops become instructions of the GPU";
  let description = [{
        %p = hopper.mma %a, %b {element = bf16, n = 128 : i32, k = 64 : i32}
        %v = hopper.await %p : vector<64xf32>
    ->  nvvm.wgmma.fence.aligned, four nvvm.wgmma.mma_async, nvvm.wgmma.commit.group, and a wait as
        inline PTX that takes each register of the sums and gives it back
    Shared memory is the global @hadal_shared in address space 3; --convert-nvvm-to-llvm has to come
    after it. Leaves all else alone, and synchronizations with `hopper.dropped` out. Test:
    test/passes/hopper-to-nvvm.mlir.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

def HopperToEmulator : Pass<"hopper-to-emulator", "::mlir::ModuleOp"> {
  let summary = "hopper ops become calls of the emulated device";
  let description = [{
        hopper.wait "full" %p[%stage], %phase
    ->  llvm.call @hadal_emu_mbarrier_wait(%barrier, %phase, %at)
    The calls are those of runtime/emulated/EmulatorCalls.h. `%at` is the op's number in the
    constant @KERNEL.locations, which names it in reports. Loads and stores of shared memory, and of
    buffers that the kernel writes, have a notice before them. Leaves synchronizations with
    `hopper.dropped` out. Test: test/passes/hopper-to-emulator.mlir.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

def HadalExpandMath : Pass<"hadal-expand-math", "::mlir::func::FuncOp"> {
  let summary = "exp, log and their kin become polynomials";
  let description = [{
    No kernel calls a mathematical library: f32 functions become polynomials of multiplications and
    additions. Leaves sqrt, abs and fma, which are instructions. Test:
    test/passes/hadal-expand-math.mlir.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::vector::VectorDialect"];
}

def HadalKernelEntries : Pass<"hadal-kernel-entries", "::mlir::ModuleOp"> {
  let summary = "give each lowered kernel the entry that the runtime calls";
  let description = [{
        llvm.func @k(%buffers: ptr, %scalars: ptr, %begin: i64, %end: i64, %scratch: ptr)
    builds the kernel's memrefs from base addresses and sizes and calls it (runtime/Abi.h). Runs
    after the conversion to LLVM, when a memref is its parts. bf16 is loaded as i16 and widened by a
    shift, since not every target has registers of bf16. Test:
    test/passes/hadal-kernel-entries.mlir.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

def HadalGridEntries : Pass<"hadal-grid-entries", "::mlir::ModuleOp"> {
  let summary = "give each kernel that is launched as a grid the entry that a driver starts";
  let description = [{
        llvm.func @k(%x: ptr, %y: ptr, %rows: i64, %tasks: i64, %scratch: ptr, %map: ptr) attributes
          {nvvm.kernel, nvvm.reqntid = array<i32: 32>}
    takes the address of each buffer, the scalars, the number of tasks, the scratch of all threads
    or blocks (if there is any) and the tensor maps, and calls the kernel: in the tier `serial` each
    thread with tasks of its own, in others each block with all tasks. `emulated`: the entry is
    `k(ptr)`, the table of addresses of these, and `k.params` says how many bytes each has
    (runtime/emulated/EmulatorCalls.h). Runs after --hadal-kernel-entries, which leaves grids alone.
    Test: test/passes/hadal-grid-entries.mlir.
  }];
  let options = [Option<"emulated", "emulated", "bool", "false",
                        "entries are for the emulated device, not for PTX">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

#endif // HADAL_PASSES_PASSES_TD
