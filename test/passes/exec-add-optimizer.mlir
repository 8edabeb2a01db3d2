// RUN: hadal-opt %s --exec-add-optimizer | FileCheck %s
// RUN: hadal-opt %s --exec-add-optimizer | FileCheck %s --check-prefix=KERNELS
// RUN: hadal-opt %s --exec-add-optimizer --hadal-lower-kernels=target=x86-64-v3 | FileCheck %s --check-prefix=LOWERED
// RUN: hadal-opt %s --exec-add-optimizer="moments=bf16 average=true" | FileCheck %s --check-prefix=AVERAGE
// RUN: sed 's/module attributes {/module attributes {job.quantization = #job.quantization<rows = 4, columns = 4>, /' %s | hadal-opt --exec-add-optimizer | FileCheck %s --check-prefix=QUANTIZED
// RUN: sed 's/module attributes {/module attributes {job.ranks = #job.ranks<pp = 2>, /' %s | hadal-opt --exec-add-optimizer | FileCheck %s --check-prefix=RANKS
// RUN: sed 's/layout = "plain.8", //' %s | not hadal-opt --exec-add-optimizer 2>&1 | FileCheck %s --check-prefix=WRONG

// WRONG: "n" has no memory: no program reads it

// RUN: not hadal-opt %s --exec-add-optimizer=moments=fp8 2>&1 | FileCheck %s --check-prefix=MOMENTS
// MOMENTS: exec-add-optimizer wants the moments fp32 or bf16, got fp8

// Kernels are computations on tensors. What a step changes it changes in place; only sums whose order
// counts are ops of their own.
// KERNELS-LABEL: func.func private @clear(%{{.*}}: tensor<?xf32> {exec.in_place = 0 : i64})
// KERNELS: linalg.fill
// KERNELS-LABEL: func.func private @add_i32(
// KERNELS: arith.addi
// KERNELS-LABEL: func.func private @sums_of_squares(
// KERNELS: train.square_sums %{{.*}} {block = 4096 : i64}
// KERNELS-LABEL: func.func private @sum_of_tensor(
// KERNELS: train.sum_rows
// KERNELS-LABEL: func.func private @norm(
// KERNELS: train.norm
// KERNELS-LABEL: func.func private @scale_step(%{{.*}}: tensor<20xf64>, %{{.*}}: tensor<1xf32>) -> (tensor<10xf32>, tensor<1xf32>)
// KERNELS: tensor.from_elements
// KERNELS-LABEL: func.func private @adamw_step(
// KERNELS: linalg.generic
// KERNELS-NOT: memref

// Moments, weights and gradients are read and written, the step's scalars are read.
// LOWERED-NOT: train.
// LOWERED-NOT: linalg.
// LOWERED: func.func private @scale_step({{.*}}access = [0, 0, 1, 1]
// LOWERED: func.func private @adamw_step({{.*}}access = [3, 3, 3, 3, 0]
// LOWERED: func.func private @draw_normal({{.*}}access = [0, 0, 1]

// A step begins with losses and loads at zero; gradients are left so by the optimizer.
// CHECK-LABEL: exec.program @zero
// CHECK-DAG: exec.get @losses
// CHECK-DAG: exec.get @loads.1
// CHECK-NOT: exec.get @gradient
// CHECK: }

// Norms: squares of a tensor's blocks, of a tensor, of a parameter, then of all. A correction has no gradient. What was read elsewhere, too,
// is one gradient first.
// CHECK-LABEL: exec.program @norms
// CHECK: exec.argument output "norms" #[[$TWO:.*]] of f32
// CHECK: exec.argument output "grad_norm"
// CHECK: %[[U:.*]] = exec.get @gradient.n.use1
// CHECK: %[[G:.*]] = exec.get @gradient.n
// CHECK: exec.launch @add_f32(%[[U]], %[[G]])
// CHECK: exec.launch @clear(
// CHECK: %[[G0:.*]] = exec.get @"gradient.e.{}.w"
// CHECK: exec.launch @sums_of_squares(%[[G0]],
// CHECK: exec.launch @sum_of_tensor(
// CHECK: exec.launch @norm(
// CHECK: %[[G1:.*]] = exec.get @gradient.n
// CHECK: exec.launch @sums_of_squares(%[[G1]],
// CHECK: exec.launch @sum_of_tensor(
// CHECK: exec.launch @norm(
// CHECK-NOT: exec.get @gradient.bias
// CHECK: %[[NORM:.*]] = exec.get @gradient_norm
// CHECK: exec.launch @norm(%{{.*}}, %[[NORM]])
// CHECK: exec.copy %{{.*}} from %[[NORM]]

// The step's scalars once, the update of each parameter, and the corrections last, from the step's
// loads.
// CHECK-LABEL: exec.program @optimizer
// CHECK: %[[SETTINGS:.*]] = exec.argument "settings"
// CHECK: %[[RATE:.*]] = exec.argument output "lr"
// CHECK: %[[TO:.*]] = exec.get @step_scalars
// CHECK: exec.launch @scale_step(%[[SETTINGS]], %{{.*}}, %[[TO]], %[[RATE]])
// CHECK: %[[SCALARS:.*]] = exec.get @step_scalars
// CHECK: %[[W:.*]] = exec.get @"weight.e.{}.w"
// CHECK: %[[G:.*]] = exec.get @"gradient.e.{}.w"
// CHECK: %[[M:.*]] = exec.get @"first_moment.e.{}.w"
// CHECK: %[[V:.*]] = exec.get @"second_moment.e.{}.w"
// CHECK: exec.launch @adamw_step(%[[W]], %[[G]], %[[M]], %[[V]], %[[SCALARS]])
// CHECK: exec.launch @adamw_step(
// CHECK-NOT: exec.launch
// CHECK: %[[VIOLATION:.*]] = exec.argument output "violation"
// CHECK: exec.call @balance(%[[VIOLATION]])

// With many ranks a program updates one tensor, of any size.
// RANKS: exec.program @add registers ["elements"]
// RANKS-NOT: exec.program @norms
// RANKS: exec.program @square_sum registers ["elements"]
// RANKS: exec.program @global_norm registers ["tensors"]
// RANKS: exec.program @schedule registers []
// RANKS: exec.program @adamw registers ["elements"]
// RANKS: exec.launch @adamw_step(
// RANKS-NOT: exec.program @optimizer

// Weights of a quantized checkpoint are widened on their way into place, each block by its scale;
// vectors are not quantized.
// QUANTIZED: exec.program @pack.f8.panels.6x8
// QUANTIZED: exec.argument "scale" #[[$BLOCKS:.*]] of f32
// QUANTIZED: exec.launch @dequantize_6x8(
// QUANTIZED-NOT: exec.program @pack.f8.plain

// First values depend on a key and their place; how many is a register.
// CHECK-LABEL: exec.program @draw registers ["elements"]
// CHECK: exec.launch @draw_normal(

// Whether all values are finite is a question of the largest magnitude: of blocks, of the rest, of
// all.
// CHECK-DAG: exec.program @magnitude registers ["elements"]
// CHECK-DAG: exec.launch @largest_magnitude(%{{.*}}, %{{.*}}) offsets
// CHECK-DAG: exec.launch @largest(
// KERNELS-LABEL: func.func private @largest_magnitude(%{{.*}}: tensor<?x?xf32>) -> tensor<?xi32>
// KERNELS: arith.maxsi

// Each way to lie has programs from and to a checkpoint's tensor, one a tensor of a stack.
// CHECK-DAG: exec.program @pack.f32.panels.6x8
// CHECK-DAG: exec.program @pack.bf16.panels.6x8
// CHECK-DAG: exec.program @unpack.panels.6x8
// CHECK-DAG: exec.program @pack.f32.plain.8
// CHECK-DAG: exec.program @unpack.plain.3

// A kernel between the two says how its side lies; the rest is the target's.
// CHECK-DAG: func.func private @pack_panels_bf16_6_8(%{{.*}}: tensor<6x8xbf16>) -> (tensor<6x8xf32> {exec.layout = #layout}) attributes {exec.kernel}
// CHECK-DAG: func.func private @unpack_panels_f32_6_8(%{{.*}}: tensor<6x8xf32> {exec.layout = #layout}) -> tensor<6x8xf32> attributes {exec.kernel}

// What goes with a parameter lies as it does.
// AVERAGE-DAG: exec.state @"first_moment.e.{}.w" #{{.*}} of bf16 layout #layout
// AVERAGE-DAG: exec.state @"average.e.{}.w" #{{.*}} of f32 layout #layout
// AVERAGE-DAG: exec.state @first_moment.n #{{.*}} of bf16
// AVERAGE-DAG: exec.state @second_moment.n #{{.*}} of bf16
// AVERAGE-DAG: exec.state @average.n #{{.*}} of f32
// AVERAGE-NOT: exec.state @average.bias
// AVERAGE-LABEL: exec.program @optimizer
// AVERAGE: %[[A:.*]] = exec.get @"average.e.{}.w"
// AVERAGE: exec.launch @adamw_step(%{{.*}}, %[[A]])
// BF16 moments come to f32 and back on the device.
// AVERAGE: exec.program @widen registers ["elements"]
// AVERAGE: exec.launch @widen_bf16(
// AVERAGE: exec.program @narrow registers ["elements"]
// AVERAGE: exec.launch @narrow_f32(
#panels = #exec.layout<"cpu.panels", outputs = 16, inner = 2>
module attributes {job.trainables = [
    #job.trainable<name = "e.{}.w", shape = [6, 8], count = 3, layout = "panels.6x8", packed_elements = 128>,
    #job.trainable<name = "n", shape = [8], layout = "plain.8", packed_elements = 8>,
    #job.trainable<name = "bias", shape = [3], correction = true, layout = "plain.3", packed_elements = 3>]} {
  exec.state @"weight.e.{}.w" affine_map<() -> (384)> of f32 layout #panels
  exec.state @"gradient.e.{}.w" affine_map<() -> (384)> of f32 layout #panels
  exec.state @weight.n affine_map<() -> (8)> of f32
  exec.state @gradient.n affine_map<() -> (8)> of f32
  exec.state @gradient.n.use1 affine_map<() -> (8)> of f32
  exec.state @weight.bias affine_map<() -> (3)> of f32
  exec.state @losses affine_map<() -> (2)> of f32
  exec.state @loads.1 affine_map<() -> (3)> of i32
  exec.program @balance registers [] {
    %0 = exec.argument output "violation" affine_map<() -> (1)> of f32
  }
}
