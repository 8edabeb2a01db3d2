// DEFINE: %{op} = moe.grouped_matmul
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Groups of any number of rows, idle experts, odd sizes; every element is one chain of sums, to the
// bit.
// REDEFINE: %{f} = f32
// REDEFINE: %{s} = T=1 E=5 N=19 K=37 choices=2
// RUN: %{case}
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2
// RUN: %{case}
// REDEFINE: %{s} = T=9 E=5 N=19 K=37 choices=2 used=3
// RUN: %{case}
// REDEFINE: %{f} = bf16
// REDEFINE: %{s} = T=1 E=8 N=48 K=96 choices=3 element=bf16
// RUN: %{case}
// REDEFINE: %{s} = T=40 E=8 N=48 K=96 choices=3 element=bf16
// RUN: %{case}
// REDEFINE: %{f} = gathered
// REDEFINE: %{s} = T=17 E=6 N=33 K=50 choices=2 source=1 element=bf16
// RUN: %{case}
// REDEFINE: %{f} = long
// REDEFINE: %{s} = T=30 E=3 N=70 K=600 choices=2 source=1
// RUN: %{case}

// Groups of several segments share the experts' weights.
// REDEFINE: %{f} = segments
// REDEFINE: %{s} = T=30 E=5 N=19 K=37 choices=2 S=4
// RUN: %{case}
// REDEFINE: %{s} = T=1 E=5 N=19 K=37 choices=2 S=4
// RUN: %{case}

func.func @f32(%rows: tensor<?x37xf32>, %weights: tensor<5x19x37xf32>, %offsets: tensor<6xi32>,
              %active: tensor<5xi32>) -> tensor<?x19xf32> {
  %y = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x37xf32>, tensor<5x19x37xf32>, tensor<6xi32>, tensor<5xi32> -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}

func.func @bf16(%rows: tensor<?x96xf32>, %weights: tensor<8x48x96xbf16>, %offsets: tensor<9xi32>,
               %active: tensor<8xi32>) -> tensor<?x48xf32> {
  %y = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x96xf32>, tensor<8x48x96xbf16>, tensor<9xi32>, tensor<8xi32> -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

func.func @gathered(%rows: tensor<?x50xf32>, %weights: tensor<6x33x50xbf16>, %offsets: tensor<7xi32>,
                   %active: tensor<6xi32>, %source: tensor<?xi32>) -> tensor<?x33xf32> {
  %y = moe.grouped_matmul %rows, %weights, %offsets, %active source(%source : tensor<?xi32>)
      : tensor<?x50xf32>, tensor<6x33x50xbf16>, tensor<7xi32>, tensor<6xi32> -> tensor<?x33xf32>
  return %y : tensor<?x33xf32>
}

func.func @long(%rows: tensor<?x600xf32>, %weights: tensor<3x70x600xf32>, %offsets: tensor<4xi32>,
               %active: tensor<3xi32>, %source: tensor<?xi32>) -> tensor<?x70xf32> {
  %y = moe.grouped_matmul %rows, %weights, %offsets, %active source(%source : tensor<?xi32>)
      : tensor<?x600xf32>, tensor<3x70x600xf32>, tensor<4xi32>, tensor<3xi32> -> tensor<?x70xf32>
  return %y : tensor<?x70xf32>
}

func.func @segments(%rows: tensor<?x37xf32>, %weights: tensor<5x19x37xf32>, %offsets: tensor<21xi32>,
                    %active: tensor<20xi32>) -> tensor<?x19xf32> {
  %y = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x37xf32>, tensor<5x19x37xf32>, tensor<21xi32>, tensor<20xi32> -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}
