// RUN: hadal-opt %s --hadal-lower-kernels=target=x86-64-v3 -split-input-file -verify-diagnostics

// Each result of a kernel has memory of its own.

// expected-error@+1 {{kernel wants to make each of its results, and to return it once}}
func.func private @argument(%logits: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {exec.kernel} {
  %ids = sample.argmax %logits : tensor<?x8xf32> -> tensor<?xi32>
  return %logits : tensor<?x8xf32>
}

// -----

// expected-error@+1 {{kernel wants to make each of its results, and to return it once}}
func.func private @twice(%x: tensor<4xf32>) -> (tensor<1xf32>, tensor<1xf32>) attributes {exec.kernel} {
  %c0 = arith.constant 0 : index
  %first = tensor.extract %x[%c0] : tensor<4xf32>
  %t = tensor.from_elements %first : tensor<1xf32>
  return %t, %t : tensor<1xf32>, tensor<1xf32>
}

// -----

// expected-error@+1 {{kernel wants result 0 in place of one argument alone}}
func.func private @places(%x: tensor<4xf32>, %a: tensor<4xf32> {exec.in_place = 0 : i64}, %b: tensor<4xf32> {exec.in_place = 0 : i64}) -> tensor<4xf32> attributes {exec.kernel} {
  %y = linalg.copy ins(%x : tensor<4xf32>) outs(%a : tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func private @some(%logits: tensor<?x8xf32>, %ids: tensor<?xi32>, %c: tensor<?xf32>, %i: tensor<?x?xi32>, %t: tensor<?x?xf32>) -> tensor<?x?xf32> attributes {exec.kernel} {
  // expected-error@+1 {{wants a kernel that returns all its results}}
  %chosen, %top_ids, %top = sample.log_probabilities %logits, %ids into %c, %i, %t
      : tensor<?x8xf32>, tensor<?xi32> into tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>
  return %top : tensor<?x?xf32>
}
