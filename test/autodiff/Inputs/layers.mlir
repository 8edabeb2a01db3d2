#id = affine_map<(t, h) -> (t, h)>
#t = affine_map<(t, h) -> (t)>
#h = affine_map<(t, h) -> (h)>
ml_program.global private mutable @n(#ml_program.extern<tensor<7xf32>>) : tensor<7xf32>

// RMSNorm as the frontend writes it, applied twice with one weight.
func.func @norm(%x: tensor<?x7xf32> {hadal.gradient, test.shape = array<i64: 5, 7>}) -> (tensor<?x7xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x7xf32>
  %e1 = tensor.empty(%rows) : tensor<?xf32>
  %z1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?xf32>) -> tensor<?xf32>
  %e = tensor.empty(%rows) : tensor<?x7xf32>
  %n = ml_program.global_load @n : tensor<7xf32>
  %sq = linalg.generic {indexing_maps = [#id, #t], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<?x7xf32>) outs(%z1 : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.mulf %a, %a : f32
    %s = arith.addf %o, %m fastmath<reassoc> : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  %y = linalg.generic {indexing_maps = [#id, #t, #h, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %sq, %n : tensor<?x7xf32>, tensor<?xf32>, tensor<7xf32>) outs(%e : tensor<?x7xf32>) {
  ^bb0(%a: f32, %q: f32, %g: f32, %o: f32):
    %size = arith.constant 7.0 : f32
    %eps = arith.constant 1.0e-3 : f32
    %one = arith.constant 1.0 : f32
    %mean = arith.divf %q, %size : f32
    %me = arith.addf %mean, %eps : f32
    %root = math.sqrt %me : f32
    %inv = arith.divf %one, %root : f32
    %sc = arith.mulf %a, %inv : f32
    %r = arith.mulf %g, %sc : f32
    linalg.yield %r : f32
  } -> tensor<?x7xf32>
  %n2 = ml_program.global_load @n : tensor<7xf32>
  %y2 = linalg.generic {indexing_maps = [#id, #t, #h, #id], iterator_types = ["parallel", "parallel"]} ins(%y, %sq, %n2 : tensor<?x7xf32>, tensor<?xf32>, tensor<7xf32>) outs(%e : tensor<?x7xf32>) {
  ^bb0(%a: f32, %q: f32, %g: f32, %o: f32):
    %p = arith.mulf %a, %g : f32
    %r = arith.divf %p, %q : f32
    linalg.yield %r : f32
  } -> tensor<?x7xf32>
  return %y2 : tensor<?x7xf32>
}

func.func @swiglu(%g: tensor<?x7xf32> {hadal.gradient, test.shape = array<i64: 5, 7>}, %u: tensor<?x7xf32> {hadal.gradient, test.shape = array<i64: 5, 7>})
    -> (tensor<?x7xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %g, %c0 : tensor<?x7xf32>
  %e = tensor.empty(%rows) : tensor<?x7xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%g, %u : tensor<?x7xf32>, tensor<?x7xf32>) outs(%e : tensor<?x7xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %one = arith.constant 1.0 : f32
    %n = arith.negf %a : f32
    %x = math.exp %n : f32
    %d = arith.addf %x, %one : f32
    %s = arith.divf %a, %d : f32
    %r = arith.mulf %s, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x7xf32>
  return %y : tensor<?x7xf32>
}
