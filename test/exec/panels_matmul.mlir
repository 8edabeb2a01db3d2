// DEFINE: %{op} = matmul
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s --cpu=native -o %t.hadal

// Weights in panels that training reads in both directions; every element is one chain of sums, to
// the bit.
// REDEFINE: %{op} = matmul
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=1 N=19 K=37
// RUN: %{case}
// REDEFINE: %{s} = T=25 N=19 K=37
// RUN: %{case}
// REDEFINE: %{s} = T=0 N=19 K=37
// RUN: %{case}
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = T=70 N=64 K=96
// RUN: %{case}

// The gradient of activations: the sum runs over outputs, panels are turned.
// REDEFINE: %{op} = matmul_transposed
// REDEFINE: %{f} = turned
// REDEFINE: %{s} = T=1 N=37 K=19
// RUN: %{case}
// REDEFINE: %{s} = T=27 N=37 K=19
// RUN: %{case}
// REDEFINE: %{s} = T=0 N=37 K=19
// RUN: %{case}
// REDEFINE: %{f} = turned_whole
// REDEFINE: %{s} = T=300 N=96 K=64
// RUN: %{case}

// Operands in the other order.
// REDEFINE: %{f} = swapped
// REDEFINE: %{s} = T=13 N=45 K=70
// RUN: %{case}

// Sums longer than a chunk: equal chunks, and a rest.
// REDEFINE: %{f} = long
// REDEFINE: %{s} = T=15 N=1111 K=35
// RUN: %{case}
// REDEFINE: %{f} = chunks
// REDEFINE: %{s} = T=9 N=1024 K=33
// RUN: %{case}
// REDEFINE: %{op} = matmul
// REDEFINE: %{f} = long_forward
// REDEFINE: %{s} = T=1 N=35 K=1111
// RUN: %{case}
// REDEFINE: %{s} = T=15 N=35 K=1111
// RUN: %{case}

// Weights that lie plainly are packed when the program runs.
// REDEFINE: %{op} = matmul_transposed
// REDEFINE: %{f} = plain
// REDEFINE: %{s} = T=1 N=37 K=45
// RUN: %{case}
// REDEFINE: %{s} = T=27 N=37 K=45
// RUN: %{case}

// An epilogue waits for the last chunk.
// REDEFINE: %{op} = product_residual
// REDEFINE: %{f} = residual
// REDEFINE: %{s} = T=1 N=35 K=1111 transposed=0
// RUN: %{case}
// REDEFINE: %{s} = T=15 N=35 K=1111 transposed=0
// RUN: %{case}
// REDEFINE: %{f} = residual_turned
// REDEFINE: %{s} = T=15 N=1111 K=35 transposed=1
// RUN: %{case}

// The same in vectors of eight.
// RUN: hadal-compile %s --cpu=x86-64-v3 -o %t.hadal
// REDEFINE: %{op} = matmul
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=1 N=19 K=37
// RUN: %{case}
// REDEFINE: %{s} = T=25 N=19 K=37
// RUN: %{case}
// REDEFINE: %{s} = T=0 N=19 K=37
// RUN: %{case}
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = T=70 N=64 K=96
// RUN: %{case}
// REDEFINE: %{op} = matmul_transposed
// REDEFINE: %{f} = turned
// REDEFINE: %{s} = T=1 N=37 K=19
// RUN: %{case}
// REDEFINE: %{s} = T=27 N=37 K=19
// RUN: %{case}
// REDEFINE: %{s} = T=0 N=37 K=19
// RUN: %{case}
// REDEFINE: %{f} = turned_whole
// REDEFINE: %{s} = T=300 N=96 K=64
// RUN: %{case}
// REDEFINE: %{f} = swapped
// REDEFINE: %{s} = T=13 N=45 K=70
// RUN: %{case}
// REDEFINE: %{f} = long
// REDEFINE: %{s} = T=15 N=1111 K=35
// RUN: %{case}
// REDEFINE: %{f} = chunks
// REDEFINE: %{s} = T=9 N=1024 K=33
// RUN: %{case}
// REDEFINE: %{op} = matmul
// REDEFINE: %{f} = long_forward
// REDEFINE: %{s} = T=1 N=35 K=1111
// RUN: %{case}
// REDEFINE: %{s} = T=15 N=35 K=1111
// RUN: %{case}
// REDEFINE: %{op} = matmul_transposed
// REDEFINE: %{f} = plain
// REDEFINE: %{s} = T=1 N=37 K=45
// RUN: %{case}
// REDEFINE: %{s} = T=27 N=37 K=45
// RUN: %{case}
// REDEFINE: %{op} = product_residual
// REDEFINE: %{f} = residual
// REDEFINE: %{s} = T=1 N=35 K=1111 transposed=0
// RUN: %{case}
// REDEFINE: %{s} = T=15 N=35 K=1111 transposed=0
// RUN: %{case}
// REDEFINE: %{f} = residual_turned
// REDEFINE: %{s} = T=15 N=1111 K=35 transposed=1
// RUN: %{case}

#panels = #exec.layout<"cpu.panels">
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
#dyn = affine_map<(t, k, n) -> (t, n)>
#wnk = affine_map<(t, k, n) -> (n, k)>
#dx = affine_map<(t, k, n) -> (t, k)>
#id = affine_map<(m, n) -> (m, n)>

func.func private @forward_19x37(%x: tensor<?x37xf32>, %w: tensor<19x37xf32> {exec.layout = #panels}) -> tensor<?x19xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x37xf32>
  %empty = tensor.empty(%t) : tensor<?x19xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x19xf32>) -> tensor<?x19xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x37xf32>, tensor<19x37xf32>) outs(%init : tensor<?x19xf32>) -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}

func.func private @pack_f32_0_19x37(%w: tensor<19x37xf32>) -> (tensor<19x37xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<19x37xf32>
  %p = linalg.copy ins(%w : tensor<19x37xf32>) outs(%empty : tensor<19x37xf32>) -> tensor<19x37xf32>
  return %p : tensor<19x37xf32>
}

func.func private @forward_64x96(%x: tensor<?x96xf32>, %w: tensor<64x96xf32> {exec.layout = #panels}) -> tensor<?x64xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x96xf32>
  %empty = tensor.empty(%t) : tensor<?x64xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x64xf32>) -> tensor<?x64xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x96xf32>, tensor<64x96xf32>) outs(%init : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

func.func private @pack_f32_0_64x96(%w: tensor<64x96xf32>) -> (tensor<64x96xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<64x96xf32>
  %p = linalg.copy ins(%w : tensor<64x96xf32>) outs(%empty : tensor<64x96xf32>) -> tensor<64x96xf32>
  return %p : tensor<64x96xf32>
}

func.func private @transposed_37x19(%dy: tensor<?x37xf32>, %w: tensor<37x19xf32> {exec.layout = #panels}) -> tensor<?x19xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %dy, %c0 : tensor<?x37xf32>
  %empty = tensor.empty(%t) : tensor<?x19xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x19xf32>) -> tensor<?x19xf32>
  %dx = linalg.generic {indexing_maps = [#dyn, #wnk, #dx], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %w : tensor<?x37xf32>, tensor<37x19xf32>) outs(%init : tensor<?x19xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x19xf32>
  return %dx : tensor<?x19xf32>
}

func.func private @pack_f32_0_37x19(%w: tensor<37x19xf32>) -> (tensor<37x19xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<37x19xf32>
  %p = linalg.copy ins(%w : tensor<37x19xf32>) outs(%empty : tensor<37x19xf32>) -> tensor<37x19xf32>
  return %p : tensor<37x19xf32>
}

func.func private @transposed_96x64(%dy: tensor<?x96xf32>, %w: tensor<96x64xf32> {exec.layout = #panels}) -> tensor<?x64xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %dy, %c0 : tensor<?x96xf32>
  %empty = tensor.empty(%t) : tensor<?x64xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x64xf32>) -> tensor<?x64xf32>
  %dx = linalg.generic {indexing_maps = [#dyn, #wnk, #dx], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %w : tensor<?x96xf32>, tensor<96x64xf32>) outs(%init : tensor<?x64xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x64xf32>
  return %dx : tensor<?x64xf32>
}

func.func private @pack_f32_0_96x64(%w: tensor<96x64xf32>) -> (tensor<96x64xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<96x64xf32>
  %p = linalg.copy ins(%w : tensor<96x64xf32>) outs(%empty : tensor<96x64xf32>) -> tensor<96x64xf32>
  return %p : tensor<96x64xf32>
}

func.func private @transposed_45x70_swapped(%dy: tensor<?x45xf32>, %w: tensor<45x70xf32> {exec.layout = #panels}) -> tensor<?x70xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %dy, %c0 : tensor<?x45xf32>
  %empty = tensor.empty(%t) : tensor<?x70xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x70xf32>) -> tensor<?x70xf32>
  %dx = linalg.generic {indexing_maps = [#wnk, #dyn, #dx], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%w, %dy : tensor<45x70xf32>, tensor<?x45xf32>) outs(%init : tensor<?x70xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x70xf32>
  return %dx : tensor<?x70xf32>
}

func.func private @pack_f32_0_45x70(%w: tensor<45x70xf32>) -> (tensor<45x70xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<45x70xf32>
  %p = linalg.copy ins(%w : tensor<45x70xf32>) outs(%empty : tensor<45x70xf32>) -> tensor<45x70xf32>
  return %p : tensor<45x70xf32>
}

func.func private @transposed_1111x35(%dy: tensor<?x1111xf32>, %w: tensor<1111x35xf32> {exec.layout = #panels}) -> tensor<?x35xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %dy, %c0 : tensor<?x1111xf32>
  %empty = tensor.empty(%t) : tensor<?x35xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x35xf32>) -> tensor<?x35xf32>
  %dx = linalg.generic {indexing_maps = [#dyn, #wnk, #dx], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %w : tensor<?x1111xf32>, tensor<1111x35xf32>) outs(%init : tensor<?x35xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x35xf32>
  return %dx : tensor<?x35xf32>
}

func.func private @pack_f32_0_1111x35(%w: tensor<1111x35xf32>) -> (tensor<1111x35xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<1111x35xf32>
  %p = linalg.copy ins(%w : tensor<1111x35xf32>) outs(%empty : tensor<1111x35xf32>) -> tensor<1111x35xf32>
  return %p : tensor<1111x35xf32>
}

func.func private @transposed_1024x33(%dy: tensor<?x1024xf32>, %w: tensor<1024x33xf32> {exec.layout = #panels}) -> tensor<?x33xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %dy, %c0 : tensor<?x1024xf32>
  %empty = tensor.empty(%t) : tensor<?x33xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x33xf32>) -> tensor<?x33xf32>
  %dx = linalg.generic {indexing_maps = [#dyn, #wnk, #dx], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %w : tensor<?x1024xf32>, tensor<1024x33xf32>) outs(%init : tensor<?x33xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x33xf32>
  return %dx : tensor<?x33xf32>
}

func.func private @pack_f32_0_1024x33(%w: tensor<1024x33xf32>) -> (tensor<1024x33xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<1024x33xf32>
  %p = linalg.copy ins(%w : tensor<1024x33xf32>) outs(%empty : tensor<1024x33xf32>) -> tensor<1024x33xf32>
  return %p : tensor<1024x33xf32>
}

func.func private @forward_35x1111(%x: tensor<?x1111xf32>, %w: tensor<35x1111xf32> {exec.layout = #panels}) -> tensor<?x35xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x1111xf32>
  %empty = tensor.empty(%t) : tensor<?x35xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x35xf32>) -> tensor<?x35xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x1111xf32>, tensor<35x1111xf32>) outs(%init : tensor<?x35xf32>) -> tensor<?x35xf32>
  return %y : tensor<?x35xf32>
}

func.func private @pack_f32_0_35x1111(%w: tensor<35x1111xf32>) -> (tensor<35x1111xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<35x1111xf32>
  %p = linalg.copy ins(%w : tensor<35x1111xf32>) outs(%empty : tensor<35x1111xf32>) -> tensor<35x1111xf32>
  return %p : tensor<35x1111xf32>
}

func.func @plain(%dy: tensor<?x37xf32>, %w: tensor<37x45xf32>) -> tensor<?x45xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %dy, %c0 : tensor<?x37xf32>
  %empty = tensor.empty(%t) : tensor<?x45xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x45xf32>) -> tensor<?x45xf32>
  %dx = linalg.generic {indexing_maps = [#dyn, #wnk, #dx], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %w : tensor<?x37xf32>, tensor<37x45xf32>) outs(%init : tensor<?x45xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x45xf32>
  return %dx : tensor<?x45xf32>
}

func.func private @residual_35x1111(%x: tensor<?x1111xf32>, %w: tensor<35x1111xf32> {exec.layout = #panels}, %r: tensor<?x35xf32>) -> tensor<?x35xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x1111xf32>
  %empty = tensor.empty(%t) : tensor<?x35xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x35xf32>) -> tensor<?x35xf32>
  %p = linalg.generic {indexing_maps = [#left, #right, #out], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x1111xf32>, tensor<35x1111xf32>) outs(%init : tensor<?x35xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x35xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%p, %r : tensor<?x35xf32>, tensor<?x35xf32>) outs(%empty : tensor<?x35xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.addf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<?x35xf32>
  return %y : tensor<?x35xf32>
}

func.func private @residual_turned_1111x35(%x: tensor<?x1111xf32>, %w: tensor<1111x35xf32> {exec.layout = #panels}, %r: tensor<?x35xf32>) -> tensor<?x35xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x1111xf32>
  %empty = tensor.empty(%t) : tensor<?x35xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x35xf32>) -> tensor<?x35xf32>
  %p = linalg.generic {indexing_maps = [#dyn, #wnk, #dx], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x1111xf32>, tensor<1111x35xf32>) outs(%init : tensor<?x35xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x35xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%p, %r : tensor<?x35xf32>, tensor<?x35xf32>) outs(%empty : tensor<?x35xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.addf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<?x35xf32>
  return %y : tensor<?x35xf32>
}

exec.program @odd registers ["arg0.0"] {
  %x = exec.argument "arg0" affine_map<()[s0] -> (s0, 37)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (19, 37)> of f32
  %y = exec.argument output "result0" affine_map<()[s0] -> (s0, 19)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (4864)>
  exec.launch @pack_f32_0_19x37(%w, %p) scalars []
  exec.launch @forward_19x37(%x, %p, %y) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @whole registers ["arg0.0"] {
  %x = exec.argument "arg0" affine_map<()[s0] -> (s0, 96)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (64, 96)> of f32
  %y = exec.argument output "result0" affine_map<()[s0] -> (s0, 64)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (24576)>
  exec.launch @pack_f32_0_64x96(%w, %p) scalars []
  exec.launch @forward_64x96(%x, %p, %y) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @turned registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 37)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (37, 19)> of f32
  %dx = exec.argument output "result0" affine_map<()[s0] -> (s0, 19)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (5120)>
  exec.launch @pack_f32_0_37x19(%w, %p) scalars []
  exec.launch @transposed_37x19(%dy, %p, %dx) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @turned_whole registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 96)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (96, 64)> of f32
  %dx = exec.argument output "result0" affine_map<()[s0] -> (s0, 64)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (24576)>
  exec.launch @pack_f32_0_96x64(%w, %p) scalars []
  exec.launch @transposed_96x64(%dy, %p, %dx) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @swapped registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 45)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (45, 70)> of f32
  %dx = exec.argument output "result0" affine_map<()[s0] -> (s0, 70)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (17920)>
  exec.launch @pack_f32_0_45x70(%w, %p) scalars []
  exec.launch @transposed_45x70_swapped(%dy, %p, %dx) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @long registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 1111)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (1111, 35)> of f32
  %dx = exec.argument output "result0" affine_map<()[s0] -> (s0, 35)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (161280)>
  exec.launch @pack_f32_0_1111x35(%w, %p) scalars []
  exec.launch @transposed_1111x35(%dy, %p, %dx) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @chunks registers ["arg0.0"] {
  %dy = exec.argument "arg0" affine_map<()[s0] -> (s0, 1024)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (1024, 33)> of f32
  %dx = exec.argument output "result0" affine_map<()[s0] -> (s0, 33)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (139264)>
  exec.launch @pack_f32_0_1024x33(%w, %p) scalars []
  exec.launch @transposed_1024x33(%dy, %p, %dx) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @long_forward registers ["arg0.0"] {
  %x = exec.argument "arg0" affine_map<()[s0] -> (s0, 1111)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (35, 1111)> of f32
  %y = exec.argument output "result0" affine_map<()[s0] -> (s0, 35)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (284672)>
  exec.launch @pack_f32_0_35x1111(%w, %p) scalars []
  exec.launch @forward_35x1111(%x, %p, %y) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @residual registers ["arg0.0"] {
  %x = exec.argument "arg0" affine_map<()[s0] -> (s0, 1111)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (35, 1111)> of f32
  %r = exec.argument "arg2" affine_map<()[s0] -> (s0, 35)> of f32
  %y = exec.argument output "result0" affine_map<()[s0] -> (s0, 35)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (284672)>
  exec.launch @pack_f32_0_35x1111(%w, %p) scalars []
  exec.launch @residual_35x1111(%x, %p, %r, %y) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @residual_turned registers ["arg0.0"] {
  %x = exec.argument "arg0" affine_map<()[s0] -> (s0, 1111)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (1111, 35)> of f32
  %r = exec.argument "arg2" affine_map<()[s0] -> (s0, 35)> of f32
  %y = exec.argument output "result0" affine_map<()[s0] -> (s0, 35)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (161280)>
  exec.launch @pack_f32_0_1111x35(%w, %p) scalars []
  exec.launch @residual_turned_1111x35(%x, %p, %r, %y) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}
