// DEFINE: %{op} = moe.balance_loss
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// One loss per sequence, none for an empty one; ties take the lower id.
// REDEFINE: %{f} = small
// REDEFINE: %{s} = lengths=1 E=16 top_k=4
// RUN: %{case}
// REDEFINE: %{s} = lengths=7,0,1,40 E=16 top_k=4
// RUN: %{case}
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = lengths=65,130 E=13 top_k=5
// RUN: %{case}
// REDEFINE: %{f} = all
// REDEFINE: %{s} = lengths=9 E=3 top_k=3
// RUN: %{case}
// Softmax affinities; and the choice that was made, which need not be theirs.
// REDEFINE: %{f} = softmax
// REDEFINE: %{s} = lengths=7,0,1,40 E=13 top_k=5 softmax=1
// RUN: %{case}
// REDEFINE: %{f} = chosen
// REDEFINE: %{s} = lengths=3,65 E=13 top_k=5 softmax=1 chosen=1
// RUN: %{case}

func.func @small(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x16xf32>) {
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x16xf32>
}

func.func @odd(%logits: tensor<?x13xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x13xf32>) {
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 5 : i64}
      : tensor<?x13xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x13xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x13xf32>
}

func.func @all(%logits: tensor<?x3xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x3xf32>) {
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 3 : i64}
      : tensor<?x3xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x3xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x3xf32>
}

func.func @softmax(%logits: tensor<?x13xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x13xf32>) {
  %loss, %fractions = moe.balance_loss %logits, %offsets {softmax, top_k = 5 : i64}
      : tensor<?x13xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x13xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x13xf32>
}

func.func @chosen(%logits: tensor<?x13xf32>, %offsets: tensor<?xi32>, %experts: tensor<?x5xi32>)
    -> (tensor<?xf32>, tensor<?x13xf32>) {
  %loss, %fractions = moe.balance_loss %logits, %offsets chosen(%experts : tensor<?x5xi32>) {softmax, top_k = 5 : i64}
      : tensor<?x13xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x13xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x13xf32>
}
