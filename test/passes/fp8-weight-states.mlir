// RUN: hadal-opt %s --split-input-file --fp8-weight-states | FileCheck %s
// RUN: hadal-opt %s --split-input-file --fp8-weight-states --exec-form-programs=target=x86-64-v3 | FileCheck %s --check-prefix=PROGRAM

// Forward and backward read one state of codes and one of scales; a program fills both in place.
// CHECK-DAG: ml_program.global private mutable @copy.codes.128x128.w({{.*}}) : tensor<200x130xf8E4M3FN> {exec.state = "codes.128x128.w"}
// CHECK-DAG: ml_program.global private mutable @copy.scales.128x128.w({{.*}}) : tensor<2x2xf32> {exec.state = "scales.128x128.w"}
// CHECK-LABEL: func.func @gradients(
// CHECK-NOT: fp8.quantize %{{.*}} : tensor<200x130xf32>
// CHECK: %[[Q:.*]] = ml_program.global_load @copy.codes.128x128.w : tensor<200x130xf8E4M3FN>
// CHECK: %[[S:.*]] = ml_program.global_load @copy.scales.128x128.w : tensor<2x2xf32>
// CHECK: fp8.dequantize %[[Q]], %[[S]]
// What is no parameter is quantized where it stands.
// CHECK: fp8.quantize %{{.*}} : tensor<?x130xf32>
// CHECK: return
// CHECK-LABEL: func.func @quantize_weights() {
// CHECK-NEXT: %[[W:.*]] = ml_program.global_load @w : tensor<200x130xf32>
// CHECK-NEXT: %[[CODES:.*]], %[[SCALES:.*]] = fp8.quantize %[[W]] {block = array<i64: 128, 128>
// CHECK-NEXT: ml_program.global_store @copy.codes.128x128.w = %[[CODES]]
// CHECK-NEXT: ml_program.global_store @copy.scales.128x128.w = %[[SCALES]]
// CHECK-NEXT: return

// PROGRAM-LABEL: exec.program @quantize_weights
// PROGRAM-NOT: exec.temporary
// PROGRAM-NOT: exec.copy
// PROGRAM-DAG: %[[W:.*]] = exec.get @weight.w
// PROGRAM-DAG: %[[Q:.*]] = exec.get @codes.128x128.w
// PROGRAM-DAG: %[[S:.*]] = exec.get @scales.128x128.w
// PROGRAM: exec.launch @{{.*}}(%[[W]], %[[Q]], %[[S]])
ml_program.global private mutable @w(#ml_program.extern : tensor<200x130xf32>) : tensor<200x130xf32>
func.func @gradients(%x: tensor<?x130xf32>) -> (tensor<200x130xf32>, tensor<200x130xf32>, tensor<?x130xf32>) {
  %w = ml_program.global_load @w : tensor<200x130xf32>
  %q, %s = fp8.quantize %w {block = array<i64: 128, 128>} : tensor<200x130xf32> -> tensor<200x130xf8E4M3FN>, tensor<2x2xf32>
  %a = fp8.dequantize %q, %s {block = array<i64: 128, 128>} : tensor<200x130xf8E4M3FN>, tensor<2x2xf32> -> tensor<200x130xf32>
  %r, %t = fp8.quantize %w {block = array<i64: 128, 128>} : tensor<200x130xf32> -> tensor<200x130xf8E4M3FN>, tensor<2x2xf32>
  %b = fp8.dequantize %r, %t {block = array<i64: 128, 128>} : tensor<200x130xf8E4M3FN>, tensor<2x2xf32> -> tensor<200x130xf32>
  %u, %v = fp8.quantize %x {block = array<i64: 1, 128>} : tensor<?x130xf32> -> tensor<?x130xf8E4M3FN>, tensor<?x2xf32>
  %c = fp8.dequantize %u, %v {block = array<i64: 1, 128>} : tensor<?x130xf8E4M3FN>, tensor<?x2xf32> -> tensor<?x130xf32>
  return %a, %b, %c : tensor<200x130xf32>, tensor<200x130xf32>, tensor<?x130xf32>
}

// -----

// Each stage has a program of its own, and other blocks are other codes.
// CHECK-DAG: exec.state = "codes.128x128.w"
// CHECK-DAG: exec.state = "codes.64x64.w"
// CHECK-LABEL: func.func @quantize_weights.stage.0() {
// CHECK: global_store @copy.codes.128x128.w
// CHECK-NOT: 64x64
// CHECK-LABEL: func.func @quantize_weights.stage.12() {
// CHECK: global_store @copy.codes.64x64.w
// CHECK-NOT: 128x128
ml_program.global private mutable @w(#ml_program.extern : tensor<200x130xf32>) : tensor<200x130xf32>
func.func @stage.0_gradient() -> tensor<200x130xf32> {
  %w = ml_program.global_load @w : tensor<200x130xf32>
  %q, %s = fp8.quantize %w {block = array<i64: 128, 128>} : tensor<200x130xf32> -> tensor<200x130xf8E4M3FN>, tensor<2x2xf32>
  %a = fp8.dequantize %q, %s {block = array<i64: 128, 128>} : tensor<200x130xf8E4M3FN>, tensor<2x2xf32> -> tensor<200x130xf32>
  return %a : tensor<200x130xf32>
}
func.func @stage.12_gradient() -> tensor<200x130xf32> {
  %w = ml_program.global_load @w : tensor<200x130xf32>
  %q, %s = fp8.quantize %w {block = array<i64: 64, 64>} : tensor<200x130xf32> -> tensor<200x130xf8E4M3FN>, tensor<4x3xf32>
  %a = fp8.dequantize %q, %s {block = array<i64: 64, 64>} : tensor<200x130xf8E4M3FN>, tensor<4x3xf32> -> tensor<200x130xf32>
  return %a : tensor<200x130xf32>
}
