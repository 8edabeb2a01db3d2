// DEFINE: %{op} = fp8.grouped_matmul
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Stacked E4M3 experts, idle ones among them, rows in place and gathered.
// REDEFINE: %{f} = rows
// REDEFINE: %{s} = T=1 E=4 N=200 K=300 choices=2 block=128,128
// RUN: %{case}
// REDEFINE: %{s} = T=21 E=4 N=200 K=300 choices=2 used=3 block=128,128
// RUN: %{case}
// REDEFINE: %{f} = gathered
// REDEFINE: %{s} = T=17 E=6 N=33 K=150 choices=2 source=1 block=128,128
// RUN: %{case}

func.func @rows(%rows: tensor<?x300xf32>, %w: tensor<4x200x300xf8E4M3FN>, %scale: tensor<4x2x3xf32>,
               %offsets: tensor<5xi32>, %active: tensor<4xi32>) -> tensor<?x200xf32> {
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active {block = array<i64: 128, 128>}
      : tensor<?x300xf32>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}

func.func @gathered(%rows: tensor<?x150xf32>, %w: tensor<6x33x150xf8E4M3FN>, %scale: tensor<6x1x2xf32>,
                   %offsets: tensor<7xi32>, %active: tensor<6xi32>, %source: tensor<?xi32>) -> tensor<?x33xf32> {
  %y = fp8.grouped_matmul %rows, %w, %scale, %offsets, %active source(%source : tensor<?xi32>)
      {block = array<i64: 128, 128>}
      : tensor<?x150xf32>, tensor<6x33x150xf8E4M3FN>, tensor<6x1x2xf32>, tensor<7xi32>, tensor<6xi32>
      -> tensor<?x33xf32>
  return %y : tensor<?x33xf32>
}
