// RUN: hadal-opt %s --split-input-file --verify-diagnostics

// One case or more for each constraint of each op, under the number that the op's description
// gives it.

// A misspelt attribute would change numbers silently.
func.func @quantize_unknown(%x: tensor<?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op knows no attribute pow}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>, pow}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C1
func.func @quantize_c1(%x: tensor<?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants block (128) to be two sizes of at least 0}}
  %q, %scale = fp8.quantize %x {block = array<i64: 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C2
func.func @quantize_c2(%x: tensor<?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants format (e4m3fn) to be e4m3, e5m2 or e5m6}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>, format = "e4m3fn"}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C3
func.func @quantize_c3(%x: tensor<?x?xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 1 of x (K) to be static, got 'tensor<?x?xf32>'}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x?xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C4
func.func @quantize_c4(%x: tensor<4x?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants q (rank 2) and scale (rank 2) to have the rank of x (3)}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<4x?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C5
func.func @quantize_c5(%x: tensor<?x300xf32>, %o: tensor<9xi32>) {
  // expected-error@+1 {{'fp8.quantize' op wants offsets with a matrix in tiles of rows, got rank 2 and block (1, 128)}}
  %q, %scale = fp8.quantize %x offsets(%o : tensor<9xi32>) {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C5
func.func @quantize_c5_dynamic(%x: tensor<?x300xf32>, %o: tensor<?xi32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 0 of offsets (G) to be static, got 'tensor<?xi32>'}}
  %q, %scale = fp8.quantize %x offsets(%o : tensor<?xi32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C6
func.func @quantize_c6(%x: tensor<?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 1 of q (301) to be K (300)}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x301xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C6
func.func @quantize_c6_format(%x: tensor<?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants q of 'f8E5M2' for the format e5m2, got 'f8E4M3FN'}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>, format = "e5m2"}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

// C6
func.func @quantize_c6_e5m6(%x: tensor<?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 1 of q (300) to be ceil(3K/2) (450)}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>, format = "e5m6"}
      : tensor<?x300xf32> -> tensor<?x300xi8>, tensor<?x3xf32>
  return
}

// -----

// C6
func.func @quantize_c6_odd(%x: tensor<?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants tiles of an even number of columns, or one, for e5m6, got block (1, 3)}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 3>, format = "e5m6"}
      : tensor<?x300xf32> -> tensor<?x450xi8>, tensor<?x100xf32>
  return
}

// -----

// C7
func.func @quantize_c7(%x: tensor<?x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 1 of scale (2) to be ceil(K/bk) (3)}}
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x2xf32>
  return
}

// -----

// C7
func.func @quantize_c7_all(%x: tensor<200x300xf32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 0 of scale (2) to be ceil(M/bm) (1)}}
  %q, %scale = fp8.quantize %x {block = array<i64: 0, 1>}
      : tensor<200x300xf32> -> tensor<200x300xf8E4M3FN>, tensor<2x300xf32>
  return
}

// -----

// C7
func.func @quantize_c7_groups(%x: tensor<200x300xf32>, %o: tensor<9xi32>) {
  // expected-error@+1 {{'fp8.quantize' op wants dimension 0 of scale (2) to be floor(M/bm)+G (9)}}
  %q, %scale = fp8.quantize %x offsets(%o : tensor<9xi32>) {block = array<i64: 128, 1>}
      : tensor<200x300xf32> -> tensor<200x300xf8E4M3FN>, tensor<2x300xf32>
  return
}

// -----

// An attribute that the op does not know.
func.func @dequantize_unknown(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.dequantize' op knows no attribute tile}}
  %x = fp8.dequantize %q, %scale {block = array<i64: 128, 128>, tile = 128 : i64}
      : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return
}

// -----

// C1
func.func @dequantize_c1(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.dequantize' op wants block (-1, 128) to be two sizes of at least 0}}
  %x = fp8.dequantize %q, %scale {block = array<i64: -1, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return
}

// -----

// C2
func.func @dequantize_c2(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.dequantize' op wants format (e3m4) to be e4m3, e5m2 or e5m6}}
  %x = fp8.dequantize %q, %scale {block = array<i64: 128, 128>, format = "e3m4"}
      : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return
}

// -----

// C3
func.func @dequantize_c3(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>) {
  // expected-error@+1 {{'fp8.dequantize' op wants q (rank 2) and scale (rank 3) to have the rank of result (2)}}
  %x = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<4x2x3xf32> -> tensor<200x300xf32>
  return
}

// -----

// C4
func.func @dequantize_c4(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.dequantize' op wants dimension 1 of result (K) to be static, got 'tensor<200x?xf32>'}}
  %x = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x?xf32>
  return
}

// -----

// C5
func.func @dequantize_c5(%q: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>, %o: tensor<9xi32>) {
  // expected-error@+1 {{'fp8.dequantize' op wants offsets with a matrix in tiles of rows, got rank 3 and block (128, 128)}}
  %x = fp8.dequantize %q, %scale offsets(%o : tensor<9xi32>) {block = array<i64: 128, 128>}
      : tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32> -> tensor<4x200x300xf32>
  return
}

// -----

// C6
func.func @dequantize_c6(%q: tensor<200x301xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.dequantize' op wants dimension 1 of q (301) to be K (300)}}
  %x = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x301xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return
}

// -----

// C7
func.func @dequantize_c7(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<1x3xf32>) {
  // expected-error@+1 {{'fp8.dequantize' op wants dimension 0 of scale (1) to be ceil(M/bm) (2)}}
  %x = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<1x3xf32> -> tensor<200x300xf32>
  return
}

// -----

// C7
func.func @dequantize_c7_stacked(%q: tensor<4x200x300xf8E4M3FN>, %scale: tensor<3x2x3xf32>) {
  // expected-error@+1 {{'fp8.dequantize' op wants dimension 0 of scale (3) to be E (4)}}
  %x = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<4x200x300xf8E4M3FN>, tensor<3x2x3xf32> -> tensor<4x200x300xf32>
  return
}

// -----

// An attribute that the op does not know.
func.func @matmul_unknown(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op knows no attribute transposed}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>, transposed}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C1
func.func @matmul_c1(%x: tensor<?x300xf32>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants block (128, 128, 1) to be two sizes of at least 1}}
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128, 1>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C1
func.func @matmul_c1_codes(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants block (128, -1) to be two sizes of at least 0}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, -1>}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C2
func.func @matmul_c2(%x: tensor<?x300xf32>, %w: tensor<?x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 0 of weights (N) to be static, got 'tensor<?x300xf8E4M3FN>'}}
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<?x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C3
func.func @matmul_c3(%x: tensor<?x300xf32>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x2xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of scale (2) to be ceil(K/bk) (3)}}
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x2xf32> -> tensor<?x200xf32>
  return
}

// -----

// C4
func.func @matmul_c4(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants rows of f32 and weights of f8E4M3FN without x_scale, got 'f8E4M3FN' and 'f8E4M3FN'}}
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C4
func.func @matmul_c4_codes(%x: tensor<?x300xf32>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants codes with x_scale, got 'f32' and 'f8E4M3FN'}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C5
func.func @matmul_c5(%x: tensor<?x200xf32>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants x_scale where it has transpose, accumulate or interval}}
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>, transpose}
      : tensor<?x200xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x300xf32>
  return
}

// -----

// C6
func.func @matmul_c6(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants accumulate (fp22) to be hopper}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {accumulate = "fp22", block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C7
func.func @matmul_c7(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants interval (48) to be 0, 32, 64 or 128}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>, interval = 48 : i64}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C7
func.func @matmul_c7_tile(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x4xf32>, %xs: tensor<?x4xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants tiles (96) of a multiple of interval (64)}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x4xf32>) {block = array<i64: 128, 96>, interval = 64 : i64}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x4xf32> -> tensor<?x200xf32>
  return
}

// -----

// C7
func.func @matmul_c7_all(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants tiles (128) of all that is summed over (0) for interval (0)}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>, interval = 0 : i64}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C8
func.func @matmul_c8(%x: tensor<?x299xf32>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of x (299) to be K (300)}}
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
      : tensor<?x299xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C8
func.func @matmul_c8_transpose(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of x (300) to be N (200)}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>, transpose}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C9
func.func @matmul_c9(%x: tensor<?x300xf8E5M2>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x2xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of x_scale (2) to be ceil(K/bk) (3)}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf8E5M2>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return
}

// -----

// C9
func.func @matmul_c9_transpose(%x: tensor<?x200xf8E5M2>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of x_scale (3) to be ceil(N/bn) (2)}}
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>, transpose}
      : tensor<?x200xf8E5M2>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x300xf32>
  return
}

// -----

// C10
func.func @matmul_c10(%x: tensor<?x300xf32>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) {
  // expected-error@+1 {{'fp8.matmul' op wants dimension 1 of result (201) to be N (200)}}
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x201xf32>
  return
}

// -----

// An attribute that the op does not know.
func.func @grouped_matmul_unknown(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op knows no attribute scales}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {block = array<i64: 128, 128>, scales = "pow2"}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C1
func.func @grouped_matmul_c1(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants block (128, -1) to be two sizes of at least 1}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {block = array<i64: 128, -1>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C2
func.func @grouped_matmul_c2(%rows: tensor<?x300xf32>, %w: tensor<?x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 0 of weights (E) to be static, got 'tensor<?x200x300xf8E4M3FN>'}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<?x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C3
func.func @grouped_matmul_c3(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<3x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 0 of scale (3) to be E (4)}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<3x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C4
func.func @grouped_matmul_c4(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants codes with x_scale, got 'f32' and 'f8E4M3FN'}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active x_scale(%xs : tensor<?x3xf32>)
      {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C5
func.func @grouped_matmul_c5(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants x_scale where it has transpose, accumulate or interval}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {accumulate = "hopper", block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C6
func.func @grouped_matmul_c6(%rows: tensor<?x300xf8E4M3FN>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants accumulate (f32) to be hopper}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active x_scale(%xs : tensor<?x3xf32>)
      {accumulate = "f32", block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C7
func.func @grouped_matmul_c7(%rows: tensor<?x300xf8E4M3FN>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>, %xs: tensor<?x3xf32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants interval (16) to be 0, 32, 64 or 128}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active x_scale(%xs : tensor<?x3xf32>)
      {block = array<i64: 128, 128>, interval = 16 : i64}
      : tensor<?x300xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C8
func.func @grouped_matmul_c8(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<4xi32>, %active: tensor<4xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants the groups of offsets (3) to be a multiple of E (4)}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<4xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C9
func.func @grouped_matmul_c9(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<5xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 0 of active (5) to be G (4)}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<5xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C10
func.func @grouped_matmul_c10(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>, %source: tensor<?x1xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op operand #5 must be tensor of rank 1 of 32-bit signless integer values, but got 'tensor<?x1xi32>'}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active source(%source : tensor<?x1xi32>)
      {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C11
func.func @grouped_matmul_c11(%rows: tensor<?x301xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 1 of rows (301) to be K (300)}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {block = array<i64: 128, 128>}
      : tensor<?x301xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C12
func.func @grouped_matmul_c12(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 1 of result (201) to be N (200)}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active
      {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x201xf32>
  return
}

// -----

// C13
func.func @grouped_matmul_c13(%rows: tensor<?x300xf8E4M3FN>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>, %xs: tensor<?x2xf32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 1 of x_scale (2) to be ceil(K/bk) (3)}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active x_scale(%xs : tensor<?x2xf32>)
      {block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// C13
func.func @grouped_matmul_c13_source(%rows: tensor<9x300xf8E4M3FN>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
    %offsets: tensor<5xi32>, %active: tensor<4xi32>, %source: tensor<?xi32>, %xs: tensor<7x3xf32>) {
  // expected-error@+1 {{'fp8.grouped_matmul' op wants dimension 0 of x_scale (7) to be T (9)}}
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active source(%source : tensor<?xi32>) x_scale(%xs : tensor<7x3xf32>)
      {block = array<i64: 128, 128>}
      : tensor<9x300xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return
}

// -----

// An attribute that the op does not know.
func.func @weight_grad_unknown(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op knows no attribute tile}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 1>, tile = 1 : i64}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C1
func.func @weight_grad_c1(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants block (128) to be two sizes of at least 0}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C1
func.func @weight_grad_c1_columns(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants tiles of one column, got block (128, 128)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 128>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C2
func.func @weight_grad_c2(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<16x24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants init of rank 2 without offsets, got 'tensor<16x24x64xf32>'}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<16x24x64xf32> -> tensor<16x24x64xf32>
  return
}

// -----

// C2
func.func @weight_grad_c2_groups(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>,
    %o: tensor<17xi32>, %a: tensor<16xi32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants init of rank 3 with offsets, got 'tensor<24x64xf32>'}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      offsets(%o : tensor<17xi32>) active(%a : tensor<16xi32>)
      {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C3
func.func @weight_grad_c3(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<16x24x64xf32>,
    %o: tensor<16xi32>, %a: tensor<15xi32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants the groups of offsets (15) to be a multiple of E (16)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      offsets(%o : tensor<16xi32>) active(%a : tensor<15xi32>)
      {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<16x24x64xf32> -> tensor<16x24x64xf32>
  return
}

// -----

// C4
func.func @weight_grad_c4(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<16x24x64xf32>,
    %o: tensor<17xi32>, %a: tensor<8xi32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants dimension 0 of active (8) to be G (16)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      offsets(%o : tensor<17xi32>) active(%a : tensor<8xi32>)
      {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<16x24x64xf32> -> tensor<16x24x64xf32>
  return
}

// -----

// C5
func.func @weight_grad_c5(%dy: tensor<?x25xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants dimension 1 of gradient (25) to be N (24)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 1>}
      : tensor<?x25xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C6
func.func @weight_grad_c6(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x65xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants dimension 1 of x (65) to be K (64)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x65xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C7
func.func @weight_grad_c7(%dy: tensor<200x24xf8E4M3FN>, %dys: tensor<3x24xf32>, %x: tensor<200x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants dimension 0 of gradient_scale (3) to be ceil(T/bt) (2)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 1>}
      : tensor<200x24xf8E4M3FN>, tensor<3x24xf32>, tensor<200x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C7
func.func @weight_grad_c7_groups(%dy: tensor<200x24xf8E4M3FN>, %dys: tensor<2x24xf32>, %x: tensor<200x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<16x24x64xf32>,
    %o: tensor<17xi32>, %a: tensor<16xi32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants dimension 0 of gradient_scale (2) to be floor(T/bt)+G (17)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      offsets(%o : tensor<17xi32>) active(%a : tensor<16xi32>)
      {block = array<i64: 128, 1>}
      : tensor<200x24xf8E4M3FN>, tensor<2x24xf32>, tensor<200x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<16x24x64xf32> -> tensor<16x24x64xf32>
  return
}

// -----

// C8
func.func @weight_grad_c8(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x1xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants dimension 1 of x_scale (1) to be K (64)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x1xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C9
func.func @weight_grad_c9(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants accumulate (bf16) to be hopper}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {accumulate = "bf16", block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C10
func.func @weight_grad_c10(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants interval (256) to be 0, 32, 64 or 128}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 1>, interval = 256 : i64}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}

// -----

// C10
func.func @weight_grad_c10_all(%dy: tensor<?x24xf8E4M3FN>, %dys: tensor<?x24xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<24x64xf32>) {
  // expected-error@+1 {{'fp8.weight_grad' op wants tiles (128) of all that is summed over (0) for interval (0)}}
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      {block = array<i64: 128, 1>, interval = 0 : i64}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>,
        tensor<24x64xf32> -> tensor<24x64xf32>
  return
}
