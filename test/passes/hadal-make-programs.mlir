// RUN: hadal-compile %S/../frontend/models/tiny --emit=graph -o %t.mlir
// RUN: hadal-opt %t.mlir --hadal-make-programs | FileCheck %s
// RUN: not hadal-opt %s --hadal-make-programs 2>&1 | FileCheck %s --check-prefix=ERROR

// @forward is gone; four functions serve in its place, all with the attention it had.
// CHECK-NOT: func.func @forward

// CHECK: func.func @prefill(
// CHECK-SAME: "token_ids", exec.shape = affine_map<()[s0, s1, s2, s3] -> (s0)>
// CHECK-SAME: "offsets", exec.shape = affine_map<()[s0, s1, s2, s3] -> (s1 + 1)>
// CHECK-SAME: "logit_row_ids", exec.shape = affine_map<()[s0, s1, s2, s3] -> (s3)>
// CHECK-SAME: exec.name = "slots"
// CHECK-SAME: -> (tensor<?x100xf32> {exec.name = "logits"})
// CHECK-SAME: exec.registers = ["tokens", "sequences", "attended", "logit_rows"]
// CHECK-COUNT-2: mla.attention
// CHECK-NOT: page_table

// All results, and experts as the model chooses them or as the caller does.
// CHECK: func.func @inspect(
// CHECK-SAME: router.1.topk_ids
// CHECK: moe.route {{[^f]*}}{
// CHECK: func.func @inspect_routed(
// CHECK-SAME: exec.name = "routes.1"

// One row per sequence: logits of each, no choice of rows.
// CHECK: func.func @decode(
// CHECK-NOT: logit_row_ids
// CHECK-SAME: "page_table", exec.shape = affine_map<()[s0, s1, s2] -> (s0, s1)>
// CHECK-SAME: exec.registers = ["tokens", "table_pages", "attended"]
// CHECK: tensor.extract %model.embed_tokens.weight
// CHECK: mla.attention
// CHECK-NOT: tensor.extract %

// ERROR: error: wants an argument whose exec.name is positions
func.func @forward(%ids: tensor<?xi32> {exec.name = "token_ids"}) -> tensor<?xi32> {
  return %ids : tensor<?xi32>
}
