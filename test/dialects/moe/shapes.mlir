// RUN: hadal-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize --cse | FileCheck %s

// The rows after dispatch are T * K.
// CHECK-LABEL: func.func @plan(
// CHECK-SAME: %[[EXPERTS:.*]]: tensor<?x4xi32>)
// CHECK: %[[T:.*]] = tensor.dim %[[EXPERTS]], %c0
// CHECK: %[[R:.*]] = arith.muli %[[T]], %c4
// CHECK: return %[[R]], %[[T]]
func.func @plan(%experts: tensor<?x4xi32>) -> (index, index) {
  %c0 = arith.constant 0 : index
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  %r = tensor.dim %source, %c0 : tensor<?xi32>
  %t = tensor.dim %position, %c0 : tensor<?x4xi32>
  return %r, %t : index, index
}

// Through a whole expert layer: what the experts compute has T * K rows, what comes back has T.
// CHECK-LABEL: func.func @layer(
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x64xf32>, %[[LOGITS:[a-z0-9]+]]: tensor<?x16xf32>
// CHECK: %[[T:.*]] = tensor.dim %[[LOGITS]], %c0
// CHECK: %[[R:.*]] = arith.muli %[[T]], %c4
// CHECK: return %[[R]], %[[R]], %[[T]]
func.func @layer(%x: tensor<?x64xf32>, %logits: tensor<?x16xf32>, %bias: tensor<16xf32>, %up: tensor<16x24x64xbf16>,
                 %down: tensor<16x64x24xbf16>) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %w, %e = moe.route %logits, %bias
      {groups = 4 : i64, group_limit = 2 : i64, top_k = 4 : i64, normalize = true, scale = 2.5 : f32}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  %source, %position, %offsets, %active = moe.plan %e {expert_count = 16 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %u = moe.grouped_matmul %x, %up, %offsets, %active source(%source : tensor<?xi32>)
      : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
  %d = moe.grouped_matmul %u, %down, %offsets, %active
      : tensor<?x24xf32>, tensor<16x64x24xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x64xf32>
  %y = moe.combine %d, %position, %e, %w {expert_count = 16 : i64}
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
  %a = tensor.dim %rows, %c0 : tensor<?x64xf32>
  %b = tensor.dim %d, %c0 : tensor<?x64xf32>
  %c = tensor.dim %y, %c0 : tensor<?x64xf32>
  return %a, %b, %c : index, index, index
}

// Backwards through the layer: rows have R, weights T; one loss per sequence: one less than the
// boundaries.
// CHECK-LABEL: func.func @backward(
// CHECK-SAME: %[[ROWS:[a-z0-9]+]]: tensor<?x64xf32>, %[[POSITION:[a-z0-9]+]]: tensor<?x4xi32>, %[[WEIGHTS:[a-z0-9]+]]: tensor<?x4xf32>
// CHECK-SAME: %[[OFFSETS:[a-z0-9]+]]: tensor<?xi32>
// CHECK-DAG: %[[R:.*]] = tensor.dim %[[ROWS]], %c0
// CHECK-DAG: %[[T:.*]] = tensor.dim %[[WEIGHTS]], %c0
// CHECK-DAG: %[[B:.*]] = tensor.dim %[[OFFSETS]], %c0
// CHECK: %[[S:.*]] = arith.subi %[[B]], %c1
// CHECK: return %[[R]], %[[T]], %[[S]]
func.func @backward(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %weights: tensor<?x4xf32>,
                    %gradient: tensor<?x64xf32>, %logits: tensor<?x16xf32>, %offsets: tensor<?xi32>)
    -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x64xf32> -> tensor<?x64xf32>, tensor<?x4xf32>
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
  %a = tensor.dim %drows, %c0 : tensor<?x64xf32>
  %b = tensor.dim %dweights, %c0 : tensor<?x4xf32>
  %c = tensor.dim %fractions, %c0 : tensor<?x16xf32>
  return %a, %b, %c : index, index, index
}

// The table's rows, not those added to it.
// CHECK-LABEL: func.func @scatter_add(
// CHECK-SAME: %[[INIT:[a-z0-9]+]]: tensor<?x64xf32>)
// CHECK: %[[V:.*]] = tensor.dim %[[INIT]], %c0
// CHECK: return %[[V]]
func.func @scatter_add(%rows: tensor<?x64xf32>, %ids: tensor<?xi32>, %init: tensor<?x64xf32>) -> index {
  %c0 = arith.constant 0 : index
  %r = moe.scatter_add %rows, %ids, %init : tensor<?x64xf32>, tensor<?xi32>, tensor<?x64xf32> -> tensor<?x64xf32>
  %v = tensor.dim %r, %c0 : tensor<?x64xf32>
  return %v : index
}

// Rows that come from other ranks are as many as these have said; so are their choices.
// CHECK-LABEL: func.func @exchange(
// CHECK: %{{.*}}, %[[N:.*]], %[[CHOICES:.*]] = moe.exchange_counts
// CHECK: return %[[N]], %[[CHOICES]]
func.func @exchange(%rows: tensor<?x64xf32>, %ids: tensor<?x4xi32>, %send: tensor<8xi32>) -> (index, index) {
  %c0 = arith.constant 0 : index
  %receive, %n, %choices = moe.exchange_counts %send
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "r", choices_register = "c"} : tensor<8xi32>
  %there = moe.exchange %rows, %send, %receive rows(%n)
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  %source, %position, %offsets, %active = moe.plan %ids segments(%receive : tensor<8xi32>) choices(%choices)
      {expert_count = 4 : i64} : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  %a = tensor.dim %there, %c0 : tensor<?x64xf32>
  %b = tensor.dim %source, %c0 : tensor<?xi32>
  return %a, %b : index, index
}
