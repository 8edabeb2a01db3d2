// RUN: hadal-opt %s -split-input-file -verify-diagnostics

// Attributes of functions that become programs.

// expected-error@+1 {{exec.registers wants to be different strings, got ["a", "a"]}}
func.func @f(%x: tensor<4xf32>) attributes {exec.registers = ["a", "a"]} { return }

// -----

// expected-error@+1 {{argument 0: exec.shape wants a size for each dimension of a ranked tensor}}
func.func @f(%x: tensor<?x4xf32> {exec.shape = affine_map<()[s0] -> (s0)>}) attributes {exec.registers = ["a"]} { return }

// -----

// expected-error@+1 {{argument 0: exec.shape wants symbols for the 1 registers of the function}}
func.func @f(%x: tensor<?xf32> {exec.shape = affine_map<()[s0, s1] -> (s1)>}) attributes {exec.registers = ["a"]} { return }

// -----

// expected-error@+1 {{argument 0: exec.shape wants to be an affine map of symbols}}
func.func @f(%x: tensor<?xf32> {exec.shape = affine_map<(d0) -> (d0)>}) { return }

// -----

// What a program wants of its arguments.

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of i32
  // C1
  // expected-error@+1 {{wants values, distinct, offsets, groups, counts or present, got "all"}}
  exec.require "all" %x least affine_map<()[s0] -> (0)> below affine_map<()[s0] -> (s0)>
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of i32
  // C2
  // expected-error@+1 {{wants offsets with groups alone}}
  exec.require "groups" %x least affine_map<()[s0] -> (-1)> below affine_map<()[s0] -> (s0)>
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of i32
  // C3
  // expected-error@+1 {{below wants no dimensions and 1 symbols}}
  exec.require "values" %x least affine_map<()[s0] -> (0)> below affine_map<() -> (4)>
}

// -----

exec.program @p registers ["n"] {
  // C1
  // expected-error@+1 {{wanted wants no dimensions and 1 symbols}}
  exec.require_size affine_map<()[s0] -> (s0)> is affine_map<() -> (4)>
}
