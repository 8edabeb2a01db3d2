// DEFINE: %{op} = mla.attention
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// A row sees the rows before it in its own sequence; an empty sequence between others has no rows.
// REDEFINE: %{f} = small
// REDEFINE: %{s} = lengths=1 nh=3 dn=5 dr=6 dv=7 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=5,1,0,9 nh=3 dn=5 dr=6 dv=7 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=150,3,67 nh=3 dn=5 dr=6 dv=7 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=97 nh=3 dn=5 dr=6 dv=7 scale=0.3 spread=30
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = lengths=70,131 nh=2 dn=128 dr=64 dv=128 scale=0.0721687824
// RUN: %{case}

// With the logarithms of the sums.
// REDEFINE: %{f} = lse
// REDEFINE: %{s} = lengths=5,1,0,9 nh=3 dn=5 dr=6 dv=7 scale=0.3 lse=1
// RUN: %{case}
// REDEFINE: %{s} = lengths=150,3,67 nh=3 dn=5 dr=6 dv=7 scale=0.3 lse=1 spread=30
// RUN: %{case}

func.func @small(%q_nope: tensor<?x3x5xf32>, %q_rope: tensor<?x3x6xf32>, %k_nope: tensor<?x3x5xf32>,
                %k_rope: tensor<?x6xf32>, %v: tensor<?x3x7xf32>, %offsets: tensor<?xi32>) -> tensor<?x3x7xf32> {
  %o = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 0.3 : f32}
      : tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x5xf32>, tensor<?x6xf32>, tensor<?x3x7xf32>, tensor<?xi32>
      -> tensor<?x3x7xf32>
  return %o : tensor<?x3x7xf32>
}

func.func @large(%q_nope: tensor<?x2x128xf32>, %q_rope: tensor<?x2x64xf32>, %k_nope: tensor<?x2x128xf32>,
                %k_rope: tensor<?x64xf32>, %v: tensor<?x2x128xf32>, %offsets: tensor<?xi32>) -> tensor<?x2x128xf32> {
  %o = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 0.0721687824 : f32}
      : tensor<?x2x128xf32>, tensor<?x2x64xf32>, tensor<?x2x128xf32>, tensor<?x64xf32>, tensor<?x2x128xf32>,
        tensor<?xi32>
      -> tensor<?x2x128xf32>
  return %o : tensor<?x2x128xf32>
}

func.func @lse(%q_nope: tensor<?x3x5xf32>, %q_rope: tensor<?x3x6xf32>, %k_nope: tensor<?x3x5xf32>,
               %k_rope: tensor<?x6xf32>, %v: tensor<?x3x7xf32>, %offsets: tensor<?xi32>)
    -> (tensor<?x3x7xf32>, tensor<?x3xf32>) {
  %o, %lse = mla.attention %q_nope, %q_rope, %k_nope, %k_rope, %v, %offsets {scale = 0.3 : f32}
      : tensor<?x3x5xf32>, tensor<?x3x6xf32>, tensor<?x3x5xf32>, tensor<?x6xf32>, tensor<?x3x7xf32>, tensor<?xi32>
      -> tensor<?x3x7xf32>, tensor<?x3xf32>
  return %o, %lse : tensor<?x3x7xf32>, tensor<?x3xf32>
}
