// DEFINE: %{op} = fp8.matmul
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Weights widened in registers, blocks short on both edges; one row and many.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = T=1 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = T=7 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = T=65 N=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{f} = small
// REDEFINE: %{s} = T=13 N=19 K=37 block=128,128
// RUN: %{case}

// Every code is its value, and NaN is NaN, in vectors of any length.
// REDEFINE: %{f} = all_codes
// REDEFINE: %{s} = T=1 N=256 K=37 block=128,128 all_codes=1
// RUN: %{case}
// REDEFINE: %{s} = T=7 N=256 K=37 block=128,128 all_codes=1
// RUN: %{case}
// REDEFINE: %{s} = T=65 N=256 K=37 block=128,128 all_codes=1
// RUN: %{case}
// RUN: hadal-compile %s --cpu=x86-64-v3 -o %t.hadal
// REDEFINE: %{s} = T=1 N=256 K=37 block=128,128 all_codes=1
// RUN: %{case}
// REDEFINE: %{s} = T=65 N=256 K=37 block=128,128 all_codes=1
// RUN: %{case}

func.func @odd(%x: tensor<?x300xf32>, %w: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) -> tensor<?x200xf32> {
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}

func.func @small(%x: tensor<?x37xf32>, %w: tensor<19x37xf8E4M3FN>, %scale: tensor<1x1xf32>) -> tensor<?x19xf32> {
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
      : tensor<?x37xf32>, tensor<19x37xf8E4M3FN>, tensor<1x1xf32> -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}

func.func @all_codes(%x: tensor<?x37xf32>, %w: tensor<256x37xf8E4M3FN>, %scale: tensor<2x1xf32>) -> tensor<?x256xf32> {
  %y = fp8.matmul %x, %w, %scale {block = array<i64: 128, 128>}
      : tensor<?x37xf32>, tensor<256x37xf8E4M3FN>, tensor<2x1xf32> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
