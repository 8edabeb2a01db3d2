// DEFINE: %{op} = sample.nll
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// REDEFINE: %{f} = odd
// REDEFINE: %{s} = R=1 V=37
// RUN: %{case}
// REDEFINE: %{s} = R=19 V=37
// RUN: %{case}

func.func @odd(%logits: tensor<?x37xf32>, %targets: tensor<?xi32>) -> tensor<?xf32> {
  %nll = sample.nll %logits, %targets : tensor<?x37xf32>, tensor<?xi32> -> tensor<?xf32>
  return %nll : tensor<?xf32>
}
