// DEFINE: %{op} = panel_copy
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s --cpu=native -o %t.hadal

// Into panels and back: the same values, bf16 widened.
// REDEFINE: %{op} = panel_copy
// REDEFINE: %{f} = f32
// REDEFINE: %{s} = N=19 K=37
// RUN: %{case}
// REDEFINE: %{f} = bf16
// REDEFINE: %{s} = N=70 K=45 element=bf16
// RUN: %{case}
// REDEFINE: %{f} = stack
// REDEFINE: %{s} = E=3 N=33 K=64
// RUN: %{case}

// The same in vectors of eight.
// RUN: hadal-compile %s --cpu=x86-64-v3 -o %t.hadal
// REDEFINE: %{op} = panel_copy
// REDEFINE: %{f} = f32
// REDEFINE: %{s} = N=19 K=37
// RUN: %{case}
// REDEFINE: %{f} = bf16
// REDEFINE: %{s} = N=70 K=45 element=bf16
// RUN: %{case}
// REDEFINE: %{f} = stack
// REDEFINE: %{s} = E=3 N=33 K=64
// RUN: %{case}

#panels = #exec.layout<"cpu.panels">

func.func private @pack_f32_0_19x37(%w: tensor<19x37xf32>) -> (tensor<19x37xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<19x37xf32>
  %p = linalg.copy ins(%w : tensor<19x37xf32>) outs(%empty : tensor<19x37xf32>) -> tensor<19x37xf32>
  return %p : tensor<19x37xf32>
}

func.func private @unpack_0_19x37(%p: tensor<19x37xf32> {exec.layout = #panels}) -> tensor<19x37xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<19x37xf32>
  %w = linalg.copy ins(%p : tensor<19x37xf32>) outs(%empty : tensor<19x37xf32>) -> tensor<19x37xf32>
  return %w : tensor<19x37xf32>
}

func.func private @pack_bf16_0_70x45(%w: tensor<70x45xbf16>) -> (tensor<70x45xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<70x45xf32>
  %p = linalg.copy ins(%w : tensor<70x45xbf16>) outs(%empty : tensor<70x45xf32>) -> tensor<70x45xf32>
  return %p : tensor<70x45xf32>
}

func.func private @unpack_0_70x45(%p: tensor<70x45xf32> {exec.layout = #panels}) -> tensor<70x45xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<70x45xf32>
  %w = linalg.copy ins(%p : tensor<70x45xf32>) outs(%empty : tensor<70x45xf32>) -> tensor<70x45xf32>
  return %w : tensor<70x45xf32>
}

func.func private @pack_f32_3_33x64(%w: tensor<3x33x64xf32>) -> (tensor<3x33x64xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<3x33x64xf32>
  %p = linalg.copy ins(%w : tensor<3x33x64xf32>) outs(%empty : tensor<3x33x64xf32>) -> tensor<3x33x64xf32>
  return %p : tensor<3x33x64xf32>
}

func.func private @unpack_3_33x64(%p: tensor<3x33x64xf32> {exec.layout = #panels}) -> tensor<3x33x64xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<3x33x64xf32>
  %w = linalg.copy ins(%p : tensor<3x33x64xf32>) outs(%empty : tensor<3x33x64xf32>) -> tensor<3x33x64xf32>
  return %w : tensor<3x33x64xf32>
}

exec.program @f32 registers [] {
  %w = exec.argument "arg0" affine_map<()[] -> (19, 37)> of f32
  %y = exec.argument output "result0" affine_map<()[] -> (19, 37)> of f32
  %p = exec.temporary bytes affine_map<()[] -> (4864)>
  exec.launch @pack_f32_0_19x37(%w, %p) scalars []
  exec.launch @unpack_0_19x37(%p, %y) scalars []
}

exec.program @bf16 registers [] {
  %w = exec.argument "arg0" affine_map<()[] -> (70, 45)> of bf16
  %y = exec.argument output "result0" affine_map<()[] -> (70, 45)> of f32
  %p = exec.temporary bytes affine_map<()[] -> (17664)>
  exec.launch @pack_bf16_0_70x45(%w, %p) scalars []
  exec.launch @unpack_0_70x45(%p, %y) scalars []
}

exec.program @stack registers [] {
  %w = exec.argument "arg0" affine_map<()[] -> (3, 33, 64)> of f32
  %y = exec.argument output "result0" affine_map<()[] -> (3, 33, 64)> of f32
  %p = exec.temporary bytes affine_map<()[] -> (49152)>
  exec.launch @pack_f32_3_33x64(%w, %p) scalars []
  exec.launch @unpack_3_33x64(%p, %y) scalars []
}
