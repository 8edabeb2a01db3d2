// DEFINE: %{op} = moe.route
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Choices within the best groups, ties to the lower id; weights from the affinities alone.
// REDEFINE: %{f} = limited
// REDEFINE: %{s} = T=1 E=16 groups=4 group_limit=2 top_k=4 normalize=1 scale=2.5
// RUN: %{case}
// REDEFINE: %{s} = T=301 E=16 groups=4 group_limit=2 top_k=4 normalize=1 scale=2.5
// RUN: %{case}
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=97 E=21 groups=7 group_limit=3 top_k=5 normalize=0 scale=1
// RUN: %{case}
// REDEFINE: %{f} = single
// REDEFINE: %{s} = T=45 E=11 groups=1 group_limit=1 top_k=3 normalize=1 scale=1.5
// RUN: %{case}
// REDEFINE: %{f} = alone
// REDEFINE: %{s} = T=45 E=5 groups=5 group_limit=5 top_k=2 normalize=1 scale=1
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = T=64 E=256 groups=8 group_limit=4 top_k=8 normalize=1 scale=2.5
// RUN: %{case}
// REDEFINE: %{f} = given
// REDEFINE: %{s} = T=50 E=16 groups=4 group_limit=2 top_k=4 normalize=1 scale=2.5 forced=1
// RUN: %{case}
// Softmax affinities without a bias, all experts in play or the groups with the best expert
// (DeepSeek-V2).
// REDEFINE: %{f} = greedy
// REDEFINE: %{s} = T=67 E=11 groups=1 group_limit=1 top_k=3 normalize=0 scale=1 softmax=1
// RUN: %{case}
// REDEFINE: %{f} = best
// REDEFINE: %{s} = T=53 E=12 groups=4 group_limit=2 top_k=3 normalize=0 scale=16 softmax=1 group_maximum=1
// RUN: %{case}
// REDEFINE: %{f} = ones
// REDEFINE: %{s} = T=21 E=5 groups=5 group_limit=3 top_k=2 normalize=1 scale=1 softmax=1 group_maximum=1
// RUN: %{case}

func.func @limited(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  %w, %e = moe.route %logits, %bias
      {groups = 4 : i64, group_limit = 2 : i64, top_k = 4 : i64, normalize = true, scale = 2.5 : f32}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

func.func @odd(%logits: tensor<?x21xf32>, %bias: tensor<21xf32>) -> (tensor<?x5xf32>, tensor<?x5xi32>) {
  %w, %e = moe.route %logits, %bias
      {groups = 7 : i64, group_limit = 3 : i64, top_k = 5 : i64, normalize = false, scale = 1.0 : f32}
      : tensor<?x21xf32>, tensor<21xf32> -> tensor<?x5xf32>, tensor<?x5xi32>
  return %w, %e : tensor<?x5xf32>, tensor<?x5xi32>
}

func.func @single(%logits: tensor<?x11xf32>, %bias: tensor<11xf32>) -> (tensor<?x3xf32>, tensor<?x3xi32>) {
  %w, %e = moe.route %logits, %bias
      {groups = 1 : i64, group_limit = 1 : i64, top_k = 3 : i64, normalize = true, scale = 1.5 : f32}
      : tensor<?x11xf32>, tensor<11xf32> -> tensor<?x3xf32>, tensor<?x3xi32>
  return %w, %e : tensor<?x3xf32>, tensor<?x3xi32>
}

func.func @alone(%logits: tensor<?x5xf32>, %bias: tensor<5xf32>) -> (tensor<?x2xf32>, tensor<?x2xi32>) {
  %w, %e = moe.route %logits, %bias
      {groups = 5 : i64, group_limit = 5 : i64, top_k = 2 : i64, normalize = true, scale = 1.0 : f32}
      : tensor<?x5xf32>, tensor<5xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  return %w, %e : tensor<?x2xf32>, tensor<?x2xi32>
}

func.func @large(%logits: tensor<?x256xf32>, %bias: tensor<256xf32>) -> (tensor<?x8xf32>, tensor<?x8xi32>) {
  %w, %e = moe.route %logits, %bias
      {groups = 8 : i64, group_limit = 4 : i64, top_k = 8 : i64, normalize = true, scale = 2.5 : f32}
      : tensor<?x256xf32>, tensor<256xf32> -> tensor<?x8xf32>, tensor<?x8xi32>
  return %w, %e : tensor<?x8xf32>, tensor<?x8xi32>
}

func.func @given(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>,
                 %given: tensor<?x4xi32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  %w, %e = moe.route %logits, %bias forced(%given : tensor<?x4xi32>)
      {groups = 4 : i64, group_limit = 2 : i64, top_k = 4 : i64, normalize = true, scale = 2.5 : f32}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

func.func @greedy(%logits: tensor<?x11xf32>) -> (tensor<?x3xf32>, tensor<?x3xi32>) {
  %w, %e = moe.route %logits
      {softmax, groups = 1 : i64, group_limit = 1 : i64, top_k = 3 : i64, normalize = false, scale = 1.0 : f32}
      : tensor<?x11xf32> -> tensor<?x3xf32>, tensor<?x3xi32>
  return %w, %e : tensor<?x3xf32>, tensor<?x3xi32>
}

func.func @best(%logits: tensor<?x12xf32>) -> (tensor<?x3xf32>, tensor<?x3xi32>) {
  %w, %e = moe.route %logits {softmax, group_maximum, groups = 4 : i64, group_limit = 2 : i64, top_k = 3 : i64,
      normalize = false, scale = 16.0 : f32} : tensor<?x12xf32> -> tensor<?x3xf32>, tensor<?x3xi32>
  return %w, %e : tensor<?x3xf32>, tensor<?x3xi32>
}

func.func @ones(%logits: tensor<?x5xf32>) -> (tensor<?x2xf32>, tensor<?x2xi32>) {
  %w, %e = moe.route %logits {softmax, group_maximum, groups = 5 : i64, group_limit = 3 : i64, top_k = 2 : i64,
      normalize = true, scale = 1.0 : f32} : tensor<?x5xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  return %w, %e : tensor<?x2xf32>, tensor<?x2xi32>
}
