//===- Saved.cpp - what the backward half keeps, and its bytes -----------===//

#include "passes/autodiff/Saved.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/analysis/GraphQueries.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

Halves::Halves(func::FuncOp f) {
  SmallVector<Operation *> work;
  auto reach = [&](Value v) {
    Operation *op = v.getDefiningOp();
    if (op && forward.insert(op).second)
      work.push_back(op);
  };
  for (Operation &op : f.getBody().front()) {
    auto store = dyn_cast<ml_program::GlobalStoreOp>(op);
    if (!store)
      continue;
    auto global = SymbolTable::lookupNearestSymbolFrom<ml_program::GlobalOp>(f, store.getGlobal());
    if (global && global->hasAttr(job::kLayoutOfAttr))
      continue; // a gradient
    forward.insert(store);
    reach(store.getValue());
  }
  for (OpOperand &operand : f.getBody().front().getTerminator()->getOpOperands())
    if (unsigned i = operand.getOperandNumber(); !f.getResultAttr(i, job::kGradientOfAttr) &&
                                                 !f.getResultAttr(i, job::kGradientOfArgumentAttr))
      reach(operand.get());
  auto reachAll = [&] {
    while (!work.empty())
      work.pop_back_val()->walk([&](Operation *inner) {
        for (Value operand : inner->getOperands())
          if (Operation *maker = operand.getDefiningOp();
              maker && maker->getBlock() == &f.getBody().front())
            reach(operand);
      });
  };
  reachAll();
  for (auto quantize : f.getOps<fp8::QuantizeOp>()) {
    Operation *maker = rootOf(quantize.getX()).getDefiningOp();
    if (quantize.getBlock()[0] != 1 || quantize->hasAttr(job::kRecomputedAttr) || !maker ||
        !forward.contains(maker) || !forward.insert(quantize).second)
      continue;
    kept.insert(quantize);
    work.push_back(quantize);
    reachAll();
  }
}

llvm::SetVector<Value> hadal::savedValues(func::FuncOp f, const Halves &halves) {
  llvm::SetVector<Value> saved;
  for (Operation &op : f.getBody().front()) {
    if (halves.isBackward(&op) || isFree(&op))
      continue;
    for (Value result : op.getResults()) {
      if (!isa<RankedTensorType>(result.getType()))
        continue; // a count: the program's registers hold it
      SmallVector<Value> work{result};
      bool read = false;
      while (!work.empty() && !read)
        for (Operation *user : work.pop_back_val().getUsers()) {
          while (user->getBlock() != op.getBlock())
            user = user->getParentOp();
          if (isView(user))
            work.append(user->result_begin(), user->result_end());
          else
            read |= halves.isBackward(user) && !isa<tensor::DimOp, tensor::EmptyOp>(user);
        }
      if (read)
        saved.insert(rootOf(result));
    }
  }
  return saved;
}

MicroBatchSizes::MicroBatchSizes(func::FuncOp f, ArrayRef<int64_t> registers) {
  MLIRContext *context = f.getContext();
  for (int64_t r : registers)
    values.push_back(getAffineConstantExpr(r, context));
  unsigned next = 0;
  for (auto [i, argument] : llvm::enumerate(f.getArguments())) {
    auto type = cast<RankedTensorType>(argument.getType());
    auto given = f.getArgAttrOfType<AffineMapAttr>(i, kShapeAttr);
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (type.isDynamicDim(d))
        sizes.set(argument, d,
                  given ? given.getValue().getResult(d) : getAffineSymbolExpr(next++, context));
  }
}

int64_t MicroBatchSizes::bytesOf(Value v) {
  auto type = cast<RankedTensorType>(v.getType());
  int64_t bytes = (type.getElementTypeBitWidth() + 7) / 8;
  for (int64_t d = 0; d < type.getRank(); ++d) {
    auto size = sizes.dim(v, d);
    if (failed(size))
      return 0;
    auto known =
        dyn_cast<AffineConstantExpr>(simplifyAffineExpr((*size).replaceSymbols(values), 0, 0));
    bytes *= known ? known.getValue() : 0;
  }
  return bytes;
}

std::string hadal::memoryTable(func::FuncOp f, ArrayRef<int64_t> registers) {
  Halves halves(f);
  MicroBatchSizes sizes(f, registers);
  struct Row {
    int64_t saved = 0, recomputed = 0;
  };
  llvm::MapVector<StringRef, Row> rows;
  for (Value v : savedValues(f, halves))
    rows[job::partOf(v.getDefiningOp())].saved += sizes.bytesOf(v);
  for (Operation &op : f.getBody().front())
    if (op.hasAttr(job::kRecomputedAttr) && !isFree(&op))
      for (Value v : op.getResults())
        rows[job::partOf(&op)].recomputed += sizes.bytesOf(v);
  std::string text;
  llvm::raw_string_ostream out(text);
  out << llvm::formatv("{0,-56}{1,16}{2,16}\n", "part of the model", "saved KiB", "recomputed KiB");
  Row total;
  for (auto &[part, row] : rows) {
    out << llvm::formatv("{0,-56}{1,16}{2,16}\n", part.empty() ? StringRef("(unnamed)") : part,
                         llvm::divideCeil(row.saved, 1024), llvm::divideCeil(row.recomputed, 1024));
    total.saved += row.saved, total.recomputed += row.recomputed;
  }
  out << llvm::formatv("{0,-56}{1,16}{2,16}\n", "all", llvm::divideCeil(total.saved, 1024),
                       llvm::divideCeil(total.recomputed, 1024));
  return text;
}
