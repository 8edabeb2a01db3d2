// RUN: hadal-opt %s --exec-form-programs=target=x86-64-v3 | FileCheck %s

// Ops that change a part of their destination, or add to it, write in place where nothing else
// reads it.

// A chain of slices from nothing fills the result's own memory.
// CHECK: exec.program @parts
// CHECK-DAG: %[[A:.*]] = exec.argument "a"
// CHECK-DAG: %[[B:.*]] = exec.argument "b"
// CHECK-DAG: %[[OUT:.*]] = exec.argument output
// CHECK-NOT: exec.copy
// CHECK-NOT: exec.temporary
// CHECK: exec.launch @tensor_insert_slice{{.*}}(%[[A]], %[[OUT]])
// CHECK: exec.launch @tensor_insert_slice{{.*}}(%[[B]], %[[OUT]])
func.func @parts(%a: tensor<?x5xf32> {exec.name = "a", exec.shape = affine_map<()[s0] -> (s0, 5)>},
                 %b: tensor<?x3xf32> {exec.name = "b", exec.shape = affine_map<()[s0] -> (s0, 3)>})
    -> tensor<?x8xf32> attributes {exec.registers = ["tokens"]} {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %a, %c0 : tensor<?x5xf32>
  %empty = tensor.empty(%rows) : tensor<?x8xf32>
  %first = tensor.insert_slice %a into %empty[0, 0] [%rows, 5] [1, 1] : tensor<?x5xf32> into tensor<?x8xf32>
  %both = tensor.insert_slice %b into %first[0, 5] [%rows, 3] [1, 1] : tensor<?x3xf32> into tensor<?x8xf32>
  return %both : tensor<?x8xf32>
}

// Zeros that are added to are made first, each time anew.
// CHECK: exec.program @sums
// CHECK: exec.launch @[[FILL:fill.*]](%[[ONE:.*]])
// CHECK: exec.launch @moe_scatter_add{{.*}}(%{{.*}}, %{{.*}}, %[[ONE]])
// CHECK: exec.launch @[[FILL]](%[[TWO:.*]])
// CHECK: exec.launch @moe_scatter_add{{.*}}(%{{.*}}, %{{.*}}, %[[TWO]])
func.func @sums(%a: tensor<?x8xf32>, %b: tensor<?x8xf32>, %ids: tensor<?xi32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x8xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x8xf32>) -> tensor<4x8xf32>
  %one = moe.scatter_add %a, %ids, %zeros : tensor<?x8xf32>, tensor<?xi32>, tensor<4x8xf32> -> tensor<4x8xf32>
  %two = moe.scatter_add %b, %ids, %zeros : tensor<?x8xf32>, tensor<?xi32>, tensor<4x8xf32> -> tensor<4x8xf32>
  return %one, %two : tensor<4x8xf32>, tensor<4x8xf32>
}

// What the caller lends, and what is read besides, is copied.
// CHECK: exec.program @read
// CHECK: %[[LENT:.*]] = exec.argument "arg2"
// CHECK-DAG: %[[ONCE:.*]] = exec.argument output "result0"
// CHECK-DAG: %[[TWICE:.*]] = exec.argument output "result1"
// CHECK: exec.copy %[[ONCE]] from %[[LENT]]
// CHECK: exec.launch @moe_scatter_add{{.*}}(%{{.*}}, %{{.*}}, %[[ONCE]])
// CHECK: exec.copy %[[TWICE]] from %[[ONCE]]
// CHECK: exec.launch @moe_scatter_add{{.*}}(%{{.*}}, %{{.*}}, %[[TWICE]])
func.func @read(%rows: tensor<?x8xf32>, %ids: tensor<?xi32>, %init: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %once = moe.scatter_add %rows, %ids, %init : tensor<?x8xf32>, tensor<?xi32>, tensor<?x8xf32> -> tensor<?x8xf32>
  %twice = moe.scatter_add %rows, %ids, %once : tensor<?x8xf32>, tensor<?xi32>, tensor<?x8xf32> -> tensor<?x8xf32>
  return %once, %twice : tensor<?x8xf32>, tensor<?x8xf32>
}
