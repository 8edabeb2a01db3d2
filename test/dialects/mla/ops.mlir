// RUN: hadal-opt %s | hadal-opt | FileCheck %s
// RUN: hadal-opt %s --mlir-print-op-generic | hadal-opt | FileCheck %s

// Every op prints what it parses, in its own form and in the generic one.

// Angles of positions.
// CHECK-LABEL: func.func @rotation(
// CHECK: mla.rotation {{.*}} {frequencies = dense<[1.000000e+00, 1.000000e-01]> : tensor<2xf32>, magnitude = 1.000000e+00 : f32} : tensor<?xi32> -> tensor<?x2xf32>, tensor<?x2xf32>
func.func @rotation(%positions: tensor<?xi32>) -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %cos, %sin = mla.rotation %positions {frequencies = dense<[1.000000e+00, 1.000000e-01]>
      : tensor<2xf32>, magnitude = 1.000000e+00 : f32}
      : tensor<?xi32> -> tensor<?x2xf32>, tensor<?x2xf32>
  return %cos, %sin : tensor<?x2xf32>, tensor<?x2xf32>
}

// Interleaved pairs.
// CHECK-LABEL: func.func @rope(
// CHECK: mla.rope {{.*}} {interleave = true} : tensor<?x3x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x3x8xf32>
func.func @rope(%x: tensor<?x3x8xf32>, %cos: tensor<?x4xf32>, %sin: tensor<?x4xf32>) -> tensor<?x3x8xf32> {
  %r = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<?x3x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x3x8xf32>
  return %r : tensor<?x3x8xf32>
}

// Halves instead of pairs.
// CHECK-LABEL: func.func @rope_halves(
// CHECK: mla.rope {{.*}} {interleave = false} : tensor<?x3x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x3x8xf32>
func.func @rope_halves(%x: tensor<?x3x8xf32>, %cos: tensor<?x4xf32>, %sin: tensor<?x4xf32>) -> tensor<?x3x8xf32> {
  %r = mla.rope %x, %cos, %sin {interleave = false}
      : tensor<?x3x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x3x8xf32>
  return %r : tensor<?x3x8xf32>
}

// Back from the rotated order.
// CHECK-LABEL: func.func @rope_adjoint(
// CHECK: mla.rope {{.*}} {adjoint, interleave = true} : tensor<?x3x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x3x8xf32>
func.func @rope_adjoint(%x: tensor<?x3x8xf32>, %cos: tensor<?x4xf32>, %sin: tensor<?x4xf32>) -> tensor<?x3x8xf32> {
  %r = mla.rope %x, %cos, %sin {adjoint, interleave = true}
      : tensor<?x3x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x3x8xf32>
  return %r : tensor<?x3x8xf32>
}

// Expanded heads.
// CHECK-LABEL: func.func @attention(
// CHECK: mla.attention {{.*}} {scale = 2.500000e-01 : f32} : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32> -> tensor<?x4x10xf32>
func.func @attention(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                     %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<?x4x10xf32> {
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>
  return %r : tensor<?x4x10xf32>
}

// All sizes may be static.
// CHECK-LABEL: func.func @attention_static(
// CHECK: mla.attention {{.*}} {scale = 2.500000e-01 : f32} : tensor<7x4x12xf32>, tensor<7x4x8xf32>, tensor<7x4x12xf32>, tensor<7x8xf32>, tensor<7x4x10xf32>, tensor<3xi32> -> tensor<7x4x10xf32>
func.func @attention_static(%q_nope: tensor<7x4x12xf32>, %q_rope: tensor<7x4x8xf32>, %k_nope: tensor<7x4x12xf32>,
                            %k_rope: tensor<7x8xf32>, %v: tensor<7x4x10xf32>, %offsets: tensor<3xi32>)
    -> tensor<7x4x10xf32> {
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<7x4x12xf32>, tensor<7x4x8xf32>, tensor<7x4x12xf32>, tensor<7x8xf32>, tensor<7x4x10xf32>, tensor<3xi32>
      -> tensor<7x4x10xf32>
  return %r : tensor<7x4x10xf32>
}

// With what its adjoint needs.
// CHECK-LABEL: func.func @attention_lse(
// CHECK: mla.attention {{.*}} {scale = 2.500000e-01 : f32} : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32> -> tensor<?x4x10xf32>, tensor<?x4xf32>
func.func @attention_lse(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                         %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> (tensor<?x4x10xf32>, tensor<?x4xf32>) {
  %r, %lse = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>, tensor<?x4xf32>
  return %r, %lse : tensor<?x4x10xf32>, tensor<?x4xf32>
}

// Five gradients, the shared key's a head.
// CHECK-LABEL: func.func @attention_grad(
// CHECK: mla.attention_grad {{.*}} {scale = 2.500000e-01 : f32} : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>, tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32> -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
func.func @attention_grad(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                          %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>,
                          %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>, %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// The result is the cache.
// CHECK-LABEL: func.func @cache_append(
// CHECK: mla.cache_append {{.*}} : tensor<?x24xf32>, tensor<?x8xf32>, tensor<?xi32>, tensor<?x32xf32> -> tensor<?x32xf32>
func.func @cache_append(%ckv: tensor<?x24xf32>, %k_rope: tensor<?x8xf32>, %slots: tensor<?xi32>,
                        %cache: tensor<?x32xf32>)
    -> tensor<?x32xf32> {
  %r = mla.cache_append %ckv, %k_rope, %slots, %cache
      : tensor<?x24xf32>, tensor<?x8xf32>, tensor<?xi32>, tensor<?x32xf32> -> tensor<?x32xf32>
  return %r : tensor<?x32xf32>
}

// Paged latents.
// CHECK-LABEL: func.func @latent_attention(
// CHECK: mla.latent_attention {{.*}} {page_tokens = 16 : i64, scale = 2.500000e-01 : f32} : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
func.func @latent_attention(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                            %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x24xf32> {
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// Several new tokens of a sequence.
// CHECK-LABEL: func.func @latent_attention_rows(
// CHECK: mla.latent_attention {{.*}} offsets(%{{.*}} : tensor<3xi32>) {page_tokens = 16 : i64, scale = 2.500000e-01 : f32} : tensor<?x4x24xf32>,
func.func @latent_attention_rows(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>,
                                 %cache: tensor<?x32xf32>, %page_table: tensor<2x?xi32>,
                                 %positions: tensor<?xi32>, %offsets: tensor<3xi32>)
    -> tensor<?x4x24xf32> {
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      offsets(%offsets : tensor<3xi32>) {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<2x?xi32>, tensor<?xi32>
      -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// Latents in codes: their rows by themselves, their scales beside the keys.
// CHECK-LABEL: func.func @append_codes(
// CHECK: mla.append_codes %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x24xf8E4M3FN>, tensor<?xi32>, tensor<?x24xf8E4M3FN> -> tensor<?x24xf8E4M3FN>
func.func @append_codes(%q: tensor<?x24xf8E4M3FN>, %slots: tensor<?xi32>, %codes: tensor<?x24xf8E4M3FN>)
    -> tensor<?x24xf8E4M3FN> {
  %r = mla.append_codes %q, %slots, %codes
      : tensor<?x24xf8E4M3FN>, tensor<?xi32>, tensor<?x24xf8E4M3FN> -> tensor<?x24xf8E4M3FN>
  return %r : tensor<?x24xf8E4M3FN>
}

// CHECK-LABEL: func.func @latent_attention_codes(
// CHECK: mla.latent_attention {{.*}} codes(%{{.*}} : tensor<?x200xf8E4M3FN>) {page_tokens = 16 : i64, scale = 2.500000e-01 : f32, tile = 128 : i64} : tensor<?x4x200xf32>, tensor<?x4x8xf32>, tensor<?x10xf32>,
func.func @latent_attention_codes(%q_latent: tensor<?x4x200xf32>, %q_rope: tensor<?x4x8xf32>,
                                  %cache: tensor<?x10xf32>, %page_table: tensor<?x?xi32>,
                                  %positions: tensor<?xi32>, %codes: tensor<?x200xf8E4M3FN>)
    -> tensor<?x4x200xf32> {
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      codes(%codes : tensor<?x200xf8E4M3FN>)
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32, tile = 128 : i64}
      : tensor<?x4x200xf32>, tensor<?x4x8xf32>, tensor<?x10xf32>, tensor<?x?xi32>, tensor<?xi32>
      -> tensor<?x4x200xf32>
  return %r : tensor<?x4x200xf32>
}
