// DEFINE: %{op} = weight_gradient
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s --cpu=native -o %t.hadal

// A weight's gradient in place, in panels; every element is one chain of sums that starts from what
// is there, to the bit.
// REDEFINE: %{op} = weight_gradient
// REDEFINE: %{f} = panels
// REDEFINE: %{s} = T=1 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=25 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=0 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=600 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{f} = panels_whole
// REDEFINE: %{s} = T=70 N=64 K=96 init=1
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = T=31 N=150 K=290 init=1
// RUN: %{case}

// In place as a checkpoint has it.
// REDEFINE: %{f} = plain
// REDEFINE: %{s} = T=1 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=300 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=0 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{f} = large_plain
// REDEFINE: %{s} = T=31 N=300 K=140 init=1
// RUN: %{case}

// From zero, and from a sum that stays.
// REDEFINE: %{f} = zero
// REDEFINE: %{s} = T=0 N=35 K=46
// RUN: %{case}
// REDEFINE: %{s} = T=259 N=35 K=46
// RUN: %{case}
// REDEFINE: %{f} = zero_panels
// REDEFINE: %{s} = T=0 N=35 K=45
// RUN: %{case}
// REDEFINE: %{s} = T=259 N=35 K=45
// RUN: %{case}
// REDEFINE: %{f} = copied
// REDEFINE: %{s} = T=0 N=19 K=45 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=515 N=19 K=45 init=1
// RUN: %{case}

// The same in vectors of eight.
// RUN: hadal-compile %s --cpu=x86-64-v3 -o %t.hadal
// REDEFINE: %{op} = weight_gradient
// REDEFINE: %{f} = panels
// REDEFINE: %{s} = T=1 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=25 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=0 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=600 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{f} = panels_whole
// REDEFINE: %{s} = T=70 N=64 K=96 init=1
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = T=31 N=150 K=290 init=1
// RUN: %{case}
// REDEFINE: %{f} = plain
// REDEFINE: %{s} = T=1 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=300 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=0 N=19 K=37 init=1
// RUN: %{case}
// REDEFINE: %{f} = large_plain
// REDEFINE: %{s} = T=31 N=300 K=140 init=1
// RUN: %{case}
// REDEFINE: %{f} = zero
// REDEFINE: %{s} = T=0 N=35 K=46
// RUN: %{case}
// REDEFINE: %{s} = T=259 N=35 K=46
// RUN: %{case}
// REDEFINE: %{f} = zero_panels
// REDEFINE: %{s} = T=0 N=35 K=45
// RUN: %{case}
// REDEFINE: %{s} = T=259 N=35 K=45
// RUN: %{case}
// REDEFINE: %{f} = copied
// REDEFINE: %{s} = T=0 N=19 K=45 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=515 N=19 K=45 init=1
// RUN: %{case}

#panels = #exec.layout<"cpu.panels">
#tn = affine_map<(n, k, t) -> (t, n)>
#tk = affine_map<(n, k, t) -> (t, k)>
#nk = affine_map<(n, k, t) -> (n, k)>

func.func private @weight_gradient_panels_19x37(%dy: tensor<?x19xf32>, %x: tensor<?x37xf32>, %init: tensor<19x37xf32> {exec.layout = #panels, exec.in_place = 0 : i64}) -> tensor<19x37xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#tn, #tk, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %x : tensor<?x19xf32>, tensor<?x37xf32>) outs(%init : tensor<19x37xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<19x37xf32>
  return %dw : tensor<19x37xf32>
}

func.func private @pack_f32_0_19x37(%w: tensor<19x37xf32>) -> (tensor<19x37xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<19x37xf32>
  %p = linalg.copy ins(%w : tensor<19x37xf32>) outs(%empty : tensor<19x37xf32>) -> tensor<19x37xf32>
  return %p : tensor<19x37xf32>
}

func.func private @unpack_0_19x37(%p: tensor<19x37xf32> {exec.layout = #panels}) -> tensor<19x37xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<19x37xf32>
  %w = linalg.copy ins(%p : tensor<19x37xf32>) outs(%empty : tensor<19x37xf32>) -> tensor<19x37xf32>
  return %w : tensor<19x37xf32>
}

func.func private @weight_gradient_panels_64x96(%dy: tensor<?x64xf32>, %x: tensor<?x96xf32>, %init: tensor<64x96xf32> {exec.layout = #panels, exec.in_place = 0 : i64}) -> tensor<64x96xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#tk, #tn, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %dy : tensor<?x96xf32>, tensor<?x64xf32>) outs(%init : tensor<64x96xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<64x96xf32>
  return %dw : tensor<64x96xf32>
}

func.func private @pack_f32_0_64x96(%w: tensor<64x96xf32>) -> (tensor<64x96xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<64x96xf32>
  %p = linalg.copy ins(%w : tensor<64x96xf32>) outs(%empty : tensor<64x96xf32>) -> tensor<64x96xf32>
  return %p : tensor<64x96xf32>
}

func.func private @unpack_0_64x96(%p: tensor<64x96xf32> {exec.layout = #panels}) -> tensor<64x96xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<64x96xf32>
  %w = linalg.copy ins(%p : tensor<64x96xf32>) outs(%empty : tensor<64x96xf32>) -> tensor<64x96xf32>
  return %w : tensor<64x96xf32>
}

func.func private @weight_gradient_plain_19x37(%dy: tensor<?x19xf32>, %x: tensor<?x37xf32>, %init: tensor<19x37xf32> {exec.in_place = 0 : i64}) -> tensor<19x37xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#tn, #tk, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %x : tensor<?x19xf32>, tensor<?x37xf32>) outs(%init : tensor<19x37xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<19x37xf32>
  return %dw : tensor<19x37xf32>
}

func.func private @weight_gradient_zero_35x46(%dy: tensor<?x35xf32>, %x: tensor<?x46xf32>) -> tensor<35x46xf32> attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<35x46xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<35x46xf32>) -> tensor<35x46xf32>
  %dw = linalg.generic {indexing_maps = [#tn, #tk, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %x : tensor<?x35xf32>, tensor<?x46xf32>) outs(%init : tensor<35x46xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<35x46xf32>
  return %dw : tensor<35x46xf32>
}

func.func private @weight_gradient_zero_panels_35x45(%dy: tensor<?x35xf32>, %x: tensor<?x45xf32>) -> (tensor<35x45xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<35x45xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<35x45xf32>) -> tensor<35x45xf32>
  %dw = linalg.generic {indexing_maps = [#tn, #tk, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %x : tensor<?x35xf32>, tensor<?x45xf32>) outs(%init : tensor<35x45xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<35x45xf32>
  return %dw : tensor<35x45xf32>
}

func.func private @unpack_0_35x45(%p: tensor<35x45xf32> {exec.layout = #panels}) -> tensor<35x45xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<35x45xf32>
  %w = linalg.copy ins(%p : tensor<35x45xf32>) outs(%empty : tensor<35x45xf32>) -> tensor<35x45xf32>
  return %w : tensor<35x45xf32>
}

func.func private @weight_gradient_copied_19x45(%dy: tensor<?x19xf32>, %x: tensor<?x45xf32>, %init: tensor<19x45xf32>) -> tensor<19x45xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#tn, #tk, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %x : tensor<?x19xf32>, tensor<?x45xf32>) outs(%init : tensor<19x45xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<19x45xf32>
  return %dw : tensor<19x45xf32>
}

func.func private @weight_gradient_panels_150x290(%dy: tensor<?x150xf32>, %x: tensor<?x290xf32>, %init: tensor<150x290xf32> {exec.layout = #panels, exec.in_place = 0 : i64}) -> tensor<150x290xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#tk, #tn, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %dy : tensor<?x290xf32>, tensor<?x150xf32>) outs(%init : tensor<150x290xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<150x290xf32>
  return %dw : tensor<150x290xf32>
}

func.func private @pack_f32_0_150x290(%w: tensor<150x290xf32>) -> (tensor<150x290xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<150x290xf32>
  %p = linalg.copy ins(%w : tensor<150x290xf32>) outs(%empty : tensor<150x290xf32>) -> tensor<150x290xf32>
  return %p : tensor<150x290xf32>
}

func.func private @unpack_0_150x290(%p: tensor<150x290xf32> {exec.layout = #panels}) -> tensor<150x290xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<150x290xf32>
  %w = linalg.copy ins(%p : tensor<150x290xf32>) outs(%empty : tensor<150x290xf32>) -> tensor<150x290xf32>
  return %w : tensor<150x290xf32>
}

func.func private @weight_gradient_plain_300x140(%dy: tensor<?x300xf32>, %x: tensor<?x140xf32>, %init: tensor<300x140xf32> {exec.in_place = 0 : i64}) -> tensor<300x140xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#tn, #tk, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %x : tensor<?x300xf32>, tensor<?x140xf32>) outs(%init : tensor<300x140xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<300x140xf32>
  return %dw : tensor<300x140xf32>
}

exec.program @panels registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 19)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 37)> of f32
  %init = exec.argument "arg2" affine_map<()[s0] -> (19, 37)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (19, 37)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (4864)>
  exec.launch @pack_f32_0_19x37(%init, %p) scalars []
  exec.launch @weight_gradient_panels_19x37(%dy, %x, %p) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
  exec.launch @unpack_0_19x37(%p, %dw) scalars []
}

exec.program @panels_whole registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 64)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 96)> of f32
  %init = exec.argument "arg2" affine_map<()[s0] -> (64, 96)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (64, 96)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (24576)>
  exec.launch @pack_f32_0_64x96(%init, %p) scalars []
  exec.launch @weight_gradient_panels_64x96(%dy, %x, %p) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
  exec.launch @unpack_0_64x96(%p, %dw) scalars []
}

exec.program @plain registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 19)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 37)> of f32
  %init = exec.argument "arg2" affine_map<()[s0] -> (19, 37)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (19, 37)> of f32
  exec.copy %dw from %init bytes affine_map<()[s0] -> (2812)>
  exec.launch @weight_gradient_plain_19x37(%dy, %x, %dw) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @zero registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 35)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 46)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (35, 46)> of f32
  exec.launch @weight_gradient_zero_35x46(%dy, %x, %dw) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @zero_panels registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 35)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 45)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (35, 45)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (11776)>
  exec.launch @weight_gradient_zero_panels_35x45(%dy, %x, %p) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
  exec.launch @unpack_0_35x45(%p, %dw) scalars []
}

exec.program @copied registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 19)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 45)> of f32
  %init = exec.argument "arg2" affine_map<()[s0] -> (19, 45)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (19, 45)> of f32
  exec.launch @weight_gradient_copied_19x45(%dy, %x, %init, %dw) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @large registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 150)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 290)> of f32
  %init = exec.argument "arg2" affine_map<()[s0] -> (150, 290)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (150, 290)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (185600)>
  exec.launch @pack_f32_0_150x290(%init, %p) scalars []
  exec.launch @weight_gradient_panels_150x290(%dy, %x, %p) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
  exec.launch @unpack_0_150x290(%p, %dw) scalars []
}

exec.program @large_plain registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 300)> of f32
  %x = exec.argument "arg1" affine_map<()[s0] -> (s0, 140)> of f32
  %init = exec.argument "arg2" affine_map<()[s0] -> (300, 140)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0] -> (300, 140)> of f32
  exec.copy %dw from %init bytes affine_map<()[s0] -> (168000)>
  exec.launch @weight_gradient_plain_300x140(%dy, %x, %dw) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}
