// RUN: hadal-opt %s --hadal-lower-kernels=target=x86-64-v3 -split-input-file -verify-diagnostics | FileCheck %s

// A weight's slice is packed where it stands in the parameter, and of a pair its half of the memory
// is written: 8 of 16 lanes.
// CHECK: func.func private @half(%{{.*}}: memref<512xi16>, %{{.*}}: memref<512xi16>, %{{.*}}: index, %{{.*}}: index, %{{.*}}: memref<?xi8>)
func.func private @half(%w: tensor<32x16xbf16>, %to: tensor<16x16xbf16> {exec.in_place = 0 : i64, exec.layout = #exec.layout<"cpu.packed", outputs = 8, inner = 2, parts = 2, part = 1>})
    -> (tensor<16x16xbf16> {exec.layout = #exec.layout<"cpu.packed", outputs = 8, inner = 2, parts = 2, part = 1>}) attributes {exec.kernel} {
  %s = tensor.extract_slice %w[16, 0] [16, 16] [1, 1] : tensor<32x16xbf16> to tensor<16x16xbf16>
  %p = exec.relayout %s : tensor<16x16xbf16> as #exec.layout<"cpu.packed", outputs = 8, inner = 2, parts = 2, part = 1>
  return %p : tensor<16x16xbf16>
}

// Without a layout it is a copy.
// CHECK: func.func private @copy(%[[FROM:.*]]: memref<48xi16>, %[[TO:.*]]: memref<48xi16>,
// CHECK: %[[X:.*]] = memref.load %[[FROM]]
// CHECK: memref.store %[[X]], %[[TO]]
// CHECK-NOT: exec.relayout
func.func private @copy(%w: tensor<48xbf16>, %to: tensor<48xbf16> {exec.in_place = 0 : i64}) -> tensor<48xbf16> attributes {exec.kernel} {
  %p = exec.relayout %w : tensor<48xbf16>
  return %p : tensor<48xbf16>
}

// -----

#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
// expected-error@+1 {{matmul kernel wants weights that lie as cpu.packed or cpu.panels}}
func.func private @stored(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x32xf32>) -> tensor<4x32xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<4x64xf32>, tensor<32x64xf32>) outs(%init : tensor<4x32xf32>) -> tensor<4x32xf32>
  return %y : tensor<4x32xf32>
}

// -----

// Weights that the kernel itself would have to make have no memory.
// expected-error@+1 {{matmul kernel wants its operands to be arguments or views of them}}
func.func private @made(%x: tensor<4x8xf32>) -> tensor<4x16xf32> attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x16xf32>
  %w = linalg.fill ins(%zero : f32) outs(%e : tensor<8x16xf32>) -> tensor<8x16xf32>
  %empty = tensor.empty() : tensor<4x16xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x16xf32>) -> tensor<4x16xf32>
  %y = linalg.matmul ins(%x, %w : tensor<4x8xf32>, tensor<8x16xf32>) outs(%init : tensor<4x16xf32>) -> tensor<4x16xf32>
  return %y : tensor<4x16xf32>
}

// -----

#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
func.func private @turned(%x: tensor<4x64xf32>, %w: tensor<32x64xf32> {exec.layout = #exec.layout<"cpu.packed", outputs = 16, inner = 2, n = 1, k = 0>}) -> tensor<4x32xf32> attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x32xf32>) -> tensor<4x32xf32>
  // expected-error@+1 {{wants weights of outputs in dimension 0, sums over 1, part 0 of 1, got #exec.layout<"cpu.packed", outputs = 16, inner = 2, n = 1, k = 0>}}
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<4x64xf32>, tensor<32x64xf32>) outs(%init : tensor<4x32xf32>) -> tensor<4x32xf32>
  return %y : tensor<4x32xf32>
}

// -----

#id = affine_map<(m, n) -> (m, n)>
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
func.func private @types(%x: tensor<4x64xf32>, %w: tensor<32x64xf32> {exec.layout = #exec.layout<"cpu.packed", outputs = 8, inner = 2, parts = 2, part = 0>}, %v: tensor<32x64xbf16> {exec.layout = #exec.layout<"cpu.packed", outputs = 8, inner = 2, parts = 2, part = 1>}) -> tensor<4x32xf32> attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x32xf32>) -> tensor<4x32xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<4x64xf32>, tensor<32x64xf32>) outs(%init : tensor<4x32xf32>) -> tensor<4x32xf32>
  // expected-error@+1 {{wants weights that share memory to have one type, got 'tensor<32x64xf32>' and 'tensor<32x64xbf16>'}}
  %z = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %v : tensor<4x64xf32>, tensor<32x64xbf16>) outs(%init : tensor<4x32xf32>) -> tensor<4x32xf32>
  %s = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%y, %z : tensor<4x32xf32>, tensor<4x32xf32>) outs(%empty : tensor<4x32xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %d = arith.mulf %a, %b : f32
    linalg.yield %d : f32
  } -> tensor<4x32xf32>
  return %s : tensor<4x32xf32>
}

// -----

// expected-error@+1 {{kernel wants panels of 16 outputs, got #exec.layout<"cpu.panels", outputs = 32, inner = 2>}}
func.func private @wide(%w: tensor<32x64xf32> {exec.layout = #exec.layout<"cpu.panels", outputs = 32, inner = 2>}) -> tensor<32x64xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<32x64xf32>
  %y = linalg.copy ins(%w : tensor<32x64xf32>) outs(%empty : tensor<32x64xf32>) -> tensor<32x64xf32>
  return %y : tensor<32x64xf32>
}

// -----

// expected-error@+1 {{kernel wants tensors that lie as cpu.panels or cpu.packed, got #exec.layout<"gpu.tiles">}}
func.func private @foreign(%w: tensor<32x64xf32> {exec.layout = #exec.layout<"gpu.tiles">}) -> tensor<32x64xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<32x64xf32>
  %y = linalg.copy ins(%w : tensor<32x64xf32>) outs(%empty : tensor<32x64xf32>) -> tensor<32x64xf32>
  return %y : tensor<32x64xf32>
}

// -----

// expected-error@+1 {{relayout kernel wants a source, memory that it writes in place, and scales where it widens f8}}
func.func private @nowhere(%w: tensor<32x64xf32>) -> (tensor<32x64xf32> {exec.layout = #exec.layout<"cpu.packed">}) attributes {exec.kernel} {
  %p = exec.relayout %w : tensor<32x64xf32> as #exec.layout<"cpu.packed">
  return %p : tensor<32x64xf32>
}

// -----

// expected-error@+1 {{kernel wants packed weights to be written by an exec.relayout}}
func.func private @copied(%w: tensor<32x64xf32>) -> (tensor<32x64xf32> {exec.layout = #exec.layout<"cpu.packed">}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<32x64xf32>
  %y = linalg.copy ins(%w : tensor<32x64xf32>) outs(%empty : tensor<32x64xf32>) -> tensor<32x64xf32>
  return %y : tensor<32x64xf32>
}

// -----

func.func private @read(%w: tensor<32x64xf32> {exec.layout = #exec.layout<"cpu.panels">}) -> tensor<32x64xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<32x64xf32>
  // expected-error@+1 {{reads a tensor as stored that lies as #exec.layout<"cpu.panels">}}
  %y = linalg.exp ins(%w : tensor<32x64xf32>) outs(%empty : tensor<32x64xf32>) -> tensor<32x64xf32>
  return %y : tensor<32x64xf32>
}

// -----

// expected-error@+1 {{kernel wants packed weights that are a matrix, or a stack of them, got 'tensor<6x8xf32>' as #exec.layout<"cpu.packed", parts = 64, part = 3>}}
func.func private @parts(%w: tensor<6x8xf32>, %to: tensor<6x8xf32> {exec.in_place = 0 : i64}) -> tensor<6x8xf32> attributes {exec.kernel} {
  %p = exec.relayout %w : tensor<6x8xf32> as #exec.layout<"cpu.packed", parts = 64, part = 3>
  return %p : tensor<6x8xf32>
}

// -----

func.func private @elsewhere(%w: tensor<6x8xf32>, %to: tensor<6x8xf32> {exec.in_place = 0 : i64}) -> tensor<6x8xf32> attributes {exec.kernel} {
  // expected-error@+1 {{wants memory that lies as #exec.layout<"cpu.packed">}}
  %p = exec.relayout %w : tensor<6x8xf32> as #exec.layout<"cpu.packed">
  return %p : tensor<6x8xf32>
}

// -----

// A row's source that the kernel would have to make itself: rows are not read as they lie.
// expected-error@+1 {{moe.grouped_matmul kernel wants its operands to be arguments or views of them}}
func.func private @source(%x: tensor<4x8xf32>, %w: tensor<2x16x8xf32> {exec.layout = #exec.layout<"cpu.packed">},
    %offsets: tensor<3xi32>, %active: tensor<2xi32>) -> tensor<6x16xf32> attributes {exec.kernel} {
  %zero = arith.constant 0 : i32
  %e = tensor.empty() : tensor<6xi32>
  %source = linalg.fill ins(%zero : i32) outs(%e : tensor<6xi32>) -> tensor<6xi32>
  %y = moe.grouped_matmul %x, %w, %offsets, %active source(%source : tensor<6xi32>)
      : tensor<4x8xf32>, tensor<2x16x8xf32>, tensor<3xi32>, tensor<2xi32> -> tensor<6x16xf32>
  return %y : tensor<6x16xf32>
}

// -----

// expected-error@+1 {{moe.grouped_weight_grad kernel wants its operands to be arguments or views of them}}
func.func private @offsets(%x: tensor<6x8xf32>, %dy: tensor<6x16xf32>, %active: tensor<2xi32>,
    %dw: tensor<2x16x8xf32> {exec.in_place = 0 : i64}) -> tensor<2x16x8xf32> attributes {exec.kernel} {
  %three = arith.constant 3 : i32
  %e = tensor.empty() : tensor<3xi32>
  %offsets = linalg.fill ins(%three : i32) outs(%e : tensor<3xi32>) -> tensor<3xi32>
  %y = moe.grouped_weight_grad %x, %dy, %offsets, %active, %dw
      : tensor<6x8xf32>, tensor<6x16xf32>, tensor<3xi32>, tensor<2xi32>, tensor<2x16x8xf32> -> tensor<2x16x8xf32>
  return %y : tensor<2x16x8xf32>
}
