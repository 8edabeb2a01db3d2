// RUN: hadal-opt %s --hadal-fill-constants | FileCheck %s

// CHECK-LABEL: @splat
// CHECK: %[[TWO:.*]] = arith.constant 2.000000e+00 : f32
// CHECK: %[[EMPTY:.*]] = tensor.empty() : tensor<8xf32>
// CHECK: %[[C:.*]] = linalg.fill ins(%[[TWO]] : f32) outs(%[[EMPTY]] : tensor<8xf32>)
// CHECK: return %[[C]]
func.func @splat() -> tensor<8xf32> {
  %c = arith.constant dense<2.0> : tensor<8xf32>
  return %c : tensor<8xf32>
}

// Several values, and numbers, stay.
// CHECK-LABEL: @others
// CHECK: arith.constant dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>
// CHECK: arith.constant 3 : index
func.func @others() -> (tensor<2xf32>, index) {
  %c = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %i = arith.constant 3 : index
  return %c, %i : tensor<2xf32>, index
}
