// DEFINE: %{op} = moe.combine_grad
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Each choice's row and weight.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=1 E=16 K=4 H=37
// RUN: %{case}
// REDEFINE: %{s} = T=50 E=16 K=4 H=37
// RUN: %{case}
// REDEFINE: %{f} = narrow
// REDEFINE: %{s} = T=23 E=5 K=3 H=5
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = T=33 E=256 K=8 H=256
// RUN: %{case}

// The weight of an absent choice moves nothing.
// REDEFINE: %{f} = partial
// REDEFINE: %{s} = T=50 E=16 K=4 H=37 missing=1
// RUN: %{case}
// A gradient of ones, which the function makes: numbers by rows and by choices.
// REDEFINE: %{f} = ones
// REDEFINE: %{s} = T=23 E=5 K=3 H=1 ones=1
// RUN: %{case}

func.func @odd(%rows: tensor<?x37xf32>, %position: tensor<?x4xi32>, %weights: tensor<?x4xf32>,
               %gradient: tensor<?x37xf32>) -> (tensor<?x37xf32>, tensor<?x4xf32>) {
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x37xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x37xf32> -> tensor<?x37xf32>, tensor<?x4xf32>
  return %drows, %dweights : tensor<?x37xf32>, tensor<?x4xf32>
}

func.func @narrow(%rows: tensor<?x5xf32>, %position: tensor<?x3xi32>, %weights: tensor<?x3xf32>,
                  %gradient: tensor<?x5xf32>) -> (tensor<?x5xf32>, tensor<?x3xf32>) {
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x5xf32>, tensor<?x3xi32>, tensor<?x3xf32>, tensor<?x5xf32> -> tensor<?x5xf32>, tensor<?x3xf32>
  return %drows, %dweights : tensor<?x5xf32>, tensor<?x3xf32>
}

func.func @large(%rows: tensor<?x256xf32>, %position: tensor<?x8xi32>, %weights: tensor<?x8xf32>,
                 %gradient: tensor<?x256xf32>) -> (tensor<?x256xf32>, tensor<?x8xf32>) {
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x256xf32>, tensor<?x8xi32>, tensor<?x8xf32>, tensor<?x256xf32> -> tensor<?x256xf32>, tensor<?x8xf32>
  return %drows, %dweights : tensor<?x256xf32>, tensor<?x8xf32>
}

func.func @partial(%rows: tensor<?x37xf32>, %position: tensor<?x4xi32>, %weights: tensor<?x4xf32>,
                   %gradient: tensor<?x37xf32>) -> (tensor<?x37xf32>, tensor<?x4xf32>) {
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient {partial}
      : tensor<?x37xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x37xf32> -> tensor<?x37xf32>, tensor<?x4xf32>
  return %drows, %dweights : tensor<?x37xf32>, tensor<?x4xf32>
}

func.func @ones(%rows: tensor<?x1xf32>, %position: tensor<?x3xi32>, %weights: tensor<?x3xf32>)
    -> (tensor<?x1xf32>, tensor<?x3xf32>) {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f32
  %tokens = tensor.dim %position, %c0 : tensor<?x3xi32>
  %empty = tensor.empty(%tokens) : tensor<?x1xf32>
  %ones = linalg.fill ins(%one : f32) outs(%empty : tensor<?x1xf32>) -> tensor<?x1xf32>
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %ones
      : tensor<?x1xf32>, tensor<?x3xi32>, tensor<?x3xf32>, tensor<?x1xf32> -> tensor<?x1xf32>, tensor<?x3xf32>
  return %drows, %dweights : tensor<?x1xf32>, tensor<?x3xf32>
}
