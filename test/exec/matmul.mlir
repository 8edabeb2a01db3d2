// DEFINE: %{op} = matmul
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// A linear layer: one row and many, edges in every direction; every element is one chain of sums,
// to the bit.
// REDEFINE: %{f} = f32
// REDEFINE: %{s} = T=1 N=19 K=37
// RUN: %{case}
// REDEFINE: %{s} = T=25 N=19 K=37
// RUN: %{case}
// REDEFINE: %{f} = bf16
// REDEFINE: %{s} = T=1 N=130 K=70 element=bf16
// RUN: %{case}
// REDEFINE: %{s} = T=67 N=130 K=70 element=bf16
// RUN: %{case}
// REDEFINE: %{f} = long
// REDEFINE: %{s} = T=13 N=96 K=1100
// RUN: %{case}
// REDEFINE: %{s} = T=1 N=96 K=1100
// RUN: %{case}

#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>

func.func @f32(%x: tensor<?x37xf32>, %w: tensor<19x37xf32>) -> tensor<?x19xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x37xf32>
  %empty = tensor.empty(%t) : tensor<?x19xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x19xf32>) -> tensor<?x19xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x37xf32>, tensor<19x37xf32>) outs(%init : tensor<?x19xf32>) -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}

func.func @bf16(%x: tensor<?x70xf32>, %w: tensor<130x70xbf16>) -> tensor<?x130xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x70xf32>
  %empty = tensor.empty(%t) : tensor<?x130xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x130xf32>) -> tensor<?x130xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x70xf32>, tensor<130x70xbf16>) outs(%init : tensor<?x130xf32>) -> tensor<?x130xf32>
  return %y : tensor<?x130xf32>
}

func.func @long(%x: tensor<?x1100xf32>, %w: tensor<96x1100xf32>) -> tensor<?x96xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x1100xf32>
  %empty = tensor.empty(%t) : tensor<?x96xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x96xf32>) -> tensor<?x96xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x1100xf32>, tensor<96x1100xf32>) outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return %y : tensor<?x96xf32>
}
