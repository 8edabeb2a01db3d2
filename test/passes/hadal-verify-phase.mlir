// RUN: rm -rf %t && split-file %s %t
// What the frontend writes stands in the phase graph; then experts go to ranks, then gradients and
// programs are formed, and each phase holds.
// RUN: hadal-compile %S/../frontend/models/nano --emit=graph -o %t/graph.mlir
// RUN: hadal-opt %t/graph.mlir --hadal-verify-phase=graph -o %t/same.mlir
// RUN: hadal-opt %t/graph.mlir --pass-pipeline="builtin.module(hadal-verify-phase{graph},mla-specialize,moe-shard-experts{ranks=2},hadal-verify-phase{sharded},func.func(hadal-fuse-elementwise),fp8-fold-dequantize,moe-fuse-dispatch,cse,hadal-verify-phase{scheduled})" -o %t/scheduled.mlir
// RUN: hadal-opt %t/graph.mlir --hadal-graph-to-kernels --hadal-verify-phase=kernels -o %t/kernels.mlir
// RUN: hadal-compile %S/../frontend/models/nano-mtp --mode=train --seq=8 --emit=graph -o %t/loss.mlir
// RUN: hadal-opt %t/loss.mlir --pass-pipeline="builtin.module(hadal-verify-phase{graph},moe-shard-experts{ranks=2 dispatch=fp8},hadal-verify-phase{sharded},hadal-differentiate,moe-encode-exchanges,hadal-accumulate-gradients,hadal-round-products{precision=bf16},func.func(hadal-fuse-elementwise),moe-fuse-dispatch,cse,hadal-recompute{policy=report},hadal-verify-phase{scheduled})" -o %t/gradients.mlir

// What comes later is refused, by name and place.
// RUN: not hadal-opt %t/later.mlir --hadal-verify-phase=graph 2>&1 | FileCheck %s --check-prefix=LATER
// LATER: later.mlir:2:8: error: 'moe.scatter_add' op may not stand in the phase graph, comes with the phase scheduled
// RUN: hadal-opt %t/later.mlir --hadal-verify-phase=scheduled -o %t/same.mlir
// RUN: not hadal-opt %t/later.mlir --hadal-verify-phase=kernels 2>&1 | FileCheck %s --check-prefix=KERNELS
// KERNELS: error: 'func.func' op wants to be a kernel in the phase kernels (exec.launch)
// RUN: not hadal-opt %t/kernels.mlir --hadal-verify-phase=scheduled 2>&1 | FileCheck %s --check-prefix=EARLIER
// EARLIER: op may not stand in the phase scheduled
// RUN: not hadal-opt %t/loss.mlir --hadal-verify-phase=scheduled 2>&1 | FileCheck %s --check-prefix=LOSS
// LOSS: loc("loss"): 'func.func' op wants --hadal-differentiate before the phase scheduled

// A product has a part of the model, whichever op it is; what computes no product need not.
// RUN: not hadal-opt %t/product.mlir --hadal-verify-phase=graph 2>&1 | FileCheck %s --check-prefix=PRODUCT
// PRODUCT: product.mlir:7:8: error: 'linalg.matmul' op is a product of no part of the model: wants job.part = #job.part<"NAME">

// RUN: not hadal-opt %t/later.mlir --hadal-verify-phase 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: error: hadal-verify-phase wants one phase (graph, sharded, scheduled, kernels), got 0

//--- later.mlir
func.func @f(%rows: tensor<?x4xf32>, %source: tensor<?xi32>, %init: tensor<8x4xf32>) -> tensor<8x4xf32> {
  %0 = moe.scatter_add %rows, %source, %init
    : tensor<?x4xf32>, tensor<?xi32>, tensor<8x4xf32> -> tensor<8x4xf32>
  return %0 : tensor<8x4xf32>
}
//--- product.mlir
func.func @f(%x: tensor<3x4xf32>, %w: tensor<4x8xf32>) -> tensor<3x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x8xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<3x8xf32>) -> tensor<3x8xf32>
  %0 = linalg.matmul {job.part = #job.part<"a">} ins(%x, %w : tensor<3x4xf32>, tensor<4x8xf32>)
    outs(%init : tensor<3x8xf32>) -> tensor<3x8xf32>
  %1 = linalg.matmul ins(%x, %w : tensor<3x4xf32>, tensor<4x8xf32>)
    outs(%init : tensor<3x8xf32>) -> tensor<3x8xf32>
  %2 = linalg.add ins(%0, %1 : tensor<3x8xf32>, tensor<3x8xf32>)
    outs(%e : tensor<3x8xf32>) -> tensor<3x8xf32>
  return %2 : tensor<3x8xf32>
}
