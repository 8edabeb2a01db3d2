// RUN: hadal-opt %s --pass-pipeline="builtin.module(func.func(hadal-expand-math))" | FileCheck %s

// exp is a polynomial on vectors and scalars alike: no call reaches a library.
// CHECK-LABEL: func.func @exponential(
// CHECK-NOT: math.exp
// CHECK: vector<8xf32>
// CHECK: return
func.func @exponential(%x: vector<8xf32>, %y: f32) -> (vector<8xf32>, f32) {
  %0 = math.exp %x : vector<8xf32>
  %1 = math.exp %y : f32
  return %0, %1 : vector<8xf32>, f32
}

// A square root is an instruction already.
// CHECK-LABEL: func.func @root(
// CHECK: math.sqrt
func.func @root(%x: vector<8xf32>) -> vector<8xf32> {
  %0 = math.sqrt %x : vector<8xf32>
  return %0 : vector<8xf32>
}
