// DEFINE: %{op} = train.norm
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// REDEFINE: %{f} = any
// REDEFINE: %{s} = T=1
// RUN: %{case}
// REDEFINE: %{s} = T=300
// RUN: %{case}

func.func @any(%sums: tensor<?xf64>) -> tensor<1xf32> {
  %norm = train.norm %sums : tensor<?xf64> -> tensor<1xf32>
  return %norm : tensor<1xf32>
}
