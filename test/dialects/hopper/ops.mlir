// RUN: hadal-opt %s | hadal-opt | FileCheck %s

// CHECK-LABEL: func.func @threads(
func.func @threads(%v: f32) -> f32 {
  // CHECK: hopper.thread_id
  // CHECK: hopper.block_id
  // CHECK: hopper.block_count
  // CHECK: hopper.warp_id
  // CHECK: hopper.lane_id
  // CHECK: hopper.block_rank
  // CHECK: hopper.elect
  %t = hopper.thread_id
  %b = hopper.block_id
  %n = hopper.block_count
  %w = hopper.warp_id
  %l = hopper.lane_id
  %r = hopper.block_rank
  %one = hopper.elect
  // CHECK: hopper.shuffle "xor" %{{.*}}, %{{.*}} : f32
  // CHECK: hopper.shuffle "idx" %{{.*}}, %{{.*}} : f32
  %a = hopper.shuffle "xor" %v, %l : f32
  %c = hopper.shuffle "idx" %a, %l : f32
  // CHECK: hopper.barrier 0{{$}}
  // CHECK: hopper.barrier 1 threads 256
  // CHECK: hopper.cluster_barrier
  hopper.barrier 0
  hopper.barrier 1 threads 256
  hopper.cluster_barrier
  return %c : f32
}

// CHECK-LABEL: func.func @stages(
func.func @stages(%map: !llvm.ptr, %k: i32, %n: i32, %mask: i16) {
  %zero = arith.constant 0 : i32
  // CHECK: %[[P:.*]] = hopper.pipeline offset 65536 stages 2 full 1 empty 8
  %p = hopper.pipeline offset 65536 stages 2 full 1 empty 8
  // CHECK: hopper.init_pipeline %[[P]]
  hopper.init_pipeline %p
  // CHECK: hopper.role 0 count 2 registers 232 {
  hopper.role 0 count 2 registers 232 {
  ^bb0(%group: i32):
    // CHECK: hopper.wait "full" %[[P]][%{{.*}}], %{{.*}}
    // CHECK: hopper.arrive "empty" %[[P]][%{{.*}}]
    // CHECK: hopper.arrive "empty" %[[P]][%{{.*}}] at %{{.*}}
    hopper.wait "full" %p[%zero], %zero
    hopper.arrive "empty" %p[%zero]
    hopper.arrive "empty" %p[%zero] at %group
  }
  // CHECK: hopper.role 2 count 1 registers 40 fewer {
  hopper.role 2 count 1 registers 40 fewer {
  ^bb0(%group: i32):
    // CHECK: hopper.expect %[[P]][%{{.*}}] bytes 16384
    // CHECK: hopper.load_tile %{{.*}}[%{{.*}}, %{{.*}}] into %{{.*}}, %[[P]][%{{.*}}] : !llvm.ptr
    // CHECK: hopper.load_tile %{{.*}}[%{{.*}}] into %{{.*}}, %[[P]][%{{.*}}] multicast %{{.*}} : !llvm.ptr
    // CHECK: hopper.advance %[[P]][%{{.*}}], %{{.*}}
    hopper.wait "empty" %p[%zero], %zero
    hopper.expect %p[%zero] bytes 16384
    hopper.load_tile %map[%k, %n] into %zero, %p[%zero] : !llvm.ptr
    hopper.load_tile %map[%k] into %zero, %p[%zero] multicast %mask : !llvm.ptr
    %stage, %phase = hopper.advance %p[%zero], %zero
  }
  return
}

// CHECK-LABEL: func.func @tiles(
func.func @tiles(%map: !llvm.ptr, %k: i32, %offset: i32) {
  // CHECK: %[[O:.*]] = hopper.swizzle %{{.*}}
  // CHECK: %[[V:.*]] = hopper.load_shared %[[O]] : vector<4xf32>
  // CHECK: hopper.store_shared %[[V]], %[[O]] : vector<4xf32>
  %o = hopper.swizzle %offset
  %v = hopper.load_shared %o : vector<4xf32>
  hopper.store_shared %v, %o : vector<4xf32>
  // CHECK: hopper.fence_async
  // CHECK: hopper.store_tile %{{.*}} into %{{.*}}[%{{.*}}, %{{.*}}] : !llvm.ptr
  // CHECK: hopper.commit_stores
  // CHECK: hopper.wait_stores 1 read
  // CHECK: hopper.wait_stores 0{{$}}
  hopper.fence_async
  hopper.store_tile %offset into %map[%k, %k] : !llvm.ptr
  hopper.commit_stores
  hopper.wait_stores 1 read
  hopper.wait_stores 0
  return
}

// CHECK-LABEL: func.func @products(
func.func @products(%a: i32, %b: i32, %s: f32) -> vector<64xf32> {
  // CHECK: %[[P:.*]] = hopper.mma %{{.*}}, %{{.*}} {element = f8E4M3FN, k = 128 : i32, n = 128 : i32}
  // CHECK: %[[V:.*]] = hopper.await %[[P]] : vector<64xf32>
  %p = hopper.mma %a, %b {element = f8E4M3FN, n = 128 : i32, k = 128 : i32}
  %v = hopper.await %p : vector<64xf32>
  // CHECK: hopper.promote %[[V]], %[[V]], %{{.*}}, %{{.*}} : vector<64xf32>
  %w = hopper.promote %v, %v, %s, %s : vector<64xf32>
  // CHECK: %[[Q:.*]] = hopper.mma %{{.*}}, %{{.*}}, %{{.*}} : vector<64xf32> {element = bf16, k = 64 : i32, n = 128 : i32}
  // CHECK: hopper.mma %{{.*}}, %{{.*}}, %[[Q]] : !hopper.pending {element = bf16, k = 64 : i32, n = 128 : i32}
  // CHECK: hopper.await %{{.*}} {hopper.dropped} : vector<64xf32>
  %q = hopper.mma %a, %b, %w : vector<64xf32> {element = bf16, n = 128 : i32, k = 64 : i32}
  %t = hopper.mma %a, %b, %q : !hopper.pending {element = bf16, n = 128 : i32, k = 64 : i32}
  %r = hopper.await %t {hopper.dropped} : vector<64xf32>
  return %r : vector<64xf32>
}
