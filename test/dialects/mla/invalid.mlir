// RUN: hadal-opt %s --split-input-file --verify-diagnostics

// One case for each constraint of each op, under the number that the op's description gives it.

// C1
func.func @rotation_c1(%positions: tensor<?xi32>) -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  // expected-error@+1 {{'mla.rotation' op wants frequencies to be tensor<Hxf32> ('tensor<2x1xf32>')}}
  %cos, %sin = mla.rotation %positions {frequencies = dense<1.000000e+00>
      : tensor<2x1xf32>, magnitude = 1.000000e+00 : f32}
      : tensor<?xi32> -> tensor<?x2xf32>, tensor<?x2xf32>
  return %cos, %sin : tensor<?x2xf32>, tensor<?x2xf32>
}

// -----

// C2
func.func @rotation_c2(%positions: tensor<?xi32>) -> (tensor<?x3xf32>, tensor<?x2xf32>) {
  // expected-error@+1 {{'mla.rotation' op wants dimension 1 of cos (3) to be H (2)}}
  %cos, %sin = mla.rotation %positions {frequencies = dense<[1.000000e+00, 1.000000e-01]>
      : tensor<2xf32>, magnitude = 1.000000e+00 : f32}
      : tensor<?xi32> -> tensor<?x3xf32>, tensor<?x2xf32>
  return %cos, %sin : tensor<?x3xf32>, tensor<?x2xf32>
}

// -----

// C3
func.func @rotation_c3(%positions: tensor<?xi32>) -> (tensor<?x2xf32>, tensor<?x3xf32>) {
  // expected-error@+1 {{'mla.rotation' op wants dimension 1 of sin (3) to be H (2)}}
  %cos, %sin = mla.rotation %positions {frequencies = dense<[1.000000e+00, 1.000000e-01]>
      : tensor<2xf32>, magnitude = 1.000000e+00 : f32}
      : tensor<?xi32> -> tensor<?x2xf32>, tensor<?x3xf32>
  return %cos, %sin : tensor<?x2xf32>, tensor<?x3xf32>
}

// -----

// C1
func.func @rope_c1(%x: tensor<?x?x8xf32>, %cos: tensor<?x4xf32>, %sin: tensor<?x4xf32>) -> tensor<?x?x8xf32> {
  // expected-error@+1 {{'mla.rope' op wants dimension 1 of x (h) to be static, got 'tensor<?x?x8xf32>'}}
  %r = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<?x?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x?x8xf32>
  return %r : tensor<?x?x8xf32>
}

// -----

// C2
func.func @rope_c2(%x: tensor<?x3x7xf32>, %cos: tensor<?x4xf32>, %sin: tensor<?x4xf32>) -> tensor<?x3x7xf32> {
  // expected-error@+1 {{'mla.rope' op wants dr (7) to be even}}
  %r = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<?x3x7xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x3x7xf32>
  return %r : tensor<?x3x7xf32>
}

// -----

// C3
func.func @rope_c3(%x: tensor<?x3x8xf32>, %cos: tensor<?x8xf32>, %sin: tensor<?x4xf32>) -> tensor<?x3x8xf32> {
  // expected-error@+1 {{'mla.rope' op wants dimension 1 of cos (8) to be dr/2 (4)}}
  %r = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<?x3x8xf32>, tensor<?x8xf32>, tensor<?x4xf32> -> tensor<?x3x8xf32>
  return %r : tensor<?x3x8xf32>
}

// -----

// C4
func.func @rope_c4(%x: tensor<?x3x8xf32>, %cos: tensor<?x4xf32>, %sin: tensor<?x8xf32>) -> tensor<?x3x8xf32> {
  // expected-error@+1 {{'mla.rope' op wants dimension 1 of sin (8) to be dr/2 (4)}}
  %r = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<?x3x8xf32>, tensor<?x4xf32>, tensor<?x8xf32> -> tensor<?x3x8xf32>
  return %r : tensor<?x3x8xf32>
}

// -----

// C4
func.func @rope_c4_2(%x: tensor<5x3x8xf32>, %cos: tensor<?x4xf32>, %sin: tensor<6x4xf32>) -> tensor<5x3x8xf32> {
  // expected-error@+1 {{'mla.rope' op wants dimension 0 of sin (6) to be T (5)}}
  %r = mla.rope %x, %cos, %sin {interleave = true}
      : tensor<5x3x8xf32>, tensor<?x4xf32>, tensor<6x4xf32> -> tensor<5x3x8xf32>
  return %r : tensor<5x3x8xf32>
}

// -----

// C1
func.func @attention_c1(%q_nope: tensor<?x4x?xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                        %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<?x4x10xf32> {
  // expected-error@+1 {{'mla.attention' op wants dimension 2 of q_nope (dn) to be static, got 'tensor<?x4x?xf32>'}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x?xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>
  return %r : tensor<?x4x10xf32>
}

// -----

// C2
func.func @attention_c2(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x5x8xf32>, %k_nope: tensor<?x4x12xf32>,
                        %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<?x4x10xf32> {
  // expected-error@+1 {{'mla.attention' op wants dimension 1 of q_rope (5) to be nh (4)}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x5x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>
  return %r : tensor<?x4x10xf32>
}

// -----

// C3
func.func @attention_c3(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x13xf32>,
                        %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<?x4x10xf32> {
  // expected-error@+1 {{'mla.attention' op wants dimension 2 of k_nope (13) to be dn (12)}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x13xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>
  return %r : tensor<?x4x10xf32>
}

// -----

// C4
func.func @attention_c4(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                        %k_rope: tensor<?x9xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<?x4x10xf32> {
  // expected-error@+1 {{'mla.attention' op wants dimension 1 of k_rope (9) to be dr (8)}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x9xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>
  return %r : tensor<?x4x10xf32>
}

// -----

// C5
func.func @attention_c5(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                        %k_rope: tensor<?x8xf32>, %v: tensor<?x5x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<?x4x10xf32> {
  // expected-error@+1 {{'mla.attention' op wants dimension 1 of v (5) to be nh (4)}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x5x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>
  return %r : tensor<?x4x10xf32>
}

// -----

// C6
func.func @attention_c6(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                        %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<0xi32>)
    -> tensor<?x4x10xf32> {
  // expected-error@+1 {{'mla.attention' op wants dimension 0 of offsets (0) to be at least 1}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<0xi32>
      -> tensor<?x4x10xf32>
  return %r : tensor<?x4x10xf32>
}

// -----

// C7
func.func @attention_c7(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                        %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<?x4x11xf32> {
  // expected-error@+1 {{'mla.attention' op wants dimension 2 of result (11) to be dv (10)}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x11xf32>
  return %r : tensor<?x4x11xf32>
}

// -----

// C7
func.func @attention_c7_2(%q_nope: tensor<5x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                          %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<6x4x10xf32> {
  // expected-error@+1 {{'mla.attention' op wants dimension 0 of result (6) to be T (5)}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<5x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<6x4x10xf32>
  return %r : tensor<6x4x10xf32>
}

// -----

// C8
func.func @attention_c8(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                        %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> tensor<?x4x10xf32> {
  // expected-error@+1 {{'mla.attention' op wants scale (-INF) to be finite}}
  %r = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 0xFF800000 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>
  return %r : tensor<?x4x10xf32>
}

// -----

// C9
func.func @attention_c9(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>, %k_nope: tensor<?x4x12xf32>,
                        %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>, %offsets: tensor<?xi32>)
    -> (tensor<?x4x10xf32>, tensor<?x5xf32>) {
  // expected-error@+1 {{'mla.attention' op wants dimension 1 of lse (5) to be nh (4)}}
  %r, %lse = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>
      -> tensor<?x4x10xf32>, tensor<?x5xf32>
  return %r, %lse : tensor<?x4x10xf32>, tensor<?x5xf32>
}

// -----

// C1
func.func @attention_grad_c1(%q_nope: tensor<?x4x?xf32>, %q_rope: tensor<?x4x8xf32>,
                             %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                             %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x?xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 2 of q_nope (dn) to be static, got 'tensor<?x4x?xf32>'}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x?xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x?xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x?xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C2
func.func @attention_grad_c2(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x5x8xf32>,
                             %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                             %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x5x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 1 of q_rope (5) to be nh (4)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x5x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x5x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x5x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C3
func.func @attention_grad_c3(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                             %k_nope: tensor<?x4x13xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                             %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x13xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 2 of k_nope (13) to be dn (12)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x13xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x13xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x13xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C4
func.func @attention_grad_c4(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                             %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x9xf32>, %v: tensor<?x4x10xf32>,
                             %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 1 of k_rope (9) to be dr (8)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x9xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C5
func.func @attention_grad_c5(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                             %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x5x10xf32>,
                             %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x5x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 1 of v (5) to be nh (4)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x5x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x5x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x5x10xf32>
}

// -----

// C6
func.func @attention_grad_c6(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                             %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                             %offsets: tensor<0xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 0 of offsets (0) to be at least 1}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<0xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C7
func.func @attention_grad_c7(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                             %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                             %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x11xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 2 of gradient (11) to be dv (10)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x11xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C8
func.func @attention_grad_c8(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                             %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                             %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants scale (-INF) to be finite}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 0xFF800000 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C9
func.func @attention_grad_c9(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                             %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                             %offsets: tensor<?xi32>, %lse: tensor<?x3xf32>, %delta: tensor<?x4xf32>,
                             %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 1 of lse (3) to be nh (4)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x3xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C10
func.func @attention_grad_c10(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                              %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                              %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x12xf32>,
                              %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 1 of delta (12) to be nh (4)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x12xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C10
func.func @attention_grad_c10_2(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                                %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                                %offsets: tensor<?xi32>, %lse: tensor<5x4xf32>, %delta: tensor<6x4xf32>,
                                %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 0 of delta (6) to be T (5)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<5x4xf32>, tensor<6x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x10xf32>
}

// -----

// C11
func.func @attention_grad_c11(%q_nope: tensor<?x4x12xf32>, %q_rope: tensor<?x4x8xf32>,
                              %k_nope: tensor<?x4x12xf32>, %k_rope: tensor<?x8xf32>, %v: tensor<?x4x10xf32>,
                              %offsets: tensor<?xi32>, %lse: tensor<?x4xf32>, %delta: tensor<?x4xf32>,
                              %gradient: tensor<?x4x10xf32>)
    -> (tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x1x8xf32>, tensor<?x4x10xf32>) {
  // expected-error@+1 {{'mla.attention_grad' op wants dimension 1 of k_rope_grad (1) to be nh (4)}}
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v,
        %offsets, %lse, %delta, %gradient
      {scale = 2.500000e-01 : f32}
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x8xf32>, tensor<?x4x10xf32>, tensor<?xi32>,
        tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4x10xf32>
      -> tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x1x8xf32>, tensor<?x4x10xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x4x12xf32>, tensor<?x4x8xf32>, tensor<?x4x12xf32>, tensor<?x1x8xf32>, tensor<?x4x10xf32>
}

// -----

// C1
func.func @cache_append_c1(%ckv: tensor<?x?xf32>, %k_rope: tensor<?x8xf32>, %slots: tensor<?xi32>,
                           %cache: tensor<?x32xf32>)
    -> tensor<?x32xf32> {
  // expected-error@+1 {{'mla.cache_append' op wants dimension 1 of ckv (rk) to be static, got 'tensor<?x?xf32>'}}
  %r = mla.cache_append %ckv, %k_rope, %slots, %cache
      : tensor<?x?xf32>, tensor<?x8xf32>, tensor<?xi32>, tensor<?x32xf32> -> tensor<?x32xf32>
  return %r : tensor<?x32xf32>
}

// -----

// C2
func.func @cache_append_c2(%ckv: tensor<?x24xf32>, %k_rope: tensor<?x?xf32>, %slots: tensor<?xi32>,
                           %cache: tensor<?x32xf32>)
    -> tensor<?x32xf32> {
  // expected-error@+1 {{'mla.cache_append' op wants dimension 1 of k_rope (dr) to be static, got 'tensor<?x?xf32>'}}
  %r = mla.cache_append %ckv, %k_rope, %slots, %cache
      : tensor<?x24xf32>, tensor<?x?xf32>, tensor<?xi32>, tensor<?x32xf32> -> tensor<?x32xf32>
  return %r : tensor<?x32xf32>
}

// -----

// C3
func.func @cache_append_c3(%ckv: tensor<5x24xf32>, %k_rope: tensor<?x8xf32>, %slots: tensor<6xi32>,
                           %cache: tensor<?x32xf32>)
    -> tensor<?x32xf32> {
  // expected-error@+1 {{'mla.cache_append' op wants dimension 0 of slots (6) to be T (5)}}
  %r = mla.cache_append %ckv, %k_rope, %slots, %cache
      : tensor<5x24xf32>, tensor<?x8xf32>, tensor<6xi32>, tensor<?x32xf32> -> tensor<?x32xf32>
  return %r : tensor<?x32xf32>
}

// -----

// C4
func.func @cache_append_c4(%ckv: tensor<?x24xf32>, %k_rope: tensor<?x8xf32>, %slots: tensor<?xi32>,
                           %cache: tensor<?x33xf32>)
    -> tensor<?x33xf32> {
  // expected-error@+1 {{'mla.cache_append' op wants dimension 1 of cache (33) to be rk + dr (32)}}
  %r = mla.cache_append %ckv, %k_rope, %slots, %cache
      : tensor<?x24xf32>, tensor<?x8xf32>, tensor<?xi32>, tensor<?x33xf32> -> tensor<?x33xf32>
  return %r : tensor<?x33xf32>
}

// -----

// C1
func.func @latent_attention_c1(%q_latent: tensor<?x4x?xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                               %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants dimension 2 of q_latent (rk) to be static, got 'tensor<?x4x?xf32>'}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x?xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C2
func.func @latent_attention_c2(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x5x8xf32>, %cache: tensor<?x32xf32>,
                               %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants dimension 1 of q_rope (5) to be nh (4)}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x5x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C3
func.func @latent_attention_c3(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x31xf32>,
                               %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants dimension 1 of cache (31) to be rk + dr (32)}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x31xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C4
func.func @latent_attention_c4(%q_latent: tensor<3x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                               %page_table: tensor<2x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants dimension 0 of page_table (2) to be B (3)}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<3x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<2x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C5
func.func @latent_attention_c5(%q_latent: tensor<3x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                               %page_table: tensor<?x?xi32>, %positions: tensor<2xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants dimension 0 of positions (2) to be B (3)}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<3x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<2xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C6
func.func @latent_attention_c6(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                               %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x25xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants dimension 2 of result (25) to be rk (24)}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x25xf32>
  return %r : tensor<?x4x25xf32>
}

// -----

// C7
func.func @latent_attention_c7(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                               %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants scale (nan) to be finite}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 0x7FC00000 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C8
func.func @latent_attention_c8(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                               %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants page_tokens (0) to be at least 1}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 0 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C9
func.func @latent_attention_c9(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<40x32xf32>,
                               %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants S (40) to be a multiple of page_tokens (16)}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<40x32xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C10
func.func @latent_attention_c10(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x32xf32>,
                                %page_table: tensor<2x?xi32>, %positions: tensor<?xi32>, %offsets: tensor<4xi32>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants dimension 0 of offsets (4) to be B+1 (3)}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      offsets(%offsets : tensor<4xi32>) {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x32xf32>, tensor<2x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C1
func.func @append_codes_c1(%q: tensor<?x?xf8E4M3FN>, %slots: tensor<?xi32>, %codes: tensor<?x24xf8E4M3FN>)
    -> tensor<?x24xf8E4M3FN> {
  // expected-error@+1 {{'mla.append_codes' op wants dimension 1 of q (rk) to be static, got 'tensor<?x?xf8E4M3FN>'}}
  %r = mla.append_codes %q, %slots, %codes
      : tensor<?x?xf8E4M3FN>, tensor<?xi32>, tensor<?x24xf8E4M3FN> -> tensor<?x24xf8E4M3FN>
  return %r : tensor<?x24xf8E4M3FN>
}

// -----

// C2
func.func @append_codes_c2(%q: tensor<5x24xf8E4M3FN>, %slots: tensor<6xi32>, %codes: tensor<?x24xf8E4M3FN>)
    -> tensor<?x24xf8E4M3FN> {
  // expected-error@+1 {{'mla.append_codes' op wants dimension 0 of slots (6) to be T (5)}}
  %r = mla.append_codes %q, %slots, %codes
      : tensor<5x24xf8E4M3FN>, tensor<6xi32>, tensor<?x24xf8E4M3FN> -> tensor<?x24xf8E4M3FN>
  return %r : tensor<?x24xf8E4M3FN>
}

// -----

// C3
func.func @append_codes_c3(%q: tensor<?x24xf8E4M3FN>, %slots: tensor<?xi32>, %codes: tensor<?x25xf8E4M3FN>)
    -> tensor<?x25xf8E4M3FN> {
  // expected-error@+1 {{'mla.append_codes' op wants dimension 1 of codes (25) to be rk (24)}}
  %r = mla.append_codes %q, %slots, %codes
      : tensor<?x24xf8E4M3FN>, tensor<?xi32>, tensor<?x25xf8E4M3FN> -> tensor<?x25xf8E4M3FN>
  return %r : tensor<?x25xf8E4M3FN>
}

// -----

// C11
func.func @latent_attention_c11(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x9xf32>,
                                %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>,
                                %codes: tensor<?x24xf8E4M3FN>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants tile, at least 1, where there are codes, and there alone}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      codes(%codes : tensor<?x24xf8E4M3FN>) {page_tokens = 16 : i64, scale = 2.500000e-01 : f32}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x9xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}

// -----

// C12
func.func @latent_attention_c12(%q_latent: tensor<?x4x24xf32>, %q_rope: tensor<?x4x8xf32>, %cache: tensor<?x10xf32>,
                                %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>,
                                %codes: tensor<?x24xf8E4M3FN>)
    -> tensor<?x4x24xf32> {
  // expected-error@+1 {{'mla.latent_attention' op wants dimension 1 of cache (10) to be ceil(rk/tile) + dr (9)}}
  %r = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      codes(%codes : tensor<?x24xf8E4M3FN>) {page_tokens = 16 : i64, scale = 2.500000e-01 : f32, tile = 128 : i64}
      : tensor<?x4x24xf32>, tensor<?x4x8xf32>, tensor<?x10xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x4x24xf32>
  return %r : tensor<?x4x24xf32>
}
