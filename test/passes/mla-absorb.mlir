// RUN: hadal-compile %S/../frontend/models/tiny --emit=graph -o %t.mlir
// RUN: hadal-opt %t.mlir --hadal-make-programs --mla-append-cache --mla-absorb=page-tokens=32 | FileCheck %s
// RUN: hadal-opt %t.mlir --mla-specialize | FileCheck %s --check-prefix=SHAPE
// RUN: hadal-opt %t.mlir --hadal-make-programs --mla-append-cache --mla-absorb=page-tokens=32 -o %t.passes.mlir
// RUN: hadal-opt %t.mlir --mla-specialize=page-tokens=32 | cmp - %t.passes.mlir
// RUN: not hadal-opt %s --mla-absorb 2>&1 | FileCheck %s --check-prefix=ERROR


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

// A latent that is not in the cache cannot be attended to.
// ERROR: error: 'mla.attention' op wants keys and values that are slices of one product of a latent with a parameter
func.func @f(%positions: tensor<?xi32> {exec.name = "positions"},
             %table: tensor<?x?xi32> {exec.name = "page_table"}, %offsets: tensor<?xi32>,
             %qn: tensor<?x2x4xf32>, %qr: tensor<?x2x4xf32>, %kn: tensor<?x2x4xf32>,
             %kr: tensor<?x4xf32>, %v: tensor<?x2x4xf32>) -> tensor<?x2x4xf32> {
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 1.0 : f32}
      : tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x4xf32>,
        tensor<?x2x4xf32>, tensor<?xi32> -> tensor<?x2x4xf32>
  return %o : tensor<?x2x4xf32>
}
