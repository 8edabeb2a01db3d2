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

// expected-error@+1 {{argument 0: exec.layout wants to be a layout, got unit}}
func.func @f(%x: tensor<4x4xf32> {exec.layout}) { return }

// -----

// expected-error@+1 {{argument 0: exec.layout wants a matrix of static shape, or a stack of them, got 'tensor<?x4xf32>'}}
func.func @f(%x: tensor<?x4xf32> {exec.layout = #exec.layout<"cpu.panels">}) { return }

// -----

// expected-error@+1 {{result 0: exec.layout wants a matrix of static shape, or a stack of them, got 'tensor<4x4xf32>'}}
func.func private @f() -> (tensor<4x4xf32> {exec.layout = #exec.layout<"cpu.panels", n = 1, k = 2>})

// -----

// expected-error@+1 {{exec.layout wants a matrix of static shape, or a stack of them, got 'tensor<4xf32>'}}
ml_program.global private mutable @w(#ml_program.extern : tensor<4xf32>) : tensor<4xf32> {exec.layout = #exec.layout<"cpu.panels", outputs = 16, inner = 2>}

// -----

// expected-error@+1 {{exec.layout wants to stand on a global, an argument or a result}}
func.func private @f(tensor<4x4xf32>) attributes {exec.layout = #exec.layout<"cpu.panels">}

// -----

// C1
// expected-error@+1 {{layout wants a name}}
func.func private @f(tensor<4x4xf32> {exec.layout = #exec.layout<"">})

// -----

// C2
// expected-error@+1 {{layout wants outputs and inner from 1 to 65536, got 16 and 0}}
func.func private @f(tensor<4x4xf32> {exec.layout = #exec.layout<"cpu.panels", outputs = 16>})

// -----

// C3
// expected-error@+1 {{layout wants two dimensions as n and k, got 1 and 1}}
func.func private @f(tensor<4x4xf32> {exec.layout = #exec.layout<"cpu.panels", n = 1, k = 1>})

// -----

// C4
// expected-error@+1 {{layout wants a part of 64 parts at most, got 2 of 2}}
func.func private @f(tensor<4x4xf32> {exec.layout = #exec.layout<"cpu.panels", parts = 2, part = 2>})

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

// -----

// Each numbered constraint of the other ops.

func.func @f(%w: tensor<4xf32>) {
  // C1
  // expected-error@+1 {{wants a matrix of static shape, or a stack of them, got 'tensor<4xf32>'}}
  %p = exec.relayout %w : tensor<4xf32> as #exec.layout<"cpu.panels">
  return
}

// -----

// C1
// expected-error@+1 {{wants a positive count, got 0}}
exec.parameter @w "w" count 0 : tensor<4xf32>

// -----

// C2
// expected-error@+1 {{wants {} in the name exactly when count > 1 or sharded, got "w" with count 2}}
exec.parameter @w "w" count 2 : tensor<4xf32>

// -----

// C3
// expected-error@+1 {{wants a tensor of static shape, got 'tensor<?xf32>'}}
exec.parameter @w "w" : tensor<?xf32>

// -----

// C1
// expected-error@+1 {{wants a positive number of bytes, got 0}}
exec.weight @w bytes 0

// -----

// C1
// expected-error@+1 {{shape wants symbols only, got 1 dimensions}}
exec.state @s affine_map<(d0) -> (d0)> of f32

// -----

// C1
// expected-error@+1 {{wants distinct registers, got "n" twice}}
exec.program @p registers ["n", "n"] {
}

// -----

exec.program @p registers ["n"] {
  // C1
  // expected-error@+1 {{shape wants no dimensions and 1 symbols, one per register; got 0 and 2}}
  %x = exec.argument "x" affine_map<()[s0, s1] -> (s1)> of f32
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{bytes wants no dimensions and 1 symbols}}
  %t = exec.temporary bytes affine_map<(d0)[s0] -> (d0)>
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants the name of a parameter, weight, state or constant, got @none}}
  %t = exec.get @none
}

// -----

func.func private @k()
exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{elements wants one map per buffer (1), got 0}}
  exec.launch @k(%x) elements [] scalars []
}

// -----

func.func private @k()
exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C2
  // expected-error@+1 {{scalars wants no dimensions and 1 symbols}}
  exec.launch @k(%x) scalars [affine_map<() -> (1)>]
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C3
  // expected-error@+1 {{wants the name of a function, got @none}}
  exec.launch @none(%x) scalars []
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{bytes wants no dimensions and 1 symbols}}
  exec.copy %x from %x bytes affine_map<() -> (4)>
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants a stage of the pipeline, got -1}}
  exec.send %x stage -1
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants a stage of the pipeline, got -1}}
  exec.receive %x stage -1
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants positive segments, got 0}}
  exec.exchange_counts %x from %x parts 2 segments 0 stride 1 rows 0 choices 0
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C2
  // expected-error@+1 {{wants registers of the program, got 1}}
  exec.exchange_counts %x from %x parts 2 segments 1 stride 1 rows 0 choices 1
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants positive row_bytes, got 0}}
  exec.exchange %x from %x counts %x to %x parts 2 segments 1 stride 1 row_bytes 0
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants an event from 0 on, got -1}}
  exec.record -1
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants an event from 0 on, got -1}}
  exec.wait -1
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants the name of a program, got @none}}
  exec.call @none(%x) registers []
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C2
  // expected-error@+1 {{wants 1 registers and 1 buffers, got 0 and 1}}
  exec.call @p(%x) registers []
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{wants a register of the program, got 1}}
  exec.repeat 1 count affine_map<()[s0] -> (2)> {
  }
}

// -----

exec.program @p registers ["n"] {
  %x = exec.argument "x" affine_map<()[s0] -> (s0)> of f32
  // C1
  // expected-error@+1 {{value wants no dimensions and 1 symbols}}
  exec.skip_if_zero affine_map<() -> (0)> {
  }
}

// -----

// expected-error@+1 {{exec.launch wants to be a launch, got unit}}
func.func private @f() attributes {exec.launch}

// -----

// C1
// expected-error@+1 {{launch wants tasks over scalars alone}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<(d0) -> (d0)>, access = []>}

// -----

// C2
// expected-error@+1 {{launch wants an access from 0 to 3, got 4}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [4]>}

// -----

// C3
// expected-error@+1 {{launch wants scratch_bytes from 0 to 2^40, got -1}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [], scratch_bytes = -1>}

// -----

// C4
// expected-error@+1 {{exec.launch wants a function with an argument for each of 1 accesses}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [0]>}

// -----

// C5
// expected-error@+1 {{launch wants a tier where it describes a grid}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [], threads = 32>}

// -----

// C5
// expected-error@+1 {{launch wants the tier serial, rows or tensor, got "warp"}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [], tier = "warp", threads = 32>}

// -----

// C6
// expected-error@+1 {{launch wants 1 to 1024 threads, clusters of 1 to 16 and 0 to 232448 bytes of shared memory, got 1025, 1 and 0}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [], tier = "rows", threads = 1025>}

// -----

// C6
// expected-error@+1 {{got 32, 17 and 0}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [], tier = "rows", threads = 32, cluster = 17>}

// -----

// C6
// expected-error@+1 {{got 32, 1 and 232449}}
func.func private @f() attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [], tier = "rows", threads = 32, shared_bytes = 232449>}

// -----

#map = #exec.tensor_map<binding = 1, element = f32, sizes = affine_map<() -> (8)>, stride_bytes = affine_map<() -> ()>, box = [8]>
// C7
// expected-error@+1 {{launch wants tensor maps of its 1 buffers over its 0 scalars, got #exec.tensor_map<binding = 1}}
func.func private @f(memref<8xf32>) attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [0], tier = "tensor", threads = 32, tensor_maps = [#map]>}

// -----

#map = #exec.tensor_map<binding = 0, element = f32, sizes = affine_map<()[s0] -> (s0)>, stride_bytes = affine_map<()[s0] -> ()>, box = [8]>
// C7
// expected-error@+1 {{launch wants tensor maps of its 1 buffers over its 0 scalars}}
func.func private @f(memref<8xf32>) attributes {exec.launch = #exec.launch<tasks = affine_map<() -> (1)>, access = [0], tier = "tensor", threads = 32, tensor_maps = [#map]>}

// -----

// C1
// expected-error@+1 {{tensor_map wants 1 to 5 sizes, a stride for each but the first and a box of as many, got 2 sizes, 0 strides and a box of 2}}
#map = #exec.tensor_map<binding = 0, element = f32, sizes = affine_map<() -> (8, 8)>, stride_bytes = affine_map<() -> ()>, box = [8, 8]>

// -----

// C2
// expected-error@+1 {{tensor_map wants a box of sizes from 1 to 256, got 257}}
#map = #exec.tensor_map<binding = 0, element = f32, sizes = affine_map<() -> (8)>, stride_bytes = affine_map<() -> ()>, box = [257]>

// -----

// C3
// expected-error@+1 {{tensor_map wants swizzle_bytes of 0, 32, 64 or 128, got 16}}
#map = #exec.tensor_map<binding = 0, element = f32, sizes = affine_map<() -> (8)>, stride_bytes = affine_map<() -> ()>, box = [8], swizzle_bytes = 16>

// -----

// C4
// expected-error@+1 {{tensor_map wants elements that are numbers of whole bytes, got 'index'}}
#map = #exec.tensor_map<binding = 0, element = index, sizes = affine_map<() -> (8)>, stride_bytes = affine_map<() -> ()>, box = [8]>

// -----

// C5
// expected-error@+1 {{tensor_map wants sizes and strides over the same symbols}}
#map = #exec.tensor_map<binding = 0, element = f32, sizes = affine_map<()[s0] -> (s0)>, stride_bytes = affine_map<() -> ()>, box = [8]>

// -----

// C1
// expected-error@+1 {{'exec.order' op wants a rank from 0 on, got -1}}
exec.order -1 []

// -----

exec.order 1 [F0.0]
// C1
// expected-error@+1 {{'exec.order' op is another order of rank 1}}
exec.order 1 [F0.1]

// -----

// C2
// expected-error@+1 {{'exec.order' op wants directions 0 and 1, got #exec.chunk<F2.0>}}
exec.order 0 [F2.0]

// -----

// C3
// expected-error@+1 {{'exec.order' op wants a pair of a forward and a whole backward chunk at item 1, #exec.chunk<F0.1 paired>}}
exec.order 0 [F0.0, F0.1 + I0.0]

// -----

// C3
// expected-error@+1 {{wants a pair of a forward and a whole backward chunk at item 0}}
exec.order 0 [F0.1 + B0.0 + F0.2]

// -----

// expected-error@+1 {{wants a chunk like F0.3 (F, B, I or W, direction, micro-batch), got G0.1}}
exec.order 0 [G0.1]

// -----

// expected-error@+1 {{wants a chunk like F0.3 (F, B, I or W, direction, micro-batch), got F0}}
exec.order 0 [F0]
