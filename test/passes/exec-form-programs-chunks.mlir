// RUN: hadal-opt %s --exec-form-programs=target=x86-64-v3 -split-input-file -verify-diagnostics

// A chunk is what --hadal-cut-chunks makes.

// expected-error@+1 {{chunk wants a body of one block, and exec.registers}}
func.func private @declared() attributes {exec.registers = [], hadal.chunk}

// -----

// expected-error@+1 {{chunk wants a body of one block, and exec.registers}}
func.func private @registers(%x: tensor<4xi32> {exec.name = "x"}) -> tensor<4xi32> attributes {hadal.chunk} {
  return %x : tensor<4xi32>
}

// -----

// expected-error@+1 {{chunk wants arguments that are ranked tensors}}
func.func private @number(%x: index {exec.name = "x"}) attributes {exec.registers = [], hadal.chunk} {
  return
}

// -----

func.func private @computes() attributes {exec.registers = [], hadal.chunk} {
  // expected-error@+1 {{is no command of a chunk}}
  %c = arith.constant 0 : index
  return
}

// -----

// expected-error@+1 {{wants a value that is no state where it crosses ranks}}
func.func private @state(%x: tensor<4xf32> {exec.state = "w"}) -> (tensor<4xf32> {hadal.stage = 1 : i64}) attributes {exec.registers = [], hadal.chunk} {
  return %x : tensor<4xf32>
}
