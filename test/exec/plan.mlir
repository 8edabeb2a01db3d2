// DEFINE: %{op} = moe.plan
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Rows ordered by expert and token; experts without rows are not active.
// REDEFINE: %{f} = small
// REDEFINE: %{s} = T=1 E=7 K=3
// RUN: %{case}
// REDEFINE: %{s} = T=29 E=7 K=3
// RUN: %{case}
// REDEFINE: %{s} = T=12 E=7 K=3 used=4
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = T=100 E=256 K=8
// RUN: %{case}
// REDEFINE: %{s} = T=1 E=256 K=8
// RUN: %{case}

// Choices of other ranks have no row; the tokens of each source have groups of their own.
// REDEFINE: %{f} = partial
// REDEFINE: %{s} = T=1 E=7 K=3 missing=1
// RUN: %{case}
// REDEFINE: %{s} = T=31 E=7 K=3 missing=1
// RUN: %{case}
// REDEFINE: %{f} = segments
// REDEFINE: %{s} = T=40 E=3 K=2 S=5 missing=1
// RUN: %{case}
// REDEFINE: %{s} = T=40 E=3 K=2 S=5
// RUN: %{case}
// REDEFINE: %{s} = T=1 E=3 K=2 S=5
// RUN: %{case}

func.func @small(%experts: tensor<?x3xi32>) -> (tensor<?xi32>, tensor<?x3xi32>, tensor<8xi32>, tensor<7xi32>) {
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 7 : i64}
      : tensor<?x3xi32> -> tensor<?xi32>, tensor<?x3xi32>, tensor<8xi32>, tensor<7xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x3xi32>, tensor<8xi32>, tensor<7xi32>
}

func.func @large(%experts: tensor<?x8xi32>) -> (tensor<?xi32>, tensor<?x8xi32>, tensor<257xi32>, tensor<256xi32>) {
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 256 : i64}
      : tensor<?x8xi32> -> tensor<?xi32>, tensor<?x8xi32>, tensor<257xi32>, tensor<256xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x8xi32>, tensor<257xi32>, tensor<256xi32>
}

func.func @partial(%experts: tensor<?x3xi32>, %like: tensor<?xi32>)
    -> (tensor<?xi32>, tensor<?x3xi32>, tensor<8xi32>, tensor<7xi32>) attributes {exec.registers = ["arg0.0", "arg1.0"]} {
  %choices = moe.count "arg1.0"
  %source, %position, %offsets, %active = moe.plan %experts choices(%choices) {expert_count = 7 : i64}
      : tensor<?x3xi32> -> tensor<?xi32>, tensor<?x3xi32>, tensor<8xi32>, tensor<7xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x3xi32>, tensor<8xi32>, tensor<7xi32>
}

func.func @segments(%experts: tensor<?x2xi32>, %received: tensor<10xi32>, %like: tensor<?xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<16xi32>, tensor<15xi32>) attributes {exec.registers = ["arg0.0", "arg2.0"]} {
  %choices = moe.count "arg2.0"
  %source, %position, %offsets, %active = moe.plan %experts segments(%received : tensor<10xi32>)
      choices(%choices) {expert_count = 3 : i64}
      : tensor<?x2xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<16xi32>, tensor<15xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x2xi32>, tensor<16xi32>, tensor<15xi32>
}
