// Codes on both sides, to the bit: weights as stored in both directions, one row and many, edges that blocks, vectors and parts do not
// fill, formats, sums as Hopper forms them, promoted often and never.
// DEFINE: %{op} = fp8.product_of_codes
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal
// REDEFINE: %{f} = plain
// REDEFINE: %{s} = rows=1 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = rows=2 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = rows=5 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = rows=17 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = rows=65 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = rows=0 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{f} = small
// REDEFINE: %{s} = rows=13 N=19 K=37 block=128,128
// RUN: %{case}
// REDEFINE: %{f} = turned
// REDEFINE: %{s} = rows=1 N=150 K=45 block=128,128 transpose=1
// RUN: %{case}
// REDEFINE: %{s} = rows=27 N=150 K=45 block=128,128 transpose=1
// RUN: %{case}
// REDEFINE: %{f} = blocks
// REDEFINE: %{s} = rows=7 N=33 K=45 block=5,7
// RUN: %{case}
// REDEFINE: %{f} = blocks_turned
// REDEFINE: %{s} = rows=7 N=33 K=45 block=7,5 transpose=1
// RUN: %{case}
// REDEFINE: %{f} = e5m2
// REDEFINE: %{s} = rows=5 N=40 K=150 block=128,128 x=e5m2 w=e5m2
// RUN: %{case}
// REDEFINE: %{f} = mixed
// REDEFINE: %{s} = rows=5 N=40 K=150 block=128,128 transpose=1 x=e5m2
// RUN: %{case}
// REDEFINE: %{f} = often
// REDEFINE: %{s} = rows=9 N=35 K=300 block=128,128 interval=32
// RUN: %{case}
// REDEFINE: %{f} = never
// REDEFINE: %{s} = rows=3 N=40 K=301 block=1,0 interval=0
// RUN: %{case}
// REDEFINE: %{f} = hopper
// REDEFINE: %{s} = rows=1 N=35 K=300 block=128,128 hopper=1
// RUN: %{case}
// REDEFINE: %{s} = rows=6 N=35 K=300 block=128,128 hopper=1
// RUN: %{case}
// REDEFINE: %{f} = hopper_never
// REDEFINE: %{s} = rows=3 N=301 K=37 block=0,1 transpose=1 hopper=1 interval=0
// RUN: %{case}
// REDEFINE: %{f} = long
// REDEFINE: %{s} = rows=15 N=70 K=2600 block=128,128 residual=1
// RUN: %{case}
// REDEFINE: %{f} = grouped
// REDEFINE: %{s} = E=3 rows=3,0,1,17,2,0 N=40 K=150 block=128,128 source=1
// RUN: %{case}
// REDEFINE: %{f} = grouped_turned
// REDEFINE: %{s} = E=3 rows=0,13,4 N=150 K=45 block=128,128 transpose=1 residual=1
// RUN: %{case}

// Every code is its value, and NaN is NaN.
// REDEFINE: %{f} = all_codes
// REDEFINE: %{s} = rows=1 N=256 K=140 block=128,128 all_codes=1
// RUN: %{case}
// REDEFINE: %{s} = rows=40 N=256 K=140 block=128,128 all_codes=1
// RUN: %{case}

// What is kept of the result in codes is made in the product's kernel.
// REDEFINE: %{f} = kept
// REDEFINE: %{s} = rows=1 N=200 K=300 block=128,128 kept=128
// RUN: %{case}
// REDEFINE: %{s} = rows=29 N=200 K=300 block=128,128 kept=128
// RUN: %{case}
// REDEFINE: %{f} = kept_long
// REDEFINE: %{s} = rows=15 N=300 K=2600 block=128,128 residual=1 kept=128
// RUN: %{case}
// REDEFINE: %{f} = kept_grouped
// REDEFINE: %{s} = E=3 rows=3,0,1,17,2,0 N=200 K=150 block=128,128 source=1 kept=128
// RUN: %{case}

// Two products of the same rows, whose panels stand side by side.
// REDEFINE: %{f} = pair
// REDEFINE: %{s} = rows=1 N=200 K=300 block=128,128 pair=1
// RUN: %{case}
// REDEFINE: %{s} = rows=29 N=200 K=300 block=128,128 pair=1
// RUN: %{case}

// Where a processor has AVX-512-BF16 these are its pairs; without it the bits are the same.

#id = affine_map<(m, n) -> (m, n)>

func.func @plain(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %sc: tensor<2x3xf32>, %xs: tensor<?x3xf32>) -> tensor<?x200xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>} : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}

func.func @all_codes(%x: tensor<?x140xf8E4M3FN>, %w: tensor<256x140xf8E4M3FN>, %sc: tensor<2x2xf32>, %xs: tensor<?x2xf32>) -> tensor<?x256xf32> {
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>} : tensor<?x140xf8E4M3FN>, tensor<256x140xf8E4M3FN>, tensor<2x2xf32> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}

func.func @small(%x: tensor<?x37xf8E4M3FN>, %w: tensor<19x37xf8E4M3FN>, %sc: tensor<1x1xf32>, %xs: tensor<?x1xf32>) -> tensor<?x19xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x1xf32>) {block = array<i64: 128, 128>} : tensor<?x37xf8E4M3FN>, tensor<19x37xf8E4M3FN>, tensor<1x1xf32> -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}

func.func @turned(%x: tensor<?x150xf8E4M3FN>, %w: tensor<150x45xf8E4M3FN>, %sc: tensor<2x1xf32>, %xs: tensor<?x2xf32>) -> tensor<?x45xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>, transpose} : tensor<?x150xf8E4M3FN>, tensor<150x45xf8E4M3FN>, tensor<2x1xf32> -> tensor<?x45xf32>
  return %y : tensor<?x45xf32>
}

func.func @blocks(%x: tensor<?x45xf8E4M3FN>, %w: tensor<33x45xf8E4M3FN>, %sc: tensor<7x7xf32>, %xs: tensor<?x7xf32>) -> tensor<?x33xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x7xf32>) {block = array<i64: 5, 7>} : tensor<?x45xf8E4M3FN>, tensor<33x45xf8E4M3FN>, tensor<7x7xf32> -> tensor<?x33xf32>
  return %y : tensor<?x33xf32>
}

func.func @blocks_turned(%x: tensor<?x33xf8E4M3FN>, %w: tensor<33x45xf8E4M3FN>, %sc: tensor<5x9xf32>, %xs: tensor<?x5xf32>) -> tensor<?x45xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x5xf32>) {block = array<i64: 7, 5>, transpose} : tensor<?x33xf8E4M3FN>, tensor<33x45xf8E4M3FN>, tensor<5x9xf32> -> tensor<?x45xf32>
  return %y : tensor<?x45xf32>
}

func.func @e5m2(%x: tensor<?x150xf8E5M2>, %w: tensor<40x150xf8E5M2>, %sc: tensor<1x2xf32>, %xs: tensor<?x2xf32>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>} : tensor<?x150xf8E5M2>, tensor<40x150xf8E5M2>, tensor<1x2xf32> -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

func.func @mixed(%x: tensor<?x40xf8E5M2>, %w: tensor<40x150xf8E4M3FN>, %sc: tensor<1x2xf32>, %xs: tensor<?x1xf32>) -> tensor<?x150xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x1xf32>) {block = array<i64: 128, 128>, transpose} : tensor<?x40xf8E5M2>, tensor<40x150xf8E4M3FN>, tensor<1x2xf32> -> tensor<?x150xf32>
  return %y : tensor<?x150xf32>
}

func.func @often(%x: tensor<?x300xf8E4M3FN>, %w: tensor<35x300xf8E4M3FN>, %sc: tensor<1x3xf32>, %xs: tensor<?x3xf32>) -> tensor<?x35xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>, interval = 32 : i64} : tensor<?x300xf8E4M3FN>, tensor<35x300xf8E4M3FN>, tensor<1x3xf32> -> tensor<?x35xf32>
  return %y : tensor<?x35xf32>
}

func.func @never(%x: tensor<?x301xf8E4M3FN>, %w: tensor<40x301xf8E4M3FN>, %sc: tensor<40x1xf32>, %xs: tensor<?x1xf32>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x1xf32>) {block = array<i64: 1, 0>, interval = 0 : i64} : tensor<?x301xf8E4M3FN>, tensor<40x301xf8E4M3FN>, tensor<40x1xf32> -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

func.func @hopper(%x: tensor<?x300xf8E4M3FN>, %w: tensor<35x300xf8E4M3FN>, %sc: tensor<1x3xf32>, %xs: tensor<?x3xf32>) -> tensor<?x35xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>, accumulate = "hopper"} : tensor<?x300xf8E4M3FN>, tensor<35x300xf8E4M3FN>, tensor<1x3xf32> -> tensor<?x35xf32>
  return %y : tensor<?x35xf32>
}

func.func @hopper_never(%x: tensor<?x301xf8E4M3FN>, %w: tensor<301x37xf8E4M3FN>, %sc: tensor<1x37xf32>, %xs: tensor<?x1xf32>) -> tensor<?x37xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x1xf32>) {block = array<i64: 0, 1>, transpose, accumulate = "hopper", interval = 0 : i64} : tensor<?x301xf8E4M3FN>, tensor<301x37xf8E4M3FN>, tensor<1x37xf32> -> tensor<?x37xf32>
  return %y : tensor<?x37xf32>
}

func.func @long(%x: tensor<?x2600xf8E4M3FN>, %w: tensor<70x2600xf8E4M3FN>, %sc: tensor<1x21xf32>, %xs: tensor<?x21xf32>, %r: tensor<?x70xf32>) -> tensor<?x70xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x21xf32>) {block = array<i64: 128, 128>} : tensor<?x2600xf8E4M3FN>, tensor<70x2600xf8E4M3FN>, tensor<1x21xf32> -> tensor<?x70xf32>
  %d = tensor.dim %r, %c0 : tensor<?x70xf32>
  %em = tensor.empty(%d) : tensor<?x70xf32>
  %z = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%y, %r : tensor<?x70xf32>, tensor<?x70xf32>) outs(%em : tensor<?x70xf32>) {
  ^bb0(%a: f32, %b: f32, %oo: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<?x70xf32>
  return %z : tensor<?x70xf32>
}

func.func @grouped(%x: tensor<?x150xf8E4M3FN>, %w: tensor<3x40x150xf8E4M3FN>, %sc: tensor<3x1x2xf32>, %xs: tensor<?x2xf32>, %o: tensor<7xi32>, %ac: tensor<6xi32>, %src: tensor<?xi32>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.grouped_matmul %x, %w, %sc, %o, %ac source(%src : tensor<?xi32>) x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>} : tensor<?x150xf8E4M3FN>, tensor<3x40x150xf8E4M3FN>, tensor<3x1x2xf32>, tensor<7xi32>, tensor<6xi32> -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

func.func @grouped_turned(%x: tensor<?x150xf8E4M3FN>, %w: tensor<3x150x45xf8E4M3FN>, %sc: tensor<3x2x1xf32>, %xs: tensor<?x2xf32>, %o: tensor<4xi32>, %ac: tensor<3xi32>, %r: tensor<?x45xf32>) -> tensor<?x45xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.grouped_matmul %x, %w, %sc, %o, %ac x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>, transpose} : tensor<?x150xf8E4M3FN>, tensor<3x150x45xf8E4M3FN>, tensor<3x2x1xf32>, tensor<4xi32>, tensor<3xi32> -> tensor<?x45xf32>
  %d = tensor.dim %r, %c0 : tensor<?x45xf32>
  %em = tensor.empty(%d) : tensor<?x45xf32>
  %z = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%y, %r : tensor<?x45xf32>, tensor<?x45xf32>) outs(%em : tensor<?x45xf32>) {
  ^bb0(%a: f32, %b: f32, %oo: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<?x45xf32>
  return %z : tensor<?x45xf32>
}

func.func @kept(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %sc: tensor<2x3xf32>, %xs: tensor<?x3xf32>)
    -> (tensor<?x200xf32>, tensor<?x200xf8E4M3FN>, tensor<?x2xf32>) {
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>} : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  %q, %s = fp8.quantize %y {block = array<i64: 1, 128>} : tensor<?x200xf32> -> tensor<?x200xf8E4M3FN>, tensor<?x2xf32>
  return %y, %q, %s : tensor<?x200xf32>, tensor<?x200xf8E4M3FN>, tensor<?x2xf32>
}

func.func @kept_long(%x: tensor<?x2600xf8E4M3FN>, %w: tensor<300x2600xf8E4M3FN>, %sc: tensor<3x21xf32>, %xs: tensor<?x21xf32>, %r: tensor<?x300xf32>)
    -> (tensor<?x300xf32>, tensor<?x300xf8E4M3FN>, tensor<?x3xf32>) {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x21xf32>) {block = array<i64: 128, 128>} : tensor<?x2600xf8E4M3FN>, tensor<300x2600xf8E4M3FN>, tensor<3x21xf32> -> tensor<?x300xf32>
  %d = tensor.dim %r, %c0 : tensor<?x300xf32>
  %em = tensor.empty(%d) : tensor<?x300xf32>
  %z = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%y, %r : tensor<?x300xf32>, tensor<?x300xf32>) outs(%em : tensor<?x300xf32>) {
  ^bb0(%a: f32, %b: f32, %oo: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<?x300xf32>
  %q, %s = fp8.quantize %z {block = array<i64: 1, 128>} : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %z, %q, %s : tensor<?x300xf32>, tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
}

func.func @kept_grouped(%x: tensor<?x150xf8E4M3FN>, %w: tensor<3x200x150xf8E4M3FN>, %sc: tensor<3x2x2xf32>, %xs: tensor<?x2xf32>, %o: tensor<7xi32>, %ac: tensor<6xi32>, %src: tensor<?xi32>)
    -> (tensor<?x200xf32>, tensor<?x200xf8E4M3FN>, tensor<?x2xf32>) {
  %y = fp8.grouped_matmul %x, %w, %sc, %o, %ac source(%src : tensor<?xi32>) x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>} : tensor<?x150xf8E4M3FN>, tensor<3x200x150xf8E4M3FN>, tensor<3x2x2xf32>, tensor<7xi32>, tensor<6xi32> -> tensor<?x200xf32>
  %q, %s = fp8.quantize %y {block = array<i64: 1, 128>} : tensor<?x200xf32> -> tensor<?x200xf8E4M3FN>, tensor<?x2xf32>
  return %y, %q, %s : tensor<?x200xf32>, tensor<?x200xf8E4M3FN>, tensor<?x2xf32>
}

func.func @pair(%x: tensor<?x300xf8E4M3FN>, %w: tensor<200x300xf8E4M3FN>, %sc: tensor<2x3xf32>, %xs: tensor<?x3xf32>, %w2: tensor<200x300xf8E4M3FN>, %sc2: tensor<2x3xf32>)
    -> tensor<?x200xf32> {
  %c0 = arith.constant 0 : index
  %y = fp8.matmul %x, %w, %sc x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>} : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  %y2 = fp8.matmul %x, %w2, %sc2 x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>} : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  %d = tensor.dim %y, %c0 : tensor<?x200xf32>
  %em = tensor.empty(%d) : tensor<?x200xf32>
  %z = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%y, %y2 : tensor<?x200xf32>, tensor<?x200xf32>) outs(%em : tensor<?x200xf32>) {
  ^bb0(%a: f32, %b: f32, %oo: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<?x200xf32>
  return %z : tensor<?x200xf32>
}
