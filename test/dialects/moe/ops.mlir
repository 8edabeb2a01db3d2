// RUN: hadal-opt %s | hadal-opt | FileCheck %s
// RUN: hadal-opt %s --mlir-print-op-generic | hadal-opt | FileCheck %s

// Every op prints what it parses, in its own form and in the generic one.

// Node-limited choice.
// CHECK-LABEL: func.func @route(
// CHECK: moe.route {{.*}} {group_limit = 2 : i64, groups = 4 : i64, normalize = true, scale = 2.500000e+00 : f32, top_k = 4 : i64} : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
func.func @route(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// Given choices: the weights still come from the affinities.
// CHECK-LABEL: func.func @route_forced(
// CHECK: moe.route {{.*}} forced(%{{.*}} : tensor<?x4xi32>) {group_limit = 2 : i64, groups = 4 : i64, normalize = true, scale = 2.500000e+00 : f32, top_k = 4 : i64} : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
func.func @route_forced(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>, %forced: tensor<?x4xi32>)
    -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  %w, %e = moe.route %logits, %bias forced(%forced
      : tensor<?x4xi32>) {group_limit = 2 : i64, groups = 4 : i64, normalize = true, scale = 2.500000e+00 : f32,
        top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// One group of one expert each is fine where no group is left out.
// CHECK-LABEL: func.func @route_single(
// CHECK: moe.route {{.*}} {group_limit = 3 : i64, groups = 3 : i64, normalize = true, scale = 2.500000e+00 : f32, top_k = 2 : i64} : tensor<?x3xf32>, tensor<3xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
func.func @route_single(%logits: tensor<?x3xf32>, %bias: tensor<3xf32>) -> (tensor<?x2xf32>, tensor<?x2xi32>) {
  %w, %e = moe.route %logits, %bias {group_limit = 3 : i64, groups = 3 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 2 : i64}
      : tensor<?x3xf32>, tensor<3xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  return %w, %e : tensor<?x2xf32>, tensor<?x2xi32>
}

// Softmax affinities, no bias, groups as good as their best expert, here of one expert each.
// CHECK-LABEL: func.func @route_softmax(
// CHECK: moe.route %{{[a-z0-9]+}} {group_limit = 8 : i64, group_maximum, groups = 16 : i64, normalize = false, scale = 1.600000e+01 : f32, softmax, top_k = 4 : i64} : tensor<?x16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
func.func @route_softmax(%logits: tensor<?x16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  %w, %e = moe.route %logits {group_limit = 8 : i64, group_maximum, groups = 16 : i64, normalize = false,
        scale = 1.600000e+01 : f32, softmax, top_k = 4 : i64} : tensor<?x16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// Given choices without a bias.
// CHECK-LABEL: func.func @route_softmax_forced(
// CHECK: moe.route %{{[a-z0-9]+}} forced(%{{.*}} : tensor<?x4xi32>) {{.*}} : tensor<?x16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
func.func @route_softmax_forced(%logits: tensor<?x16xf32>, %forced: tensor<?x4xi32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  %w, %e = moe.route %logits forced(%forced : tensor<?x4xi32>) {group_limit = 1 : i64, groups = 1 : i64, normalize = false,
        scale = 1.000000e+00 : f32, softmax, top_k = 4 : i64} : tensor<?x16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// R is dynamic where T is.
// CHECK-LABEL: func.func @plan(
// CHECK: moe.plan {{.*}} {expert_count = 16 : i64} : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
func.func @plan(%experts: tensor<?x4xi32>) -> (tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>) {
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
}

// All sizes may be static.
// CHECK-LABEL: func.func @plan_static(
// CHECK: moe.plan {{.*}} {expert_count = 16 : i64} : tensor<5x4xi32> -> tensor<20xi32>, tensor<5x4xi32>, tensor<17xi32>, tensor<16xi32>
func.func @plan_static(%experts: tensor<5x4xi32>)
    -> (tensor<20xi32>, tensor<5x4xi32>, tensor<17xi32>, tensor<16xi32>) {
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<5x4xi32> -> tensor<20xi32>, tensor<5x4xi32>, tensor<17xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<20xi32>, tensor<5x4xi32>, tensor<17xi32>, tensor<16xi32>
}

// Tokens of two sources, of which some choices are of other ranks.
// CHECK-LABEL: func.func @plan_segments(
// CHECK: moe.plan {{.*}} segments(%{{.*}} : tensor<4xi32>) choices(%{{.*}}) {expert_count = 8 : i64} : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
func.func @plan_segments(%experts: tensor<?x4xi32>, %received: tensor<4xi32>, %choices: index)
    -> (tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>) {
  %source, %position, %offsets, %active = moe.plan %experts segments(%received : tensor<4xi32>)
      choices(%choices) {expert_count = 8 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
}

// To four ranks, and back.
// CHECK-LABEL: func.func @exchange(
// CHECK: moe.plan_sends {{.*}} {expert_count = 16 : i64, parts = 4 : i64, segments = 1 : i64} : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<8xi32>
// CHECK: moe.exchange_counts {{.*}} {choices_register = "L1.0.choices", parts = 4 : i64, rows_register = "L1.0.rows", segments = 1 : i64, stride = 2 : i64} : tensor<8xi32>
// CHECK: moe.exchange {{.*}} rows(%{{.*}}) {parts = 4 : i64, segments = 1 : i64, stride = 2 : i64} : tensor<?x4xi32>, tensor<8xi32> -> tensor<?x4xi32>
// CHECK: moe.exchange {{.*}} like(%{{.*}} : tensor<?xi32>) {parts = 4 : i64, segments = 1 : i64, stride = 2 : i64} : tensor<?x4xi32>, tensor<8xi32> -> tensor<?x4xi32>
// CHECK: moe.plan_sends {{.*}} segments(%{{.*}} : tensor<8xi32>) {expert_count = 4 : i64, parts = 2 : i64, segments = 4 : i64} : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<16xi32>
func.func @exchange(%experts: tensor<?x4xi32>) -> (tensor<?x4xi32>, tensor<?x2xi32>) {
  %source, %slots, %ids, %send = moe.plan_sends %experts {expert_count = 16 : i64, parts = 4 : i64, segments = 1 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<8xi32>
  %receive, %rows, %choices = moe.exchange_counts %send
      {parts = 4 : i64, segments = 1 : i64, stride = 2 : i64, rows_register = "L1.0.rows",
       choices_register = "L1.0.choices"} : tensor<8xi32>
  %there = moe.exchange %ids, %send, %receive rows(%rows)
      {parts = 4 : i64, segments = 1 : i64, stride = 2 : i64}
      : tensor<?x4xi32>, tensor<8xi32> -> tensor<?x4xi32>
  %back = moe.exchange %there, %receive, %send like(%source : tensor<?xi32>)
      {parts = 4 : i64, segments = 1 : i64, stride = 2 : i64} : tensor<?x4xi32>, tensor<8xi32> -> tensor<?x4xi32>
  %source1, %slots1, %ids1, %send1 = moe.plan_sends %there segments(%receive : tensor<8xi32>)
      {expert_count = 4 : i64, parts = 2 : i64, segments = 4 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<16xi32>
  return %back, %slots1 : tensor<?x4xi32>, tensor<?x2xi32>
}

// A count that was exchanged elsewhere.
// CHECK-LABEL: func.func @count(
// CHECK: %[[N:.*]] = moe.count "L1.0.rows"
// CHECK: moe.exchange {{.*}} rows(%[[N]])
func.func @count(%rows: tensor<?x4xi32>, %send: tensor<8xi32>, %receive: tensor<8xi32>) -> tensor<?x4xi32> {
  %n = moe.count "L1.0.rows"
  %there = moe.exchange %rows, %send, %receive rows(%n)
      {parts = 4 : i64, segments = 1 : i64, stride = 2 : i64} : tensor<?x4xi32>, tensor<8xi32> -> tensor<?x4xi32>
  return %there : tensor<?x4xi32>
}

// A gather.
// CHECK-LABEL: func.func @dispatch(
// CHECK: moe.dispatch {{.*}} : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
func.func @dispatch(%x: tensor<?x64xf32>, %source: tensor<?xi32>) -> tensor<?x64xf32> {
  %r = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// Rows already in order.
// CHECK-LABEL: func.func @grouped_matmul(
// CHECK: moe.grouped_matmul {{.*}} : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
func.func @grouped_matmul(%rows: tensor<?x64xf32>, %weights: tensor<16x24x64xbf16>, %offsets: tensor<17xi32>,
                          %active: tensor<16xi32>)
    -> tensor<?x24xf32> {
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
  return %r : tensor<?x24xf32>
}

// Rows are gathered on the way; f32 weights.
// CHECK-LABEL: func.func @grouped_matmul_source(
// CHECK: moe.grouped_matmul {{.*}} source(%{{.*}} : tensor<?xi32>) : tensor<?x64xf32>, tensor<16x24x64xf32>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
func.func @grouped_matmul_source(%rows: tensor<?x64xf32>, %weights: tensor<16x24x64xf32>, %offsets: tensor<17xi32>,
                                 %active: tensor<16xi32>, %source: tensor<?xi32>)
    -> tensor<?x24xf32> {
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active source(%source : tensor<?xi32>)
      : tensor<?x64xf32>, tensor<16x24x64xf32>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
  return %r : tensor<?x24xf32>
}

// Back to tokens.
// CHECK-LABEL: func.func @combine(
// CHECK: moe.combine {{.*}} {expert_count = 16 : i64} : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
func.func @combine(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x4xi32>,
                   %weights: tensor<?x4xf32>)
    -> tensor<?x64xf32> {
  %r = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// Loads are integers.
// CHECK-LABEL: func.func @update_bias(
// CHECK: moe.update_bias {{.*}} {step = 1.000000e-03 : f32} : tensor<16xf32>, tensor<16xi32> -> tensor<16xf32>
func.func @update_bias(%bias: tensor<16xf32>, %load: tensor<16xi32>) -> tensor<16xf32> {
  %r = moe.update_bias %bias, %load {step = 1.000000e-03 : f32} : tensor<16xf32>, tensor<16xi32> -> tensor<16xf32>
  return %r : tensor<16xf32>
}

// The other way through the weights.
// CHECK-LABEL: func.func @grouped_matmul_transpose(
// CHECK: moe.grouped_matmul {{.*}} {transpose} : tensor<?x24xf32>, tensor<16x24x64xf32>, tensor<17xi32>, tensor<16xi32> -> tensor<?x64xf32>
func.func @grouped_matmul_transpose(%rows: tensor<?x24xf32>, %weights: tensor<16x24x64xf32>,
                                    %offsets: tensor<17xi32>, %active: tensor<16xi32>) -> tensor<?x64xf32> {
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active {transpose}
      : tensor<?x24xf32>, tensor<16x24x64xf32>, tensor<17xi32>, tensor<16xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// Rows already in order.
// CHECK-LABEL: func.func @grouped_weight_grad(
// CHECK: moe.grouped_weight_grad {{.*}} : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32> -> tensor<16x24x64xf32>
func.func @grouped_weight_grad(%rows: tensor<?x64xf32>, %gradient: tensor<?x24xf32>, %offsets: tensor<17xi32>,
                               %active: tensor<16xi32>, %init: tensor<16x24x64xf32>) -> tensor<16x24x64xf32> {
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init
      : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32>
      -> tensor<16x24x64xf32>
  return %r : tensor<16x24x64xf32>
}

// Rows are gathered on the way.
// CHECK-LABEL: func.func @grouped_weight_grad_source(
// CHECK: moe.grouped_weight_grad {{.*}} source(%{{.*}} : tensor<?xi32>) : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32> -> tensor<16x24x64xf32>
func.func @grouped_weight_grad_source(%rows: tensor<?x64xf32>, %gradient: tensor<?x24xf32>,
                                      %offsets: tensor<17xi32>, %active: tensor<16xi32>,
                                      %init: tensor<16x24x64xf32>, %source: tensor<?xi32>) -> tensor<16x24x64xf32> {
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init source(%source : tensor<?xi32>)
      : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32>
      -> tensor<16x24x64xf32>
  return %r : tensor<16x24x64xf32>
}

// Of choices that are of this rank.
// CHECK-LABEL: func.func @combine_partial(
// CHECK: moe.combine {{.*}} {expert_count = 16 : i64, partial} : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
// CHECK: moe.combine_grad {{.*}} {partial} : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x64xf32> -> tensor<?x64xf32>, tensor<?x4xf32>
func.func @combine_partial(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x4xi32>,
                           %weights: tensor<?x4xf32>) -> (tensor<?x64xf32>, tensor<?x4xf32>) {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64, partial}
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %y {partial}
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x64xf32> -> tensor<?x64xf32>, tensor<?x4xf32>
  return %drows, %dweights : tensor<?x64xf32>, tensor<?x4xf32>
}

// Gradients of rows and of weights.
// CHECK-LABEL: func.func @combine_grad(
// CHECK: moe.combine_grad {{.*}} : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x64xf32> -> tensor<?x64xf32>, tensor<?x4xf32>
func.func @combine_grad(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %weights: tensor<?x4xf32>,
                        %gradient: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x4xf32>) {
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x64xf32> -> tensor<?x64xf32>, tensor<?x4xf32>
  return %drows, %dweights : tensor<?x64xf32>, tensor<?x4xf32>
}

// The choice is given.
// CHECK-LABEL: func.func @route_grad(
// CHECK: moe.route_grad {{.*}} {normalize = true, scale = 2.500000e+00 : f32} : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
func.func @route_grad(%logits: tensor<?x16xf32>, %experts: tensor<?x4xi32>, %gradient: tensor<?x4xf32>)
    -> tensor<?x16xf32> {
  %r = moe.route_grad %logits, %experts, %gradient {normalize = true, scale = 2.500000e+00 : f32}
      : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}

// One loss per sequence.
// CHECK-LABEL: func.func @balance_loss(
// CHECK: moe.balance_loss {{.*}} {top_k = 4 : i64} : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
func.func @balance_loss(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x16xf32>) {
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x16xf32>
}

// The choice that was made, of softmax affinities.
// CHECK-LABEL: func.func @balance_loss_chosen(
// CHECK: moe.balance_loss {{.*}} chosen(%{{.*}} : tensor<?x4xi32>) {softmax, top_k = 4 : i64} : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
// CHECK: moe.balance_loss_grad {{.*}} {softmax} : tensor<?x16xf32>, tensor<?xi32>, tensor<?x16xf32>, tensor<?xf32> -> tensor<?x16xf32>
// CHECK: moe.route_grad {{.*}} {normalize = false, scale = 1.600000e+01 : f32, softmax} : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
func.func @balance_loss_chosen(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>, %experts: tensor<?x4xi32>,
                               %gradient: tensor<?x4xf32>) -> (tensor<?x16xf32>, tensor<?x16xf32>) {
  %loss, %fractions = moe.balance_loss %logits, %offsets chosen(%experts : tensor<?x4xi32>) {softmax, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
  %a = moe.balance_loss_grad %logits, %offsets, %fractions, %loss {softmax}
      : tensor<?x16xf32>, tensor<?xi32>, tensor<?x16xf32>, tensor<?xf32> -> tensor<?x16xf32>
  %b = moe.route_grad %logits, %experts, %gradient {normalize = false, scale = 1.600000e+01 : f32, softmax}
      : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
  return %a, %b : tensor<?x16xf32>, tensor<?x16xf32>
}

// The fractions are constants.
// CHECK-LABEL: func.func @balance_loss_grad(
// CHECK: moe.balance_loss_grad {{.*}} : tensor<?x16xf32>, tensor<?xi32>, tensor<?x16xf32>, tensor<?xf32> -> tensor<?x16xf32>
func.func @balance_loss_grad(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>, %fractions: tensor<?x16xf32>,
                             %gradient: tensor<?xf32>) -> tensor<?x16xf32> {
  %r = moe.balance_loss_grad %logits, %offsets, %fractions, %gradient
      : tensor<?x16xf32>, tensor<?xi32>, tensor<?x16xf32>, tensor<?xf32> -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}

// The result is the table.
// CHECK-LABEL: func.func @scatter_add(
// CHECK: moe.scatter_add {{.*}} : tensor<?x64xf32>, tensor<?xi32>, tensor<100x64xf32> -> tensor<100x64xf32>
func.func @scatter_add(%rows: tensor<?x64xf32>, %ids: tensor<?xi32>, %init: tensor<100x64xf32>)
    -> tensor<100x64xf32> {
  %r = moe.scatter_add %rows, %ids, %init
      : tensor<?x64xf32>, tensor<?xi32>, tensor<100x64xf32> -> tensor<100x64xf32>
  return %r : tensor<100x64xf32>
}
