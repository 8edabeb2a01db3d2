// RUN: hadal-opt %s --hadal-lower-kernels=target=sm_90a --canonicalize --cse | FileCheck %s

// One block per row: the row is in shared memory for the sum, which the first warp adds, its lanes
// being the 32 partial sums; then four elements per thread. A warp quantizes what its threads have
// made. Threads wait twice, for the row and for its sum.

#matrix = affine_map<(t, h) -> (t, h)>
#row = affine_map<(t, h) -> (t)>
#column = affine_map<(t, h) -> (h)>

// CHECK-LABEL: func.func private @norm(
// CHECK-SAME: tier = "rows", threads = 64, shared_bytes = 2064
// CHECK: %[[X:.*]] = vector.load %arg0[{{.*}}] {alignment = 16 : i64} : memref<?x256xf32>, vector<4xf32>
// CHECK: hopper.store_shared %[[X]]
// CHECK-NEXT: hopper.barrier 0
// CHECK: scf.for
// CHECK: %[[P:.*]] = scf.for {{.*}} step %c32
// CHECK: %[[O:.*]] = hopper.shuffle "xor" %[[P]], %c16_i32 : f32
// CHECK-NEXT: %[[S:.*]] = arith.addf %[[P]], %[[O]] : f32
// CHECK-NEXT: hopper.shuffle "xor" %[[S]], %c8_i32 : f32
// CHECK: hopper.shuffle {{.*}} %c4_i32
// CHECK: hopper.shuffle {{.*}} %c2_i32
// CHECK: hopper.shuffle {{.*}} %c1_i32
// CHECK: hopper.barrier 0
// CHECK: hopper.load_shared {{.*}} : vector<4xf32>
// CHECK: vector.load %arg1[{{.*}}] {alignment = 8 : i64} : memref<256xbf16>, vector<4xbf16>
// CHECK: hopper.store_shared {{.*}} : vector<4xf32>
// CHECK-NOT: hopper.barrier
// CHECK: hopper.shuffle "xor" {{.*}} : i32
// CHECK: memref.store {{.*}} : memref<?x2xf32>
// CHECK: vector.store {{.*}} {alignment = 4 : i64} : memref<?x256xi8>, vector<4xi8>
func.func @norm(%x: tensor<?x256xf32>, %w: tensor<256xbf16>)
    -> (tensor<?x256xf8E4M3FN>, tensor<?x2xf32>) attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x256xf32>
  %empty = tensor.empty(%t) : tensor<?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %squares = linalg.generic {indexing_maps = [#matrix, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x256xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %sum: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %sum, %square fastmath<reassoc> : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %out = tensor.empty(%t) : tensor<?x256xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #row, #column, #matrix],
                       iterator_types = ["parallel", "parallel"]}
      ins(%x, %squares, %w : tensor<?x256xf32>, tensor<?xf32>, tensor<256xbf16>)
      outs(%out : tensor<?x256xf32>) {
  ^bb0(%in: f32, %sum: f32, %weight: bf16, %unused: f32):
    %scaled = arith.mulf %in, %sum : f32
    %wide = arith.extf %weight : bf16 to f32
    %r = arith.mulf %wide, %scaled : f32
    linalg.yield %r : f32
  } -> tensor<?x256xf32>
  %q, %scale = fp8.quantize %y {block = array<i64: 1, 128>}
      : tensor<?x256xf32> -> tensor<?x256xf8E4M3FN>, tensor<?x2xf32>
  return %q, %scale : tensor<?x256xf8E4M3FN>, tensor<?x2xf32>
}

// Rows of a table, whose elements are next to each other.
// CHECK-LABEL: func.func private @gather(
// CHECK-SAME: tier = "rows", threads = 32
// CHECK-NOT: hopper.barrier
// CHECK: vector.load %arg1[{{.*}}] {alignment = 8 : i64} : memref<100x64xbf16>, vector<4xbf16>
// CHECK: vector.store {{.*}} {alignment = 16 : i64} : memref<?x64xf32>, vector<4xf32>
func.func @gather(%ids: tensor<?xi32>, %table: tensor<100x64xbf16>) -> tensor<?x64xf32>
    attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %ids, %c0 : tensor<?xi32>
  %out = tensor.empty(%t) : tensor<?x64xf32>
  %y = linalg.generic {indexing_maps = [#row, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<?xi32>) outs(%out : tensor<?x64xf32>) {
  ^bb0(%id: i32, %unused: f32):
    %i = arith.index_cast %id : i32 to index
    %j = linalg.index 1 : index
    %v = tensor.extract %table[%i, %j] : tensor<100x64xbf16>
    %wide = arith.extf %v : bf16 to f32
    linalg.yield %wide : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// What a payload yields may be no result of it.
// CHECK-LABEL: func.func private @ones(
// CHECK-SAME: tier = "rows"
// CHECK-DAG: %[[ONES:.*]] = arith.constant dense<1.000000e+00> : vector<4xf32>
// CHECK: vector.store %[[ONES]], %arg1
func.func @ones(%x: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x8xf32>
  %out = tensor.empty(%t) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#matrix], iterator_types = ["parallel", "parallel"]}
      outs(%out : tensor<?x8xf32>) {
  ^bb0(%unused: f32):
    %one = arith.constant 1.0 : f32
    linalg.yield %one : f32
  } -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// One number for all rows has no vectors.
// CHECK-LABEL: func.func private @scaled(
// CHECK: memref.load %arg1[] : memref<f32>
func.func @scaled(%x: tensor<?x36xf32>, %factor: tensor<f32>) -> tensor<?x36xf32>
    attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x36xf32>
  %out = tensor.empty(%t) : tensor<?x36xf32>
  %y = linalg.generic {indexing_maps = [#matrix, affine_map<(t, h) -> ()>, #matrix],
                       iterator_types = ["parallel", "parallel"]}
      ins(%x, %factor : tensor<?x36xf32>, tensor<f32>) outs(%out : tensor<?x36xf32>) {
  ^bb0(%in: f32, %k: f32, %unused: f32):
    %r = arith.mulf %in, %k : f32
    linalg.yield %r : f32
  } -> tensor<?x36xf32>
  return %y : tensor<?x36xf32>
}

// Pairs come in two accesses, halves go in one each.
// CHECK-LABEL: func.func private @rope(
// CHECK-COUNT-2: vector.load %arg0{{.*}} {alignment = 16 : i64}
// CHECK: vector.shuffle {{.*}} [0, 2, 4, 6]
// CHECK: vector.shuffle {{.*}} [1, 3, 5, 7]
// CHECK-COUNT-2: vector.store {{.*}} {alignment = 16 : i64}
func.func @rope(%x: tensor<?x4x64xf32>, %cos: tensor<?x32xf32>, %sin: tensor<?x32xf32>)
    -> tensor<?x4x64xf32> attributes {exec.kernel} {
  %y = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<?x4x64xf32>, tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x4x64xf32>
  return %y : tensor<?x4x64xf32>
}

// A slot's row, then its key.
// CHECK-LABEL: func.func private @append(
// CHECK-COUNT-2: vector.store {{.*}} %arg3[{{.*}}] {alignment = 16 : i64} : memref<?x576xf32>, vector<4xf32>
func.func @append(%ckv: tensor<?x512xf32>, %key: tensor<?x64xf32>, %slots: tensor<?xi32>,
                  %cache: tensor<?x576xf32> {exec.in_place = 0 : i64}) -> tensor<?x576xf32>
    attributes {exec.kernel} {
  %0 = mla.cache_append %ckv, %key, %slots, %cache
      : tensor<?x512xf32>, tensor<?x64xf32>, tensor<?xi32>, tensor<?x576xf32> -> tensor<?x576xf32>
  return %0 : tensor<?x576xf32>
}

// Codes move 16 at a time.
// CHECK-LABEL: func.func private @dispatch(
// CHECK: vector.load {{.*}} {alignment = 16 : i64} : memref<?x256xi8>, vector<16xi8>
func.func @dispatch(%x: tensor<?x256xf8E4M3FN>, %source: tensor<?xi32>) -> tensor<?x256xf8E4M3FN>
    attributes {exec.kernel} {
  %0 = moe.dispatch %x, %source
      : tensor<?x256xf8E4M3FN>, tensor<?xi32> -> tensor<?x256xf8E4M3FN>
  return %0 : tensor<?x256xf8E4M3FN>
}

// One warp is a token: it waits for the experts' scores, the groups' scores, the groups taken, the
// experts picked and their order.
// CHECK-LABEL: func.func private @route(
// CHECK-SAME: threads = 32
// CHECK-COUNT-5: hopper.barrier 0
// CHECK-NOT: hopper.barrier
func.func @route(%logits: tensor<?x64xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>)
    attributes {exec.kernel} {
  %w, %e = moe.route %logits {group_limit = 2 : i64, groups = 8 : i64, normalize = true,
                              scale = 2.5 : f32, top_k = 4 : i64}
      : tensor<?x64xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// One block, a thread for each expert.
// CHECK-LABEL: func.func private @plan(
// CHECK-SAME: threads = 64
// CHECK: vector.load %arg0{{.*}} {alignment = 16 : i64} : memref<?x8xi32>, vector<4xi32>
// CHECK: hopper.barrier 0
// CHECK-NOT: hopper.barrier
func.func @plan(%e: tensor<?x8xi32>) -> (tensor<?xi32>, tensor<?x8xi32>, tensor<65xi32>, tensor<64xi32>)
    attributes {exec.kernel} {
  %s, %p, %o, %a = moe.plan %e {expert_count = 64 : i64}
      : tensor<?x8xi32> -> tensor<?xi32>, tensor<?x8xi32>, tensor<65xi32>, tensor<64xi32>
  return %s, %p, %o, %a : tensor<?xi32>, tensor<?x8xi32>, tensor<65xi32>, tensor<64xi32>
}

// CHECK-LABEL: func.func private @argmax(
// CHECK: vector.load {{.*}} {alignment = 16 : i64}
// CHECK: hopper.barrier 0
func.func @argmax(%l: tensor<?x4096xf32>) -> tensor<?xi32> attributes {exec.kernel} {
  %0 = sample.argmax %l : tensor<?x4096xf32> -> tensor<?xi32>
  return %0 : tensor<?xi32>
}

// A token drawn at random is a thread's work.
// CHECK-LABEL: func.func private @choose(
// CHECK-SAME: tier = "serial"
func.func @choose(%l: tensor<?x37xf32>, %t: tensor<?xf32>, %k: tensor<?xi32>, %p: tensor<?xf32>,
                  %m: tensor<?xf32>, %u: tensor<?xf32>) -> tensor<?xi32> attributes {exec.kernel} {
  %0 = sample.choose %l, %t, %k, %p, %m, %u : tensor<?x37xf32>, tensor<?xf32>, tensor<?xi32>,
      tensor<?xf32>, tensor<?xf32>, tensor<?xf32> -> tensor<?xi32>
  return %0 : tensor<?xi32>
}

// Both ops read one view, which is there before either of their loops.
// CHECK-LABEL: func.func private @view(
// CHECK-SAME: tier = "rows"
// CHECK: memref.subview %arg0
// CHECK: vector.load
// CHECK: vector.load
// CHECK-NOT: memref.subview
func.func @view(%x: tensor<?x96xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x96xf32>
  %part = tensor.extract_slice %x[0, 0] [%t, 64] [1, 1] : tensor<?x96xf32> to tensor<?x64xf32>
  %out = tensor.empty(%t) : tensor<?x64xf32>
  %squares = linalg.generic {indexing_maps = [#matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%part : tensor<?x64xf32>) outs(%out : tensor<?x64xf32>) {
  ^bb0(%in: f32, %unused: f32):
    %square = arith.mulf %in, %in : f32
    linalg.yield %square : f32
  } -> tensor<?x64xf32>
  %sums = linalg.generic {indexing_maps = [#matrix, #matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%squares, %part : tensor<?x64xf32>, tensor<?x64xf32>) outs(%out : tensor<?x64xf32>) {
  ^bb0(%square: f32, %in: f32, %unused: f32):
    %sum = arith.addf %square, %in : f32
    linalg.yield %sum : f32
  } -> tensor<?x64xf32>
  return %squares, %sums : tensor<?x64xf32>, tensor<?x64xf32>
}
