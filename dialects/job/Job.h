//===- Job.h - what a job is, in attributes -------------------*- C++ -*-===//
//
// The facts that frontend, passes and module file hand on: attributes of the dialect `job`, and
// attributes with the prefix "hadal" that hand-written IR uses, too. There are no ops. README.md
// lists them.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_JOB_JOB_H
#define HADAL_DIALECTS_JOB_JOB_H

#include "dialects/job/Options.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Dialect.h"

#include "dialects/job/JobDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/job/JobAttributes.h.inc"

namespace hadal::job {

/// Holds attributes with the prefix "hadal" to their kinds.
class HadalDialect : public mlir::Dialect {
public:
  explicit HadalDialect(mlir::MLIRContext *context)
      : Dialect(getDialectNamespace(), context, mlir::TypeID::get<HadalDialect>()) {}
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

//===--------------------------------------------------------------------===//
// Parts of the model
//===--------------------------------------------------------------------===//

inline constexpr llvm::StringLiteral kPartAttr("job.part");

/// What `op` computes a part of; null where it does not say. `op` may be null.
PartAttr partAttrOf(mlir::Operation *op);

/// Its name: "layers.3.self_attn.q_b_proj"; empty where the op does not say.
llvm::StringRef partOf(mlir::Operation *op);

/// Whether `op` computes, and so has a part: all ops on tensors but constants, initial values,
/// sizes, views, calls and what loads or stores globals.
bool computes(mlir::Operation *op);

/// Gives `op` the part, where it computes and has none yet; a null part changes nothing.
void setPart(mlir::Operation *op, PartAttr part);

/// Gives `part` to each op that a builder inserts into a function's body. Not for several threads.
class PartListener : public mlir::OpBuilder::Listener {
public:
  explicit PartListener(PartAttr part = {}) : part(part) {}
  void notifyOperationInserted(mlir::Operation *op, mlir::OpBuilder::InsertPoint) override;

  PartAttr part; ///< of the ops to come; null: none
};

//===--------------------------------------------------------------------===//
// Attributes of the module
//===--------------------------------------------------------------------===//

inline constexpr llvm::StringLiteral kRanksAttr("job.ranks");

/// Null for a job on one rank.
RanksAttr ranksOf(mlir::Operation *module);

//===--------------------------------------------------------------------===//
// Dictionaries
//===--------------------------------------------------------------------===//

/// Success if the module's dictionary `name` holds all of `keys`; else "NAME wants KEY".
llvm::LogicalResult wantKeys(mlir::Operation *module, llvm::StringRef name,
                             llvm::ArrayRef<llvm::StringRef> keys);
/// The same for each dictionary of a list.
llvm::LogicalResult wantKeysOfEach(mlir::Operation *module, llvm::StringRef name,
                                   llvm::ArrayRef<llvm::StringRef> keys);

} // namespace hadal::job

MLIR_DECLARE_EXPLICIT_TYPE_ID(hadal::job::HadalDialect)

#endif // HADAL_DIALECTS_JOB_JOB_H
