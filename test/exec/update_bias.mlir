// DEFINE: %{op} = moe.update_bias
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Up, down, and as it was where the load is the mean.
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = E=7 step=0.001
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = E=256 step=0.001
// RUN: %{case}
// REDEFINE: %{f} = one
// REDEFINE: %{s} = E=1 step=0.5
// RUN: %{case}

func.func @odd(%bias: tensor<7xf32>, %load: tensor<7xi32>) -> tensor<7xf32> {
  %new = moe.update_bias %bias, %load {step = 0.001 : f32} : tensor<7xf32>, tensor<7xi32> -> tensor<7xf32>
  return %new : tensor<7xf32>
}

func.func @large(%bias: tensor<256xf32>, %load: tensor<256xi32>) -> tensor<256xf32> {
  %new = moe.update_bias %bias, %load {step = 0.001 : f32} : tensor<256xf32>, tensor<256xi32> -> tensor<256xf32>
  return %new : tensor<256xf32>
}

func.func @one(%bias: tensor<1xf32>, %load: tensor<1xi32>) -> tensor<1xf32> {
  %new = moe.update_bias %bias, %load {step = 0.5 : f32} : tensor<1xf32>, tensor<1xi32> -> tensor<1xf32>
  return %new : tensor<1xf32>
}
