//===- HopperTarget.h - Hopper GPUs, and the device that stands in for one ---===//

#ifndef HADAL_PASSES_TARGETS_HOPPER_HOPPERTARGET_H
#define HADAL_PASSES_TARGETS_HOPPER_HOPPERTARGET_H

#include "passes/targets/Target.h"
#include "passes/targets/cpu/CpuTarget.h"
#include "passes/targets/hopper/Ptxas.h"

namespace hadal {

/// Tiers of kernels that a target may use. Whatever no other tier takes is serial.
struct Tiers {
  bool rows = true, tensor = true;
};

/// Kernels as grids. Serial ones are the CPU's, for narrow tiles, with one task per thread: they
/// compute the CPU's bits. Code is PTX, assembled where there is ptxas; of the emulated device
/// the same kernels as a shared object for a CPU, which calls what
/// runtime/emulated/EmulatorCalls.h declares.
class HopperTarget : public Target {
public:
  /// `name`: "sm_90a" or "sm_90a-emulated", and what bounds its tiers. `host`: the CPU that
  /// emulates; null: code is for a GPU.
  HopperTarget(std::string name, Tiers tiers, const Processor *host, std::optional<Ptxas> ptxas);

  llvm::StringRef name() const override { return known; }
  const Processor &processor() const override { return about; }
  std::string family() const override { return isEmulated ? "emulated" : "nvptx"; }
  std::string assembler() const override { return ptxas ? "ptxas " + ptxas->version : ""; }
  bool emits(CodeForm form) const override;
  exec::LayoutAttr layoutOf(mlir::RankedTensorType type,
                            llvm::ArrayRef<mlir::OpOperand *> readers) const override;
  bool sharesKernel(mlir::Operation *producer, mlir::Operation *consumer) const override;
  mlir::LogicalResult lower(mlir::func::FuncOp kernelOnTensors) const override;
  void addCodePasses(mlir::OpPassManager &pm) const override;
  llvm::Expected<CodeObject> emit(mlir::ModuleOp kernels, CodeForm form) const override;
  llvm::Expected<std::vector<std::string>> emitParts(mlir::ModuleOp kernels,
                                                     const CodeProgress &progress) const override;
  llvm::Expected<std::vector<std::string>> assemble(llvm::ArrayRef<NamedPart> parts,
                                                    const CodeProgress &progress) const override;
  llvm::Expected<CodeObject> link(llvm::ArrayRef<NamedPart> parts) const override;

private:
  std::string known;
  Tiers tiers;
  bool isEmulated;
  Processor about, compiled; ///< what the module says; what LLVM makes code for
  CpuTarget serial;
  std::optional<Ptxas> ptxas;
};

/// Names for the table of targets. `name` may be followed by tiers, ":serial" or
/// ":serial,rows": no other kernels then.
llvm::ArrayRef<llvm::StringRef> hopperTargetNames();
bool isHopperTarget(llvm::StringRef name);
/// `ptxas`: as findPtxas takes it.
llvm::Expected<std::unique_ptr<const Target>> makeHopperTarget(llvm::StringRef name,
                                                               llvm::StringRef ptxas);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_HOPPERTARGET_H
