// What is printed parses again, each op with and without its optional parts.
// RUN: hadal-opt %s | hadal-opt | FileCheck %s

// CHECK-DAG: #[[$PACKED:.*]] = #exec.layout<"cpu.packed", outputs = 16, inner = 2>
// CHECK-DAG: #[[$PANELS:.*]] = #exec.layout<"cpu.panels", outputs = 16, inner = 2>
// CHECK-DAG: #[[$OWN:.*]] = #exec.layout<"cpu.panels">
// CHECK-DAG: #[[$TURNED:.*]] = #exec.layout<"cpu.panels", outputs = 16, inner = 2, n = 1, k = 0>
// CHECK-DAG: #[[$HALF:.*]] = #exec.layout<"cpu.panels", outputs = 16, inner = 2, parts = 2, part = 1>

// CHECK: exec.parameter @w "model.w" : tensor<4x8xbf16>
exec.parameter @w "model.w" : tensor<4x8xbf16>
// CHECK: exec.parameter @experts "experts.{}.w" count 4 : tensor<4x8xf32>
exec.parameter @experts "experts.{}.w" count 4 : tensor<4x8xf32>
// CHECK: exec.parameter @share "experts.{}.up" count 2 sharded : tensor<4x8xf32>
exec.parameter @share "experts.{}.up" count 2 sharded : tensor<4x8xf32>
// CHECK: exec.weight @stored bytes 128
exec.weight @stored bytes 128
// CHECK: exec.weight @packed bytes 128 layout #[[$PACKED]]
exec.weight @packed bytes 128 layout #exec.layout<"cpu.packed", outputs = 16, inner = 2>
// CHECK: exec.state @cache #{{.*}} of f32
exec.state @cache affine_map<()[s0] -> (s0, 18)> of f32
// CHECK: exec.state @matrix #{{.*}} of f32 layout #[[$PANELS]]
exec.state @matrix affine_map<() -> (128)> of f32 layout #exec.layout<"cpu.panels", outputs = 16, inner = 2>
// CHECK: exec.constant @table dense<1.000000e+00> : tensor<4xf32>
exec.constant @table dense<1.0> : tensor<4xf32>

// CHECK: exec.order 0 [F0.0, F0.1 + B1.0, I0.1, W0.1]
exec.order 0 [F0.0, F0.1 + B1.0, I0.1, W0.1]
// CHECK: exec.order 1 [B0.0 + F0.12]
exec.order 1 [B0.0 + F0.12]
// CHECK: exec.order 2 []
exec.order 2 []
// CHECK: exec.constant @chunk {{.*}} {chunks = [#exec.chunk<W1.7>, #exec.chunk<F0.0 paired>]}
exec.constant @chunk dense<1.0> : tensor<4xf32> {chunks = [#exec.chunk<W1.7>, #exec.chunk<F0.0 paired>]}

func.func private @kernel()

// Layouts, of what the target wants by itself, of a matrix [K, N], of one half of two.
// CHECK: func.func private @laid_out(tensor<6x8xf32> {exec.layout = #[[$OWN]]},
// CHECK-SAME: tensor<8x6xf32> {exec.layout = #[[$TURNED]]})
// CHECK-SAME: -> (tensor<6x8xf32> {exec.layout = #[[$HALF]]})
func.func private @laid_out(tensor<6x8xf32> {exec.layout = #exec.layout<"cpu.panels">},
                            tensor<8x6xf32> {exec.layout = #exec.layout<"cpu.panels", k = 0, n = 1, inner = 2, outputs = 16>})
    -> (tensor<6x8xf32> {exec.layout = #exec.layout<"cpu.panels", outputs = 16, inner = 2, parts = 2, part = 1>})

// CHECK: func.func private @lay_out
func.func private @lay_out(%w: tensor<6x8xbf16>) -> (tensor<6x8xbf16>, tensor<6x8xbf16>) {
  // CHECK: exec.relayout %{{.*}} : tensor<6x8xbf16> as #[[$PACKED]]
  %p = exec.relayout %w : tensor<6x8xbf16> as #exec.layout<"cpu.packed", outputs = 16, inner = 2>
  // CHECK: exec.relayout %{{.*}} : tensor<6x8xbf16>{{$}}
  %q = exec.relayout %w : tensor<6x8xbf16>
  return %p, %q : tensor<6x8xbf16>, tensor<6x8xbf16>
}

// CHECK: exec.program @callee registers ["n"] {
exec.program @callee registers ["n"] {
  // CHECK: exec.argument "x" #{{.*}} of f32
  %x = exec.argument "x" affine_map<()[s0] -> (s0, 8)> of f32
  // CHECK: exec.argument output "y" #{{.*}} of i32
  %y = exec.argument output "y" affine_map<()[s0] -> (s0)> of i32
}

// CHECK: exec.program @all registers ["n", "i"] {
exec.program @all registers ["n", "i"] {
  %x = exec.argument "x" affine_map<()[s0, s1] -> (s0, 8)> of f32
  %y = exec.argument output "y" affine_map<()[s0, s1] -> (s0)> of i32
  // CHECK: exec.require "values" %[[Y:.*]] least #{{.*}} below #{{.*}}
  exec.require "values" %y least affine_map<()[s0, s1] -> (0)> below affine_map<()[s0, s1] -> (s0)>
  // CHECK: exec.require "groups" %{{.*}} least #{{.*}} below #{{.*}} offsets %[[Y]]
  exec.require "groups" %y least affine_map<()[s0, s1] -> (-1)> below affine_map<()[s0, s1] -> (s0)> offsets %y
  // CHECK: exec.require_size #{{.*}} is #
  exec.require_size affine_map<()[s0, s1] -> (s0)> is affine_map<()[s0, s1] -> (8)>
  // CHECK: exec.require_size #{{.*}} at_least #
  exec.require_size affine_map<()[s0, s1] -> (s0)> at_least affine_map<()[s0, s1] -> (8)>
  // CHECK: %[[T:.*]] = exec.temporary bytes #
  %t = exec.temporary bytes affine_map<()[s0, s1] -> (s0 * 32)>
  // CHECK: exec.temporary bytes #{{.*}} slot 3
  %u = exec.temporary bytes affine_map<()[s0, s1] -> (s0 * 32)> slot 3
  // CHECK: exec.get @experts
  %w = exec.get @experts
  // CHECK: exec.launch @kernel(%{{.*}}, %[[T]]) scalars [#{{.*}}]
  exec.launch @kernel(%x, %t) scalars [affine_map<()[s0, s1] -> (s0)>]
  // CHECK: exec.launch @kernel(%{{.*}}) elements [#{{.*}}] offsets [#{{.*}}] scalars [] flops #{{.*}} stream 1
  exec.launch @kernel(%w) elements [affine_map<()[s0, s1] -> (s1)>] offsets [affine_map<()[s0, s1] -> (4)>] scalars [] flops affine_map<()[s0, s1] -> (s0 * 64)> stream 1
  // CHECK: exec.copy %{{.*}} from %{{.*}} bytes #{{.*}} stream 1
  exec.copy %t from %x bytes affine_map<()[s0, s1] -> (s0 * 32)> stream 1
  // CHECK: exec.send %[[T]] stage 1 stream 1
  exec.send %t stage 1 stream 1
  // CHECK: exec.receive %[[T]] stage 0
  exec.receive %t stage 0
  // CHECK: exec.exchange_counts %{{.*}} from %{{.*}} parts 2 segments 1 stride 1 rows 0 choices 1 stream 1
  exec.exchange_counts %t from %u parts 2 segments 1 stride 1 rows 0 choices 1 stream 1
  // CHECK: exec.exchange %{{.*}} from %{{.*}} counts %{{.*}} to %{{.*}} parts 2 segments 1 stride 1 row_bytes 32 capacity 64 stream 1
  exec.exchange %t from %x counts %u to %u parts 2 segments 1 stride 1 row_bytes 32 capacity 64 stream 1
  // CHECK: exec.record 4 stream 1
  exec.record 4 stream 1
  // CHECK: exec.wait 4
  exec.wait 4
  // CHECK: exec.repeat 1 count #{{.*}} {
  exec.repeat 1 count affine_map<()[s0, s1] -> (4)> {
    // CHECK: exec.skip_if_zero #{{.*}} {
    exec.skip_if_zero affine_map<()[s0, s1] -> (s0)> {
      // CHECK: exec.call @callee(%{{.*}}, %{{.*}}) registers [#{{.*}}]
      exec.call @callee(%x, %y) registers [affine_map<()[s0, s1] -> (s0)>]
    }
  }
}

// CHECK: func.func private @launched(memref<?xf32>, index) attributes {exec.kernel, exec.launch = #exec.launch<tasks = #{{[a-z0-9]+}}, access = [1], scratch_bytes = 64>}
func.func private @launched(memref<?xf32>, index)
  attributes {exec.kernel, exec.launch = #exec.launch<tasks = affine_map<()[s0] -> (s0)>, access = [1], scratch_bytes = 64>}

// A grid of blocks: the tier, what a block is, and boxes that hardware copies.
// CHECK: func.func private @grid(memref<?x64xbf16>, memref<?x64xf32>) attributes {exec.kernel, exec.launch = #exec.launch<tasks = #{{[a-z0-9]+}}, access = [0, 1], tier = "tensor", threads = 384, cluster = 2, shared_bytes = 65536, tensor_maps = [#exec.tensor_map<binding = 0, element = bf16, sizes = #{{[a-z0-9]+}}, stride_bytes = #{{[a-z0-9]+}}, box = [64, 128], swizzle_bytes = 128>], persistent = true, loads_by_threads = true>}
func.func private @grid(memref<?x64xbf16>, memref<?x64xf32>)
  attributes {exec.kernel, exec.launch = #exec.launch<tasks = affine_map<()[s0, s1] -> (s0 ceildiv 128)>, access = [0, 1],
    tier = "tensor", threads = 384, cluster = 2, shared_bytes = 65536, tensor_maps = [
      #exec.tensor_map<binding = 0, element = bf16, sizes = affine_map<()[s0, s1] -> (64, s0)>, stride_bytes = affine_map<()[s0, s1] -> (128)>, box = [64, 128], swizzle_bytes = 128>],
    persistent = true, loads_by_threads = true>}
