// DEFINE: %{op} = moe.grouped_matmul
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s --cpu=native -o %t.hadal

// Experts in panels: any number of rows, idle experts, odd sizes; to the bit.
// REDEFINE: %{op} = moe.grouped_matmul
// REDEFINE: %{f} = panels
// REDEFINE: %{s} = T=1 E=5 N=19 K=37 choices=2
// RUN: %{case}
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2 used=3
// RUN: %{case}
// REDEFINE: %{f} = gathered
// REDEFINE: %{s} = T=17 E=6 N=33 K=50 choices=2 source=1
// RUN: %{case}

// The gradient of their rows.
// REDEFINE: %{op} = grouped_transposed
// REDEFINE: %{f} = turned
// REDEFINE: %{s} = T=1 E=5 N=37 K=19 choices=2
// RUN: %{case}
// REDEFINE: %{s} = T=23 E=5 N=37 K=19 choices=2 used=3
// RUN: %{case}
// REDEFINE: %{f} = turned_gathered
// REDEFINE: %{s} = T=40 E=4 N=530 K=45 choices=2 source=1
// RUN: %{case}

// The gradient of their weights: experts without rows keep what they have.
// REDEFINE: %{op} = grouped_weight_gradient
// REDEFINE: %{f} = gradient
// REDEFINE: %{s} = T=1 E=5 N=19 K=37 choices=2 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2 used=3 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=700 E=5 N=19 K=37 choices=2 init=1
// RUN: %{case}
// REDEFINE: %{f} = gradient_gathered
// REDEFINE: %{s} = T=40 E=4 N=45 K=70 choices=2 source=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = gradient_plain
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2 used=3 init=1
// RUN: %{case}
// REDEFINE: %{f} = gradient_zero
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2 used=3 source=1 init=0
// RUN: %{case}

// The same in vectors of eight.
// RUN: hadal-compile %s --cpu=x86-64-v3 -o %t.hadal
// REDEFINE: %{op} = moe.grouped_matmul
// REDEFINE: %{f} = panels
// REDEFINE: %{s} = T=1 E=5 N=19 K=37 choices=2
// RUN: %{case}
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2 used=3
// RUN: %{case}
// REDEFINE: %{f} = gathered
// REDEFINE: %{s} = T=17 E=6 N=33 K=50 choices=2 source=1
// RUN: %{case}
// REDEFINE: %{op} = grouped_transposed
// REDEFINE: %{f} = turned
// REDEFINE: %{s} = T=1 E=5 N=37 K=19 choices=2
// RUN: %{case}
// REDEFINE: %{s} = T=23 E=5 N=37 K=19 choices=2 used=3
// RUN: %{case}
// REDEFINE: %{f} = turned_gathered
// REDEFINE: %{s} = T=40 E=4 N=530 K=45 choices=2 source=1
// RUN: %{case}
// REDEFINE: %{op} = grouped_weight_gradient
// REDEFINE: %{f} = gradient
// REDEFINE: %{s} = T=1 E=5 N=19 K=37 choices=2 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2 used=3 init=1
// RUN: %{case}
// REDEFINE: %{s} = T=700 E=5 N=19 K=37 choices=2 init=1
// RUN: %{case}
// REDEFINE: %{f} = gradient_gathered
// REDEFINE: %{s} = T=40 E=4 N=45 K=70 choices=2 source=1 init=1
// RUN: %{case}
// REDEFINE: %{f} = gradient_plain
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2 used=3 init=1
// RUN: %{case}
// REDEFINE: %{f} = gradient_zero
// REDEFINE: %{s} = T=23 E=5 N=19 K=37 choices=2 used=3 source=1 init=0
// RUN: %{case}

#panels = #exec.layout<"cpu.panels">

func.func private @grouped_5x19x37(%rows: tensor<?x37xf32>, %w: tensor<5x19x37xf32> {exec.layout = #panels}, %offsets: tensor<6xi32>,
    %active: tensor<5xi32>) -> tensor<?x19xf32> attributes {exec.kernel} {
  %y = moe.grouped_matmul %rows, %w, %offsets, %active : tensor<?x37xf32>, tensor<5x19x37xf32>, tensor<6xi32>, tensor<5xi32> -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}

func.func private @pack_f32_5_19x37(%w: tensor<5x19x37xf32>) -> (tensor<5x19x37xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<5x19x37xf32>
  %p = linalg.copy ins(%w : tensor<5x19x37xf32>) outs(%empty : tensor<5x19x37xf32>) -> tensor<5x19x37xf32>
  return %p : tensor<5x19x37xf32>
}

func.func private @grouped_gathered_6x33x50(%rows: tensor<?x50xf32>, %w: tensor<6x33x50xf32> {exec.layout = #panels}, %offsets: tensor<7xi32>,
    %active: tensor<6xi32>, %source: tensor<?xi32>) -> tensor<?x33xf32> attributes {exec.kernel} {
  %y = moe.grouped_matmul %rows, %w, %offsets, %active source(%source : tensor<?xi32>) : tensor<?x50xf32>, tensor<6x33x50xf32>, tensor<7xi32>, tensor<6xi32> -> tensor<?x33xf32>
  return %y : tensor<?x33xf32>
}

func.func private @pack_f32_6_33x50(%w: tensor<6x33x50xf32>) -> (tensor<6x33x50xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<6x33x50xf32>
  %p = linalg.copy ins(%w : tensor<6x33x50xf32>) outs(%empty : tensor<6x33x50xf32>) -> tensor<6x33x50xf32>
  return %p : tensor<6x33x50xf32>
}

func.func private @grouped_transposed_5x37x19(%rows: tensor<?x37xf32>, %w: tensor<5x37x19xf32> {exec.layout = #panels}, %offsets: tensor<6xi32>,
    %active: tensor<5xi32>) -> tensor<?x19xf32> attributes {exec.kernel} {
  %y = moe.grouped_matmul %rows, %w, %offsets, %active {transpose} : tensor<?x37xf32>, tensor<5x37x19xf32>, tensor<6xi32>, tensor<5xi32> -> tensor<?x19xf32>
  return %y : tensor<?x19xf32>
}

func.func private @pack_f32_5_37x19(%w: tensor<5x37x19xf32>) -> (tensor<5x37x19xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<5x37x19xf32>
  %p = linalg.copy ins(%w : tensor<5x37x19xf32>) outs(%empty : tensor<5x37x19xf32>) -> tensor<5x37x19xf32>
  return %p : tensor<5x37x19xf32>
}

func.func private @grouped_transposed_gathered_4x530x45(%rows: tensor<?x530xf32>, %w: tensor<4x530x45xf32> {exec.layout = #panels}, %offsets: tensor<5xi32>,
    %active: tensor<4xi32>, %source: tensor<?xi32>) -> tensor<?x45xf32> attributes {exec.kernel} {
  %y = moe.grouped_matmul %rows, %w, %offsets, %active source(%source : tensor<?xi32>) {transpose} : tensor<?x530xf32>, tensor<4x530x45xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x45xf32>
  return %y : tensor<?x45xf32>
}

func.func private @pack_f32_4_530x45(%w: tensor<4x530x45xf32>) -> (tensor<4x530x45xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<4x530x45xf32>
  %p = linalg.copy ins(%w : tensor<4x530x45xf32>) outs(%empty : tensor<4x530x45xf32>) -> tensor<4x530x45xf32>
  return %p : tensor<4x530x45xf32>
}

func.func private @grouped_weight_gradient_panels_5x19x37(%rows: tensor<?x37xf32>, %dy: tensor<?x19xf32>, %offsets: tensor<6xi32>, %active: tensor<5xi32>, %init: tensor<5x19x37xf32> {exec.layout = #panels, exec.in_place = 0 : i64}) -> tensor<5x19x37xf32> attributes {exec.kernel} {
  %dw = moe.grouped_weight_grad %rows, %dy, %offsets, %active, %init : tensor<?x37xf32>, tensor<?x19xf32>, tensor<6xi32>, tensor<5xi32>, tensor<5x19x37xf32> -> tensor<5x19x37xf32>
  return %dw : tensor<5x19x37xf32>
}

func.func private @unpack_5_19x37(%p: tensor<5x19x37xf32> {exec.layout = #panels}) -> tensor<5x19x37xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<5x19x37xf32>
  %w = linalg.copy ins(%p : tensor<5x19x37xf32>) outs(%empty : tensor<5x19x37xf32>) -> tensor<5x19x37xf32>
  return %w : tensor<5x19x37xf32>
}

func.func private @grouped_weight_gradient_panels_gathered_4x45x70(%rows: tensor<?x70xf32>, %dy: tensor<?x45xf32>, %offsets: tensor<5xi32>, %active: tensor<4xi32>, %init: tensor<4x45x70xf32> {exec.layout = #panels, exec.in_place = 0 : i64}, %source: tensor<?xi32>) -> tensor<4x45x70xf32> attributes {exec.kernel} {
  %dw = moe.grouped_weight_grad %rows, %dy, %offsets, %active, %init source(%source : tensor<?xi32>) : tensor<?x70xf32>, tensor<?x45xf32>, tensor<5xi32>, tensor<4xi32>, tensor<4x45x70xf32> -> tensor<4x45x70xf32>
  return %dw : tensor<4x45x70xf32>
}

func.func private @pack_f32_4_45x70(%w: tensor<4x45x70xf32>) -> (tensor<4x45x70xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<4x45x70xf32>
  %p = linalg.copy ins(%w : tensor<4x45x70xf32>) outs(%empty : tensor<4x45x70xf32>) -> tensor<4x45x70xf32>
  return %p : tensor<4x45x70xf32>
}

func.func private @unpack_4_45x70(%p: tensor<4x45x70xf32> {exec.layout = #panels}) -> tensor<4x45x70xf32> attributes {exec.kernel} {
  %empty = tensor.empty() : tensor<4x45x70xf32>
  %w = linalg.copy ins(%p : tensor<4x45x70xf32>) outs(%empty : tensor<4x45x70xf32>) -> tensor<4x45x70xf32>
  return %w : tensor<4x45x70xf32>
}

func.func private @grouped_weight_gradient_plain_5x19x37(%rows: tensor<?x37xf32>, %dy: tensor<?x19xf32>, %offsets: tensor<6xi32>, %active: tensor<5xi32>, %init: tensor<5x19x37xf32> {exec.in_place = 0 : i64}) -> tensor<5x19x37xf32> attributes {exec.kernel} {
  %dw = moe.grouped_weight_grad %rows, %dy, %offsets, %active, %init : tensor<?x37xf32>, tensor<?x19xf32>, tensor<6xi32>, tensor<5xi32>, tensor<5x19x37xf32> -> tensor<5x19x37xf32>
  return %dw : tensor<5x19x37xf32>
}

func.func private @grouped_weight_gradient_zero_panels_gathered_5x19x37(%rows: tensor<?x37xf32>, %dy: tensor<?x19xf32>, %offsets: tensor<6xi32>, %active: tensor<5xi32>, %source: tensor<?xi32>) -> (tensor<5x19x37xf32> {exec.layout = #panels}) attributes {exec.kernel} {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<5x19x37xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<5x19x37xf32>) -> tensor<5x19x37xf32>
  %dw = moe.grouped_weight_grad %rows, %dy, %offsets, %active, %init source(%source : tensor<?xi32>) : tensor<?x37xf32>, tensor<?x19xf32>, tensor<6xi32>, tensor<5xi32>, tensor<5x19x37xf32> -> tensor<5x19x37xf32>
  return %dw : tensor<5x19x37xf32>
}

exec.program @panels registers ["arg0.0"] {
  %rows = exec.argument "arg0" affine_map<()[s0] -> (s0, 37)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (5, 19, 37)> of f32
  %offsets = exec.argument "arg2" affine_map<()[s0] -> (6)> of i32
  %active = exec.argument "arg3" affine_map<()[s0] -> (5)> of i32
  %y = exec.argument output "result0" affine_map<()[s0] -> (s0, 19)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (24320)>
  exec.launch @pack_f32_5_19x37(%w, %p) scalars []
  exec.launch @grouped_5x19x37(%rows, %p, %offsets, %active, %y) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @gathered registers ["arg0.0", "arg4.0"] {
  %rows = exec.argument "arg0" affine_map<()[s0, s1] -> (s0, 50)> of f32
  %w = exec.argument "arg1" affine_map<()[s0, s1] -> (6, 33, 50)> of f32
  %offsets = exec.argument "arg2" affine_map<()[s0, s1] -> (7)> of i32
  %active = exec.argument "arg3" affine_map<()[s0, s1] -> (6)> of i32
  %source = exec.argument "arg4" affine_map<()[s0, s1] -> (s1)> of i32
  %y = exec.argument output "result0" affine_map<()[s0, s1] -> (s1, 33)> of f32
  %p = exec.temporary bytes affine_map<()[s0, s1] -> (76800)>
  exec.launch @pack_f32_6_33x50(%w, %p) scalars []
  exec.launch @grouped_gathered_6x33x50(%rows, %p, %offsets, %active, %source, %y) scalars [affine_map<()[s0, s1] -> (s0)>, affine_map<()[s0, s1] -> (s1)>, affine_map<()[s0, s1] -> (s1)>]
}

exec.program @turned registers ["arg0.0"] {
  %rows = exec.argument "arg0" affine_map<()[s0] -> (s0, 37)> of f32
  %w = exec.argument "arg1" affine_map<()[s0] -> (5, 37, 19)> of f32
  %offsets = exec.argument "arg2" affine_map<()[s0] -> (6)> of i32
  %active = exec.argument "arg3" affine_map<()[s0] -> (5)> of i32
  %y = exec.argument output "result0" affine_map<()[s0] -> (s0, 19)> of f32
  %p = exec.temporary bytes affine_map<()[s0] -> (25600)>
  exec.launch @pack_f32_5_37x19(%w, %p) scalars []
  exec.launch @grouped_transposed_5x37x19(%rows, %p, %offsets, %active, %y) scalars [affine_map<()[s0] -> (s0)>, affine_map<()[s0] -> (s0)>]
}

exec.program @turned_gathered registers ["arg0.0", "arg4.0"] {
  %rows = exec.argument "arg0" affine_map<()[s0, s1] -> (s0, 530)> of f32
  %w = exec.argument "arg1" affine_map<()[s0, s1] -> (4, 530, 45)> of f32
  %offsets = exec.argument "arg2" affine_map<()[s0, s1] -> (5)> of i32
  %active = exec.argument "arg3" affine_map<()[s0, s1] -> (4)> of i32
  %source = exec.argument "arg4" affine_map<()[s0, s1] -> (s1)> of i32
  %y = exec.argument output "result0" affine_map<()[s0, s1] -> (s1, 45)> of f32
  %p = exec.temporary bytes affine_map<()[s0, s1] -> (400384)>
  exec.launch @pack_f32_4_530x45(%w, %p) scalars []
  exec.launch @grouped_transposed_gathered_4x530x45(%rows, %p, %offsets, %active, %source, %y) scalars [affine_map<()[s0, s1] -> (s0)>, affine_map<()[s0, s1] -> (s1)>, affine_map<()[s0, s1] -> (s1)>]
}

exec.program @gradient registers ["arg0.0", "arg1.0"] {
  %rows = exec.argument "arg0" affine_map<()[s0, s1] -> (s0, 37)> of f32
  %dy = exec.argument "arg1" affine_map<()[s0, s1] -> (s1, 19)> of f32
  %offsets = exec.argument "arg2" affine_map<()[s0, s1] -> (6)> of i32
  %active = exec.argument "arg3" affine_map<()[s0, s1] -> (5)> of i32
  %init = exec.argument "arg4" affine_map<()[s0, s1] -> (5, 19, 37)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0, s1] -> (5, 19, 37)> of f32
  %p = exec.temporary bytes affine_map<()[s0, s1] -> (24320)>
  exec.launch @pack_f32_5_19x37(%init, %p) scalars []
  exec.launch @grouped_weight_gradient_panels_5x19x37(%rows, %dy, %offsets, %active, %p) scalars [affine_map<()[s0, s1] -> (s0)>, affine_map<()[s0, s1] -> (s1)>]
  exec.launch @unpack_5_19x37(%p, %dw) scalars []
}

exec.program @gradient_gathered registers ["arg0.0", "arg1.0"] {
  %rows = exec.argument "arg0" affine_map<()[s0, s1] -> (s0, 70)> of f32
  %dy = exec.argument "arg1" affine_map<()[s0, s1] -> (s1, 45)> of f32
  %offsets = exec.argument "arg2" affine_map<()[s0, s1] -> (5)> of i32
  %active = exec.argument "arg3" affine_map<()[s0, s1] -> (4)> of i32
  %init = exec.argument "arg4" affine_map<()[s0, s1] -> (4, 45, 70)> of f32
  %source = exec.argument "arg5" affine_map<()[s0, s1] -> (s1)> of i32
  %dw = exec.argument output "result0" affine_map<()[s0, s1] -> (4, 45, 70)> of f32
  %p = exec.temporary bytes affine_map<()[s0, s1] -> (71680)>
  exec.launch @pack_f32_4_45x70(%init, %p) scalars []
  exec.launch @grouped_weight_gradient_panels_gathered_4x45x70(%rows, %dy, %offsets, %active, %p, %source) scalars [affine_map<()[s0, s1] -> (s0)>, affine_map<()[s0, s1] -> (s1)>, affine_map<()[s0, s1] -> (s1)>]
  exec.launch @unpack_4_45x70(%p, %dw) scalars []
}

exec.program @gradient_plain registers ["arg0.0", "arg1.0"] {
  %rows = exec.argument "arg0" affine_map<()[s0, s1] -> (s0, 37)> of f32
  %dy = exec.argument "arg1" affine_map<()[s0, s1] -> (s1, 19)> of f32
  %offsets = exec.argument "arg2" affine_map<()[s0, s1] -> (6)> of i32
  %active = exec.argument "arg3" affine_map<()[s0, s1] -> (5)> of i32
  %init = exec.argument "arg4" affine_map<()[s0, s1] -> (5, 19, 37)> of f32
  %dw = exec.argument output "result0" affine_map<()[s0, s1] -> (5, 19, 37)> of f32
  exec.copy %dw from %init bytes affine_map<()[s0, s1] -> (14060)>
  exec.launch @grouped_weight_gradient_plain_5x19x37(%rows, %dy, %offsets, %active, %dw) scalars [affine_map<()[s0, s1] -> (s0)>, affine_map<()[s0, s1] -> (s1)>]
}

exec.program @gradient_zero registers ["arg0.0", "arg1.0"] {
  %rows = exec.argument "arg0" affine_map<()[s0, s1] -> (s0, 37)> of f32
  %dy = exec.argument "arg1" affine_map<()[s0, s1] -> (s1, 19)> of f32
  %offsets = exec.argument "arg2" affine_map<()[s0, s1] -> (6)> of i32
  %active = exec.argument "arg3" affine_map<()[s0, s1] -> (5)> of i32
  %source = exec.argument "arg5" affine_map<()[s0, s1] -> (s1)> of i32
  %dw = exec.argument output "result0" affine_map<()[s0, s1] -> (5, 19, 37)> of f32
  %p = exec.temporary bytes affine_map<()[s0, s1] -> (24320)>
  exec.launch @grouped_weight_gradient_zero_panels_gathered_5x19x37(%rows, %dy, %offsets, %active, %source, %p) scalars [affine_map<()[s0, s1] -> (s0)>, affine_map<()[s0, s1] -> (s1)>, affine_map<()[s0, s1] -> (s1)>]
  exec.launch @unpack_5_19x37(%p, %dw) scalars []
}
