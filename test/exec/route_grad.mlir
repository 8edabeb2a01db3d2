// DEFINE: %{op} = moe.route_grad
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Through the chosen affinities only, and through their sum where weights are normalised.
// REDEFINE: %{f} = normalized
// REDEFINE: %{s} = T=1 E=16 K=4 normalize=1 scale=2.5
// RUN: %{case}
// REDEFINE: %{s} = T=37 E=16 K=4 normalize=1 scale=2.5
// RUN: %{case}
// REDEFINE: %{f} = plain
// REDEFINE: %{s} = T=19 E=11 K=3 normalize=0 scale=0.5
// RUN: %{case}
// An expert named twice gets both gradients.
// REDEFINE: %{f} = normalized
// REDEFINE: %{s} = T=40 E=16 K=4 normalize=1 scale=2.5 forced=1
// RUN: %{case}
// A softmax couples all experts of a row.
// REDEFINE: %{f} = softmax
// REDEFINE: %{s} = T=23 E=11 K=3 normalize=0 scale=16 softmax=1
// RUN: %{case}
// REDEFINE: %{f} = softmax_normalized
// REDEFINE: %{s} = T=40 E=16 K=4 normalize=1 scale=2.5 forced=1 softmax=1
// RUN: %{case}

func.func @normalized(%logits: tensor<?x16xf32>, %experts: tensor<?x4xi32>, %gradient: tensor<?x4xf32>)
    -> tensor<?x16xf32> {
  %d = moe.route_grad %logits, %experts, %gradient {normalize = true, scale = 2.5 : f32}
      : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
  return %d : tensor<?x16xf32>
}

func.func @plain(%logits: tensor<?x11xf32>, %experts: tensor<?x3xi32>, %gradient: tensor<?x3xf32>)
    -> tensor<?x11xf32> {
  %d = moe.route_grad %logits, %experts, %gradient {normalize = false, scale = 0.5 : f32}
      : tensor<?x11xf32>, tensor<?x3xi32>, tensor<?x3xf32> -> tensor<?x11xf32>
  return %d : tensor<?x11xf32>
}

func.func @softmax(%logits: tensor<?x11xf32>, %experts: tensor<?x3xi32>, %gradient: tensor<?x3xf32>)
    -> tensor<?x11xf32> {
  %d = moe.route_grad %logits, %experts, %gradient {softmax, normalize = false, scale = 16.0 : f32}
      : tensor<?x11xf32>, tensor<?x3xi32>, tensor<?x3xf32> -> tensor<?x11xf32>
  return %d : tensor<?x11xf32>
}

func.func @softmax_normalized(%logits: tensor<?x16xf32>, %experts: tensor<?x4xi32>, %gradient: tensor<?x4xf32>)
    -> tensor<?x16xf32> {
  %d = moe.route_grad %logits, %experts, %gradient {softmax, normalize = true, scale = 2.5 : f32}
      : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
  return %d : tensor<?x16xf32>
}
