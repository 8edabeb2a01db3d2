// DEFINE: %{op} = fp8.quantize
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Codes to the bit: ties, subnormals, short groups, a row of zeros.
// REDEFINE: %{f} = activation
// REDEFINE: %{s} = M=1 K=300 block=1,128
// RUN: %{case}
// REDEFINE: %{s} = M=23 K=300 block=1,128
// RUN: %{case}
// REDEFINE: %{s} = M=5 K=300 block=1,128 seed=2
// RUN: %{case}
// REDEFINE: %{f} = weight
// REDEFINE: %{s} = M=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{f} = tiny
// REDEFINE: %{s} = M=7 K=9 block=3,4
// RUN: %{case}

func.func @activation(%x: tensor<?x300xf32>) -> (tensor<?x300xf8E4M3FN>, tensor<?x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
}

func.func @weight(%x: tensor<200x300xf32>) -> (tensor<200x300xf8E4M3FN>, tensor<2x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 128, 128>}
      : tensor<200x300xf32> -> tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
  return %q, %scale : tensor<200x300xf8E4M3FN>, tensor<2x3xf32>
}

func.func @tiny(%x: tensor<?x9xf32>) -> (tensor<?x9xf8E4M3FN>, tensor<?x3xf32>) {
  %q, %scale = fp8.quantize %x {block = array<i64: 3, 4>} : tensor<?x9xf32> -> tensor<?x9xf8E4M3FN>, tensor<?x3xf32>
  return %q, %scale : tensor<?x9xf8E4M3FN>, tensor<?x3xf32>
}
