// RUN: hadal-opt %s -split-input-file -verify-diagnostics

// The attributes that frontend, passes and module file hand on are of their kinds, wherever they
// stand.

// expected-error@+1 {{argument 0: hadal.gradient wants to be an attribute without a value, got 1 : i64}}
func.func @f(%x: tensor<4xf32> {hadal.gradient = 1 : i64}) { return }

// -----

// expected-error@+1 {{result 0: hadal.gradient_of wants to be the name of a symbol, got "w"}}
func.func @f(%x: tensor<4xf32>) -> (tensor<4xf32> {hadal.gradient_of = "w"}) { return %x : tensor<4xf32> }

// -----

// C1
// expected-error@+1 {{wants the name of a part}}
func.func @f() attributes {job.part = #job.part<"">} { return }

// -----

// expected-error@+1 {{job.part wants to be a #job.part<...>, got "layers.0"}}
func.func @f() attributes {job.part = "layers.0"} { return }

// -----

// expected-error@+1 {{the dialect job has no attribute job.parts}}
func.func @f() attributes {job.parts = #job.part<"layers.0">} { return }

// -----

// expected-error@+1 {{the dialect hadal has no attribute hadal.ranks}}
module attributes {hadal.ranks = {pp = 2}} {}

// -----

// expected-error@+1 {{job.ranks wants to be a #job.ranks<...>, got 1 : i64}}
module attributes {job.ranks = 1} {}

// -----

// expected-error@+2 {{expected integer value}}
// expected-error@+1 {{failed to parse RanksAttr parameter 'pp'}}
module attributes {job.ranks = #job.ranks<pp = "2">} {}

// -----

// C1
// expected-error@+1 {{ep wants to be from 1 to 1048576, got 0}}
module attributes {job.ranks = #job.ranks<ep = 0>} {}

// -----

// C1
// expected-error@+1 {{dp wants to be from 1 to 1048576, got -1}}
module attributes {job.ranks = #job.ranks<dp = -1>} {}

// -----

// C2
// expected-error@+1 {{nodes (3) wants to divide ep (4)}}
module attributes {job.ranks = #job.ranks<ep = 4, nodes = 3>} {}

// -----

// C3
// expected-error@+1 {{dispatch wants one of fp32, bf16, fp8, got "f8"}}
module attributes {job.ranks = #job.ranks<dispatch = "f8">} {}

// -----

// C3
// expected-error@+1 {{combine wants one of fp32, bf16, got "fp8"}}
module attributes {job.ranks = #job.ranks<combine = "fp8">} {}

// -----

// C4
// expected-error@+1 {{capacity wants to be from 0 to 1099511627776, got 1099511627777}}
module attributes {job.ranks = #job.ranks<capacity = 1099511627777>} {}

// -----

// C5
// expected-error@+1 {{schedule wants a name}}
module attributes {job.ranks = #job.ranks<schedule = "">} {}

// -----

// C1
// expected-error@+2 {{layers wants to be from 0 to 1099511627776, got -1}}
// expected-error@+1 {{failed to parse RanksAttr parameter 'stages'}}
module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = -1>]>} {}

// -----

// C1
// expected-error@+3 {{trainable wants to be from -1 to 1099511627776, got -2}}
// expected-error@+2 {{failed to parse StageAttr parameter 'accumulators'}}
// expected-error@+1 {{failed to parse RanksAttr parameter 'stages'}}
module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = 1, accumulators = [<state = "s", trainable = -2>]>]>} {}

// -----

// C1
// expected-error@+3 {{segment_owners wants to be from 0 to 1099511627776, got -1}}
// expected-error@+2 {{failed to parse StageAttr parameter 'accumulators'}}
// expected-error@+1 {{failed to parse RanksAttr parameter 'stages'}}
module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = 1, accumulators = [<state = "s", segment_owners = [0, -1]>]>]>} {}

// -----

// C2
// expected-error@+3 {{state wants a name}}
// expected-error@+2 {{failed to parse StageAttr parameter 'accumulators'}}
// expected-error@+1 {{failed to parse RanksAttr parameter 'stages'}}
module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = 1, accumulators = [<state = "">]>]>} {}

// -----

// C1
// expected-error@+2 {{name wants to be that of a program}}
// expected-error@+1 {{failed to parse RanksAttr parameter 'programs'}}
module attributes {job.ranks = #job.ranks<programs = [<name = "">]>} {}

// -----

// C2
// expected-error@+2 {{outputs has "y" twice}}
// expected-error@+1 {{failed to parse RanksAttr parameter 'programs'}}
module attributes {job.ranks = #job.ranks<programs = [<name = "f", outputs = ["y", "y"]>]>} {}

// -----

// expected-error@+1 {{job.model wants to be a #job.model<...>, got {vocab_size = 4 : i64}}}
module attributes {job.model = {vocab_size = 4}} {}

// -----

// C1
// expected-error@+1 {{vocab_size wants to be from 0 to 1099511627776, got -1}}
module attributes {job.model = #job.model<vocab_size = -1>} {}

// -----

// C1
// expected-error@+1 {{moe_layers wants to be from 0 to 1099511627776, got -3}}
module attributes {job.model = #job.model<moe_layers = [1, -3]>} {}

// -----

// C2
// expected-error@+1 {{page_tokens wants to be from 1 to 65536, got 0}}
module attributes {job.model = #job.model<page_tokens = 0>} {}

// -----

// C3
// expected-error@+1 {{eos_token_ids wants to be from 0 to 2147483647, got -1}}
module attributes {job.model = #job.model<eos_token_ids = [-1]>} {}

// -----

// C3
// expected-error@+1 {{bos_token_id wants to be from -1 to 2147483647, got 2147483648}}
module attributes {job.model = #job.model<bos_token_id = 2147483648>} {}

// -----

// C4
// expected-error@+1 {{configuration wants NAME=VALUE, got "=1"}}
module attributes {job.model = #job.model<configuration = ["=1"]>} {}

// -----

// C1
// expected-error@+1 {{moments wants one of fp32, bf16, got "f32"}}
module attributes {job.settings = #job.settings<moments = "f32">} {}

// -----

// C1
// expected-error@+1 {{products wants one of auto, fma, tiles, got "amx"}}
module attributes {job.settings = #job.settings<products = "amx">} {}

// -----

// C1
// expected-error@+1 {{recompute wants one of none, report, all, got "some"}}
module attributes {job.settings = #job.settings<recompute = "some">} {}

// -----

// expected-error@+1 {{struct is missing required parameter: sequence}}
module attributes {job.training = #job.training<micro_batch = 1>} {}

// -----

// C1
// expected-error@+1 {{micro_batch wants to be from 1 to 2147483647, got 0}}
module attributes {job.training = #job.training<micro_batch = 0, sequence = 4>} {}

// -----

// C1
// expected-error@+1 {{sum_groups wants to be from 1 to 2147483647, got -2}}
module attributes {job.training = #job.training<micro_batch = 1, sequence = 4, sum_groups = -2>} {}

// -----

// C2
// expected-error@+1 {{micro_batch, sequence and micro_batches want a step of less than 2^31 tokens}}
module attributes {job.training = #job.training<micro_batch = 65536, sequence = 32768>} {}

// -----

// C3
// expected-error@+1 {{mtp_depth wants to be from 0 to 1024, got 1025}}
module attributes {job.training = #job.training<micro_batch = 1, sequence = 4, mtp_depth = 1025>} {}

// -----

// C4
// expected-error@+1 {{mtp_weight wants to be from 0}}
module attributes {job.training = #job.training<micro_batch = 1, sequence = 4, mtp_weight = -1.0>} {}

// -----

// C4
// expected-error@+1 {{bias_step wants to be from 0}}
module attributes {job.training = #job.training<micro_batch = 1, sequence = 4, bias_step = 0x7FC00000>} {}

// -----

// C5
// expected-error@+1 {{precision wants one of fp32, bf16, fp8, got "fp4"}}
module attributes {job.training = #job.training<micro_batch = 1, sequence = 4, precision = "fp4">} {}

// -----

// expected-error@+1 {{job.trainables wants to be a list of #job.trainable<...>, got [1]}}
module attributes {job.trainables = [1]} {}

// -----

// C1
// expected-error@+1 {{name wants to be that of a parameter}}
module attributes {job.trainables = [#job.trainable<name = "">]} {}

// -----

// C2
// expected-error@+1 {{count wants to be from 1 to 281474976710656, got 0}}
module attributes {job.trainables = [#job.trainable<name = "w", count = 0>]} {}

// -----

// C2
// expected-error@+1 {{shape wants to be from 0 to 1099511627776, got -4}}
module attributes {job.trainables = [#job.trainable<name = "w", shape = [-4]>]} {}

// -----

// C2
// expected-error@+1 {{w wants less than 2^48 elements}}
module attributes {job.trainables = [#job.trainable<name = "w", shape = [1099511627776, 1099511627776]>]} {}

// -----

// C3
// expected-error@+1 {{packed_elements wants to be from 0 to 281474976710656, got -1}}
module attributes {job.trainables = [#job.trainable<name = "w", packed_elements = -1>]} {}

// -----

// C4
// expected-error@+1 {{init_std wants to be from}}
module attributes {job.trainables = [#job.trainable<name = "w", init_std = 0x7F800000>]} {}

// -----

// C1
// expected-error@+1 {{rows wants to be from 1 to 1048576, got 0}}
module attributes {job.quantization = #job.quantization<rows = 0, columns = 4>} {}

// -----

// C2
// expected-error@+1 {{scales wants one of f32, bf16, e8m0, got "f16"}}
module attributes {job.quantization = #job.quantization<rows = 4, columns = 4, scales = "f16">} {}
