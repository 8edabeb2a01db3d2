// RUN: hadal-opt %s --fp8-sink-dequantize | FileCheck %s
// RUN: hadal-opt %s --fp8-sink-dequantize --fp8-fold-dequantize --moe-fuse-dispatch --cse | FileCheck %s --check-prefix=FOLDED

// Codes and scales go where the rows go; what they go through next takes them, too.
// CHECK-LABEL: func.func @there(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: tensor<?x200xf8E4M3FN>, %[[S:[a-z0-9]+]]: tensor<?x2xf32>, %[[SOURCE:[a-z0-9]+]]: tensor<?xi32>
// CHECK-NOT: fp8.dequantize
// CHECK: %[[DQ:.*]] = moe.dispatch %[[Q]], %[[SOURCE]] {{.*}} -> tensor<?x200xf8E4M3FN>
// CHECK: %[[DS:.*]] = moe.dispatch %[[S]], %[[SOURCE]] {{.*}} -> tensor<?x2xf32>
// CHECK: %[[EQ:.*]] = moe.exchange %[[DQ]]
// CHECK-NOT: format
// CHECK-SAME: tensor<?x200xf8E4M3FN>
// CHECK: %[[ES:.*]] = moe.exchange %[[DS]]
// CHECK: fp8.dequantize %[[EQ]], %[[ES]] {block = array<i64: 1, 128>}
func.func @there(%q: tensor<?x200xf8E4M3FN>, %s: tensor<?x2xf32>, %source: tensor<?xi32>, %send: tensor<4xi32>,
                 %receive: tensor<4xi32>, %n: index) -> tensor<?x200xf32> {
  %x = fp8.dequantize %q, %s {block = array<i64: 1, 128>} : tensor<?x200xf8E4M3FN>, tensor<?x2xf32> -> tensor<?x200xf32>
  %rows = moe.dispatch %x, %source : tensor<?x200xf32>, tensor<?xi32> -> tensor<?x200xf32>
  %y = moe.exchange %rows, %send, %receive rows(%n) {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64, format = "fp8"}
      : tensor<?x200xf32>, tensor<4xi32> -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}

// A product of experts reads codes where the tokens' rows lie.
// FOLDED-LABEL: func.func @experts(
// FOLDED-SAME: %[[Q:[a-z0-9]+]]: tensor<?x200xf8E4M3FN>, %[[S:[a-z0-9]+]]: tensor<?x2xf32>, %[[SOURCE:[a-z0-9]+]]: tensor<?xi32>
// FOLDED-NEXT: fp8.grouped_matmul %[[Q]], {{.*}} source(%[[SOURCE]] : tensor<?xi32>) x_scale(%[[S]] : tensor<?x2xf32>)
// FOLDED-NEXT: return
func.func @experts(%q: tensor<?x200xf8E4M3FN>, %s: tensor<?x2xf32>, %source: tensor<?xi32>, %wq: tensor<4x128x200xf8E4M3FN>,
                   %ws: tensor<4x1x2xf32>, %offsets: tensor<5xi32>, %active: tensor<4xi32>) -> tensor<?x128xf32> {
  %x = fp8.dequantize %q, %s {block = array<i64: 1, 128>} : tensor<?x200xf8E4M3FN>, tensor<?x2xf32> -> tensor<?x200xf32>
  %rows = moe.dispatch %x, %source : tensor<?x200xf32>, tensor<?xi32> -> tensor<?x200xf32>
  %w = fp8.dequantize %wq, %ws {block = array<i64: 128, 128>} : tensor<4x128x200xf8E4M3FN>, tensor<4x1x2xf32> -> tensor<4x128x200xf32>
  %y = moe.grouped_matmul %rows, %w, %offsets, %active
      : tensor<?x200xf32>, tensor<4x128x200xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

// Blocks of several rows stay where they are.
// CHECK-LABEL: func.func @blocks(
// CHECK: fp8.dequantize
// CHECK-NEXT: moe.dispatch {{.*}} tensor<?x200xf32>
func.func @blocks(%q: tensor<?x200xf8E4M3FN>, %s: tensor<?x2xf32>, %source: tensor<?xi32>) -> tensor<?x200xf32> {
  %x = fp8.dequantize %q, %s {block = array<i64: 128, 128>} : tensor<?x200xf8E4M3FN>, tensor<?x2xf32> -> tensor<?x200xf32>
  %rows = moe.dispatch %x, %source : tensor<?x200xf32>, tensor<?xi32> -> tensor<?x200xf32>
  return %rows : tensor<?x200xf32>
}
