//===- ProductTasks.cpp - how products fall into tasks -------------------===//

#include "passes/targets/cpu/ProductTasks.h"

using namespace mlir;
using namespace hadal;

static SmallVector<Value> place(Value memory, int row, int column, int batch, Value atRow,
                                Value atColumn, Value atBatch) {
  SmallVector<Value> at(cast<MemRefType>(memory.getType()).getRank());
  at[row] = atRow, at[column] = atColumn;
  if (batch >= 0)
    at[batch] = atBatch;
  return at;
}

SmallVector<Value> hadal::leftPlace(const Product &p, Value memory, Value row, Value k,
                                    Value batch) {
  return place(memory, p.leftRow, p.leftK, p.leftBatch, row, k, batch);
}

SmallVector<Value> hadal::rightPlace(const Product &p, Value memory, Value n, Value k,
                                     Value batch) {
  return place(memory, p.rightN, p.rightK, p.rightBatch, n, k, batch);
}

SmallVector<Value> hadal::outPlace(const Product &p, Value memory, Value row, Value n,
                                   Value batch) {
  return place(memory, p.outRow, p.outN, p.outBatch, row, n, batch);
}

int64_t hadal::rowsOfTasks(const Product &p, int64_t parts, int64_t multiple) {
  return llvm::alignTo(p.grouped() || parts >= 16 ? 1024
                       : parts >= 4               ? 512
                       : parts > 1                ? 256
                                                  : 128,
                       multiple);
}

Value hadal::rowsOfBlock(KernelBuilder &b, Value rows, int64_t most, int64_t multiple) {
  Value blocks = b.max(b.ceilDiv(rows, most), b.index(1));
  Value even = b.div(b.sub(b.add(rows, blocks), b.index(1)), blocks);
  return b.mul(b.ceilDiv(even, multiple), multiple);
}

SmallVector<AffineExpr>
hadal::forProductTasks(Kernel &kernel, const Product &p, const ProductCut &cut,
                       function_ref<void(Value, Value, Value, Value, Value)> block) {
  KernelBuilder &b = kernel.b;
  int64_t parts = cut.parts();
  auto panelRange = [&](Value part) {
    Value p0 = b.mul(part, cut.panelsOfTask);
    return std::pair(p0, b.min(b.add(p0, cut.panelsOfTask), b.index(cut.panels)));
  };
  AffineExpr m = kernel.resultDim(0, p.outRow);
  if (p.grouped()) {
    // Experts with rows, in order. Each segment has groups of its own for all experts.
    Value offsets = kernel.memory(p.offsets), active = kernel.memory(p.active);
    int64_t groups = cast<MemRefType>(active.getType()).getDimSize(0);
    b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
      Value expert = b.load(active, {b.div(task, parts)});
      b.when(b.compare(arith::CmpIPredicate::sge, expert, b.i32(0)), [&] {
        auto [p0, p1] = panelRange(b.rem(task, parts));
        Value e = b.toIndex(expert);
        Value from = b.toIndex(b.load(offsets, {e})),
              to = b.toIndex(b.load(offsets, {b.add(e, 1)}));
        if (groups != p.batch)
          e = b.rem(e, p.batch);
        block(from, to, e, p0, p1);
      });
    });
    return {b.getAffineConstantExpr(groups * parts), m * parts};
  }
  Value out = kernel.memory(kernel.tensors.getBody().front().getTerminator()->getOperand(0));
  Value rows = b.dim(out, p.outRow), each = rowsOfBlock(b, rows, cut.rowsOfTask, cut.multiple);
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    auto [p0, p1] = panelRange(b.rem(task, parts));
    Value rest = b.div(task, parts), batch;
    if (p.outBatch >= 0) {
      batch = b.rem(rest, p.batch);
      rest = b.div(rest, p.batch);
    }
    Value m0 = b.mul(rest, each);
    block(m0, b.min(b.add(m0, each), rows), batch, p0, p1);
  });
  return {m.ceilDiv(cut.rowsOfTask) * (parts * p.batch)};
}

static int64_t groupCount(Kernel &kernel, const WeightGradient &g) {
  return cast<MemRefType>(kernel.memory(g.offsets).getType()).getDimSize(0) - 1;
}

SmallVector<AffineExpr>
hadal::forWeightGradientTasks(Kernel &kernel, const WeightGradient &g, bool inPlace, int64_t strips,
                              int64_t ranges, function_ref<void(Value, Value, Value)> part) {
  KernelBuilder &b = kernel.b;
  int64_t each = strips * ranges;
  if (!g.grouped()) {
    b.loop(kernel.begin, kernel.end, 1,
           [&](Value task) { part({}, b.rem(task, strips), b.div(task, strips)); });
    return {b.getAffineConstantExpr(each)};
  }
  // `active` lists groups, which are experts where each has one.
  bool listed = inPlace && groupCount(kernel, g) == g.batch;
  Value active = kernel.memory(g.active);
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    Value e = b.div(task, each), at = b.rem(task, each);
    auto ofExpert = [&](Value e) { part(e, b.rem(at, strips), b.div(at, strips)); };
    if (!listed)
      return ofExpert(e);
    Value expert = b.load(active, {e});
    b.when(b.compare(arith::CmpIPredicate::sge, expert, b.i32(0)),
           [&] { ofExpert(b.toIndex(expert)); });
  });
  SmallVector<AffineExpr> tasks{b.getAffineConstantExpr(g.batch * each)};
  if (listed && isa<BlockArgument>(g.gradient)) // as many experts as rows at most
    tasks.push_back(kernel.sizeOf(kernel.memory(g.gradient), 0) * each);
  return tasks;
}

void hadal::forGroups(Kernel &kernel, const WeightGradient &g, Value expert, Value count,
                      function_ref<void(Value, Value, Value)> rows) {
  KernelBuilder &b = kernel.b;
  if (!g.grouped())
    return rows(b.index(0), b.index(0), count);
  Value offsets = kernel.memory(g.offsets);
  auto ofGroup = [&](Value group) {
    rows(group, b.toIndex(b.load(offsets, {group})), b.toIndex(b.load(offsets, {b.add(group, 1)})));
  };
  int64_t groups = groupCount(kernel, g);
  if (groups == g.batch)
    return ofGroup(expert);
  b.loop(expert, b.index(groups), g.batch, ofGroup);
}
