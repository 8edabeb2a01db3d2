//===- KernelBuffers.cpp - what a kernel reads and writes of its buffers -===//

#include "passes/module/KernelBuffers.h"
#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "runtime/module/Expr.h"

using namespace mlir;
using namespace hadal;

/// Whether anything is stored to a memref or its views.
static bool isStoredTo(Value memref) {
  SmallVector<Value> views{memref};
  for (size_t i = 0; i < views.size(); ++i)
    for (Operation *user : views[i].getUsers()) {
      if (isa<memref::PrefetchOp>(user)) // says that it writes, and changes nothing
        continue;
      if (isa<ViewLikeOpInterface>(user)) {
        for (Value view : user->getResults())
          if (isa<MemRefType>(view.getType()))
            views.push_back(view);
        continue;
      }
      // A prefetch keeps its place by claiming to write.
      auto effects = dyn_cast<MemoryEffectOpInterface>(user);
      if (!isa<memref::PrefetchOp>(user) && effects &&
          effects.getEffectOnValue<MemoryEffects::Write>(views[i]))
        return true;
    }
  return false;
}

FailureOr<std::vector<KernelBufferUse>> hadal::kernelBuffers(func::FuncOp kernel) {
  auto code = [](ExprOp op, int64_t operand = 0) {
    return std::pair<int64_t, int64_t>(int64_t(op), operand);
  };
  std::vector<KernelBufferUse> buffers;
  auto launch = kernel->getAttrOfType<exec::LaunchAttr>(kLaunchAttr);
  int64_t scalar = 0;
  if (kernel.isExternal())
    return kernel.emitError("kernel wants a body");
  for (auto [i, access] : llvm::enumerate(launch.getAccess().asArrayRef())) {
    KernelBufferUse use;
    use.access = fb::Access(access);
    auto type = dyn_cast<MemRefType>(kernel.getArgument(i).getType());
    if (!type)
      return kernel.emitError() << "buffer " << i << " wants to be a memref, got "
                                << kernel.getArgument(i).getType();
    if (use.access == fb::Access_Read && isStoredTo(kernel.getArgument(i)))
      return kernel.emitError() << "writes to buffer " << i << ", which it says that it reads";
    // Packed weights have no length of their own.
    bool isPacked = type.hasStaticShape() && type.getNumElements() >= int64_t(1) << 46;
    auto append = [&](std::pair<int64_t, int64_t> pair) {
      use.bytes.insert(use.bytes.end(), {pair.first, pair.second});
    };
    append(code(ExprOp::Constant, isPacked ? 0 : int64_t(type.getElementTypeBitWidth()) / 8));
    for (int64_t size : type.getShape()) {
      if (isPacked)
        break;
      append(ShapedType::isDynamic(size) ? code(ExprOp::Register, scalar++)
                                         : code(ExprOp::Constant, size));
      append(code(ExprOp::Multiply));
    }
    buffers.push_back(std::move(use));
  }
  if (scalar != launch.getTasks().getValue().getNumSymbols())
    return kernel.emitError() << "tasks want a symbol for each of " << scalar
                              << " dynamic sizes, got " << launch.getTasks();
  return buffers;
}
