// RUN: hadal-compile %S/Inputs/chain.mlir --cpu=x86-64-v3 --emit=llvm -o - | FileCheck %s

// The entry has the type of runtime/Abi.h: buffers, scalars, begin, end, scratch.
// CHECK: define {{.*}}void @matmul_32x16_0(ptr {{.*}}, ptr {{.*}}, i64 {{.*}}, i64 {{.*}}, ptr
// Nothing outside of the image is called.
// CHECK-NOT: declare {{.*}} @{{exp|log|pow|mem|malloc|free}}
