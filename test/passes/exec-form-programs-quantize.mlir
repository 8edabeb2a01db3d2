// RUN: hadal-opt %s --exec-form-programs=target=x86-64-v3 | FileCheck %s

// A quantizer of tiles within rows runs in the kernel that makes the rows, which stay in cache: where
// nothing else reads them they have no memory.
#matrix = affine_map<(m, n) -> (m, n)>

// CHECK-LABEL: exec.program @rows
// CHECK: exec.launch @fp8_quantize_fused
// CHECK-NOT: exec.launch
// CHECK: }
func.func @rows(%x: tensor<?x300xf32> {exec.name = "x"})
    -> (tensor<?x300xf8E4M3FN> {exec.name = "q"}, tensor<?x3xf32> {exec.name = "s"}) {
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x300xf32>
  %empty = tensor.empty(%m) : tensor<?x300xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x300xf32>) outs(%empty : tensor<?x300xf32>) {
  ^bb0(%a: f32, %unused: f32):
    %p = arith.mulf %a, %a : f32
    linalg.yield %p : f32
  } -> tensor<?x300xf32>
  %q, %s = fp8.quantize %y {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %s : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
}

// Tiles along rows want the rows of others, too; that quantizer reads what the kernel also writes.
// CHECK-LABEL: exec.program @both
// CHECK: exec.launch @fp8_quantize_fused
// CHECK: exec.launch @fp8_quantize
// CHECK-NOT: exec.launch
// CHECK: }
func.func @both(%x: tensor<?x300xf32> {exec.name = "x"})
    -> (tensor<?x300xf8E4M3FN> {exec.name = "q"}, tensor<?x3xf32> {exec.name = "s"},
        tensor<?x300xf8E4M3FN> {exec.name = "t"}, tensor<?x300xf32> {exec.name = "ts"}) {
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x300xf32>
  %empty = tensor.empty(%m) : tensor<?x300xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x300xf32>) outs(%empty : tensor<?x300xf32>) {
  ^bb0(%a: f32, %unused: f32):
    %p = arith.mulf %a, %a : f32
    linalg.yield %p : f32
  } -> tensor<?x300xf32>
  %q, %s = fp8.quantize %y {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  %t, %ts = fp8.quantize %y {block = array<i64: 128, 1>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
  return %q, %s, %t, %ts
      : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>, tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
}

// What reads the rows before their quantizer does needs them first: kernels stay apart.
// CHECK-LABEL: exec.program @before
// CHECK: exec.launch @linalg_generic
// CHECK: exec.launch @fp8_quantize
// CHECK: exec.launch @fp8_quantize
func.func @before(%x: tensor<?x300xf32> {exec.name = "x"})
    -> (tensor<?x300xf8E4M3FN> {exec.name = "q"}, tensor<?x3xf32> {exec.name = "s"},
        tensor<?x300xf8E4M3FN> {exec.name = "t"}, tensor<?x300xf32> {exec.name = "ts"}) {
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x300xf32>
  %empty = tensor.empty(%m) : tensor<?x300xf32>
  %y = linalg.generic {indexing_maps = [#matrix, #matrix], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x300xf32>) outs(%empty : tensor<?x300xf32>) {
  ^bb0(%a: f32, %unused: f32):
    %p = arith.mulf %a, %a : f32
    linalg.yield %p : f32
  } -> tensor<?x300xf32>
  %t, %ts = fp8.quantize %y {block = array<i64: 128, 1>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
  %q, %s = fp8.quantize %y {block = array<i64: 1, 128>}
      : tensor<?x300xf32> -> tensor<?x300xf8E4M3FN>, tensor<?x3xf32>
  return %q, %s, %t, %ts
      : tensor<?x300xf8E4M3FN>, tensor<?x3xf32>, tensor<?x300xf8E4M3FN>, tensor<?x300xf32>
}

// A product of codes quantizes what it has made, where its rows are in memory for others: what is
// kept of SwiGLU's inputs. Rows that nothing else reads are left for a kernel of their own.
// CHECK-LABEL: exec.program @product
// CHECK: exec.launch @fp8_matmul_200x300_fused
// CHECK-NOT: exec.launch
// CHECK: }
func.func @product(%x: tensor<?x300xf8E4M3FN> {exec.name = "x"}, %w: tensor<200x300xf8E4M3FN> {exec.name = "w"},
                   %ws: tensor<2x3xf32> {exec.name = "ws"}, %xs: tensor<?x3xf32> {exec.name = "xs"})
    -> (tensor<?x200xf32> {exec.name = "y"}, tensor<?x200xf8E4M3FN> {exec.name = "q"},
        tensor<?x2xf32> {exec.name = "s"}) {
  %y = fp8.matmul %x, %w, %ws x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<200x300xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  %q, %s = fp8.quantize %y {block = array<i64: 1, 128>}
      : tensor<?x200xf32> -> tensor<?x200xf8E4M3FN>, tensor<?x2xf32>
  return %y, %q, %s : tensor<?x200xf32>, tensor<?x200xf8E4M3FN>, tensor<?x2xf32>
}

// A weight gradient quantizes the operands whose codes it alone reads.
// CHECK-LABEL: exec.program @weight_grad
// CHECK-NOT: exec.launch @fp8_quantize
// CHECK: exec.launch @fp8_weight_grad_fused
// CHECK-NOT: exec.launch
// CHECK: }
func.func @weight_grad(%dy: tensor<?x24xf32> {exec.name = "dy"}, %x: tensor<?x40xf32> {exec.name = "x"})
    -> (tensor<24x40xf32> {exec.name = "dw"}) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<24x40xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<24x40xf32>) -> tensor<24x40xf32>
  %q, %s = fp8.quantize %dy {block = array<i64: 128, 1>}
      : tensor<?x24xf32> -> tensor<?x24xf8E4M3FN>, tensor<?x24xf32>
  %t, %ts = fp8.quantize %x {block = array<i64: 128, 1>}
      : tensor<?x40xf32> -> tensor<?x40xf8E4M3FN>, tensor<?x40xf32>
  %dw = fp8.weight_grad %q, %s, %t, %ts, %init {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x40xf8E4M3FN>, tensor<?x40xf32>, tensor<24x40xf32>
      -> tensor<24x40xf32>
  return %dw : tensor<24x40xf32>
}

// Codes that two gradients read are made once.
// CHECK-LABEL: exec.program @two_weight_grads
// CHECK: exec.launch @fp8_quantize
// CHECK-COUNT-2: exec.launch @fp8_weight_grad_fused
// CHECK-NOT: exec.launch
// CHECK: }
func.func @two_weight_grads(%dg: tensor<?x24xf32> {exec.name = "dg"}, %du: tensor<?x24xf32> {exec.name = "du"},
                            %x: tensor<?x40xf32> {exec.name = "x"})
    -> (tensor<24x40xf32> {exec.name = "gate"}, tensor<24x40xf32> {exec.name = "up"}) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<24x40xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<24x40xf32>) -> tensor<24x40xf32>
  %q, %s = fp8.quantize %dg {block = array<i64: 128, 1>}
      : tensor<?x24xf32> -> tensor<?x24xf8E4M3FN>, tensor<?x24xf32>
  %r, %rs = fp8.quantize %du {block = array<i64: 128, 1>}
      : tensor<?x24xf32> -> tensor<?x24xf8E4M3FN>, tensor<?x24xf32>
  %t, %ts = fp8.quantize %x {block = array<i64: 128, 1>}
      : tensor<?x40xf32> -> tensor<?x40xf8E4M3FN>, tensor<?x40xf32>
  %gate = fp8.weight_grad %q, %s, %t, %ts, %init {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x40xf8E4M3FN>, tensor<?x40xf32>, tensor<24x40xf32>
      -> tensor<24x40xf32>
  %up = fp8.weight_grad %r, %rs, %t, %ts, %init {block = array<i64: 128, 1>}
      : tensor<?x24xf8E4M3FN>, tensor<?x24xf32>, tensor<?x40xf8E4M3FN>, tensor<?x40xf32>, tensor<24x40xf32>
      -> tensor<24x40xf32>
  return %gate, %up : tensor<24x40xf32>, tensor<24x40xf32>
}
