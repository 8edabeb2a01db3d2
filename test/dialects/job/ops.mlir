// What is printed parses again.
// RUN: hadal-opt %s | hadal-opt | FileCheck %s

// CHECK: linalg.exp {job.part = #job.part<"layers.3.mlp.experts.{}.up \22proj\22">} ins
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = linalg.exp {job.part = #job.part<"layers.3.mlp.experts.{}.up \22proj\22">}
    ins(%x : tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
