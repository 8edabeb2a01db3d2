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

inline constexpr llvm::StringLiteral kModelAttr("job.model");
inline constexpr llvm::StringLiteral kSettingsAttr("job.settings");
inline constexpr llvm::StringLiteral kTrainingAttr("job.training");
inline constexpr llvm::StringLiteral kTrainablesAttr("job.trainables");
inline constexpr llvm::StringLiteral kQuantizationAttr("job.quantization");
inline constexpr llvm::StringLiteral kRanksAttr("job.ranks");

/// Null for functions that are of no model.
ModelAttr modelOf(mlir::Operation *module);
/// All defaults where the module has none.
SettingsAttr settingsOf(mlir::Operation *module);
bool hasSettings(mlir::Operation *module);
/// Null for inference.
TrainingAttr trainingOf(mlir::Operation *module);
/// Empty where the module has none.
llvm::SmallVector<TrainableAttr> trainablesOf(mlir::Operation *module);
void setTrainables(mlir::Operation *module, llvm::ArrayRef<TrainableAttr> trainables);
/// Null for a checkpoint without FP8 weights.
QuantizationAttr quantizationOf(mlir::Operation *module);
/// Null for a job on one rank.
RanksAttr ranksOf(mlir::Operation *module);

//===--------------------------------------------------------------------===//
// Attributes of functions, values, globals and ops
//===--------------------------------------------------------------------===//

// On functions (unit): wants a gradient; is a chunk of a stage.
inline constexpr llvm::StringLiteral kDifferentiateAttr("hadal.differentiate");
inline constexpr llvm::StringLiteral kChunkAttr("hadal.chunk");

// On arguments and results. Unit: differentiated with respect to, or a gradient comes in; the loss.
// String: the state that a result adds to. Integer: the stage that a value comes from or goes to.
inline constexpr llvm::StringLiteral kGradientAttr("hadal.gradient");
inline constexpr llvm::StringLiteral kLossAttr("hadal.loss");
inline constexpr llvm::StringLiteral kAccumulateAttr("hadal.accumulate");
inline constexpr llvm::StringLiteral kStageAttr("hadal.stage");

// On results: the gradient of a parameter (symbol), of an argument, or the argument for the
// gradient of a result (numbers). On arguments of a program that the function is split
// into: the number there.
inline constexpr llvm::StringLiteral kGradientOfAttr("hadal.gradient_of");
inline constexpr llvm::StringLiteral kGradientOfArgumentAttr("hadal.gradient_of_argument");
inline constexpr llvm::StringLiteral kGradientOfResultAttr("hadal.gradient_of_result");
inline constexpr llvm::StringLiteral kArgumentAttr("hadal.argument");

// On globals: the parameter that a sum lies as (symbol); the rank that each segment of rows is of.
// Also on loads and results: which use of the parameter (0, the first, where there is none).
inline constexpr llvm::StringLiteral kLayoutOfAttr("hadal.layout_of");
inline constexpr llvm::StringLiteral kSegmentOwnersAttr("hadal.segment_owners");
inline constexpr llvm::StringLiteral kUseAttr("hadal.use");

// On ops (unit): constant to differentiation; a copy for the backward half; f32 operands of a
// product that hold values of bf16.
inline constexpr llvm::StringLiteral kStopGradientAttr("hadal.stop_gradient");
inline constexpr llvm::StringLiteral kRecomputedAttr("hadal.recomputed");
inline constexpr llvm::StringLiteral kBf16ValuesAttr("hadal.bf16_values");

} // namespace hadal::job

MLIR_DECLARE_EXPLICIT_TYPE_ID(hadal::job::HadalDialect)

#endif // HADAL_DIALECTS_JOB_JOB_H
