// RUN: hadal-opt %s --hadal-cut-chunks | FileCheck %s
// RUN: hadal-opt %s --hadal-cut-chunks --exec-assign-layouts=target=x86-64-v3 --exec-form-programs=target=x86-64-v3 | FileCheck %s --check-prefix=PROGRAM
// RUN: sed 's/@stage.0_weight_grad/@other/' %s | not hadal-opt --hadal-cut-chunks 2>&1 | FileCheck %s --check-prefix=WRONG

// WRONG: wants @stage.0_weight_grad: run --hadal-split-backward first

// Parameters' sums of the stage, with whose rows each segment is of; loads and losses of other
// names are none.
// CHECK: job.ranks = #job.ranks<pp = 2, ep = 2, stages = [<first_layer = 0, layers = 1, forward = "stage.0.forward", input_grad = "stage.0.input_grad", weight_grad = "stage.0.weight_grad",
// CHECK-SAME: accumulators = [<state = "gradient.w", trainable = 0, segment_owners = [0, 1]>]>]>

// What an exchange needs is in the part before it, what needs it in the part after; the size of
// the rows is told by what came.
// CHECK-LABEL: func.func private @stage.0.forward(
// CHECK-SAME: attributes {exec.registers = ["tokens", "rows", "choices"], hadal.chunk}
// CHECK: %[[A:.*]]:2 = call @stage.0.forward.0(
// CHECK: %[[COUNTS:.*]] = moe.exchange_counts
// CHECK: %[[THERE:.*]] = moe.exchange
// CHECK-SAME: exec.name = "saved.0"
// CHECK: %[[B:.*]] = call @stage.0.forward.2(%[[THERE]]
// CHECK: return %[[B]], %[[THERE]]
// CHECK-LABEL: func.func @stage.0.forward.0(
// CHECK: arith.mulf
// CHECK-LABEL: func.func @stage.0.forward.2(
// CHECK-SAME: exec.shape = #[[$ROWS:.*]]}) ->
// CHECK: arith.addf

// A later chunk knows the names and sizes of an earlier one; what it receives comes from the next
// stage.
// CHECK-LABEL: func.func private @stage.0.input_grad(
// CHECK-SAME: exec.name = "gradient.y"
// CHECK-SAME: hadal.stage = 1
// CHECK-LABEL: func.func private @stage.0.weight_grad(
// CHECK-NOT: hadal.stage
// CHECK-LABEL: func.func @stage.0.weight_grad.0(
// CHECK: ml_program.global_store @sum.gradient.w

// Stream 1 waits for what it sends, stream 0 for what has come; the first send of a pipeline stage
// is the last command.
// PROGRAM-LABEL: exec.program @stage.0.forward registers ["tokens", "rows", "choices"]
// PROGRAM: exec.argument output "saved.0"
// PROGRAM: exec.call @stage.0.forward.0
// PROGRAM-NEXT: exec.record 0
// PROGRAM-NEXT: exec.wait 0 stream 1
// PROGRAM-NEXT: exec.exchange_counts %{{.*}} from %{{.*}} parts 2 segments 1 stride 1 rows 1 choices 2 stream 1
// PROGRAM-NEXT: exec.exchange %{{.*}} from %{{.*}} counts %{{.*}} to %{{.*}} parts 2 segments 1 stride 1 row_bytes 32 stream 1
// PROGRAM-NEXT: exec.record 1 stream 1
// PROGRAM-NEXT: exec.wait 1
// PROGRAM-NEXT: exec.call @stage.0.forward.2
// PROGRAM-NEXT: exec.record 2
// PROGRAM-NEXT: exec.wait 2 stream 1
// PROGRAM-NEXT: exec.send %{{.*}} stage 1 stream 1
// PROGRAM-LABEL: exec.program @stage.0.input_grad
// PROGRAM: exec.receive %{{.*}} stage 1 stream 1
// PROGRAM-NEXT: exec.record 0 stream 1
// PROGRAM-NEXT: exec.wait 0
// PROGRAM-NEXT: exec.call @stage.0.input_grad.0
#rows = affine_map<()[s0, s1, s2] -> (s0)>
#wide = affine_map<()[s0, s1, s2] -> (s0, 8)>
#id = affine_map<(d0, d1) -> (d0, d1)>
module attributes {job.trainables = [#job.trainable<name = "w", shape = [8]>],
    job.ranks = #job.ranks<pp = 2, ep = 2, stages = [<first_layer = 0, layers = 1>]>} {
  ml_program.global private mutable @w(#ml_program.extern<tensor<8xf32>>) : tensor<8xf32>
  ml_program.global private mutable @sum.gradient.w(#ml_program.extern<tensor<16xf32>>) : tensor<16xf32> {exec.state = "gradient.w", hadal.layout_of = @w, hadal.segment_owners = array<i64: 0, 1>}
  func.func @stage.0_forward(%ids: tensor<?x4xi32> {exec.name = "ids", exec.shape = affine_map<()[s0, s1, s2] -> (s0, 4)>}, %x: tensor<?x8xf32> {exec.name = "z", exec.shape = #wide})
      -> (tensor<?x8xf32> {exec.name = "y", hadal.gradient, hadal.stage = 1 : i64}, tensor<?x8xf32> {exec.name = "saved.0"}) attributes {exec.registers = ["tokens", "rows", "choices"]} {
    %c0 = arith.constant 0 : index
    %n = tensor.dim %x, %c0 : tensor<?x8xf32>
    %e = tensor.empty(%n) : tensor<?x8xf32>
    %square = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      %p = arith.mulf %a, %a : f32
      linalg.yield %p : f32
    } -> tensor<?x8xf32>
    %source, %slots, %local, %counts = moe.plan_sends %ids {expert_count = 8 : i64, parts = 2 : i64, segments = 1 : i64} : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<4xi32>
    %rows = moe.dispatch %square, %source : tensor<?x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
    %come, %many, %choices = moe.exchange_counts %counts {choices_register = "choices", parts = 2 : i64, rows_register = "rows", segments = 1 : i64, stride = 1 : i64} : tensor<4xi32>
    %there = moe.exchange %rows, %counts, %come rows(%many) {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x8xf32>, tensor<4xi32> -> tensor<?x8xf32>
    %m = tensor.dim %there, %c0 : tensor<?x8xf32>
    %f = tensor.empty(%m) : tensor<?x8xf32>
    %twice = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%there : tensor<?x8xf32>) outs(%f : tensor<?x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      %p = arith.addf %a, %a : f32
      linalg.yield %p : f32
    } -> tensor<?x8xf32>
    return %twice, %there : tensor<?x8xf32>, tensor<?x8xf32>
  }
  func.func @stage.0_input_grad(%saved: tensor<?x8xf32> {exec.name = "saved.0"}, %g: tensor<?x8xf32> {exec.name = "gradient.y", hadal.stage = 1 : i64})
      -> (tensor<?x8xf32> {exec.name = "kept.0"}) attributes {exec.registers = ["tokens", "rows", "choices"]} {
    %c0 = arith.constant 0 : index
    %n = tensor.dim %saved, %c0 : tensor<?x8xf32>
    %e = tensor.empty(%n) : tensor<?x8xf32>
    %product = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%saved, %g : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %p = arith.mulf %a, %b : f32
      linalg.yield %p : f32
    } -> tensor<?x8xf32>
    return %product : tensor<?x8xf32>
  }
  func.func @stage.0_weight_grad(%kept: tensor<?x8xf32> {exec.name = "kept.0"}, %g: tensor<?x8xf32> {exec.name = "gradient.y", hadal.stage = 1 : i64}) attributes {exec.registers = ["tokens", "rows", "choices"]} {
    %before = ml_program.global_load @sum.gradient.w : tensor<16xf32>
    %sum = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} outs(%before : tensor<16xf32>) {
    ^bb0(%a: f32):
      %p = arith.addf %a, %a : f32
      linalg.yield %p : f32
    } -> tensor<16xf32>
    ml_program.global_store @sum.gradient.w = %sum : tensor<16xf32>
    return
  }
}
