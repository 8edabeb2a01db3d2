//===- Job.td - what a job is, in attributes --------------------------------===//

#ifndef HADAL_DIALECTS_JOB_JOB_TD
#define HADAL_DIALECTS_JOB_JOB_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/OpBase.td"

def JobDialect : Dialect {
  let name = "job";
  let cppNamespace = "::hadal::job";
  let summary = "what a job is: attributes with verifiers, and no ops";
  let description = [{
    The facts that the frontend writes and that passes and the module file read. An attribute
    `job.NAME` holds a `#job.NAME<...>`.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
}

class Job_Attr<string Name, string attrMnemonic> : AttrDef<JobDialect, Name> {
  let mnemonic = attrMnemonic;
}

def PartAttr : Job_Attr<"Part", "part"> {
  let summary = "the part of the model that an op computes";
  let description = [{
        %y = moe.route %x {job.part = #job.part<"layers.3.mlp">, ...} : ...

    Names are those of the checkpoint without `model.` and `.weight`, or names of the frontend for
    what has no parameter ("layers.3.mlp.swiglu"). The gradient of a part belongs to the part. Ops
    that compute nothing (constants, initial values, sizes, views, loads of parameters) have none:
    two parts may share them. Passes choose by it what is rounded and what is recomputed.
    (C1) The name is not empty.
  }];
  let parameters = (ins StringRefParameter<>:$name);
  let assemblyFormat = "`<` $name `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

/// "[1, 2]"; elements that are attributes of this dialect without their names: "[<...>, <...>]".
class Job_List<string Element> : OptionalArrayRefParameter<Element> {
  let parser = "::hadal::job::parseList<" # Element # ">($_parser)";
  let printer = "::hadal::job::printList<" # Element # ">($_printer, $_self)";
}

/// An f32 number, printed without its type.
def Job_Float : APFloatParameter<""> {
  let parser = "::hadal::job::parseF32($_parser)";
  let printer = "$_printer.printFloat($_self)";
  let defaultValue = "::llvm::APFloat(0.0f)";
}

class Job_Int<string Default> : DefaultValuedParameter<"int64_t", Default>;
class Job_Flag<string Default> : DefaultValuedParameter<"bool", Default>;
class Job_Text<string Default> : StringRefParameter<"", "\"" # Default # "\"">;
/// Its default is that of an option.
class Job_TextOption<string Default> : StringRefParameter<"", Default>;

//===----------------------------------------------------------------------===//
// Model and settings
//===----------------------------------------------------------------------===//

def ModelAttr : Job_Attr<"Model", "model"> {
  let summary = "what a driver needs to know of the model";
  let description = [{
        module attributes {job.model = #job.model<model_type = "deepseek_v3", layers = 2, ...>}

    Table Model in runtime/module/Module.fbs. `configuration`: "NAME=VALUE" of what changes numbers.
    (C1) Sizes and counts are from 0 to 2^40.
    (C2) `page_tokens`, positions of a page of the latent cache, is from 1 to 65536.
    (C3) Token ids are from 0 to 2^31 - 1; no `bos_token_id` is -1.
    (C4) An entry of `configuration` has a name.
  }];
  let parameters = (ins
    Job_Text<"">:$model_type, Job_Int<"0">:$vocab_size, Job_Int<"0">:$hidden_size,
    Job_Int<"0">:$layers, Job_Int<"0">:$latent, Job_Int<"0">:$rope_dim, Job_Int<"0">:$experts,
    Job_Int<"0">:$experts_per_token, Job_Int<"1">:$expert_groups, Job_Int<"1">:$groups_per_token,
    Job_List<"int64_t">:$moe_layers, Job_Int<"0">:$max_positions,
    Job_Int<"defaultPageTokens">:$page_tokens, Job_Int<"0">:$cache_elements_per_token,
    Job_List<"int64_t">:$eos_token_ids,
    Job_Int<"-1">:$bos_token_id, Job_Int<"0">:$parameter_count,
    Job_Int<"0">:$active_parameter_count, Job_List<"::mlir::StringAttr">:$configuration);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    ModelAttr withPageTokens(int64_t tokens) const;
  }];
}

def SettingsAttr : Job_Attr<"Settings", "settings"> {
  let summary = "how the graph is compiled";
  let description = [{
        module attributes {job.settings = #job.settings<recompute = "report">}

    What hadal-compile was told, so that a graph's text compiles to what the graph compiled to.
    `fp8`: options of `--fp8-quantize`, where the precision of training is fp8; an error elsewhere.
    (C1) `moments` is fp32 or bf16, `products` auto, fma or tiles, `recompute` none, report or all,
    `cache`, what generation keeps latents in, fp32 or fp8.
  }];
  let parameters = (ins Job_Text<"fp32">:$moments, Job_Text<"auto">:$products,
                        Job_Text<"none">:$recompute, Job_Flag<"false">:$average,
                        Job_Text<"">:$fp8, Job_Text<"fp32">:$cache);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Training
//===----------------------------------------------------------------------===//

def TrainingAttr : Job_Attr<"Training", "training"> {
  let summary = "a training job";
  let description = [{
        module attributes {job.training = #job.training<micro_batch = 2, sequence = 8, ...>}

    Rows of a micro-batch, tokens of a row, micro-batches of a step, groups whose gradients are
    summed apart; depths of multi-token prediction, the first of its layers; weights of losses, how
    far a router's bias moves; the layers that route; config.json as it was read. Table Training in
    runtime/module/Module.fbs.
    (C1) `micro_batch`, `sequence`, `micro_batches` and `sum_groups` are at least 1.
    (C2) A step has less than 2^31 tokens.
    (C3) `mtp_depth` is from 0 to 1024, layers are from 0 to 2^40.
    (C4) `mtp_weight`, `balance_weight` and `bias_step` are from 0 to 10^6.
    (C5) `precision` is fp32, bf16 or fp8.
  }];
  let parameters = (ins
    "int64_t":$micro_batch, "int64_t":$sequence, Job_Int<"1">:$micro_batches,
    Job_Int<"1">:$sum_groups, Job_Int<"0">:$mtp_depth, Job_Float:$mtp_weight,
    Job_Float:$balance_weight, Job_Float:$bias_step, Job_Text<"fp32">:$precision,
    Job_Int<"0">:$first_mtp_layer, Job_List<"int64_t">:$moe_layers, Job_Text<"">:$config_json);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    static TrainingAttr getChecked(::llvm::function_ref<::mlir::InFlightDiagnostic()> error,
                                   ::mlir::MLIRContext *context, const TrainingOptions &options,
                                   int64_t mtpDepth, int64_t firstMtpLayer,
                                   ::llvm::ArrayRef<int64_t> moeLayers);
  }];
}

def TrainableAttr : Job_Attr<"Trainable", "trainable"> {
  let summary = "a parameter, or a stack of them, that training updates";
  let description = [{
        module attributes {job.trainables = [#job.trainable<name = "w", shape = [8, 4]>, ...]}

    `name`: as in the checkpoint, with "{}" for a number from 0 to `count` - 1 (of a rank's share
    where it is `sharded`). `correction`: a router's bias, which no gradient moves. `init_mean`,
    `init_std`: of the normal distribution of first values. `--exec-form-programs` adds `layout` and
    `packed_elements`: how each tensor lies. Table Trainable in runtime/module/Module.fbs.
    (C1) `name` is not empty.
    (C2) `count` is at least 1, sizes are at least 0, all elements less than 2^48.
    (C3) `packed_elements` is from 0 to 2^48.
    (C4) `init_mean` and `init_std` are finite.
  }];
  let parameters = (ins
    StringRefParameter<>:$name, Job_List<"int64_t">:$shape, Job_Int<"1">:$count,
    Job_List<"::mlir::StringAttr">:$aliases, Job_Flag<"false">:$correction, Job_Float:$init_mean,
    Job_Float:$init_std, Job_Flag<"false">:$sharded, Job_Text<"">:$layout,
    Job_Int<"0">:$packed_elements);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    TrainableAttr withShare(int64_t count) const; ///< sharded, with `count` tensors on a rank
    TrainableAttr withLayout(::llvm::StringRef layout, int64_t packedElements) const;
  }];
}

def QuantizationAttr : Job_Attr<"Quantization", "quantization"> {
  let summary = "blocks of the checkpoint's FP8 weights";
  let description = [{
        module attributes {job.quantization = #job.quantization<rows = 128, columns = 128>}

    Each block has a scale, of the type `scales`. On a training job that may begin with such a
    checkpoint.
    (C1) `rows` and `columns` are from 1 to 2^20.  (C2) `scales` is f32, bf16 or e8m0.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$columns, Job_Text<"f32">:$scales);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

def RanksAttr : Job_Attr<"Ranks", "ranks"> {
  let summary = "over how many ranks a job is spread, and what they do";
  let description = [{
        module attributes {job.ranks = #job.ranks<pp = 2, ep = 2, stages = [
            <first_layer = 0, layers = 1>, <first_layer = 1, layers = 1>]>, ...}

    A training job has `pp` * `ep` * `dp` ranks, and one stage per pipeline rank, with dualpipev
    two.
    An inference job has `ep` ranks and no stages. `--hadal-cut-chunks` adds what the stages
    compute, or the programs with exchanges. Tables Ranks and Inference in
    runtime/module/Module.fbs.
    (C1) `pp`, `ep`, `dp` and `nodes` are from 1 to 2^20.
    (C2) `nodes` divides `ep`.
    (C3) `dispatch` is fp32, bf16 or fp8, `combine` fp32 or bf16.
    (C4) `capacity`, most rows from one rank to another, is from 0 (any number) to 2^40.
    (C5) `schedule` is not empty.
  }];
  let parameters = (ins
    Job_Int<"RankOptions().pp">:$pp, Job_Int<"RankOptions().ep">:$ep,
    Job_Int<"RankOptions().dp">:$dp, Job_Int<"RankOptions().nodes">:$nodes,
    Job_TextOption<"RankOptions().schedule">:$schedule, Job_Flag<"RankOptions().overlap">:$overlap,
    Job_Flag<"RankOptions().fastReduction">:$fast_reduction,
    Job_TextOption<"RankOptions().dispatch">:$dispatch,
    Job_TextOption<"RankOptions().combine">:$combine,
    Job_Int<"RankOptions().capacity">:$capacity, Job_List<"StageAttr">:$stages,
    Job_List<"ProgramAttr">:$programs);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    static RanksAttr get(::mlir::MLIRContext *context, const RankOptions &options,
                         ::llvm::ArrayRef<StageAttr> stages = {});
    RankOptions getOptions() const;
    RanksAttr withStages(::llvm::ArrayRef<StageAttr> stages) const;
    RanksAttr withPrograms(::llvm::ArrayRef<ProgramAttr> programs) const;
  }];
}

def StageAttr : Job_Attr<"Stage", "stage"> {
  let summary = "what a pipeline stage is made of";
  let description = [{
        #job.stage<first_layer = 0, layers = 2, forward = "stage.0.forward", ...>

    Its layers; once chunks are cut, the programs of its three chunks and the sums that they add to.
    (C1) `first_layer` and `layers` are from 0 to 2^40.
  }];
  let parameters = (ins
    "int64_t":$first_layer, "int64_t":$layers, Job_Text<"">:$forward, Job_Text<"">:$input_grad,
    Job_Text<"">:$weight_grad, Job_List<"AccumulatorAttr">:$accumulators);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def AccumulatorAttr : Job_Attr<"Accumulator", "accumulator"> {
  let summary = "a state that micro-batches add to";
  let description = [{
        #job.accumulator<state = "gradient.w", trainable = 3, segment_owners = [0, 1]>

    `trainable`: the place in `job.trainables` of what it is the gradient of, or -1. `use`: which
    use of that. `segment_owners`: for a sharded tensor, the rank that each segment of rows is of.
    (C1) `trainable` is from -1, `use` and the owners from 0 to 2^40.
    (C2) `state` is not empty.
  }];
  let parameters = (ins StringRefParameter<>:$state, Job_Int<"-1">:$trainable, Job_Int<"0">:$use,
                        Job_List<"int64_t">:$segment_owners);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def ProgramAttr : Job_Attr<"Program", "program"> {
  let summary = "an inference program with exchanges";
  let description = [{
        #job.program<name = "prefill", outputs = ["logits"]>

    `outputs`: the names of its results that a driver reads.
    (C1) `name` is not empty.  (C2) The outputs differ.
  }];
  let parameters = (ins StringRefParameter<>:$name, Job_List<"::mlir::StringAttr">:$outputs);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

#endif // HADAL_DIALECTS_JOB_JOB_TD
