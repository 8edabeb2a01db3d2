// DEFINE: %{op} = sample.log_probabilities
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Likeliest first, lower ids first among equals, up to all of them.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = R=1 V=37 P=1
// RUN: %{case}
// REDEFINE: %{s} = R=19 V=37 P=5
// RUN: %{case}
// REDEFINE: %{s} = R=4 V=37 P=37
// RUN: %{case}

func.func @odd(%logits: tensor<?x37xf32>, %ids: tensor<?xi32>, %c: tensor<?xf32>,
               %i: tensor<?x?xi32>, %t: tensor<?x?xf32>)
    -> (tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>) {
  %chosen, %top_ids, %top = sample.log_probabilities %logits, %ids into %c, %i, %t
      : tensor<?x37xf32>, tensor<?xi32> into tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>
  return %chosen, %top_ids, %top : tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>
}
