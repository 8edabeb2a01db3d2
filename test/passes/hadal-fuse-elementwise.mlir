// RUN: hadal-opt %s --hadal-fuse-elementwise | FileCheck %s

#matrix = affine_map<(t, h) -> (t, h)>
#row = affine_map<(t, h) -> (h)>
#column = affine_map<(t, h) -> (t)>

// A bias and a residual are one op.
// CHECK-LABEL: func.func @bias_residual(
// CHECK: linalg.generic
// CHECK: arith.addf
// CHECK: arith.addf
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @bias_residual(%y: tensor<?x8xf32>, %bias: tensor<8xf32>, %x: tensor<?x8xf32>, %out: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %b = linalg.generic {indexing_maps = [#matrix, #row, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%y, %bias : tensor<?x8xf32>, tensor<8xf32>) outs(%out : tensor<?x8xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %s = arith.addf %a, %c : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32>
  %r = linalg.generic {indexing_maps = [#matrix, #matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%b, %x : tensor<?x8xf32>, tensor<?x8xf32>) outs(%out : tensor<?x8xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %s = arith.addf %a, %c : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}

// A sum over a row stays a step of its own, and so does an op with two readers.
// CHECK-LABEL: func.func @reduction(
// CHECK: linalg.generic
// CHECK: arith.mulf
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "reduction"]
// CHECK: arith.addf
// CHECK: return
func.func @reduction(%x: tensor<?x8xf32>, %out: tensor<?x8xf32>, %sums: tensor<?xf32>) -> (tensor<?xf32>, tensor<?x8xf32>) {
  %sq = linalg.generic {indexing_maps = [#matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x8xf32>) outs(%out : tensor<?x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.mulf %a, %a : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32>
  %sum = linalg.generic {indexing_maps = [#matrix, #column], iterator_types = ["parallel", "reduction"]}
      ins(%sq : tensor<?x8xf32>) outs(%sums : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.addf %o, %a : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %sum, %sq : tensor<?xf32>, tensor<?x8xf32>
}
