// RUN: hadal-opt %s --split-input-file --hadal-differentiate --cse --verify-diagnostics | FileCheck %s

// A product's gradients are products, the gradient first. The weights' sum is over rows; a second
// use of the weights goes on from the first's sum. Gradients stand after the results and say what
// they are of; a global that the loss does not reach has none.
// CHECK-DAG: #[[MK:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[KN:.*]] = affine_map<(d0, d1, d2) -> (d2, d1)>
// CHECK-DAG: #[[KM:.*]] = affine_map<(d0, d1, d2) -> (d2, d0)>
// CHECK-DAG: #[[MN:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func.func @product(
// CHECK-NOT: hadal.differentiate
// CHECK-LABEL: func.func @product_gradient(
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32> {exec.name = "x", hadal.gradient}, %[[G:.*]]: tensor<?x16xf32> {exec.name = "gradient.y", hadal.gradient_of_result = 0 : i64})
// CHECK-SAME: -> (tensor<?x16xf32> {exec.name = "y", hadal.gradient}
// CHECK-SAME: tensor<?x8xf32> {exec.name = "gradient.x", hadal.gradient_of_argument = 0 : i64}
// CHECK-SAME: tensor<16x8xf32> {exec.name = "gradient.w", hadal.gradient_of = @w})
// CHECK: %[[W:.*]] = ml_program.global_load @w
// CHECK: %[[Y:.*]] = linalg.matmul
// CHECK: %[[Y2:.*]] = linalg.add
// CHECK: linalg.generic {indexing_maps = [#[[MK]], #[[KN]], #[[MN]]], iterator_types = ["parallel", "parallel", "reduction"]} ins(%[[G]], %[[W]]
// CHECK: %[[ZERO:.*]] = linalg.fill {{.*}} -> tensor<16x8xf32>
// CHECK: %[[FIRST:.*]] = linalg.generic {indexing_maps = [#[[KM]], #[[KN]], #[[MN]]], {{.*}} ins(%[[G]], %{{.*}}) outs(%[[ZERO]] : tensor<16x8xf32>)
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32, %[[O:.*]]: f32):
// CHECK-NEXT: %[[P:.*]] = arith.mulf %[[A]], %[[B]] : f32
// CHECK-NEXT: %[[S:.*]] = arith.addf %[[O]], %[[P]] : f32
// CHECK-NEXT: linalg.yield %[[S]]
// CHECK: %[[SECOND:.*]] = linalg.generic {indexing_maps = [#[[KM]], #[[KN]], #[[MN]]], {{.*}} ins(%[[G]], %[[X]] {{.*}} outs(%[[FIRST]] : tensor<16x8xf32>)
// CHECK: return %[[Y2]], %{{.*}}, %[[SECOND]]
#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>
ml_program.global private mutable @w(#ml_program.extern<tensor<16x8xf32>>) : tensor<16x8xf32>
ml_program.global private mutable @other(#ml_program.extern<tensor<16x8xf32>>) : tensor<16x8xf32>
func.func @product(%x: tensor<?x8xf32> {hadal.gradient, exec.name = "x"}) -> (tensor<?x16xf32> {hadal.gradient, exec.name = "y"})
    attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x8xf32>
  %o = ml_program.global_load @other : tensor<16x8xf32>
  %w = ml_program.global_load @w : tensor<16x8xf32>
  %e = tensor.empty(%rows) : tensor<?x16xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<?x8xf32>, tensor<16x8xf32>) outs(%z : tensor<?x16xf32>) -> tensor<?x16xf32>
  %x2 = linalg.exp ins(%x : tensor<?x8xf32>) outs(%x : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y1 = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x2, %w : tensor<?x8xf32>, tensor<16x8xf32>) outs(%z : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y2 = linalg.add ins(%y, %y1 : tensor<?x16xf32>, tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y2 : tensor<?x16xf32>
}

// -----

// RMSNorm: the weight's gradient sums over rows in their order; the one sum that a row needs for itself may be in any order, and
// has no division in its loop that is not the row's; all else is element-wise.
// CHECK-LABEL: func.func @norm_gradient(
// CHECK-SAME: %[[X:[a-z0-9]*]]: {{.*}}, %[[G:[a-z0-9]*]]: tensor<?x8xf32> {hadal.gradient_of_result = 0 : i64}
// CHECK: %[[SQUARES:.*]] = linalg.generic {{.*}} ["parallel", "reduction"]
// CHECK: %[[N:.*]] = ml_program.global_load @n
// CHECK: %[[Y:.*]] = linalg.generic
// CHECK: %[[DIRECT:.*]] = linalg.generic {{.*}} ["parallel", "parallel"]} ins(%[[G]], %[[SQUARES]], %[[N]]
// CHECK: %[[DSQUARES:.*]] = linalg.generic {{.*}} ["parallel", "reduction"]} ins(%[[G]], %[[X]], %[[SQUARES]], %[[N]] {{.*}} outs(%{{.*}} : tensor<?xf32>)
// CHECK: arith.addf %{{.*}}, %{{.*}} fastmath<reassoc> : f32
// CHECK: %[[DN:.*]] = linalg.generic {{.*}} ["parallel", "reduction"]} ins(%[[G]], %[[X]], %[[SQUARES]] {{.*}} outs(%{{.*}} : tensor<8xf32>)
// CHECK: arith.addf %{{.*}}, %{{.*}} : f32
// CHECK: %[[BYSQUARES:.*]] = linalg.generic {{.*}} ["parallel", "parallel"]} ins(%[[DSQUARES]], %[[X]]
// CHECK: %[[DX:.*]] = linalg.generic {{.*}} ["parallel", "parallel"]} ins(%[[DIRECT]], %[[BYSQUARES]]
// CHECK: return %[[Y]], %[[DX]], %[[DN]]
#id = affine_map<(t, h) -> (t, h)>
#t = affine_map<(t, h) -> (t)>
#h = affine_map<(t, h) -> (h)>
ml_program.global private mutable @n(#ml_program.extern<tensor<8xf32>>) : tensor<8xf32>
func.func @norm(%x: tensor<?x8xf32> {hadal.gradient}) -> (tensor<?x8xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e1 = tensor.empty(%rows) : tensor<?xf32>
  %z1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?xf32>) -> tensor<?xf32>
  %sq = linalg.generic {indexing_maps = [#id, #t], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<?x8xf32>) outs(%z1 : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.mulf %a, %a : f32
    %s = arith.addf %o, %m fastmath<reassoc> : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  %n = ml_program.global_load @n : tensor<8xf32>
  %e = tensor.empty(%rows) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#id, #t, #h, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %sq, %n : tensor<?x8xf32>, tensor<?xf32>, tensor<8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%a: f32, %q: f32, %g: f32, %o: f32):
    %size = arith.constant 8.0 : f32
    %eps = arith.constant 1.0e-6 : f32
    %one = arith.constant 1.0 : f32
    %mean = arith.divf %q, %size : f32
    %me = arith.addf %mean, %eps : f32
    %root = math.sqrt %me : f32
    %inv = arith.divf %one, %root : f32
    %sc = arith.mulf %a, %inv : f32
    %r = arith.mulf %g, %sc : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

// SwiGLU under a residual: the residual's gradient is the result's as it stands, each operand of
// the gate has one element-wise op.
// CHECK-LABEL: func.func @swiglu_gradient(
// CHECK-SAME: %[[X:[a-z0-9]*]]: {{.*}}, %[[A:[a-z0-9]*]]: {{.*}}, %[[B:[a-z0-9]*]]: {{.*}}, %[[G:[a-z0-9]*]]: tensor<?x8xf32> {hadal.gradient_of_result = 0 : i64}
// CHECK-COUNT-2: linalg.generic
// CHECK: %[[DA:.*]] = linalg.generic {{.*}} ["parallel", "parallel"]} ins(%[[G]], %[[A]], %[[B]]
// CHECK: %[[DB:.*]] = linalg.generic {{.*}} ["parallel", "parallel"]} ins(%[[G]], %[[A]] :
// CHECK-NOT: linalg.generic
// CHECK: return %{{.*}}, %[[G]], %[[DA]], %[[DB]]
#id = affine_map<(t, h) -> (t, h)>
func.func @swiglu(%x: tensor<?x8xf32> {hadal.gradient}, %a: tensor<?x8xf32> {hadal.gradient}, %b: tensor<?x8xf32> {hadal.gradient})
    -> (tensor<?x8xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%rows) : tensor<?x8xf32>
  %s = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%a, %b : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%g: f32, %u: f32, %o: f32):
    %one = arith.constant 1.0 : f32
    %n = arith.negf %g : f32
    %x0 = math.exp %n : f32
    %d = arith.addf %x0, %one : f32
    %q = arith.divf %g, %d : f32
    %r = arith.mulf %q, %u : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %s : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %r = arith.addf %p, %q : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

// Experts: a dispatch comes back as a combination with weights 1, rows gathered by other ids as a scatter; the router's weights have a
// gradient, its bias has none.
// CHECK-LABEL: func.func @experts_gradient(
// CHECK-SAME: %[[IDS:[a-z0-9]*]]: tensor<?xi32>, %[[LOGITS:[a-z0-9]*]]: {{.*}}, %[[G:[a-z0-9]*]]: tensor<?x8xf32>
// CHECK-SAME: -> (tensor<?x8xf32> {hadal.gradient}, tensor<?x4xf32> {hadal.gradient_of_argument = 1 : i64}, tensor<9x8xf32> {exec.name = "gradient.table", hadal.gradient_of = @table}, tensor<4x8x8xf32> {exec.name = "gradient.w", hadal.gradient_of = @w})
// CHECK: %[[X:.*]] = moe.dispatch
// CHECK: %[[WEIGHTS:.*]], %[[EXPERTS:.*]] = moe.route
// CHECK: %[[SOURCE:.*]], %[[POSITION:.*]], %[[OFFSETS:.*]], %[[ACTIVE:.*]] = moe.plan
// CHECK: %[[ROWS:.*]] = moe.dispatch %[[X]]
// CHECK: %[[Y:.*]] = moe.grouped_matmul
// CHECK: moe.combine
// CHECK: %[[DY:.*]], %[[DWEIGHTS:.*]] = moe.combine_grad %[[Y]], %[[POSITION]], %[[WEIGHTS]], %[[G]]
// CHECK: %[[DROWS:.*]] = moe.grouped_matmul %[[DY]], %{{.*}}, %[[OFFSETS]], %[[ACTIVE]] {transpose}
// CHECK: %[[DW:.*]] = moe.grouped_weight_grad %[[ROWS]], %[[DY]], %[[OFFSETS]], %[[ACTIVE]], %{{.*}}
// CHECK: %[[ONE:.*]] = arith.constant 1.0
// CHECK: %[[ONES:.*]] = linalg.fill ins(%[[ONE]] : f32) {{.*}} -> tensor<?x2xf32>
// CHECK: %[[DX:.*]] = moe.combine %[[DROWS]], %[[POSITION]], %[[EXPERTS]], %[[ONES]] {expert_count = 4 : i64}
// CHECK: %[[DLOGITS:.*]] = moe.route_grad %[[LOGITS]], %[[EXPERTS]], %[[DWEIGHTS]] {normalize = true, scale = 2.500000e+00 : f32}
// CHECK: %[[DTABLE:.*]] = moe.scatter_add %[[DX]], %[[IDS]], %{{.*}}
// CHECK: return %{{.*}}, %[[DLOGITS]], %[[DTABLE]], %[[DW]]
ml_program.global private mutable @w(#ml_program.extern<tensor<4x8x8xf32>>) : tensor<4x8x8xf32>
ml_program.global private mutable @bias(#ml_program.extern<tensor<4xf32>>) : tensor<4xf32>
ml_program.global private mutable @table(#ml_program.extern<tensor<9x8xf32>>) : tensor<9x8xf32>
func.func @experts(%ids: tensor<?xi32>, %logits: tensor<?x4xf32> {hadal.gradient}) -> (tensor<?x8xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %table = ml_program.global_load @table : tensor<9x8xf32>
  %x = moe.dispatch %table, %ids : tensor<9x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
  %bias = ml_program.global_load @bias : tensor<4xf32>
  %weights, %e = moe.route %logits, %bias {groups = 2 : i64, group_limit = 1 : i64, top_k = 2 : i64, normalize = true, scale = 2.5 : f32}
      : tensor<?x4xf32>, tensor<4xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %source, %position, %offsets, %active = moe.plan %e {expert_count = 4 : i64} : tensor<?x2xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<5xi32>, tensor<4xi32>
  %w = ml_program.global_load @w : tensor<4x8x8xf32>
  %rows = moe.dispatch %x, %source : tensor<?x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
  %y = moe.grouped_matmul %rows, %w, %offsets, %active : tensor<?x8xf32>, tensor<4x8x8xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x8xf32>
  %r = moe.combine %y, %position, %e, %weights {expert_count = 4 : i64} : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}

// -----

// Attention keeps the logarithms of its sums for the way back; the shared key's gradient sums over
// heads.
// CHECK-LABEL: func.func @attention_gradient(
// CHECK: %[[O:.*]], %[[LSE:.*]] = mla.attention
// CHECK: %[[DELTA:.*]] = linalg.generic {{.*}} ["parallel", "parallel", "reduction"]} ins(%[[O]], %[[G:[a-z0-9]*]] :
// CHECK: fastmath<reassoc>
// CHECK: %{{.*}}, %[[DQUERY:.*]], %{{.*}}, %[[DKEYS:.*]], %{{.*}} = mla.attention_grad {{.*}}, %[[LSE]], %[[DELTA]], %[[G]] {scale = 2.500000e-01 : f32}
// CHECK: %[[DKEY:.*]] = linalg.generic {{.*}} ["parallel", "parallel", "reduction"]} ins(%[[DKEYS]] : tensor<?x4x8xf32>) outs(%{{.*}} : tensor<?x8xf32>)
// CHECK: %[[BACK:.*]] = mla.rope %[[DQUERY]], %{{.*}}, %{{.*}} {adjoint, interleave = true}
// CHECK: return %[[O]], %[[BACK]], %[[DKEY]]
func.func @attention(%qn: tensor<?x4x12xf32>, %q: tensor<?x4x8xf32> {hadal.gradient}, %kn: tensor<?x4x12xf32>, %kr: tensor<?x8xf32> {hadal.gradient},
                     %v: tensor<?x4x10xf32>, %cos: tensor<?x4xf32>, %sin: tensor<?x4xf32>, %offsets: tensor<?xi32>)
    -> (tensor<?x4x10xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %qr = mla.rope %q, %cos, %sin {interleave = true} : tensor<?x4x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x4x8xf32>
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 0.25 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32> -> tensor<?x4x10xf32>
  return %o : tensor<?x4x10xf32>
}

// -----

// Slices that are all of their source are put together, without zeros and without sums.
// CHECK-LABEL: func.func @slices_gradient(
// CHECK-SAME: %[[X:[a-z0-9]*]]: {{.*}}, %[[A:[a-z0-9]*]]: tensor<?x3xf32> {hadal.gradient_of_result = 0 : i64}, %[[B:[a-z0-9]*]]: tensor<?x5xf32>
// CHECK-NOT: linalg
// CHECK: %[[E:.*]] = tensor.empty
// CHECK-NEXT: %[[HALF:.*]] = tensor.insert_slice %[[B]] into %[[E]][0, 3]
// CHECK-NEXT: %[[ALL:.*]] = tensor.insert_slice %[[A]] into %[[HALF]][0, 0]
// CHECK-NEXT: return %{{.*}}, %{{.*}}, %[[ALL]]
func.func @slices(%x: tensor<?x8xf32> {hadal.gradient}) -> (tensor<?x3xf32> {hadal.gradient}, tensor<?x5xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x8xf32>
  %a = tensor.extract_slice %x[0, 0] [%rows, 3] [1, 1] : tensor<?x8xf32> to tensor<?x3xf32>
  %b = tensor.extract_slice %x[0, 3] [%rows, 5] [1, 1] : tensor<?x8xf32> to tensor<?x5xf32>
  return %a, %b : tensor<?x3xf32>, tensor<?x5xf32>
}

// -----

// A loss of one number starts from 1, which no payload multiplies by.
// CHECK-LABEL: func.func @loss_gradient(
// CHECK: linalg.generic
// CHECK: %[[DX:.*]] = linalg.generic
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %{{.*}}: f32):
// CHECK-NEXT: %[[TWICE:.*]] = arith.addf %[[A]], %[[A]] : f32
// CHECK-NEXT: linalg.yield %[[TWICE]]
func.func @loss(%x: tensor<?xf32> {hadal.gradient}) -> tensor<f32> attributes {hadal.differentiate} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {indexing_maps = [affine_map<(t) -> (t)>, affine_map<(t) -> ()>], iterator_types = ["reduction"]} ins(%x : tensor<?xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.mulf %a, %a : f32
    %s = arith.addf %o, %m : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}

// -----

func.func @no_rule(%x: tensor<8xf32> {hadal.gradient}) -> (tensor<8xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  // expected-error@+1 {{'math.erf' op has no rule of differentiation, and the gradient goes through it}}
  %y = math.erf %x : tensor<8xf32>
  return %y : tensor<8xf32>
}

// -----

func.func @no_scalar_rule(%x: tensor<8xf32> {hadal.gradient}) -> (tensor<8xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  // expected-error@+1 {{'linalg.erf' op has no gradient: its payload uses math.erf}}
  %y = linalg.erf ins(%x : tensor<8xf32>) outs(%x : tensor<8xf32>) -> tensor<8xf32>
  return %y : tensor<8xf32>
}

// -----

func.func @no_sum(%x: tensor<8xf32> {hadal.gradient}, %z: tensor<f32>) -> tensor<f32> attributes {hadal.differentiate} {
  // expected-error@+1 {{'linalg.generic' op has no gradient: wants its reduction to be a sum}}
  %l = linalg.generic {indexing_maps = [affine_map<(t) -> (t)>, affine_map<(t) -> ()>], iterator_types = ["reduction"]} ins(%x : tensor<8xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.maximumf %o, %a : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}

// -----

// expected-error@+1 {{'func.func' op wants its first result to be the loss, a tensor of one float}}
func.func @no_loss(%x: tensor<8xf32> {hadal.gradient}) -> tensor<8xf32> attributes {hadal.differentiate} {
  return %x : tensor<8xf32>
}

// -----

// expected-error@+1 {{'func.func' op wants argument 0 with hadal.gradient to be a tensor of floats, got 'tensor<8xi32>'}}
func.func @no_float(%x: tensor<8xi32> {hadal.gradient}, %l: tensor<f32>) -> tensor<f32> attributes {hadal.differentiate} {
  return %l : tensor<f32>
}
