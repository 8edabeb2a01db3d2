// DEFINE: %{op} = fp8.dequantize
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// All codes, in short tiles, in stacked tensors, in rows of an activation.
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

// Tiles of one column, in groups too; one scale for a group's column, for a row, for all.
// REDEFINE: %{f} = columns
// REDEFINE: %{s} = M=200 K=301 block=128,1
// RUN: %{case}
// REDEFINE: %{f} = groups
// REDEFINE: %{s} = rows=0,1,127,128,129,0 K=70 block=128,1 pow2=1
// RUN: %{case}
// REDEFINE: %{f} = groups_square
// REDEFINE: %{s} = rows=3,0,200,60,0 K=70 block=64,32
// RUN: %{case}
// REDEFINE: %{f} = groups_whole
// REDEFINE: %{s} = rows=3,0,200,60,0 K=70 block=0,1
// RUN: %{case}
// REDEFINE: %{f} = whole
// REDEFINE: %{s} = M=30 K=70 block=0,0
// RUN: %{case}

// Other formats, infinities and NaN among them.
// REDEFINE: %{f} = e5m2
// REDEFINE: %{s} = M=23 K=300 block=1,128 format=e5m2
// RUN: %{case}
// REDEFINE: %{f} = e5m6
// REDEFINE: %{s} = M=23 K=301 block=1,128 format=e5m6 pow2=1
// RUN: %{case}
// REDEFINE: %{f} = e5m6_columns
// REDEFINE: %{s} = M=9 K=301 block=4,1 format=e5m6
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

func.func @columns(%q: tensor<?x301xf8E4M3FN>, %scale: tensor<?x301xf32>) -> tensor<?x301xf32> {
  %w = fp8.dequantize %q, %scale {block = array<i64: 128, 1>}
      : tensor<?x301xf8E4M3FN>, tensor<?x301xf32> -> tensor<?x301xf32>
  return %w : tensor<?x301xf32>
}

func.func @groups(%q: tensor<?x70xf8E4M3FN>, %scale: tensor<?x70xf32>, %o: tensor<7xi32>) -> tensor<?x70xf32> {
  %w = fp8.dequantize %q, %scale offsets(%o : tensor<7xi32>) {block = array<i64: 128, 1>, pow2}
      : tensor<?x70xf8E4M3FN>, tensor<?x70xf32> -> tensor<?x70xf32>
  return %w : tensor<?x70xf32>
}

func.func @groups_square(%q: tensor<?x70xf8E4M3FN>, %scale: tensor<?x3xf32>, %o: tensor<6xi32>) -> tensor<?x70xf32> {
  %w = fp8.dequantize %q, %scale offsets(%o : tensor<6xi32>) {block = array<i64: 64, 32>}
      : tensor<?x70xf8E4M3FN>, tensor<?x3xf32> -> tensor<?x70xf32>
  return %w : tensor<?x70xf32>
}

func.func @groups_whole(%q: tensor<?x70xf8E4M3FN>, %scale: tensor<5x70xf32>, %o: tensor<6xi32>) -> tensor<?x70xf32> {
  %w = fp8.dequantize %q, %scale offsets(%o : tensor<6xi32>) {block = array<i64: 0, 1>}
      : tensor<?x70xf8E4M3FN>, tensor<5x70xf32> -> tensor<?x70xf32>
  return %w : tensor<?x70xf32>
}

func.func @whole(%q: tensor<?x70xf8E4M3FN>, %scale: tensor<1x1xf32>) -> tensor<?x70xf32> {
  %w = fp8.dequantize %q, %scale {block = array<i64: 0, 0>}
      : tensor<?x70xf8E4M3FN>, tensor<1x1xf32> -> tensor<?x70xf32>
  return %w : tensor<?x70xf32>
}

func.func @e5m2(%q: tensor<?x300xf8E5M2>, %scale: tensor<?x3xf32>) -> tensor<?x300xf32> {
  %w = fp8.dequantize %q, %scale {block = array<i64: 1, 128>, format = "e5m2"}
      : tensor<?x300xf8E5M2>, tensor<?x3xf32> -> tensor<?x300xf32>
  return %w : tensor<?x300xf32>
}

func.func @e5m6(%q: tensor<?x452xi8>, %scale: tensor<?x3xf32>) -> tensor<?x301xf32> {
  %w = fp8.dequantize %q, %scale {block = array<i64: 1, 128>, format = "e5m6", pow2}
      : tensor<?x452xi8>, tensor<?x3xf32> -> tensor<?x301xf32>
  return %w : tensor<?x301xf32>
}

func.func @e5m6_columns(%q: tensor<?x452xi8>, %scale: tensor<?x301xf32>) -> tensor<?x301xf32> {
  %w = fp8.dequantize %q, %scale {block = array<i64: 4, 1>, format = "e5m6"}
      : tensor<?x452xi8>, tensor<?x301xf32> -> tensor<?x301xf32>
  return %w : tensor<?x301xf32>
}
