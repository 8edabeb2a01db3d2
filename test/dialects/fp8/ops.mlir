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

// Tiles of 128 rows that begin anew with each group, scales that are powers of two.
// CHECK-LABEL: func.func @quantize_groups(
// CHECK: fp8.quantize {{.*}} offsets(%{{.*}} : tensor<9xi32>) {block = array<i64: 128, 1>, pow2} : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
// CHECK: fp8.dequantize {{.*}} offsets(%{{.*}} : tensor<9xi32>) {block = array<i64: 128, 1>, pow2} : tensor<?x300xf8E4M3FN>, tensor<?x300xf32> -> tensor<?x300xf32>
func.func @quantize_groups(%x: tensor<?x300xf32>, %offsets: tensor<9xi32>) -> tensor<?x300xf32> {
  %q, %scale = fp8.quantize %x offsets(%offsets : tensor<9xi32>) {block = array<i64: 128, 1>, pow2}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
  %r = fp8.dequantize %q, %scale offsets(%offsets : tensor<9xi32>) {block = array<i64: 128, 1>, pow2}
      : tensor<?x300xf8E4M3FN>, tensor<?x300xf32> -> tensor<?x300xf32>
  return %r : tensor<?x300xf32>
}

// Three bytes for two E5M6 codes; one scale per row of a group, per matrix of a stack, in E5M2.
// CHECK-LABEL: func.func @quantize_formats(
// CHECK: fp8.quantize {{.*}} {block = array<i64: 1, 128>, format = "e5m6", pow2} : tensor<?x301xf32> -> tensor<?x452xi8>, tensor<?x3xf32>
// CHECK: fp8.quantize {{.*}} offsets({{.*}}) {block = array<i64: 0, 1>} : tensor<?x301xf32> -> tensor<?x301xf8E4M3FN>, tensor<8x301xf32>
// CHECK: fp8.quantize {{.*}} {block = array<i64: 0, 0>, format = "e5m2"} : tensor<4x?x301xf32> -> tensor<4x?x301xf8E5M2>, tensor<4x1x1xf32>
func.func @quantize_formats(%x: tensor<?x301xf32>, %w: tensor<4x?x301xf32>, %offsets: tensor<9xi32>) {
  %q0, %s0 = fp8.quantize %x {block = array<i64: 1, 128>, format = "e5m6", pow2}
      : tensor<?x301xf32> -> tensor<?x452xi8>, tensor<?x3xf32>
  %q1, %s1 = fp8.quantize %x offsets(%offsets : tensor<9xi32>) {block = array<i64: 0, 1>}
      : tensor<?x301xf32> -> tensor<?x301xf8E4M3FN>, tensor<8x301xf32>
  %q2, %s2 = fp8.quantize %w {block = array<i64: 0, 0>, format = "e5m2"}
      : tensor<4x?x301xf32> -> tensor<4x?x301xf8E5M2>, tensor<4x1x1xf32>
  return
}

// Rows in codes, both ways, in any pair of formats; as Hopper adds, promoted every 32 or never.
// CHECK-LABEL: func.func @matmul_codes(
// CHECK: fp8.matmul {{.*}} x_scale(%{{.*}} : tensor<?x3xf32>) {block = array<i64: 128, 128>} : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
// CHECK: fp8.matmul {{.*}} x_scale(%{{.*}} : tensor<?x2xf32>) {accumulate = "hopper", block = array<i64: 128, 128>, interval = 32 : i64, transpose} : tensor<?x200xf8E5M2>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x300xf32>
// CHECK: fp8.matmul {{.*}} x_scale(%{{.*}} : tensor<?x1xf32>) {block = array<i64: 1, 0>, interval = 0 : i64} : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<200x1xf32> -> tensor<?x200xf32>
func.func @matmul_codes(%x: tensor<?x300xf8E4M3FN>, %xs: tensor<?x3xf32>, %dy: tensor<?x200xf8E5M2>,
                        %dys: tensor<?x2xf32>, %w: tensor<200x300xf8E4M3FN>, %ws: tensor<2x3xf32>,
                        %rows: tensor<?x1xf32>, %outputs: tensor<200x1xf32>) {
  %y = fp8.matmul %x, %w, %ws x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  %dx = fp8.matmul %dy, %w, %ws x_scale(%dys : tensor<?x2xf32>)
      {accumulate = "hopper", block = array<i64: 128, 128>, interval = 32 : i64, transpose}
      : tensor<?x200xf8E5M2>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x300xf32>
  %z = fp8.matmul %x, %w, %outputs x_scale(%rows : tensor<?x1xf32>)
      {block = array<i64: 1, 0>, interval = 0 : i64}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<200x1xf32> -> tensor<?x200xf32>
  return
}

// Codes of gathered rows, and the gradient of all rows.
// CHECK-LABEL: func.func @grouped_matmul_codes(
// CHECK: fp8.grouped_matmul {{.*}} source(%{{.*}} : tensor<?xi32>) x_scale(%{{.*}} : tensor<?x3xf32>) {block = array<i64: 128, 128>} : tensor<?x300xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x200xf32>
// CHECK: fp8.grouped_matmul {{.*}} x_scale(%{{.*}} : tensor<?x2xf32>) {block = array<i64: 128, 128>, transpose} : tensor<?x200xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x300xf32>
func.func @grouped_matmul_codes(%x: tensor<?x300xf8E4M3FN>, %xs: tensor<?x3xf32>,
                                %dy: tensor<?x200xf8E4M3FN>, %dys: tensor<?x2xf32>,
                                %w: tensor<4x200x300xf8E4M3FN>, %ws: tensor<4x2x3xf32>,
                                %offsets: tensor<9xi32>, %active: tensor<8xi32>,
                                %source: tensor<?xi32>) {
  %y = fp8.grouped_matmul %x, %w, %ws, %offsets, %active source(%source : tensor<?xi32>)
      x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<9xi32>,
        tensor<8xi32> -> tensor<?x200xf32>
  %dx = fp8.grouped_matmul %dy, %w, %ws, %offsets, %active x_scale(%dys : tensor<?x2xf32>)
      {block = array<i64: 128, 128>, transpose}
      : tensor<?x200xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<9xi32>,
        tensor<8xi32> -> tensor<?x300xf32>
  return
}

// The gradient of one matrix, and of a stack whose groups are those of two segments.
// CHECK-LABEL: func.func @weight_grad(
// CHECK: fp8.weight_grad {{.*}} {block = array<i64: 128, 1>} : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E5M2>, tensor<?x64xf32>, tensor<24x64xf32> -> tensor<24x64xf32>
// CHECK: fp8.weight_grad {{.*}} offsets(%{{.*}} : tensor<9xi32>) active(%{{.*}} : tensor<8xi32>) {accumulate = "hopper", block = array<i64: 128, 1>, interval = 64 : i64} : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E5M2>, tensor<?x64xf32>, tensor<4x24x64xf32> -> tensor<4x24x64xf32>
func.func @weight_grad(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E5M2>,
                       %xs: tensor<?x64xf32>, %sum: tensor<24x64xf32>, %sums: tensor<4x24x64xf32>,
                       %offsets: tensor<9xi32>, %active: tensor<8xi32>) {
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %sum {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E5M2>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  %dws = fp8.weight_grad %dy, %dys, %x, %xs, %sums
      offsets(%offsets : tensor<9xi32>) active(%active : tensor<8xi32>)
      {accumulate = "hopper", block = array<i64: 128, 1>, interval = 64 : i64}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E5M2>, tensor<?x64xf32>,
        tensor<4x24x64xf32> -> tensor<4x24x64xf32>
  return
}
