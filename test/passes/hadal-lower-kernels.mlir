// RUN: hadal-opt %S/Inputs/chain.mlir --exec-assign-layouts=target=x86-64-v3 --exec-form-programs=target=x86-64-v3 --hadal-lower-kernels=target=x86-64-v3 | FileCheck %s

// A kernel takes flat memory, a range of tasks and scratch; the product is a chain of fused
// multiply-adds over vectors.
// CHECK: func.func private @matmul_32x16
// CHECK-SAME: memref<?x16xf32>
// CHECK-SAME: index, %{{.*}}: index, %{{.*}}: memref<?xi8>
// CHECK-SAME: exec.launch = #exec.launch<tasks = #{{[a-z0-9]+}}, access = [0, 0, 1]
// CHECK: vector.load
// CHECK: {{vector|math}}.fma {{.*}}vector<8xf32>
// CHECK-NOT: linalg.matmul
// CHECK-NOT: tensor<

// Programs do not change.
// CHECK: exec.program @pack
