// DEFINE: %{op} = mla.cache_append
// DEFINE: %{f} =
// DEFINE: %{s} =
// RUN: hadal-compile %s -o %t.hadal

// Rows that no slot names keep what they held.
// REDEFINE: %{f} = small
// REDEFINE: %{s} = T=1 rk=11 dr=6 S=8
// RUN: %{case}
// REDEFINE: %{s} = T=13 rk=11 dr=6 S=40
// RUN: %{case}
// REDEFINE: %{f} = large
// REDEFINE: %{s} = T=64 rk=48 dr=16 S=64
// RUN: %{case}

func.func @small(%ckv: tensor<?x11xf32>, %k_rope: tensor<?x6xf32>, %slots: tensor<?xi32>,
                 %cache: tensor<?x17xf32>) -> tensor<?x17xf32> {
  %new = mla.cache_append %ckv, %k_rope, %slots, %cache
      : tensor<?x11xf32>, tensor<?x6xf32>, tensor<?xi32>, tensor<?x17xf32> -> tensor<?x17xf32>
  return %new : tensor<?x17xf32>
}

func.func @large(%ckv: tensor<?x48xf32>, %k_rope: tensor<?x16xf32>, %slots: tensor<?xi32>,
                 %cache: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %new = mla.cache_append %ckv, %k_rope, %slots, %cache
      : tensor<?x48xf32>, tensor<?x16xf32>, tensor<?xi32>, tensor<?x64xf32> -> tensor<?x64xf32>
  return %new : tensor<?x64xf32>
}
