// Four products of two shapes: up, down, up, down.
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>

ml_program.global private @a(#ml_program.extern : tensor<32x16xbf16>) : tensor<32x16xbf16>
ml_program.global private @b(#ml_program.extern : tensor<16x32xbf16>) : tensor<16x32xbf16>
ml_program.global private @c(#ml_program.extern : tensor<32x16xbf16>) : tensor<32x16xbf16>
ml_program.global private @d(#ml_program.extern : tensor<16x32xbf16>) : tensor<16x32xbf16>

func.func @chain(%x: tensor<?x16xf32> {exec.name = "x"}) -> (tensor<?x16xf32> {exec.name = "y"}) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x16xf32>
  %wide = tensor.empty(%t) : tensor<?x32xf32>
  %wides = linalg.fill ins(%zero : f32) outs(%wide : tensor<?x32xf32>) -> tensor<?x32xf32>
  %narrow = tensor.empty(%t) : tensor<?x16xf32>
  %narrows = linalg.fill ins(%zero : f32) outs(%narrow : tensor<?x16xf32>) -> tensor<?x16xf32>
  %a = ml_program.global_load_const @a : tensor<32x16xbf16>
  %b = ml_program.global_load_const @b : tensor<16x32xbf16>
  %c = ml_program.global_load_const @c : tensor<32x16xbf16>
  %d = ml_program.global_load_const @d : tensor<16x32xbf16>
  %0 = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %a : tensor<?x16xf32>, tensor<32x16xbf16>) outs(%wides : tensor<?x32xf32>) -> tensor<?x32xf32>
  %1 = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%0, %b : tensor<?x32xf32>, tensor<16x32xbf16>) outs(%narrows : tensor<?x16xf32>) -> tensor<?x16xf32>
  %2 = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%1, %c : tensor<?x16xf32>, tensor<32x16xbf16>) outs(%wides : tensor<?x32xf32>) -> tensor<?x32xf32>
  %3 = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%2, %d : tensor<?x32xf32>, tensor<16x32xbf16>) outs(%narrows : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %3 : tensor<?x16xf32>
}
