//===- CpuTarget.h - processors whose kernels are vectors on memory -------===//

#ifndef HADAL_PASSES_TARGETS_CPU_CPUTARGET_H
#define HADAL_PASSES_TARGETS_CPU_CPUTARGET_H

#include "passes/targets/Target.h"
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// x86-64 from AVX and FMA on, and AArch64. Its name stands for the vectors that kernels are shaped
/// for; the host's target has the name of the widest ones that the host has, and the host's own
/// features. Any thread may read it.
class CpuTarget : public Target {
public:
  /// Of a processor by its features.
  explicit CpuTarget(Processor processor);
  /// The same kernels in another shape.
  CpuTarget(Processor processor, VectorShape shape);

  llvm::StringRef name() const override { return known; }
  const Processor &processor() const override { return about; }
  bool hasMatrixUnits() const override { return shape.tiles; }
  const Target &withoutMatrixUnits() const override;
  exec::LayoutAttr layoutOf(mlir::RankedTensorType type,
                            llvm::ArrayRef<mlir::OpOperand *> readers) const override;
  bool sharesKernel(mlir::Operation *producer, mlir::Operation *consumer) const override;
  mlir::LogicalResult lower(mlir::func::FuncOp kernelOnTensors) const override;
  void addCodePasses(mlir::OpPassManager &pm) const override;
  llvm::Expected<CodeObject> emit(mlir::ModuleOp kernels, CodeForm form) const override;
  llvm::Expected<std::vector<std::string>> emitParts(mlir::ModuleOp kernels,
                                                     const CodeProgress &progress) const override;
  llvm::Expected<CodeObject> link(llvm::ArrayRef<NamedPart> parts) const override;

private:
  Processor about;
  VectorShape shape;
  std::string known;
  std::unique_ptr<const CpuTarget> plain; ///< without AMX, where this one has it
};

/// Names for the table of targets, and what they make. "host" has the host's features as the system
/// offers them; never from the CPU's name, which hypervisors belie.
llvm::ArrayRef<llvm::StringRef> cpuTargetNames();
llvm::Expected<std::unique_ptr<const Target>> makeCpuTarget(llvm::StringRef name);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_CPUTARGET_H
