// DEFINE: %{op} = bf16_halves
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// What --moe-encode-exchanges puts around an exchange in bf16: the upper halves of rounded numbers,
// and back.
// REDEFINE: %{f} = halves
// REDEFINE: %{s} = T=1 H=37
// RUN: %{case}
// REDEFINE: %{s} = T=23 H=37
// RUN: %{case}

#rows = affine_map<(d0, d1) -> (d0, d1)>
func.func @halves(%x: tensor<?x37xf32>) -> (tensor<?x37xi16>, tensor<?x37xf32>) {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x37xf32>
  %init = tensor.empty(%rows) : tensor<?x37xi16>
  %half = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x37xf32>) outs(%init : tensor<?x37xi16>) {
  ^bb0(%in: f32, %out: i16):
    %bits = arith.bitcast %in : f32 to i32
    %c16 = arith.constant 16 : i32
    %above = arith.shrui %bits, %c16 : i32
    %one = arith.constant 1 : i32
    %last = arith.andi %above, %one : i32
    %most = arith.constant 32767 : i32
    %carried = arith.addi %bits, %most : i32
    %rounded = arith.addi %carried, %last : i32
    %upper = arith.shrui %rounded, %c16 : i32
    %h = arith.trunci %upper : i32 to i16
    linalg.yield %h : i16
  } -> tensor<?x37xi16>
  %whole = tensor.empty(%rows) : tensor<?x37xf32>
  %y = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%half : tensor<?x37xi16>) outs(%whole : tensor<?x37xf32>) {
  ^bb0(%in: i16, %out: f32):
    %wide = arith.extui %in : i16 to i32
    %c16 = arith.constant 16 : i32
    %bits = arith.shli %wide, %c16 : i32
    %v = arith.bitcast %bits : i32 to f32
    linalg.yield %v : f32
  } -> tensor<?x37xf32>
  return %half, %y : tensor<?x37xi16>, tensor<?x37xf32>
}
