// DEFINE: %{op} = moe.scatter_add
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Rows of one id add up in order; onto what the caller lends and onto zeros.
// REDEFINE: %{f} = lent
// REDEFINE: %{s} = R=1 H=37 V=5
// RUN: %{case}
// REDEFINE: %{s} = R=60 H=37 V=9
// RUN: %{case}
// REDEFINE: %{f} = zeros
// REDEFINE: %{s} = R=33 H=300 V=11 zero=1
// RUN: %{case}
// REDEFINE: %{f} = narrow
// REDEFINE: %{s} = R=21 H=3 V=4 zero=1
// RUN: %{case}
// A value that is both read and added to is copied first.
// REDEFINE: %{f} = twice
// REDEFINE: %{s} = R=30 H=24 V=8
// RUN: %{case}

func.func @lent(%rows: tensor<?x37xf32>, %ids: tensor<?xi32>, %init: tensor<?x37xf32>) -> tensor<?x37xf32> {
  %d = moe.scatter_add %rows, %ids, %init
      : tensor<?x37xf32>, tensor<?xi32>, tensor<?x37xf32> -> tensor<?x37xf32>
  return %d : tensor<?x37xf32>
}

func.func @zeros(%rows: tensor<?x300xf32>, %ids: tensor<?xi32>) -> tensor<11x300xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<11x300xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<11x300xf32>) -> tensor<11x300xf32>
  %d = moe.scatter_add %rows, %ids, %init
      : tensor<?x300xf32>, tensor<?xi32>, tensor<11x300xf32> -> tensor<11x300xf32>
  return %d : tensor<11x300xf32>
}

func.func @narrow(%rows: tensor<?x3xf32>, %ids: tensor<?xi32>) -> tensor<4x3xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x3xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x3xf32>) -> tensor<4x3xf32>
  %d = moe.scatter_add %rows, %ids, %init
      : tensor<?x3xf32>, tensor<?xi32>, tensor<4x3xf32> -> tensor<4x3xf32>
  return %d : tensor<4x3xf32>
}

// The second adds in place to the first's result; what the caller lent stays as it was, which the
// comparison reads.
func.func @twice(%rows: tensor<?x24xf32>, %ids: tensor<?xi32>, %init: tensor<?x24xf32>) -> (tensor<?x24xf32>, tensor<?x24xf32>) {
  %once = moe.scatter_add %rows, %ids, %init
      : tensor<?x24xf32>, tensor<?xi32>, tensor<?x24xf32> -> tensor<?x24xf32>
  %twice = moe.scatter_add %rows, %ids, %once
      : tensor<?x24xf32>, tensor<?xi32>, tensor<?x24xf32> -> tensor<?x24xf32>
  return %once, %twice : tensor<?x24xf32>, tensor<?x24xf32>
}
