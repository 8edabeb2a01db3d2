// RUN: hadal-compile %S/../frontend/models/tiny --emit=graph -o %t.mlir
// RUN: hadal-opt %t.mlir --mla-specialize=page-tokens=32 | FileCheck %s
// RUN: hadal-opt %t.mlir --mla-specialize | FileCheck %s --check-prefix=SHAPE
// RUN: not hadal-opt %s --mla-specialize 2>&1 | FileCheck %s --check-prefix=ERROR

// @forward is gone; four functions serve in its place.
// CHECK-NOT: func.func @forward

// CHECK: func.func @prefill(
// CHECK-COUNT-2: mla.cache_append
// CHECK-NOT: mla.latent_attention
// CHECK: return %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x100xf32>, tensor<?x18xf32>, tensor<?x18xf32>

// CHECK: func.func @inspect(
// CHECK: moe.route
// CHECK: func.func @inspect_routed(
// CHECK: exec.name = "routes.1"

// Decode never expands the cache: the query is taken to the latent's space, and the sum back from
// it.
// CHECK: func.func @decode(
// CHECK: %[[QL:.*]] = linalg.{{contract|generic|batch_matmul|matmul}}
// CHECK: mla.latent_attention {{.*}}page_tokens = 32 : i64, scale = 0.288675129 : f32}
// CHECK-SAME: tensor<?x3x14xf32>, tensor<?x3x4xf32>, tensor<?x18xf32>, tensor<?x?xi32>, tensor<?xi32>
// CHECK: mla.latent_attention
// CHECK-NOT: mla.attention
// CHECK: return

// The cache holds 14 numbers of the latent and 4 of the rope key for a token, and nothing else.
// SHAPE: mla.cache_append {{.*}} tensor<?x14xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?x18xf32> -> tensor<?x18xf32>

// Keys that are no product of a latent and a parameter cannot be absorbed.
// ERROR: error: 'mla.attention' op wants keys and values that are slices of one product of a latent with a parameter
func.func @forward(%ids: tensor<?xi32> {exec.name = "token_ids"}, %positions: tensor<?xi32> {exec.name = "positions"},
                   %offsets: tensor<?xi32> {exec.name = "offsets"}, %rows: tensor<?xi32> {exec.name = "logit_row_ids"},
                   %qn: tensor<?x2x4xf32>, %qr: tensor<?x2x4xf32>, %kn: tensor<?x2x4xf32>, %kr: tensor<?x4xf32>, %v: tensor<?x2x4xf32>)
    -> (tensor<?x2x4xf32> {exec.name = "logits"}) {
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 1.0 : f32}
      : tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x4xf32>, tensor<?x2x4xf32>, tensor<?xi32> -> tensor<?x2x4xf32>
  return %o : tensor<?x2x4xf32>
}
