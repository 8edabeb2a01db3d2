// RUN: hadal-opt %s --exec-form-programs=target=x86-64-v3 -split-input-file -verify-diagnostics

// Values in a graph's text would be lost: those of parameters are a checkpoint's, states begin with
// zeros.

// expected-error@+1 {{wants values of a checkpoint (#ml_program.extern), or zeros of a mutable global: a module holds no other data}}
ml_program.global private @parameter(dense<0.0> : tensor<4xf32>) : tensor<4xf32>

// -----

// expected-error@+1 {{wants values of a checkpoint}}
ml_program.global private mutable @ones(dense<1.0> : tensor<4xf32>) : tensor<4xf32>

// -----

// expected-error@+1 {{wants values of a checkpoint}}
ml_program.global private mutable @some(dense<[0, 1]> : tensor<2xi32>) : tensor<2xi32>

// -----

ml_program.global private mutable @zeros(dense<0.0> : tensor<4xf32>) : tensor<4xf32>
ml_program.global private mutable @counts(dense<0> : tensor<4xi32>) : tensor<4xi32>
ml_program.global private @weights(#ml_program.extern<tensor<4xf32>>) : tensor<4xf32>
