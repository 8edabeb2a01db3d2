// DEFINE: %{op} = mla.latent_attention
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Pages lie in any order; the last page of a sequence is partly filled; unused entries of the table
// are 0.
// REDEFINE: %{f} = small
// REDEFINE: %{s} = lengths=1 nh=3 rk=11 dr=6 pages=2 page_tokens=4 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=5,1,4,30 nh=3 rk=11 dr=6 pages=16 page_tokens=4 scale=0.3
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = lengths=64,65,300 nh=5 rk=48 dr=16 pages=9 page_tokens=64 scale=0.125
// RUN: %{case}
// REDEFINE: %{s} = lengths=700 nh=5 rk=48 dr=16 pages=12 page_tokens=64 scale=0.125 seed=3
// RUN: %{case}

// Several new tokens of a sequence, none of some.
// REDEFINE: %{op} = mla.latent_attention_rows
// REDEFINE: %{f} = rows
// REDEFINE: %{s} = lengths=5,9,4,30 rows=2,1,0,4 nh=3 rk=11 dr=6 pages=16 page_tokens=4 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=7 rows=7 nh=3 rk=11 dr=6 pages=16 page_tokens=4 scale=0.3
// RUN: %{case}
// REDEFINE: %{s} = lengths=3,1,9 rows=0,0,5 nh=3 rk=11 dr=6 pages=16 page_tokens=4 scale=0.3
// RUN: %{case}

func.func @small(%q_latent: tensor<?x3x11xf32>, %q_rope: tensor<?x3x6xf32>, %cache: tensor<?x17xf32>,
                %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>) -> tensor<?x3x11xf32> {
  %o = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {scale = 0.3 : f32, page_tokens = 4 : i64}
      : tensor<?x3x11xf32>, tensor<?x3x6xf32>, tensor<?x17xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x3x11xf32>
  return %o : tensor<?x3x11xf32>
}

func.func @rows(%q_latent: tensor<?x3x11xf32>, %q_rope: tensor<?x3x6xf32>, %cache: tensor<?x17xf32>,
                %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>, %offsets: tensor<?xi32>)
    -> tensor<?x3x11xf32> {
  %o = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      offsets(%offsets : tensor<?xi32>) {scale = 0.3 : f32, page_tokens = 4 : i64}
      : tensor<?x3x11xf32>, tensor<?x3x6xf32>, tensor<?x17xf32>, tensor<?x?xi32>, tensor<?xi32>
      -> tensor<?x3x11xf32>
  return %o : tensor<?x3x11xf32>
}

func.func @large(%q_latent: tensor<?x5x48xf32>, %q_rope: tensor<?x5x16xf32>, %cache: tensor<?x64xf32>,
                %page_table: tensor<?x?xi32>, %positions: tensor<?xi32>) -> tensor<?x5x48xf32> {
  %o = mla.latent_attention %q_latent, %q_rope, %cache, %page_table, %positions
      {scale = 0.125 : f32, page_tokens = 64 : i64}
      : tensor<?x5x48xf32>, tensor<?x5x16xf32>, tensor<?x64xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x5x48xf32>
  return %o : tensor<?x5x48xf32>
}
