// DEFINE: %{op} = fp8.quantize
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Codes to the bit: ties, subnormals, short tiles, a row of zeros. NaN and infinities show.
// REDEFINE: %{f} = activation
// REDEFINE: %{s} = M=1 K=300 block=1,128
// RUN: %{case}
// REDEFINE: %{s} = M=23 K=300 block=1,128
// RUN: %{case}
// REDEFINE: %{s} = M=5 K=300 block=1,128 seed=2
// RUN: %{case}
// REDEFINE: %{s} = M=19 K=300 block=1,128 hard=1 overflow=1
// RUN: %{case}

// 10,000 tiles of all magnitudes, with scales in f32 and of powers of two.
// REDEFINE: %{f} = rows
// REDEFINE: %{s} = M=1000 K=1280 block=1,128 hard=1
// RUN: %{case}
// REDEFINE: %{f} = rows_pow2
// REDEFINE: %{s} = M=1000 K=1280 block=1,128 pow2=1 hard=1 seed=3
// RUN: %{case}
// REDEFINE: %{s} = M=50 K=1280 block=1,128 pow2=1 hard=1 overflow=2
// RUN: %{case}

// The same along rows: tiles of one column, of tokens in groups that have 0, 1, 127, 128 and 129.
// REDEFINE: %{f} = columns
// REDEFINE: %{s} = M=1000 K=1250 block=128,1 hard=1
// RUN: %{case}
// REDEFINE: %{s} = M=130 K=1250 block=128,1 hard=1 overflow=1
// RUN: %{case}
// REDEFINE: %{s} = M=1 K=1250 block=128,1 seed=2
// RUN: %{case}
// REDEFINE: %{f} = groups
// REDEFINE: %{s} = rows=0,1,127,128,129,0 K=300 block=128,1 hard=1
// RUN: %{case}
// REDEFINE: %{f} = groups_pow2
// REDEFINE: %{s} = rows=3,0,200,60,0 K=70 block=16,1 pow2=1 hard=1
// RUN: %{case}
// REDEFINE: %{f} = groups_whole
// REDEFINE: %{s} = rows=3,0,200,60,0 K=70 block=0,1 hard=1
// RUN: %{case}
// REDEFINE: %{f} = groups_square
// REDEFINE: %{s} = rows=3,0,200,60,0 K=70 block=64,32 hard=1
// RUN: %{case}

// Weights, stacks of them, those of a checkpoint in bf16; one scale per row, per column, for all.
// REDEFINE: %{f} = weight
// REDEFINE: %{s} = M=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = M=200 K=300 block=128,128 hard=1
// RUN: %{case}
// REDEFINE: %{f} = stacked
// REDEFINE: %{s} = E=3 M=130 K=40 block=128,128 pow2=1 hard=1
// RUN: %{case}
// REDEFINE: %{f} = stacked_rows
// REDEFINE: %{s} = E=3 M=13 K=40 block=1,16
// RUN: %{case}
// REDEFINE: %{f} = stacked_columns
// REDEFINE: %{s} = E=3 M=13 K=40 block=4,1
// RUN: %{case}
// REDEFINE: %{f} = bf16
// REDEFINE: %{s} = M=200 K=300 block=128,128 element=bf16
// RUN: %{case}
// REDEFINE: %{f} = whole_rows
// REDEFINE: %{s} = M=7 K=300 block=1,0 hard=1
// RUN: %{case}
// REDEFINE: %{f} = whole_columns
// REDEFINE: %{s} = M=300 K=70 block=0,1 hard=1
// RUN: %{case}
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = M=30 K=70 block=0,0 pow2=1
// RUN: %{case}

// Odd tiles.
// REDEFINE: %{f} = tiny
// REDEFINE: %{s} = M=7 K=9 block=3,4
// RUN: %{case}
// REDEFINE: %{f} = one_more
// REDEFINE: %{s} = M=64 K=33 block=1,128
// RUN: %{case} && hadal-run call %t.hadal @%{f} --check-memory --input %t.in.safetensors -o %t.out.safetensors
// REDEFINE: %{f} = single
// REDEFINE: %{s} = M=7 K=9 block=1,1
// RUN: %{case}

// Other formats; E5M6 has two codes in three bytes.
// REDEFINE: %{f} = e5m2
// REDEFINE: %{s} = M=23 K=300 block=1,128 format=e5m2 hard=1 overflow=1
// RUN: %{case}
// REDEFINE: %{f} = e5m6
// REDEFINE: %{s} = M=23 K=301 block=1,128 format=e5m6 pow2=1 hard=1 overflow=1
// RUN: %{case}
// REDEFINE: %{s} = M=2 K=301 block=1,128 format=e5m6 pow2=1
// RUN: %{case}
// REDEFINE: %{f} = e5m6_columns
// REDEFINE: %{s} = M=9 K=301 block=4,1 format=e5m6 hard=1
// RUN: %{case}
// Of rows that an op before makes, in its kernel: here three times x; with and without the rows.
// REDEFINE: %{f} = fused
// REDEFINE: %{s} = M=23 K=300 block=1,128 factor=3 hard=1
// RUN: %{case}
// REDEFINE: %{s} = M=1 K=300 block=1,128 factor=3 hard=1 overflow=1
// RUN: %{case}
// REDEFINE: %{f} = fused_kept
// REDEFINE: %{s} = M=23 K=300 block=1,128 factor=3 hard=1
// RUN: %{case}

#matrix = affine_map<(m, n) -> (m, n)>

func.func @activation(%x: tensor<?x300xf32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
}

func.func @rows(%x: tensor<?x1280xf32>) -> (tensor<?x1280xf8E4M3FN>, tensor<?x10xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x1280xf32> -> tensor<?x1280xf8E4M3FN>, tensor<?x10xf32>
  return %q, %scale : tensor<?x1280xf8E4M3FN>, tensor<?x10xf32>
}

func.func @rows_pow2(%x: tensor<?x1280xf32>) -> (tensor<?x1280xf8E4M3FN>, tensor<?x10xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>, pow2}
      : tensor<?x1280xf32> -> tensor<?x1280xf8E4M3FN>, tensor<?x10xf32>
  return %q, %scale : tensor<?x1280xf8E4M3FN>, tensor<?x10xf32>
}

func.func @columns(%x: tensor<?x1250xf32>) -> (tensor<?x1250xf8E4M3FN>, tensor<?x1250xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 128, 1>}
      : tensor<?x1250xf32> -> tensor<?x1250xf8E4M3FN>, tensor<?x1250xf32>
  return %q, %scale : tensor<?x1250xf8E4M3FN>, tensor<?x1250xf32>
}

func.func @groups(%x: tensor<?x300xf32>, %o: tensor<7xi32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x300xf32>) {
  %q, %scale = fp8.quantize %x offsets(%o : tensor<7xi32>) {block = array<i64: 128, 1>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
}

func.func @groups_pow2(%x: tensor<?x70xf32>, %o: tensor<6xi32>) -> (tensor<?x70xf8E4M3FN>, tensor<?x70xf32>) {
  %q, %scale = fp8.quantize %x offsets(%o : tensor<6xi32>) {block = array<i64: 16, 1>, pow2}
      : tensor<?x70xf32> -> tensor<?x70xf8E4M3FN>, tensor<?x70xf32>
  return %q, %scale : tensor<?x70xf8E4M3FN>, tensor<?x70xf32>
}

func.func @groups_whole(%x: tensor<?x70xf32>, %o: tensor<6xi32>) -> (tensor<?x70xf8E4M3FN>, tensor<5x70xf32>) {
  %q, %scale = fp8.quantize %x offsets(%o : tensor<6xi32>) {block = array<i64: 0, 1>}
      : tensor<?x70xf32> -> tensor<?x70xf8E4M3FN>, tensor<5x70xf32>
  return %q, %scale : tensor<?x70xf8E4M3FN>, tensor<5x70xf32>
}

func.func @groups_square(%x: tensor<?x70xf32>, %o: tensor<6xi32>) -> (tensor<?x70xf8E4M3FN>, tensor<?x3xf32>) {
  %q, %scale = fp8.quantize %x offsets(%o : tensor<6xi32>) {block = array<i64: 64, 32>}
      : tensor<?x70xf32> -> tensor<?x70xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x70xf8E4M3FN>, tensor<?x3xf32>
}

func.func @weight(%x: tensor<200x300xf32>) -> (tensor<200x300xf8E4M3FN>, tensor<2x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 128, 128>}
      : tensor<200x300xf32> -> tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
  return %q, %scale : tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
}

func.func @stacked(%x: tensor<3x130x40xf32>) -> (tensor<3x130x40xf8E4M3FN>, tensor<3x2x1xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 128, 128>, pow2}
      : tensor<3x130x40xf32> -> tensor<3x130x40xf8E4M3FN>, tensor<3x2x1xf32>
  return %q, %scale : tensor<3x130x40xf8E4M3FN>, tensor<3x2x1xf32>
}

func.func @stacked_rows(%x: tensor<3x?x40xf32>) -> (tensor<3x?x40xf8E4M3FN>, tensor<3x?x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 16>}
      : tensor<3x?x40xf32> -> tensor<3x?x40xf8E4M3FN>, tensor<3x?x3xf32>
  return %q, %scale : tensor<3x?x40xf8E4M3FN>, tensor<3x?x3xf32>
}

func.func @stacked_columns(%x: tensor<3x?x40xf32>) -> (tensor<3x?x40xf8E4M3FN>, tensor<3x?x40xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 4, 1>}
      : tensor<3x?x40xf32> -> tensor<3x?x40xf8E4M3FN>, tensor<3x?x40xf32>
  return %q, %scale : tensor<3x?x40xf8E4M3FN>, tensor<3x?x40xf32>
}

func.func @bf16(%x: tensor<200x300xbf16>) -> (tensor<200x300xf8E4M3FN>, tensor<2x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 128, 128>}
      : tensor<200x300xbf16> -> tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
  return %q, %scale : tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
}

func.func @whole_rows(%x: tensor<?x300xf32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x1xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 0>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x1xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x1xf32>
}

func.func @whole_columns(%x: tensor<?x70xf32>) -> (tensor<?x70xf8E4M3FN>, tensor<1x70xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 0, 1>}
      : tensor<?x70xf32> -> tensor<?x70xf8E4M3FN>, tensor<1x70xf32>
  return %q, %scale : tensor<?x70xf8E4M3FN>, tensor<1x70xf32>
}

func.func @whole(%x: tensor<?x70xf32>) -> (tensor<?x70xf8E4M3FN>, tensor<1x1xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 0, 0>, pow2}
      : tensor<?x70xf32> -> tensor<?x70xf8E4M3FN>, tensor<1x1xf32>
  return %q, %scale : tensor<?x70xf8E4M3FN>, tensor<1x1xf32>
}

func.func @tiny(%x: tensor<?x9xf32>) -> (tensor<?x9xf8E4M3FN>, tensor<?x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 3, 4>}
      : tensor<?x9xf32> -> tensor<?x9xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x9xf8E4M3FN>, tensor<?x3xf32>
}

func.func @one_more(%x: tensor<?x33xf32>) -> (tensor<?x33xf8E4M3FN>, tensor<?x1xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x33xf32> -> tensor<?x33xf8E4M3FN>, tensor<?x1xf32>
  return %q, %scale : tensor<?x33xf8E4M3FN>, tensor<?x1xf32>
}

func.func @single(%x: tensor<?x9xf32>) -> (tensor<?x9xf8E4M3FN>, tensor<?x9xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 1>}
      : tensor<?x9xf32> -> tensor<?x9xf8E4M3FN>, tensor<?x9xf32>
  return %q, %scale : tensor<?x9xf8E4M3FN>, tensor<?x9xf32>
}

func.func @e5m2(%x: tensor<?x300xf32>) -> (tensor<?x300xf8E5M2>, tensor<?x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>, format = "e5m2"}
      : tensor<?x300xf32> -> tensor<?x300xf8E5M2>, tensor<?x3xf32>
  return %q, %scale : tensor<?x300xf8E5M2>, tensor<?x3xf32>
}

func.func @e5m6(%x: tensor<?x301xf32>) -> (tensor<?x452xi8>, tensor<?x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>, format = "e5m6", pow2}
      : tensor<?x301xf32> -> tensor<?x452xi8>, tensor<?x3xf32>
  return %q, %scale : tensor<?x452xi8>, tensor<?x3xf32>
}

func.func @e5m6_columns(%x: tensor<?x301xf32>) -> (tensor<?x452xi8>, tensor<?x301xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 4, 1>, format = "e5m6"}
      : tensor<?x301xf32> -> tensor<?x452xi8>, tensor<?x301xf32>
  return %q, %scale : tensor<?x452xi8>, tensor<?x301xf32>
}

func.func @fused(%x: tensor<?x300xf32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x3xf32>) {
  %c0 = arith.constant 0 : index
  %three = arith.constant 3.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x300xf32>
  %empty = tensor.empty(%m) : tensor<?x300xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x300xf32>) outs(%empty : tensor<?x300xf32>) {
  ^bb0(%a: f32, %unused: f32):
    %p = arith.mulf %a, %three : f32
    linalg.yield %p : f32
  } -> tensor<?x300xf32>
  %q, %scale = fp8.quantize %y {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
}

func.func @fused_kept(%x: tensor<?x300xf32>)
    -> (tensor<?x300xf8E4M3FN>, tensor<?x3xf32>, tensor<?x300xf32>) {
  %c0 = arith.constant 0 : index
  %three = arith.constant 3.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x300xf32>
  %empty = tensor.empty(%m) : tensor<?x300xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x300xf32>) outs(%empty : tensor<?x300xf32>) {
  ^bb0(%a: f32, %unused: f32):
    %p = arith.mulf %a, %three : f32
    linalg.yield %p : f32
  } -> tensor<?x300xf32>
  %q, %scale = fp8.quantize %y {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale, %y : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>, tensor<?x300xf32>
}
