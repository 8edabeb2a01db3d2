// DEFINE: %{op} = moe.balance_loss_grad
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// A row takes the numbers of its own sequence.
// REDEFINE: %{f} = small
// REDEFINE: %{s} = lengths=1 E=16 top_k=4
// RUN: %{case}
// REDEFINE: %{s} = lengths=7,0,1,40 E=16 top_k=4
// RUN: %{case}
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = lengths=65,130 E=13 top_k=5
// RUN: %{case}
// REDEFINE: %{f} = softmax
// REDEFINE: %{s} = lengths=65,0,30 E=13 top_k=5 softmax=1
// RUN: %{case}

func.func @small(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>, %fractions: tensor<?x16xf32>,
                 %gradient: tensor<?xf32>) -> tensor<?x16xf32> {
  %d = moe.balance_loss_grad %logits, %offsets, %fractions, %gradient
      : tensor<?x16xf32>, tensor<?xi32>, tensor<?x16xf32>, tensor<?xf32> -> tensor<?x16xf32>
  return %d : tensor<?x16xf32>
}

func.func @odd(%logits: tensor<?x13xf32>, %offsets: tensor<?xi32>, %fractions: tensor<?x13xf32>,
               %gradient: tensor<?xf32>) -> tensor<?x13xf32> {
  %d = moe.balance_loss_grad %logits, %offsets, %fractions, %gradient
      : tensor<?x13xf32>, tensor<?xi32>, tensor<?x13xf32>, tensor<?xf32> -> tensor<?x13xf32>
  return %d : tensor<?x13xf32>
}

func.func @softmax(%logits: tensor<?x13xf32>, %offsets: tensor<?xi32>, %fractions: tensor<?x13xf32>,
                   %gradient: tensor<?xf32>) -> tensor<?x13xf32> {
  %d = moe.balance_loss_grad %logits, %offsets, %fractions, %gradient {softmax}
      : tensor<?x13xf32>, tensor<?xi32>, tensor<?x13xf32>, tensor<?xf32> -> tensor<?x13xf32>
  return %d : tensor<?x13xf32>
}
