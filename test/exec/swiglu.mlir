// DEFINE: %{op} = swiglu
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// silu(gate) * up, where exp overflows and vanishes too.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=1 H=37
// RUN: %{case}
// REDEFINE: %{s} = T=21 H=37
// RUN: %{case}
// REDEFINE: %{f} = even
// REDEFINE: %{s} = T=14 H=64
// RUN: %{case}

#matrix = affine_map<(t, h) -> (t, h)>

func.func @odd(%gate: tensor<?x37xf32>, %up: tensor<?x37xf32>) -> tensor<?x37xf32> {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f32
  %t = tensor.dim %gate, %c0 : tensor<?x37xf32>
  %empty = tensor.empty(%t) : tensor<?x37xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%gate, %up : tensor<?x37xf32>, tensor<?x37xf32>) outs(%empty : tensor<?x37xf32>) {
  ^bb0(%g: f32, %u: f32, %unused: f32):
    %negated = arith.negf %g : f32
    %e = math.exp %negated : f32
    %denominator = arith.addf %e, %one : f32
    %silu = arith.divf %g, %denominator : f32
    %product = arith.mulf %silu, %u : f32
    linalg.yield %product : f32
  } -> tensor<?x37xf32>
  return %y : tensor<?x37xf32>
}

func.func @even(%gate: tensor<?x64xf32>, %up: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f32
  %t = tensor.dim %gate, %c0 : tensor<?x64xf32>
  %empty = tensor.empty(%t) : tensor<?x64xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%gate, %up : tensor<?x64xf32>, tensor<?x64xf32>) outs(%empty : tensor<?x64xf32>) {
  ^bb0(%g: f32, %u: f32, %unused: f32):
    %negated = arith.negf %g : f32
    %e = math.exp %negated : f32
    %denominator = arith.addf %e, %one : f32
    %silu = arith.divf %g, %denominator : f32
    %product = arith.mulf %silu, %u : f32
    linalg.yield %product : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
