// DEFINE: %{op} = mla.rope
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Pairs and halves; one head (the shared key) and several.
// REDEFINE: %{f} = pairs
// REDEFINE: %{s} = T=7 h=3 dr=10 interleave=1
// RUN: %{case}
// REDEFINE: %{s} = T=1 h=3 dr=10 interleave=1
// RUN: %{case}
// REDEFINE: %{f} = shared
// REDEFINE: %{s} = T=33 h=1 dr=8 interleave=1
// RUN: %{case}
// REDEFINE: %{f} = halves
// REDEFINE: %{s} = T=19 h=5 dr=64 interleave=0
// RUN: %{case}

// Back, from the rotated order.
// REDEFINE: %{f} = pairs_adjoint
// REDEFINE: %{s} = T=7 h=3 dr=10 interleave=1 adjoint=1
// RUN: %{case}
// REDEFINE: %{f} = halves_adjoint
// REDEFINE: %{s} = T=19 h=5 dr=64 interleave=0 adjoint=1
// RUN: %{case}

func.func @pairs(%x: tensor<?x3x10xf32>, %cos: tensor<?x5xf32>, %sin: tensor<?x5xf32>) -> tensor<?x3x10xf32> {
  %r = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<?x3x10xf32>, tensor<?x5xf32>, tensor<?x5xf32> -> tensor<?x3x10xf32>
  return %r : tensor<?x3x10xf32>
}

func.func @shared(%x: tensor<?x1x8xf32>, %cos: tensor<?x4xf32>, %sin: tensor<?x4xf32>) -> tensor<?x1x8xf32> {
  %r = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<?x1x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x1x8xf32>
  return %r : tensor<?x1x8xf32>
}

func.func @halves(%x: tensor<?x5x64xf32>, %cos: tensor<?x32xf32>, %sin: tensor<?x32xf32>) -> tensor<?x5x64xf32> {
  %r = mla.rope %x, %cos, %sin {interleave = false}
      : tensor<?x5x64xf32>, tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x5x64xf32>
  return %r : tensor<?x5x64xf32>
}

func.func @pairs_adjoint(%x: tensor<?x3x10xf32>, %cos: tensor<?x5xf32>, %sin: tensor<?x5xf32>) -> tensor<?x3x10xf32> {
  %r = mla.rope %x, %cos, %sin {adjoint, interleave = true}
      : tensor<?x3x10xf32>, tensor<?x5xf32>, tensor<?x5xf32> -> tensor<?x3x10xf32>
  return %r : tensor<?x3x10xf32>
}

func.func @halves_adjoint(%x: tensor<?x5x64xf32>, %cos: tensor<?x32xf32>, %sin: tensor<?x32xf32>)
    -> tensor<?x5x64xf32> {
  %r = mla.rope %x, %cos, %sin {adjoint, interleave = false}
      : tensor<?x5x64xf32>, tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x5x64xf32>
  return %r : tensor<?x5x64xf32>
}
