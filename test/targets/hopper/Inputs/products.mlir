// Products on tensor cores, each kind once; products.py says what they are given.

func.func @rows_f32(%x: tensor<?x136xf32>, %w: tensor<72x136xbf16>) -> tensor<?x72xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%m) : tensor<?x72xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x72xf32>) -> tensor<?x72xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x136xf32>, tensor<72x136xbf16>)
      outs(%f : tensor<?x72xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x72xf32>
  return %r : tensor<?x72xf32>
}

func.func @rows_bf16(%x: tensor<?x136xbf16>, %w: tensor<72x136xbf16>) -> tensor<?x72xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x136xbf16>
  %e = tensor.empty(%m) : tensor<?x72xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x72xf32>) -> tensor<?x72xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x136xbf16>, tensor<72x136xbf16>)
      outs(%f : tensor<?x72xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: bf16, %b: bf16, %c: f32):
      %aw = arith.extf %a : bf16 to f32
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %aw, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x72xf32>
  return %r : tensor<?x72xf32>
}

func.func @odd(%x: tensor<?x73xf32>, %w: tensor<45x73xbf16>) -> tensor<?x45xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x73xf32>
  %e = tensor.empty(%m) : tensor<?x45xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x45xf32>) -> tensor<?x45xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x73xf32>, tensor<45x73xbf16>)
      outs(%f : tensor<?x45xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x45xf32>
  return %r : tensor<?x45xf32>
}

func.func @inner_n(%x: tensor<?x72xf32>, %w: tensor<72x40xbf16>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x72xf32>
  %e = tensor.empty(%m) : tensor<?x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x40xf32>) -> tensor<?x40xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (k, n)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x72xf32>, tensor<72x40xbf16>)
      outs(%f : tensor<?x40xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x40xf32>
  return %r : tensor<?x40xf32>
}

func.func @weights_f32(%x: tensor<?x72xf32>, %w: tensor<40x72xf32>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x72xf32>
  %e = tensor.empty(%m) : tensor<?x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x40xf32>) -> tensor<?x40xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x72xf32>, tensor<40x72xf32>)
      outs(%f : tensor<?x40xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %p = arith.mulf %a, %b : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x40xf32>
  return %r : tensor<?x40xf32>
}

func.func @batched(%x: tensor<?x3x72xf32>, %w: tensor<3x40x72xbf16>) -> tensor<?x3x40xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x3x72xf32>
  %e = tensor.empty(%m) : tensor<?x3x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x3x40xf32>) -> tensor<?x3x40xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(h, m, n, k) -> (m, h, k)>,
      affine_map<(h, m, n, k) -> (h, n, k)>,
      affine_map<(h, m, n, k) -> (m, h, n)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x3x72xf32>, tensor<3x40x72xbf16>)
      outs(%f : tensor<?x3x40xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x3x40xf32>
  return %r : tensor<?x3x40xf32>
}

func.func @codes(%x: tensor<?x272xf8E4M3FN>, %xs: tensor<?x3xf32>, %w: tensor<72x272xf8E4M3FN>,
    %ws: tensor<1x3xf32>) -> tensor<?x72xf32> {
  %r = fp8.matmul %x, %w, %ws x_scale(%xs : tensor<?x3xf32>) {block = array<i64: 128, 128>}
      : tensor<?x272xf8E4M3FN>, tensor<72x272xf8E4M3FN>, tensor<1x3xf32>
      -> tensor<?x72xf32>
  return %r : tensor<?x72xf32>
}

func.func @codes_odd(%x: tensor<?x201xf8E4M3FN>, %xs: tensor<?x2xf32>, %w: tensor<45x201xf8E4M3FN>,
    %ws: tensor<1x2xf32>) -> tensor<?x45xf32> {
  %r = fp8.matmul %x, %w, %ws x_scale(%xs : tensor<?x2xf32>) {block = array<i64: 128, 128>}
      : tensor<?x201xf8E4M3FN>, tensor<45x201xf8E4M3FN>, tensor<1x2xf32>
      -> tensor<?x45xf32>
  return %r : tensor<?x45xf32>
}

func.func @grouped(%x: tensor<?x136xf32>, %w: tensor<4x72x136xbf16>, %o: tensor<5xi32>,
    %a: tensor<4xi32>) -> tensor<?x72xf32> {
  %r = moe.grouped_matmul %x, %w, %o, %a {hadal.bf16_values}
      : tensor<?x136xf32>, tensor<4x72x136xbf16>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x72xf32>
  return %r : tensor<?x72xf32>
}

func.func @grouped_codes(%x: tensor<?x272xf8E4M3FN>, %w: tensor<4x72x272xf8E4M3FN>,
    %o: tensor<5xi32>, %a: tensor<4xi32>, %src: tensor<?xi32>, %xs: tensor<?x3xf32>,
    %ws: tensor<4x1x3xf32>) -> tensor<?x72xf32> {
  %r = fp8.grouped_matmul %x, %w, %ws, %o, %a source(%src : tensor<?xi32>)
      x_scale(%xs : tensor<?x3xf32>)
      {block = array<i64: 128, 128>}
      : tensor<?x272xf8E4M3FN>, tensor<4x72x272xf8E4M3FN>, tensor<4x1x3xf32>, tensor<5xi32>,
        tensor<4xi32>
      -> tensor<?x72xf32>
  return %r : tensor<?x72xf32>
}

func.func @pair(%x: tensor<?x136xf32>, %w: tensor<72x136xbf16>,
    %w2: tensor<72x136xbf16>) -> tensor<?x72xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x136xf32>
  %e = tensor.empty(%m) : tensor<?x72xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x72xf32>) -> tensor<?x72xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x136xf32>, tensor<72x136xbf16>)
      outs(%f : tensor<?x72xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x72xf32>
  %r2 = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w2 : tensor<?x136xf32>, tensor<72x136xbf16>)
      outs(%f : tensor<?x72xf32>) attrs = {hadal.bf16_values} {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x72xf32>
  %one = arith.constant 1.0 : f32
  %h = linalg.generic {indexing_maps = [
      affine_map<(m, n) -> (m, n)>,
      affine_map<(m, n) -> (m, n)>,
      affine_map<(m, n) -> (m, n)>],
    iterator_types = ["parallel", "parallel"]}
      ins(%r, %r2 : tensor<?x72xf32>, tensor<?x72xf32>) outs(%e : tensor<?x72xf32>) {
    ^bb0(%a1: f32, %b1: f32, %c1: f32):
      %n1 = arith.negf %a1 : f32
      %e1 = math.exp %n1 : f32
      %d1 = arith.addf %e1, %one : f32
      %q1 = arith.divf %a1, %d1 : f32
      %u1 = arith.mulf %q1, %b1 : f32
      linalg.yield %u1 : f32
  } -> tensor<?x72xf32>
  return %h : tensor<?x72xf32>
}

func.func @grouped_pair_codes(%x: tensor<?x272xf8E4M3FN>, %w: tensor<4x72x272xf8E4M3FN>,
    %o: tensor<5xi32>, %a: tensor<4xi32>, %src: tensor<?xi32>, %xs: tensor<?x3xf32>,
    %ws: tensor<4x1x3xf32>, %w2: tensor<4x72x272xf8E4M3FN>,
    %ws2: tensor<4x1x3xf32>) -> tensor<?x72xf32> {

  %c0 = arith.constant 0 : index
  %m = tensor.dim %src, %c0 : tensor<?xi32>
  %e = tensor.empty(%m) : tensor<?x72xf32>
  %r = fp8.grouped_matmul %x, %w, %ws, %o, %a source(%src : tensor<?xi32>)
      x_scale(%xs : tensor<?x3xf32>)
      {block = array<i64: 128, 128>}
      : tensor<?x272xf8E4M3FN>, tensor<4x72x272xf8E4M3FN>, tensor<4x1x3xf32>, tensor<5xi32>,
        tensor<4xi32>
      -> tensor<?x72xf32>
  %r2 = fp8.grouped_matmul %x, %w2, %ws2, %o, %a source(%src : tensor<?xi32>)
      x_scale(%xs : tensor<?x3xf32>)
      {block = array<i64: 128, 128>}
      : tensor<?x272xf8E4M3FN>, tensor<4x72x272xf8E4M3FN>, tensor<4x1x3xf32>, tensor<5xi32>,
        tensor<4xi32>
      -> tensor<?x72xf32>
  %one = arith.constant 1.0 : f32
  %h = linalg.generic {indexing_maps = [
      affine_map<(m, n) -> (m, n)>,
      affine_map<(m, n) -> (m, n)>,
      affine_map<(m, n) -> (m, n)>],
    iterator_types = ["parallel", "parallel"]}
      ins(%r, %r2 : tensor<?x72xf32>, tensor<?x72xf32>) outs(%e : tensor<?x72xf32>) {
    ^bb0(%a1: f32, %b1: f32, %c1: f32):
      %n1 = arith.negf %a1 : f32
      %e1 = math.exp %n1 : f32
      %d1 = arith.addf %e1, %one : f32
      %q1 = arith.divf %a1, %d1 : f32
      %u1 = arith.mulf %q1, %b1 : f32
      linalg.yield %u1 : f32
  } -> tensor<?x72xf32>
  return %h : tensor<?x72xf32>
}

func.func @parts(%x: tensor<?x72xf32>, %w: tensor<40x72xf32>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x72xf32>
  %e = tensor.empty(%m) : tensor<?x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x40xf32>) -> tensor<?x40xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x72xf32>, tensor<40x72xf32>) outs(%f : tensor<?x40xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %p = arith.mulf %a, %b : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x40xf32>
  return %r : tensor<?x40xf32>
}

func.func @parts_left(%x: tensor<?x72xf32>, %w: tensor<40x72xbf16>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x72xf32>
  %e = tensor.empty(%m) : tensor<?x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x40xf32>) -> tensor<?x40xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x72xf32>, tensor<40x72xbf16>) outs(%f : tensor<?x40xf32>) {
    ^bb0(%a: f32, %b: bf16, %c: f32):
      %bw = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x40xf32>
  return %r : tensor<?x40xf32>
}

func.func @parts_half(%x: tensor<?x72xf32>, %w: tensor<40x72xf16>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x72xf32>
  %e = tensor.empty(%m) : tensor<?x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x40xf32>) -> tensor<?x40xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>,
      affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>],
    iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x72xf32>, tensor<40x72xf16>) outs(%f : tensor<?x40xf32>) {
    ^bb0(%a: f32, %b: f16, %c: f32):
      %bw = arith.extf %b : f16 to f32
      %p = arith.mulf %a, %bw : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x40xf32>
  return %r : tensor<?x40xf32>
}

func.func @parts_batched(%x: tensor<?x3x72xf32>, %w: tensor<3x72x40xf32>) -> tensor<?x3x40xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x3x72xf32>
  %e = tensor.empty(%m) : tensor<?x3x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x3x40xf32>) -> tensor<?x3x40xf32>
  %r = linalg.generic {indexing_maps = [
      affine_map<(h, m, n, k) -> (m, h, k)>,
      affine_map<(h, m, n, k) -> (h, k, n)>,
      affine_map<(h, m, n, k) -> (m, h, n)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x3x72xf32>, tensor<3x72x40xf32>) outs(%f : tensor<?x3x40xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %p = arith.mulf %a, %b : f32
      %s = arith.addf %c, %p : f32
      linalg.yield %s : f32
  } -> tensor<?x3x40xf32>
  return %r : tensor<?x3x40xf32>
}

func.func @weights_codes(%x: tensor<?x272xf32>, %w: tensor<72x272xf8E4M3FN>,
    %ws: tensor<1x3xf32>) -> tensor<?x72xf32> {
  %r = fp8.matmul %x, %w, %ws {block = array<i64: 128, 128>}
      : tensor<?x272xf32>, tensor<72x272xf8E4M3FN>, tensor<1x3xf32>
      -> tensor<?x72xf32>
  return %r : tensor<?x72xf32>
}

func.func @grouped_pair_weights_codes(%x: tensor<?x136xf32>, %w: tensor<4x72x136xf8E4M3FN>,
    %o: tensor<5xi32>, %a: tensor<4xi32>, %src: tensor<?xi32>, %ws: tensor<4x1x2xf32>,
    %w2: tensor<4x72x136xf8E4M3FN>, %ws2: tensor<4x1x2xf32>) -> tensor<?x72xf32> {

  %c0 = arith.constant 0 : index
  %m = tensor.dim %src, %c0 : tensor<?xi32>
  %e = tensor.empty(%m) : tensor<?x72xf32>
  %r = fp8.grouped_matmul %x, %w, %ws, %o, %a source(%src
      : tensor<?xi32>) {block = array<i64: 128, 128>} : tensor<?x136xf32>,
        tensor<4x72x136xf8E4M3FN>, tensor<4x1x2xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x72xf32>
  %r2 = fp8.grouped_matmul %x, %w2, %ws2, %o, %a source(%src
      : tensor<?xi32>) {block = array<i64: 128, 128>} : tensor<?x136xf32>,
        tensor<4x72x136xf8E4M3FN>, tensor<4x1x2xf32>, tensor<5xi32>, tensor<4xi32>
      -> tensor<?x72xf32>
  %one = arith.constant 1.0 : f32
  %h = linalg.generic {indexing_maps = [
      affine_map<(m, n) -> (m, n)>,
      affine_map<(m, n) -> (m, n)>,
      affine_map<(m, n) -> (m, n)>],
    iterator_types = ["parallel", "parallel"]}
      ins(%r, %r2 : tensor<?x72xf32>, tensor<?x72xf32>) outs(%e : tensor<?x72xf32>) {
    ^bb0(%a1: f32, %b1: f32, %c1: f32):
      %n1 = arith.negf %a1 : f32
      %e1 = math.exp %n1 : f32
      %d1 = arith.addf %e1, %one : f32
      %q1 = arith.divf %a1, %d1 : f32
      %u1 = arith.mulf %q1, %b1 : f32
      linalg.yield %u1 : f32
  } -> tensor<?x72xf32>
  return %h : tensor<?x72xf32>
}
