#id = affine_map<(t, h) -> (t, h)>
#flip = affine_map<(t, h) -> (h, t)>
#t = affine_map<(t, h) -> (t)>
#h = affine_map<(t, h) -> (h)>
#none = affine_map<(t, h) -> ()>

// Every scalar op of a payload, with a row and a column beside the matrix.
func.func @payload(%x: tensor<5x7xf32> {hadal.gradient}, %r: tensor<5xf32> {hadal.gradient}, %c: tensor<7xf32> {hadal.gradient})
    -> (tensor<5x7xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %e = tensor.empty() : tensor<5x7xf32>
  %y = linalg.generic {indexing_maps = [#id, #t, #h, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %r, %c : tensor<5x7xf32>, tensor<5xf32>, tensor<7xf32>) outs(%e : tensor<5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %d: f32, %o: f32):
    %one = arith.constant 1.0 : f32
    %three = arith.constant 3.0 : f32
    %0 = arith.subf %a, %b : f32
    %1 = arith.mulf %0, %d : f32
    %2 = arith.mulf %1, %1 : f32
    %3 = arith.addf %2, %one : f32
    %4 = math.log %3 : f32
    %5 = math.sqrt %3 : f32
    %6 = math.rsqrt %3 : f32
    %7 = arith.negf %a : f32
    %8 = math.exp %7 : f32
    %9 = arith.divf %4, %5 : f32
    %10 = math.tanh %b : f32
    %11 = math.fma %6, %8, %10 : f32
    %12 = math.powf %3, %three : f32
    %13 = arith.divf %one, %12 : f32
    %14 = arith.addf %9, %11 : f32
    %15 = arith.addf %14, %13 : f32
    %w = arith.extf %15 : f32 to f64
    %n = arith.truncf %w : f64 to f32
    linalg.yield %n : f32
  } -> tensor<5x7xf32>
  return %y : tensor<5x7xf32>
}

// Choices, positions, and integers that become numbers.
func.func @choices(%x: tensor<5x7xf32> {hadal.gradient}, %r: tensor<5xf32> {hadal.gradient}, %ids: tensor<5xi32> {test.values = array<i64: 3, 0, 6, -1, 3>})
    -> (tensor<5x7xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %e = tensor.empty() : tensor<5x7xf32>
  %y = linalg.generic {indexing_maps = [#id, #t, #t, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %r, %ids : tensor<5x7xf32>, tensor<5xf32>, tensor<5xi32>) outs(%e : tensor<5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %id: i32, %o: f32):
    %j = linalg.index 1 : index
    %i = linalg.index 0 : index
    %k = arith.index_cast %j : index to i32
    %ii = arith.index_cast %i : index to i32
    %here = arith.cmpi eq, %k, %id : i32
    %f = arith.sitofp %ii : i32 to f32
    %ab = arith.mulf %a, %b : f32
    %s = arith.select %here, %ab, %b : f32
    %m = arith.maximumf %a, %b : f32
    %l = arith.minimumf %ab, %m : f32
    %lf = arith.mulf %l, %f : f32
    %sum = arith.addf %s, %lf : f32
    %pos = arith.cmpf ogt, %sum, %b : f32
    %z = arith.select %pos, %sum, %m : f32
    linalg.yield %z : f32
  } -> tensor<5x7xf32>
  return %y : tensor<5x7xf32>
}

// Two results of one op, a sum over rows and one over columns of a transposed reading.
func.func @results(%x: tensor<?x7xf32> {hadal.gradient, test.shape = array<i64: 5, 7>}, %y: tensor<7x?xf32> {hadal.gradient, test.shape = array<i64: 7, 5>},
                   %i: tensor<?xf32> {hadal.gradient, test.shape = array<i64: 5>})
    -> (tensor<?xf32> {hadal.gradient}, tensor<?xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %s:2 = linalg.generic {indexing_maps = [#id, #flip, #t, #t], iterator_types = ["parallel", "reduction"]}
      ins(%x, %y : tensor<?x7xf32>, tensor<7x?xf32>) outs(%i, %i : tensor<?xf32>, tensor<?xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32, %p: f32):
    %m = arith.mulf %a, %b : f32
    %e = math.exp %a : f32
    %q = arith.addf %o, %m : f32
    %d = arith.subf %p, %e : f32
    linalg.yield %q, %d : f32, f32
  } -> (tensor<?xf32>, tensor<?xf32>)
  return %s#0, %s#1 : tensor<?xf32>, tensor<?xf32>
}

// An init that an element-wise payload reads, and a value that two ops read.
func.func @destination(%x: tensor<5x7xf32> {hadal.gradient}, %o: tensor<5x7xf32> {hadal.gradient})
    -> (tensor<5x7xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<5x7xf32>) outs(%o : tensor<5x7xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.mulf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<5x7xf32>
  %z = linalg.mul ins(%y, %x : tensor<5x7xf32>, tensor<5x7xf32>) outs(%o : tensor<5x7xf32>) -> tensor<5x7xf32>
  return %z : tensor<5x7xf32>
}

// A loss of one number; what is stopped counts as constant: softmax cross-entropy, mean over rows.
func.func @loss(%x: tensor<?x7xf32> {hadal.gradient, test.shape = array<i64: 5, 7>}, %ids: tensor<?xi32> {test.values = array<i64: 3, 0, 6, -1, 3>})
    -> tensor<f32> attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %low = arith.constant -1.0e30 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x7xf32>
  %e = tensor.empty(%rows) : tensor<?xf32>
  %l = linalg.fill ins(%low : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
  %max = linalg.generic {indexing_maps = [#id, #t], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<?x7xf32>) outs(%l : tensor<?xf32>)
      attrs = {hadal.stop_gradient} {
  ^bb0(%a: f32, %o: f32):
    %m = arith.maximumf %a, %o : f32
    linalg.yield %m : f32
  } -> tensor<?xf32>
  %sums:2 = linalg.generic {indexing_maps = [#id, #t, #t, #t, #t], iterator_types = ["parallel", "reduction"]}
      ins(%x, %max, %ids : tensor<?x7xf32>, tensor<?xf32>, tensor<?xi32>) outs(%z, %z : tensor<?xf32>, tensor<?xf32>) {
  ^bb0(%a: f32, %m: f32, %id: i32, %o: f32, %p: f32):
    %s = arith.subf %a, %m : f32
    %x0 = math.exp %s : f32
    %n = arith.addf %o, %x0 fastmath<reassoc> : f32
    %j = linalg.index 1 : index
    %k = arith.index_cast %j : index to i32
    %here = arith.cmpi eq, %k, %id : i32
    %chosen = arith.select %here, %a, %zero : f32
    %q = arith.addf %p, %chosen fastmath<reassoc> : f32
    linalg.yield %n, %q : f32, f32
  } -> (tensor<?xf32>, tensor<?xf32>)
  %s0 = tensor.empty() : tensor<f32>
  %zs = linalg.fill ins(%zero : f32) outs(%s0 : tensor<f32>) -> tensor<f32>
  %sum = linalg.generic {indexing_maps = [affine_map<(t) -> (t)>, affine_map<(t) -> (t)>, affine_map<(t) -> (t)>, affine_map<(t) -> (t)>, affine_map<(t) -> ()>], iterator_types = ["reduction"]}
      ins(%sums#0, %sums#1, %max, %ids : tensor<?xf32>, tensor<?xf32>, tensor<?xf32>, tensor<?xi32>) outs(%zs : tensor<f32>) {
  ^bb0(%a: f32, %c: f32, %m: f32, %id: i32, %o: f32):
    %none = arith.constant 0 : i32
    %masked = arith.cmpi slt, %id, %none : i32
    %g = math.log %a : f32
    %gm = arith.subf %m, %c : f32
    %nll = arith.addf %g, %gm : f32
    %kept = arith.select %masked, %zero, %nll : f32
    %r = arith.addf %o, %kept : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  %mean = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []} ins(%sum : tensor<f32>) outs(%s0 : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %count = arith.constant 4.0 : f32
    %third = arith.constant 0.3 : f32
    %d = arith.divf %a, %count : f32
    %w = arith.mulf %d, %third : f32
    linalg.yield %w : f32
  } -> tensor<f32>
  return %mean : tensor<f32>
}
