// RUN: not hadal-opt %s --fp8-quantize=format=e3m4 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not hadal-opt %s --fp8-quantize=scales=f16 2>&1 | FileCheck %s --check-prefix=SCALES
// RUN: not hadal-opt %s --fp8-quantize=gradient-tile=64x64 2>&1 | FileCheck %s --check-prefix=TILE
// RUN: not hadal-opt %s --fp8-quantize=attention-output=f32 2>&1 | FileCheck %s --check-prefix=OUTPUT
// RUN: not hadal-opt %s --fp8-quantize=swiglu=e5m6 2>&1 | FileCheck %s --check-prefix=SWIGLU
// RUN: not hadal-opt %s --fp8-quantize=interval=100 2>&1 | FileCheck %s --check-prefix=INTERVAL
// RUN: not hadal-opt %s --fp8-quantize=accumulate=hopper,*.o_proj:bf16 2>&1 | FileCheck %s --check-prefix=ACCUMULATE
// RUN: not hadal-opt %s --fp8-quantize=interval=128,[:0 2>&1 | FileCheck %s --check-prefix=GLOB
// RUN: not hadal-opt %s --fp8-quantize=interval=:0 2>&1 | FileCheck %s --check-prefix=EMPTY
// RUN: not hadal-opt %s --fp8-quantize=interval=*.q_a_proj:0,*.o_prj:0 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not hadal-opt %s --fp8-quantize=attention-output=*.up_proj:e4m3 2>&1 | FileCheck %s --check-prefix=NOT-AFTER
// RUN: not hadal-opt %s --fp8-quantize=swiglu=layers.1.*:f32 2>&1 | FileCheck %s --check-prefix=NOT-SWIGLU
// RUN: hadal-opt %s --fp8-quantize=interval=0,*.self_attn.*:64,layers.0.*:32 | FileCheck %s

// FORMAT: error: fp8-quantize wants format to be e4m3 or e5m2, got 'e3m4'
// SCALES: error: fp8-quantize wants scales to be f32 or pow2, got 'f16'
// TILE: error: fp8-quantize wants gradient-tile to be 1x128 or 128x128, got '64x64'
// OUTPUT: error: fp8-quantize wants attention-output to be e5m6 or e4m3, got 'f32'
// SWIGLU: error: fp8-quantize wants swiglu to be e4m3 or f32, got 'e5m6'
// INTERVAL: error: fp8-quantize wants interval to be 128, 64, 32 or 0, got '100'
// ACCUMULATE: error: fp8-quantize wants accumulate to be fp32 or hopper, got 'bf16'
// GLOB: error: fp8-quantize wants a pattern of parts' names in front of ':' in interval, got '[:0'
// EMPTY: error: fp8-quantize wants a pattern of parts' names in front of ':' in interval, got ':0'
// NONE: error: fp8-quantize found no Linear that '*.o_prj' of interval matches
// NOT-AFTER: error: fp8-quantize found no Linear after attention that '*.up_proj' of attention-output matches
// NOT-SWIGLU: error: fp8-quantize found no Linear after SwiGLU that 'layers.1.*' of swiglu matches

// The last entry that matches counts.
// CHECK: fp8.matmul {{.*}}interval = 32 : i64, job.part = #job.part<"layers.0.self_attn.q_a_proj">
// CHECK: fp8.matmul {{.*}}interval = 64 : i64, job.part = #job.part<"layers.1.self_attn.q_a_proj">
// CHECK: fp8.matmul {{.*}}interval = 0 : i64, job.part = #job.part<"layers.1.mlp.up_proj">
#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>
func.func @parts(%x: tensor<?x32xf32>, %w: tensor<32x32xf32>) -> (tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x32xf32>
  %e = tensor.empty(%rows) : tensor<?x32xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x32xf32>) -> tensor<?x32xf32>
  %a = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.0.self_attn.q_a_proj">} ins(%x, %w : tensor<?x32xf32>, tensor<32x32xf32>) outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
  %b = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.1.self_attn.q_a_proj">} ins(%x, %w : tensor<?x32xf32>, tensor<32x32xf32>) outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
  %c = linalg.matmul indexing_maps = [#mk, #nk, #mn] {job.part = #job.part<"layers.1.mlp.up_proj">} ins(%x, %w : tensor<?x32xf32>, tensor<32x32xf32>) outs(%z : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %a, %b, %c : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>
}
