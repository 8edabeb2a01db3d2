// The three products of a Linear and of grouped experts after --fp8-quantize, to the bit: the recipe, tiles that edges cut, groups of 0,
// 1, 127, 128 and 129 rows; and what the options make of it.
// DEFINE: %{op} = fp8.linear
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize -o %t.mlir
// RUN: hadal-compile %t.mlir --products=fma -o %t.hadal
// REDEFINE: %{f} = linear_gradient
// REDEFINE: %{s} = rows=150 N=160 K=136
// RUN: %{case}
// REDEFINE: %{s} = rows=1 N=160 K=136
// RUN: %{case}
// REDEFINE: %{f} = experts_gradient
// REDEFINE: %{s} = rows=0,1,127,128,129,0 E=6 N=40 K=136
// RUN: %{case}

// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize="format=e5m2 scales=pow2 gradient-tile=128x128 interval=32 accumulate=hopper" -o %t.mlir
// RUN: hadal-compile %t.mlir --products=fma -o %t.hadal
// REDEFINE: %{f} = linear_gradient
// REDEFINE: %{s} = rows=150 N=160 K=136 format=e5m2 pow2=1 gradient_blocks=1 interval=32 hopper=1
// RUN: %{case}
// REDEFINE: %{f} = experts_gradient
// REDEFINE: %{s} = rows=0,3,130,1,0,129 E=6 N=40 K=136 format=e5m2 pow2=1 gradient_blocks=1 interval=32 hopper=1
// RUN: %{case}

// RUN: hadal-opt %s --hadal-differentiate --fp8-quantize="interval=0 gradient-tile=128x128" -o %t.mlir
// RUN: hadal-compile %t.mlir --products=fma -o %t.hadal
// REDEFINE: %{f} = linear_gradient
// REDEFINE: %{s} = rows=150 N=160 K=136 interval=0 gradient_blocks=1
// RUN: %{case}
// REDEFINE: %{f} = experts_gradient
// REDEFINE: %{s} = rows=5,0,130,1,0,20 E=6 N=40 K=136 interval=0 gradient_blocks=1
// RUN: %{case}

#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>
func.func @linear(%x: tensor<?x136xf32> {hadal.gradient}, %w: tensor<160x136xf32> {hadal.gradient}) -> (tensor<?x160xf32> {hadal.gradient})
    attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%rows) : tensor<?x160xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x160xf32>) -> tensor<?x160xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<?x136xf32>, tensor<160x136xf32>) outs(%z : tensor<?x160xf32>) -> tensor<?x160xf32>
  return %y : tensor<?x160xf32>
}
func.func @experts(%x: tensor<?x136xf32> {hadal.gradient}, %w: tensor<6x40x136xf32> {hadal.gradient}, %offsets: tensor<7xi32>, %active: tensor<6xi32>)
    -> (tensor<?x40xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %y = moe.grouped_matmul %x, %w, %offsets, %active : tensor<?x136xf32>, tensor<6x40x136xf32>, tensor<7xi32>, tensor<6xi32> -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}
