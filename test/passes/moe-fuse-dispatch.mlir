// RUN: hadal-opt %s --moe-fuse-dispatch | FileCheck %s

// Both products of the gated unit read the tokens' rows in place.
// CHECK-LABEL: func.func @gathered(
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>, %[[SOURCE:[a-z0-9]*]]: tensor<?xi32>
// CHECK-NOT: moe.dispatch
// CHECK-COUNT-2: moe.grouped_matmul %[[X]], {{.*}} source(%[[SOURCE]] : tensor<?xi32>)
func.func @gathered(%x: tensor<?x64xf32>, %source: tensor<?xi32>, %gate: tensor<4x32x64xf32>, %up: tensor<4x32x64xf32>,
                    %offsets: tensor<5xi32>, %active: tensor<4xi32>) -> (tensor<?x32xf32>, tensor<?x32xf32>) {
  %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %g = moe.grouped_matmul %rows, %gate, %offsets, %active
      : tensor<?x64xf32>, tensor<4x32x64xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x32xf32>
  %u = moe.grouped_matmul %rows, %up, %offsets, %active
      : tensor<?x64xf32>, tensor<4x32x64xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x32xf32>
  return %g, %u : tensor<?x32xf32>, tensor<?x32xf32>
}

// The gathered rows stay where something else reads them.
// CHECK-LABEL: func.func @shared(
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>, %[[SOURCE:[a-z0-9]*]]: tensor<?xi32>
// CHECK: %[[ROWS:.*]] = moe.dispatch %[[X]], %[[SOURCE]]
// CHECK: %[[G:.*]] = moe.grouped_matmul %[[X]], {{.*}} source(%[[SOURCE]] : tensor<?xi32>)
// CHECK: return %[[G]], %[[ROWS]]
func.func @shared(%x: tensor<?x64xf32>, %source: tensor<?xi32>, %gate: tensor<4x32x64xf32>, %offsets: tensor<5xi32>,
                  %active: tensor<4xi32>) -> (tensor<?x32xf32>, tensor<?x64xf32>) {
  %rows = moe.dispatch %x, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %g = moe.grouped_matmul %rows, %gate, %offsets, %active
      : tensor<?x64xf32>, tensor<4x32x64xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x32xf32>
  return %g, %rows : tensor<?x32xf32>, tensor<?x64xf32>
}

// Codes go with their scales, which take the same way.
// CHECK-LABEL: func.func @codes(
// CHECK-SAME: %[[Q:.*]]: tensor<?x300xf8E4M3FN>, %[[S:.*]]: tensor<?x3xf32>, %[[SOURCE:[a-z0-9]*]]: tensor<?xi32>
// CHECK: fp8.grouped_matmul %[[Q]], {{.*}} source(%[[SOURCE]] : tensor<?xi32>) x_scale(%[[S]] : tensor<?x3xf32>)
func.func @codes(%q: tensor<?x300xf8E4M3FN>, %s: tensor<?x3xf32>, %source: tensor<?xi32>, %w: tensor<4x200x300xf8E4M3FN>,
                 %ws: tensor<4x2x3xf32>, %offsets: tensor<5xi32>, %active: tensor<4xi32>) -> tensor<?x200xf32> {
  %rows = moe.dispatch %q, %source : tensor<?x300xf8E4M3FN>, tensor<?xi32> -> tensor<?x300xf8E4M3FN>
  %scales = moe.dispatch %s, %source : tensor<?x3xf32>, tensor<?xi32> -> tensor<?x3xf32>
  %y = fp8.grouped_matmul %rows, %w, %ws, %offsets, %active x_scale(%scales : tensor<?x3xf32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}

// Scales from elsewhere are the gathered rows' own: these stay.
// CHECK-LABEL: func.func @scales(
// CHECK: %[[ROWS:.*]] = moe.dispatch
// CHECK: fp8.grouped_matmul %[[ROWS]], {{.*}} %{{.*}} x_scale(
func.func @scales(%q: tensor<?x300xf8E4M3FN>, %s: tensor<?x3xf32>, %source: tensor<?xi32>, %w: tensor<4x200x300xf8E4M3FN>,
                  %ws: tensor<4x2x3xf32>, %offsets: tensor<5xi32>, %active: tensor<4xi32>) -> tensor<?x200xf32> {
  %rows = moe.dispatch %q, %source : tensor<?x300xf8E4M3FN>, tensor<?xi32> -> tensor<?x300xf8E4M3FN>
  %y = fp8.grouped_matmul %rows, %w, %ws, %offsets, %active x_scale(%s : tensor<?x3xf32>) {block = array<i64: 128, 128>}
      : tensor<?x300xf8E4M3FN>, tensor<4x200x300xf8E4M3FN>, tensor<4x2x3xf32>, tensor<5xi32>, tensor<4xi32> -> tensor<?x200xf32>
  return %y : tensor<?x200xf32>
}
