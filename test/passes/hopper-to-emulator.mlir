// RUN: hadal-opt %s --hopper-to-emulator | FileCheck %s

// Each op becomes a call of runtime/emulated/EmulatorCalls.h; none is left. The last operand is the
// op's number in the kernel's locations.

// CHECK-NOT: hopper.{{[a-z_]+ }}

// CHECK: llvm.mlir.global external constant @threads.locations("hopper.thread_id #0 {{.*}}\00hopper.block_id #1{{.*}}\00\00")
// CHECK-LABEL: func.func @threads(
func.func @threads(%v: f32, %lane: i32) -> f32 {
  // CHECK: llvm.call @hadal_emu_thread_index(%{{.*}}) : (i32) -> i32
  // CHECK: llvm.call @hadal_emu_block_index(%{{.*}}) : (i32) -> i32
  // CHECK: llvm.call @hadal_emu_grid_size(%{{.*}}) : (i32) -> i32
  // CHECK: llvm.call @hadal_emu_elect() : () -> i32
  %t = hopper.thread_id
  %b = hopper.block_id
  %n = hopper.block_count
  %one = hopper.elect
  // CHECK: llvm.call @hadal_emu_shuffle(%{{.*}}) : (i32, i32, i32, i32, i32, i32) -> i32
  %a = hopper.shuffle "xor" %v, %lane : f32
  // CHECK: %[[ID:.*]] = arith.constant 1 : i32
  // CHECK: %[[N:.*]] = arith.constant 256 : i32
  // CHECK: %[[AT:.*]] = arith.constant 5 : i32
  // CHECK: llvm.call @hadal_emu_barrier(%[[ID]], %[[N]], %[[AT]])
  hopper.barrier 1 threads 256
  // CHECK: llvm.call @hadal_emu_cluster_arrive
  // CHECK: llvm.call @hadal_emu_cluster_wait
  hopper.cluster_barrier
  return %a : f32
}

// CHECK-LABEL: func.func @stages(
func.func @stages(%map: !llvm.ptr, %k: i32) {
  %zero = arith.constant 0 : i32
  %p = hopper.pipeline offset 65536 stages 2 full 1 empty 8
  // CHECK-COUNT-4: llvm.call @hadal_emu_mbarrier_init
  // CHECK: llvm.call @hadal_emu_fence_mbarrier_init
  hopper.init_pipeline %p
  // CHECK: scf.if
  hopper.role 0 count 2 registers 232 {
  ^bb0(%group: i32):
    // CHECK: llvm.call @hadal_emu_mbarrier_wait
    // CHECK: llvm.call @hadal_emu_mbarrier_arrive(
    // CHECK: llvm.call @hadal_emu_map_shared
    // CHECK: llvm.call @hadal_emu_mbarrier_arrive(
    hopper.wait "full" %p[%zero], %zero
    hopper.arrive "empty" %p[%zero]
    hopper.arrive "empty" %p[%zero] at %group
    // CHECK: llvm.call @hadal_emu_mbarrier_arrive_expect
    // CHECK: llvm.call @hadal_emu_tensor_load
    hopper.expect %p[%zero] bytes 16384
    hopper.load_tile %map[%k, %k] into %zero, %p[%zero] : !llvm.ptr
  }
  return
}

// CHECK-LABEL: func.func @tiles(
func.func @tiles(%map: !llvm.ptr, %k: i32, %offset: i32) {
  // CHECK: llvm.call @hadal_emu_read(
  // CHECK-NEXT: llvm.load {{.*}} -> vector<4xf32>
  // CHECK: llvm.call @hadal_emu_write(
  // CHECK-NEXT: llvm.store {{.*}} : vector<4xf32>, !llvm.ptr
  %v = hopper.load_shared %offset : vector<4xf32>
  hopper.store_shared %v, %offset : vector<4xf32>
  // CHECK: llvm.call @hadal_emu_fence_proxy
  // CHECK: llvm.call @hadal_emu_tensor_store
  // CHECK: llvm.call @hadal_emu_bulk_commit
  // CHECK: llvm.call @hadal_emu_bulk_wait
  hopper.fence_async
  hopper.store_tile %offset into %map[%k, %k] : !llvm.ptr
  hopper.commit_stores
  hopper.wait_stores 0 read
  return
}

// The sums are in memory, and nothing reads it before the wait.
// CHECK-LABEL: func.func @product(
func.func @product(%a: i32, %b: i32, %sums: vector<4xf32>) -> vector<4xf32> {
  // CHECK: %[[D:.*]] = llvm.alloca
  // CHECK: llvm.store %{{.*}}, %[[D]]
  // CHECK: llvm.call @hadal_emu_wgmma_fence
  // CHECK-COUNT-2: llvm.call @hadal_emu_wgmma(
  // CHECK: llvm.call @hadal_emu_wgmma_commit
  // CHECK: llvm.call @hadal_emu_wgmma_wait
  // CHECK-NEXT: llvm.load %[[D]]
  %p = hopper.mma %a, %b, %sums : vector<4xf32> {element = bf16, n = 8 : i32, k = 32 : i32}
  %v = hopper.await %p : vector<4xf32>
  return %v : vector<4xf32>
}

// A chain has one memory; the first wait lets the two groups of the second chain go on.
// CHECK-LABEL: func.func @chains(
func.func @chains(%a: i32, %b: i32) -> (vector<4xf32>, vector<4xf32>) {
  // CHECK-COUNT-2: llvm.alloca
  // CHECK-NOT: llvm.alloca
  // CHECK-COUNT-2: llvm.call @hadal_emu_wgmma_fence
  // CHECK-NOT: llvm.call @hadal_emu_wgmma_fence
  // CHECK: llvm.call @hadal_emu_wgmma_wait(%c2_i32{{[_0-9]*}},
  // CHECK: llvm.call @hadal_emu_wgmma_wait(%c0_i32{{[_0-9]*}},
  %p = hopper.mma %a, %b {element = bf16, n = 8 : i32, k = 16 : i32}
  %q = hopper.mma %b, %a {element = bf16, n = 8 : i32, k = 16 : i32}
  %r = hopper.mma %b, %b, %q : !hopper.pending {element = bf16, n = 8 : i32, k = 16 : i32}
  %v = hopper.await %p : vector<4xf32>
  %w = hopper.await %r : vector<4xf32>
  return %v, %w : vector<4xf32>, vector<4xf32>
}

// Of buffers that the kernel only reads there is nothing to tell.
// CHECK-LABEL: func.func @notices(
func.func @notices(%x: memref<8xf32>, %y: memref<?x8xf32>, %i: index, %j: index, %s: memref<?xi8>)
    attributes {exec.kernel, exec.launch = #exec.launch<tasks = affine_map<()[s0] -> (s0)>,
                                                        access = [0, 1]>} {
  // CHECK-NOT: hadal_emu_read
  // CHECK: llvm.call @hadal_emu_write
  // CHECK-NEXT: memref.store
  %t = hopper.thread_id
  %v = memref.load %x[%i] : memref<8xf32>
  memref.store %v, %y[%i, %j] : memref<?x8xf32>
  return
}

// CHECK-LABEL: func.func @dropped(
func.func @dropped(%a: i32) -> vector<4xf32> {
  // CHECK-NOT: hadal_emu_barrier
  // CHECK-NOT: hadal_emu_wgmma_wait
  // CHECK: return
  hopper.barrier 0 {hopper.dropped}
  %p = hopper.mma %a, %a {element = bf16, n = 8 : i32, k = 32 : i32}
  %v = hopper.await %p {hopper.dropped} : vector<4xf32>
  return %v : vector<4xf32>
}
