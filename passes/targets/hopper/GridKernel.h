//===- GridKernel.h - what kernels that are grids have in common ----------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_GRIDKERNEL_H
#define HADAL_PASSES_TARGETS_HOPPER_GRIDKERNEL_H

#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace hadal {

/// Most bytes of shared memory that a block may have.
constexpr int64_t kMostSharedBytes = 227 << 10;

/// Whether a kernel on tensors has a body of one block and results, and all of its tensors lie as
/// stored.
inline bool isPlainKernel(mlir::func::FuncOp f) {
  if (f.isExternal() || !f.getBody().hasOneBlock() || f.getNumResults() == 0)
    return false;
  for (unsigned i = 0; i < f.getNumArguments(); ++i)
    if (f.getArgAttr(i, kLayoutAttr))
      return false;
  for (unsigned i = 0; i < f.getNumResults(); ++i)
    if (f.getResultAttr(i, kLayoutAttr))
      return false;
  return true;
}

/// How a grid's blocks are made up, as #exec.launch has it. No kernel has clusters of several.
struct Grid {
  llvm::StringRef tier;
  int64_t threads;
  int64_t scratchBytes = 0, sharedBytes = 0;
  mlir::ArrayAttr tensorMaps = {};
  bool persistent = false, loadsByThreads = false;
};

/// Launches a finished kernel on memory as a grid; its tasks stay what they are.
inline void launchAsGrid(mlir::func::FuncOp kernel, const Grid &grid) {
  auto launch = kernel->getAttrOfType<exec::LaunchAttr>(kLaunchAttr);
  kernel->setAttr(kLaunchAttr,
                  exec::LaunchAttr::get(kernel.getContext(), launch.getTasks(), launch.getAccess(),
                                        grid.scratchBytes, grid.tier, grid.threads, /*cluster=*/1,
                                        grid.sharedBytes, grid.tensorMaps, grid.persistent,
                                        grid.loadsByThreads));
}

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_GRIDKERNEL_H
