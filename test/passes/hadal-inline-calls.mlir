// RUN: hadal-opt %s --hadal-inline-calls --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-NOT: @half
// CHECK-LABEL: @quarter
// CHECK-NOT: call
// CHECK-COUNT-2: arith.mulf
// CHECK-NOT: arith.mulf
func.func private @half(%x: tensor<4xf32>) -> tensor<4xf32> {
  %half = arith.constant dense<0.5> : tensor<4xf32>
  %y = arith.mulf %x, %half : tensor<4xf32>
  return %y : tensor<4xf32>
}
func.func @quarter(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = call @half(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = call @half(%0) : (tensor<4xf32>) -> tensor<4xf32>
  return %1 : tensor<4xf32>
}

// -----

// Without calls nothing goes.
// CHECK: @unused
func.func private @unused(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}

// -----

func.func @itself(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{wants @itself to be a function with a body of one block, and not to call itself}}
  %0 = call @itself(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func private @elsewhere(tensor<4xf32>) -> tensor<4xf32>
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{wants @elsewhere to be a function with a body of one block}}
  %0 = call @elsewhere(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
