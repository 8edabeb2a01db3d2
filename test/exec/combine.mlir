// DEFINE: %{op} = moe.combine
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// The halving tree over expert ids, to the bit, also where their number is no power of two.
// REDEFINE: %{f} = binary
// REDEFINE: %{s} = T=1 E=16 K=4 H=37
// RUN: %{case}
// REDEFINE: %{s} = T=50 E=16 K=4 H=37
// RUN: %{case}
// REDEFINE: %{f} = twelve
// REDEFINE: %{s} = T=50 E=12 K=5 H=24
// RUN: %{case}
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=50 E=13 K=6 H=19
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = T=20 E=256 K=8 H=64
// RUN: %{case}
// REDEFINE: %{f} = one
// REDEFINE: %{s} = T=9 E=3 K=1 H=16
// RUN: %{case}

// Absent choices add nothing; tokens without any are zeros.
// REDEFINE: %{f} = partial
// REDEFINE: %{s} = T=60 E=8 K=4 H=37 missing=1
// RUN: %{case}
// REDEFINE: %{s} = T=2 E=8 K=4 H=37 missing=1
// RUN: %{case}
// REDEFINE: %{f} = partial_odd
// REDEFINE: %{s} = T=50 E=13 K=6 H=19 missing=1
// RUN: %{case}

func.func @binary(%rows: tensor<?x37xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x4xi32>,
                 %weights: tensor<?x4xf32>) -> tensor<?x37xf32> {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
      : tensor<?x37xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x37xf32>
  return %y : tensor<?x37xf32>
}

func.func @twelve(%rows: tensor<?x24xf32>, %position: tensor<?x5xi32>, %experts: tensor<?x5xi32>,
                 %weights: tensor<?x5xf32>) -> tensor<?x24xf32> {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 12 : i64}
      : tensor<?x24xf32>, tensor<?x5xi32>, tensor<?x5xi32>, tensor<?x5xf32> -> tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

func.func @odd(%rows: tensor<?x19xf32>, %position: tensor<?x6xi32>, %experts: tensor<?x6xi32>,
              %weights: tensor<?x6xf32>) -> tensor<?x19xf32> {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 13 : i64}
      : tensor<?x19xf32>, tensor<?x6xi32>, tensor<?x6xi32>, tensor<?x6xf32> -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}

func.func @large(%rows: tensor<?x64xf32>, %position: tensor<?x8xi32>, %experts: tensor<?x8xi32>,
                %weights: tensor<?x8xf32>) -> tensor<?x64xf32> {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 256 : i64}
      : tensor<?x64xf32>, tensor<?x8xi32>, tensor<?x8xi32>, tensor<?x8xf32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

func.func @one(%rows: tensor<?x16xf32>, %position: tensor<?x1xi32>, %experts: tensor<?x1xi32>,
              %weights: tensor<?x1xf32>) -> tensor<?x16xf32> {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 3 : i64}
      : tensor<?x16xf32>, tensor<?x1xi32>, tensor<?x1xi32>, tensor<?x1xf32> -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

func.func @partial(%rows: tensor<?x37xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x4xi32>,
                   %weights: tensor<?x4xf32>) -> tensor<?x37xf32> {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 8 : i64, partial}
      : tensor<?x37xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x37xf32>
  return %y : tensor<?x37xf32>
}

func.func @partial_odd(%rows: tensor<?x19xf32>, %position: tensor<?x6xi32>, %experts: tensor<?x6xi32>,
                       %weights: tensor<?x6xf32>) -> tensor<?x19xf32> {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 13 : i64, partial}
      : tensor<?x19xf32>, tensor<?x6xi32>, tensor<?x6xi32>, tensor<?x6xf32> -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}
