// RUN: hadal-opt %s --split-input-file --verify-diagnostics

// One case for each constraint of each op, under the number that the op's description gives it.

// C1
func.func @argmax_c1(%l: tensor<?x?xf32>) -> tensor<?xi32> {
  // expected-error@+1 {{'sample.argmax' op wants dimension 1 of logits (V) to be static, got 'tensor<?x?xf32>'}}
  %r = sample.argmax %l : tensor<?x?xf32> -> tensor<?xi32>
  return %r : tensor<?xi32>
}

// -----

// C2
func.func @argmax_c2(%l: tensor<4x512xf32>) -> tensor<5xi32> {
  // expected-error@+1 {{'sample.argmax' op wants dimension 0 of ids (5) to be R (4)}}
  %r = sample.argmax %l : tensor<4x512xf32> -> tensor<5xi32>
  return %r : tensor<5xi32>
}

// -----

// C1
func.func @choose_c1(%a0: tensor<4x?xf32>, %a1: tensor<4xf32>, %a2: tensor<4xi32>, %a3: tensor<4xf32>, %a4: tensor<4xf32>, %a5: tensor<4xf32>) -> tensor<4xi32> {
  // expected-error@+1 {{'sample.choose' op wants dimension 1 of logits (V) to be static, got 'tensor<4x?xf32>'}}
  %r = sample.choose %a0, %a1, %a2, %a3, %a4, %a5 : tensor<4x?xf32>, tensor<4xf32>, tensor<4xi32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32> -> tensor<4xi32>
  return %r : tensor<4xi32>
}

// -----

// C2
func.func @choose_c2_temperature(%a0: tensor<4x512xf32>, %a1: tensor<3xf32>, %a2: tensor<4xi32>, %a3: tensor<4xf32>, %a4: tensor<4xf32>, %a5: tensor<4xf32>) -> tensor<4xi32> {
  // expected-error@+1 {{'sample.choose' op wants dimension 0 of temperature (3) to be R (4)}}
  %r = sample.choose %a0, %a1, %a2, %a3, %a4, %a5 : tensor<4x512xf32>, tensor<3xf32>, tensor<4xi32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32> -> tensor<4xi32>
  return %r : tensor<4xi32>
}

// -----

// C2
func.func @choose_c2_top_k(%a0: tensor<4x512xf32>, %a1: tensor<4xf32>, %a2: tensor<3xi32>, %a3: tensor<4xf32>, %a4: tensor<4xf32>, %a5: tensor<4xf32>) -> tensor<4xi32> {
  // expected-error@+1 {{'sample.choose' op wants dimension 0 of top_k (3) to be R (4)}}
  %r = sample.choose %a0, %a1, %a2, %a3, %a4, %a5 : tensor<4x512xf32>, tensor<4xf32>, tensor<3xi32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32> -> tensor<4xi32>
  return %r : tensor<4xi32>
}

// -----

// C2
func.func @choose_c2_top_p(%a0: tensor<4x512xf32>, %a1: tensor<4xf32>, %a2: tensor<4xi32>, %a3: tensor<3xf32>, %a4: tensor<4xf32>, %a5: tensor<4xf32>) -> tensor<4xi32> {
  // expected-error@+1 {{'sample.choose' op wants dimension 0 of top_p (3) to be R (4)}}
  %r = sample.choose %a0, %a1, %a2, %a3, %a4, %a5 : tensor<4x512xf32>, tensor<4xf32>, tensor<4xi32>, tensor<3xf32>, tensor<4xf32>, tensor<4xf32> -> tensor<4xi32>
  return %r : tensor<4xi32>
}

// -----

// C2
func.func @choose_c2_min_p(%a0: tensor<4x512xf32>, %a1: tensor<4xf32>, %a2: tensor<4xi32>, %a3: tensor<4xf32>, %a4: tensor<3xf32>, %a5: tensor<4xf32>) -> tensor<4xi32> {
  // expected-error@+1 {{'sample.choose' op wants dimension 0 of min_p (3) to be R (4)}}
  %r = sample.choose %a0, %a1, %a2, %a3, %a4, %a5 : tensor<4x512xf32>, tensor<4xf32>, tensor<4xi32>, tensor<4xf32>, tensor<3xf32>, tensor<4xf32> -> tensor<4xi32>
  return %r : tensor<4xi32>
}

// -----

// C2
func.func @choose_c2_uniform(%a0: tensor<4x512xf32>, %a1: tensor<4xf32>, %a2: tensor<4xi32>, %a3: tensor<4xf32>, %a4: tensor<4xf32>, %a5: tensor<3xf32>) -> tensor<4xi32> {
  // expected-error@+1 {{'sample.choose' op wants dimension 0 of uniform (3) to be R (4)}}
  %r = sample.choose %a0, %a1, %a2, %a3, %a4, %a5 : tensor<4x512xf32>, tensor<4xf32>, tensor<4xi32>, tensor<4xf32>, tensor<4xf32>, tensor<3xf32> -> tensor<4xi32>
  return %r : tensor<4xi32>
}

// -----

// C3
func.func @choose_c3(%a0: tensor<4x512xf32>, %a1: tensor<4xf32>, %a2: tensor<4xi32>, %a3: tensor<4xf32>, %a4: tensor<4xf32>, %a5: tensor<4xf32>) -> tensor<3xi32> {
  // expected-error@+1 {{'sample.choose' op wants dimension 0 of ids (3) to be R (4)}}
  %r = sample.choose %a0, %a1, %a2, %a3, %a4, %a5 : tensor<4x512xf32>, tensor<4xf32>, tensor<4xi32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32> -> tensor<3xi32>
  return %r : tensor<3xi32>
}

// -----

// C1
func.func @nll_c1(%l: tensor<?x?xf32>, %t: tensor<?xi32>) -> tensor<?xf32> {
  // expected-error@+1 {{'sample.nll' op wants dimension 1 of logits (V) to be static, got 'tensor<?x?xf32>'}}
  %r = sample.nll %l, %t : tensor<?x?xf32>, tensor<?xi32> -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

// C2
func.func @nll_c2(%l: tensor<4x512xf32>, %t: tensor<3xi32>) -> tensor<4xf32> {
  // expected-error@+1 {{'sample.nll' op wants dimension 0 of targets (3) to be R (4)}}
  %r = sample.nll %l, %t : tensor<4x512xf32>, tensor<3xi32> -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// C3
func.func @nll_c3(%l: tensor<4x512xf32>, %t: tensor<4xi32>) -> tensor<3xf32> {
  // expected-error@+1 {{'sample.nll' op wants dimension 0 of nll (3) to be R (4)}}
  %r = sample.nll %l, %t : tensor<4x512xf32>, tensor<4xi32> -> tensor<3xf32>
  return %r : tensor<3xf32>
}

// -----

// C1
func.func @log_probabilities_c1(%a0: tensor<4x?xf32>, %a1: tensor<4xi32>, %a2: tensor<4xf32>, %a3: tensor<4x2xi32>, %a4: tensor<4x2xf32>) -> (tensor<4xf32>, tensor<4x2xi32>, tensor<4x2xf32>) {
  // expected-error@+1 {{'sample.log_probabilities' op wants dimension 1 of logits (V) to be static, got 'tensor<4x?xf32>'}}
  %r:3 = sample.log_probabilities %a0, %a1 into %a2, %a3, %a4 : tensor<4x?xf32>, tensor<4xi32> into tensor<4xf32>, tensor<4x2xi32>, tensor<4x2xf32>
  return %r#0, %r#1, %r#2 : tensor<4xf32>, tensor<4x2xi32>, tensor<4x2xf32>
}

// -----

// C2
func.func @log_probabilities_c2(%a0: tensor<4x512xf32>, %a1: tensor<3xi32>, %a2: tensor<4xf32>, %a3: tensor<4x2xi32>, %a4: tensor<4x2xf32>) -> (tensor<4xf32>, tensor<4x2xi32>, tensor<4x2xf32>) {
  // expected-error@+1 {{'sample.log_probabilities' op wants dimension 0 of ids (3) to be R (4)}}
  %r:3 = sample.log_probabilities %a0, %a1 into %a2, %a3, %a4 : tensor<4x512xf32>, tensor<3xi32> into tensor<4xf32>, tensor<4x2xi32>, tensor<4x2xf32>
  return %r#0, %r#1, %r#2 : tensor<4xf32>, tensor<4x2xi32>, tensor<4x2xf32>
}

// -----

// C3
func.func @log_probabilities_c3(%a0: tensor<4x512xf32>, %a1: tensor<4xi32>, %a2: tensor<3xf32>, %a3: tensor<4x2xi32>, %a4: tensor<4x2xf32>) -> (tensor<3xf32>, tensor<4x2xi32>, tensor<4x2xf32>) {
  // expected-error@+1 {{'sample.log_probabilities' op wants dimension 0 of chosen (3) to be R (4)}}
  %r:3 = sample.log_probabilities %a0, %a1 into %a2, %a3, %a4 : tensor<4x512xf32>, tensor<4xi32> into tensor<3xf32>, tensor<4x2xi32>, tensor<4x2xf32>
  return %r#0, %r#1, %r#2 : tensor<3xf32>, tensor<4x2xi32>, tensor<4x2xf32>
}

// -----

// C4
func.func @log_probabilities_c4(%a0: tensor<4x512xf32>, %a1: tensor<4xi32>, %a2: tensor<4xf32>, %a3: tensor<3x2xi32>, %a4: tensor<4x2xf32>) -> (tensor<4xf32>, tensor<3x2xi32>, tensor<4x2xf32>) {
  // expected-error@+1 {{'sample.log_probabilities' op wants dimension 0 of top_ids (3) to be R (4)}}
  %r:3 = sample.log_probabilities %a0, %a1 into %a2, %a3, %a4 : tensor<4x512xf32>, tensor<4xi32> into tensor<4xf32>, tensor<3x2xi32>, tensor<4x2xf32>
  return %r#0, %r#1, %r#2 : tensor<4xf32>, tensor<3x2xi32>, tensor<4x2xf32>
}

// -----

// C5
func.func @log_probabilities_c5(%a0: tensor<4x512xf32>, %a1: tensor<4xi32>, %a2: tensor<4xf32>, %a3: tensor<4x2xi32>, %a4: tensor<4x3xf32>) -> (tensor<4xf32>, tensor<4x2xi32>, tensor<4x3xf32>) {
  // expected-error@+1 {{'sample.log_probabilities' op wants dimension 1 of top (3) to be P (2)}}
  %r:3 = sample.log_probabilities %a0, %a1 into %a2, %a3, %a4 : tensor<4x512xf32>, tensor<4xi32> into tensor<4xf32>, tensor<4x2xi32>, tensor<4x3xf32>
  return %r#0, %r#1, %r#2 : tensor<4xf32>, tensor<4x2xi32>, tensor<4x3xf32>
}

// -----

// C1
func.func @penalize_c1(%a0: tensor<4x?xf32>, %a1: tensor<4xf32>, %a2: tensor<5xi32>, %a3: tensor<?xi32>) -> tensor<4x?xf32> {
  // expected-error@+1 {{'sample.penalize' op wants dimension 1 of logits (V) to be static, got 'tensor<4x?xf32>'}}
  %r = sample.penalize %a0, %a1, %a2, %a3 : tensor<4x?xf32>, tensor<4xf32>, tensor<5xi32>, tensor<?xi32>
  return %r : tensor<4x?xf32>
}

// -----

// C2
func.func @penalize_c2(%a0: tensor<4x512xf32>, %a1: tensor<3xf32>, %a2: tensor<5xi32>, %a3: tensor<?xi32>) -> tensor<4x512xf32> {
  // expected-error@+1 {{'sample.penalize' op wants dimension 0 of penalty (3) to be R (4)}}
  %r = sample.penalize %a0, %a1, %a2, %a3 : tensor<4x512xf32>, tensor<3xf32>, tensor<5xi32>, tensor<?xi32>
  return %r : tensor<4x512xf32>
}

// -----

// C3
func.func @penalize_c3(%a0: tensor<4x512xf32>, %a1: tensor<4xf32>, %a2: tensor<4xi32>, %a3: tensor<?xi32>) -> tensor<4x512xf32> {
  // expected-error@+1 {{'sample.penalize' op wants dimension 0 of offsets (4) to be R+1 (5)}}
  %r = sample.penalize %a0, %a1, %a2, %a3 : tensor<4x512xf32>, tensor<4xf32>, tensor<4xi32>, tensor<?xi32>
  return %r : tensor<4x512xf32>
}

// -----

// C4
func.func @penalize_c4(%a0: tensor<4x512xf32>, %a1: tensor<4xf32>, %a2: tensor<5xi32>, %a3: tensor<2x2xi32>) -> tensor<4x512xf32> {
  // expected-error@+1 {{'sample.penalize' op operand #3 must be tensor of rank 1 of 32-bit signless integer values, but got 'tensor<2x2xi32>'}}
  %r = sample.penalize %a0, %a1, %a2, %a3 : tensor<4x512xf32>, tensor<4xf32>, tensor<5xi32>, tensor<2x2xi32>
  return %r : tensor<4x512xf32>
}
