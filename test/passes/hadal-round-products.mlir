// RUN: hadal-opt %s --hadal-round-products=precision=bf16 | FileCheck %s
// RUN: hadal-opt %s --hadal-round-products | FileCheck %s --check-prefix=FP32
// RUN: not hadal-opt %s --hadal-round-products=precision=fp4 2>&1 | FileCheck %s --check-prefix=BAD
// BAD: wants the precision fp32 or bf16, got fp4

#left = affine_map<(d0, d1, d2) -> (d0, d2)>
#right = affine_map<(d0, d1, d2) -> (d1, d2)>
#out = affine_map<(d0, d1, d2) -> (d0, d1)>
ml_program.global private mutable @w(#ml_program.extern : tensor<8x4xf32>) : tensor<8x4xf32>
// A product takes its left operand rounded, and its weights from the state that holds them rounded.
// CHECK: ml_program.global private mutable @copy.rounded.w{{.*}} {exec.state = "rounded.w", hadal.layout_of = @w}
// CHECK-LABEL: func.func @product(
// CHECK: %[[X:.*]] = linalg.generic
// CHECK: arith.andi {{.*}}
// CHECK: arith.select
// CHECK: %[[W:.*]] = ml_program.global_load @copy.rounded.w
// CHECK: linalg.generic {{.*}} ins(%[[X]], %[[W]] : {{.*}}hadal.bf16_values
// FP32-LABEL: func.func @product(
// FP32-NOT: arith.andi
// FP32: return
func.func @product(%x: tensor<?x4xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x4xf32>
  %w = ml_program.global_load @w : tensor<8x4xf32>
  %empty = tensor.empty(%rows) : tensor<?x8xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#left, #right, #out], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x4xf32>, tensor<8x4xf32>) outs(%init : tensor<?x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// A router's gate stays as it is, and so does what is no product.
// CHECK-LABEL: func.func @gate(
// CHECK-NOT: arith.andi
// CHECK: return
func.func @gate(%x: tensor<?x4xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load @w : tensor<8x4xf32>
  %start = linalg.fill ins(%zero : f32) outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#left, #right, #out], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x4xf32>, tensor<8x4xf32>) outs(%start : tensor<?x8xf32>)
      attrs = {job.part = #job.part<"layers.1.mlp.gate">} {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
