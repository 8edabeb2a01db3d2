// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize | FileCheck %s
// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize="swiglu=*.mlp.*:f32 attention-output=e4m3" | FileCheck %s --check-prefix=WIDE
// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize --hadal-recompute=policy=report | FileCheck %s --check-prefix=REPORT

#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>
#column = affine_map<(m, n) -> (n)>

// A function that is not differentiated keeps nothing.
// CHECK-LABEL: func.func @mlp(
// CHECK-NOT: fp8.dequantize
// CHECK: return

// SwiGLU's inputs are kept as codes where they are made; the forward half goes on with the numbers
// themselves, the backward half makes SwiGLU's output again of the codes, for down's weight
// gradient, and its adjoints of them, too.
// CHECK-LABEL: func.func @mlp_gradient(
// CHECK: %[[G:.*]] = fp8.matmul {{.*}}"layers.0.mlp.gate_proj"
// CHECK-NEXT: %[[GQ:.*]], %[[GS:.*]] = fp8.quantize %[[G]] {block = array<i64: 1, 128>, job.part = #{{.*}}"layers.0.mlp.gate_proj">} : tensor<?x192xf32>
// CHECK: %[[U:.*]] = fp8.matmul {{.*}}"layers.0.mlp.up_proj"
// CHECK-NEXT: %[[UQ:.*]], %[[US:.*]] = fp8.quantize %[[U]] {block = array<i64: 1, 128>
// CHECK: %[[H:.*]] = linalg.generic {{.*}} ins(%[[G]], %[[U]] :
// CHECK: fp8.quantize %[[H]] {block = array<i64: 1, 128>
// CHECK-NOT: %[[G]]
// CHECK-NOT: %[[U]]
// CHECK-NOT: %[[H]]
// CHECK: %[[DH:.*]] = fp8.matmul {{.*}}transpose{{.*}} : tensor<?x136xf8E4M3FN>
// CHECK-DAG: %[[G2:.*]] = fp8.dequantize %[[GQ]], %[[GS]]
// CHECK-DAG: %[[U2:.*]] = fp8.dequantize %[[UQ]], %[[US]]
// CHECK: %[[H2:.*]] = linalg.generic {{.*}} ins(%[[G2]], %[[U2]] :
// CHECK: fp8.quantize %[[H2]] {block = array<i64: 128, 1>
// CHECK: fp8.weight_grad {{.*}}"layers.0.mlp.down_proj"
// CHECK: linalg.generic {{.*}} ins(%[[DH]], %[[G2]], %[[U2]] :
// CHECK: linalg.generic {{.*}} ins(%[[DH]], %[[G2]] :
// CHECK: return

// WIDE-LABEL: func.func @mlp_gradient(
// WIDE: %[[G:.*]] = fp8.matmul
// WIDE: %[[U:.*]] = fp8.matmul
// WIDE: %[[H:.*]] = linalg.generic {{.*}} ins(%[[G]], %[[U]] :
// WIDE: fp8.quantize %[[H]] {block = array<i64: 1, 128>
// WIDE: fp8.quantize %[[H]] {block = array<i64: 128, 1>
// WIDE-NOT: fp8.dequantize
// WIDE: return

// The report's recomputation keeps the codes, and makes no forward product again.
// REPORT-LABEL: func.func @mlp_gradient(
// REPORT-NOT: hadal.recomputed
// REPORT: return
func.func @mlp(%x: tensor<?x136xf32> {hadal.gradient}, %wg: tensor<192x136xf32> {hadal.gradient},
               %wu: tensor<192x136xf32> {hadal.gradient}, %wd: tensor<136x192xf32> {hadal.gradient})
    -> (tensor<?x136xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%rows) : tensor<?x192xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x192xf32>) -> tensor<?x192xf32>
  %g = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.0.mlp.gate_proj">} ins(%x, %wg : tensor<?x136xf32>, tensor<192x136xf32>) outs(%z : tensor<?x192xf32>) -> tensor<?x192xf32>
  %u = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.0.mlp.up_proj">} ins(%x, %wu : tensor<?x136xf32>, tensor<192x136xf32>) outs(%z : tensor<?x192xf32>) -> tensor<?x192xf32>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%g, %u : tensor<?x192xf32>, tensor<?x192xf32>) outs(%e : tensor<?x192xf32>)
      attrs = {job.part = #job.part<"layers.0.mlp.swiglu">} {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.negf %a : f32
    %t = math.exp %m : f32
    %d = arith.addf %one, %t : f32
    %s = arith.divf %a, %d : f32
    %p = arith.mulf %s, %b : f32
    linalg.yield %p : f32
  } -> tensor<?x192xf32>
  %ey = tensor.empty(%rows) : tensor<?x136xf32>
  %zy = linalg.fill ins(%zero : f32) outs(%ey : tensor<?x136xf32>) -> tensor<?x136xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.0.mlp.down_proj">} ins(%h, %wd : tensor<?x192xf32>, tensor<136x192xf32>) outs(%zy : tensor<?x136xf32>) -> tensor<?x136xf32>
  return %y : tensor<?x136xf32>
}

// Element-wise ops in a chain, one with a number for each column, and what the adjoint of one reads
// of the other: all are made again of the codes.
// CHECK-LABEL: func.func @chain_gradient(
// CHECK: %[[A:.*]] = fp8.matmul
// CHECK-NEXT: %[[AQ:.*]], %[[AS:.*]] = fp8.quantize %[[A]] {block = array<i64: 1, 128>}
// CHECK: %[[A2:.*]] = fp8.dequantize %[[AQ]], %[[AS]] {block = array<i64: 1, 128>}
// CHECK: %[[B2:.*]] = linalg.generic {{.*}} ins(%[[A2]], %{{.*}} : tensor<?x192xf32>, tensor<192xf32>)
// CHECK: %[[C2:.*]] = linalg.mul ins(%[[B2]], %[[A2]] :
// CHECK: fp8.quantize %[[C2]] {block = array<i64: 128, 1>}
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[A2]] : tensor<?x192xf32>, tensor<?x192xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[B2]] : tensor<?x192xf32>, tensor<?x192xf32>)
func.func @chain(%x: tensor<?x136xf32>, %wa: tensor<192x136xf32> {hadal.gradient}, %bias: tensor<192xf32>, %wd: tensor<136x192xf32> {hadal.gradient})
    -> (tensor<?x136xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%rows) : tensor<?x192xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x192xf32>) -> tensor<?x192xf32>
  %a = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %wa : tensor<?x136xf32>, tensor<192x136xf32>) outs(%z : tensor<?x192xf32>) -> tensor<?x192xf32>
  %b = linalg.generic {indexing_maps = [#id, #column, #id], iterator_types = ["parallel", "parallel"]}
      ins(%a, %bias : tensor<?x192xf32>, tensor<192xf32>) outs(%e : tensor<?x192xf32>) {
  ^bb0(%i: f32, %j: f32, %o: f32):
    %s = arith.addf %i, %j : f32
    linalg.yield %s : f32
  } -> tensor<?x192xf32>
  %c = linalg.mul ins(%b, %a : tensor<?x192xf32>, tensor<?x192xf32>) outs(%e : tensor<?x192xf32>) -> tensor<?x192xf32>
  %ey = tensor.empty(%rows) : tensor<?x136xf32>
  %zy = linalg.fill ins(%zero : f32) outs(%ey : tensor<?x136xf32>) -> tensor<?x136xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%c, %wd : tensor<?x192xf32>, tensor<136x192xf32>) outs(%zy : tensor<?x136xf32>) -> tensor<?x136xf32>
  return %y : tensor<?x136xf32>
}

// What each row has a number for (a norm), or what is not of Linears alone (a residual), is no such
// chain: the weight gradient reads the output itself.
// CHECK-LABEL: func.func @norm_gradient(
// CHECK-NOT: fp8.dequantize
// CHECK: %[[N:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<?x136xf32>, tensor<?xf32>)
// CHECK-NOT: fp8.dequantize
// CHECK: fp8.quantize %[[N]] {block = array<i64: 128, 1>}
// CHECK-NOT: fp8.dequantize
// CHECK: return
func.func @norm(%x: tensor<?x136xf32>, %sums: tensor<?xf32>, %wa: tensor<136x136xf32> {hadal.gradient}, %wd: tensor<136x136xf32> {hadal.gradient})
    -> (tensor<?x136xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%rows) : tensor<?x136xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x136xf32>) -> tensor<?x136xf32>
  %a = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %wa : tensor<?x136xf32>, tensor<136x136xf32>) outs(%z : tensor<?x136xf32>) -> tensor<?x136xf32>
  %n = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%a, %sums : tensor<?x136xf32>, tensor<?xf32>) outs(%e : tensor<?x136xf32>) {
  ^bb0(%i: f32, %j: f32, %o: f32):
    %s = arith.mulf %i, %j : f32
    linalg.yield %s : f32
  } -> tensor<?x136xf32>
  %b = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%n, %wd : tensor<?x136xf32>, tensor<136x136xf32>) outs(%z : tensor<?x136xf32>) -> tensor<?x136xf32>
  %r = linalg.add ins(%x, %b : tensor<?x136xf32>, tensor<?x136xf32>) outs(%e : tensor<?x136xf32>) -> tensor<?x136xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%r, %wd : tensor<?x136xf32>, tensor<136x136xf32>) outs(%z : tensor<?x136xf32>) -> tensor<?x136xf32>
  return %y : tensor<?x136xf32>
}

// Of attention's output E5M6 is kept: attention's own backward half reads it, and o_proj's weight
// gradient turns it, with powers of two as scales.
// CHECK-LABEL: func.func @attention_gradient(
// CHECK: %[[O:.*]], %{{.*}} = mla.attention
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[O]]
// CHECK-NEXT: %[[KQ:.*]], %[[KS:.*]] = fp8.quantize %[[FLAT]] {block = array<i64: 1, 128>, format = "e5m6", job.part = #{{.*}}"layers.0.self_attn.o_proj">, pow2} : tensor<?x40xf32> -> tensor<?x60xi8>, tensor<?x1xf32>
// CHECK: %[[XQ:.*]], %[[XS:.*]] = fp8.quantize %[[FLAT]] {block = array<i64: 1, 128>, job.part = {{.*}}, pow2} : tensor<?x40xf32> -> tensor<?x40xf8E4M3FN>
// CHECK: fp8.matmul %[[XQ]], %{{.*}} x_scale(%[[XS]]
// CHECK: %[[BACK:.*]] = fp8.dequantize %[[KQ]], %[[KS]] {block = array<i64: 1, 128>, format = "e5m6", {{.*}}pow2}
// CHECK: %[[HEADS:.*]] = tensor.expand_shape %[[BACK]]
// CHECK: fp8.quantize %[[BACK]] {block = array<i64: 128, 1>, {{.*}}pow2}
// CHECK: linalg.generic {{.*}} ins(%[[HEADS]], %{{.*}} : tensor<?x4x10xf32>, tensor<?x4x10xf32>)
// CHECK: mla.attention_grad

// In E4M3 it is the forward product's codes that are kept.
// WIDE-LABEL: func.func @attention_gradient(
// WIDE: %[[XQ:.*]], %[[XS:.*]] = fp8.quantize {{.*}} {block = array<i64: 1, 128>, {{.*}}pow2} : tensor<?x40xf32> -> tensor<?x40xf8E4M3FN>
// WIDE: fp8.matmul %[[XQ]], %{{.*}} x_scale(%[[XS]]
// WIDE: fp8.dequantize %[[XQ]], %[[XS]]
func.func @attention(%qn: tensor<?x4x12xf32> {hadal.gradient}, %qr: tensor<?x4x8xf32>, %kn: tensor<?x4x12xf32>, %kr: tensor<?x8xf32>,
                     %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>, %w: tensor<32x40xf32> {hadal.gradient})
    -> (tensor<?x32xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %qn, %c0 : tensor<?x4x12xf32>
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 0.25 : f32, job.part = #job.part<"layers.0.self_attn">}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32> -> tensor<?x4x10xf32>
  %x = tensor.collapse_shape %o [[0], [1, 2]] : tensor<?x4x10xf32> into tensor<?x40xf32>
  %e = tensor.empty(%rows) : tensor<?x32xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x32xf32>) -> tensor<?x32xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.0.self_attn.o_proj">} ins(%x, %w : tensor<?x40xf32>, tensor<32x40xf32>) outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}
