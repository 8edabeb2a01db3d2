// RUN: hadal-opt %S/Inputs/chain.mlir --exec-assign-layouts=target=x86-64-v3 --exec-form-programs=target=x86-64-v3 --exec-plan-memory | FileCheck %s

// A temporary is dead after its last reader: of three, the first and the third share memory.
// CHECK: exec.program @chain {{.*}}slots = 2
// CHECK: exec.temporary bytes {{.*}} slot [[FIRST:[01]]]
// CHECK: exec.launch
// CHECK: exec.temporary bytes {{.*}} slot
// CHECK: exec.launch
// CHECK: exec.temporary bytes {{.*}} slot [[FIRST]]
// CHECK: exec.launch
// CHECK-NOT: exec.temporary
// CHECK: exec.launch

// CHECK: exec.program @pack {{.*}}slots = 0
