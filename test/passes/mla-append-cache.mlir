// RUN: hadal-opt %s --mla-append-cache --split-input-file --verify-diagnostics | FileCheck %s
// RUN: hadal-compile %S/../frontend/models/tiny --emit=graph -o %t.mlir
// RUN: hadal-opt %t.mlir --hadal-make-programs --mla-append-cache=cache=fp8 --mla-absorb | FileCheck %s --check-prefix=CODES
// RUN: not hadal-opt %t.mlir --hadal-make-programs --mla-append-cache=cache=fp4 2>&1 | FileCheck %s --check-prefix=ERROR

// In codes: 14 of them for a token, their one scale and the 4 numbers of the key.
// CODES-DAG: exec.state @cache.0 #{{.*}} of f32
// CODES-DAG: exec.state @cache.0.codes #{{.*}} of f8E4M3FN
// CODES-LABEL: func.func @prefill(
// CODES: %[[Q:.*]], %[[S:.*]] = fp8.quantize %{{.*}} {block = array<i64: 1, 128>
// CODES: mla.append_codes %[[Q]], %[[SLOTS:[a-z0-9]+]], %
// CODES: mla.cache_append %[[S]], %{{.*}}, %[[SLOTS]], {{.*}} : tensor<?x1xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?x5xf32>
// CODES-LABEL: func.func @decode(
// CODES: %[[CODES:.*]] = mla.append_codes
// CODES: %[[CACHE:.*]] = mla.cache_append
// CODES: mla.latent_attention %{{.*}}, %{{.*}}, %[[CACHE]], {{.*}} codes(%[[CODES]] : tensor<?x14xf8E4M3FN>) {{.*}}tile = 128
// ERROR: mla-append-cache wants the cache to be fp32 or fp8, got fp4


// The cache holds rk = 3 numbers of the latent and dr = 2 of the rope key for a token. One state has
// them for all functions.
// CHECK: exec.state @cache.0
// CHECK-NOT: exec.state
// CHECK-LABEL: @first
// CHECK-SAME: %[[SLOTS:[a-z0-9]+]]: tensor<?xi32> {exec.name = "slots"}
// CHECK-SAME: %[[CACHE:[a-z0-9]+]]: tensor<?x5xf32> {exec.shape = {{.*}}, exec.state = "cache.0"}
// CHECK: %[[APPENDED:.*]] = mla.cache_append %{{.*}}, %{{.*}}, %[[SLOTS]], %[[CACHE]]
// CHECK: mla.attention
// CHECK: return %{{.*}}, %[[APPENDED]]
func.func @first(%latent: tensor<?x3xf32>, %w: tensor<12x3xf32>, %qn: tensor<?x2x4xf32>,
                 %qr: tensor<?x2x2xf32>, %kr: tensor<?x2xf32>, %offsets: tensor<?xi32>,
                 %slots: tensor<?xi32> {exec.name = "slots"}) -> tensor<?x2x2xf32> {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %latent, %c0 : tensor<?x3xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty(%t) : tensor<?x12xf32>
  %from = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x12xf32>) -> tensor<?x12xf32>
  %kv = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%latent, %w : tensor<?x3xf32>, tensor<12x3xf32>)
      outs(%from : tensor<?x12xf32>) -> tensor<?x12xf32>
  %heads = tensor.expand_shape %kv [[0], [1, 2]] output_shape [%t, 2, 6]
      : tensor<?x12xf32> into tensor<?x2x6xf32>
  %kn = tensor.extract_slice %heads[0, 0, 0] [%t, 2, 4] [1, 1, 1]
      : tensor<?x2x6xf32> to tensor<?x2x4xf32>
  %v = tensor.extract_slice %heads[0, 0, 4] [%t, 2, 2] [1, 1, 1]
      : tensor<?x2x6xf32> to tensor<?x2x2xf32>
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 1.0 : f32}
      : tensor<?x2x4xf32>, tensor<?x2x2xf32>, tensor<?x2x4xf32>, tensor<?x2xf32>,
        tensor<?x2x2xf32>, tensor<?xi32> -> tensor<?x2x2xf32>
  return %o : tensor<?x2x2xf32>
}

// Without slots a function keeps nothing.
// CHECK-LABEL: @other
// CHECK-NOT: mla.cache_append
func.func @other(%x: tensor<?xi32>) -> tensor<?xi32> {
  return %x : tensor<?xi32>
}

// -----

// Keys that are no product of a latent and a parameter have nothing to keep.
func.func @given(%qn: tensor<?x2x4xf32>, %qr: tensor<?x2x4xf32>, %kn: tensor<?x2x4xf32>,
                 %kr: tensor<?x4xf32>, %v: tensor<?x2x4xf32>, %offsets: tensor<?xi32>,
                 %slots: tensor<?xi32> {exec.name = "slots"}) -> tensor<?x2x4xf32> {
  // expected-error @+1 {{wants keys and values that are slices of one product of a latent with a parameter}}
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 1.0 : f32}
      : tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x4xf32>,
        tensor<?x2x4xf32>, tensor<?xi32> -> tensor<?x2x4xf32>
  return %o : tensor<?x2x4xf32>
}

// -----

// expected-error @+1 {{wants a body of one block}}
func.func @branches(%x: tensor<?xi32>, %slots: tensor<?xi32> {exec.name = "slots"}) -> tensor<?xi32> {
  cf.br ^end
^end:
  return %x : tensor<?xi32>
}

// -----

// A projection of its own for each row is none.
func.func @rows(%qn: tensor<?x2x2xf32>, %qr: tensor<?x2x4xf32>, %latent: tensor<?x6xf32>,
                %w: tensor<?x6x8xf32>, %init: tensor<?x8xf32>, %kr: tensor<?x4xf32>,
                %offsets: tensor<?xi32>, %slots: tensor<?xi32> {exec.name = "slots"},
                %t: index) -> tensor<?x2x2xf32> {
  %y = linalg.generic {
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (m, k, n)>,
                       affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%latent, %w : tensor<?x6xf32>, tensor<?x6x8xf32>) outs(%init : tensor<?x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32>
  %e = tensor.expand_shape %y [[0], [1, 2]] output_shape [%t, 2, 4]
      : tensor<?x8xf32> into tensor<?x2x4xf32>
  %kn = tensor.extract_slice %e[0, 0, 0] [%t, 2, 2] [1, 1, 1]
      : tensor<?x2x4xf32> to tensor<?x2x2xf32>
  %v = tensor.extract_slice %e[0, 0, 2] [%t, 2, 2] [1, 1, 1]
      : tensor<?x2x4xf32> to tensor<?x2x2xf32>
  // expected-error @+1 {{wants a latent [T, rk] and weights [N, rk], got 'tensor<?x6xf32>' and 'tensor<?x6x8xf32>'}}
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 1.0 : f32}
      : tensor<?x2x2xf32>, tensor<?x2x4xf32>, tensor<?x2x2xf32>, tensor<?x4xf32>,
        tensor<?x2x2xf32>, tensor<?xi32> -> tensor<?x2x2xf32>
  return %o : tensor<?x2x2xf32>
}
