// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize --cse | FileCheck %s
// RUN: hadal-opt %s --moe-shard-experts="ranks=4 nodes=2 dispatch=fp8" --hadal-differentiate --fp8-quantize --moe-encode-exchanges --cse | FileCheck %s --check-prefix=RANKS
// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize=gradient-tile=128x128 --cse | FileCheck %s --check-prefix=BLOCKS

// Routed experts. Forward: the tokens' rows become codes before they are gathered, and both products
// gather codes and scales by themselves. What is kept of SwiGLU's inputs stands after each.
// CHECK-LABEL: func.func @layer_gradient(
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<?x300xf32> {hadal.gradient}, %[[E:[a-z0-9]*]]: {{.*}}, %[[W:[a-z0-9]*]]: {{.*}}, %[[DY:[a-z0-9]*]]: tensor<?x300xf32> {hadal.gradient_of_result
// CHECK: %[[SOURCE:.*]], %[[POSITION:.*]], %[[OFFSETS:.*]], %[[ACTIVE:.*]] = moe.plan %[[E]]
// CHECK-NOT: moe.dispatch
// CHECK: %[[Q:.*]], %[[S:.*]] = fp8.quantize %[[X]] {block = array<i64: 1, 128>, pow2}
// CHECK: %[[WG:.*]], %[[WGS:.*]] = fp8.quantize %gate
// CHECK: %[[G:.*]] = fp8.grouped_matmul %[[Q]], %[[WG]], %[[WGS]], %[[OFFSETS]], %[[ACTIVE]] source(%[[SOURCE]] : tensor<?xi32>) x_scale(%[[S]] : tensor<?x3xf32>) {block = array<i64: 128, 128>}
// CHECK: %[[GQ:.*]], %[[GS:.*]] = fp8.quantize %[[G]] {block = array<i64: 1, 128>}
// CHECK: %[[U:.*]] = fp8.grouped_matmul %[[Q]], {{.*}} source(%[[SOURCE]] : tensor<?xi32>) x_scale(%[[S]] : tensor<?x3xf32>)
// CHECK: %[[UQ:.*]], %[[US:.*]] = fp8.quantize %[[U]] {block = array<i64: 1, 128>}
// CHECK: %[[Y:.*]] = fp8.grouped_matmul
// CHECK: moe.combine %[[Y]], %[[POSITION]], %[[E]], %[[W]]

// Backward: the gradient becomes codes before it is gathered. V is down's input gradient of it, and
// nothing reads the experts' outputs: the routing weights' gradients are sums of H * V over a row,
// those of rows of one number that are combined, whose adjoint gives each row its weight, too.
// CHECK-NOT: %[[Y]]
// CHECK: %[[DQ:.*]], %[[DS:.*]] = fp8.quantize %[[DY]] {block = array<i64: 1, 128>, pow2}
// CHECK: %[[V:.*]] = fp8.grouped_matmul %[[DQ]], {{.*}} source(%[[SOURCE]] : tensor<?xi32>) x_scale(%[[DS]] : tensor<?x3xf32>) {block = array<i64: 128, 128>, transpose}
// CHECK: %[[GK:.*]] = fp8.dequantize %[[GQ]], %[[GS]]
// CHECK: %[[UK:.*]] = fp8.dequantize %[[UQ]], %[[US]]
// CHECK: %[[H:.*]] = linalg.generic {{.*}} ins(%[[GK]], %[[UK]]
// CHECK: %[[HV:.*]] = linalg.generic {{.*}} ["parallel", "reduction"]} ins(%[[H]], %[[V]]
// CHECK: %[[COLUMN:.*]] = tensor.expand_shape %[[HV]]
// CHECK: %[[EACH:.*]], %[[DW:.*]] = moe.combine_grad %[[COLUMN]], %[[POSITION]], %[[W]], %{{.*}} : tensor<?x1xf32>
// CHECK: %[[ROW:.*]] = tensor.collapse_shape %[[EACH]]
// CHECK: %[[DH:.*]] = linalg.generic {{.*}} ins(%[[V]], %[[ROW]]
// CHECK: %[[WH:.*]] = linalg.generic {{.*}} ins(%[[H]], %[[ROW]]

// Weight gradients read what travelled, turned: in tiles along the rows of each group, with powers of
// two; down's reads the weighted H.
// CHECK: %[[DR:.*]] = moe.dispatch %[[DQ]], %[[SOURCE]]
// CHECK: %[[DRS:.*]] = moe.dispatch %[[DS]], %[[SOURCE]]
// CHECK: %[[D:.*]] = fp8.dequantize %[[DR]], %[[DRS]] {block = array<i64: 1, 128>, pow2}
// CHECK: %[[DT:.*]], %[[DTS:.*]] = fp8.quantize %[[D]] offsets(%[[OFFSETS]] : tensor<9xi32>) {block = array<i64: 128, 1>, pow2}
// CHECK: %[[WHT:.*]], %[[WHTS:.*]] = fp8.quantize %[[WH]] offsets(%[[OFFSETS]] : tensor<9xi32>) {block = array<i64: 128, 1>}
// CHECK: fp8.weight_grad %[[DT]], %[[DTS]], %[[WHT]], %[[WHTS]],
// CHECK: linalg.generic {{.*}} ins(%[[DH]], %[[GK]], %[[UK]]
// CHECK: linalg.generic {{.*}} ins(%[[DH]], %[[GK]]
// CHECK: %[[XR:.*]] = moe.dispatch %[[Q]], %[[SOURCE]]
// CHECK: %[[XRS:.*]] = moe.dispatch %[[S]], %[[SOURCE]]
// CHECK: %[[XN:.*]] = fp8.dequantize %[[XR]], %[[XRS]] {block = array<i64: 1, 128>, pow2}
// CHECK: %[[XT:.*]], %[[XTS:.*]] = fp8.quantize %[[XN]] offsets(%[[OFFSETS]] : tensor<9xi32>) {block = array<i64: 128, 1>, pow2}
// CHECK-COUNT-2: fp8.weight_grad %{{.*}}, %{{.*}}, %[[XT]], %[[XTS]],
// CHECK-NOT: moe.combine_grad
// CHECK: return %{{.*}}, %{{.*}}, %[[DW]],

// On ranks codes and scales are exchanged, there at each hop once, and the gradient's the same way;
// what comes back are sums, as without FP8.
// RANKS-LABEL: func.func @layer_gradient(
// RANKS-SAME: %[[X:[a-z0-9]*]]: tensor<?x300xf32> {hadal.gradient}, {{.*}} %[[DY:[a-z0-9]*]]: tensor<?x300xf32> {hadal.gradient_of_result
// RANKS-NOT: moe.exchange {{.*}}tensor<?x300xf32>
// RANKS: %[[Q:.*]], %[[S:.*]] = fp8.quantize %[[X]] {block = array<i64: 1, 128>, pow2}
// RANKS: %[[Q0:.*]] = moe.dispatch %[[Q]], %[[SOURCE0:.*]] :
// RANKS: %[[S0:.*]] = moe.dispatch %[[S]], %[[SOURCE0]] :
// RANKS: %[[Q1:.*]] = moe.exchange %[[Q0]], {{.*}} rows({{.*}}) {parts = 2 : i64, segments = 1 : i64, stride = 2 : i64} : tensor<?x300xf8E4M3FN>
// RANKS: %[[S1:.*]] = moe.exchange %[[S0]], {{.*}} rows({{.*}}) {parts = 2 : i64, segments = 1 : i64, stride = 2 : i64} : tensor<?x3xf32>
// RANKS: %[[Q2:.*]] = moe.dispatch %[[Q1]], %[[SOURCE1:.*]] :
// RANKS: %[[S2:.*]] = moe.dispatch %[[S1]], %[[SOURCE1]] :
// RANKS: %[[Q3:.*]] = moe.exchange %[[Q2]], {{.*}} : tensor<?x300xf8E4M3FN>
// RANKS: %[[S3:.*]] = moe.exchange %[[S2]], {{.*}} : tensor<?x3xf32>
// RANKS: %[[SOURCE:.*]], %{{.*}}, %{{.*}}, %{{.*}} = moe.plan {{.*}} segments(
// RANKS-COUNT-2: fp8.grouped_matmul %[[Q3]], {{.*}} source(%[[SOURCE]] : tensor<?xi32>) x_scale(%[[S3]] : tensor<?x3xf32>)
// RANKS-COUNT-2: moe.exchange {{.*}} like({{.*}}tensor<?x300xf32>
// RANKS: %[[DQ:.*]], %[[DS:.*]] = fp8.quantize %[[DY]] {block = array<i64: 1, 128>, pow2}
// RANKS: moe.dispatch %[[DQ]], %[[SOURCE0]] :
// RANKS: moe.dispatch %[[DS]], %[[SOURCE0]] :
// RANKS-COUNT-2: moe.exchange {{.*}} : tensor<?x300xf8E4M3FN>
// RANKS: moe.exchange {{.*}} : tensor<?x3xf32>
// RANKS: fp8.grouped_matmul {{.*}} source(%[[SOURCE]] : {{.*}} transpose}
// RANKS: moe.combine_grad {{.*}} {partial} : tensor<?x1xf32>
// RANKS: moe.dispatch %[[Q3]], %[[SOURCE]] :
// RANKS-NOT: f8E4M3FN>, tensor<4xi32>

// Down's input gradient takes what travelled in other tiles: gathered, quantized again.
// BLOCKS-LABEL: func.func @layer_gradient(
// BLOCKS: moe.combine
// BLOCKS: %[[DQ:.*]], %[[DS:.*]] = fp8.quantize %{{.*}} {block = array<i64: 1, 128>, pow2}
// BLOCKS: %[[DR:.*]] = moe.dispatch %[[DQ]],
// BLOCKS: %[[D:.*]] = fp8.dequantize %[[DR]], %{{.*}} {block = array<i64: 1, 128>, pow2}
// BLOCKS: %[[B:.*]], %{{.*}} = fp8.quantize %[[D]] offsets(%{{.*}}) {block = array<i64: 128, 128>, pow2}
// BLOCKS: fp8.grouped_matmul %[[B]], {{.*}} x_scale({{.*}} transpose}
#id = affine_map<(m, n) -> (m, n)>
ml_program.global private mutable @gate(#ml_program.extern<tensor<8x200x300xf32>>) : tensor<8x200x300xf32>
ml_program.global private mutable @up(#ml_program.extern<tensor<8x200x300xf32>>) : tensor<8x200x300xf32>
ml_program.global private mutable @down(#ml_program.extern<tensor<8x300x200xf32>>) : tensor<8x300x200xf32>
func.func @layer(%x: tensor<?x300xf32> {hadal.gradient}, %e: tensor<?x3xi32>, %w: tensor<?x3xf32> {hadal.gradient})
    -> (tensor<?x300xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %source, %position, %offsets, %active = moe.plan %e {expert_count = 8 : i64}
      : tensor<?x3xi32> -> tensor<?xi32>, tensor<?x3xi32>, tensor<9xi32>, tensor<8xi32>
  %rows = moe.dispatch %x, %source : tensor<?x300xf32>, tensor<?xi32> -> tensor<?x300xf32>
  %wg = ml_program.global_load @gate : tensor<8x200x300xf32>
  %g = moe.grouped_matmul %rows, %wg, %offsets, %active
      : tensor<?x300xf32>, tensor<8x200x300xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x200xf32>
  %wu = ml_program.global_load @up : tensor<8x200x300xf32>
  %u = moe.grouped_matmul %rows, %wu, %offsets, %active
      : tensor<?x300xf32>, tensor<8x200x300xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x200xf32>
  %choices = tensor.dim %source, %c0 : tensor<?xi32>
  %empty = tensor.empty(%choices) : tensor<?x200xf32>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%g, %u : tensor<?x200xf32>, tensor<?x200xf32>) outs(%empty : tensor<?x200xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.negf %a : f32
    %t = math.exp %m : f32
    %one = arith.constant 1.0 : f32
    %d = arith.addf %one, %t : f32
    %s = arith.divf %a, %d : f32
    %p = arith.mulf %s, %b : f32
    linalg.yield %p : f32
  } -> tensor<?x200xf32>
  %wd = ml_program.global_load @down : tensor<8x300x200xf32>
  %y = moe.grouped_matmul %h, %wd, %offsets, %active
      : tensor<?x200xf32>, tensor<8x300x200xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x300xf32>
  %z = moe.combine %y, %position, %e, %w {expert_count = 8 : i64}
      : tensor<?x300xf32>, tensor<?x3xi32>, tensor<?x3xi32>, tensor<?x3xf32> -> tensor<?x300xf32>
  return %z : tensor<?x300xf32>
}
