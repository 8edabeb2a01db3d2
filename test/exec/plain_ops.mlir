// What one writes by hand compiles: arith and math on tensors, constants, calls, bf16.
// RUN: hadal-compile %s -o %t.hadal
// RUN: %python %S/Inputs/plain_ops.py %t.hadal %t.dir

func.func @add(%a: tensor<3x5xf32>, %b: tensor<3x5xf32>) -> tensor<3x5xf32> {
  %0 = arith.addf %a, %b : tensor<3x5xf32>
  return %0 : tensor<3x5xf32>
}

func.func @exp(%a: tensor<?x5xf32>) -> tensor<?x5xf32> {
  %0 = math.exp %a : tensor<?x5xf32>
  return %0 : tensor<?x5xf32>
}

// max(-2 a, a), by a comparison and a choice.
func.func @choose(%a: tensor<3x5xf32>) -> tensor<3x5xf32> {
  %two = arith.constant dense<2.0> : tensor<3x5xf32>
  %0 = arith.mulf %a, %two : tensor<3x5xf32>
  %1 = arith.negf %0 : tensor<3x5xf32>
  %2 = arith.cmpf ogt, %1, %a : tensor<3x5xf32>
  %3 = arith.select %2, %1, %a : tensor<3x5xi1>, tensor<3x5xf32>
  return %3 : tensor<3x5xf32>
}

func.func private @half(%a: tensor<?x5xf32>) -> tensor<?x5xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %a, %c0 : tensor<?x5xf32>
  %half = arith.constant 0.5 : f32
  %empty = tensor.empty(%n) : tensor<?x5xf32>
  %halves = linalg.fill ins(%half : f32) outs(%empty : tensor<?x5xf32>) -> tensor<?x5xf32>
  %0 = arith.mulf %a, %halves : tensor<?x5xf32>
  return %0 : tensor<?x5xf32>
}

func.func @quarter(%a: tensor<?x5xf32>) -> tensor<?x5xf32> {
  %0 = call @half(%a) : (tensor<?x5xf32>) -> tensor<?x5xf32>
  %1 = call @half(%0) : (tensor<?x5xf32>) -> tensor<?x5xf32>
  return %1 : tensor<?x5xf32>
}

// Each sum is rounded to bf16; the products go into it as they are.
func.func @matmul_bf16(%a: tensor<3x5xbf16>, %b: tensor<5x7xbf16>) -> tensor<3x7xbf16> {
  %zero = arith.constant 0.0 : bf16
  %empty = tensor.empty() : tensor<3x7xbf16>
  %from = linalg.fill ins(%zero : bf16) outs(%empty : tensor<3x7xbf16>) -> tensor<3x7xbf16>
  %0 = linalg.matmul ins(%a, %b : tensor<3x5xbf16>, tensor<5x7xbf16>)
    outs(%from : tensor<3x7xbf16>) -> tensor<3x7xbf16>
  return %0 : tensor<3x7xbf16>
}

func.func @max_exp_bf16(%a: tensor<3x5xbf16>, %b: tensor<3x5xbf16>) -> tensor<3x5xbf16> {
  %0 = math.exp %a : tensor<3x5xbf16>
  %1 = arith.maximumf %0, %b : tensor<3x5xbf16>
  return %1 : tensor<3x5xbf16>
}
