// DEFINE: %{op} = sample.penalize
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Logits of both signs; rows that have seen nothing.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = R=1 V=37
// RUN: %{case}
// REDEFINE: %{s} = R=19 V=37
// RUN: %{case}

func.func @odd(%logits: tensor<?x37xf32>, %penalty: tensor<?xf32>, %offsets: tensor<?xi32>,
               %seen: tensor<?xi32>) -> tensor<?x37xf32> {
  %penalized = sample.penalize %logits, %penalty, %offsets, %seen
      : tensor<?x37xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xi32>
  return %penalized : tensor<?x37xf32>
}
