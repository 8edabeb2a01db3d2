// DEFINE: %{op} = sample.argmax
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Ties take the lower id; a vocabulary that fills no vector, and one of a single token.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = R=1 V=37
// RUN: %{case}
// REDEFINE: %{s} = R=19 V=37
// RUN: %{case}
// REDEFINE: %{f} = single
// REDEFINE: %{s} = R=3 V=1
// RUN: %{case}

func.func @odd(%logits: tensor<?x37xf32>) -> tensor<?xi32> {
  %ids = sample.argmax %logits : tensor<?x37xf32> -> tensor<?xi32>
  return %ids : tensor<?xi32>
}

func.func @single(%logits: tensor<?x1xf32>) -> tensor<?xi32> {
  %ids = sample.argmax %logits : tensor<?x1xf32> -> tensor<?xi32>
  return %ids : tensor<?xi32>
}
