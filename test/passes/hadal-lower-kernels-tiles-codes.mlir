// Products of codes in AMX tiles: a part of the sum, 128 k that share scales, is one chain in four tiles of sums, which then join the sum
// with the product of their scales.
// RUN: hadal-opt %s --hadal-lower-kernels="target=x86-64-v4+amx" | FileCheck %s
// RUN: hadal-opt %s --hadal-lower-kernels=target=x86-64-v4 | FileCheck %s --check-prefix=FMA
// FMA-NOT: llvm.x86

// CHECK-LABEL: func.func private @product
// CHECK: llvm.x86.ldtilecfg
// Weights, then rows, are decoded to pairs of bf16.
// CHECK: llvm.x86.avx512.permvar.hi.512
// CHECK: llvm.x86.avx512.permvar.hi.512
// Two heights of tiles.
// CHECK-COUNT-2: llvm.x86.tilezero
// CHECK-COUNT-2: llvm.x86.tdpbf16ps
// CHECK-COUNT-2: llvm.x86.tilestored64
// CHECK: vector.fma
// CHECK-COUNT-4: llvm.x86.tilezero
// CHECK-COUNT-4: llvm.x86.tdpbf16ps
// CHECK-NOT: llvm.x86.tdpbf16ps
// CHECK-COUNT-4: llvm.x86.tilestored64
// CHECK: vector.fma
// CHECK: llvm.x86.tilerelease
func.func private @product(%x: tensor<?x256xf8E4M3FN>, %w: tensor<64x256xf8E4M3FN>, %s: tensor<1x2xf32>, %xs: tensor<?x2xf32>)
    -> tensor<?x64xf32> attributes {exec.kernel} {
  %y = fp8.matmul %x, %w, %s x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>}
      : tensor<?x256xf8E4M3FN>, tensor<64x256xf8E4M3FN>, tensor<1x2xf32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// Hopper's sums are what they are on any processor.
// CHECK-LABEL: func.func private @hopper
// CHECK-NOT: llvm.x86
func.func private @hopper(%x: tensor<?x256xf8E4M3FN>, %w: tensor<64x256xf8E4M3FN>, %s: tensor<1x2xf32>, %xs: tensor<?x2xf32>)
    -> tensor<?x64xf32> attributes {exec.kernel} {
  %y = fp8.matmul %x, %w, %s x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>, accumulate = "hopper"}
      : tensor<?x256xf8E4M3FN>, tensor<64x256xf8E4M3FN>, tensor<1x2xf32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// A weight gradient turns its left operand, sums a tile's rows and joins what memory holds.
// CHECK-LABEL: func.func private @gradient
// CHECK: llvm.x86.ldtilecfg
// CHECK: vector.shuffle
// CHECK-COUNT-4: llvm.x86.tilezero
// CHECK-COUNT-4: llvm.x86.tdpbf16ps
// CHECK-NOT: llvm.x86.tdpbf16ps
// CHECK-COUNT-4: llvm.x86.tilestored64
// CHECK: vector.fma
// CHECK: llvm.x86.tilerelease
func.func private @gradient(%dy: tensor<?x32xf8E4M3FN>, %dys: tensor<?x32xf32>, %x: tensor<?x64xf8E4M3FN>, %xs: tensor<?x64xf32>,
    %init: tensor<32x64xf32> {exec.in_place = 0 : i64}) -> tensor<32x64xf32> attributes {exec.kernel} {
  %dw = fp8.weight_grad %dy, %dys, %x, %xs, %init {block = array<i64: 128, 1>}
      : tensor<?x32xf8E4M3FN>, tensor<?x32xf32>, tensor<?x64xf8E4M3FN>, tensor<?x64xf32>, tensor<32x64xf32> -> tensor<32x64xf32>
  return %dw : tensor<32x64xf32>
}
