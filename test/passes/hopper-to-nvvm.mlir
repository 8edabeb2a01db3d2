// RUN: hadal-opt %s --hopper-to-nvvm | FileCheck %s

// Each op becomes its instruction; none is left, and none is added.

// CHECK-NOT: hopper.
// CHECK: llvm.mlir.global external @hadal_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>

// CHECK-LABEL: func.func @threads(
func.func @threads(%v: f32, %lane: i32) -> f32 {
  // CHECK: nvvm.read.ptx.sreg.tid.x
  // CHECK: nvvm.read.ptx.sreg.ctaid.x
  // CHECK: nvvm.read.ptx.sreg.nctaid.x
  %t = hopper.thread_id
  %b = hopper.block_id
  %n = hopper.block_count
  // CHECK: nvvm.shfl.sync idx
  // CHECK: nvvm.elect.sync
  %w = hopper.warp_id
  %one = hopper.elect
  // CHECK: nvvm.shfl.sync bfly {{.*}} : f32 -> f32
  %a = hopper.shuffle "xor" %v, %lane : f32
  // CHECK: nvvm.barrier id = %{{[^ ]*}}{{$}}
  // CHECK: nvvm.barrier id = %{{.*}} number_of_threads = %{{.*}}
  hopper.barrier 0
  hopper.barrier 1 threads 256
  // CHECK: nvvm.cluster.arrive
  // CHECK-NEXT: nvvm.cluster.wait
  hopper.cluster_barrier
  return %a : f32
}

// CHECK-LABEL: func.func @stages(
func.func @stages(%map: !llvm.ptr, %k: i32, %mask: i16) {
  %zero = arith.constant 0 : i32
  %p = hopper.pipeline offset 65536 stages 2 full 1 empty 8
  // CHECK-COUNT-4: nvvm.mbarrier.init
  // CHECK: nvvm.fence.mbarrier.init
  hopper.init_pipeline %p
  // CHECK: scf.if
  // CHECK: nvvm.setmaxregister increase 232
  hopper.role 0 count 2 registers 232 {
  ^bb0(%group: i32):
    // CHECK: nvvm.mbarrier.try_wait.parity
    // CHECK: nvvm.mbarrier.arrive
    // CHECK: nvvm.mapa
    // CHECK: nvvm.mbarrier.arrive {{.*}}cluster
    hopper.wait "full" %p[%zero], %zero
    hopper.arrive "empty" %p[%zero]
    hopper.arrive "empty" %p[%zero] at %group
  }
  // CHECK: scf.if
  // CHECK: nvvm.setmaxregister decrease 40
  hopper.role 2 count 1 registers 40 fewer {
  ^bb0(%group: i32):
    // CHECK: nvvm.mbarrier.arrive.expect_tx
    // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}}box
    // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}}multicast_mask
    hopper.expect %p[%zero] bytes 16384
    hopper.load_tile %map[%k, %k] into %zero, %p[%zero] : !llvm.ptr
    hopper.load_tile %map[%k] into %zero, %p[%zero] multicast %mask : !llvm.ptr
  }
  return
}

// CHECK-LABEL: func.func @advance(
// CHECK-SAME: %[[S:.*]]: i32, %[[P:.*]]: i32)
func.func @advance(%stage: i32, %phase: i32) -> (i32, i32) {
  // CHECK: %[[N:.*]] = arith.addi %[[S]]
  // CHECK: %[[W:.*]] = arith.cmpi eq, %[[N]]
  // CHECK: %[[X:.*]] = arith.xori %[[P]]
  // CHECK: arith.select %[[W]], %{{.*}}, %[[N]] : i32
  // CHECK: arith.select %[[W]], %[[X]], %[[P]] : i32
  %p = hopper.pipeline offset 0 stages 2 full 1 empty 8
  %s, %q = hopper.advance %p[%stage], %phase
  return %s, %q : i32, i32
}

// CHECK-LABEL: func.func @tiles(
func.func @tiles(%map: !llvm.ptr, %k: i32, %offset: i32) {
  // CHECK: arith.xori
  // CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xf32>
  // CHECK: llvm.store %{{.*}}, %{{.*}} {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<3>
  %o = hopper.swizzle %offset
  %v = hopper.load_shared %o : vector<4xf32>
  hopper.store_shared %v, %o : vector<4xf32>
  // CHECK: nvvm.fence.proxy
  // CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta
  // CHECK: nvvm.cp.async.bulk.commit.group
  // CHECK: nvvm.cp.async.bulk.wait_group 1 {read}
  // CHECK: nvvm.cp.async.bulk.wait_group 0
  hopper.fence_async
  hopper.store_tile %offset into %map[%k, %k] : !llvm.ptr
  hopper.commit_stores
  hopper.wait_stores 1 read
  hopper.wait_stores 0
  return
}

// FP8 begins anew, four steps of 32; the wait takes the sums' registers and gives them back.
// CHECK-LABEL: func.func @fp8(
func.func @fp8(%a: i32, %b: i32, %sums: vector<4xf32>, %s: f32) -> vector<4xf32> {
  // CHECK: nvvm.wgmma.fence.aligned
  // CHECK: nvvm.wgmma.mma_async {{.*}}k = 32{{.*}}<zero>
  // CHECK-COUNT-3: nvvm.wgmma.mma_async {{.*}}k = 32{{.*}}<f32>, <one>
  // CHECK-NOT: nvvm.wgmma.mma_async
  // CHECK: nvvm.wgmma.commit.group.sync.aligned
  // CHECK: llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3"
  // CHECK: vector.fma
  %p = hopper.mma %a, %b {element = f8E4M3FN, n = 8 : i32, k = 128 : i32}
  %v = hopper.await %p : vector<4xf32>
  %w = hopper.promote %v, %sums, %s, %s : vector<4xf32>
  return %w : vector<4xf32>
}

// BF16 goes on from sums, steps of 16. The fence takes their registers, too: nothing is moved into
// them after it.
// CHECK-LABEL: func.func @bf16(
func.func @bf16(%a: i32, %b: i32, %sums: vector<4xf32>) -> vector<4xf32> {
  // CHECK: %[[S:.*]] = llvm.inline_asm has_side_effects "wgmma.fence.sync.aligned;", "=f,=f,=f,=f,0,1,2,3"
  // CHECK: nvvm.wgmma.mma_async %{{.*}}, %{{.*}}, %[[S]], {{.*}}k = 16{{.*}}<one>], A[<bf16>
  // CHECK: nvvm.wgmma.mma_async {{.*}}k = 16{{.*}}<one>], A[<bf16>
  // CHECK-NOT: nvvm.wgmma.mma_async
  %p = hopper.mma %a, %b, %sums : vector<4xf32> {element = bf16, n = 8 : i32, k = 32 : i32}
  %v = hopper.await %p : vector<4xf32>
  return %v : vector<4xf32>
}

// A product that goes on from a pending one needs no fence. The first wait lets the second chain go
// on, which is two groups.
// CHECK-LABEL: func.func @chains(
func.func @chains(%a: i32, %b: i32) -> (vector<4xf32>, vector<4xf32>) {
  // CHECK: nvvm.wgmma.fence.aligned
  // CHECK: nvvm.wgmma.mma_async
  // CHECK: nvvm.wgmma.fence.aligned
  // CHECK: nvvm.wgmma.mma_async {{.*}}<zero>
  // CHECK-NOT: nvvm.wgmma.fence.aligned
  // CHECK: nvvm.wgmma.mma_async {{.*}}<f32>, <one>
  // CHECK: wgmma.wait_group.sync.aligned 2;
  // CHECK: wgmma.wait_group.sync.aligned 0;
  %p = hopper.mma %a, %b {element = bf16, n = 8 : i32, k = 16 : i32}
  %q = hopper.mma %b, %a {element = bf16, n = 8 : i32, k = 16 : i32}
  %r = hopper.mma %b, %b, %q : !hopper.pending {element = bf16, n = 8 : i32, k = 16 : i32}
  %v = hopper.await %p : vector<4xf32>
  %w = hopper.await %r : vector<4xf32>
  return %v, %w : vector<4xf32>, vector<4xf32>
}

// CHECK-LABEL: func.func @dropped(
func.func @dropped(%a: i32) -> vector<4xf32> {
  // CHECK-NOT: nvvm.barrier
  // CHECK-NOT: fence.proxy
  // CHECK-NOT: inline_asm
  // CHECK: return
  hopper.barrier 0 {hopper.dropped}
  hopper.fence_async {hopper.dropped}
  %p = hopper.mma %a, %a {element = bf16, n = 8 : i32, k = 32 : i32}
  %v = hopper.await %p {hopper.dropped} : vector<4xf32>
  return %v : vector<4xf32>
}
