// RUN: hadal-opt %s --hadal-make-programs | FileCheck %s

// A choice of experts that is returned without a name is still an argument.
// CHECK: func.func @inspect_routed(
// CHECK-SAME: %[[GIVEN:[a-z0-9]+]]: tensor<?x4xi32> {exec.name = "routes"
// CHECK: moe.route {{.*}} forced(%[[GIVEN]]
func.func @forward(%ids: tensor<?xi32> {exec.name = "token_ids"},
                   %positions: tensor<?xi32> {exec.name = "positions"},
                   %offsets: tensor<?xi32> {exec.name = "offsets"},
                   %rows: tensor<?xi32> {exec.name = "logit_row_ids"},
                   %logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> tensor<?x4xi32> {
  %w, %e = moe.route %logits, %bias
      {groups = 4 : i64, group_limit = 2 : i64, top_k = 4 : i64, normalize = true, scale = 2.5 : f32}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %e : tensor<?x4xi32>
}
