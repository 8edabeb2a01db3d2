// RUN: hadal-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize --cse | FileCheck %s

// Rows come from the logits, the number of likeliest tokens from their destination.
// CHECK-LABEL: func.func @log_probabilities(
// CHECK-SAME: %[[INIT:[a-z0-9]+]]: tensor<?x?xi32>
// CHECK: %[[P:.*]] = tensor.dim %[[INIT]], %c1
// CHECK: return %[[P]]
func.func @log_probabilities(%i: tensor<?x?xi32>, %logits: tensor<?x512xf32>, %ids: tensor<?xi32>,
                             %c: tensor<?xf32>, %t: tensor<?x?xf32>) -> index {
  %c1 = arith.constant 1 : index
  %chosen, %top_ids, %top = sample.log_probabilities %logits, %ids into %c, %i, %t
      : tensor<?x512xf32>, tensor<?xi32> into tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>
  %p = tensor.dim %top_ids, %c1 : tensor<?x?xi32>
  return %p : index
}

// CHECK-LABEL: func.func @rows(
// CHECK-SAME: %[[LOGITS:[a-z0-9]+]]: tensor<?x512xf32>
// CHECK: %[[R:.*]] = tensor.dim %[[LOGITS]], %c0
// CHECK: return %[[R]], %[[R]], %[[R]], %[[R]]
func.func @rows(%logits: tensor<?x512xf32>, %x: tensor<?xf32>, %n: tensor<?xi32>)
    -> (index, index, index, index) {
  %c0 = arith.constant 0 : index
  %best = sample.argmax %logits : tensor<?x512xf32> -> tensor<?xi32>
  %ids = sample.choose %logits, %x, %n, %x, %x, %x
      : tensor<?x512xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xf32>, tensor<?xf32>, tensor<?xf32>
      -> tensor<?xi32>
  %nll = sample.nll %logits, %n : tensor<?x512xf32>, tensor<?xi32> -> tensor<?xf32>
  %penalized = sample.penalize %logits, %x, %n, %n
      : tensor<?x512xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xi32>
  %a = tensor.dim %best, %c0 : tensor<?xi32>
  %b = tensor.dim %ids, %c0 : tensor<?xi32>
  %c = tensor.dim %nll, %c0 : tensor<?xf32>
  %d = tensor.dim %penalized, %c0 : tensor<?x512xf32>
  return %a, %b, %c, %d : index, index, index, index
}
