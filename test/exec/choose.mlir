// DEFINE: %{op} = sample.choose
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Each cut by itself and together: top_k, top_p and min_p are other numbers in each row.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = R=1 V=37
// RUN: %{case}
// REDEFINE: %{s} = R=60 V=37
// RUN: %{case}
// REDEFINE: %{s} = R=60 V=37 seed=2
// RUN: %{case}
// REDEFINE: %{s} = R=60 V=37 whole=1
// RUN: %{case}

func.func @odd(%logits: tensor<?x37xf32>, %temperature: tensor<?xf32>, %k: tensor<?xi32>,
               %p: tensor<?xf32>, %least: tensor<?xf32>, %uniform: tensor<?xf32>) -> tensor<?xi32> {
  %ids = sample.choose %logits, %temperature, %k, %p, %least, %uniform
      : tensor<?x37xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xf32>, tensor<?xf32>, tensor<?xf32>
      -> tensor<?xi32>
  return %ids : tensor<?xi32>
}
