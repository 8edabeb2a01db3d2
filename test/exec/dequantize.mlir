// DEFINE: %{op} = fp8.dequantize
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// All codes, in short blocks, in stacked tensors, in rows of an activation.
// REDEFINE: %{f} = weight
// REDEFINE: %{s} = M=200 K=300 block=128,128
// RUN: %{case}
// REDEFINE: %{f} = stacked
// REDEFINE: %{s} = E=3 M=130 K=40 block=128,128
// RUN: %{case}
// REDEFINE: %{f} = activation
// REDEFINE: %{s} = M=1 K=300 block=1,128
// RUN: %{case}
// REDEFINE: %{s} = M=11 K=300 block=1,128
// RUN: %{case}

func.func @weight(%q: tensor<200x300xf8E4M3FN>, %scale: tensor<2x3xf32>) -> tensor<200x300xf32> {
  %w = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<200x300xf32>
  return %w : tensor<200x300xf32>
}

func.func @stacked(%q: tensor<3x130x40xf8E4M3FN>, %scale: tensor<3x2x1xf32>) -> tensor<3x130x40xf32> {
  %w = fp8.dequantize %q, %scale {block = array<i64: 128, 128>}
      : tensor<3x130x40xf8E4M3FN>, tensor<3x2x1xf32> -> tensor<3x130x40xf32>
  return %w : tensor<3x130x40xf32>
}

func.func @activation(%q: tensor<?x300xf8E4M3FN>, %scale: tensor<?x3xf32>) -> tensor<?x300xf32> {
  %w = fp8.dequantize %q, %scale {block = array<i64: 1, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<?x3xf32> -> tensor<?x300xf32>
  return %w : tensor<?x300xf32>
}
