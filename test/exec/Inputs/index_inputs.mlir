// One function for each way in which an op takes places or sizes from a tensor, and for sizes of
// two arguments that have to agree.
func.func @dispatch(%x: tensor<?x8xf32>, %source: tensor<?xi32>) -> tensor<?x8xf32> {
  %r = moe.dispatch %x, %source : tensor<?x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}

func.func @route(%logits: tensor<?x8xf32>, %bias: tensor<8xf32>, %forced: tensor<?x2xi32>) -> (tensor<?x2xf32>, tensor<?x2xi32>) {
  %w, %e = moe.route %logits, %bias forced(%forced : tensor<?x2xi32>) {groups = 4 : i64, group_limit = 2 : i64, top_k = 2 : i64, normalize = true, scale = 1.0 : f32}
      : tensor<?x8xf32>, tensor<8xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  return %w, %e : tensor<?x2xf32>, tensor<?x2xi32>
}

func.func @plan(%experts: tensor<?x2xi32>) -> (tensor<?xi32>, tensor<?x2xi32>, tensor<9xi32>, tensor<8xi32>) {
  %s, %p, %o, %a = moe.plan %experts {expert_count = 8 : i64} : tensor<?x2xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<9xi32>, tensor<8xi32>
  return %s, %p, %o, %a : tensor<?xi32>, tensor<?x2xi32>, tensor<9xi32>, tensor<8xi32>
}

func.func @plan_sends(%experts: tensor<?x2xi32>, %received: tensor<4xi32>) -> (tensor<?xi32>, tensor<?x4xi32>, tensor<?x2xi32>, tensor<16xi32>) {
  %s, %p, %i, %c = moe.plan_sends %experts segments(%received : tensor<4xi32>) {expert_count = 8 : i64, parts = 4 : i64, segments = 2 : i64}
      : tensor<?x2xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<?x2xi32>, tensor<16xi32>
  return %s, %p, %i, %c : tensor<?xi32>, tensor<?x4xi32>, tensor<?x2xi32>, tensor<16xi32>
}

func.func @grouped(%rows: tensor<?x8xf32>, %w: tensor<4x6x8xf32>, %offsets: tensor<5xi32>, %active: tensor<4xi32>, %source: tensor<?xi32>) -> tensor<?x6xf32> {
  %y = moe.grouped_matmul %rows, %w, %offsets, %active source(%source : tensor<?xi32>)
      : tensor<?x8xf32>, tensor<4x6x8xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}

func.func @grouped_grad(%rows: tensor<?x8xf32>, %dy: tensor<?x6xf32>, %offsets: tensor<5xi32>, %active: tensor<4xi32>, %init: tensor<4x6x8xf32>) -> tensor<4x6x8xf32> {
  %dw = moe.grouped_weight_grad %rows, %dy, %offsets, %active, %init
      : tensor<?x8xf32>, tensor<?x6xf32>, tensor<5xi32>, tensor<4xi32>, tensor<4x6x8xf32> -> tensor<4x6x8xf32>
  return %dw : tensor<4x6x8xf32>
}

func.func @quantize_groups(%x: tensor<?x8xf32>, %offsets: tensor<5xi32>) -> (tensor<?x8xf8E4M3FN>, tensor<?x8xf32>) {
  %q, %s = fp8.quantize %x offsets(%offsets : tensor<5xi32>) {block = array<i64: 2, 1>}
      : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x8xf32>
  return %q, %s : tensor<?x8xf8E4M3FN>, tensor<?x8xf32>
}

func.func @dequantize(%x: tensor<?x8xf32>, %scale: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %q, %s = fp8.quantize %x {block = array<i64: 2, 1>} : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x8xf32>
  %y = fp8.dequantize %q, %scale {block = array<i64: 2, 1>} : tensor<?x8xf8E4M3FN>, tensor<?x8xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

func.func @coded_grad(%rows: tensor<?x8xf32>, %dy: tensor<?x6xf32>, %offsets: tensor<5xi32>, %active: tensor<4xi32>, %init: tensor<4x6x8xf32>) -> tensor<4x6x8xf32> {
  %x, %xs = fp8.quantize %rows offsets(%offsets : tensor<5xi32>) {block = array<i64: 2, 1>}
      : tensor<?x8xf32> -> tensor<?x8xf8E4M3FN>, tensor<?x8xf32>
  %g, %gs = fp8.quantize %dy offsets(%offsets : tensor<5xi32>) {block = array<i64: 2, 1>}
      : tensor<?x6xf32> -> tensor<?x6xf8E4M3FN>, tensor<?x6xf32>
  %dw = fp8.weight_grad %g, %gs, %x, %xs, %init offsets(%offsets : tensor<5xi32>) active(%active : tensor<4xi32>)
      {block = array<i64: 2, 1>} : tensor<?x6xf8E4M3FN>, tensor<?x6xf32>, tensor<?x8xf8E4M3FN>, tensor<?x8xf32>,
      tensor<4x6x8xf32> -> tensor<4x6x8xf32>
  return %dw : tensor<4x6x8xf32>
}

func.func @combine(%rows: tensor<?x8xf32>, %position: tensor<?x2xi32>, %experts: tensor<?x2xi32>, %weights: tensor<?x2xf32>) -> tensor<?x8xf32> {
  %y = moe.combine %rows, %position, %experts, %weights {expert_count = 8 : i64}
      : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

func.func @combine_grad(%rows: tensor<?x8xf32>, %position: tensor<?x2xi32>, %weights: tensor<?x2xf32>, %g: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x2xf32>) {
  %dr, %dw = moe.combine_grad %rows, %position, %weights, %g
      : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x8xf32> -> tensor<?x8xf32>, tensor<?x2xf32>
  return %dr, %dw : tensor<?x8xf32>, tensor<?x2xf32>
}

func.func @route_grad(%logits: tensor<?x8xf32>, %experts: tensor<?x2xi32>, %g: tensor<?x2xf32>) -> tensor<?x8xf32> {
  %d = moe.route_grad %logits, %experts, %g {normalize = true, scale = 1.0 : f32} : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x8xf32>
  return %d : tensor<?x8xf32>
}

func.func @balance(%logits: tensor<?x8xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x8xf32>) {
  %l, %f = moe.balance_loss %logits, %offsets {top_k = 2 : i64} : tensor<?x8xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x8xf32>
  return %l, %f : tensor<?xf32>, tensor<?x8xf32>
}

func.func @balance_chosen(%logits: tensor<?x8xf32>, %offsets: tensor<?xi32>, %chosen: tensor<?x2xi32>) -> (tensor<?xf32>, tensor<?x8xf32>) {
  %l, %f = moe.balance_loss %logits, %offsets chosen(%chosen : tensor<?x2xi32>) {softmax, top_k = 2 : i64}
      : tensor<?x8xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x8xf32>
  return %l, %f : tensor<?xf32>, tensor<?x8xf32>
}

func.func @scatter(%rows: tensor<?x8xf32>, %ids: tensor<?xi32>, %init: tensor<10x8xf32>) -> tensor<10x8xf32> {
  %r = moe.scatter_add %rows, %ids, %init : tensor<?x8xf32>, tensor<?xi32>, tensor<10x8xf32> -> tensor<10x8xf32>
  return %r : tensor<10x8xf32>
}

func.func @attention(%qn: tensor<?x2x4xf32>, %qr: tensor<?x2x4xf32>, %kn: tensor<?x2x4xf32>, %kr: tensor<?x4xf32>, %v: tensor<?x2x4xf32>, %offsets: tensor<?xi32>) -> tensor<?x2x4xf32> {
  %o = mla.attention %qn, %qr, %kn, %kr, %v, %offsets {scale = 0.25 : f32}
      : tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x4xf32>, tensor<?x2x4xf32>, tensor<?xi32> -> tensor<?x2x4xf32>
  return %o : tensor<?x2x4xf32>
}

func.func @append(%ckv: tensor<?x4xf32>, %kr: tensor<?x2xf32>, %slots: tensor<?xi32>, %cache: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %new = mla.cache_append %ckv, %kr, %slots, %cache : tensor<?x4xf32>, tensor<?x2xf32>, tensor<?xi32>, tensor<?x6xf32> -> tensor<?x6xf32>
  return %new : tensor<?x6xf32>
}

func.func @latent(%q: tensor<?x2x4xf32>, %qr: tensor<?x2x2xf32>, %cache: tensor<?x6xf32>, %table: tensor<?x?xi32>, %positions: tensor<?xi32>) -> tensor<?x2x4xf32> {
  %o = mla.latent_attention %q, %qr, %cache, %table, %positions {scale = 0.25 : f32, page_tokens = 4 : i64}
      : tensor<?x2x4xf32>, tensor<?x2x2xf32>, tensor<?x6xf32>, tensor<?x?xi32>, tensor<?xi32> -> tensor<?x2x4xf32>
  return %o : tensor<?x2x4xf32>
}

// Token ids of 64 bits, narrowed by an op of its own and read as they are.
func.func @embed(%table: tensor<10x8xf32>, %ids: tensor<?xi64>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %ids, %c0 : tensor<?xi64>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<?xi64>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%id: i64, %out: f32):
    %i = arith.index_cast %id : i64 to index
    %j = linalg.index 1 : index
    %x = tensor.extract %table[%i, %j] : tensor<10x8xf32>
    linalg.yield %x : f32
  } -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}

func.func @narrowed(%x: tensor<10x8xf32>, %ids: tensor<?xi64>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %ids, %c0 : tensor<?xi64>
  %e = tensor.empty(%n) : tensor<?xi32>
  %s = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%ids : tensor<?xi64>) outs(%e : tensor<?xi32>) {
  ^bb0(%id: i64, %out: i32):
    %i = arith.trunci %id : i64 to i32
    linalg.yield %i : i32
  } -> tensor<?xi32>
  %r = moe.dispatch %x, %s : tensor<10x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}

// Computed in the function, and in range by what it is.
func.func @clamped(%x: tensor<10x8xf32>, %ids: tensor<?xi32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %ids, %c0 : tensor<?xi32>
  %e = tensor.empty(%n) : tensor<?xi32>
  %s = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%ids : tensor<?xi32>) outs(%e : tensor<?xi32>) {
  ^bb0(%id: i32, %out: i32):
    %three = arith.constant 3 : i32
    %zero = arith.constant 0 : i32
    %nine = arith.constant 9 : i32
    %times = arith.muli %id, %three : i32
    %low = arith.maxsi %times, %zero : i32
    %high = arith.minsi %low, %nine : i32
    linalg.yield %high : i32
  } -> tensor<?xi32>
  %r = moe.dispatch %x, %s : tensor<10x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}

func.func @experts(%x: tensor<?x8xf32>, %logits: tensor<?x4xf32>, %bias: tensor<4xf32>, %w: tensor<4x8x8xf32>) -> tensor<?x8xf32> {
  %ws, %e = moe.route %logits, %bias {groups = 1 : i64, group_limit = 1 : i64, top_k = 2 : i64, normalize = true, scale = 1.0 : f32}
      : tensor<?x4xf32>, tensor<4xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %s, %p, %o, %a = moe.plan %e {expert_count = 4 : i64} : tensor<?x2xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<5xi32>, tensor<4xi32>
  %y = moe.grouped_matmul %x, %w, %o, %a source(%s : tensor<?xi32>) : tensor<?x8xf32>, tensor<4x8x8xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x8xf32>
  %z = moe.combine %y, %p, %e, %ws {expert_count = 4 : i64} : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x8xf32>
  return %z : tensor<?x8xf32>
}

func.func @add(%x: tensor<?x8xf32>, %y: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %r = linalg.add ins(%x, %y : tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}

func.func @halves(%x: tensor<?x8xf32>) -> tensor<?x2x8xf32> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %h = arith.divsi %n, %c2 : index
  %r = tensor.expand_shape %x [[0, 1], [2]] output_shape [%h, 2, 8] : tensor<?x8xf32> into tensor<?x2x8xf32>
  return %r : tensor<?x2x8xf32>
}

func.func @first_three(%x: tensor<?x8xf32>) -> tensor<3x8xf32> {
  %r = tensor.extract_slice %x[0, 0] [3, 8] [1, 1] : tensor<?x8xf32> to tensor<3x8xf32>
  return %r : tensor<3x8xf32>
}

func.func @products(%x: tensor<?x?xf32>, %y: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x?xf32>
  %n = tensor.dim %y, %c1 : tensor<?x?xf32>
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d2, d1)>, affine_map<(d0, d1, d2) -> (d0, d1)>],
      iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %y : tensor<?x?xf32>, tensor<?x?xf32>) outs(%f : tensor<?x?xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}

func.func @nll(%logits: tensor<?x8xf32>, %targets: tensor<?xi32>) -> tensor<?xf32> {
  %r = sample.nll %logits, %targets : tensor<?x8xf32>, tensor<?xi32> -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// What argmax makes is in range by what it is.
func.func @nll_of_argmax(%logits: tensor<?x8xf32>) -> tensor<?xf32> {
  %ids = sample.argmax %logits : tensor<?x8xf32> -> tensor<?xi32>
  %r = sample.nll %logits, %ids : tensor<?x8xf32>, tensor<?xi32> -> tensor<?xf32>
  return %r : tensor<?xf32>
}

func.func @penalize(%logits: tensor<?x8xf32>, %penalty: tensor<?xf32>, %offsets: tensor<?xi32>, %seen: tensor<?xi32>) -> tensor<?x8xf32> {
  %r = sample.penalize %logits, %penalty, %offsets, %seen
      : tensor<?x8xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xi32>
  return %r : tensor<?x8xf32>
}
