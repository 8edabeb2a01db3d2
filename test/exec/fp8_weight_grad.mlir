// DEFINE: %{op} = fp8.weight_grad
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s --cpu=native --products=fma -o %t.hadal

// From zero, from a sum that stays, and in its place.
// REDEFINE: %{f} = zero
// REDEFINE: %{s} = rows=0 N=37 K=45 tile=128
// RUN: %{case}
// REDEFINE: %{s} = rows=1 N=37 K=45 tile=128
// RUN: %{case}
// REDEFINE: %{s} = rows=127 N=37 K=45 tile=128
// RUN: %{case}
// REDEFINE: %{s} = rows=128 N=37 K=45 tile=128
// RUN: %{case}
// REDEFINE: %{s} = rows=129 N=37 K=45 tile=128
// RUN: %{case}
// REDEFINE: %{s} = rows=300 N=37 K=45 tile=128
// RUN: %{case}
// REDEFINE: %{f} = kept
// REDEFINE: %{s} = rows=0 N=37 K=45 tile=128 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=131 N=37 K=45 tile=128 init=1
// RUN: %{case}
// REDEFINE: %{f} = in_place
// REDEFINE: %{s} = rows=0 N=19 K=33 tile=128 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=131 N=19 K=33 tile=128 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=256 N=19 K=33 tile=128 init=1
// RUN: %{case}

// More than one part of N and of K.
// REDEFINE: %{f} = large
// REDEFINE: %{s} = rows=70 N=530 K=290 tile=128 init=1
// RUN: %{case}

// A matrix an expert: groups of their own rows; then two segments, which add to one matrix.
// REDEFINE: %{f} = experts
// REDEFINE: %{s} = rows=0,1,127,128,129,0 N=37 K=29 tile=128 E=6
// RUN: %{case}
// REDEFINE: %{s} = rows=0,0,0,0,0,0 N=37 K=29 tile=128 E=6
// RUN: %{case}
// REDEFINE: %{s} = rows=5,0,0,40,0,300 N=37 K=29 tile=128 E=6
// RUN: %{case}
// REDEFINE: %{f} = experts_in_place
// REDEFINE: %{s} = rows=0,1,127,128,129,0 N=37 K=29 tile=128 E=6 init=1
// RUN: %{case}
// REDEFINE: %{f} = segments
// REDEFINE: %{s} = rows=3,130,0,200,1,128 N=21 K=29 tile=128 E=3 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=0,7,0,0,0,0 N=21 K=29 tile=128 E=3 init=1
// RUN: %{case}

// Other tiles, other codes, sums promoted more often.
// REDEFINE: %{f} = tiles_of_25
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=25 init=1
// RUN: %{case}
// REDEFINE: %{f} = e5m2
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 gradient=e5m2
// RUN: %{case}
// REDEFINE: %{f} = both_e5m2
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 gradient=e5m2 x=e5m2
// RUN: %{case}
// REDEFINE: %{f} = interval
// REDEFINE: %{s} = rows=31 N=21 K=29 tile=128 interval=32 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 interval=32 init=1
// RUN: %{case}

// As Hopper adds.
// REDEFINE: %{f} = hopper
// REDEFINE: %{s} = rows=0 N=21 K=29 tile=128 hopper=1 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=33 N=21 K=29 tile=128 hopper=1 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 hopper=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = hopper_interval
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 interval=64 hopper=1
// RUN: %{case}
// REDEFINE: %{f} = hopper_e5m2
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 hopper=1 gradient=e5m2
// RUN: %{case}

// One scale a group: promoted at its end, or on the way.
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = rows=0 N=21 K=29 tile=0 interval=0 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=1 N=21 K=29 tile=0 interval=0 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=300 N=21 K=29 tile=0 interval=0 init=1
// RUN: %{case}
// REDEFINE: %{f} = hopper_whole
// REDEFINE: %{s} = rows=300 N=21 K=29 tile=0 interval=0 hopper=1
// RUN: %{case}
// REDEFINE: %{f} = whole_interval
// REDEFINE: %{s} = rows=300 N=21 K=29 tile=0 interval=128
// RUN: %{case}
// REDEFINE: %{f} = experts_whole
// REDEFINE: %{s} = rows=0,300,7,128,1,256 N=21 K=29 tile=0 E=3 interval=0 hopper=1 init=1
// RUN: %{case}

// Numbers that are quantized while they are copied, with the bits of quantizers of their own.
// REDEFINE: %{f} = quantized
// REDEFINE: %{s} = rows=0 N=37 K=45 tile=128 quantized=1 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=1 N=37 K=45 tile=128 quantized=1 init=1
// RUN: %{case}
// REDEFINE: %{s} = rows=131 N=37 K=45 tile=128 quantized=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = quantized_large
// REDEFINE: %{s} = rows=70 N=530 K=290 tile=128 quantized=1
// RUN: %{case}
// REDEFINE: %{f} = quantized_experts
// REDEFINE: %{s} = rows=0,1,127,128,129,0 N=37 K=29 tile=128 E=3 quantized=1 pow2=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = quantized_e5m2
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 gradient=e5m2 quantized=1
// RUN: %{case}
// REDEFINE: %{f} = quantized_whole
// REDEFINE: %{s} = rows=0,300,7,128,1,256 N=21 K=29 tile=0 E=3 interval=0 hopper=1 quantized=1 init=1
// RUN: %{case}

// The same in vectors of eight.
// RUN: hadal-compile %s --cpu=x86-64-v3 -o %t.hadal
// REDEFINE: %{f} = zero
// REDEFINE: %{s} = rows=300 N=37 K=45 tile=128
// RUN: %{case}
// REDEFINE: %{f} = kept
// REDEFINE: %{s} = rows=131 N=37 K=45 tile=128 init=1
// RUN: %{case}
// REDEFINE: %{f} = in_place
// REDEFINE: %{s} = rows=256 N=19 K=33 tile=128 init=1
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = rows=70 N=530 K=290 tile=128 init=1
// RUN: %{case}
// REDEFINE: %{f} = experts
// REDEFINE: %{s} = rows=5,0,0,40,0,300 N=37 K=29 tile=128 E=6
// RUN: %{case}
// REDEFINE: %{f} = experts_in_place
// REDEFINE: %{s} = rows=0,1,127,128,129,0 N=37 K=29 tile=128 E=6 init=1
// RUN: %{case}
// REDEFINE: %{f} = segments
// REDEFINE: %{s} = rows=0,7,0,0,0,0 N=21 K=29 tile=128 E=3 init=1
// RUN: %{case}
// REDEFINE: %{f} = tiles_of_25
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=25 init=1
// RUN: %{case}
// REDEFINE: %{f} = e5m2
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 gradient=e5m2
// RUN: %{case}
// REDEFINE: %{f} = both_e5m2
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 gradient=e5m2 x=e5m2
// RUN: %{case}
// REDEFINE: %{f} = interval
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 interval=32 init=1
// RUN: %{case}
// REDEFINE: %{f} = hopper
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 hopper=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = hopper_interval
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 interval=64 hopper=1
// RUN: %{case}
// REDEFINE: %{f} = hopper_e5m2
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 hopper=1 gradient=e5m2
// RUN: %{case}
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = rows=300 N=21 K=29 tile=0 interval=0 init=1
// RUN: %{case}
// REDEFINE: %{f} = hopper_whole
// REDEFINE: %{s} = rows=300 N=21 K=29 tile=0 interval=0 hopper=1
// RUN: %{case}
// REDEFINE: %{f} = whole_interval
// REDEFINE: %{s} = rows=300 N=21 K=29 tile=0 interval=128
// RUN: %{case}
// REDEFINE: %{f} = experts_whole
// REDEFINE: %{s} = rows=0,300,7,128,1,256 N=21 K=29 tile=0 E=3 interval=0 hopper=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = quantized
// REDEFINE: %{s} = rows=131 N=37 K=45 tile=128 quantized=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = quantized_large
// REDEFINE: %{s} = rows=70 N=530 K=290 tile=128 quantized=1
// RUN: %{case}
// REDEFINE: %{f} = quantized_experts
// REDEFINE: %{s} = rows=0,1,127,128,129,0 N=37 K=29 tile=128 E=3 quantized=1 pow2=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = quantized_e5m2
// REDEFINE: %{s} = rows=131 N=21 K=29 tile=128 gradient=e5m2 quantized=1
// RUN: %{case}
// REDEFINE: %{f} = quantized_whole
// REDEFINE: %{s} = rows=0,300,7,128,1,256 N=21 K=29 tile=0 E=3 interval=0 hopper=1 quantized=1 init=1
// RUN: %{case}

func.func @zero(%dy: tensor<?x37xf8E4M3FN>, %dys: tensor<?x37xf32>, %x: tensor<?x45xf8E4M3FN>, %xs: tensor<?x45xf32>) -> tensor<37x45xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<37x45xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<37x45xf32>) -> tensor<37x45xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>}
      : tensor<?x37xf8E4M3FN>, tensor<?x37xf32>, tensor<?x45xf8E4M3FN>, tensor<?x45xf32>, tensor<37x45xf32> -> tensor<37x45xf32>
  return %dw : tensor<37x45xf32>
}

func.func @kept(%dy: tensor<?x37xf8E4M3FN>, %dys: tensor<?x37xf32>, %x: tensor<?x45xf8E4M3FN>, %xs: tensor<?x45xf32>, %init: tensor<37x45xf32>) -> tensor<37x45xf32> {
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>}
      : tensor<?x37xf8E4M3FN>, tensor<?x37xf32>, tensor<?x45xf8E4M3FN>, tensor<?x45xf32>, tensor<37x45xf32> -> tensor<37x45xf32>
  return %dw : tensor<37x45xf32>
}

func.func @in_place(%dy: tensor<?x19xf8E4M3FN>, %dys: tensor<?x19xf32>, %x: tensor<?x33xf8E4M3FN>, %xs: tensor<?x33xf32>, %init: tensor<19x33xf32>) -> tensor<19x33xf32> {
  %empty = tensor.empty() : tensor<19x33xf32>
  %made = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]} ins(%init : tensor<19x33xf32>) outs(%empty : tensor<19x33xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.negf %a : f32
    %n = arith.negf %m : f32
    linalg.yield %n : f32
  } -> tensor<19x33xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %made {block = array<i64: 128, 1>}
      : tensor<?x19xf8E4M3FN>, tensor<?x19xf32>, tensor<?x33xf8E4M3FN>, tensor<?x33xf32>, tensor<19x33xf32> -> tensor<19x33xf32>
  return %dw : tensor<19x33xf32>
}

func.func @large(%dy: tensor<?x530xf8E4M3FN>, %dys: tensor<?x530xf32>, %x: tensor<?x290xf8E4M3FN>, %xs: tensor<?x290xf32>, %init: tensor<530x290xf32>) -> tensor<530x290xf32> {
  %empty = tensor.empty() : tensor<530x290xf32>
  %made = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]} ins(%init : tensor<530x290xf32>) outs(%empty : tensor<530x290xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.negf %a : f32
    %n = arith.negf %m : f32
    linalg.yield %n : f32
  } -> tensor<530x290xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %made {block = array<i64: 128, 1>}
      : tensor<?x530xf8E4M3FN>, tensor<?x530xf32>, tensor<?x290xf8E4M3FN>, tensor<?x290xf32>, tensor<530x290xf32> -> tensor<530x290xf32>
  return %dw : tensor<530x290xf32>
}

func.func @experts(%dy: tensor<?x37xf8E4M3FN>, %dys: tensor<?x37xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>, %offsets: tensor<7xi32>, %active: tensor<6xi32>) -> tensor<6x37x29xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<6x37x29xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<6x37x29xf32>) -> tensor<6x37x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init
      offsets(%offsets : tensor<7xi32>) active(%active : tensor<6xi32>) {block = array<i64: 128, 1>}
      : tensor<?x37xf8E4M3FN>, tensor<?x37xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<6x37x29xf32> -> tensor<6x37x29xf32>
  return %dw : tensor<6x37x29xf32>
}

func.func @experts_in_place(%dy: tensor<?x37xf8E4M3FN>, %dys: tensor<?x37xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>, %offsets: tensor<7xi32>, %active: tensor<6xi32>, %init: tensor<6x37x29xf32>) -> tensor<6x37x29xf32> {
  %empty = tensor.empty() : tensor<6x37x29xf32>
  %made = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b, c)>], iterator_types = ["parallel", "parallel", "parallel"]} ins(%init : tensor<6x37x29xf32>) outs(%empty : tensor<6x37x29xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.negf %a : f32
    %n = arith.negf %m : f32
    linalg.yield %n : f32
  } -> tensor<6x37x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %made
      offsets(%offsets : tensor<7xi32>) active(%active : tensor<6xi32>) {block = array<i64: 128, 1>}
      : tensor<?x37xf8E4M3FN>, tensor<?x37xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<6x37x29xf32> -> tensor<6x37x29xf32>
  return %dw : tensor<6x37x29xf32>
}

func.func @segments(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<?x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>, %offsets: tensor<7xi32>, %active: tensor<6xi32>, %init: tensor<3x21x29xf32>) -> tensor<3x21x29xf32> {
  %empty = tensor.empty() : tensor<3x21x29xf32>
  %made = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b, c)>], iterator_types = ["parallel", "parallel", "parallel"]} ins(%init : tensor<3x21x29xf32>) outs(%empty : tensor<3x21x29xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.negf %a : f32
    %n = arith.negf %m : f32
    linalg.yield %n : f32
  } -> tensor<3x21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %made
      offsets(%offsets : tensor<7xi32>) active(%active : tensor<6xi32>) {block = array<i64: 128, 1>}
      : tensor<?x21xf8E4M3FN>, tensor<?x21xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<3x21x29xf32> -> tensor<3x21x29xf32>
  return %dw : tensor<3x21x29xf32>
}

func.func @tiles_of_25(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<?x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>, %init: tensor<21x29xf32>) -> tensor<21x29xf32> {
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 25, 1>}
      : tensor<?x21xf8E4M3FN>, tensor<?x21xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @e5m2(%dy: tensor<?x21xf8E5M2>, %dys: tensor<?x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>) -> tensor<21x29xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<21x29xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<21x29xf32>) -> tensor<21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>}
      : tensor<?x21xf8E5M2>, tensor<?x21xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @both_e5m2(%dy: tensor<?x21xf8E5M2>, %dys: tensor<?x21xf32>, %x: tensor<?x29xf8E5M2>, %xs: tensor<?x29xf32>) -> tensor<21x29xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<21x29xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<21x29xf32>) -> tensor<21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>}
      : tensor<?x21xf8E5M2>, tensor<?x21xf32>, tensor<?x29xf8E5M2>, tensor<?x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @interval(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<?x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>, %init: tensor<21x29xf32>) -> tensor<21x29xf32> {
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>, interval = 32 : i64}
      : tensor<?x21xf8E4M3FN>, tensor<?x21xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @hopper(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<?x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>, %init: tensor<21x29xf32>) -> tensor<21x29xf32> {
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>, accumulate = "hopper"}
      : tensor<?x21xf8E4M3FN>, tensor<?x21xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @hopper_interval(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<?x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>) -> tensor<21x29xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<21x29xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<21x29xf32>) -> tensor<21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>, accumulate = "hopper", interval = 64 : i64}
      : tensor<?x21xf8E4M3FN>, tensor<?x21xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @hopper_e5m2(%dy: tensor<?x21xf8E5M2>, %dys: tensor<?x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<?x29xf32>) -> tensor<21x29xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<21x29xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<21x29xf32>) -> tensor<21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>, accumulate = "hopper"}
      : tensor<?x21xf8E5M2>, tensor<?x21xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @whole(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<1x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<1x29xf32>, %init: tensor<21x29xf32>) -> tensor<21x29xf32> {
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 0, 1>, interval = 0 : i64}
      : tensor<?x21xf8E4M3FN>, tensor<1x21xf32>, tensor<?x29xf8E4M3FN>, tensor<1x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @hopper_whole(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<1x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<1x29xf32>) -> tensor<21x29xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<21x29xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<21x29xf32>) -> tensor<21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 0, 1>, accumulate = "hopper", interval = 0 : i64}
      : tensor<?x21xf8E4M3FN>, tensor<1x21xf32>, tensor<?x29xf8E4M3FN>, tensor<1x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @whole_interval(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<1x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<1x29xf32>) -> tensor<21x29xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<21x29xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<21x29xf32>) -> tensor<21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 0, 1>, interval = 128 : i64}
      : tensor<?x21xf8E4M3FN>, tensor<1x21xf32>, tensor<?x29xf8E4M3FN>, tensor<1x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @experts_whole(%dy: tensor<?x21xf8E4M3FN>, %dys: tensor<6x21xf32>, %x: tensor<?x29xf8E4M3FN>, %xs: tensor<6x29xf32>, %offsets: tensor<7xi32>, %active: tensor<6xi32>, %init: tensor<3x21x29xf32>) -> tensor<3x21x29xf32> {
  %empty = tensor.empty() : tensor<3x21x29xf32>
  %made = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b, c)>], iterator_types = ["parallel", "parallel", "parallel"]} ins(%init : tensor<3x21x29xf32>) outs(%empty : tensor<3x21x29xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.negf %a : f32
    %n = arith.negf %m : f32
    linalg.yield %n : f32
  } -> tensor<3x21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %made
      offsets(%offsets : tensor<7xi32>) active(%active : tensor<6xi32>) {block = array<i64: 0, 1>, accumulate = "hopper", interval = 0 : i64}
      : tensor<?x21xf8E4M3FN>, tensor<6x21xf32>, tensor<?x29xf8E4M3FN>, tensor<6x29xf32>, tensor<3x21x29xf32> -> tensor<3x21x29xf32>
  return %dw : tensor<3x21x29xf32>
}

func.func @quantized(%fy: tensor<?x37xf32>, %fx: tensor<?x45xf32>, %init: tensor<37x45xf32>) -> tensor<37x45xf32> {
  %dy, %dys = fp8.quantize %fy {block = array<i64: 128, 1>}
      : tensor<?x37xf32> -> tensor<?x37xf8E4M3FN>, tensor<?x37xf32>
  %x, %xs = fp8.quantize %fx {block = array<i64: 128, 1>}
      : tensor<?x45xf32> -> tensor<?x45xf8E4M3FN>, tensor<?x45xf32>
  %empty = tensor.empty() : tensor<37x45xf32>
  %made = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]} ins(%init : tensor<37x45xf32>) outs(%empty : tensor<37x45xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.negf %a : f32
    %n = arith.negf %m : f32
    linalg.yield %n : f32
  } -> tensor<37x45xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %made {block = array<i64: 128, 1>}
      : tensor<?x37xf8E4M3FN>, tensor<?x37xf32>, tensor<?x45xf8E4M3FN>, tensor<?x45xf32>, tensor<37x45xf32> -> tensor<37x45xf32>
  return %dw : tensor<37x45xf32>
}

func.func @quantized_large(%fy: tensor<?x530xf32>, %fx: tensor<?x290xf32>) -> tensor<530x290xf32> {
  %dy, %dys = fp8.quantize %fy {block = array<i64: 128, 1>}
      : tensor<?x530xf32> -> tensor<?x530xf8E4M3FN>, tensor<?x530xf32>
  %x, %xs = fp8.quantize %fx {block = array<i64: 128, 1>}
      : tensor<?x290xf32> -> tensor<?x290xf8E4M3FN>, tensor<?x290xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<530x290xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<530x290xf32>) -> tensor<530x290xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>}
      : tensor<?x530xf8E4M3FN>, tensor<?x530xf32>, tensor<?x290xf8E4M3FN>, tensor<?x290xf32>, tensor<530x290xf32> -> tensor<530x290xf32>
  return %dw : tensor<530x290xf32>
}

func.func @quantized_experts(%fy: tensor<?x37xf32>, %fx: tensor<?x29xf32>, %offsets: tensor<7xi32>, %active: tensor<6xi32>, %init: tensor<3x37x29xf32>) -> tensor<3x37x29xf32> {
  %dy, %dys = fp8.quantize %fy offsets(%offsets : tensor<7xi32>) {block = array<i64: 128, 1>, pow2}
      : tensor<?x37xf32> -> tensor<?x37xf8E4M3FN>, tensor<?x37xf32>
  %x, %xs = fp8.quantize %fx offsets(%offsets : tensor<7xi32>) {block = array<i64: 128, 1>, pow2}
      : tensor<?x29xf32> -> tensor<?x29xf8E4M3FN>, tensor<?x29xf32>
  %empty = tensor.empty() : tensor<3x37x29xf32>
  %made = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b, c)>], iterator_types = ["parallel", "parallel", "parallel"]} ins(%init : tensor<3x37x29xf32>) outs(%empty : tensor<3x37x29xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.negf %a : f32
    %n = arith.negf %m : f32
    linalg.yield %n : f32
  } -> tensor<3x37x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %made
      offsets(%offsets : tensor<7xi32>) active(%active : tensor<6xi32>) {block = array<i64: 128, 1>}
      : tensor<?x37xf8E4M3FN>, tensor<?x37xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<3x37x29xf32> -> tensor<3x37x29xf32>
  return %dw : tensor<3x37x29xf32>
}

func.func @quantized_e5m2(%fy: tensor<?x21xf32>, %fx: tensor<?x29xf32>) -> tensor<21x29xf32> {
  %dy, %dys = fp8.quantize %fy {block = array<i64: 128, 1>, format = "e5m2"}
      : tensor<?x21xf32> -> tensor<?x21xf8E5M2>, tensor<?x21xf32>
  %x, %xs = fp8.quantize %fx {block = array<i64: 128, 1>}
      : tensor<?x29xf32> -> tensor<?x29xf8E4M3FN>, tensor<?x29xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<21x29xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<21x29xf32>) -> tensor<21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>}
      : tensor<?x21xf8E5M2>, tensor<?x21xf32>, tensor<?x29xf8E4M3FN>, tensor<?x29xf32>, tensor<21x29xf32> -> tensor<21x29xf32>
  return %dw : tensor<21x29xf32>
}

func.func @quantized_whole(%fy: tensor<?x21xf32>, %fx: tensor<?x29xf32>, %offsets: tensor<7xi32>, %active: tensor<6xi32>, %init: tensor<3x21x29xf32>) -> tensor<3x21x29xf32> {
  %dy, %dys = fp8.quantize %fy offsets(%offsets : tensor<7xi32>) {block = array<i64: 0, 1>}
      : tensor<?x21xf32> -> tensor<?x21xf8E4M3FN>, tensor<6x21xf32>
  %x, %xs = fp8.quantize %fx offsets(%offsets : tensor<7xi32>) {block = array<i64: 0, 1>}
      : tensor<?x29xf32> -> tensor<?x29xf8E4M3FN>, tensor<6x29xf32>
  %empty = tensor.empty() : tensor<3x21x29xf32>
  %made = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b, c)>], iterator_types = ["parallel", "parallel", "parallel"]} ins(%init : tensor<3x21x29xf32>) outs(%empty : tensor<3x21x29xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.negf %a : f32
    %n = arith.negf %m : f32
    linalg.yield %n : f32
  } -> tensor<3x21x29xf32>
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %made
      offsets(%offsets : tensor<7xi32>) active(%active : tensor<6xi32>) {block = array<i64: 0, 1>, accumulate = "hopper", interval = 0 : i64}
      : tensor<?x21xf8E4M3FN>, tensor<6x21xf32>, tensor<?x29xf8E4M3FN>, tensor<6x29xf32>, tensor<3x21x29xf32> -> tensor<3x21x29xf32>
  return %dw : tensor<3x21x29xf32>
}
