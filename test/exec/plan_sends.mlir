// DEFINE: %{op} = moe.plan_sends
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// A row for each token and part with a choice there, ordered by part and token.
// REDEFINE: %{f} = one
// REDEFINE: %{s} = T=1 E=12 K=3 P=4
// RUN: %{case}
// REDEFINE: %{s} = T=29 E=12 K=3 P=4
// RUN: %{case}
// REDEFINE: %{s} = T=0 E=12 K=3 P=4
// RUN: %{case}

// Tokens that came from elsewhere, with few choices here or none, by the segment they came in.
// REDEFINE: %{f} = two
// REDEFINE: %{s} = T=41 E=8 K=4 P=2 S=3 missing=1
// RUN: %{case}
// REDEFINE: %{s} = T=3 E=8 K=4 P=2 S=3 missing=1
// RUN: %{case}

func.func @one(%experts: tensor<?x3xi32>) -> (tensor<?xi32>, tensor<?x4xi32>, tensor<?x3xi32>, tensor<8xi32>) {
  %source, %slots, %ids, %counts = moe.plan_sends %experts {expert_count = 12 : i64, parts = 4 : i64, segments = 1 : i64}
      : tensor<?x3xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<?x3xi32>, tensor<8xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x4xi32>, tensor<?x3xi32>, tensor<8xi32>
}

func.func @two(%experts: tensor<?x4xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>) {
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<6xi32>)
      {expert_count = 8 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
}
