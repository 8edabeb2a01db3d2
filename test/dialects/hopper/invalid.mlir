// RUN: hadal-opt %s --split-input-file --verify-diagnostics

// One case for each constraint of each op, under the number that the op's description gives it.

// C1
func.func @shuffle_c1(%v: f32, %l: i32) {
  // expected-error@+1 {{'hopper.shuffle' op wants kind xor or idx, got up}}
  %r = hopper.shuffle "up" %v, %l : f32
  return
}

// -----

// C1
func.func @role_c1() {
  // expected-error@+1 {{'hopper.role' op wants one warpgroup or more, from 0 on, got 0 from 0}}
  hopper.role 0 count 0 {
  ^bb0(%g: i32):
  }
  return
}

// -----

// C2
func.func @role_c2() {
  // expected-error@+1 {{'hopper.role' op wants registers (30) to be 24 to 256, a multiple of 8}}
  hopper.role 0 count 1 registers 30 {
  ^bb0(%g: i32):
  }
  return
}

// -----

// C3
func.func @role_c3() {
  // expected-error@+1 {{'hopper.role' op wants a body that takes one i32}}
  hopper.role 0 count 1 {
  ^bb0(%g: i64):
  }
  return
}

// -----

// C1
func.func @barrier_c1() {
  // expected-error@+1 {{'hopper.barrier' op wants id (16) to be 0 to 15}}
  hopper.barrier 16 threads 32
  return
}

// -----

// C2
func.func @barrier_c2() {
  // expected-error@+1 {{'hopper.barrier' op wants threads (48) to be 32 to 1024, a multiple of 32}}
  hopper.barrier 1 threads 48
  return
}

// -----

// C3
func.func @barrier_c3() {
  // expected-error@+1 {{'hopper.barrier' op wants threads of barrier 1}}
  hopper.barrier 1
  return
}

// -----

// C1
func.func @pipeline_c1() {
  // expected-error@+1 {{'hopper.pipeline' op wants offset (4) to be a multiple of 8, not negative}}
  %p = hopper.pipeline offset 4 stages 2 full 1 empty 1
  return
}

// -----

// C2
func.func @pipeline_c2() {
  // expected-error@+1 {{'hopper.pipeline' op wants stages (33) to be 1 to 32}}
  %p = hopper.pipeline offset 0 stages 33 full 1 empty 1
  return
}

// -----

// C3
func.func @pipeline_c3() {
  // expected-error@+1 {{'hopper.pipeline' op wants 1 to 1048575 arrivals, got 0}}
  %p = hopper.pipeline offset 0 stages 2 full 0 empty 1
  return
}

// -----

// C1
func.func @init_pipeline_c1(%p: !hopper.pipeline) {
  // expected-error@+1 {{'hopper.init_pipeline' op wants the result of a hopper.pipeline}}
  hopper.init_pipeline %p
  return
}

// -----

// C1
func.func @wait_c1(%p: !hopper.pipeline, %s: i32) {
  // expected-error@+1 {{'hopper.wait' op wants the result of a hopper.pipeline}}
  hopper.wait "full" %p[%s], %s
  return
}

// -----

// C2
func.func @wait_c2(%s: i32) {
  %p = hopper.pipeline offset 0 stages 2 full 1 empty 1
  // expected-error@+1 {{'hopper.wait' op wants side full or empty, got half}}
  hopper.wait "half" %p[%s], %s
  return
}

// -----

// C1
func.func @arrive_c1(%p: !hopper.pipeline, %s: i32) {
  // expected-error@+1 {{'hopper.arrive' op wants the result of a hopper.pipeline}}
  hopper.arrive "full" %p[%s]
  return
}

// -----

// C2
func.func @arrive_c2(%s: i32) {
  %p = hopper.pipeline offset 0 stages 2 full 1 empty 1
  // expected-error@+1 {{'hopper.arrive' op wants side full or empty, got half}}
  hopper.arrive "half" %p[%s]
  return
}

// -----

// C1
func.func @expect_c1(%p: !hopper.pipeline, %s: i32) {
  // expected-error@+1 {{'hopper.expect' op wants the result of a hopper.pipeline}}
  hopper.expect %p[%s] bytes 16
  return
}

// -----

// C2
func.func @expect_c2(%s: i32) {
  %p = hopper.pipeline offset 0 stages 2 full 1 empty 1
  // expected-error@+1 {{'hopper.expect' op wants bytes (0) to be 1 to 1048575}}
  hopper.expect %p[%s] bytes 0
  return
}

// -----

// C1
func.func @advance_c1(%p: !hopper.pipeline, %s: i32) {
  // expected-error@+1 {{'hopper.advance' op wants the result of a hopper.pipeline}}
  %a, %b = hopper.advance %p[%s], %s
  return
}

// -----

// C1
func.func @load_tile_c1(%m: !llvm.ptr, %p: !hopper.pipeline, %s: i32) {
  // expected-error@+1 {{'hopper.load_tile' op wants the result of a hopper.pipeline}}
  hopper.load_tile %m[%s] into %s, %p[%s] : !llvm.ptr
  return
}

// -----

// C2
func.func @load_tile_c2(%m: !llvm.ptr, %s: i32) {
  %p = hopper.pipeline offset 0 stages 2 full 1 empty 1
  // expected-error@+1 {{'hopper.load_tile' op wants 1 to 5 coordinates, got 6}}
  hopper.load_tile %m[%s, %s, %s, %s, %s, %s] into %s, %p[%s] : !llvm.ptr
  return
}

// -----

// C1
func.func @store_tile_c1(%m: !llvm.ptr, %s: i32) {
  // expected-error@+1 {{'hopper.store_tile' op wants 1 to 5 coordinates, got 0}}
  hopper.store_tile %s into %m[] : !llvm.ptr
  return
}

// -----

// C1
func.func @wait_stores_c1() {
  // expected-error@+1 {{'hopper.wait_stores' op wants pending (-1) not negative}}
  hopper.wait_stores -1
  return
}

// -----

// C1
func.func @load_shared_c1(%s: i32) {
  // expected-error@+1 {{'hopper.load_shared' op wants 1, 2, 4, 8 or 16 bytes, got 'vector<3xf32>'}}
  %v = hopper.load_shared %s : vector<3xf32>
  return
}

// -----

// C1
func.func @store_shared_c1(%v: vector<8xf32>, %s: i32) {
  // expected-error@+1 {{'hopper.store_shared' op wants 1, 2, 4, 8 or 16 bytes, got 'vector<8xf32>'}}
  hopper.store_shared %v, %s : vector<8xf32>
  return
}

// -----

// C1
func.func @mma_c1(%s: i32) {
  // expected-error@+1 {{'hopper.mma' op wants n (12) to be 8 to 256, a multiple of 8}}
  %p = hopper.mma %s, %s {element = bf16, n = 12 : i32, k = 64 : i32}
  return
}

// -----

// C2
func.func @mma_c2(%s: i32) {
  // expected-error@+1 {{'hopper.mma' op wants elements bf16 or f8E4M3FN, got 'f16'}}
  %p = hopper.mma %s, %s {element = f16, n = 128 : i32, k = 64 : i32}
  return
}

// -----

// C3
func.func @mma_c3(%s: i32) {
  // expected-error@+1 {{'hopper.mma' op wants k elements of 32, 64, 96 or 128 bytes, got 256}}
  %p = hopper.mma %s, %s {element = bf16, n = 128 : i32, k = 128 : i32}
  return
}

// -----

// C4
func.func @mma_c4(%s: i32, %v: vector<32xf32>) {
  // expected-error@+1 {{'hopper.mma' op wants n/2 (64) sums, got 'vector<32xf32>'}}
  %p = hopper.mma %s, %s, %v : vector<32xf32> {element = bf16, n = 128 : i32, k = 64 : i32}
  return
}

// -----

// C5
func.func @mma_c5(%s: i32, %p: !hopper.pending) {
  // expected-error@+1 {{'hopper.mma' op wants pending sums of a hopper.mma of the same n and block, and to be their only reader}}
  %q = hopper.mma %s, %s, %p : !hopper.pending {element = bf16, n = 128 : i32, k = 64 : i32}
  return
}

// -----

// C1
func.func @await_c1(%p: !hopper.pending) {
  // expected-error@+1 {{'hopper.await' op wants a hopper.mma of the same block, and to be its only reader}}
  %v = hopper.await %p : vector<64xf32>
  return
}

// -----

// C2
func.func @await_c2(%s: i32) {
  %p = hopper.mma %s, %s {element = bf16, n = 128 : i32, k = 64 : i32}
  // expected-error@+1 {{'hopper.await' op wants n/2 (64) sums, got 'vector<32xf32>'}}
  %v = hopper.await %p : vector<32xf32>
  return
}

// -----

// C1
func.func @promote_c1(%v: vector<6xf32>, %s: f32) {
  // expected-error@+1 {{'hopper.promote' op wants a multiple of 4 numbers, got 'vector<6xf32>'}}
  %r = hopper.promote %v, %v, %s, %s : vector<6xf32>
  return
}
