// RUN: hadal-compile %S/Inputs/chain.mlir --cpu=x86-64-v3 --emit=llvm -o - | FileCheck %s

// The entry has the type of runtime/Abi.h: buffers, scalars, begin, end, scratch.
// CHECK: define {{.*}}void @matmul_32x16_0(ptr {{.*}}, ptr {{.*}}, i64 {{.*}}, i64 {{.*}}, ptr
// Nothing outside of the image is called.
// CHECK-NOT: declare {{.*}} @{{exp|log|pow|mem|malloc|free}}

// bf16 moves as integers: weights, and a bias that stays across the loop of a tile.
// RUN: hadal-compile %S/Inputs/bf16-bias --emit=llvm -o - | FileCheck %s --check-prefix=BF16
// BF16: define {{.*}}@matmul_154x63_fused
// BF16-NOT: load {{.*}}bfloat
// BF16-NOT: fpext {{.*}}bfloat
// RUN: hadal-compile %S/Inputs/bf16-bias --emit=object -o %t.native
// RUN: hadal-compile %S/Inputs/bf16-bias --emit=object --cpu=x86-64-v3 -o %t.v3
// RUN: hadal-compile %S/Inputs/bf16-bias --emit=object --cpu=aarch64 -o %t.arm
