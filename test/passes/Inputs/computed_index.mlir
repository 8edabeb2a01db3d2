func.func @f(%x: tensor<10x8xf32>, %ids: tensor<?xi32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %ids, %c0 : tensor<?xi32>
  %e = tensor.empty(%n) : tensor<?xi32>
  %s = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%ids : tensor<?xi32>) outs(%e : tensor<?xi32>) {
  ^bb0(%id: i32, %out: i32):
    %twice = arith.muli %id, %id : i32
    linalg.yield %twice : i32
  } -> tensor<?xi32>
  %r = moe.dispatch %x, %s : tensor<10x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}
