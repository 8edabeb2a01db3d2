// RUN: hadal-opt %s -split-input-file -verify-diagnostics

// The attributes that frontend, passes and module file hand on are of their kinds, wherever they
// stand.

// expected-error@+1 {{hadal.training micro_batch wants to be from 1 to 2^30, got 0}}
module attributes {hadal.training = {micro_batch = 0 : i64}} {}

// -----

// expected-error@+1 {{hadal.training mtp_weight wants to be an f32 number, got 1.000000e+00 : f64}}
module attributes {hadal.training = {mtp_weight = 1.0 : f64}} {}

// -----

// expected-error@+1 {{hadal.model vocab_size wants to be an integer from 0 to 2^40, got -1 : i64}}
module attributes {hadal.model = {vocab_size = -1 : i64}} {}

// -----

// expected-error@+1 {{hadal.trainables shape wants to be array<i64> of integers from 0 to 2^40, got [4]}}
module attributes {hadal.trainables = [{name = "w", shape = [4]}]} {}

// -----

// expected-error@+1 {{hadal.trainables wants less than 2^48 elements}}
module attributes {hadal.trainables = [{name = "w", shape = array<i64: 1099511627776, 1099511627776>}]} {}

// -----

// expected-error@+1 {{hadal.quantization wants two sizes of at least 1, got array<i64: 4>}}
module attributes {hadal.quantization = array<i64: 4>} {}

// -----

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

// expected-error@+1 {{job.part wants to be a #job.part<"NAME">, got "layers.0"}}
func.func @f() attributes {job.part = "layers.0"} { return }

// -----

// expected-error@+1 {{the dialect job has no attribute job.parts}}
func.func @f() attributes {job.parts = #job.part<"layers.0">} { return }

// -----

// expected-error@+1 {{hadal.settings recompute wants one of none, report, all, got "some"}}
module attributes {hadal.settings = {recompute = "some"}} {}

// -----

// expected-error@+1 {{hadal.settings average wants to be true or false, got "yes"}}
module attributes {hadal.settings = {average = "yes"}} {}

// -----

// expected-error@+1 {{hadal.settings has no key moment}}
module attributes {hadal.settings = {moment = "fp32"}} {}

// -----

// expected-error@+1 {{the dialect hadal has no attribute hadal.ranks}}
module attributes {hadal.ranks = {pp = 2}} {}

// -----

// expected-error@+1 {{job.ranks wants to be a #job.ranks<...>, got 1 : i64}}
module attributes {job.ranks = 1} {}

// -----

// expected-error@+1 {{expected integer value}}
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
// expected-error@+1 {{layers wants to be from 0 to 1099511627776, got -1}}
module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = -1>]>} {}

// -----

// C1
// expected-error@+1 {{trainable wants to be from -1 to 1099511627776, got -2}}
module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = 1, accumulators = [<state = "s", trainable = -2>]>]>} {}

// -----

// C1
// expected-error@+1 {{segment_owners wants to be from 0 to 1099511627776, got -1}}
module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = 1, accumulators = [<state = "s", segment_owners = [0, -1]>]>]>} {}

// -----

// C2
// expected-error@+1 {{state wants a name}}
module attributes {job.ranks = #job.ranks<stages = [<first_layer = 0, layers = 1, accumulators = [<state = "">]>]>} {}

// -----

// C1
// expected-error@+1 {{name wants to be that of a program}}
module attributes {job.ranks = #job.ranks<programs = [<name = "">]>} {}

// -----

// C2
// expected-error@+1 {{outputs has "y" twice}}
module attributes {job.ranks = #job.ranks<programs = [<name = "f", outputs = ["y", "y"]>]>} {}
