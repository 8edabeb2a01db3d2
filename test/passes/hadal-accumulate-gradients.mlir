// RUN: hadal-opt %s --split-input-file --hadal-accumulate-gradients --verify-diagnostics | FileCheck %s

// A sum that starts from zeros starts from what earlier micro-batches left, so that all of them
// make one chain; of two products in a row the first does. The function keeps its other results,
// and gets the name of the program.
// CHECK: ml_program.global private mutable @sum.gradient.w({{.*}}) : tensor<4x8xf32> {exec.state = "gradient.w", hadal.layout_of = @w}
// CHECK-NOT: func.func @loss(
// CHECK-LABEL: func.func @gradients(
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>, %[[G:.*]]: tensor<?x4xf32>) -> (tensor<f32> {exec.name = "total"})
// CHECK: %[[BEFORE:.*]] = ml_program.global_load @sum.gradient.w
// CHECK: %[[FIRST:.*]] = linalg.matmul {{.*}} outs(%[[BEFORE]] :
// CHECK: %[[SECOND:.*]] = linalg.matmul {{.*}} outs(%[[FIRST]] :
// CHECK: ml_program.global_store @sum.gradient.w = %[[SECOND]]
// CHECK: return %{{.*}} : tensor<f32>
#km = affine_map<(m, n, k) -> (k, m)>
#kn = affine_map<(m, n, k) -> (k, n)>
#mn = affine_map<(m, n, k) -> (m, n)>
module {
  ml_program.global private mutable @w(#ml_program.extern<tensor<4x8xf32>>) : tensor<4x8xf32>
  func.func @loss() -> tensor<f32> {
    %total = arith.constant dense<1.0> : tensor<f32>
    return %total : tensor<f32>
  }
  func.func @loss_gradient(%x: tensor<?x8xf32>, %g: tensor<?x4xf32>)
      -> (tensor<f32> {exec.name = "total"}, tensor<4x8xf32> {hadal.gradient_of = @w}) {
    %zero = arith.constant 0.0 : f32
    %total = arith.constant dense<1.0> : tensor<f32>
    %e = tensor.empty() : tensor<4x8xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    %a = linalg.matmul indexing_maps = [#km, #kn, #mn] ins(%g, %x : tensor<?x4xf32>, tensor<?x8xf32>) outs(%z : tensor<4x8xf32>) -> tensor<4x8xf32>
    %b = linalg.matmul indexing_maps = [#km, #kn, #mn] ins(%g, %x : tensor<?x4xf32>, tensor<?x8xf32>) outs(%a : tensor<4x8xf32>) -> tensor<4x8xf32>
    return %total, %b : tensor<f32>, tensor<4x8xf32>
  }
}

// -----

// The same of codes: what an expert's and a Linear's gradient start from is there already.
// CHECK-LABEL: func.func @gradients(
// CHECK-DAG: %[[SUM:.*]] = ml_program.global_load @sum.gradient.w
// CHECK-DAG: %[[DW:.*]] = fp8.weight_grad {{.*}}, %[[SUM]] {block
// CHECK-DAG: %[[SUMS:.*]] = ml_program.global_load @sum.gradient.e
// CHECK-DAG: %[[DE:.*]] = fp8.weight_grad {{.*}}, %[[SUMS]] offsets(
// CHECK-DAG: ml_program.global_store @sum.gradient.w = %[[DW]]
// CHECK-DAG: ml_program.global_store @sum.gradient.e = %[[DE]]
// CHECK: return
module {
  ml_program.global private mutable @w(#ml_program.extern<tensor<4x8xf32>>) : tensor<4x8xf32>
  ml_program.global private mutable @e(#ml_program.extern<tensor<2x4x8xf32>>) : tensor<2x4x8xf32>
  func.func @loss() {
    return
  }
  func.func @loss_gradient(%g: tensor<?x4xf8E4M3FN>, %gs: tensor<?x4xf32>, %x: tensor<?x8xf8E4M3FN>, %xs: tensor<?x8xf32>,
                           %offsets: tensor<3xi32>, %active: tensor<2xi32>)
      -> (tensor<4x8xf32> {hadal.gradient_of = @w}, tensor<2x4x8xf32> {hadal.gradient_of = @e}) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<4x8xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    %ee = tensor.empty() : tensor<2x4x8xf32>
    %ez = linalg.fill ins(%zero : f32) outs(%ee : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
    %dw = fp8.weight_grad %g, %gs, %x, %xs, %z {block = array<i64: 128, 1>}
        : tensor<?x4xf8E4M3FN>, tensor<?x4xf32>, tensor<?x8xf8E4M3FN>, tensor<?x8xf32>, tensor<4x8xf32> -> tensor<4x8xf32>
    %de = fp8.weight_grad %g, %gs, %x, %xs, %ez offsets(%offsets : tensor<3xi32>) active(%active : tensor<2xi32>)
        {block = array<i64: 128, 1>}
        : tensor<?x4xf8E4M3FN>, tensor<?x4xf32>, tensor<?x8xf8E4M3FN>, tensor<?x8xf32>, tensor<2x4x8xf32> -> tensor<2x4x8xf32>
    return %dw, %de : tensor<4x8xf32>, tensor<2x4x8xf32>
  }
}

// -----

// What does not start from zeros is added, integers too: losses, loads, and a sum that something
// else reads on its way.
// CHECK: ml_program.global private mutable @sum.losses({{.*}}) : tensor<2xf32> {exec.state = "losses"}
// CHECK: ml_program.global private mutable @sum.loads.3({{.*}}) : tensor<6xi32> {exec.state = "loads.3"}
// CHECK-LABEL: func.func @others(
// CHECK-SAME: %[[LOSSES:.*]]: tensor<2xf32>, %[[LOADS:[a-z0-9]*]]: tensor<6xi32>, %[[G:[a-z0-9]*]]: tensor<?x8xf32>) -> tensor<8xf32>
// CHECK: %[[ZERO:.*]] = linalg.fill
// CHECK: %[[N:.*]] = linalg.reduce {{.*}} outs(%[[ZERO]] :
// CHECK: %[[B0:.*]] = ml_program.global_load @sum.losses
// CHECK: linalg.generic {{.*}} ins(%[[LOSSES]] : tensor<2xf32>) outs(%[[B0]] : tensor<2xf32>)
// CHECK: arith.addf
// CHECK: ml_program.global_store @sum.losses
// CHECK: %[[B1:.*]] = ml_program.global_load @sum.loads.3
// CHECK: linalg.generic {{.*}} ins(%[[LOADS]] : tensor<6xi32>) outs(%[[B1]] : tensor<6xi32>)
// CHECK: arith.addi
// CHECK: ml_program.global_store @sum.loads.3
// CHECK: %[[B2:.*]] = ml_program.global_load @sum.gradient.n
// CHECK: linalg.generic {{.*}} ins(%[[N]] : tensor<8xf32>) outs(%[[B2]] : tensor<8xf32>)
// CHECK: ml_program.global_store @sum.gradient.n
// CHECK: return %[[N]]
module {
  ml_program.global private mutable @n(#ml_program.extern<tensor<8xf32>>) : tensor<8xf32>
  func.func @others(%losses: tensor<2xf32>, %loads: tensor<6xi32>, %g: tensor<?x8xf32>)
      -> (tensor<2xf32> {hadal.accumulate = "losses"}, tensor<6xi32> {hadal.accumulate = "loads.3"}, tensor<8xf32> {hadal.gradient_of = @n}, tensor<8xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<8xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<8xf32>) -> tensor<8xf32>
    %sum = linalg.reduce { arith.addf } ins(%g : tensor<?x8xf32>) outs(%z : tensor<8xf32>) dimensions = [0]
    return %losses, %loads, %sum, %sum : tensor<2xf32>, tensor<6xi32>, tensor<8xf32>, tensor<8xf32>
  }
}

// -----

// expected-error @below {{wants --hadal-differentiate before --hadal-accumulate-gradients}}
func.func @too_early(%losses: tensor<2xf32>) -> (tensor<2xf32> {hadal.accumulate = "losses"}) attributes {hadal.differentiate} {
  return %losses : tensor<2xf32>
}
