// RUN: hadal-opt %s --cse | FileCheck %s

// Exchanges stay where nothing reads them, and equal ones are two: other ranks take part in each.
// An op without effects goes.
// CHECK-LABEL: func.func @unread
// CHECK: moe.exchange_counts
// CHECK-NEXT: moe.exchange_counts
// CHECK-NEXT: moe.exchange %
// CHECK-NEXT: moe.exchange %
// CHECK-NOT: moe.dispatch
func.func @unread(%rows: tensor<?x64xf32>, %source: tensor<?xi32>, %counts: tensor<8xi32>) {
  %received = moe.exchange_counts %counts
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows = "rows", choices = "choices"}
      : tensor<8xi32>
  %again = moe.exchange_counts %counts
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows = "rows", choices = "choices"}
      : tensor<8xi32>
  %0 = moe.exchange %rows, %counts, %received
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows = "rows"}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  %1 = moe.exchange %rows, %counts, %received
      {parts = 4 : i64, segments = 1 : i64, stride = 1 : i64, rows = "rows"}
      : tensor<?x64xf32>, tensor<8xi32> -> tensor<?x64xf32>
  %2 = moe.dispatch %rows, %source : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  return
}
