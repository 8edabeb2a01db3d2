// RUN: hadal-opt %S/Inputs/chain.mlir --exec-assign-layouts=target=x86-64-v3 --exec-form-programs=target=x86-64-v3 | FileCheck %s

// Parameters stay what the checkpoint holds; each gets packed memory of its own.
// CHECK-DAG: exec.parameter @parameter.a "a" : tensor<32x16xbf16>
// CHECK-DAG: #layout = #exec.layout<"cpu.packed", outputs = 16, inner = 2>
// CHECK-DAG: exec.weight @weight.a bytes 1024 layout #layout
// CHECK-DAG: exec.weight @weight.b bytes 1024 layout #layout

// The function is a list of launches; its sizes follow the argument's.
// CHECK: exec.program @chain registers ["arg0.0"] {
// CHECK-DAG: %[[A:.*]] = exec.get @weight.a
// CHECK-DAG: %[[C:.*]] = exec.get @weight.c
// CHECK: %[[X:.*]] = exec.argument "x" #[[$X:.*]] of f32
// CHECK: %[[Y:.*]] = exec.argument output "y"
// CHECK: %[[T0:.*]] = exec.temporary bytes
// CHECK: exec.launch @[[UP:matmul_32x16.*]](%[[X]], %[[A]], %[[T0]]) {{.*}} flops
// CHECK: exec.launch @[[DOWN:matmul_16x32.*]](%[[T0]],
// Equal products share a kernel.
// CHECK: exec.launch @[[UP]]({{.*}}, %[[C]],
// The last one writes the result in place.
// CHECK: exec.launch @[[DOWN]]({{.*}}, %[[Y]])
// CHECK-NOT: exec.launch
// CHECK: }

// CHECK: func.func private @[[UP]]({{.*}}exec.layout = #layout{{.*}}attributes {exec.kernel}
// CHECK-COUNT-1: linalg.matmul

// The kernel of a weight's layout is on tensors, too, and written in place.
// CHECK: func.func private @pack_bf16_32x16(%[[W:.*]]: tensor<32x16xbf16>, %{{.*}}: tensor<32x16xbf16> {exec.in_place = 0 : i64, exec.layout = #layout})
// CHECK-SAME: -> (tensor<32x16xbf16> {exec.layout = #layout}) attributes {exec.kernel}
// CHECK: exec.relayout %[[W]] : tensor<32x16xbf16> as #layout

// Packing is a program too: a launch a weight, equal shapes by one kernel.
// CHECK: exec.program @pack
// CHECK: exec.launch @[[PACK:pack_bf16_32x16.*]](
// CHECK: exec.launch @pack_bf16_16x32
// CHECK: exec.launch @[[PACK]](
// CHECK: exec.launch @pack_bf16_16x32
