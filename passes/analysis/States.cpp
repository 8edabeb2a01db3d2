//===- States.cpp - what a training module keeps beside its parameters ----===//

#include "passes/analysis/States.h"
#include "dialects/exec/KernelAttributes.h"

using namespace mlir;

ml_program::GlobalOp hadal::stateGlobal(OpBuilder &b, Location loc, SymbolTable &symbols,
                                        StringRef symbol, Type type, StringRef state) {
  if (auto known = symbols.lookup<ml_program::GlobalOp>(symbol))
    return known;
  auto global = ml_program::GlobalOp::create(b, loc, symbol, type, /*is_mutable=*/true,
                                             ml_program::ExternAttr::get(b.getContext(), type),
                                             b.getStringAttr("private"));
  global->setAttr(kStateAttr, b.getStringAttr(state));
  symbols.insert(global);
  return global;
}
