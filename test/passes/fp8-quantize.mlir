// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize | FileCheck %s
// RUN: hadal-opt %s --fp8-quantize="accumulate=hopper interval=0" | FileCheck %s --check-prefix=HOPPER
// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize="format=e5m2 scales=pow2 gradient-tile=128x128 interval=32" | FileCheck %s --check-prefix=STUDY

#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#kn = affine_map<(m, n, k) -> (k, n)>
#mn = affine_map<(m, n, k) -> (m, n)>

// The function itself has a forward product.
// CHECK-LABEL: func.func @linear(
// CHECK: fp8.matmul
// CHECK-NOT: fp8.weight_grad
// CHECK: return

// The weights' codes are made once, for both directions; what is summed over tokens is in tiles of
// 128 tokens.
// CHECK-LABEL: func.func @linear_gradient(
// CHECK-SAME: %[[X:.*]]: tensor<?x136xf32> {hadal.gradient}, %[[W:.*]]: tensor<160x136xf32> {hadal.gradient}, %[[DY:.*]]: tensor<?x160xf32>
// CHECK: %[[WQ:.*]], %[[WS:.*]] = fp8.quantize %[[W]] {block = array<i64: 128, 128>} : tensor<160x136xf32> -> tensor<160x136xf8E4M3FN>, tensor<2x2xf32>
// CHECK: %[[XQ:.*]], %[[XS:.*]] = fp8.quantize %[[X]] {block = array<i64: 1, 128>}
// CHECK: %[[Y:.*]] = fp8.matmul %[[XQ]], %[[WQ]], %[[WS]] x_scale(%[[XS]] : tensor<?x2xf32>) {block = array<i64: 128, 128>}
// CHECK: %[[DQ:.*]], %[[DS:.*]] = fp8.quantize %[[DY]] {block = array<i64: 1, 128>}
// CHECK: %[[DX:.*]] = fp8.matmul %[[DQ]], %[[WQ]], %[[WS]] x_scale(%[[DS]] : tensor<?x2xf32>) {block = array<i64: 128, 128>, transpose}
// CHECK: %[[ZERO:.*]] = linalg.fill
// CHECK-DAG: %[[DT:.*]], %[[DTS:.*]] = fp8.quantize %[[DY]] {block = array<i64: 128, 1>} : tensor<?x160xf32> -> tensor<?x160xf8E4M3FN>, tensor<?x160xf32>
// CHECK-DAG: %[[XT:.*]], %[[XTS:.*]] = fp8.quantize %[[X]] {block = array<i64: 128, 1>}
// CHECK: %[[DW:.*]] = fp8.weight_grad %[[DT]], %[[DTS]], %[[XT]], %[[XTS]], %[[ZERO]] {block = array<i64: 128, 1>}
// CHECK: return %[[Y]], %[[DX]], %[[DW]]

// Nothing promotes: one scale for a row of either operand.
// HOPPER-LABEL: func.func @linear(
// HOPPER: %[[WQ:.*]], %[[WS:.*]] = fp8.quantize %{{.*}} {block = array<i64: 1, 0>} : tensor<160x136xf32> -> tensor<160x136xf8E4M3FN>, tensor<160x1xf32>
// HOPPER: %[[XQ:.*]], %[[XS:.*]] = fp8.quantize %{{.*}} {block = array<i64: 1, 0>} : tensor<?x136xf32> -> tensor<?x136xf8E4M3FN>, tensor<?x1xf32>
// HOPPER: fp8.matmul %[[XQ]], %[[WQ]], %[[WS]] x_scale(%[[XS]] : tensor<?x1xf32>) {accumulate = "hopper", block = array<i64: 1, 0>, interval = 0 : i64}

// A tile of 128 rows has one scale, which each of its rows is given: ones come back as scales.
// STUDY-LABEL: func.func @linear_gradient(
// STUDY: fp8.quantize %{{.*}} {block = array<i64: 128, 128>, format = "e5m2", pow2}
// STUDY: fp8.matmul {{.*}} {block = array<i64: 128, 128>, interval = 32 : i64}
// STUDY: %[[DQ:.*]], %[[DS:.*]] = fp8.quantize %{{.*}} {block = array<i64: 128, 128>, format = "e5m2", pow2} : tensor<?x160xf32> -> tensor<?x160xf8E5M2>, tensor<?x2xf32>
// STUDY: %[[ONES:.*]], %{{.*}} = fp8.quantize %{{.*}} {block = array<i64: 1, 1>, pow2}
// STUDY: %[[BACK:.*]] = fp8.dequantize %[[ONES]], %[[DS]] {block = array<i64: 128, 1>} : tensor<?x2xf8E4M3FN>, tensor<?x2xf32>
// STUDY: %[[ROWS:.*]] = linalg.generic {{.*}} ins(%[[BACK]]
// STUDY: fp8.matmul %[[DQ]], %{{.*}} x_scale(%[[ROWS]] : tensor<?x2xf32>) {block = array<i64: 128, 128>, interval = 32 : i64, transpose}
// STUDY: fp8.weight_grad {{.*}} {block = array<i64: 128, 1>, interval = 32 : i64}
func.func @linear(%x: tensor<?x136xf32> {hadal.gradient}, %w: tensor<160x136xf32> {hadal.gradient})
    -> (tensor<?x160xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%rows) : tensor<?x160xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x160xf32>) -> tensor<?x160xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<?x136xf32>, tensor<160x136xf32>) outs(%z : tensor<?x160xf32>) -> tensor<?x160xf32>
  return %y : tensor<?x160xf32>
}

// Weights that lie [K, N], and tokens of a number that is known: the forward product is what sums
// over the weights' rows, and a weight gradient is not taken for a product.
// CHECK-LABEL: func.func @static_gradient(
// CHECK: fp8.matmul {{.*}} {block = array<i64: 128, 128>, transpose}
// CHECK: fp8.matmul {{.*}} {block = array<i64: 128, 128>} : tensor<40x160xf8E4M3FN>
// CHECK: fp8.weight_grad {{.*}} : tensor<40x136xf8E4M3FN>, tensor<1x136xf32>, tensor<40x160xf8E4M3FN>, tensor<1x160xf32>, tensor<136x160xf32>
func.func @static(%x: tensor<40x136xf32> {hadal.gradient}, %w: tensor<136x160xf32> {hadal.gradient})
    -> (tensor<40x160xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<40x160xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<40x160xf32>) -> tensor<40x160xf32>
  %y = linalg.matmul indexing_maps = [#mk, #kn, #mn] ins(%x, %w : tensor<40x136xf32>, tensor<136x160xf32>) outs(%z : tensor<40x160xf32>) -> tensor<40x160xf32>
  return %y : tensor<40x160xf32>
}

// Two Linears of one input: it is quantized once for both.
// CHECK-LABEL: func.func @pair(
// CHECK: %[[XQ:.*]], %[[XS:.*]] = fp8.quantize %{{.*}} {block = array<i64: 1, 128>}
// CHECK: fp8.matmul %[[XQ]], %{{.*}} x_scale(%[[XS]]
// CHECK-NOT: {block = array<i64: 1, 128>}
// CHECK: fp8.matmul %[[XQ]], %{{.*}} x_scale(%[[XS]]
func.func @pair(%x: tensor<?x136xf32>, %v: tensor<160x136xf32>, %w: tensor<160x136xf32>)
    -> (tensor<?x160xf32>, tensor<?x160xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%rows) : tensor<?x160xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x160xf32>) -> tensor<?x160xf32>
  %a = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %v : tensor<?x136xf32>, tensor<160x136xf32>) outs(%z : tensor<?x160xf32>) -> tensor<?x160xf32>
  %b = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<?x136xf32>, tensor<160x136xf32>) outs(%z : tensor<?x160xf32>) -> tensor<?x160xf32>
  return %a, %b : tensor<?x160xf32>, tensor<?x160xf32>
}

// Weights of other elements are quantized as they are; those that are codes already stay.
// CHECK-LABEL: func.func @stored(
// CHECK-SAME: %[[X:.*]]: tensor<?x136xf32>, %[[V:.*]]: tensor<160x136xbf16>, %[[Q:.*]]: tensor<160x136xf8E4M3FN>, %[[S:.*]]: tensor<2x2xf32>)
// CHECK: fp8.quantize %[[V]] {block = array<i64: 128, 128>} : tensor<160x136xbf16> -> tensor<160x136xf8E4M3FN>, tensor<2x2xf32>
// CHECK: %[[XQ:.*]], %[[XS:.*]] = fp8.quantize %[[X]]
// CHECK: fp8.matmul %[[XQ]], %[[Q]], %[[S]] x_scale(%[[XS]]
func.func @stored(%x: tensor<?x136xf32>, %v: tensor<160x136xbf16>, %q: tensor<160x136xf8E4M3FN>, %s: tensor<2x2xf32>)
    -> (tensor<?x160xf32>, tensor<?x160xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%rows) : tensor<?x160xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x160xf32>) -> tensor<?x160xf32>
  %a = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %v : tensor<?x136xf32>, tensor<160x136xbf16>) outs(%z : tensor<?x160xf32>) -> tensor<?x160xf32>
  %w = fp8.dequantize %q, %s {block = array<i64: 128, 128>} : tensor<160x136xf8E4M3FN>, tensor<2x2xf32> -> tensor<160x136xf32>
  %b = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<?x136xf32>, tensor<160x136xf32>) outs(%z : tensor<?x160xf32>) -> tensor<?x160xf32>
  return %a, %b : tensor<?x160xf32>, tensor<?x160xf32>
}

// Tiles along tokens begin anew with each group.
// CHECK-LABEL: func.func @experts_gradient(
// CHECK-SAME: %[[X:.*]]: tensor<?x136xf32> {hadal.gradient}, %[[W:.*]]: tensor<6x96x136xf32> {hadal.gradient}, %[[O:.*]]: tensor<7xi32>, %[[A:.*]]: tensor<6xi32>, %[[DY:.*]]: tensor<?x96xf32>
// CHECK: %[[WQ:.*]], %[[WS:.*]] = fp8.quantize %[[W]] {block = array<i64: 128, 128>} : tensor<6x96x136xf32> -> tensor<6x96x136xf8E4M3FN>, tensor<6x1x2xf32>
// CHECK: %[[XQ:.*]], %[[XS:.*]] = fp8.quantize %[[X]] {block = array<i64: 1, 128>}
// CHECK: fp8.grouped_matmul %[[XQ]], %[[WQ]], %[[WS]], %[[O]], %[[A]] x_scale(%[[XS]] : tensor<?x2xf32>) {block = array<i64: 128, 128>}
// CHECK: fp8.grouped_matmul %{{.*}}, %[[WQ]], %[[WS]], %[[O]], %[[A]] x_scale(%{{.*}} : tensor<?x1xf32>) {block = array<i64: 128, 128>, transpose}
// CHECK-DAG: fp8.quantize %[[DY]] offsets(%[[O]] : tensor<7xi32>) {block = array<i64: 128, 1>}
// CHECK-DAG: fp8.quantize %[[X]] offsets(%[[O]] : tensor<7xi32>) {block = array<i64: 128, 1>}
// CHECK: fp8.weight_grad {{.*}} offsets(%[[O]] : tensor<7xi32>) active(%[[A]] : tensor<6xi32>) {block = array<i64: 128, 1>}
// STUDY-LABEL: func.func @experts_gradient(
// STUDY: fp8.quantize %{{.*}} offsets(%{{.*}} : tensor<7xi32>) {block = array<i64: 128, 128>, format = "e5m2", pow2}
// STUDY: fp8.dequantize %{{.*}} offsets(%{{.*}} : tensor<7xi32>) {block = array<i64: 128, 1>}
func.func @experts(%x: tensor<?x136xf32> {hadal.gradient}, %w: tensor<6x96x136xf32> {hadal.gradient}, %offsets: tensor<7xi32>, %active: tensor<6xi32>)
    -> (tensor<?x96xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %y = moe.grouped_matmul %x, %w, %offsets, %active : tensor<?x136xf32>, tensor<6x96x136xf32>, tensor<7xi32>, tensor<6xi32> -> tensor<?x96xf32>
  return %y : tensor<?x96xf32>
}

// Rows that are gathered for the forward product are gathered for tiles along tokens, too.
// CHECK-LABEL: func.func @gathered_gradient(
// CHECK: fp8.grouped_matmul {{.*}} source(%[[SOURCE:.*]] : tensor<?xi32>) x_scale(
// CHECK: %[[ROWS:.*]] = moe.dispatch %{{.*}}, %[[SOURCE]]
// CHECK: fp8.quantize %[[ROWS]] offsets(
// CHECK: fp8.weight_grad
func.func @gathered(%x: tensor<?x136xf32>, %w: tensor<6x96x136xf32> {hadal.gradient}, %offsets: tensor<7xi32>, %active: tensor<6xi32>, %source: tensor<?xi32>)
    -> (tensor<?x96xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %y = moe.grouped_matmul %x, %w, %offsets, %active source(%source : tensor<?xi32>) : tensor<?x136xf32>, tensor<6x96x136xf32>, tensor<7xi32>, tensor<6xi32> -> tensor<?x96xf32>
  return %y : tensor<?x96xf32>
}

// Of a model: the head, gates and eh_proj stay, and so do products of activations.
// CHECK-LABEL: func.func @model(
// CHECK: fp8.quantize %{{.*}} {block = array<i64: 128, 128>, {{.*}}"layers.1.self_attn.kv_a_proj_with_mqa"
// CHECK-NOT: fp8.
// CHECK: linalg.matmul {{.*}}"layers.1.mlp.gate"
// CHECK-NOT: fp8.
// CHECK: linalg.matmul {{.*}}"layers.2.eh_proj"
// CHECK-NOT: fp8.
// CHECK: linalg.matmul {{.*}}"lm_head"
// CHECK: fp8.matmul {{.*}}"layers.1.self_attn.kv_a_proj_with_mqa"
// CHECK-NOT: fp8.
// CHECK: linalg.batch_matmul
// CHECK: linalg.matmul
// CHECK-NOT: fp8.
// CHECK: return
func.func @model(%x: tensor<?x32xf32>, %w: tensor<32x32xf32>, %p: tensor<2x4x8xf32>, %v: tensor<2x8x4xf32>, %q: tensor<4x8xf32>)
    -> (tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>, tensor<2x4x4xf32>, tensor<4x4xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x32xf32>
  %e = tensor.empty(%rows) : tensor<?x32xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x32xf32>) -> tensor<?x32xf32>
  %gate = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.1.mlp.gate">} ins(%x, %w : tensor<?x32xf32>, tensor<32x32xf32>) outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
  %eh = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.2.eh_proj">} ins(%x, %w : tensor<?x32xf32>, tensor<32x32xf32>) outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
  %head = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"lm_head">} ins(%x, %w : tensor<?x32xf32>, tensor<32x32xf32>) outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
  %kv = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.1.self_attn.kv_a_proj_with_mqa">} ins(%x, %w : tensor<?x32xf32>, tensor<32x32xf32>) outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
  %eb = tensor.empty() : tensor<2x4x4xf32>
  %zb = linalg.fill ins(%zero : f32) outs(%eb : tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %heads = linalg.batch_matmul ins(%p, %v : tensor<2x4x8xf32>, tensor<2x8x4xf32>) outs(%zb : tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %es = tensor.empty() : tensor<4x4xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<4x4xf32>) -> tensor<4x4xf32>
  %keys = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
      ins(%q : tensor<4x8xf32>) outs(%q : tensor<4x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %n = arith.negf %a : f32
    linalg.yield %n : f32
  } -> tensor<4x8xf32>
  %scores = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%q, %keys : tensor<4x8xf32>, tensor<4x8xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %gate, %eh, %head, %kv, %heads, %scores : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>, tensor<2x4x4xf32>, tensor<4x4xf32>
}
