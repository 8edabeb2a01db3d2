// RUN: hadal-opt %s --hadal-cut-chunks | FileCheck %s
// RUN: hadal-opt %s --hadal-cut-chunks --exec-assign-layouts=target=x86-64-v3 --exec-form-programs=target=x86-64-v3 | FileCheck %s --check-prefix=PROGRAM

// A function with an exchange keeps its name as a chunk; its results are told. One without stays as
// it is.
// CHECK: job.ranks = #job.ranks<ep = 2, programs = [<name = "f", outputs = ["y"]>]>
// CHECK-LABEL: func.func private @f(
// CHECK-SAME: exec.state = "cache.0"
// CHECK-SAME: hadal.chunk
// The state goes to the section that writes it, and is nothing that crosses.
// CHECK: %[[A:.*]]:3 = call @f.0({{.*}}%arg3{{.*}})
// CHECK: moe.exchange_counts
// CHECK: %[[THERE:.*]] = moe.exchange
// CHECK: %[[Y:.*]] = call @f.2(%[[THERE]])
// CHECK: return %[[Y]], %[[A]]#2
// CHECK-LABEL: func.func @f.0(
// CHECK-SAME: exec.state = "cache.0"
// CHECK: mla.cache_append
// A count that the exchange has set is read by its register's name; a kernel asks the rows.
// CHECK-LABEL: func.func @f.2(
// CHECK: %[[N:.*]] = moe.count "rows"
// CHECK: tensor.empty(%[[N]])
// CHECK-LABEL: func.func @g(

// A program's states are its own affair: the chunk neither takes nor hands them on.
// PROGRAM-LABEL: exec.program @f registers ["tokens", "rows", "choices"]
// PROGRAM-NOT: cache.0
// PROGRAM: exec.argument output "y"
// PROGRAM: exec.call @f.0
// PROGRAM: exec.exchange_counts
// PROGRAM: exec.call @f.2
// PROGRAM-NOT: moe.count
#rows = affine_map<()[s0, s1, s2] -> (s0)>
#wide = affine_map<()[s0, s1, s2] -> (s0, 8)>
#id = affine_map<(d0, d1) -> (d0, d1)>
module attributes {job.ranks = #job.ranks<ep = 2>, exec.state_registers = ["cache_slots"]} {
  exec.state @cache.0 affine_map<()[s0] -> (s0, 16)> of f32
  func.func @f(%ids: tensor<?x4xi32> {exec.name = "ids", exec.shape = affine_map<()[s0, s1, s2] -> (s0, 4)>}, %x: tensor<?x8xf32> {exec.name = "x", exec.shape = #wide},
               %slots: tensor<?xi32> {exec.name = "slots", exec.shape = #rows}, %cache: tensor<?x16xf32> {exec.state = "cache.0", exec.shape = affine_map<()[s0, s1, s2] -> (0, 16)>})
      -> (tensor<?x8xf32> {exec.name = "y"}, tensor<?x16xf32> {exec.state = "cache.0"}) attributes {exec.registers = ["tokens", "rows", "choices"]} {
    %new = mla.cache_append %x, %x, %slots, %cache : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?xi32>, tensor<?x16xf32> -> tensor<?x16xf32>
    %source, %places, %local, %counts = moe.plan_sends %ids {expert_count = 8 : i64, parts = 2 : i64, segments = 1 : i64} : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<4xi32>
    %sent = moe.dispatch %x, %source : tensor<?x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
    %come, %many, %choices = moe.exchange_counts %counts {choices_register = "choices", parts = 2 : i64, rows_register = "rows", segments = 1 : i64, stride = 1 : i64} : tensor<4xi32>
    %there = moe.exchange %sent, %counts, %come rows(%many) {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x8xf32>, tensor<4xi32> -> tensor<?x8xf32>
    %e = tensor.empty(%many) : tensor<?x8xf32>
    %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%there : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      %p = arith.addf %a, %a : f32
      linalg.yield %p : f32
    } -> tensor<?x8xf32>
    return %y, %new : tensor<?x8xf32>, tensor<?x16xf32>
  }
  func.func @g(%x: tensor<4xf32>) -> tensor<4xf32> {
    return %x : tensor<4xf32>
  }
}
