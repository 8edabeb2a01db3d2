//===- Job.h - what a job is, in attributes -------------------*- C++ -*-===//
//
// The facts that frontend, passes and module file hand on, as attributes with the prefix "hadal".
// There are no ops. README.md lists them.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_JOB_JOB_H
#define HADAL_DIALECTS_JOB_JOB_H

#include "mlir/IR/Dialect.h"

namespace hadal::job {

class JobDialect : public mlir::Dialect {
public:
  explicit JobDialect(mlir::MLIRContext *context)
      : Dialect(getDialectNamespace(), context, mlir::TypeID::get<JobDialect>()) {}
  static constexpr llvm::StringLiteral getDialectNamespace() {
    return llvm::StringLiteral("hadal");
  }

  llvm::LogicalResult verifyOperationAttribute(mlir::Operation *op,
                                               mlir::NamedAttribute attribute) override;
  llvm::LogicalResult verifyRegionArgAttribute(mlir::Operation *op, unsigned region,
                                               unsigned argument,
                                               mlir::NamedAttribute attribute) override;
  llvm::LogicalResult verifyRegionResultAttribute(mlir::Operation *op, unsigned region,
                                                  unsigned result,
                                                  mlir::NamedAttribute attribute) override;
};

/// Success if the module's dictionary `name` holds all of `keys`; else "NAME wants KEY".
llvm::LogicalResult wantKeys(mlir::Operation *module, llvm::StringRef name,
                             llvm::ArrayRef<llvm::StringRef> keys);
/// The same for each dictionary of a list.
llvm::LogicalResult wantKeysOfEach(mlir::Operation *module, llvm::StringRef name,
                                   llvm::ArrayRef<llvm::StringRef> keys);

} // namespace hadal::job

MLIR_DECLARE_EXPLICIT_TYPE_ID(hadal::job::JobDialect)

#endif // HADAL_DIALECTS_JOB_JOB_H
