// DEFINE: %{op} = train.sum_rows
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// REDEFINE: %{f} = any
// REDEFINE: %{s} = T=1 B=1
// RUN: %{case}
// REDEFINE: %{s} = T=7 B=300
// RUN: %{case}

func.func @any(%x: tensor<?x?xf32>) -> tensor<?xf64> {
  %sums = train.sum_rows %x : tensor<?x?xf32> -> tensor<?xf64>
  return %sums : tensor<?xf64>
}
