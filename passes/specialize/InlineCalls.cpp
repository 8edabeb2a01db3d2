//===- InlineCalls.cpp - what functions call becomes part of them --------===//

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "passes/Passes.h"

namespace hadal {
#define GEN_PASS_DEF_HADALINLINECALLS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {
struct InlineCalls : public hadal::impl::HadalInlineCallsBase<InlineCalls> {
  /// The first call in the module; null where there is none.
  func::CallOp firstCall() {
    func::CallOp first;
    getOperation().walk([&](func::CallOp call) {
      first = call;
      return WalkResult::interrupt();
    });
    return first;
  }

  void runOnOperation() override {
    if (!firstCall())
      return;
    // Without a simplification between, which would change functions that call nothing.
    OpPassManager inliner(ModuleOp::getOperationName());
    inliner.addPass(createInlinerPass({}, [](OpPassManager &) {}));
    if (failed(runPipeline(inliner, getOperation())))
      return signalPassFailure();
    if (func::CallOp left = firstCall()) {
      left.emitOpError() << "wants @" << left.getCallee()
                         << " to be a function with a body of one block, and not to call itself";
      signalPassFailure();
    }
  }
};
} // namespace
