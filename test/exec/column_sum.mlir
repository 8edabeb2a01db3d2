// DEFINE: %{op} = column_sum
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s --cpu=native -o %t.hadal

// Sums over rows in ascending order, in place or from zero, with a payload; to the bit.
// REDEFINE: %{op} = column_sum
// REDEFINE: %{f} = small
// REDEFINE: %{s} = T=1 H=19 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=37 H=19 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=0 H=19 init=1
// RUN: %{case}
// REDEFINE: %{f} = zero
// REDEFINE: %{s} = T=33 H=150
// RUN: %{case}
// REDEFINE: %{s} = T=0 H=150
// RUN: %{case}
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = T=33 H=256 init=1
// RUN: %{case}

// The same in vectors of eight.
// RUN: hadal-compile %s --cpu=x86-64-v3 -o %t.hadal
// REDEFINE: %{op} = column_sum
// REDEFINE: %{f} = small
// REDEFINE: %{s} = T=1 H=19 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=37 H=19 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=0 H=19 init=1
// RUN: %{case}
// REDEFINE: %{f} = zero
// REDEFINE: %{s} = T=33 H=150
// RUN: %{case}
// REDEFINE: %{s} = T=0 H=150
// RUN: %{case}
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = T=33 H=256 init=1
// RUN: %{case}

#ct = affine_map<(c, t) -> (t, c)>
#row = affine_map<(c, t) -> (t)>
#col = affine_map<(c, t) -> (c)>
#tc = affine_map<(t, c) -> (t, c)>
#trow = affine_map<(t, c) -> (t)>
#tcol = affine_map<(t, c) -> (c)>

func.func private @column_sum_inplace_19_parallel(%dy: tensor<?x19xf32>, %x: tensor<?x19xf32>, %r: tensor<?xf32>, %w: tensor<19xf32>, %init: tensor<19xf32> {exec.in_place = 0 : i64}) -> tensor<19xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#ct, #ct, #row, #col, #col], iterator_types = ["parallel", "reduction"]}
      ins(%dy, %x, %r, %w : tensor<?x19xf32>, tensor<?x19xf32>, tensor<?xf32>, tensor<19xf32>) outs(%init : tensor<19xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %s: f32):
    %half = arith.constant 0.5 : f32
    %0 = arith.mulf %a, %b : f32
    %1 = arith.mulf %0, %c : f32
    %2 = arith.subf %1, %d : f32
    %3 = arith.mulf %2, %half : f32
    %4 = arith.addf %3, %s : f32
    linalg.yield %4 : f32
  } -> tensor<19xf32>
  return %dw : tensor<19xf32>
}

func.func private @column_sum_zero_150_reduction(%dy: tensor<?x150xf32>, %x: tensor<?x150xf32>, %r: tensor<?xf32>, %w: tensor<150xf32>) -> tensor<150xf32> attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<150xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<150xf32>) -> tensor<150xf32>
  %dw = linalg.generic {indexing_maps = [#tc, #tc, #trow, #tcol, #tcol], iterator_types = ["reduction", "parallel"]}
      ins(%dy, %x, %r, %w : tensor<?x150xf32>, tensor<?x150xf32>, tensor<?xf32>, tensor<150xf32>) outs(%init : tensor<150xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %s: f32):
    %half = arith.constant 0.5 : f32
    %0 = arith.mulf %a, %b : f32
    %1 = arith.mulf %0, %c : f32
    %2 = arith.subf %1, %d : f32
    %3 = arith.mulf %2, %half : f32
    %4 = arith.addf %3, %s : f32
    linalg.yield %4 : f32
  } -> tensor<150xf32>
  return %dw : tensor<150xf32>
}

func.func private @column_sum_inplace_256_parallel(%dy: tensor<?x256xf32>, %x: tensor<?x256xf32>, %r: tensor<?xf32>, %w: tensor<256xf32>, %init: tensor<256xf32> {exec.in_place = 0 : i64}) -> tensor<256xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#ct, #ct, #row, #col, #col], iterator_types = ["parallel", "reduction"]}
      ins(%dy, %x, %r, %w : tensor<?x256xf32>, tensor<?x256xf32>, tensor<?xf32>, tensor<256xf32>) outs(%init : tensor<256xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %s: f32):
    %half = arith.constant 0.5 : f32
    %0 = arith.mulf %a, %b : f32
    %1 = arith.mulf %0, %c : f32
    %2 = arith.subf %1, %d : f32
    %3 = arith.mulf %2, %half : f32
    %4 = arith.addf %3, %s : f32
    linalg.yield %4 : f32
  } -> tensor<256xf32>
  return %dw : tensor<256xf32>
}

exec.program @small registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 19)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 19)> of f32
  %r = exec.argument "arg2" affine_map<()[s0] -> (s0)> of f32
  %w = exec.argument "arg3" affine_map<()[s0] -> (19)> of f32
  %init = exec.argument "arg4" affine_map<()[s0] -> (19)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (19)> of f32
  exec.copy %dw from %init bytes affine_map<()[s0] -> (76)>
  exec.launch @column_sum_inplace_19_parallel(%dy, %x, %r, %w, %dw) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @zero registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 150)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 150)> of f32
  %r = exec.argument "arg2" affine_map<()[s0] -> (s0)> of f32
  %w = exec.argument "arg3" affine_map<()[s0] -> (150)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (150)> of f32
  exec.launch @column_sum_zero_150_reduction(%dy, %x, %r, %w, %dw) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @whole registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 256)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 256)> of f32
  %r = exec.argument "arg2" affine_map<()[s0] -> (s0)> of f32
  %w = exec.argument "arg3" affine_map<()[s0] -> (256)> of f32
  %init = exec.argument "arg4" affine_map<()[s0] -> (256)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (256)> of f32
  exec.copy %dw from %init bytes affine_map<()[s0] -> (1024)>
  exec.launch @column_sum_inplace_256_parallel(%dy, %x, %r, %w, %dw) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}
