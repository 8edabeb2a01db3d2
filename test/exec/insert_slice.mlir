// DEFINE: %{op} = tensor.insert_slice
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Parts that cover the whole start from nothing.
// REDEFINE: %{f} = parts
// REDEFINE: %{s} = T=1 h=3 widths=5,16 from=0,5 size=21
// RUN: %{case}
// REDEFINE: %{s} = T=37 h=3 widths=5,16 from=0,5 size=21
// RUN: %{case}
// One part and zeros around it.
// REDEFINE: %{f} = padded
// REDEFINE: %{s} = T=37 h=0 widths=13 from=4 size=29
// RUN: %{case}
// What the caller lends is copied.
// REDEFINE: %{f} = lent
// REDEFINE: %{s} = T=9 h=0 widths=8,8 from=0,10 size=20 base=1
// RUN: %{case}
// A result that other kernels read.
// REDEFINE: %{f} = read
// REDEFINE: %{s} = T=9 h=0 widths=7,7 from=0,7 size=14
// RUN: %{case}

func.func @parts(%a: tensor<?x3x5xf32>, %b: tensor<?x3x16xf32>) -> tensor<?x3x21xf32> {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %a, %c0 : tensor<?x3x5xf32>
  %empty = tensor.empty(%rows) : tensor<?x3x21xf32>
  %first = tensor.insert_slice %a into %empty[0, 0, 0] [%rows, 3, 5] [1, 1, 1] : tensor<?x3x5xf32> into tensor<?x3x21xf32>
  %both = tensor.insert_slice %b into %first[0, 0, 5] [%rows, 3, 16] [1, 1, 1]
      : tensor<?x3x16xf32> into tensor<?x3x21xf32>
  return %both : tensor<?x3x21xf32>
}

func.func @padded(%a: tensor<?x13xf32>) -> tensor<?x29xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %a, %c0 : tensor<?x13xf32>
  %empty = tensor.empty(%rows) : tensor<?x29xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x29xf32>) -> tensor<?x29xf32>
  %whole = tensor.insert_slice %a into %zeros[0, 4] [%rows, 13] [1, 1] : tensor<?x13xf32> into tensor<?x29xf32>
  return %whole : tensor<?x29xf32>
}

func.func @lent(%a: tensor<?x8xf32>, %b: tensor<?x8xf32>, %base: tensor<?x20xf32>) -> tensor<?x20xf32> {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %a, %c0 : tensor<?x8xf32>
  %first = tensor.insert_slice %a into %base[0, 0] [%rows, 8] [1, 1] : tensor<?x8xf32> into tensor<?x20xf32>
  %both = tensor.insert_slice %b into %first[0, 10] [%rows, 8] [1, 1] : tensor<?x8xf32> into tensor<?x20xf32>
  return %both : tensor<?x20xf32>
}

func.func @read(%a: tensor<?x7xf32>, %b: tensor<?x7xf32>) -> tensor<?x14xf32> {
  %c0 = arith.constant 0 : index
  %half = arith.constant 0.5 : f32
  %rows = tensor.dim %a, %c0 : tensor<?x7xf32>
  %empty = tensor.empty(%rows) : tensor<?x14xf32>
  %first = tensor.insert_slice %a into %empty[0, 0] [%rows, 7] [1, 1] : tensor<?x7xf32> into tensor<?x14xf32>
  %both = tensor.insert_slice %b into %first[0, 7] [%rows, 7] [1, 1] : tensor<?x7xf32> into tensor<?x14xf32>
  %doubled = linalg.add ins(%both, %both : tensor<?x14xf32>, tensor<?x14xf32>) outs(%empty : tensor<?x14xf32>)
      -> tensor<?x14xf32>
  %halves = linalg.fill ins(%half : f32) outs(%empty : tensor<?x14xf32>) -> tensor<?x14xf32>
  %same = linalg.mul ins(%doubled, %halves : tensor<?x14xf32>, tensor<?x14xf32>) outs(%empty : tensor<?x14xf32>)
      -> tensor<?x14xf32>
  return %same : tensor<?x14xf32>
}
