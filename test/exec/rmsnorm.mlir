// DEFINE: %{op} = rmsnorm
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// The norm as the frontend writes it.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=1 H=37 epsilon=1e-6
// RUN: %{case}
// REDEFINE: %{s} = T=21 H=37 epsilon=1e-6
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = T=9 H=768 epsilon=1e-5
// RUN: %{case}

#matrix = affine_map<(t, h) -> (t, h)>
#row = affine_map<(t, h) -> (t)>
#column = affine_map<(t, h) -> (h)>

func.func @odd(%x: tensor<?x37xf32>, %w: tensor<37xf32>) -> tensor<?x37xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %size = arith.constant 37.0 : f32
  %epsilon = arith.constant 1.0e-06 : f32
  %t = tensor.dim %x, %c0 : tensor<?x37xf32>
  %empty = tensor.empty(%t) : tensor<?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %squares = linalg.generic {indexing_maps = [#matrix, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x37xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %sum: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %sum, %square fastmath<reassoc> : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %out = tensor.empty(%t) : tensor<?x37xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #row, #column, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%x, %squares, %w : tensor<?x37xf32>, tensor<?xf32>, tensor<37xf32>) outs(%out : tensor<?x37xf32>) {
  ^bb0(%in: f32, %sum: f32, %weight: f32, %unused: f32):
    %mean = arith.divf %sum, %size : f32
    %inside = arith.addf %mean, %epsilon : f32
    %root = math.sqrt %inside : f32
    %inverse = arith.divf %one, %root : f32
    %scaled = arith.mulf %in, %inverse : f32
    %result = arith.mulf %weight, %scaled : f32
    linalg.yield %result : f32
  } -> tensor<?x37xf32>
  return %y : tensor<?x37xf32>
}

func.func @large(%x: tensor<?x768xf32>, %w: tensor<768xf32>) -> tensor<?x768xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %size = arith.constant 768.0 : f32
  %epsilon = arith.constant 1.0e-05 : f32
  %t = tensor.dim %x, %c0 : tensor<?x768xf32>
  %empty = tensor.empty(%t) : tensor<?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %squares = linalg.generic {indexing_maps = [#matrix, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x768xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %sum: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %sum, %square fastmath<reassoc> : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %out = tensor.empty(%t) : tensor<?x768xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #row, #column, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%x, %squares, %w : tensor<?x768xf32>, tensor<?xf32>, tensor<768xf32>) outs(%out : tensor<?x768xf32>) {
  ^bb0(%in: f32, %sum: f32, %weight: f32, %unused: f32):
    %mean = arith.divf %sum, %size : f32
    %inside = arith.addf %mean, %epsilon : f32
    %root = math.sqrt %inside : f32
    %inverse = arith.divf %one, %root : f32
    %scaled = arith.mulf %in, %inverse : f32
    %result = arith.mulf %weight, %scaled : f32
    linalg.yield %result : f32
  } -> tensor<?x768xf32>
  return %y : tensor<?x768xf32>
}
