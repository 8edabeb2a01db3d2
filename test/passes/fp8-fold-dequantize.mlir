// RUN: hadal-opt %s --fp8-fold-dequantize | FileCheck %s

#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>

// The weights of a product are never widened as a whole.
// CHECK-LABEL: func.func @linear(
// CHECK-SAME: %[[X:.*]]: tensor<?x300xf32>, %[[Q:.*]]: tensor<200x300xf8E4M3FN>, %[[S:.*]]: tensor<2x3xf32>
// CHECK-NOT: fp8.dequantize
// CHECK: fp8.matmul %[[X]], %[[Q]], %[[S]] {block = array<i64: 128, 128>}
// CHECK-NOT: linalg.matmul
func.func @linear(%x: tensor<?x300xf32>, %q: tensor<200x300xf8E4M3FN>, %s: tensor<2x3xf32>, %init: tensor<?x200xf32>)
    -> tensor<?x200xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x300xf32>
  %empty = tensor.empty(%t) : tensor<?x200xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x200xf32>) -> tensor<?x200xf32>
  %w = fp8.dequantize %q, %s {block = array<i64: 128, 128>} : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x300xf32>, tensor<200x300xf32>) outs(%zeros : tensor<?x200xf32>) -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}

// CHECK-LABEL: func.func @experts(
// CHECK-NOT: fp8.dequantize
// CHECK: fp8.grouped_matmul
func.func @experts(%x: tensor<?x256xf32>, %q: tensor<4x128x256xf8E4M3FN>, %s: tensor<4x1x2xf32>, %offsets: tensor<5xi32>,
                   %active: tensor<4xi32>) -> tensor<?x128xf32> {
  %w = fp8.dequantize %q, %s {block = array<i64: 128, 128>} : tensor<4x128x256xf8E4M3FN>, tensor<4x1x2xf32> -> tensor<4x128x256xf32>
  %y = moe.grouped_matmul %x, %w, %offsets, %active
      : tensor<?x256xf32>, tensor<4x128x256xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

// Something that is no product wants the numbers themselves.
// CHECK-LABEL: func.func @kept(
// CHECK: fp8.dequantize
func.func @kept(%q: tensor<200x300xf8E4M3FN>, %s: tensor<2x3xf32>) -> tensor<200x300xf32> {
  %w = fp8.dequantize %q, %s {block = array<i64: 128, 128>} : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return %w : tensor<200x300xf32>
}

// Rows of codes in tiles as long as the weights' blocks are taken as they are; others are numbers.
// CHECK-LABEL: func.func @rows(
// CHECK-SAME: %[[XQ:[a-z0-9]+]]: tensor<?x300xf8E4M3FN>, %[[XS:[a-z0-9]+]]: tensor<?x3xf32>
// CHECK: %[[WIDE:.*]] = fp8.dequantize {{.*}} {block = array<i64: 1, 64>}
// CHECK: fp8.matmul %[[XQ]], %{{.*}}, %{{.*}} x_scale(%[[XS]] : tensor<?x3xf32>) {block = array<i64: 128, 128>}
// CHECK: fp8.matmul %[[WIDE]], %{{.*}}, %{{.*}} {block = array<i64: 128, 128>}
func.func @rows(%xq: tensor<?x300xf8E4M3FN>, %xs: tensor<?x3xf32>, %short: tensor<?x5xf32>, %q: tensor<200x300xf8E4M3FN>,
                %s: tensor<2x3xf32>, %init: tensor<?x200xf32>) -> (tensor<?x200xf32>, tensor<?x200xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %xq, %c0 : tensor<?x300xf8E4M3FN>
  %empty = tensor.empty(%t) : tensor<?x200xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x200xf32>) -> tensor<?x200xf32>
  %w = fp8.dequantize %q, %s {block = array<i64: 128, 128>} : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  %x = fp8.dequantize %xq, %xs {block = array<i64: 1, 128>} : tensor<?x300xf8E4M3FN>, tensor<?x3xf32> -> tensor<?x300xf32>
  %v = fp8.dequantize %xq, %short {block = array<i64: 1, 64>} : tensor<?x300xf8E4M3FN>, tensor<?x5xf32> -> tensor<?x300xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x300xf32>, tensor<200x300xf32>) outs(%zeros : tensor<?x200xf32>) -> tensor<?x200xf32>
  %z = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%v, %w : tensor<?x300xf32>, tensor<200x300xf32>) outs(%zeros : tensor<?x200xf32>) -> tensor<?x200xf32>
  return %y, %z : tensor<?x200xf32>, tensor<?x200xf32>
}
