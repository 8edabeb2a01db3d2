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

#endif // HADAL_DIALECTS_JOB_JOB_TD
