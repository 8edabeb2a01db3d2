// RUN: hadal-opt %s --split-input-file --verify-diagnostics

// One case for each constraint of each op, under the number that the op's description gives it.

// C1
func.func @route_c1(%logits: tensor<?x?xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants dimension 1 of logits (E) to be static, got 'tensor<?x?xf32>'}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x?xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C2
func.func @route_c2(%logits: tensor<?x16xf32>, %bias: tensor<15xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants dimension 0 of bias (15) to be E (16)}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<15xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C3
func.func @route_c3(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants top_k (0) to be at least 1}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 0 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C4
func.func @route_c4(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x3xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants dimension 1 of weights (3) to be K (4)}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x3xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x3xf32>, tensor<?x4xi32>
}

// -----

// C5
func.func @route_c5(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x3xi32>) {
  // expected-error@+1 {{'moe.route' op wants dimension 1 of experts (3) to be K (4)}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x3xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x3xi32>
}

// -----

// C6
func.func @route_c6(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>, %forced: tensor<?x5xi32>)
    -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants dimension 1 of forced (5) to be K (4)}}
  %w, %e = moe.route %logits, %bias forced(%forced
      : tensor<?x5xi32>) {group_limit = 2 : i64, groups = 4 : i64, normalize = true, scale = 2.500000e+00 : f32,
        top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C7
func.func @route_c7(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants groups (0) to be at least 1}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 0 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C8
func.func @route_c8(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants E (16) to be a multiple of groups (3)}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 3 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C9
func.func @route_c9(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants group_limit (5) to be in 1 .. groups (4)}}
  %w, %e = moe.route %logits, %bias {group_limit = 5 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C9
func.func @route_c9_2(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants group_limit (0) to be in 1 .. groups (4)}}
  %w, %e = moe.route %logits, %bias {group_limit = 0 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C10
func.func @route_c10(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x9xf32>, tensor<?x9xi32>) {
  // expected-error@+1 {{'moe.route' op wants top_k (9) to be at most group_limit * E / groups (8)}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 4 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 9 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x9xf32>, tensor<?x9xi32>
  return %w, %e : tensor<?x9xf32>, tensor<?x9xi32>
}

// -----

// C11
func.func @route_c11(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants E / groups (1) to be at least 2 where group_limit is below groups}}
  %w, %e = moe.route %logits, %bias {group_limit = 8 : i64, groups = 16 : i64, normalize = true,
        scale = 2.500000e+00 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C12
func.func @route_c12(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.route' op wants scale (INF) to be finite}}
  %w, %e = moe.route %logits, %bias {group_limit = 2 : i64, groups = 4 : i64, normalize = true,
        scale = 0x7F800000 : f32, top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<16xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %w, %e : tensor<?x4xf32>, tensor<?x4xi32>
}

// -----

// C1
func.func @plan_c1(%experts: tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>) {
  // expected-error@+1 {{'moe.plan' op wants dimension 1 of experts (K) to be static, got 'tensor<?x?xi32>'}}
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<?x?xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
}

// -----

// C2
func.func @plan_c2(%experts: tensor<?x4xi32>) -> (tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>) {
  // expected-error@+1 {{'moe.plan' op wants expert_count (0) to be at least 1}}
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 0 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
}

// -----

// C3
func.func @plan_c3(%experts: tensor<5x4xi32>) -> (tensor<21xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>) {
  // expected-error@+1 {{'moe.plan' op wants dimension 0 of source (21) to be R (20)}}
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<5x4xi32> -> tensor<21xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<21xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
}

// -----

// C3
func.func @plan_c3_2(%experts: tensor<?x4xi32>) -> (tensor<21xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>) {
  // expected-error@+1 {{'moe.plan' op wants R (21) to be a multiple of K (4)}}
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<?x4xi32> -> tensor<21xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<21xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<16xi32>
}

// -----

// C4
func.func @plan_c4(%experts: tensor<?x4xi32>) -> (tensor<?xi32>, tensor<?x5xi32>, tensor<17xi32>, tensor<16xi32>) {
  // expected-error@+1 {{'moe.plan' op wants dimension 1 of position (5) to be K (4)}}
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x5xi32>, tensor<17xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x5xi32>, tensor<17xi32>, tensor<16xi32>
}

// -----

// C5
func.func @plan_c5(%experts: tensor<?x4xi32>) -> (tensor<?xi32>, tensor<?x4xi32>, tensor<16xi32>, tensor<16xi32>) {
  // expected-error@+1 {{'moe.plan' op wants dimension 0 of offsets (16) to be E+1 (17)}}
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<16xi32>, tensor<16xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x4xi32>, tensor<16xi32>, tensor<16xi32>
}

// -----

// C6
func.func @plan_c6(%experts: tensor<?x4xi32>) -> (tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<17xi32>) {
  // expected-error@+1 {{'moe.plan' op wants dimension 0 of active (17) to be E (16)}}
  %source, %position, %offsets, %active = moe.plan %experts {expert_count = 16 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<17xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x4xi32>, tensor<17xi32>, tensor<17xi32>
}

// -----

// C7
func.func @plan_c7(%experts: tensor<?x4xi32>, %received: tensor<7xi32>, %n: index)
    -> (tensor<?xi32>, tensor<?x4xi32>, tensor<13xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan' op wants segments to be 2 * S numbers, got 'tensor<7xi32>'}}
  %source, %position, %offsets, %active = moe.plan %experts segments(%received : tensor<7xi32>)
      choices(%n) {expert_count = 4 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<13xi32>, tensor<12xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x4xi32>, tensor<13xi32>, tensor<12xi32>
}

// -----

// C8
func.func @plan_c8(%experts: tensor<?x4xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x4xi32>, tensor<13xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan' op wants choices, which is R, where it has segments}}
  %source, %position, %offsets, %active = moe.plan %experts segments(%received : tensor<6xi32>) {expert_count = 4 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x4xi32>, tensor<13xi32>, tensor<12xi32>
  return %source, %position, %offsets, %active : tensor<?xi32>, tensor<?x4xi32>, tensor<13xi32>, tensor<12xi32>
}

// -----

// C1
func.func @plan_sends_c1(%experts: tensor<?x?xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants dimension 1 of experts (K) to be static, got 'tensor<?x?xi32>'}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<6xi32>)
      {expert_count = 16 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<?x?xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
}

// -----

// C2
func.func @plan_sends_c2(%experts: tensor<?x4xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants parts (0) to be at least 1}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<6xi32>)
      {expert_count = 16 : i64, parts = 0 : i64, segments = 3 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
}

// -----

// C3
func.func @plan_sends_c3(%experts: tensor<?x4xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants expert_count (15) to be a multiple of parts (2)}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<6xi32>)
      {expert_count = 15 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
}

// -----

// C4
func.func @plan_sends_c4(%experts: tensor<?x4xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants segments (3) to be 1 without counts of what was received}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts
      {expert_count = 16 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
}

// -----

// C5
func.func @plan_sends_c5(%experts: tensor<?x4xi32>, %received: tensor<8xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants dimension 0 of segments (8) to be 2*S (6)}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<8xi32>)
      {expert_count = 16 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
}

// -----

// C6
func.func @plan_sends_c6(%experts: tensor<5x4xi32>, %received: tensor<6xi32>)
    -> (tensor<9xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants dimension 0 of source (9) to be C (10)}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<6xi32>)
      {expert_count = 16 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<5x4xi32> -> tensor<9xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<9xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<12xi32>
}

// -----

// C7
func.func @plan_sends_c7(%experts: tensor<?x4xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x3xi32>, tensor<?x4xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants dimension 1 of slots (3) to be P (2)}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<6xi32>)
      {expert_count = 16 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x3xi32>, tensor<?x4xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x3xi32>, tensor<?x4xi32>, tensor<12xi32>
}

// -----

// C8
func.func @plan_sends_c8(%experts: tensor<?x4xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<?x5xi32>, tensor<12xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants dimension 1 of ids (5) to be K (4)}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<6xi32>)
      {expert_count = 16 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x5xi32>, tensor<12xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x2xi32>, tensor<?x5xi32>, tensor<12xi32>
}

// -----

// C9
func.func @plan_sends_c9(%experts: tensor<?x4xi32>, %received: tensor<6xi32>)
    -> (tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<6xi32>) {
  // expected-error@+1 {{'moe.plan_sends' op wants dimension 0 of counts (6) to be 2*P*S (12)}}
  %source, %slots, %ids, %counts = moe.plan_sends %experts segments(%received : tensor<6xi32>)
      {expert_count = 16 : i64, parts = 2 : i64, segments = 3 : i64}
      : tensor<?x4xi32> -> tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<6xi32>
  return %source, %slots, %ids, %counts : tensor<?xi32>, tensor<?x2xi32>, tensor<?x4xi32>, tensor<6xi32>
}

// -----

// C1
func.func @exchange_counts_c1(%send: tensor<8xi32>) -> tensor<8xi32> {
  // expected-error@+1 {{'moe.exchange_counts' op wants parts (4), segments (1) and stride (0) to be at least 1}}
  %r:3 = moe.exchange_counts %send {parts = 4 : i64, segments = 1 : i64, stride = 0 : i64, rows_register = "rows", choices_register = "choices"}
      : tensor<8xi32>
  return %r#0 : tensor<8xi32>
}

// -----

// C2
func.func @exchange_counts_c2(%send: tensor<6xi32>) -> tensor<6xi32> {
  // expected-error@+1 {{'moe.exchange_counts' op wants dimension 0 of send (6) to be 2*P*S (8)}}
  %r:3 = moe.exchange_counts %send {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "rows", choices_register = "choices"}
      : tensor<6xi32>
  return %r#0 : tensor<6xi32>
}

// -----

// C1
func.func @exchange_c1(%x: tensor<?x64xf32>, %counts: tensor<8xi32>, %like: tensor<?xi32>, %n: index) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.exchange' op wants parts (0), segments (1) and stride (1) to be at least 1}}
  %r = moe.exchange %x, %counts, %counts rows(%n) {parts = 0 : i64, segments = 1 : i64, stride = 1 : i64}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C2
func.func @exchange_c2(%x: tensor<?x64xf32>, %counts: tensor<6xi32>, %like: tensor<?xi32>, %n: index) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.exchange' op wants dimension 0 of send (6) to be 2*P*S (8)}}
  %r = moe.exchange %x, %counts, %counts rows(%n) {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
      : tensor<?x64xf32>, tensor<6xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C3
func.func @exchange_c3(%x: tensor<?x64xf32>, %counts: tensor<8xi32>, %like: tensor<?xi32>) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.exchange' op wants either rows or like}}
  %r = moe.exchange %x, %counts, %counts {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C4
func.func @exchange_c4(%x: tensor<?x?xf32>, %counts: tensor<8xi32>, %like: tensor<?xi32>, %n: index) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.exchange' op wants dimension 1 of x (H) to be static, got 'tensor<?x?xf32>'}}
  %r = moe.exchange %x, %counts, %counts rows(%n) {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
      : tensor<?x?xf32>, tensor<8xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C5
func.func @exchange_c5(%x: tensor<?x64xf32>, %counts: tensor<8xi32>, %like: tensor<?xi32>, %n: index) -> tensor<?x64xi32> {
  // expected-error@+1 {{'moe.exchange' op wants a result of the elements of x ('f32'), got 'tensor<?x64xi32>'}}
  %r = moe.exchange %x, %counts, %counts rows(%n) {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xi32>
  return %r : tensor<?x64xi32>
}

// -----

// C6
func.func @exchange_c6(%x: tensor<?x64xf32>, %counts: tensor<8xi32>, %like: tensor<8xi32>) -> tensor<9x64xf32> {
  // expected-error@+1 {{'moe.exchange' op wants like to have the leading size of the result 'tensor<9x64xf32>', got 'tensor<8xi32>'}}
  %r = moe.exchange %x, %counts, %counts like(%like : tensor<8xi32>) {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<9x64xf32>
  return %r : tensor<9x64xf32>
}

// -----

// C7
func.func @exchange_c7(%x: tensor<?x64xf32>, %counts: tensor<8xi32>, %n: index) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.exchange' op wants rows of f32 to travel as bf16 or fp8, got 'tensor<?x64xf32>' as fp4}}
  %r = moe.exchange %x, %counts, %counts rows(%n) {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, format = "fp4"}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C8
func.func @exchange_c8(%x: tensor<?x64xf32>, %counts: tensor<8xi32>, %n: index) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.exchange' op wants capacity (0) to be at least 1}}
  %r = moe.exchange %x, %counts, %counts rows(%n) {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, capacity = 0 : i64}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C1
func.func @dispatch_c1(%x: tensor<?x?xf32>, %source: tensor<?xi32>) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.dispatch' op wants dimension 1 of x (H) to be static, got 'tensor<?x?xf32>'}}
  %r = moe.dispatch %x, %source : tensor<?x?xf32>, tensor<?xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C2
func.func @dispatch_c2(%x: tensor<?x64xf32>, %source: tensor<?x1xi32>) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.dispatch' op operand #1 must be tensor of rank 1 of 32-bit signless integer values, but got 'tensor<?x1xi32>'}}
  %r = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?x1xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C3
func.func @dispatch_c3(%x: tensor<?x64xf32>, %source: tensor<?xi32>) -> tensor<?x65xf32> {
  // expected-error@+1 {{'moe.dispatch' op wants dimension 1 of result (65) to be H (64)}}
  %r = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x65xf32>
  return %r : tensor<?x65xf32>
}

// -----

// C3
func.func @dispatch_c3_elements(%x: tensor<?x64xf8E4M3FN>, %source: tensor<?xi32>) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.dispatch' op wants a result of the elements of x ('f8E4M3FN'), got 'tensor<?x64xf32>'}}
  %r = moe.dispatch %x, %source : tensor<?x64xf8E4M3FN>, tensor<?xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C3
func.func @dispatch_c3_2(%x: tensor<?x64xf32>, %source: tensor<12xi32>) -> tensor<13x64xf32> {
  // expected-error@+1 {{'moe.dispatch' op wants dimension 0 of result (13) to be R (12)}}
  %r = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<12xi32> -> tensor<13x64xf32>
  return %r : tensor<13x64xf32>
}

// -----

// C1
func.func @grouped_matmul_c1(%rows: tensor<?x64xf32>, %weights: tensor<16x?x64xbf16>, %offsets: tensor<17xi32>,
                             %active: tensor<16xi32>)
    -> tensor<?x24xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op wants dimension 1 of weights (N) to be static, got 'tensor<16x?x64xbf16>'}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x64xf32>, tensor<16x?x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
  return %r : tensor<?x24xf32>
}

// -----

// C2
func.func @grouped_matmul_c2(%rows: tensor<?x64xf32>, %weights: tensor<16x24x64xbf16>, %offsets: tensor<16xi32>,
                             %active: tensor<16xi32>)
    -> tensor<?x24xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op wants the groups of offsets (15) to be a multiple of E (16)}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<16xi32>, tensor<16xi32> -> tensor<?x24xf32>
  return %r : tensor<?x24xf32>
}

// -----

// C3
func.func @grouped_matmul_c3(%rows: tensor<?x64xf32>, %weights: tensor<16x24x64xbf16>, %offsets: tensor<17xi32>,
                             %active: tensor<17xi32>)
    -> tensor<?x24xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op wants dimension 0 of active (17) to be G (16)}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<17xi32> -> tensor<?x24xf32>
  return %r : tensor<?x24xf32>
}

// -----

// C4
func.func @grouped_matmul_c4(%rows: tensor<?x64xf32>, %weights: tensor<16x24x64xbf16>, %offsets: tensor<17xi32>,
                             %active: tensor<16xi32>, %source: tensor<?x1xi32>)
    -> tensor<?x24xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op operand #4 must be tensor of rank 1 of 32-bit signless integer values, but got 'tensor<?x1xi32>'}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active source(%source : tensor<?x1xi32>)
      : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
  return %r : tensor<?x24xf32>
}

// -----

// C5
func.func @grouped_matmul_c5(%rows: tensor<?x65xf32>, %weights: tensor<16x24x64xbf16>, %offsets: tensor<17xi32>,
                             %active: tensor<16xi32>)
    -> tensor<?x24xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op wants dimension 1 of rows (65) to be K (64)}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x65xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
  return %r : tensor<?x24xf32>
}

// -----

// C6
func.func @grouped_matmul_c6(%rows: tensor<?x64xf32>, %weights: tensor<16x24x64xbf16>, %offsets: tensor<17xi32>,
                             %active: tensor<16xi32>)
    -> tensor<?x25xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op wants dimension 1 of result (25) to be N (24)}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<?x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<?x25xf32>
  return %r : tensor<?x25xf32>
}

// -----

// C6
func.func @grouped_matmul_c6_2(%rows: tensor<12x64xf32>, %weights: tensor<16x24x64xbf16>, %offsets: tensor<17xi32>,
                               %active: tensor<16xi32>)
    -> tensor<13x24xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op wants dimension 0 of result (13) to be R (12)}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active
      : tensor<12x64xf32>, tensor<16x24x64xbf16>, tensor<17xi32>, tensor<16xi32> -> tensor<13x24xf32>
  return %r : tensor<13x24xf32>
}

// -----

// C1
func.func @combine_c1(%rows: tensor<?x64xf32>, %position: tensor<?x?xi32>, %experts: tensor<?x4xi32>,
                      %weights: tensor<?x4xf32>)
    -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.combine' op wants dimension 1 of position (K) to be static, got 'tensor<?x?xi32>'}}
  %r = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
      : tensor<?x64xf32>, tensor<?x?xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C2
func.func @combine_c2(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x5xi32>,
                      %weights: tensor<?x4xf32>)
    -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.combine' op wants dimension 1 of experts (5) to be K (4)}}
  %r = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x5xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C3
func.func @combine_c3(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x4xi32>,
                      %weights: tensor<?x5xf32>)
    -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.combine' op wants dimension 1 of weights (5) to be K (4)}}
  %r = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x5xf32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C4
func.func @combine_c4(%rows: tensor<?x?xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x4xi32>,
                      %weights: tensor<?x4xf32>)
    -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.combine' op wants dimension 1 of rows (H) to be static, got 'tensor<?x?xf32>'}}
  %r = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
      : tensor<?x?xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C5
func.func @combine_c5(%rows: tensor<21x64xf32>, %position: tensor<5x4xi32>, %experts: tensor<?x4xi32>,
                      %weights: tensor<?x4xf32>)
    -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.combine' op wants R (21) to be T * K (20)}}
  %r = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
      : tensor<21x64xf32>, tensor<5x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C6
func.func @combine_c6(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x4xi32>,
                      %weights: tensor<?x4xf32>)
    -> tensor<?x65xf32> {
  // expected-error@+1 {{'moe.combine' op wants dimension 1 of result (65) to be H (64)}}
  %r = moe.combine %rows, %position, %experts, %weights {expert_count = 16 : i64}
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x65xf32>
  return %r : tensor<?x65xf32>
}

// -----

// C7
func.func @combine_c7(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %experts: tensor<?x4xi32>,
                      %weights: tensor<?x4xf32>)
    -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.combine' op wants expert_count (0) to be at least 1}}
  %r = moe.combine %rows, %position, %experts, %weights {expert_count = 0 : i64}
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C1
func.func @update_bias_c1(%bias: tensor<?xf32>, %load: tensor<16xi32>) -> tensor<?xf32> {
  // expected-error@+1 {{'moe.update_bias' op wants dimension 0 of bias (E) to be static, got 'tensor<?xf32>'}}
  %r = moe.update_bias %bias, %load {step = 1.000000e-03 : f32} : tensor<?xf32>, tensor<16xi32> -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

// C2
func.func @update_bias_c2(%bias: tensor<16xf32>, %load: tensor<15xi32>) -> tensor<16xf32> {
  // expected-error@+1 {{'moe.update_bias' op wants dimension 0 of load (15) to be E (16)}}
  %r = moe.update_bias %bias, %load {step = 1.000000e-03 : f32} : tensor<16xf32>, tensor<15xi32> -> tensor<16xf32>
  return %r : tensor<16xf32>
}

// -----

// C3
func.func @update_bias_c3(%bias: tensor<16xf32>, %load: tensor<16xi32>) -> tensor<16xf32> {
  // expected-error@+1 {{'moe.update_bias' op wants step (-1.000000e-03) to be finite and at least 0}}
  %r = moe.update_bias %bias, %load {step = -1.000000e-03 : f32} : tensor<16xf32>, tensor<16xi32> -> tensor<16xf32>
  return %r : tensor<16xf32>
}

// -----

// C5
func.func @grouped_matmul_transpose_c5(%rows: tensor<?x64xf32>, %weights: tensor<16x24x64xf32>,
                                       %offsets: tensor<17xi32>, %active: tensor<16xi32>) -> tensor<?x64xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op wants dimension 1 of rows (64) to be N (24)}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active {transpose}
      : tensor<?x64xf32>, tensor<16x24x64xf32>, tensor<17xi32>, tensor<16xi32> -> tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

// -----

// C6
func.func @grouped_matmul_transpose_c6(%rows: tensor<?x24xf32>, %weights: tensor<16x24x64xf32>,
                                       %offsets: tensor<17xi32>, %active: tensor<16xi32>) -> tensor<?x24xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op wants dimension 1 of result (24) to be K (64)}}
  %r = moe.grouped_matmul %rows, %weights, %offsets, %active {transpose}
      : tensor<?x24xf32>, tensor<16x24x64xf32>, tensor<17xi32>, tensor<16xi32> -> tensor<?x24xf32>
  return %r : tensor<?x24xf32>
}

// -----

// C1
func.func @grouped_weight_grad_c1(%rows: tensor<?x64xf32>, %gradient: tensor<?x24xf32>,
                                  %offsets: tensor<17xi32>, %active: tensor<16xi32>, %init: tensor<16x?x64xf32>,
                                  %source: tensor<?xi32>) -> tensor<16x?x64xf32> {
  // expected-error@+1 {{'moe.grouped_weight_grad' op wants dimension 1 of init (N) to be static, got 'tensor<16x?x64xf32>'}}
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init source(%source : tensor<?xi32>)
      : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x?x64xf32> -> tensor<16x?x64xf32>
  return %r : tensor<16x?x64xf32>
}

// -----

// C2
func.func @grouped_weight_grad_c2(%rows: tensor<?x64xf32>, %gradient: tensor<?x24xf32>,
                                  %offsets: tensor<16xi32>, %active: tensor<16xi32>,
                                  %init: tensor<16x24x64xf32>, %source: tensor<?xi32>) -> tensor<16x24x64xf32> {
  // expected-error@+1 {{'moe.grouped_weight_grad' op wants dimension 0 of offsets (16) to be E+1 (17)}}
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init source(%source : tensor<?xi32>)
      : tensor<?x64xf32>, tensor<?x24xf32>, tensor<16xi32>, tensor<16xi32>, tensor<16x24x64xf32>
      -> tensor<16x24x64xf32>
  return %r : tensor<16x24x64xf32>
}

// -----

// C3
func.func @grouped_weight_grad_c3(%rows: tensor<?x64xf32>, %gradient: tensor<?x24xf32>,
                                  %offsets: tensor<17xi32>, %active: tensor<17xi32>,
                                  %init: tensor<16x24x64xf32>, %source: tensor<?xi32>) -> tensor<16x24x64xf32> {
  // expected-error@+1 {{'moe.grouped_weight_grad' op wants dimension 0 of active (17) to be E (16)}}
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init source(%source : tensor<?xi32>)
      : tensor<?x64xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<17xi32>, tensor<16x24x64xf32>
      -> tensor<16x24x64xf32>
  return %r : tensor<16x24x64xf32>
}

// -----

// C4
func.func @grouped_weight_grad_c4(%rows: tensor<?x64xf32>, %gradient: tensor<20x24xf32>,
                                  %offsets: tensor<17xi32>, %active: tensor<16xi32>,
                                  %init: tensor<16x24x64xf32>, %source: tensor<21xi32>) -> tensor<16x24x64xf32> {
  // expected-error@+1 {{'moe.grouped_weight_grad' op wants dimension 0 of gradient (20) to be R (21)}}
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init source(%source : tensor<21xi32>)
      : tensor<?x64xf32>, tensor<20x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32>
      -> tensor<16x24x64xf32>
  return %r : tensor<16x24x64xf32>
}

// -----

// C5
func.func @grouped_weight_grad_c5(%rows: tensor<?x64xf32>, %gradient: tensor<?x25xf32>,
                                  %offsets: tensor<17xi32>, %active: tensor<16xi32>,
                                  %init: tensor<16x24x64xf32>, %source: tensor<?xi32>) -> tensor<16x24x64xf32> {
  // expected-error@+1 {{'moe.grouped_weight_grad' op wants dimension 1 of gradient (25) to be N (24)}}
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init source(%source : tensor<?xi32>)
      : tensor<?x64xf32>, tensor<?x25xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32>
      -> tensor<16x24x64xf32>
  return %r : tensor<16x24x64xf32>
}

// -----

// C6
func.func @grouped_weight_grad_c6(%rows: tensor<?x63xf32>, %gradient: tensor<?x24xf32>,
                                  %offsets: tensor<17xi32>, %active: tensor<16xi32>,
                                  %init: tensor<16x24x64xf32>, %source: tensor<?xi32>) -> tensor<16x24x64xf32> {
  // expected-error@+1 {{'moe.grouped_weight_grad' op wants dimension 1 of rows (63) to be K (64)}}
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init source(%source : tensor<?xi32>)
      : tensor<?x63xf32>, tensor<?x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32>
      -> tensor<16x24x64xf32>
  return %r : tensor<16x24x64xf32>
}

// -----

// C6
func.func @grouped_weight_grad_c6_2(%rows: tensor<19x64xf32>, %gradient: tensor<20x24xf32>,
                                    %offsets: tensor<17xi32>, %active: tensor<16xi32>,
                                    %init: tensor<16x24x64xf32>) -> tensor<16x24x64xf32> {
  // expected-error@+1 {{'moe.grouped_weight_grad' op wants dimension 0 of rows (19) to be R (20)}}
  %r = moe.grouped_weight_grad %rows, %gradient, %offsets, %active, %init
      : tensor<19x64xf32>, tensor<20x24xf32>, tensor<17xi32>, tensor<16xi32>, tensor<16x24x64xf32>
      -> tensor<16x24x64xf32>
  return %r : tensor<16x24x64xf32>
}

// -----

// C1
func.func @combine_grad_c1(%rows: tensor<?x64xf32>, %position: tensor<?x?xi32>, %weights: tensor<?x4xf32>,
                           %gradient: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x4xf32>) {
  // expected-error@+1 {{'moe.combine_grad' op wants dimension 1 of position (K) to be static, got 'tensor<?x?xi32>'}}
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x64xf32>, tensor<?x?xi32>, tensor<?x4xf32>, tensor<?x64xf32> -> tensor<?x64xf32>, tensor<?x4xf32>
  return %drows, %dweights : tensor<?x64xf32>, tensor<?x4xf32>
}

// -----

// C2
func.func @combine_grad_c2(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %weights: tensor<?x5xf32>,
                           %gradient: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x5xf32>) {
  // expected-error@+1 {{'moe.combine_grad' op wants dimension 1 of weights (5) to be K (4)}}
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x5xf32>, tensor<?x64xf32> -> tensor<?x64xf32>, tensor<?x5xf32>
  return %drows, %dweights : tensor<?x64xf32>, tensor<?x5xf32>
}

// -----

// C3
func.func @combine_grad_c3(%rows: tensor<?x?xf32>, %position: tensor<?x4xi32>, %weights: tensor<?x4xf32>,
                           %gradient: tensor<?x64xf32>) -> (tensor<?x?xf32>, tensor<?x4xf32>) {
  // expected-error@+1 {{'moe.combine_grad' op wants dimension 1 of rows (H) to be static, got 'tensor<?x?xf32>'}}
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x?xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x64xf32> -> tensor<?x?xf32>, tensor<?x4xf32>
  return %drows, %dweights : tensor<?x?xf32>, tensor<?x4xf32>
}

// -----

// C4
func.func @combine_grad_c4(%rows: tensor<21x64xf32>, %position: tensor<5x4xi32>, %weights: tensor<?x4xf32>,
                           %gradient: tensor<?x64xf32>) -> (tensor<21x64xf32>, tensor<?x4xf32>) {
  // expected-error@+1 {{'moe.combine_grad' op wants R (21) to be T * K (20)}}
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<21x64xf32>, tensor<5x4xi32>, tensor<?x4xf32>, tensor<?x64xf32> -> tensor<21x64xf32>, tensor<?x4xf32>
  return %drows, %dweights : tensor<21x64xf32>, tensor<?x4xf32>
}

// -----

// C5
func.func @combine_grad_c5(%rows: tensor<?x64xf32>, %position: tensor<?x4xi32>, %weights: tensor<?x4xf32>,
                           %gradient: tensor<?x65xf32>) -> (tensor<?x64xf32>, tensor<?x4xf32>) {
  // expected-error@+1 {{'moe.combine_grad' op wants dimension 1 of gradient (65) to be H (64)}}
  %drows, %dweights = moe.combine_grad %rows, %position, %weights, %gradient
      : tensor<?x64xf32>, tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x65xf32> -> tensor<?x64xf32>, tensor<?x4xf32>
  return %drows, %dweights : tensor<?x64xf32>, tensor<?x4xf32>
}

// -----

// C1
func.func @route_grad_c1(%logits: tensor<?x?xf32>, %experts: tensor<?x4xi32>, %gradient: tensor<?x4xf32>)
    -> tensor<?x?xf32> {
  // expected-error@+1 {{'moe.route_grad' op wants dimension 1 of logits (E) to be static, got 'tensor<?x?xf32>'}}
  %r = moe.route_grad %logits, %experts, %gradient {normalize = true, scale = 2.500000e+00 : f32}
      : tensor<?x?xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}

// -----

// C2
func.func @route_grad_c2(%logits: tensor<?x16xf32>, %experts: tensor<?x?xi32>, %gradient: tensor<?x4xf32>)
    -> tensor<?x16xf32> {
  // expected-error@+1 {{'moe.route_grad' op wants dimension 1 of experts (K) to be static, got 'tensor<?x?xi32>'}}
  %r = moe.route_grad %logits, %experts, %gradient {normalize = true, scale = 2.500000e+00 : f32}
      : tensor<?x16xf32>, tensor<?x?xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}

// -----

// C3
func.func @route_grad_c3(%logits: tensor<?x16xf32>, %experts: tensor<?x4xi32>, %gradient: tensor<?x3xf32>)
    -> tensor<?x16xf32> {
  // expected-error@+1 {{'moe.route_grad' op wants dimension 1 of gradient (3) to be K (4)}}
  %r = moe.route_grad %logits, %experts, %gradient {normalize = true, scale = 2.500000e+00 : f32}
      : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x3xf32> -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}

// -----

// C4
func.func @route_grad_c4(%logits: tensor<?x16xf32>, %experts: tensor<?x4xi32>, %gradient: tensor<?x4xf32>)
    -> tensor<?x16xf32> {
  // expected-error@+1 {{'moe.route_grad' op wants scale (INF) to be finite}}
  %r = moe.route_grad %logits, %experts, %gradient {normalize = true, scale = 0x7F800000 : f32}
      : tensor<?x16xf32>, tensor<?x4xi32>, tensor<?x4xf32> -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}

// -----

// C1
func.func @balance_loss_c1(%logits: tensor<?x?xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x16xf32>) {
  // expected-error@+1 {{'moe.balance_loss' op wants dimension 1 of logits (E) to be static, got 'tensor<?x?xf32>'}}
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 4 : i64}
      : tensor<?x?xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x16xf32>
}

// -----

// C2
func.func @balance_loss_c2(%logits: tensor<?x16xf32>, %offsets: tensor<0xi32>) -> (tensor<?xf32>, tensor<?x16xf32>) {
  // expected-error@+1 {{'moe.balance_loss' op wants dimension 0 of offsets (0) to be at least 1}}
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<0xi32> -> tensor<?xf32>, tensor<?x16xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x16xf32>
}

// -----

// C3
func.func @balance_loss_c3(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x16xf32>) {
  // expected-error@+1 {{'moe.balance_loss' op wants top_k (17) to be in 1 .. E (16)}}
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 17 : i64}
      : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x16xf32>
}

// -----

// C3
func.func @balance_loss_c3_2(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>)
    -> (tensor<?xf32>, tensor<?x16xf32>) {
  // expected-error@+1 {{'moe.balance_loss' op wants top_k (0) to be in 1 .. E (16)}}
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 0 : i64}
      : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x16xf32>
}

// -----

// C4
func.func @balance_loss_c4(%logits: tensor<?x16xf32>, %offsets: tensor<4xi32>) -> (tensor<4xf32>, tensor<?x16xf32>) {
  // expected-error@+1 {{'moe.balance_loss' op wants dimension 0 of loss (4) to be S (3)}}
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<4xi32> -> tensor<4xf32>, tensor<?x16xf32>
  return %loss, %fractions : tensor<4xf32>, tensor<?x16xf32>
}

// -----

// C5
func.func @balance_loss_c5(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x15xf32>) {
  // expected-error@+1 {{'moe.balance_loss' op wants dimension 1 of fractions (15) to be E (16)}}
  %loss, %fractions = moe.balance_loss %logits, %offsets {top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x15xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x15xf32>
}

// -----

// C6
func.func @balance_loss_c6(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>, %experts: tensor<?x3xi32>)
    -> (tensor<?xf32>, tensor<?x16xf32>) {
  // expected-error@+1 {{'moe.balance_loss' op wants dimension 1 of experts (3) to be K (4)}}
  %loss, %fractions = moe.balance_loss %logits, %offsets chosen(%experts : tensor<?x3xi32>) {top_k = 4 : i64}
      : tensor<?x16xf32>, tensor<?xi32> -> tensor<?xf32>, tensor<?x16xf32>
  return %loss, %fractions : tensor<?xf32>, tensor<?x16xf32>
}

// -----

// C1
func.func @balance_loss_grad_c1(%logits: tensor<?x?xf32>, %offsets: tensor<?xi32>, %fractions: tensor<?x16xf32>,
                                %gradient: tensor<?xf32>) -> tensor<?x?xf32> {
  // expected-error@+1 {{'moe.balance_loss_grad' op wants dimension 1 of logits (E) to be static, got 'tensor<?x?xf32>'}}
  %r = moe.balance_loss_grad %logits, %offsets, %fractions, %gradient
      : tensor<?x?xf32>, tensor<?xi32>, tensor<?x16xf32>, tensor<?xf32> -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}

// -----

// C2
func.func @balance_loss_grad_c2(%logits: tensor<?x16xf32>, %offsets: tensor<0xi32>,
                                %fractions: tensor<?x16xf32>, %gradient: tensor<?xf32>) -> tensor<?x16xf32> {
  // expected-error@+1 {{'moe.balance_loss_grad' op wants dimension 0 of offsets (0) to be at least 1}}
  %r = moe.balance_loss_grad %logits, %offsets, %fractions, %gradient
      : tensor<?x16xf32>, tensor<0xi32>, tensor<?x16xf32>, tensor<?xf32> -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}

// -----

// C3
func.func @balance_loss_grad_c3(%logits: tensor<?x16xf32>, %offsets: tensor<?xi32>,
                                %fractions: tensor<?x15xf32>, %gradient: tensor<?xf32>) -> tensor<?x16xf32> {
  // expected-error@+1 {{'moe.balance_loss_grad' op wants dimension 1 of fractions (15) to be E (16)}}
  %r = moe.balance_loss_grad %logits, %offsets, %fractions, %gradient
      : tensor<?x16xf32>, tensor<?xi32>, tensor<?x15xf32>, tensor<?xf32> -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}

// -----

// C4
func.func @balance_loss_grad_c4(%logits: tensor<?x16xf32>, %offsets: tensor<4xi32>,
                                %fractions: tensor<?x16xf32>, %gradient: tensor<4xf32>) -> tensor<?x16xf32> {
  // expected-error@+1 {{'moe.balance_loss_grad' op wants dimension 0 of gradient (4) to be S (3)}}
  %r = moe.balance_loss_grad %logits, %offsets, %fractions, %gradient
      : tensor<?x16xf32>, tensor<4xi32>, tensor<?x16xf32>, tensor<4xf32> -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}

// -----

// C1
func.func @scatter_add_c1(%rows: tensor<?x?xf32>, %ids: tensor<?xi32>, %init: tensor<100x64xf32>)
    -> tensor<100x64xf32> {
  // expected-error@+1 {{'moe.scatter_add' op wants dimension 1 of rows (H) to be static, got 'tensor<?x?xf32>'}}
  %r = moe.scatter_add %rows, %ids, %init
      : tensor<?x?xf32>, tensor<?xi32>, tensor<100x64xf32> -> tensor<100x64xf32>
  return %r : tensor<100x64xf32>
}

// -----

// C2
func.func @scatter_add_c2(%rows: tensor<7x64xf32>, %ids: tensor<8xi32>, %init: tensor<100x64xf32>)
    -> tensor<100x64xf32> {
  // expected-error@+1 {{'moe.scatter_add' op wants dimension 0 of ids (8) to be R (7)}}
  %r = moe.scatter_add %rows, %ids, %init
      : tensor<7x64xf32>, tensor<8xi32>, tensor<100x64xf32> -> tensor<100x64xf32>
  return %r : tensor<100x64xf32>
}

// -----

// C3
func.func @scatter_add_c3(%rows: tensor<?x64xf32>, %ids: tensor<?xi32>, %init: tensor<100x63xf32>)
    -> tensor<100x63xf32> {
  // expected-error@+1 {{'moe.scatter_add' op wants dimension 1 of init (63) to be H (64)}}
  %r = moe.scatter_add %rows, %ids, %init
      : tensor<?x64xf32>, tensor<?xi32>, tensor<100x63xf32> -> tensor<100x63xf32>
  return %r : tensor<100x63xf32>
}
