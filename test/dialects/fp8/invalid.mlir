// RUN: hadal-opt %s --split-input-file --verify-diagnostics

// One case for each constraint of each op, under the number that the op's description gives it.

// C1
func.func @quantize_c1(%x: tensor<?x300xf32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants block (128) to be two sizes of at least 1}}
  %q, %scale = fp8.quantize %x {block = array<i64: 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
}

// -----

// C2
func.func @quantize_c2(%x: tensor<?x?xf32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 1 of x (K) to be static, got 'tensor<?x?xf32>'}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x?xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
}

// -----

// C3
func.func @quantize_c3(%x: tensor<?x300xf32>) -> (tensor<?x301xf8E4M3FN>, tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 1 of q (301) to be K (300)}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x301xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x301xf8E4M3FN>, tensor<?x3xf32>
}

// -----

// C4
func.func @quantize_c4(%x: tensor<?x300xf32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x2xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 1 of scale (2) to be ceil(K/bk) (3)}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x2xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x2xf32>
}

// -----

// C1
func.func @dequantize_c1(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) -> tensor<200x300xf32> {
  // expected-error@+1 {{'fp8.dequantize' op wants block (0, 128) to be two sizes of at least 1}}
  %r = fp8.dequantize %q, %scale {block = array<i64: 0, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return %r : tensor<200x300xf32>
}

// -----

// C2
func.func @dequantize_c2(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>) -> tensor<200x300xf32> {
  // expected-error@+1 {{'fp8.dequantize' op wants scale (rank 3) and result (rank 2) to have q's rank (2)}}
  %r = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<4x2x3xf32> -> tensor<200x300xf32>
  return %r : tensor<200x300xf32>
}

// -----

// C3
func.func @dequantize_c3(%q: tensor<200x?xf8E4M3FN>, %scale: tensor<2x3xf32>) -> tensor<200x300xf32> {
  // expected-error@+1 {{'fp8.dequantize' op wants dimension 1 of q (K) to be static, got 'tensor<200x?xf8E4M3FN>'}}
  %r = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x?xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return %r : tensor<200x300xf32>
}

// -----

// C4
func.func @dequantize_c4(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<1x3xf32>) -> tensor<200x300xf32> {
  // expected-error@+1 {{'fp8.dequantize' op wants dimension 0 of scale (1) to be ceil(M/bm) (2)}}
  %r = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<1x3xf32> -> tensor<200x300xf32>
  return %r : tensor<200x300xf32>
}

// -----

// C4
func.func @dequantize_c4_2(%q: tensor<4x200x300xf8E4M3FN>, %scale: tensor<3x2x3xf32>) -> tensor<4x200x300xf32> {
  // expected-error@+1 {{'fp8.dequantize' op wants dimension 0 of scale (3) to be E (4)}}
  %r = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<4x200x300xf8E4M3FN>, tensor<3x2x3xf32> -> tensor<4x200x300xf32>
  return %r : tensor<4x200x300xf32>
}

// -----

// C5
func.func @dequantize_c5(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) -> tensor<200x301xf32> {
  // expected-error@+1 {{'fp8.dequantize' op wants dimension 1 of result (301) to be K (300)}}
  %r = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x301xf32>
  return %r : tensor<200x301xf32>
}

// -----

// C1
func.func @matmul_c1(%x: tensor<?x300xf32>, %weights: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.matmul' op wants block (128, 128, 1) to be two sizes of at least 1}}
  %r = fp8.matmul %x, %weights, %scale {block = array<i64: 128, 128, 1>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C2
func.func @matmul_c2(%x: tensor<?x300xf32>, %weights: tensor<?x300xf8E4M3FN>, %scale: tensor<2x3xf32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 0 of weights (N) to be static, got 'tensor<?x300xf8E4M3FN>'}}
  %r = fp8.matmul %x, %weights, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<?x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C3
func.func @matmul_c3(%x: tensor<?x300xf32>, %weights: tensor<200x300xf8E4M3FN>, %scale: tensor<2x2xf32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of scale (2) to be ceil(K/bk) (3)}}
  %r = fp8.matmul %x, %weights, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x2xf32> -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C4
func.func @matmul_c4(%x: tensor<?x299xf32>, %weights: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of x (299) to be K (300)}}
  %r = fp8.matmul %x, %weights, %scale {block = array<i64: 128, 128>}
      : tensor<?x299xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C5
func.func @matmul_c5(%x: tensor<?x300xf32>, %weights: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>)
    -> tensor<?x201xf32> {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of result (201) to be N (200)}}
  %r = fp8.matmul %x, %weights, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x201xf32>
  return %r : tensor<?x201xf32>
}

// -----

// C1
func.func @grouped_matmul_c1(%rows: tensor<?x300xf32>, %weights: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                             %offsets: tensor<5xi32>, %active: tensor<4xi32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants block (128, -1) to be two sizes of at least 1}}
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active {block = array<i64: 128, -1>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C2
func.func @grouped_matmul_c2(%rows: tensor<?x300xf32>, %weights: tensor<?x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                             %offsets: tensor<5xi32>, %active: tensor<4xi32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 0 of weights (E) to be static, got 'tensor<?x200x300xf8E4M3FN>'}}
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<?x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C3
func.func @grouped_matmul_c3(%rows: tensor<?x300xf32>, %weights: tensor<4x200x300xf8E4M3FN>, %scale: tensor<3x2x3xf32>,
                             %offsets: tensor<5xi32>, %active: tensor<4xi32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 0 of scale (3) to be E (4)}}
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<3x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C4
func.func @grouped_matmul_c4(%rows: tensor<?x300xf32>, %weights: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                             %offsets: tensor<4xi32>, %active: tensor<4xi32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants the groups of offsets (3) to be a multiple of E (4)}}
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<4xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C5
func.func @grouped_matmul_c5(%rows: tensor<?x300xf32>, %weights: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                             %offsets: tensor<5xi32>, %active: tensor<5xi32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 0 of active (5) to be G (4)}}
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<5xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C6
func.func @grouped_matmul_c6(%rows: tensor<?x300xf32>, %weights: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                             %offsets: tensor<5xi32>, %active: tensor<4xi32>, %source: tensor<?x1xi32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.grouped_matmul' op operand #5 must be tensor of rank 1 of 32-bit signless integer values, but got 'tensor<?x1xi32>'}}
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active source(%source
      : tensor<?x1xi32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C7
func.func @grouped_matmul_c7(%rows: tensor<?x301xf32>, %weights: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                             %offsets: tensor<5xi32>, %active: tensor<4xi32>)
    -> tensor<?x200xf32> {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 1 of rows (301) to be K (300)}}
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active {block = array<i64: 128, 128>}
      : tensor<?x301xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %r : tensor<?x200xf32>
}

// -----

// C8
func.func @grouped_matmul_c8(%rows: tensor<?x300xf32>, %weights: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
                             %offsets: tensor<5xi32>, %active: tensor<4xi32>)
    -> tensor<?x201xf32> {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 1 of result (201) to be N (200)}}
  %r = fp8.grouped_matmul %rows, %weights, %scale, %offsets, %active {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x201xf32>
  return %r : tensor<?x201xf32>
}
