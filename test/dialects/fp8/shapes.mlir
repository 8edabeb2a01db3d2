// RUN: hadal-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize --cse | FileCheck %s

// One scale per row with blocks of 1 x 128.
// CHECK-LABEL: func.func @quantize_rows(
// CHECK-SAME: %[[X:.*]]: tensor<?x300xf32>)
// CHECK: %[[M:.*]] = tensor.dim %[[X]], %c0
// CHECK: return %[[M]], %[[M]]
func.func @quantize_rows(%x: tensor<?x300xf32>) -> (index, index) {
  %c0 = arith.constant 0 : index
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>} : tensor<?x300xf32>
      -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  %a = tensor.dim %q, %c0 : tensor<?x300xf8E4M3FN>
  %b = tensor.dim %scale, %c0 : tensor<?x3xf32>
  return %a, %b : index, index
}

// The last block of rows may be short: the count is rounded up.
// CHECK-LABEL: func.func @quantize_blocks(
// CHECK-SAME: %[[X:.*]]: tensor<?x300xf32>)
// CHECK: %[[M:.*]] = tensor.dim %[[X]], %c0
// CHECK: %[[BLOCKS:.*]] = arith.ceildivui %[[M]], %c128
// CHECK: return %[[BLOCKS]]
func.func @quantize_blocks(%x: tensor<?x300xf32>) -> index {
  %c0 = arith.constant 0 : index
  %q, %scale = fp8.quantize %x {block = array<i64: 128, 128>} : tensor<?x300xf32>
      -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  %b = tensor.dim %scale, %c0 : tensor<?x3xf32>
  return %b : index
}

// Gathered rows: as many as `source` has.
// CHECK-LABEL: func.func @grouped_matmul(
// CHECK: %[[R:.*]] = tensor.dim %{{.*}}, %c0 : tensor<?xi32>
// CHECK: return %[[R]]
func.func @grouped_matmul(%x: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                          %offsets: tensor<5xi32>, %active: tensor<4xi32>, %source: tensor<?xi32>) -> index {
  %c0 = arith.constant 0 : index
  %y = fp8.grouped_matmul %x, %w, %scale, %offsets, %active source(%source
      : tensor<?xi32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  %r = tensor.dim %y, %c0 : tensor<?x200xf32>
  return %r : index
}

// Tiles begin anew with each of 8 groups: each group may end with a short one.
// CHECK-LABEL: func.func @quantize_groups(
// CHECK-SAME: %[[X:.*]]: tensor<?x300xf32>
// CHECK: %[[M:.*]] = tensor.dim %[[X]], %c0
// CHECK: %[[WHOLE:.*]] = arith.divui %[[M]], %c128
// CHECK: %[[TILES:.*]] = arith.addi %[[WHOLE]], %c8
// CHECK: return %[[TILES]]
func.func @quantize_groups(%x: tensor<?x300xf32>, %offsets: tensor<9xi32>) -> index {
  %c0 = arith.constant 0 : index
  %q, %scale = fp8.quantize %x offsets(%offsets : tensor<9xi32>) {block = array<i64: 128, 1>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
  %b = tensor.dim %scale, %c0 : tensor<?x300xf32>
  return %b : index
}

// Stacked matrices: their rows are the second dimension.
// CHECK-LABEL: func.func @quantize_stacked(
// CHECK-SAME: %[[X:.*]]: tensor<4x?x300xf32>)
// CHECK: %[[M:.*]] = tensor.dim %[[X]], %c1
// CHECK: %[[BLOCKS:.*]] = arith.ceildivui %[[M]], %c128
// CHECK: return %[[M]], %[[BLOCKS]]
func.func @quantize_stacked(%x: tensor<4x?x300xf32>) -> (index, index) {
  %c1 = arith.constant 1 : index
  %q, %scale = fp8.quantize %x {block = array<i64: 128, 128>} : tensor<4x?x300xf32>
      -> tensor<4x?x300xf8E4M3FN>, tensor<4x?x3xf32>
  %a = tensor.dim %q, %c1 : tensor<4x?x300xf8E4M3FN>
  %b = tensor.dim %scale, %c1 : tensor<4x?x3xf32>
  return %a, %b : index, index
}
