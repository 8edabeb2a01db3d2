// RUN: hadal-opt %s --hadal-lower-kernels=target=sm_90a | FileCheck %s

// Products on tensor cores: who fills the stages, what is awaited, what says how it is launched. What
// they compute is held against plain loops by test/exec on the emulated device.

// Rows of f32 that bf16 holds are loaded by threads, weights of bf16 by TMA: one arrives for the
// copy, 128 for themselves. Sums stay in the accumulators; 192 outputs are two tiles.
// CHECK-LABEL: func.func private @bf16(
// CHECK-SAME: !llvm.ptr)
// CHECK-SAME: tier = "tensor", threads = 384
// CHECK-SAME: tensor_maps = [#exec.tensor_map<binding = 1, element = bf16
// CHECK-SAME: box = [64, 128], swizzle_bytes = 128>], persistent = true, loads_by_threads = true
// CHECK-NOT: linalg
// CHECK: hopper.pipeline offset 98304 stages 3 full 129 empty 8
// CHECK: hopper.init_pipeline
// CHECK: hopper.barrier 0
// CHECK: hopper.role 2 count 1 registers 120 fewer
// CHECK: hopper.wait "empty"
// CHECK: hopper.expect {{.*}} bytes 16384
// CHECK: hopper.load_tile
// CHECK: vector.load {{.*}}alignment = 16{{.*}} vector<8xf32>
// CHECK: hopper.swizzle
// CHECK: hopper.store_shared {{.*}} : vector<8xi16>
// CHECK: hopper.fence_async
// CHECK-NEXT: hopper.arrive "full"
// CHECK: hopper.role 0 count 2 registers 192
// CHECK: hopper.wait "full"
// CHECK: hopper.mma {{.*}} : vector<64xf32> {element = bf16, k = 64 : i32, n = 128 : i32}
// CHECK: hopper.await
// CHECK: hopper.arrive "empty"
// CHECK-NOT: hopper.promote
// CHECK: vector.store {{.*}}alignment = 8{{.*}} vector<2xf32>
func.func @bf16(%x: tensor<?x256xf32>, %w: tensor<192x256xbf16>) -> tensor<?x192xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x256xf32>
  %e = tensor.empty(%m) : tensor<?x192xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x192xf32>) -> tensor<?x192xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<?x256xf32>, tensor<192x256xbf16>) outs(%f : tensor<?x192xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x192xf32>
  return %r : tensor<?x192xf32>
}

// Codes of both sides come by TMA, asked for by one thread. Sums begin anew with each 128 of K.
// CHECK-LABEL: func.func private @fp8(
// CHECK-SAME: tensor_maps = [#exec.tensor_map<binding = 0, element = i8{{.*}}#exec.tensor_map<binding = 2, element = i8
// CHECK-NOT: loads_by_threads
// CHECK: hopper.pipeline offset 65536 stages 2 full 1 empty 8
// CHECK: hopper.role 2 count 1 registers 40 fewer
// CHECK: hopper.elect
// CHECK: hopper.expect {{.*}} bytes 32768
// CHECK-COUNT-2: hopper.load_tile
// CHECK-NOT: hopper.store_shared
// CHECK: hopper.role 0 count 2 registers 232
// CHECK: memref.load {{.*}} : memref<?x3xf32>
// CHECK: memref.load {{.*}} : memref<2x3xf32>
// CHECK: %[[P:.*]] = hopper.mma %{{[^,]*}}, %{{[^,]*}} {element = f8E4M3FN, k = 128 : i32, n = 128 : i32}
// CHECK: %[[V:.*]] = hopper.await %[[P]]
// CHECK: hopper.promote %[[V]]
func.func @fp8(%x: tensor<?x384xf8E4M3FN>, %xs: tensor<?x3xf32>, %w: tensor<192x384xf8E4M3FN>, %ws: tensor<2x3xf32>) -> tensor<?x192xf32> attributes {exec.kernel} {
  %r = fp8.matmul %x, %w, %ws x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>} : tensor<?x384xf8E4M3FN>, tensor<192x384xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x192xf32>
  return %r : tensor<?x192xf32>
}

// Odd strides are loaded by threads, and the last output of an odd number by itself.
// CHECK-LABEL: func.func private @odd(
// CHECK-NOT: tensor_maps
// CHECK: hopper.pipeline {{.*}} full 128 empty 8
// CHECK-NOT: hopper.load_tile
// CHECK: memref.load {{.*}} : memref<?x201xf32>
// CHECK: memref.store {{.*}} : memref<?x77xf32>
func.func @odd(%x: tensor<?x201xf32>, %w: tensor<77x201xbf16>) -> tensor<?x77xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x201xf32>
  %e = tensor.empty(%m) : tensor<?x77xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x77xf32>) -> tensor<?x77xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<?x201xf32>, tensor<77x201xbf16>) outs(%f : tensor<?x77xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x77xf32>
  return %r : tensor<?x77xf32>
}

// Gate and up of gathered rows of groups: two products of one stage, then the epilogue on pairs.
// CHECK-LABEL: func.func private @pair(
// CHECK-SAME: tasks = #[[TASKS:.*]], access
// CHECK: scf.while
// CHECK: memref.load %{{.*}} : memref<?xi32>
// CHECK: hopper.role 0 count 2
// CHECK: scf.while
// CHECK-COUNT-2: hopper.mma {{.*}} n = 64 : i32}
// CHECK-COUNT-2: hopper.await
// CHECK-COUNT-2: hopper.promote
// CHECK: math.exp {{.*}} : vector<2xf32>
func.func @pair(%x: tensor<?x256xf8E4M3FN>, %w: tensor<8x192x256xf8E4M3FN>, %o: tensor<9xi32>, %a: tensor<8xi32>, %src: tensor<?xi32>, %xs: tensor<?x2xf32>, %ws: tensor<8x2x2xf32>, %w2: tensor<8x192x256xf8E4M3FN>, %ws2: tensor<8x2x2xf32>) -> tensor<?x192xf32> attributes {exec.kernel} {

  %c0 = arith.constant 0 : index
  %m = tensor.dim %src, %c0 : tensor<?xi32>
  %e = tensor.empty(%m) : tensor<?x192xf32>
  %r = fp8.grouped_matmul %x, %w, %ws, %o, %a source(%src : tensor<?xi32>) x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>} : tensor<?x256xf8E4M3FN>, tensor<8x192x256xf8E4M3FN>, tensor<8x2x2xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x192xf32>
  %r2 = fp8.grouped_matmul %x, %w2, %ws2, %o, %a source(%src : tensor<?xi32>) x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>} : tensor<?x256xf8E4M3FN>, tensor<8x192x256xf8E4M3FN>, tensor<8x2x2xf32>, tensor<9xi32>, tensor<8xi32> -> tensor<?x192xf32>
  %one = arith.constant 1.0 : f32
  %h = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>],
    iterator_types = ["parallel", "parallel"]} ins(%r, %r2 : tensor<?x192xf32>, tensor<?x192xf32>) outs(%e : tensor<?x192xf32>) {
    ^bb0(%a1: f32, %b1: f32, %c1: f32):
      %n1 = arith.negf %a1 : f32
      %e1 = math.exp %n1 : f32
      %d1 = arith.addf %e1, %one : f32
      %q1 = arith.divf %a1, %d1 : f32
      %u1 = arith.mulf %q1, %b1 : f32
      linalg.yield %u1 : f32
  } -> tensor<?x192xf32>
  return %h : tensor<?x192xf32>
}

// A number of f32 is three of bf16, and a product six of theirs, the smallest first; weights come by
// TMA in f32, into a pipeline of their own.
// CHECK-LABEL: func.func private @parts(
// CHECK-SAME: element = f32{{.*}}box = [64, 64]>]
// CHECK-COUNT-2: hopper.pipeline
// CHECK: hopper.load_tile
// CHECK: hopper.wait "full"
// CHECK-COUNT-3: hopper.store_shared
// CHECK: hopper.load_shared {{.*}} : vector<4xf32>
// CHECK-COUNT-3: hopper.store_shared
// CHECK: hopper.role 0 count 2
// CHECK: hopper.mma {{.*}} : vector<32xf32>
// CHECK-COUNT-5: hopper.mma {{.*}} : !hopper.pending
// CHECK-NOT: hopper.mma
// CHECK: hopper.await
func.func @parts(%x: tensor<?x256xf32>, %w: tensor<192x256xf32>) -> tensor<?x192xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x256xf32>
  %e = tensor.empty(%m) : tensor<?x192xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x192xf32>) -> tensor<?x192xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<?x256xf32>, tensor<192x256xf32>) outs(%f : tensor<?x192xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %p = arith.mulf %a, %b : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x192xf32>
  return %r : tensor<?x192xf32>
}
