// Codes times weights of a checkpoint, which lie in panels: one row, a few, and more, to the bit.
// DEFINE: %{op} = fp8.product_of_codes
// DEFINE: %{f} =
// DEFINE: %{s} =
// DEFINE: %{packed} = hadal-compare make %{op} %{s} -o %t.in.safetensors && rm -rf %t.dir && mkdir %t.dir && cp %t.in.safetensors %t.dir/model.safetensors && hadal-run call %t.hadal @%{f} --weights %t.dir --threads 1 --input %t.in.safetensors -o %t.out.safetensors && hadal-compare check %{op} %{s} %t.in.safetensors %t.out.safetensors
// RUN: hadal-compile %s -o %t.hadal
// REDEFINE: %{f} = packed
// REDEFINE: %{s} = rows=1 N=200 K=301 block=128,128
// RUN: %{packed}
// REDEFINE: %{s} = rows=2 N=200 K=301 block=128,128
// RUN: %{packed}
// REDEFINE: %{s} = rows=4 N=200 K=301 block=128,128
// RUN: %{packed}
// REDEFINE: %{s} = rows=5 N=200 K=301 block=128,128
// RUN: %{packed}
// REDEFINE: %{s} = rows=13 N=200 K=301 block=128,128
// RUN: %{packed}
// REDEFINE: %{s} = rows=30 N=200 K=301 block=128,128
// RUN: %{packed}
// REDEFINE: %{f} = narrow
// REDEFINE: %{s} = rows=3 N=200 K=301 block=5,128
// RUN: %{packed}

ml_program.global private @arg1(#ml_program.extern : tensor<200x301xf8E4M3FN>) : tensor<200x301xf8E4M3FN>
func.func @packed(%x: tensor<?x301xf8E4M3FN>, %unused: tensor<200x301xf8E4M3FN>, %scale: tensor<2x3xf32>, %xs: tensor<?x3xf32>) -> tensor<?x200xf32> {
  %w = ml_program.global_load_const @arg1 : tensor<200x301xf8E4M3FN>
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>}
      : tensor<?x301xf8E4M3FN>, tensor<200x301xf8E4M3FN>, tensor<2x3xf32> -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}

// Blocks of scales that are narrower than a vector.
func.func @narrow(%x: tensor<?x301xf8E4M3FN>, %unused: tensor<200x301xf8E4M3FN>, %scale: tensor<40x3xf32>, %xs: tensor<?x3xf32>) -> tensor<?x200xf32> {
  %w = ml_program.global_load_const @arg1 : tensor<200x301xf8E4M3FN>
  %y = fp8.matmul %x, %w, %scale x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 5, 128>}
      : tensor<?x301xf8E4M3FN>, tensor<200x301xf8E4M3FN>, tensor<40x3xf32> -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}
