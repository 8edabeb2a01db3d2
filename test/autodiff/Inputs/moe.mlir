ml_program.global private mutable @up(#ml_program.extern<tensor<4x3x5xf32>>) : tensor<4x3x5xf32>
ml_program.global private mutable @down(#ml_program.extern<tensor<4x5x3xf32>>) : tensor<4x5x3xf32>
ml_program.global private mutable @bias(#ml_program.extern<tensor<4xf32>>) : tensor<4xf32>
ml_program.global private mutable @table(#ml_program.extern<tensor<9x5xf32>>) : tensor<9x5xf32>

// The whole road of a token through its experts; expert 2 of the first function has no rows.
func.func @experts(%x: tensor<?x5xf32> {hadal.gradient, test.shape = array<i64: 6, 5>}, %logits: tensor<?x4xf32> {hadal.gradient, test.shape = array<i64: 6, 4>},
                   %forced: tensor<?x2xi32> {test.shape = array<i64: 6, 2>, test.values = array<i64: 0, 1, 3, 0, 1, 3, 3, 1, 0, 1, 0, 3>})
    -> (tensor<?x5xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %bias = ml_program.global_load @bias : tensor<4xf32>
  %w, %e = moe.route %logits, %bias forced(%forced : tensor<?x2xi32>) {groups = 1 : i64, group_limit = 1 : i64, top_k = 2 : i64, normalize = true, scale = 2.5 : f32}
      : tensor<?x4xf32>, tensor<4xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %source, %position, %offsets, %active = moe.plan %e {expert_count = 4 : i64} : tensor<?x2xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<5xi32>, tensor<4xi32>
  %up = ml_program.global_load @up : tensor<4x3x5xf32>
  %down = ml_program.global_load @down : tensor<4x5x3xf32>
  %rows = moe.dispatch %x, %source : tensor<?x5xf32>, tensor<?xi32> -> tensor<?x5xf32>
  %h = moe.grouped_matmul %rows, %up, %offsets, %active : tensor<?x5xf32>, tensor<4x3x5xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x3xf32>
  %y = moe.grouped_matmul %h, %down, %offsets, %active : tensor<?x3xf32>, tensor<4x5x3xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x5xf32>
  %r = moe.combine %y, %position, %e, %w {expert_count = 4 : i64} : tensor<?x5xf32>, tensor<?x2xi32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x5xf32>
  return %r : tensor<?x5xf32>
}

// Rows read where they lie, a transposed product, weights as they are, groups.
func.func @gathered(%x: tensor<?x5xf32> {hadal.gradient, test.shape = array<i64: 6, 5>}, %logits: tensor<?x4xf32> {hadal.gradient, test.shape = array<i64: 6, 4>})
    -> (tensor<?x5xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %bias = ml_program.global_load @bias : tensor<4xf32>
  %w, %e = moe.route %logits, %bias {groups = 2 : i64, group_limit = 1 : i64, top_k = 2 : i64, normalize = false, scale = 0.5 : f32}
      : tensor<?x4xf32>, tensor<4xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %source, %position, %offsets, %active = moe.plan %e {expert_count = 4 : i64} : tensor<?x2xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<5xi32>, tensor<4xi32>
  %up = ml_program.global_load @up : tensor<4x3x5xf32>
  %h = moe.grouped_matmul %x, %up, %offsets, %active source(%source : tensor<?xi32>) : tensor<?x5xf32>, tensor<4x3x5xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x3xf32>
  %up2 = ml_program.global_load @up : tensor<4x3x5xf32>
  %y = moe.grouped_matmul %h, %up2, %offsets, %active {transpose} : tensor<?x3xf32>, tensor<4x3x5xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x5xf32>
  %r = moe.combine %y, %position, %e, %w {expert_count = 4 : i64} : tensor<?x5xf32>, tensor<?x2xi32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x5xf32>
  return %r : tensor<?x5xf32>
}

// An embedding whose rows are read more than once, by two ops; and rows of an activation.
func.func @rows(%x: tensor<?x5xf32> {hadal.gradient, test.shape = array<i64: 6, 5>}, %a: tensor<?xi32> {test.values = array<i64: 3, 0, 3, 8, 3>}, %b: tensor<?xi32> {test.values = array<i64: 1, 3, 5>})
    -> (tensor<?x5xf32> {hadal.gradient}, tensor<?x5xf32> {hadal.gradient}, tensor<?x5xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %t = ml_program.global_load @table : tensor<9x5xf32>
  %r = moe.dispatch %t, %a : tensor<9x5xf32>, tensor<?xi32> -> tensor<?x5xf32>
  %t2 = ml_program.global_load @table : tensor<9x5xf32>
  %s = moe.dispatch %t2, %b : tensor<9x5xf32>, tensor<?xi32> -> tensor<?x5xf32>
  %y = moe.dispatch %x, %b : tensor<?x5xf32>, tensor<?xi32> -> tensor<?x5xf32>
  return %r, %s, %y : tensor<?x5xf32>, tensor<?x5xf32>, tensor<?x5xf32>
}

// Three sequences, one empty.
func.func @balance(%logits: tensor<?x4xf32> {hadal.gradient, test.shape = array<i64: 7, 4>}, %offsets: tensor<?xi32> {test.values = array<i64: 0, 4, 4, 7>})
    -> (tensor<?xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %l, %f = moe.balance_loss %logits, %offsets {top_k = 2 : i64} : tensor<?x4xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x4xf32>
  return %l : tensor<?xf32>
}

// DeepSeek-V2's router: a softmax couples all logits of a token, and the balance loss counts the
// choice that was made.
func.func @softmax(%x: tensor<?x5xf32> {hadal.gradient, test.shape = array<i64: 6, 5>}, %logits: tensor<?x4xf32> {hadal.gradient, test.shape = array<i64: 6, 4>},
                   %offsets: tensor<?xi32> {test.values = array<i64: 0, 4, 6>})
    -> (tensor<?x5xf32> {hadal.gradient}, tensor<?xf32> {hadal.gradient}) attributes {hadal.differentiate} {
  %w, %e = moe.route %logits {softmax, group_maximum, groups = 2 : i64, group_limit = 1 : i64, top_k = 2 : i64, normalize = false, scale = 4.0 : f32}
      : tensor<?x4xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  %source, %position, %offsets2, %active = moe.plan %e {expert_count = 4 : i64} : tensor<?x2xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<5xi32>, tensor<4xi32>
  %up = ml_program.global_load @up : tensor<4x3x5xf32>
  %down = ml_program.global_load @down : tensor<4x5x3xf32>
  %rows = moe.dispatch %x, %source : tensor<?x5xf32>, tensor<?xi32> -> tensor<?x5xf32>
  %h = moe.grouped_matmul %rows, %up, %offsets2, %active : tensor<?x5xf32>, tensor<4x3x5xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x3xf32>
  %y = moe.grouped_matmul %h, %down, %offsets2, %active : tensor<?x3xf32>, tensor<4x5x3xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x5xf32>
  %r = moe.combine %y, %position, %e, %w {expert_count = 4 : i64} : tensor<?x5xf32>, tensor<?x2xi32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x5xf32>
  %l, %f = moe.balance_loss %logits, %offsets chosen(%e : tensor<?x2xi32>) {softmax, top_k = 2 : i64} : tensor<?x4xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x4xf32>
  return %r, %l : tensor<?x5xf32>, tensor<?xf32>
}
