// RUN: hadal-opt %s --hadal-round-products=precision=bf16 | FileCheck %s

#left = affine_map<(d0, d1, d2) -> (d0, d2)>
#right = affine_map<(d0, d1, d2) -> (d1, d2)>
#out = affine_map<(d0, d1, d2) -> (d0, d1)>
ml_program.global private @w(#ml_program.extern : tensor<8x4xbf16>) : tensor<8x4xbf16>
ml_program.global private @v(#ml_program.extern : tensor<8x4xf32>) : tensor<8x4xf32>

// Nothing is trained: rows are rounded for weights that are bf16 as they are.
// CHECK-NOT: rounded
// CHECK-LABEL: func.func @product(
// CHECK: %[[X:.*]] = linalg.generic
// CHECK: arith.andi
// CHECK: %[[W:.*]] = ml_program.global_load_const @w
// CHECK: linalg.matmul {{.*}}hadal.bf16_values{{.*}} ins(%[[X]], %[[W]] :
func.func @product(%x: tensor<?x4xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %zero = arith.constant 0.0 : f32
  %w = ml_program.global_load_const @w : tensor<8x4xbf16>
  %start = linalg.fill ins(%zero : f32) outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x4xf32>, tensor<8x4xbf16>) outs(%start : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// Other weights, and their rows, stay as they are.
// CHECK-LABEL: func.func @other(
// CHECK-NOT: hadal.bf16_values
// CHECK: return
func.func @other(%x: tensor<?x4xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %zero = arith.constant 0.0 : f32
  %v = ml_program.global_load_const @v : tensor<8x4xf32>
  %start = linalg.fill ins(%zero : f32) outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %v : tensor<?x4xf32>, tensor<8x4xf32>) outs(%start : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
