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

class Job_Int<string Default> : DefaultValuedParameter<"int64_t", Default>;
class Job_Flag<string Default> : DefaultValuedParameter<"bool", Default>;
class Job_Text<string Default> : StringRefParameter<"", "\"" # Default # "\"">;

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

def RanksAttr : Job_Attr<"Ranks", "ranks"> {
  let summary = "over how many ranks a job is spread, and what they do";
  let description = [{
        module attributes {job.ranks = #job.ranks<pp = 2, ep = 2, stages = [
            <first_layer = 0, layers = 1>, <first_layer = 1, layers = 1>]>, ...}

    A training job has `pp` * `ep` * `dp` ranks, and one stage per pipeline rank, two with dualpipev.
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
    Job_Int<"1">:$pp, Job_Int<"1">:$ep, Job_Int<"1">:$dp, Job_Int<"1">:$nodes,
    Job_Text<"1f1b">:$schedule, Job_Flag<"true">:$overlap, Job_Flag<"false">:$fast_reduction,
    Job_Text<"fp32">:$dispatch, Job_Text<"fp32">:$combine, Job_Int<"0">:$capacity,
    Job_List<"StageAttr">:$stages, Job_List<"ProgramAttr">:$programs);
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
