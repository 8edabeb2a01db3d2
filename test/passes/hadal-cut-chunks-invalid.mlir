// RUN: hadal-opt %s --hadal-cut-chunks -split-input-file -verify-diagnostics

// What crosses ranks has a name and sizes over the function's registers.

module attributes {job.ranks = #job.ranks<ep = 2>} {
// expected-error@+1 {{argument 0 wants to be a ranked tensor that has exec.name or exec.state}}
func.func @nameless(%x: tensor<4xi32>) -> tensor<4xi32> attributes {exec.registers = ["r", "c"]} {
  %r:3 = moe.exchange_counts %x {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "r", choices_register = "c"} : tensor<4xi32>
  return %r#0 : tensor<4xi32>
}
}

// -----

module attributes {job.ranks = #job.ranks<ep = 2>} {
// expected-error@+1 {{argument 1 wants to be a ranked tensor that has exec.name or exec.state}}
func.func @number(%x: tensor<4xi32> {exec.name = "x"}, %i: index {exec.name = "i"}) -> tensor<4xi32> attributes {exec.registers = ["r", "c"]} {
  %r:3 = moe.exchange_counts %x {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "r", choices_register = "c"} : tensor<4xi32>
  return %r#0 : tensor<4xi32>
}
}

// -----

module attributes {job.ranks = #job.ranks<ep = 2>} {
// expected-error@+1 {{argument 0 wants exec.registers, which its exec.shape (affine_map<()[s0] -> (s0)>) is over}}
func.func @registers(%x: tensor<?xi32> {exec.name = "x", exec.shape = affine_map<()[s0] -> (s0)>}) -> tensor<4xi32> {
  %y = tensor.cast %x : tensor<?xi32> to tensor<4xi32>
  %r:3 = moe.exchange_counts %y {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "r", choices_register = "c"} : tensor<4xi32>
  return %r#0 : tensor<4xi32>
}
}

// -----

module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = 1>]>} {
// expected-error@+1 {{wants a body of one block to be cut into chunks}}
func.func private @stage.0_forward()
}

// -----

module attributes {job.ranks = #job.ranks<ep = 2>} {
func.func @counted(%x: tensor<?x8xf32> {exec.name = "x", exec.shape = affine_map<()[s0] -> (s0, 8)>}, %n: tensor<4xi32> {exec.name = "n"}) -> tensor<?x8xf32> attributes {exec.registers = ["r"]} {
  %c5 = arith.constant 5 : index
  // expected-error@+1 {{'moe.exchange' op wants rows of moe.exchange_counts, or a moe.count, to be cut}}
  %y = moe.exchange %x, %n, %n rows(%c5) {parts = 2 : i64, segments = 1 : i64, stride = 1 : i64} : tensor<?x8xf32>, tensor<4xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
}
