#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>
ml_program.global private mutable @w(#ml_program.extern<tensor<6x7xf32>>) : tensor<6x7xf32>
ml_program.global private mutable @unused(#ml_program.extern<tensor<6x7xf32>>) : tensor<6x7xf32>

// A parameter that two products read: one chain of sums.
func.func @matmul(%x: tensor<?x7xf32> {hadal.gradient, test.shape = array<i64: 5, 7>}) -> (tensor<?x6xf32> {hadal.gradient})
    attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x7xf32>
  %w = ml_program.global_load @w : tensor<6x7xf32>
  %u = ml_program.global_load @unused : tensor<6x7xf32>
  %e = tensor.empty(%rows) : tensor<?x6xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<?x7xf32>, tensor<6x7xf32>) outs(%z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %e2 = tensor.empty(%rows) : tensor<?x7xf32>
  %z2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<?x7xf32>) -> tensor<?x7xf32>
  %v = ml_program.global_load @w : tensor<6x7xf32>
  %back = linalg.matmul ins(%y, %v : tensor<?x6xf32>, tensor<6x7xf32>) outs(%z2 : tensor<?x7xf32>) -> tensor<?x7xf32>
  %y2 = linalg.contract indexing_maps = [#mk, #nk, #mn] ins(%back, %w : tensor<?x7xf32>, tensor<6x7xf32>) outs(%z : tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y2 : tensor<?x6xf32>
}

// Heads: a batch in the middle of one operand and at the front of the other.
func.func @heads(%x: tensor<?x3x4xf32> {hadal.gradient, test.shape = array<i64: 5, 3, 4>}, %w: tensor<3x2x4xf32> {hadal.gradient})
    -> (tensor<?x3x2xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x3x4xf32>
  %e = tensor.empty(%rows) : tensor<?x3x2xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x3x2xf32>) -> tensor<?x3x2xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(t, h, n, k) -> (t, h, k)>, affine_map<(t, h, n, k) -> (h, n, k)>, affine_map<(t, h, n, k) -> (t, h, n)>],
                       iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x3x4xf32>, tensor<3x2x4xf32>) outs(%z : tensor<?x3x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x3x2xf32>
  return %y : tensor<?x3x2xf32>
}

func.func @batch(%x: tensor<3x5x4xf32> {hadal.gradient}, %w: tensor<3x4x2xf32> {hadal.gradient}) -> (tensor<3x5x2xf32> {hadal.gradient})
    attributes {hadal.differentiate} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x5x2xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<3x5x2xf32>) -> tensor<3x5x2xf32>
  %y = linalg.batch_matmul ins(%x, %w : tensor<3x5x4xf32>, tensor<3x4x2xf32>) outs(%z : tensor<3x5x2xf32>) -> tensor<3x5x2xf32>
  return %y : tensor<3x5x2xf32>
}
