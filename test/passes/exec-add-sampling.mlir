// RUN: hadal-opt %s --exec-add-sampling="vocabulary=100" | FileCheck %s
// RUN: hadal-opt %s --exec-add-sampling="vocabulary=100" --hadal-lower-kernels="target=x86-64-v3" | FileCheck %s --check-prefix=LOWERED
// RUN: not hadal-opt %s --exec-add-sampling 2>&1 | FileCheck %s --check-prefix=WRONG

// WRONG: exec-add-sampling wants a positive vocabulary, got 0

// Kernels are computations on tensors, of one op each; a target makes loops of them.
// CHECK-NOT: memref
// LOWERED-NOT: sample.
// LOWERED: func.func private @argmax_rows(%{{.*}}: memref<?x100xf32>, %{{.*}}: memref<?xi32>, {{.*}}access = [0, 1]
// LOWERED-NOT: sample.
// The likeliest tokens go where the caller wants them, and nothing is read there.
// LOWERED: func.func private @log_probabilities_rows({{.*}}access = [0, 0, 1, 1, 1]
// LOWERED-NOT: sample.

// CHECK: func.func private @argmax_rows(
// CHECK: sample.argmax
// CHECK: exec.program @argmax registers ["rows"]
// CHECK: exec.launch @argmax_rows(

// The random number comes from the driver; everything that is computed with it is in the kernel.
// CHECK: func.func private @sample_rows(
// CHECK: sample.choose
// CHECK: exec.program @sample registers ["rows"]
// CHECK-DAG: %[[LOGITS:.*]] = exec.argument "logits"
// CHECK-DAG: %[[TEMPERATURE:.*]] = exec.argument "temperature"
// CHECK-DAG: %[[TOP_K:.*]] = exec.argument "top_k"
// CHECK-DAG: %[[TOP_P:.*]] = exec.argument "top_p"
// CHECK-DAG: %[[MIN_P:.*]] = exec.argument "min_p"
// CHECK-DAG: %[[UNIFORM:.*]] = exec.argument "uniform"
// CHECK-DAG: %[[IDS:.*]] = exec.argument output "token_ids"
// CHECK: exec.launch @sample_rows(%[[LOGITS]], %[[TEMPERATURE]], %[[TOP_K]], %[[TOP_P]], %[[MIN_P]], %[[UNIFORM]], %[[IDS]])

// CHECK: func.func private @nll_rows(
// CHECK: sample.nll
// CHECK: exec.program @nll registers ["rows"]
// CHECK: exec.argument output "nll"
// CHECK: exec.launch @nll_rows(

// CHECK: func.func private @log_probabilities_rows(
// CHECK-SAME: tensor<?xf32> {exec.in_place = 0 : i64}, %{{.*}}: tensor<?x?xi32> {exec.in_place = 1 : i64}, %{{.*}}: tensor<?x?xf32> {exec.in_place = 2 : i64}
// CHECK: sample.log_probabilities
// CHECK: exec.program @log_probabilities registers ["rows", "top"]
// CHECK: exec.argument output "top_ids"
// CHECK: sample.penalize
// CHECK: exec.program @penalize registers ["rows", "seen_tokens"]
// CHECK: exec.argument output "penalized"
module {}
