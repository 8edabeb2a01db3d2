// What is printed parses again.
// RUN: hadal-opt %s | hadal-opt | FileCheck %s

// What has its default is not printed.
// CHECK: module @ranks attributes {job.ranks = #job.ranks<pp = 2, ep = 4, nodes = 2, schedule = "dualpipe", overlap = false, dispatch = "fp8", capacity = 64, stages = [<first_layer = 0, layers = 1, forward = "a", accumulators = [<state = "s", use = 1, segment_owners = [0, 1]>, <state = "t", trainable = 2>]>, <first_layer = 1, layers = 3>]>}
module @ranks attributes {job.ranks = #job.ranks<capacity = 64, pp = 2, ep = 4, dp = 1, nodes = 2,
    schedule = "dualpipe", overlap = false, fast_reduction = false, dispatch = "fp8", stages = [
      <first_layer = 0, layers = 1, forward = "a", accumulators = [
        <state = "s", trainable = -1, use = 1, segment_owners = [0, 1]>, <state = "t", trainable = 2>]>,
      <first_layer = 1, layers = 3>]>} {}

// CHECK: module @inference attributes {job.ranks = #job.ranks<ep = 2, programs = [<name = "f", outputs = ["x", "y"]>, <name = "g">]>}
module @inference attributes {job.ranks = #job.ranks<ep = 2, programs = [
    <name = "f", outputs = ["x", "y"]>, #job.program<name = "g", outputs = []>]>} {}

// CHECK: linalg.exp {job.part = #job.part<"layers.3.mlp.experts.{}.up \22proj\22">} ins
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = linalg.exp {job.part = #job.part<"layers.3.mlp.experts.{}.up \22proj\22">}
    ins(%x : tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
