//===- EmitJob.h - tables that say what job a module is for -----*- C++ -*-===//

#ifndef HADAL_PASSES_MODULE_EMITJOB_H
#define HADAL_PASSES_MODULE_EMITJOB_H

#include "passes/module/Tables.h"

namespace hadal {

/// Writes tables through `b`: each is absent, and null, where the module says nothing of it. A
/// failure has been reported. One thread at a time.
class JobTables {
public:
  JobTables(mlir::ModuleOp module, flatbuffers::FlatBufferBuilder &b,
            const ProgramNumbers &programs)
      : module(module), b(b), programs(programs) {}

  /// Finds the chunks' orders, which `training` writes.
  mlir::LogicalResult collectOrders();
  flatbuffers::Offset<fb::Model> model();
  mlir::FailureOr<flatbuffers::Offset<fb::Training>> training();
  /// `sharded`: the numbers of the parameters of which a rank has a share.
  mlir::FailureOr<flatbuffers::Offset<fb::Inference>>
  inference(const std::vector<uint32_t> &sharded);

private:
  mlir::FailureOr<flatbuffers::Offset<fb::Ranks>> ranks();

  mlir::ModuleOp module;
  flatbuffers::FlatBufferBuilder &b;
  const ProgramNumbers &programs;
  llvm::SmallVector<exec::OrderOp> orders; ///< by pipeline rank
};

} // namespace hadal

#endif // HADAL_PASSES_MODULE_EMITJOB_H
