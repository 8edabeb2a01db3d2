// RUN: hadal-opt %s --split-input-file --hadal-recompute=policy=report | FileCheck %s --check-prefixes=CHECK,REPORT
// RUN: hadal-opt %s --split-input-file --hadal-recompute=policy=all | FileCheck %s --check-prefixes=CHECK,ALL
// RUN: hadal-opt %s --split-input-file --hadal-recompute=policy=none | FileCheck %s --check-prefix=NONE
// RUN: not hadal-opt %s --split-input-file --hadal-recompute=policy=some 2>&1 | FileCheck %s --check-prefix=WRONG

// NONE-NOT: hadal.recomputed
// WRONG: hadal-recompute wants the policy none, report or all, got some

// The forward half stays as it is; the losses are made of it.
// CHECK-LABEL: func.func @gradients(
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>, %[[G:.*]]: tensor<?x8xf32>)
// CHECK: %[[NORM:.*]] = linalg.exp {{.*}}ins(%[[X]] :
// CHECK: %[[O:.*]] = linalg.square {{.*}}ins(%[[NORM]] :
// CHECK: %[[RESIDUAL:.*]] = linalg.add {{.*}}ins(%[[X]], %[[O]] :
// CHECK: %[[OUTSIDE:.*]] = linalg.exp {{.*}}ins(%[[RESIDUAL]] :
// CHECK: ml_program.global_store @sum.losses = %[[OUTSIDE]]

// Of what the backward half reads, the report makes norms again, from what was kept, before the
// first that reads them; `all` also what lies between (the output of attention, from the norm that
// is there again), but not a layer's result. Nothing of the head is made again.
// CHECK: %[[NORM2:.*]] = linalg.exp {hadal.recomputed, job.part = #[[PART:.*]]} ins(%[[X]] :
// CHECK-NEXT: linalg.mul ins(%[[G]], %[[NORM2]] :
// REPORT-NEXT: linalg.mul ins(%{{.*}}, %[[O]] :
// ALL-NEXT: %[[O2:.*]] = linalg.square {hadal.recomputed, {{.*}}} ins(%[[NORM2]] :
// ALL-NEXT: linalg.mul ins(%{{.*}}, %[[O2]] :
// CHECK-NEXT: linalg.mul ins(%{{.*}}, %[[RESIDUAL]] :
// CHECK-NEXT: linalg.mul ins(%{{.*}}, %[[OUTSIDE]] :
#norm = #job.part<"layers.0.input_layernorm">
#o = #job.part<"layers.0.self_attn.o_proj">
#residual = #job.part<"layers.0.mlp_residual">
#outside = #job.part<"lm_head">
module {
  ml_program.global private mutable @w(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32>
  ml_program.global private mutable @sum.gradient.w(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32> {exec.state = "gradient.w", hadal.layout_of = @w}
  ml_program.global private mutable @sum.losses(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32> {exec.state = "losses"}
  func.func @gradients(%x: tensor<?x8xf32>, %g: tensor<?x8xf32>) {
    %c0 = arith.constant 0 : index
    %rows = tensor.dim %x, %c0 : tensor<?x8xf32>
    %e = tensor.empty(%rows) : tensor<?x8xf32>
    %n = linalg.exp {job.part = #norm} ins(%x : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %o = linalg.square {job.part = #o} ins(%n : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %r = linalg.add {job.part = #residual} ins(%x, %o : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %l = linalg.exp {job.part = #outside} ins(%r : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    ml_program.global_store @sum.losses = %l : tensor<?x8xf32>
    %0 = linalg.mul ins(%g, %n : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %1 = linalg.mul ins(%0, %o : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %2 = linalg.mul ins(%1, %r : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %3 = linalg.mul ins(%2, %l : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    ml_program.global_store @sum.gradient.w = %3 : tensor<?x8xf32>
    return
  }
}

// -----

// Codes in tiles of one row are kept of a forward value instead of it: they are of the forward half
// where only the backward half reads them, and the report keeps them. Codes along rows, which a
// weight gradient reads, are made where it stands, of a norm that is there again.
// CHECK-LABEL: func.func @codes(
// CHECK: %[[H:.*]] = linalg.exp {{.*}}ins(%[[X:.*]] :
// CHECK: %[[Q:.*]], %[[S:.*]] = fp8.quantize %[[H]] {block = array<i64: 1, 128>,
// CHECK: ml_program.global_store @sum.losses
// REPORT-NOT: fp8.quantize {{.*}}array<i64: 1, 128>
// REPORT: fp8.dequantize %[[Q]], %[[S]]
// ALL: %[[H2:.*]] = linalg.exp {hadal.recomputed,
// ALL: fp8.quantize %[[H2]] {block = array<i64: 1, 128>, hadal.recomputed,
// CHECK: %[[N2:.*]] = linalg.square {hadal.recomputed,
// CHECK: fp8.quantize %[[N2]] {block = array<i64: 128, 1>
#norm = #job.part<"layers.0.input_layernorm">
#swiglu = #job.part<"layers.0.mlp.swiglu">
module {
  ml_program.global private mutable @w(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32>
  ml_program.global private mutable @sum.gradient.w(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32> {exec.state = "gradient.w", hadal.layout_of = @w}
  ml_program.global private mutable @sum.losses(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32> {exec.state = "losses"}
  func.func @codes(%x: tensor<?x8xf32>) {
    %c0 = arith.constant 0 : index
    %rows = tensor.dim %x, %c0 : tensor<?x8xf32>
    %e = tensor.empty(%rows) : tensor<?x8xf32>
    %h = linalg.exp {job.part = #swiglu} ins(%x : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %q, %s = fp8.quantize %h {block = array<i64: 1, 128>, job.part = #swiglu} : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x1xf32>
    %n = linalg.square {job.part = #norm} ins(%h : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    ml_program.global_store @sum.losses = %n : tensor<?x8xf32>
    %k = fp8.dequantize %q, %s {block = array<i64: 1, 128>} : tensor<?x8xf8E4M3FN>, tensor<?x1xf32> -> tensor<?x8xf32>
    %nq, %ns = fp8.quantize %n {block = array<i64: 128, 1>} : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x8xf32>
    %d = fp8.dequantize %nq, %ns {block = array<i64: 128, 1>} : tensor<?x8xf8E4M3FN>, tensor<?x8xf32> -> tensor<?x8xf32>
    %0 = linalg.mul ins(%k, %d : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    ml_program.global_store @sum.gradient.w = %0 : tensor<?x8xf32>
    return
  }
}

// -----

// With what the report makes again goes what costs next to nothing: rows of the embedding, rotations,
// codes (of rows that only the forward half quantizes), and the last norm.
// CHECK-LABEL: func.func @cheap(
// CHECK: ml_program.global_store @sum.losses
// CHECK: %[[X:.*]] = moe.dispatch {{.*}} {hadal.recomputed,
// CHECK: %[[N:.*]] = linalg.exp {hadal.recomputed, {{.*}}ins(%[[X]] :
// CHECK: fp8.quantize %[[N]] {block = array<i64: 1, 128>, hadal.recomputed,
// CHECK: mla.rope {{.*}} {hadal.recomputed,
// CHECK: linalg.exp {hadal.recomputed,
#embedding = #job.part<"embed_tokens">
#input = #job.part<"layers.0.input_layernorm">
#gate = #job.part<"layers.0.mlp.gate_proj">
#attention = #job.part<"layers.0.self_attn">
#last = #job.part<"norm">
module {
  ml_program.global private mutable @table(#ml_program.extern<tensor<16x8xf32>>) : tensor<16x8xf32>
  ml_program.global private mutable @w(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32>
  ml_program.global private mutable @sum.gradient.w(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32> {exec.state = "gradient.w", hadal.layout_of = @w}
  ml_program.global private mutable @sum.losses(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32> {exec.state = "losses"}
  func.func @cheap(%ids: tensor<?xi32>, %cos: tensor<?x4xf32>, %sin: tensor<?x4xf32>) {
    %c0 = arith.constant 0 : index
    %table = ml_program.global_load @table : tensor<16x8xf32>
    %x = moe.dispatch %table, %ids {job.part = #embedding} : tensor<16x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
    %rows = tensor.dim %ids, %c0 : tensor<?xi32>
    %e = tensor.empty(%rows) : tensor<?x8xf32>
    %n = linalg.exp {job.part = #input} ins(%x : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %q, %s = fp8.quantize %n {block = array<i64: 1, 128>, job.part = #gate} : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x1xf32>
    %y = fp8.dequantize %q, %s {block = array<i64: 1, 128>, job.part = #gate} : tensor<?x8xf8E4M3FN>, tensor<?x1xf32> -> tensor<?x8xf32>
    %heads = tensor.expand_shape %n [[0], [1, 2]] output_shape [%rows, 1, 8] : tensor<?x8xf32> into tensor<?x1x8xf32>
    %r = mla.rope %heads, %cos, %sin {interleave = true, job.part = #attention} : tensor<?x1x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x1x8xf32>
    %flat = tensor.collapse_shape %r [[0], [1, 2]] : tensor<?x1x8xf32> into tensor<?x8xf32>
    %z = linalg.add {job.part = #attention} ins(%y, %flat : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %l = linalg.exp {job.part = #last} ins(%z : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    ml_program.global_store @sum.losses = %l : tensor<?x8xf32>
    %k = fp8.dequantize %q, %s {block = array<i64: 1, 128>} : tensor<?x8xf8E4M3FN>, tensor<?x1xf32> -> tensor<?x8xf32>
    %0 = linalg.mul ins(%k, %flat : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %1 = linalg.mul ins(%0, %l : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    ml_program.global_store @sum.gradient.w = %1 : tensor<?x8xf32>
    return
  }
}
