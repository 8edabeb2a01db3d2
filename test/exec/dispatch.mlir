// DEFINE: %{op} = moe.dispatch
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// A gather of rows.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=1 H=37 R=4
// RUN: %{case}
// REDEFINE: %{s} = T=11 H=37 R=44
// RUN: %{case}
// REDEFINE: %{f} = even
// REDEFINE: %{s} = T=50 H=64 R=13
// RUN: %{case}
// Codes of FP8, which are bytes.
// REDEFINE: %{f} = codes
// REDEFINE: %{s} = T=11 H=37 R=44 codes=1
// RUN: %{case}

func.func @odd(%x: tensor<?x37xf32>, %source: tensor<?xi32>) -> tensor<?x37xf32> {
  %rows = moe.dispatch %x, %source : tensor<?x37xf32>, tensor<?xi32> -> tensor<?x37xf32>
  return %rows : tensor<?x37xf32>
}

func.func @even(%x: tensor<?x64xf32>, %source: tensor<?xi32>) -> tensor<?x64xf32> {
  %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  return %rows : tensor<?x64xf32>
}

func.func @codes(%x: tensor<?x37xf8E4M3FN>, %source: tensor<?xi32>) -> tensor<?x37xf8E4M3FN> {
  %rows = moe.dispatch %x, %source : tensor<?x37xf8E4M3FN>, tensor<?xi32> -> tensor<?x37xf8E4M3FN>
  return %rows : tensor<?x37xf8E4M3FN>
}
