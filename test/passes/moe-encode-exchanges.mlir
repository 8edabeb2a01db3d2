// RUN: hadal-opt %s --moe-encode-exchanges | FileCheck %s
// RUN: hadal-opt %s --moe-shard-experts="ranks=2 dispatch=fp8 combine=bf16 capacity=64" --hadal-differentiate | FileCheck %s --check-prefix=SHARDED
// RUN: hadal-opt %s --moe-shard-experts="ranks=2 dispatch=fp8 combine=bf16" --hadal-differentiate --moe-encode-exchanges | FileCheck %s --check-prefix=ALL
// RUN: not hadal-opt %s --moe-shard-experts="ranks=2 dispatch=fp4" 2>&1 | FileCheck %s --check-prefix=FORMAT

// FORMAT: error: moe-shard-experts wants dispatch to be fp32, bf16 or fp8, got fp4

// Codes and a scale for each tile of 128 columns.
// CHECK-LABEL: func.func @fp8(
// CHECK: %[[Q:.*]], %[[S:.*]] = fp8.quantize %{{.*}} {block = array<i64: 1, 128>} : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
// CHECK: %[[Q1:.*]] = moe.exchange %[[Q]], %{{.*}} rows(%{{.*}}) {capacity = 64 : i64, parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x300xf8E4M3FN>, tensor<4xi32> -> tensor<?x300xf8E4M3FN>
// CHECK: %[[S1:.*]] = moe.exchange %[[S]], {{.*}} : tensor<?x3xf32>, tensor<4xi32> -> tensor<?x3xf32>
// CHECK: %[[X:.*]] = fp8.dequantize %[[Q1]], %[[S1]] {block = array<i64: 1, 128>}
// CHECK: return %[[X]]
func.func @fp8(%x: tensor<?x300xf32>, %send: tensor<4xi32>, %receive: tensor<4xi32>, %rows: index) -> tensor<?x300xf32> {
  %y = moe.exchange %x, %send, %receive rows(%rows)
      {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64, format = "fp8", format_back = "bf16", capacity = 64 : i64}
      : tensor<?x300xf32>, tensor<4xi32> -> tensor<?x300xf32>
  return %y : tensor<?x300xf32>
}

// The upper half of each number.
// CHECK-LABEL: func.func @bf16(
// CHECK: arith.trunci %{{.*}} : i32 to i16
// CHECK: moe.exchange {{.*}} like(%{{.*}} : tensor<?xi32>) {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x24xi16>, tensor<4xi32> -> tensor<?x24xi16>
// CHECK: arith.extui %{{.*}} : i16 to i32
func.func @bf16(%x: tensor<?x24xf32>, %send: tensor<4xi32>, %receive: tensor<4xi32>, %like: tensor<?xi32>) -> tensor<?x24xf32> {
  %y = moe.exchange %x, %receive, %send like(%like : tensor<?xi32>)
      {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64, format = "bf16"} : tensor<?x24xf32>, tensor<4xi32> -> tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

// Gradients of rows go to the experts like rows, and come back like sums; numbers of experts and
// weights are not rounded.
// ALL-NOT: format
// SHARDED-LABEL: func.func @layer_gradient(
// SHARDED: moe.exchange {{.*}} rows({{.*}}) {capacity = 64 : i64, parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x3xi32>
// SHARDED: moe.exchange {{.*}} format = "fp8", format_back = "bf16", {{.*}} : tensor<?x64xf32>
// SHARDED: moe.exchange {{.*}} rows({{.*}}) {capacity = 64 : i64, parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x3xf32>
// SHARDED: moe.exchange {{.*}} like({{.*}} format = "bf16", format_back = "fp8", {{.*}} : tensor<?x24xf32>
// SHARDED: moe.exchange {{.*}} format = "fp8", format_back = "bf16", {{.*}} : tensor<?x24xf32>
// SHARDED: moe.exchange {{.*}} like({{.*}} stride = 1 : i64} : tensor<?x3xf32>
// SHARDED: moe.exchange {{.*}} like({{.*}} format = "bf16", format_back = "fp8", {{.*}} : tensor<?x64xf32>
ml_program.global private mutable @"experts.{}.up"(#ml_program.extern : tensor<8x24x64xf32>) : tensor<8x24x64xf32>
func.func @layer(%x: tensor<?x64xf32> {hadal.gradient}, %e: tensor<?x3xi32>, %w: tensor<?x3xf32> {hadal.gradient})
    -> (tensor<?x24xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %source, %position, %offsets, %active = moe.plan %e {expert_count = 8 : i64}
      : tensor<?x3xi32> -> tensor<?xi32>, tensor<?x3xi32>, tensor<9xi32>, tensor<8xi32>
  %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %up = ml_program.global_load @"experts.{}.up" : tensor<8x24x64xf32>
  %h = moe.grouped_matmul %rows, %up, %offsets, %active
      : tensor<?x64xf32>, tensor<8x24x64xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x24xf32>
  %y = moe.combine %h, %position, %e, %w {expert_count = 8 : i64}
      : tensor<?x24xf32>, tensor<?x3xi32>, tensor<?x3xi32>, tensor<?x3xf32> -> tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}
