//===- PartBuilder.h - ops that belong to a part of the model -------------===//
//
// A builder whose ops get the part and the location of another op.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_JOB_PARTBUILDER_H
#define HADAL_DIALECTS_JOB_PARTBUILDER_H

#include "dialects/job/Job.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace hadal::job {

/// Builds in front of `place` what is of the part of `of`. Not for several threads.
class PartBuilder : public mlir::ImplicitLocOpBuilder {
public:
  PartBuilder(mlir::Operation *place, mlir::Operation *of)
      : ImplicitLocOpBuilder(of->getLoc(), place), parts(partAttrOf(of)) {
    setListener(&parts);
  }
  explicit PartBuilder(mlir::Operation *of) : PartBuilder(of, of) {}
  PartBuilder(const PartBuilder &) = delete;
  PartBuilder &operator=(const PartBuilder &) = delete;

private:
  PartListener parts;
};

} // namespace hadal::job

#endif // HADAL_DIALECTS_JOB_PARTBUILDER_H
