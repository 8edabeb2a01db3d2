// RUN: hadal-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize --cse | FileCheck %s

// A result's dynamic size is that of the operand it comes from.

// CHECK-LABEL: func.func @rotation(
// CHECK-SAME: %[[POSITIONS:.*]]: tensor<?xi32>)
// CHECK: %[[T:.*]] = tensor.dim %[[POSITIONS]], %c0
// CHECK: return %[[T]], %[[T]]
func.func @rotation(%positions: tensor<?xi32>) -> (index, index) {
  %c0 = arith.constant 0 : index
  %cos, %sin = mla.rotation %positions {frequencies = dense<1.0> : tensor<2xf32>, magnitude = 1.0 : f32}
      : tensor<?xi32> -> tensor<?x2xf32>, tensor<?x2xf32>
  %a = tensor.dim %cos, %c0 : tensor<?x2xf32>
  %b = tensor.dim %sin, %c0 : tensor<?x2xf32>
  return %a, %b : index, index
}

// CHECK-LABEL: func.func @attention(
// CHECK-SAME: %[[Q:.*]]: tensor<?x4x12xf32>, %{{.*}}: tensor<?x4x8xf32>
// CHECK: %[[T:.*]] = tensor.dim %[[Q]], %c0
// CHECK: return %[[T]]
func.func @attention(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                     %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>) -> index {
  %c0 = arith.constant 0 : index
  %o = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 0.25 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>
  %t = tensor.dim %o, %c0 : tensor<?x4x10xf32>
  return %t : index
}

// Each gradient has its operand's size, the shared key's a head too.
// CHECK-LABEL: func.func @attention_grad(
// CHECK-SAME: %[[Q:[a-z0-9_]+]]: tensor<?x4x12xf32>, %{{[a-z0-9_]+}}: tensor<?x4x8xf32>, %{{[a-z0-9_]+}}: tensor<?x4x12xf32>, %[[K:[a-z0-9_]+]]: tensor<?x8xf32>
// CHECK-DAG: %[[T:.*]] = tensor.dim %[[Q]], %c0
// CHECK-DAG: %[[S:.*]] = tensor.dim %[[K]], %c0
// CHECK: return %[[T]], %[[S]], %[[T]]
func.func @attention_grad(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                          %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>,
                          %delta: tensor<?x4xf32>, %gradient: tensor<?x4x10xf32>) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %o, %lse = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 0.25 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>, tensor<?x4xf32>
  %dqn, %dqr, %dkn, %dkr, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets, %lse, %delta,
        %gradient {scale = 0.25 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  %a = tensor.dim %dqn, %c0 : tensor<?x4x12xf32>
  %b = tensor.dim %dkr, %c0 : tensor<?x4x8xf32>
  %c = tensor.dim %lse, %c0 : tensor<?x4xf32>
  return %a, %b, %c : index, index, index
}

// The cache's rows, not the tokens.
// CHECK-LABEL: func.func @cache_append(
// CHECK-SAME: %[[CACHE:[a-z0-9]+]]: tensor<?x32xf32>)
// CHECK: %[[S:.*]] = tensor.dim %[[CACHE]], %c0
// CHECK: return %[[S]]
func.func @cache_append(%ckv: tensor<?x24xf32>, %k_rope: tensor<?x8xf32>, %slots: tensor<?xi32>,
                        %cache: tensor<?x32xf32>) -> index {
  %c0 = arith.constant 0 : index
  %new = mla.cache_append %ckv, %k_rope, %slots, %cache
      : tensor<?x24xf32>, tensor<?x8xf32>, tensor<?xi32>, tensor<?x32xf32> -> tensor<?x32xf32>
  %s = tensor.dim %new, %c0 : tensor<?x32xf32>
  return %s : index
}

// CHECK-LABEL: func.func @latent_attention(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: tensor<?x4x24xf32>
// CHECK: %[[B:.*]] = tensor.dim %[[Q]], %c0
// CHECK: return %[[B]]
func.func @latent_attention(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                            %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>) -> index {
  %c0 = arith.constant 0 : index
  %o = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {scale = 0.25 : f32, page_tokens = 16 : i64}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  %b = tensor.dim %o, %c0 : tensor<?x4x24xf32>
  return %b : index
}
