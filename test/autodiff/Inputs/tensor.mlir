// Slices that make up the whole, with a reshape before and after.
func.func @partition(%x: tensor<?x12xf32> {hadal.gradient, test.shape = array<i64: 5, 12>})
    -> (tensor<?x3x1xf32> {hadal.gradient}, tensor<?x9xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x12xf32>
  %h = tensor.expand_shape %x [[0], [1, 2]] output_shape [%rows, 3, 4] : tensor<?x12xf32> into tensor<?x3x4xf32>
  %a = tensor.extract_slice %h[0, 0, 0] [%rows, 3, 1] [1, 1, 1] : tensor<?x3x4xf32> to tensor<?x3x1xf32>
  %b = tensor.extract_slice %h[0, 0, 1] [%rows, 3, 3] [1, 1, 1] : tensor<?x3x4xf32> to tensor<?x3x3xf32>
  %c = tensor.collapse_shape %b [[0], [1, 2]] : tensor<?x3x3xf32> into tensor<?x9xf32>
  return %a, %c : tensor<?x3x1xf32>, tensor<?x9xf32>
}

// Slices that overlap, leave a gap, drop a dimension, and one of the rows only.
func.func @slices(%x: tensor<?x7xf32> {hadal.gradient, test.shape = array<i64: 5, 7>})
    -> (tensor<?x3xf32> {hadal.gradient}, tensor<?x3xf32> {hadal.gradient}, tensor<7xf32> {hadal.gradient}, tensor<2x3xf32> {hadal.gradient})
    attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x7xf32>
  %a = tensor.extract_slice %x[0, 1] [%rows, 3] [1, 1] : tensor<?x7xf32> to tensor<?x3xf32>
  %b = tensor.extract_slice %x[0, 2] [%rows, 3] [1, 1] : tensor<?x7xf32> to tensor<?x3xf32>
  %c = tensor.extract_slice %x[3, 0] [1, 7] [1, 1] : tensor<?x7xf32> to tensor<7xf32>
  %d = tensor.extract_slice %x[1, 0] [2, 3] [2, 3] : tensor<?x7xf32> to tensor<2x3xf32>
  return %a, %b, %c, %d : tensor<?x3xf32>, tensor<?x3xf32>, tensor<7xf32>, tensor<2x3xf32>
}

// Parts put together: by insert_slice into nothing, into a value, and by concat.
func.func @joined(%x: tensor<?x3xf32> {hadal.gradient, test.shape = array<i64: 5, 3>}, %y: tensor<?x4xf32> {hadal.gradient, test.shape = array<i64: 5, 4>})
    -> (tensor<?x7xf32> {hadal.gradient}, tensor<?x4xf32> {hadal.gradient}, tensor<?x11xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x3xf32>
  %e = tensor.empty(%rows) : tensor<?x7xf32>
  %a = tensor.insert_slice %x into %e[0, 0] [%rows, 3] [1, 1] : tensor<?x3xf32> into tensor<?x7xf32>
  %b = tensor.insert_slice %y into %a[0, 3] [%rows, 4] [1, 1] : tensor<?x4xf32> into tensor<?x7xf32>
  %c = tensor.insert_slice %x into %y[0, 1] [%rows, 3] [1, 1] : tensor<?x3xf32> into tensor<?x4xf32>
  %d = tensor.concat dim(1) %c, %x, %y : (tensor<?x4xf32>, tensor<?x3xf32>, tensor<?x4xf32>) -> tensor<?x11xf32>
  return %b, %c, %d : tensor<?x7xf32>, tensor<?x4xf32>, tensor<?x11xf32>
}

func.func @cast(%x: tensor<5x3xf32> {hadal.gradient}) -> (tensor<?x3xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %y = tensor.cast %x : tensor<5x3xf32> to tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}
