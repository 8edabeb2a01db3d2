// RUN: hadal-opt %s --split-input-file --verify-diagnostics

// One case for each constraint of each op, under the number that the op's description gives it.

// C1
func.func @square_sums_c1(%x: tensor<2x9xf32>) -> tensor<2x3xf32> {
  // expected-error@+1 {{'train.square_sums' op wants block (0) to be at least 1}}
  %r = train.square_sums %x {block = 0 : i64} : tensor<2x9xf32> -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}

// -----

// C2
func.func @square_sums_c2(%x: tensor<2x?x3xf32>) -> tensor<2x3xf32> {
  // expected-error@+1 {{'train.square_sums' op operand #0 must be tensor of rank 2 of 32-bit float values, but got 'tensor<2x?x3xf32>'}}
  %r = train.square_sums %x {block = 4 : i64} : tensor<2x?x3xf32> -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}

// -----

// C3
func.func @square_sums_c3(%x: tensor<2x9xf32>) -> tensor<2x2xf32> {
  // expected-error@+1 {{'train.square_sums' op wants dimension 1 of sums (2) to be B (3)}}
  %r = train.square_sums %x {block = 4 : i64} : tensor<2x9xf32> -> tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// -----

// C1
func.func @sum_rows_c1(%x: tensor<3xf32>) -> tensor<3xf64> {
  // expected-error@+1 {{'train.sum_rows' op operand #0 must be tensor of rank 2 of 32-bit float values, but got 'tensor<3xf32>'}}
  %r = train.sum_rows %x : tensor<3xf32> -> tensor<3xf64>
  return %r : tensor<3xf64>
}

// -----

// C2
func.func @sum_rows_c2(%x: tensor<2x3xf32>) -> tensor<3xf64> {
  // expected-error@+1 {{'train.sum_rows' op wants dimension 0 of sums (3) to be T (2)}}
  %r = train.sum_rows %x : tensor<2x3xf32> -> tensor<3xf64>
  return %r : tensor<3xf64>
}

// -----

// C1
func.func @norm_c1(%x: tensor<2x2xf64>) -> tensor<1xf32> {
  // expected-error@+1 {{'train.norm' op operand #0 must be tensor of rank 1 of 64-bit float values, but got 'tensor<2x2xf64>'}}
  %r = train.norm %x : tensor<2x2xf64> -> tensor<1xf32>
  return %r : tensor<1xf32>
}

// -----

// C2
func.func @norm_c2(%x: tensor<2xf64>) -> tensor<2xf32> {
  // expected-error@+1 {{'train.norm' op wants dimension 0 of norm (2) to be 1 (1)}}
  %r = train.norm %x : tensor<2xf64> -> tensor<2xf32>
  return %r : tensor<2xf32>
}
