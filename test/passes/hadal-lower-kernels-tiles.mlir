// RUN: hadal-opt %s --hadal-lower-kernels="target=x86-64-v4+amx" | FileCheck %s
// RUN: hadal-opt %s --hadal-lower-kernels=target=x86-64-v4 | FileCheck %s --check-prefix=FMA
// RUN: not hadal-opt %s --hadal-lower-kernels="target=z80" 2>&1 | FileCheck %s --check-prefix=BAD
// BAD: error: wants a target (aarch64, host, sm_90a, sm_90a-emulated, x86-64-v2+fma, x86-64-v3, x86-64-v4, x86-64-v4+amx, x86-64-v4+bf16), got z80
// RUN: not hadal-opt %s --hadal-kernels-to-llvm=target=z80 2>&1 | FileCheck %s --check-prefix=BAD

// Code is what compiling takes its time for. A product has a tile for each height up to 12, once
// each: 12, 1 and 2 rows with four steps of K in a turn, the others with two: 380 fused
// multiply-adds. Turning a square of 16 takes 64 shuffles, and a gradient turns two: in whole steps
// of 32 rows, and in the last one.
// RUN: hadal-opt %s --hadal-lower-kernels=target=x86-64-v4 | grep -c vector.fma | FileCheck %s --check-prefix=STEPS
// STEPS: {{^}}920{{$}}
// RUN: hadal-opt %s --hadal-lower-kernels="target=x86-64-v4+amx" | grep -c vector.shuffle | FileCheck %s --check-prefix=TURNS
// TURNS: {{^}}256{{$}}

// A product with weights in panels splits both operands in three and adds six products of bf16 to
// four tiles.
// CHECK: func.func private @product
// CHECK: llvm.x86.ldtilecfg
// CHECK-COUNT-4: llvm.x86.tilezero
// CHECK-COUNT-24: llvm.x86.tdpbf16ps
// CHECK-COUNT-4: llvm.x86.tilestored64
// CHECK: llvm.x86.tilerelease
// FMA: func.func private @product
// FMA-NOT: llvm.x86
// FMA: vector.fma
#panels = #exec.layout<"cpu.panels">
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
func.func private @product(%x: tensor<?x64xf32>, %w: tensor<32x64xf32> {exec.layout = #panels}) -> tensor<?x32xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x64xf32>
  %empty = tensor.empty(%t) : tensor<?x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x32xf32>) -> tensor<?x32xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x64xf32>, tensor<32x64xf32>) outs(%init : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// One product where bf16 holds the operands.
// CHECK: func.func private @exact
// CHECK: llvm.x86.tilezero
// CHECK-COUNT-4: llvm.x86.tdpbf16ps
// CHECK-NOT: llvm.x86.tdpbf16ps
// CHECK: llvm.x86.tilestored64
func.func private @exact(%x: tensor<16x64xf32>, %w: tensor<32x64xf32> {exec.layout = #panels}) -> tensor<16x32xf32> attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<16x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<16x32xf32>) -> tensor<16x32xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out] {hadal.bf16_values}
      ins(%x, %w : tensor<16x64xf32>, tensor<32x64xf32>) outs(%init : tensor<16x32xf32>) -> tensor<16x32xf32>
  return %y : tensor<16x32xf32>
}

// A weight gradient adds to what its panels hold.
// CHECK: func.func private @gradient
// CHECK-COUNT-4: llvm.x86.tileloadd64
// CHECK: llvm.x86.tdpbf16ps
#tn = affine_map<(n, k, t) -> (t, n)>
#tk = affine_map<(n, k, t) -> (t, k)>
#nk = affine_map<(n, k, t) -> (n, k)>
func.func private @gradient(%dy: tensor<?x32xf32>, %x: tensor<?x64xf32>, %init: tensor<32x64xf32> {exec.layout = #panels, exec.in_place = 0 : i64})
    -> tensor<32x64xf32> attributes {exec.kernel} {
  %dw = linalg.generic {indexing_maps = [#tn, #tk, #nk], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %x : tensor<?x32xf32>, tensor<?x64xf32>) outs(%init : tensor<32x64xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<32x64xf32>
  return %dw : tensor<32x64xf32>
}
