// RUN: hadal-opt %s | hadal-opt | FileCheck %s
// RUN: hadal-opt %s --mlir-print-op-generic | hadal-opt | FileCheck %s

// Every op prints what it parses, in its own form and in the generic one.

// 1x128 groups of an activation.
// CHECK-LABEL: func.func @quantize(
// CHECK: fp8.quantize {{.*}} {block = array<i64: 1, 128>} : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
func.func @quantize(%x: tensor<?x300xf32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
}

// A short block at either edge.
// CHECK-LABEL: func.func @quantize_weight(
// CHECK: fp8.quantize {{.*}} {block = array<i64: 128, 128>} : tensor<200x300xf32> -> tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
func.func @quantize_weight(%x: tensor<200x300xf32>) -> (tensor<200x300xf8E4M3FN>, tensor<2x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 128, 128>}
      : tensor<200x300xf32> -> tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
  return %q, %scale : tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
}

// 128x128 blocks of a weight.
// CHECK-LABEL: func.func @dequantize(
// CHECK: fp8.dequantize {{.*}} {block = array<i64: 128, 128>} : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
func.func @dequantize(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) -> tensor<200x300xf32> {
  %r = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return %r : tensor<200x300xf32>
}

// Stacked experts.
// CHECK-LABEL: func.func @dequantize_stacked(
// CHECK: fp8.dequantize {{.*}} {block = array<i64: 128, 128>} : tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32> -> tensor<4x200x300xf32>
func.func @dequantize_stacked(%q: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>) -> tensor<4x200x300xf32> {
  %r = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32> -> tensor<4x200x300xf32>
  return %r : tensor<4x200x300xf32>
}

// A quantised activation.
// CHECK-LABEL: func.func @dequantize_activation(
// CHECK: fp8.dequantize {{.*}} {block = array<i64: 1, 128>} : tensor<?x300xf8E4M3FN>, tensor<?x3xf32> -> tensor<?x300xf32>
func.func @dequantize_activation(%q: tensor<?x300xf8E4M3FN>, %scale: tensor<?x3xf32>) -> tensor<?x300xf32> {
  %r = fp8.dequantize %q, %scale {block = array<i64: 1, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<?x3xf32> -> tensor<?x300xf32>
  return %r : tensor<?x300xf32>
}

// Weights stay E4M3.
// CHECK-LABEL: func.func @matmul(
// CHECK: fp8.matmul {{.*}} {block = array<i64: 128, 128>} : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
func.func @matmul(%x: tensor<?x300xf32>, %weights: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>)
    -> tensor<?x200xf32> {
  %r = fp8.matmul %x, %weights, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// Stacked experts.
// CHECK-LABEL: func.func @grouped_matmul(
// CHECK: fp8.grouped_matmul {{.*}} {block = array<i64: 128, 128>} : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x200xf32>
func.func @grouped_matmul(%rows: tensor<?x300xf32>, %weights: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                          %offsets: tensor<5xi32>, %active: tensor<4xi32>)
    -> tensor<?x200xf32> {
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// Rows are gathered on the way.
// CHECK-LABEL: func.func @grouped_matmul_source(
// CHECK: fp8.grouped_matmul {{.*}} source(%{{.*}} : tensor<?xi32>) {block = array<i64: 128, 128>} : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x200xf32>
func.func @grouped_matmul_source(%rows: tensor<?x300xf32>, %weights: tensor<4x200x300xf8E4M3FN>,
    %scale: tensor<4x2x3xf32>,
                                 %offsets: tensor<5xi32>, %active: tensor<4xi32>, %source: tensor<?xi32>)
    -> tensor<?x200xf32> {
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active source(%source
      : tensor<?xi32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}
