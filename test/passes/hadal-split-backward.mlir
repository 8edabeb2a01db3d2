// RUN: hadal-opt %s --split-input-file --hadal-differentiate --hadal-split-backward --cse --verify-diagnostics | FileCheck %s

// The forward part keeps what the way back reads: the activated product. The input's gradient needs
// the weights, which it loads for itself; what it knows of the product's gradient is kept for the
// weights', which reads the function's own argument again.
// CHECK-LABEL: func.func @stage(
// CHECK-LABEL: func.func @stage_forward(
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<?x8xf32> {exec.name = "x", hadal.argument = 0 : i64, hadal.gradient})
// CHECK-SAME: -> (tensor<?x16xf32> {exec.name = "y", hadal.gradient}, tensor<?x16xf32> {exec.name = "saved.0"})
// CHECK: ml_program.global_load @w
// CHECK: %[[P:.*]] = linalg.matmul
// CHECK: %[[Y:.*]] = linalg.generic
// CHECK-NOT: linalg.generic
// CHECK: return %[[Y]], %[[P]]

// CHECK-LABEL: func.func @stage_input_grad(
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<?x8xf32> {exec.name = "x", hadal.argument = 0 : i64, hadal.gradient}
// CHECK-SAME: %[[G:[a-z0-9]*]]: tensor<?x16xf32> {exec.name = "gradient.y", hadal.argument = 1 : i64, hadal.gradient_of_result = 0 : i64}
// CHECK-SAME: %[[P:[a-z0-9]*]]: tensor<?x16xf32> {exec.name = "saved.0"})
// CHECK-SAME: -> (tensor<?x8xf32> {exec.name = "gradient.x", hadal.gradient_of_argument = 0 : i64}, tensor<?x16xf32> {exec.name = "kept.0"})
// CHECK-NOT: linalg.matmul
// CHECK: %[[W:.*]] = ml_program.global_load @w
// CHECK: %[[DP:.*]] = linalg.generic {{.*}} ins(%[[G]], %[[P]]
// CHECK: %[[DX:.*]] = linalg.generic {{.*}} ins(%[[DP]], %[[W]]
// CHECK-NOT: linalg.generic
// CHECK: return %[[DX]], %[[DP]]

// CHECK-LABEL: func.func @stage_weight_grad(
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<?x8xf32> {exec.name = "x", hadal.argument = 0 : i64, hadal.gradient}, %[[DP:[a-z0-9]*]]: tensor<?x16xf32> {exec.name = "kept.0"})
// CHECK-SAME: -> (tensor<16x8xf32> {exec.name = "gradient.w", hadal.gradient_of = @w})
// CHECK-NOT: ml_program.global_load
// CHECK: %[[DW:.*]] = linalg.generic {{.*}} ins(%[[DP]], %[[X]]
// CHECK-NOT: linalg.generic
// CHECK: return %[[DW]]
// CHECK-NOT: @stage_gradient
#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(t, h) -> (t, h)>
ml_program.global private mutable @w(#ml_program.extern<tensor<16x8xf32>>) : tensor<16x8xf32>
func.func @stage(%x: tensor<?x8xf32> {hadal.gradient, exec.name = "x"}) -> (tensor<?x16xf32> {hadal.gradient, exec.name = "y"})
    attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x8xf32>
  %w = ml_program.global_load @w : tensor<16x8xf32>
  %e = tensor.empty(%rows) : tensor<?x16xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  %p = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<?x8xf32>, tensor<16x8xf32>) outs(%z : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%p : tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = math.exp %a : f32
    linalg.yield %r : f32
  } -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

ml_program.global private mutable @g(#ml_program.extern<tensor<8xf32>>) : tensor<8xf32>
func.func @late_gradient(%x: tensor<8xf32>) -> tensor<8xf32> {
  // expected-error@+1 {{'ml_program.global_store' op wants to run after --hadal-split-backward}}
  ml_program.global_store @g = %x : tensor<8xf32>
  return %x : tensor<8xf32>
}

// -----

// What goes on to a later part are codes: of an activation those that are kept of it, of a gradient
// those that the weights' gradient reads. What is made of codes alone waits.
// CHECK-LABEL: func.func @codes_forward(
// CHECK-SAME: -> (tensor<?x8xf32> {exec.name = "y"}, tensor<?x8xf8E4M3FN> {exec.name = "saved.0"}, tensor<?x1xf32> {exec.name = "saved.1"})
// CHECK: fp8.quantize %{{.*}} {block = array<i64: 1, 128>}
// CHECK-NOT: fp8.
// CHECK-LABEL: func.func @codes_input_grad(
// CHECK-SAME: -> (tensor<?x8xf32> {exec.name = "gradient.x", hadal.gradient_of_argument = 0 : i64}, tensor<?x8xf8E4M3FN> {exec.name = "kept.0"}, tensor<?x8xf32> {exec.name = "kept.1"})
// CHECK: fp8.dequantize
// CHECK: linalg.square
// CHECK: fp8.quantize %{{.*}} {block = array<i64: 128, 1>}
// CHECK-NOT: fp8.
// CHECK-LABEL: func.func @codes_weight_grad(
// CHECK-SAME: tensor<?x8xf8E4M3FN> {exec.name = "saved.0"}, %{{.*}}: tensor<?x1xf32> {exec.name = "saved.1"}, %{{.*}}: tensor<?x8xf8E4M3FN> {exec.name = "kept.0"}, %{{.*}}: tensor<?x8xf32> {exec.name = "kept.1"})
// CHECK-NOT: linalg.square
// CHECK: fp8.dequantize %{{.*}} {block = array<i64: 1, 128>}
// CHECK: fp8.quantize %{{.*}} {block = array<i64: 128, 1>}
ml_program.global private mutable @c(#ml_program.extern<tensor<?x8xf32>>) : tensor<?x8xf32>
func.func @codes_gradient(%x: tensor<?x8xf32> {exec.name = "x"}, %dy: tensor<?x8xf32> {exec.name = "gradient.y", hadal.gradient_of_result = 0 : i64})
    -> (tensor<?x8xf32> {exec.name = "y"}, tensor<?x8xf32> {exec.name = "gradient.x", hadal.gradient_of_argument = 0 : i64},
        tensor<?x8xf32> {exec.name = "gradient.c", hadal.gradient_of = @c}) {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%rows) : tensor<?x8xf32>
  %n = linalg.exp ins(%x : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = linalg.square ins(%n : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  %q, %s = fp8.quantize %n {block = array<i64: 1, 128>} : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x1xf32>
  %k = fp8.dequantize %q, %s {block = array<i64: 1, 128>} : tensor<?x8xf8E4M3FN>, tensor<?x1xf32> -> tensor<?x8xf32>
  %dx = linalg.mul ins(%dy, %k : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  %g = linalg.square ins(%dx : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  %gq, %gs = fp8.quantize %g {block = array<i64: 128, 1>} : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x8xf32>
  %gd = fp8.dequantize %gq, %gs {block = array<i64: 128, 1>} : tensor<?x8xf8E4M3FN>, tensor<?x8xf32> -> tensor<?x8xf32>
  %kept = fp8.dequantize %q, %s {block = array<i64: 1, 128>} : tensor<?x8xf8E4M3FN>, tensor<?x1xf32> -> tensor<?x8xf32>
  %turned = linalg.exp ins(%kept : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  %tq, %ts = fp8.quantize %turned {block = array<i64: 128, 1>} : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x8xf32>
  %td = fp8.dequantize %tq, %ts {block = array<i64: 128, 1>} : tensor<?x8xf8E4M3FN>, tensor<?x8xf32> -> tensor<?x8xf32>
  %dw = linalg.mul ins(%gd, %td : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y, %dx, %dw : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// A part that is cut off from the exchange of counts reads them from the program's registers.
// CHECK-LABEL: func.func @counts_forward(
// CHECK: %[[RECEIVE:.*]], %[[N:.*]], %{{.*}} = moe.exchange_counts
// CHECK-NEXT: moe.exchange {{.*}} rows(%[[N]])
// CHECK-NOT: moe.count
// CHECK-LABEL: func.func @counts_input_grad(
// CHECK: %[[N:.*]] = moe.count "r"
// CHECK-NEXT: moe.exchange {{.*}} rows(%[[N]])
// CHECK-LABEL: func.func @counts_weight_grad(
// CHECK-NOT: moe.
// CHECK: %[[C:.*]] = moe.count "c"
// CHECK: tensor.empty(%[[C]])
ml_program.global private mutable @c(#ml_program.extern<tensor<?xf32>>) : tensor<?xf32>
func.func @counts_gradient(%x: tensor<?x8xf32> {exec.name = "x"}, %send: tensor<4xi32> {exec.name = "send"}, %dy: tensor<?x8xf32> {exec.name = "gradient.y", hadal.gradient_of_result = 0 : i64})
    -> (tensor<?x8xf32> {exec.name = "y"}, tensor<?x8xf32> {exec.name = "gradient.x", hadal.gradient_of_argument = 0 : i64},
        tensor<?xf32> {exec.name = "gradient.c", hadal.gradient_of = @c}) {
  %receive, %n, %choices = moe.exchange_counts %send
      {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "r", choices_register = "c"} : tensor<4xi32>
  %y = moe.exchange %x, %send, %receive rows(%n)
      {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x8xf32>, tensor<4xi32> -> tensor<?x8xf32>
  %dx = moe.exchange %dy, %send, %receive rows(%n)
      {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x8xf32>, tensor<4xi32> -> tensor<?x8xf32>
  %one = arith.constant 1.0 : f32
  %e = tensor.empty(%choices) : tensor<?xf32>
  %dw = linalg.fill ins(%one : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
  return %y, %dx, %dw : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?xf32>
}
