// RUN: hadal-opt %s --exec-assign-layouts=target=x86-64-v3 | FileCheck %s
// RUN: hadal-opt %s --exec-assign-layouts=target=x86-64-v4 | FileCheck %s --check-prefix=WIDE
// RUN: hadal-opt %s --exec-assign-layouts=target=x86-64-v3 --exec-form-programs=target=x86-64-v3 | FileCheck %s --check-prefix=FORMED
// RUN: not hadal-opt %s --exec-assign-layouts=target=abacus 2>&1 | FileCheck %s --check-prefix=WRONG
// WRONG: got abacus

// A matrix that products alone read lies in panels, as wide as the target's vectors want them. What
// goes with it lies as it does: its gradient, a rounded copy. So does a stack.
// CHECK: ml_program.global private mutable @w({{.*}}) : tensor<6x8xf32> {exec.layout = #[[$PANELS:.*]]}
// CHECK: ml_program.global private mutable @sum.gradient.w({{.*}}) : tensor<6x8xf32> {exec.layout = #[[$PANELS]], {{.*}}}
// CHECK: ml_program.global private mutable @experts({{.*}}) : tensor<3x6x8xf32> {exec.layout = #[[$PANELS]]}
// WIDE: #{{layout.*}} = #exec.layout<"cpu.panels", outputs = 32, inner = 2>
// What something else reads, too, and vectors lie as stored; a layout that is given stays.
// CHECK: ml_program.global private mutable @table({{.*}}) : tensor<6x8xf32>{{$}}
// CHECK: ml_program.global private mutable @norm({{.*}}) : tensor<8xf32>{{$}}
// CHECK: ml_program.global private mutable @given({{.*}}) : tensor<6x8xf32> {exec.layout = #[[$GIVEN:.*]]}

// States take the memory of their layouts, and say so.
// FORMED-DAG: #layout = #exec.layout<"cpu.panels", outputs = 16, inner = 2>
// FORMED-DAG: #[[MATRIX:.*]] = affine_map<() -> (128)>
// FORMED-DAG: #[[TABLE:.*]] = affine_map<() -> (48)>
// FORMED-DAG: exec.state @weight.w #[[MATRIX]] of f32 layout #layout
// FORMED-DAG: exec.state @gradient.w #[[MATRIX]] of f32 layout #layout
// FORMED-DAG: exec.state @weight.table #[[TABLE]] of f32{{$}}
// FORMED: func.func private @{{.*}}tensor<6x8xf32> {exec.layout = #layout}
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
#given = #exec.layout<"cpu.panels", outputs = 16, inner = 4>

ml_program.global private mutable @w(dense<0.0> : tensor<6x8xf32>) : tensor<6x8xf32>
ml_program.global private mutable @sum.gradient.w(dense<0.0> : tensor<6x8xf32>) : tensor<6x8xf32> {exec.state = "gradient.w", hadal.layout_of = @w}
ml_program.global private mutable @experts(dense<0.0> : tensor<3x6x8xf32>) : tensor<3x6x8xf32>
ml_program.global private mutable @table(dense<0.0> : tensor<6x8xf32>) : tensor<6x8xf32>
ml_program.global private mutable @norm(dense<0.0> : tensor<8xf32>) : tensor<8xf32>
ml_program.global private mutable @given(dense<0.0> : tensor<6x8xf32>) : tensor<6x8xf32> {exec.layout = #given}

func.func @f(%x: tensor<?x8xf32>, %dy: tensor<?x6xf32>) -> (tensor<?x6xf32>, tensor<6x8xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x8xf32>
  %empty = tensor.empty(%t) : tensor<?x6xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x6xf32>) -> tensor<?x6xf32>
  %w = ml_program.global_load @w : tensor<6x8xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<?x8xf32>, tensor<6x8xf32>) outs(%init : tensor<?x6xf32>) -> tensor<?x6xf32>
  %before = ml_program.global_load @sum.gradient.w : tensor<6x8xf32>
  %dw = linalg.generic {indexing_maps = [affine_map<(n, k, t) -> (t, n)>, affine_map<(n, k, t) -> (t, k)>, affine_map<(n, k, t) -> (n, k)>],
                        iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%dy, %x : tensor<?x6xf32>, tensor<?x8xf32>) outs(%before : tensor<6x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %c, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  ml_program.global_store @sum.gradient.w = %dw : tensor<6x8xf32>
  %table = ml_program.global_load @table : tensor<6x8xf32>
  return %y, %table : tensor<?x6xf32>, tensor<6x8xf32>
}
