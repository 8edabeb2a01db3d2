// RUN: hadal-opt %s --exec-add-optimizer -split-input-file -verify-diagnostics

module attributes {job.trainables = []} {
// expected-error@+1 {{wants one size that is a constant, got affine_map<()[s0] -> (s0)>}}
exec.state @losses affine_map<()[s0] -> (s0)> of f32
}

// -----

module attributes {job.trainables = []} {
// expected-error@+1 {{wants one size that is a constant, got affine_map<() -> ()>}}
exec.state @loads.0 affine_map<() -> ()> of i32
}

// -----

module attributes {job.trainables = []} {
// expected-error@+1 {{wants no registers, as the optimizer that calls it has none}}
exec.program @balance registers ["n"] {
}
}
