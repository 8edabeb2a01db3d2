// RUN: hadal-opt %s --moe-shard-experts="ranks=4" | FileCheck %s --check-prefixes=CHECK,ONE
// RUN: hadal-opt %s --moe-shard-experts="ranks=4 nodes=2" | FileCheck %s --check-prefixes=CHECK,TWO
// RUN: hadal-opt %s --moe-shard-experts="ranks=1" | FileCheck %s --check-prefix=SAME
// RUN: hadal-opt %s --moe-shard-experts="ranks=4 nodes=2" --hadal-differentiate --hadal-accumulate-gradients --moe-fuse-dispatch --cse | FileCheck %s --check-prefix=GRADIENT
// RUN: not hadal-opt %s --moe-shard-experts="ranks=3" 2>&1 | FileCheck %s --check-prefix=POWER
// RUN: not hadal-opt %s --moe-shard-experts="ranks=4 nodes=3" 2>&1 | FileCheck %s --check-prefix=NODES
// RUN: not hadal-opt %s --moe-shard-experts="ranks=16" 2>&1 | FileCheck %s --check-prefix=SHARE
// RUN: not hadal-opt %s --moe-shard-experts="ranks=4 dispatch=fp4" 2>&1 | FileCheck %s --check-prefix=DISPATCH
// RUN: not hadal-opt %s --moe-shard-experts="ranks=4 combine=fp8" 2>&1 | FileCheck %s --check-prefix=COMBINE

// DISPATCH: error: moe-shard-experts wants dispatch to be fp32, bf16 or fp8, got fp4
// COMBINE: error: moe-shard-experts wants combine to be fp32 or bf16, got fp8
// POWER: error: moe-shard-experts wants ranks (3) to be a power of two: each rank's experts are a subtree of the halving tree
// NODES: error: moe-shard-experts wants nodes (3) to divide ranks (4)
// SHARE: 'moe.plan' op wants E (8) to be a multiple of ranks (16)

// One rank has all experts.
// SAME-NOT: exchange
// SAME: tensor<8x24x64xf32>

// A stack of experts becomes this rank's share, a matrix stays. A trainable says so.
// CHECK: module attributes {job.trainables = [#job.trainable<name = "layers.3.mlp.experts.{}.up", count = 2, sharded = true>, #job.trainable<name = "norm">]}
// ONE: @"layers.3.mlp.experts.{}.up"({{.*}}) : tensor<2x24x64xf32> {hadal.segment_owners = array<i64: 0, 1, 2, 3>}
// TWO: @"layers.3.mlp.experts.{}.up"({{.*}}) : tensor<2x24x64xf32> {hadal.segment_owners = array<i64: 0, 2, 1, 3>}

// Rows, their weights and the numbers of their experts go to the ranks that have one, in one step;
// from there they are planned by source.
// CHECK-LABEL: func.func @loss(
// ONE-SAME: exec.registers = ["tokens", "L3.0.rows", "L3.0.choices"]
// TWO-SAME: exec.registers = ["tokens", "L3.0.rows", "L3.0.choices", "L3.1.rows", "L3.1.choices"]
// ONE: %[[SOURCE:.*]], %[[SLOTS:.*]], %[[IDS:.*]], %[[SEND:.*]] = moe.plan_sends {{.*}} {expert_count = 8 : i64, job.part = #job.part<"layers.3.mlp">, parts = 4 : i64, segments = 1 : i64}
// ONE-NEXT: %[[X:.*]] = moe.dispatch %{{.*}}, %[[SOURCE]] {job.part = #job.part<"layers.3.mlp">} : tensor<?x64xf32>
// ONE-NEXT: %[[W:.*]] = moe.dispatch %{{.*}}, %[[SOURCE]] {job.part = #job.part<"layers.3.mlp">} : tensor<?x3xf32>
// ONE-NEXT: %[[RECEIVE:.*]], %[[N:.*]], %[[CHOICES:.*]] = moe.exchange_counts %[[SEND]] {choices_register = "L3.0.choices", job.part = #job.part<"layers.3.mlp">, parts = 4 : i64, rows_register = "L3.0.rows", segments = 1 : i64, stride = 1 : i64}
// ONE-NEXT: %[[THERE:.*]] = moe.exchange %[[IDS]], %[[SEND]], %[[RECEIVE]] rows(%[[N]]) {job.part = #job.part<"layers.3.mlp">, parts = 4 : i64
// ONE-NEXT: moe.exchange %[[X]], %[[SEND]], %[[RECEIVE]] rows(%[[N]])
// ONE-NEXT: %[[WEIGHTS:.*]] = moe.exchange %[[W]], %[[SEND]], %[[RECEIVE]] rows(%[[N]])
// ONE-NEXT: %{{.*}}, %[[POSITION:.*]], %[[OFFSETS:.*]], %{{.*}} = moe.plan %[[THERE]] segments(%[[RECEIVE]] : tensor<8xi32>) choices(%[[CHOICES]]) {expert_count = 2 : i64, job.part = #job.part<"layers.3.mlp">}
// ONE: moe.grouped_matmul {{.*}} tensor<2x24x64xf32>, tensor<9xi32>, tensor<8xi32>

// A part's sum comes back, and the halving tree over parts is the rest.
// ONE: %[[PART:.*]] = moe.combine %{{.*}}, %[[POSITION]], %[[THERE]], %[[WEIGHTS]] {expert_count = 2 : i64, partial}
// ONE-NEXT: %[[BACK:.*]] = moe.exchange %[[PART]], %[[RECEIVE]], %[[SEND]] like(%[[SOURCE]] : tensor<?xi32>)
// ONE: %[[Y:.*]] = moe.combine %[[BACK]], %[[SLOTS]], {{.*}} {expert_count = 4 : i64, partial}
// ONE: return %[[Y]]

// To the nodes first, and from the rank that has the same place there to those that have the
// experts. Four sources, by place and node.
// TWO: moe.plan_sends {{.*}} {expert_count = 8 : i64, job.part = #job.part<"layers.3.mlp">, parts = 2 : i64, segments = 1 : i64}
// TWO: %[[FIRST:.*]], %{{.*}}, %{{.*}} = moe.exchange_counts {{.*}} rows_register = "L3.0.rows", segments = 1 : i64, stride = 2 : i64}
// TWO: moe.plan_sends {{.*}} segments(%[[FIRST]] : tensor<4xi32>) {expert_count = 4 : i64, job.part = #job.part<"layers.3.mlp">, parts = 2 : i64, segments = 2 : i64}
// TWO: %[[SECOND:.*]], %{{.*}}, %[[CHOICES:.*]] = moe.exchange_counts {{.*}} rows_register = "L3.1.rows", segments = 2 : i64, stride = 1 : i64}
// TWO: moe.plan {{.*}} segments(%[[SECOND]] : tensor<8xi32>) choices(%[[CHOICES]]) {expert_count = 2 : i64, job.part = #job.part<"layers.3.mlp">}
// TWO: moe.combine {{.*}} {expert_count = 2 : i64, partial}
// TWO: moe.exchange {{.*}} {parts = 2 : i64, segments = 2 : i64, stride = 1 : i64}
// TWO: moe.combine {{.*}} {expert_count = 2 : i64, partial}
// TWO: moe.exchange {{.*}} {parts = 2 : i64, segments = 1 : i64, stride = 2 : i64}
// TWO: moe.combine {{.*}} {expert_count = 2 : i64, partial}

// Gradients go the same ways; those of weights have a part for each source, in a sum of its own.
// GRADIENT: @"sum.gradient.layers.3.mlp.experts.{}.up"({{.*}}) : tensor<8x24x64xf32> {{{.*}}hadal.segment_owners = array<i64: 0, 2, 1, 3>}
// GRADIENT-LABEL: func.func @gradients(
// The sum of parts needs no gradient of its weights: each row gets its token's gradient.
// GRADIENT: moe.dispatch %arg3
// GRADIENT-NEXT: moe.exchange {{.*}} rows(%{{.*}}) {parts = 2 : i64, segments = 1 : i64, stride = 2 : i64}
// GRADIENT: moe.exchange {{.*}} rows(%{{.*}}) {parts = 2 : i64, segments = 2 : i64, stride = 1 : i64}
// GRADIENT: moe.combine_grad {{.*}} {partial}
// GRADIENT: moe.grouped_weight_grad {{.*}} -> tensor<8x24x64xf32>
// GRADIENT: moe.exchange {{.*}} like({{.*}}parts = 2 : i64, segments = 2 : i64, stride = 1 : i64}
// GRADIENT: moe.exchange {{.*}} like({{.*}}parts = 2 : i64, segments = 1 : i64, stride = 2 : i64}
module attributes {job.trainables = [#job.trainable<name = "layers.3.mlp.experts.{}.up", count = 8>, #job.trainable<name = "norm">]} {
ml_program.global private mutable @"layers.3.mlp.experts.{}.up"(#ml_program.extern : tensor<8x24x64xf32>) : tensor<8x24x64xf32>
func.func @loss(%x: tensor<?x64xf32> {hadal.gradient}, %e: tensor<?x3xi32>, %w: tensor<?x3xf32> {hadal.gradient})
    -> (tensor<?x24xf32> {hadal.gradient, exec.name = "y"}) attributes {hadal.differentiate, exec.registers = ["tokens"]} {
  %source, %position, %offsets, %active = moe.plan %e {expert_count = 8 : i64, job.part = #job.part<"layers.3.mlp">}
      : tensor<?x3xi32> -> tensor<?xi32>, tensor<?x3xi32>, tensor<9xi32>, tensor<8xi32>
  %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %up = ml_program.global_load @"layers.3.mlp.experts.{}.up" : tensor<8x24x64xf32>
  %h = moe.grouped_matmul %rows, %up, %offsets, %active
      : tensor<?x64xf32>, tensor<8x24x64xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x24xf32>
  %y = moe.combine %h, %position, %e, %w {expert_count = 8 : i64}
      : tensor<?x24xf32>, tensor<?x3xi32>, tensor<?x3xi32>, tensor<?x3xf32> -> tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

// What counts the loads goes on to count the choices of this rank's tokens, of all experts.
// CHECK-LABEL: func.func @loads(
// CHECK: moe.plan %arg1 {expert_count = 8 : i64}
// CHECK-NEXT: moe.plan_sends
// CHECK: return {{.*}}, %offsets{{[_0-9]*}} : tensor<?x24xf32>, tensor<9xi32>
func.func @loads(%x: tensor<?x64xf32>, %e: tensor<?x3xi32>, %w: tensor<?x3xf32>) -> (tensor<?x24xf32>, tensor<9xi32>) {
  %source, %position, %offsets, %active = moe.plan %e {expert_count = 8 : i64}
      : tensor<?x3xi32> -> tensor<?xi32>, tensor<?x3xi32>, tensor<9xi32>, tensor<8xi32>
  %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %up = ml_program.global_load @"layers.3.mlp.experts.{}.up" : tensor<8x24x64xf32>
  %h = moe.grouped_matmul %rows, %up, %offsets, %active
      : tensor<?x64xf32>, tensor<8x24x64xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x24xf32>
  %y = moe.combine %h, %position, %e, %w {expert_count = 8 : i64}
      : tensor<?x24xf32>, tensor<?x3xi32>, tensor<?x3xi32>, tensor<?x3xf32> -> tensor<?x24xf32>
  return %y, %offsets : tensor<?x24xf32>, tensor<9xi32>
}
}
