//===- OuterChain.cpp - sums of outer products in registers ---------------===//

#include "passes/targets/cpu/OuterChain.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

Values hadal::outerChain(KernelBuilder &b, Value count, int64_t rows, int64_t vectors, Values acc,
                         function_ref<Value(int64_t, Value)> left,
                         function_ref<Value(Value, int64_t)> right) {
  return b.carry(b.index(0), count, 1, acc, [&](Value k, Values acc) {
    Values vector;
    for (int64_t v = 0; v < vectors; ++v)
      vector.push_back(right(k, v));
    for (int64_t i = 0; i < rows; ++i) {
      Value number = b.splat(left(i, k), b.shape.lanes);
      for (int64_t v = 0; v < vectors; ++v)
        acc[i * vectors + v] = b.fma(number, vector[v], acc[i * vectors + v]);
    }
    return acc;
  });
}
