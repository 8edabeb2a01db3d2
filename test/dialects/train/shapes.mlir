// RUN: hadal-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize --cse | FileCheck %s

// The last block of a tensor may be short: the count is rounded up.
// CHECK-LABEL: func.func @sums(
// CHECK-SAME: %[[X:.*]]: tensor<?x?xf32>)
// CHECK-DAG: %[[T:.*]] = tensor.dim %[[X]], %c0
// CHECK-DAG: %[[N:.*]] = tensor.dim %[[X]], %c1
// CHECK: %[[B:.*]] = arith.ceildivui %[[N]], %c4096
// CHECK: return %[[T]], %[[B]], %[[T]]
func.func @sums(%x: tensor<?x?xf32>) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %blocks = train.square_sums %x {block = 4096 : i64} : tensor<?x?xf32> -> tensor<?x?xf32>
  %sums = train.sum_rows %blocks : tensor<?x?xf32> -> tensor<?xf64>
  %t = tensor.dim %blocks, %c0 : tensor<?x?xf32>
  %b = tensor.dim %blocks, %c1 : tensor<?x?xf32>
  %s = tensor.dim %sums, %c0 : tensor<?xf64>
  return %t, %b, %s : index, index, index
}
