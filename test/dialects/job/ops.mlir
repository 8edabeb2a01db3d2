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

// CHECK: module @model attributes {job.model = #job.model<model_type = "deepseek_v3", vocab_size = 100, moe_layers = [1, 2], page_tokens = 32, bos_token_id = 0, configuration = ["a=b", "c=1"]>, job.settings = #job.settings<recompute = "report", average = true>}
module @model attributes {job.model = #job.model<model_type = "deepseek_v3", vocab_size = 100, layers = 0,
    moe_layers = [1, 2], page_tokens = 32, bos_token_id = 0, configuration = ["a=b", "c=1"]>,
  job.settings = #job.settings<average = true, moments = "fp32", recompute = "report">} {}

// CHECK: module @settings attributes {job.settings = #job.settings<>}
module @settings attributes {job.settings = #job.settings<products = "auto">} {}

// Numbers keep all their bits, texts all their characters.
// CHECK: module @training attributes {job.quantization = #job.quantization<rows = 128, columns = 64>, job.trainables = [#job.trainable<name = "e.{}.w", shape = [8, 4], count = 3, aliases = ["a", "b"], correction = true, init_mean = 1.000000e+00, init_std = 0.282842726, sharded = true, layout = "plain.8x4", packed_elements = 32>, #job.trainable<name = "n">], job.training = #job.training<micro_batch = 2, sequence = 8, micro_batches = 4, mtp_weight = 3.000000e-01, balance_weight = 9.99999974E-5, precision = "bf16", moe_layers = [1], config_json = "{\0A  \22a\22: 1}">}
module @training attributes {
  job.training = #job.training<micro_batch = 2, sequence = 8, micro_batches = 4, mtp_weight = 0.3, balance_weight = 1.0e-4,
    precision = "bf16", moe_layers = [1], config_json = "{\n  \"a\": 1}">,
  job.trainables = [
    #job.trainable<name = "e.{}.w", shape = [8, 4], count = 3, aliases = ["a", "b"], correction = true, init_mean = 1.0,
      init_std = 0.282842726, sharded = true, layout = "plain.8x4", packed_elements = 32>,
    #job.trainable<name = "n">],
  job.quantization = #job.quantization<columns = 64, rows = 128>} {}

// CHECK: linalg.exp {job.part = #job.part<"layers.3.mlp.experts.{}.up \22proj\22">} ins
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = linalg.exp {job.part = #job.part<"layers.3.mlp.experts.{}.up \22proj\22">}
    ins(%x : tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
