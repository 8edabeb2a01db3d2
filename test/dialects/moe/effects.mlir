// RUN: hadal-opt %s --cse | FileCheck %s

// Exchanges stay where nothing reads them, and equal ones are two: other ranks take part in each.
// An op without effects goes, and a count is the same each time.
// CHECK-LABEL: func.func @unread
// CHECK: moe.exchange_counts
// CHECK-NEXT: moe.exchange_counts
// CHECK-NEXT: moe.exchange %
// CHECK-NEXT: moe.exchange %
// CHECK-NOT: moe.dispatch
// CHECK: %[[N:.*]] = moe.count "rows"
// CHECK-NEXT: return %[[N]], %[[N]]
func.func @unread(%rows: tensor<?x64xf32>, %source: tensor<?xi32>, %counts: tensor<8xi32>) -> (index, index) {
  %received, %n, %choices = moe.exchange_counts %counts
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "rows", choices_register = "choices"}
      : tensor<8xi32>
  %again:3 = moe.exchange_counts %counts
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows_register = "rows", choices_register = "choices"}
      : tensor<8xi32>
  %0 = moe.exchange %rows, %counts, %received rows(%n)
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  %1 = moe.exchange %rows, %counts, %received rows(%n)
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  %gone = moe.dispatch %rows, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %2 = moe.count "rows"
  %3 = moe.count "rows"
  return %2, %3 : index, index
}
