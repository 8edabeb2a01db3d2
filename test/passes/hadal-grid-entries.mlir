// RUN: hadal-compile %S/Inputs/chain.mlir --target=sm_90a --tiers=serial --ptxas=off --emit=ptx -o - | FileCheck %s
// RUN: hadal-compile %S/Inputs/chain.mlir --target=sm_90a-emulated --tiers=serial --emit=llvm -o - | FileCheck %s --check-prefix=HOST

// One text: its head stands once, however many kernels there are.
// CHECK: .version 8.8
// CHECK-NEXT: .target sm_90a
// CHECK-NEXT: .address_size 64
// CHECK-NOT: .version
// Addresses, scalars and the number of tasks, each by itself; a block is a warp.
// CHECK: .visible .entry matmul_32x16_0(
// CHECK: .param .u64
// CHECK: .reqntid 32
// Its task is that of the thread in the grid.
// CHECK-DAG: %ctaid.x
// CHECK-DAG: %tid.x
// CHECK-DAG: %nctaid.x
// Products are fused, sums are not contracted.
// CHECK: fma.rn.f32
// CHECK-NOT: .extern

// The stand-in driver hands on a table of addresses, and copies what the sizes say.
// HOST: @matmul_32x16_0.params = {{.*}}constant [{{[0-9]+}} x i32] [i32 {{[0-9]+}}, i32 8,
// HOST: define {{.*}}void @matmul_32x16_0(ptr {{[^,]*}})
// HOST: call i32 @hadal_emu_block_index(i32 0)
