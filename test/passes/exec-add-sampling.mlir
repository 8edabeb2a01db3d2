// RUN: hadal-opt %s --exec-add-sampling="vocabulary=100 lanes=8" | FileCheck %s

// CHECK: func.func private @argmax_rows(
// CHECK: exec.program @argmax registers ["rows"]
// CHECK: exec.launch @argmax_rows(

// The random number comes from the driver; everything that is computed with it is in the kernel.
// CHECK: func.func private @sample_rows(
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
// CHECK: exec.program @nll registers ["rows"]
// CHECK: exec.argument output "nll"
// CHECK: exec.launch @nll_rows(

// CHECK: exec.program @log_probabilities registers ["rows", "top"]
// CHECK: exec.argument output "top_ids"
// CHECK: exec.program @penalize registers ["rows", "seen_tokens"]
// CHECK: exec.argument output "penalized"
module {}
