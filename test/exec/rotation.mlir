// DEFINE: %{op} = mla.rotation
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Frequencies 4^-j; angles up to the longest context are reduced without loss.
// REDEFINE: %{f} = three
// REDEFINE: %{s} = T=1 H=3 magnitude=1
// RUN: %{case}
// REDEFINE: %{s} = T=13 H=3 magnitude=1 limit=200
// RUN: %{case}
// REDEFINE: %{s} = T=257 H=3 magnitude=1 seed=2
// RUN: %{case}
// REDEFINE: %{f} = eight
// REDEFINE: %{s} = T=40 H=8 magnitude=1.25
// RUN: %{case}

func.func @three(%positions: tensor<?xi32>) -> (tensor<?x3xf32>, tensor<?x3xf32>) {
  %cos, %sin = mla.rotation %positions
      {frequencies = dense<[1.000000000000e+00, 2.500000000000e-01, 6.250000000000e-02]> : tensor<3xf32>,
       magnitude = 1.0 : f32} : tensor<?xi32> -> tensor<?x3xf32>, tensor<?x3xf32>
  return %cos, %sin : tensor<?x3xf32>, tensor<?x3xf32>
}

func.func @eight(%positions: tensor<?xi32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %cos, %sin = mla.rotation %positions
     
      {frequencies = dense<[1.000000000000e+00, 2.500000000000e-01, 6.250000000000e-02, 1.562500000000e-02,
                            3.906250000000e-03, 9.765625000000e-04, 2.441406250000e-04, 6.103515625000e-05]>
                     : tensor<8xf32>,
       magnitude = 1.25 : f32} : tensor<?xi32> -> tensor<?x8xf32>, tensor<?x8xf32>
  return %cos, %sin : tensor<?x8xf32>, tensor<?x8xf32>
}
