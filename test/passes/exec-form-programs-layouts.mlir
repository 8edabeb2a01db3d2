// RUN: hadal-opt %s --exec-assign-layouts=target=x86-64-v3 --exec-form-programs=target=x86-64-v3 -split-input-file -verify-diagnostics | FileCheck %s

// Of a stack the tensors are laid out one after the other; a slice of all is one of each.
// CHECK-DAG: exec.parameter @"parameter.w.{}" "w.{}" count 3 : tensor<32x16xf32>
// CHECK-DAG: exec.weight @"weight.w.{}" bytes 3072 layout #layout
// CHECK: func.func private @pack_f32_8x16(%[[W:.*]]: tensor<32x16xf32>, %{{.*}}: tensor<8x16xf32> {{.*}}layout = #layout})
// CHECK: %[[SLICE:.*]] = tensor.extract_slice %[[W]][8, 0] [8, 16] [1, 1]
// CHECK: exec.relayout %[[SLICE]] : tensor<8x16xf32> as #layout
// CHECK: exec.program @pack
// CHECK: exec.repeat 0 count
// CHECK: exec.launch @pack_f32_8x16(
ml_program.global private @"w.{}"(#ml_program.extern : tensor<3x32x16xf32>) : tensor<3x32x16xf32>
func.func @slices(%x: tensor<?x16xf32>, %offsets: tensor<4xi32>, %active: tensor<3xi32>) -> tensor<?x8xf32> {
  %w = ml_program.global_load_const @"w.{}" : tensor<3x32x16xf32>
  %s = tensor.extract_slice %w[0, 8, 0] [3, 8, 16] [1, 1, 1] : tensor<3x32x16xf32> to tensor<3x8x16xf32>
  %y = moe.grouped_matmul %x, %s, %offsets, %active : tensor<?x16xf32>, tensor<3x8x16xf32>, tensor<4xi32>, tensor<3xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

// A tensor of this run is laid out before the product, each time.
// CHECK: exec.program @run
// CHECK: %[[X:.*]] = exec.argument "arg0"
// CHECK: %[[W:.*]] = exec.argument "arg1"
// CHECK: %[[P:.*]] = exec.temporary bytes
// CHECK: exec.launch @pack_f32_32x16(%[[W]], %[[P]])
// CHECK: exec.launch @matmul_32x16{{.*}}(%[[X]], %[[P]],
// CHECK-NOT: exec.program @pack
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
func.func @run(%x: tensor<?x16xf32>, %w: tensor<32x16xf32>) -> tensor<?x32xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x16xf32>
  %empty = tensor.empty(%t) : tensor<?x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x32xf32>) -> tensor<?x32xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x16xf32>, tensor<32x16xf32>) outs(%init : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// -----

#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
ml_program.global private @"w.{}"(#ml_program.extern : tensor<3x32x16xf32>) : tensor<3x32x16xf32>
func.func @one(%x: tensor<4x16xf32>) -> tensor<4x32xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x32xf32>) -> tensor<4x32xf32>
  %w = ml_program.global_load_const @"w.{}" : tensor<3x32x16xf32>
  %s = tensor.extract_slice %w[1, 0, 0] [1, 32, 16] [1, 1, 1] : tensor<3x32x16xf32> to tensor<32x16xf32>
  // expected-error@+1 {{wants the same slice of each tensor of a stack}}
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %s : tensor<4x16xf32>, tensor<32x16xf32>) outs(%init : tensor<4x32xf32>) -> tensor<4x32xf32>
  return %y : tensor<4x32xf32>
}

// -----

#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
func.func @somewhere(%x: tensor<?x16xf32>, %w: tensor<64x16xf32>) -> tensor<?x32xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x16xf32>
  %empty = tensor.empty(%t) : tensor<?x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x32xf32>) -> tensor<?x32xf32>
  %s = tensor.extract_slice %w[%t, 0] [32, 16] [1, 1] : tensor<64x16xf32> to tensor<32x16xf32>
  // expected-error@+1 {{wants weights of static shape, or static slices of such}}
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %s : tensor<?x16xf32>, tensor<32x16xf32>) outs(%init : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}
