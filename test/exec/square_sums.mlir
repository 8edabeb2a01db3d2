// DEFINE: %{op} = train.square_sums
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Blocks begin anew in each tensor, and the last one may be short.
// REDEFINE: %{f} = small
// REDEFINE: %{s} = T=1 N=9 block=100
// RUN: %{case}
// REDEFINE: %{s} = T=3 N=100 block=100
// RUN: %{case}
// REDEFINE: %{s} = T=3 N=250 block=100
// RUN: %{case}
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = T=2 N=9000 block=4096
// RUN: %{case}

func.func @small(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %sums = train.square_sums %x {block = 100 : i64} : tensor<?x?xf32> -> tensor<?x?xf32>
  return %sums : tensor<?x?xf32>
}

func.func @whole(%x: tensor<2x9000xf32>) -> tensor<2x3xf32> {
  %sums = train.square_sums %x {block = 4096 : i64} : tensor<2x9000xf32> -> tensor<2x3xf32>
  return %sums : tensor<2x3xf32>
}
