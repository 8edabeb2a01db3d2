// Both orders of pairs.
func.func @rope(%x: tensor<?x3x6xf32> {hadal.gradient, test.shape = array<i64: 5, 3, 6>}, %p: tensor<?xi32> {test.values = array<i64: 0, 1, 2, 0, 1>})
    -> (tensor<?x3x6xf32> {hadal.gradient}, tensor<?x3x6xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %cos, %sin = mla.rotation %p {frequencies = dense<[1.0, 0.1, 0.01]> : tensor<3xf32>, magnitude = 1.3 : f32} : tensor<?xi32> -> tensor<?x3xf32>, tensor<?x3xf32>
  %a = mla.rope %x, %cos, %sin {interleave = true} : tensor<?x3x6xf32>, tensor<?x3xf32>, tensor<?x3xf32> -> tensor<?x3x6xf32>
  %b = mla.rope %x, %cos, %sin {interleave = false} : tensor<?x3x6xf32>, tensor<?x3xf32>, tensor<?x3xf32> -> tensor<?x3x6xf32>
  return %a, %b : tensor<?x3x6xf32>, tensor<?x3x6xf32>
}

// Three sequences, one of a single token.
func.func @attention(%qn: tensor<?x2x3xf32> {hadal.gradient, test.shape = array<i64: 9, 2, 3>}, %qr: tensor<?x2x4xf32> {hadal.gradient, test.shape = array<i64: 9, 2, 4>},
                     %kn: tensor<?x2x3xf32> {hadal.gradient, test.shape = array<i64: 9, 2, 3>}, %kr: tensor<?x4xf32> {hadal.gradient, test.shape = array<i64: 9, 4>},
                     %v: tensor<?x2x5xf32> {hadal.gradient, test.shape = array<i64: 9, 2, 5>}, %offsets: tensor<?xi32> {test.values = array<i64: 0, 5, 6, 9>})
    -> (tensor<?x2x5xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 0.7 : f32}
      : tensor<?x2x3xf32>, tensor<?x2x4xf32>, tensor<?x2x3xf32>, tensor<?x4xf32>, tensor<?x2x5xf32>, tensor<?xi32> -> tensor<?x2x5xf32>
  return %o : tensor<?x2x5xf32>
}
