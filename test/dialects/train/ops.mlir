// RUN: hadal-opt %s | hadal-opt | FileCheck %s

// CHECK-LABEL: func.func @norm(
// CHECK: %[[BLOCKS:.*]] = train.square_sums %{{.*}} {block = 4096 : i64} : tensor<?x?xf32> -> tensor<?x?xf32>
// CHECK: %[[SUMS:.*]] = train.sum_rows %[[BLOCKS]] : tensor<?x?xf32> -> tensor<?xf64>
// CHECK: train.norm %[[SUMS]] : tensor<?xf64> -> tensor<1xf32>
func.func @norm(%gradients: tensor<?x?xf32>) -> tensor<1xf32> {
  %blocks = train.square_sums %gradients {block = 4096 : i64} : tensor<?x?xf32> -> tensor<?x?xf32>
  %sums = train.sum_rows %blocks : tensor<?x?xf32> -> tensor<?xf64>
  %norm = train.norm %sums : tensor<?xf64> -> tensor<1xf32>
  return %norm : tensor<1xf32>
}
