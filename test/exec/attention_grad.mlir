// DEFINE: %{op} = mla.attention_grad
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Sequences of one row, of none, of less and of more than a block; heads alone write their rows.
// REDEFINE: %{f} = small
// REDEFINE: %{s} = lengths=1 nh=3 dn=5 dr=6 dv=7 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=1,1,1 nh=3 dn=5 dr=6 dv=7 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=5,1,0,9 nh=3 dn=5 dr=6 dv=7 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=0,96,64,0,65,1 nh=3 dn=5 dr=6 dv=7 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=250,3,67 nh=3 dn=5 dr=6 dv=7 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=97 nh=3 dn=5 dr=6 dv=7 scale=0.3 spread=30
// RUN: %{case}
// REDEFINE: %{f} = odd
// REDEFINE: %{s} = lengths=33,170 nh=2 dn=17 dr=10 dv=35 scale=0.2
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = lengths=70,131 nh=2 dn=128 dr=64 dv=128 scale=0.0721687824
// RUN: %{case}

func.func @small(%q_nope: tensor<?x3x5xf32>, %q_rope: tensor<?x3x6xf32>, %k_nope: tensor<?x3x5xf32>,
                 %k_rope: tensor<?x6xf32>, %v: tensor<?x3x7xf32>, %offsets: tensor<?xi32>, %lse: tensor<?x3xf32>,
                 %delta: tensor<?x3xf32>, %gradient: tensor<?x3x7xf32>)
    -> (tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x7xf32>) {
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets, %lse,
        %delta, %gradient {scale = 0.3 : f32}
      : tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x5xf32>, tensor<?x6xf32>, tensor<?x3x7xf32>, tensor<?xi32>,
        tensor<?x3xf32>, tensor<?x3xf32>, tensor<?x3x7xf32>
      -> tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x7xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x7xf32>
}

func.func @odd(%q_nope: tensor<?x2x17xf32>, %q_rope: tensor<?x2x10xf32>, %k_nope: tensor<?x2x17xf32>,
               %k_rope: tensor<?x10xf32>, %v: tensor<?x2x35xf32>, %offsets: tensor<?xi32>, %lse: tensor<?x2xf32>,
               %delta: tensor<?x2xf32>, %gradient: tensor<?x2x35xf32>)
    -> (tensor<?x2x17xf32>, tensor<?x2x10xf32>, tensor<?x2x17xf32>, tensor<?x2x10xf32>, tensor<?x2x35xf32>) {
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets, %lse,
        %delta, %gradient {scale = 0.2 : f32}
      : tensor<?x2x17xf32>, tensor<?x2x10xf32>, tensor<?x2x17xf32>, tensor<?x10xf32>, tensor<?x2x35xf32>,
        tensor<?xi32>, tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2x35xf32>
      -> tensor<?x2x17xf32>, tensor<?x2x10xf32>, tensor<?x2x17xf32>, tensor<?x2x10xf32>, tensor<?x2x35xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x2x17xf32>, tensor<?x2x10xf32>, tensor<?x2x17xf32>, tensor<?x2x10xf32>, tensor<?x2x35xf32>
}

func.func @large(%q_nope: tensor<?x2x128xf32>, %q_rope: tensor<?x2x64xf32>, %k_nope: tensor<?x2x128xf32>,
                 %k_rope: tensor<?x64xf32>, %v: tensor<?x2x128xf32>, %offsets: tensor<?xi32>, %lse: tensor<?x2xf32>,
                 %delta: tensor<?x2xf32>, %gradient: tensor<?x2x128xf32>)
    -> (tensor<?x2x128xf32>, tensor<?x2x64xf32>, tensor<?x2x128xf32>, tensor<?x2x64xf32>, tensor<?x2x128xf32>) {
  %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv = mla.attention_grad %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets, %lse,
        %delta, %gradient {scale = 0.0721687824 : f32}
      : tensor<?x2x128xf32>, tensor<?x2x64xf32>, tensor<?x2x128xf32>, tensor<?x64xf32>, tensor<?x2x128xf32>,
        tensor<?xi32>, tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2x128xf32>
      -> tensor<?x2x128xf32>, tensor<?x2x64xf32>, tensor<?x2x128xf32>, tensor<?x2x64xf32>, tensor<?x2x128xf32>
  return %dq_nope, %dq_rope, %dk_nope, %dk_rope, %dv
      : tensor<?x2x128xf32>, tensor<?x2x64xf32>, tensor<?x2x128xf32>, tensor<?x2x64xf32>, tensor<?x2x128xf32>
}
