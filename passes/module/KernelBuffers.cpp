//===- KernelBuffers.cpp - what a kernel reads and writes of its buffers -===//

#include "passes/module/KernelBuffers.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "runtime/module/Expr.h"

using namespace mlir;
using namespace hadal;

namespace {
struct Effects {
  bool loads = false, stores = false;
};
} // namespace

/// What happens to a memref and its views.
static Effects effectsOn(Value memref) {
  Effects found;
  SmallVector<Value> views{memref};
  for (size_t i = 0; i < views.size(); ++i)
    for (Operation *user : views[i].getUsers()) {
      if (isa<memref::PrefetchOp>(user))
        continue;
      if (isa<ViewLikeOpInterface>(user)) {
        for (Value view : user->getResults())
          if (isa<MemRefType>(view.getType()))
            views.push_back(view);
        continue;
      }
      auto effects = dyn_cast<MemoryEffectOpInterface>(user);
      if (!effects)
        continue;
      SmallVector<MemoryEffects::EffectInstance> instances;
      effects.getEffectsOnValue(views[i], instances);
      for (const auto &effect : instances) {
        found.loads |= isa<MemoryEffects::Read>(effect.getEffect());
        found.stores |= isa<MemoryEffects::Write>(effect.getEffect());
      }
    }
  return found;
}

FailureOr<std::vector<KernelBufferUse>> hadal::kernelBuffers(func::FuncOp kernel) {
  auto code = [](ExprOp op, int64_t operand = 0) {
    return std::pair<int64_t, int64_t>(int64_t(op), operand);
  };
  std::vector<KernelBufferUse> buffers;
  auto declared = kernel->getAttrOfType<DenseI64ArrayAttr>(kAccessAttr);
  int64_t bindings = kernel->getAttrOfType<IntegerAttr>("exec.bindings").getInt(), scalar = 0;
  for (int64_t i = 0; i < bindings; ++i) {
    Effects effects = effectsOn(kernel.getArgument(i));
    KernelBufferUse use;
    use.access = !effects.stores ? fb::Access_Read
                 : effects.loads ? fb::Access_Update
                                 : fb::Access_Write;
    if (declared)
      use.access = fb::Access(declared[i]);
    if (use.access == fb::Access_Read && effects.stores)
      return kernel.emitError() << "writes to buffer " << i << ", which it says that it reads";
    auto type = cast<MemRefType>(kernel.getArgument(i).getType());
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
  return buffers;
}
