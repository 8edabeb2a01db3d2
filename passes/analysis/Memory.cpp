//===- Memory.cpp - what a training job will take -------------------------===//

#include "passes/analysis/Memory.h"
#include "dialects/exec/Exec.h"
#include "dialects/job/Job.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace hadal;

/// hadal-run itself, its libraries, a tokenizer, and each worker's stack and scratch: 11 MB without
/// data and checkpoints, 18 with.
constexpr int64_t processBytes = 15 << 20;

SmallVector<int64_t> hadal::microBatchRegisters(job::TrainingAttr training) {
  int64_t rows = training.getMicroBatch(), length = training.getSequence();
  SmallVector<int64_t> registers{rows * length, rows, rows * length * (length + 1) / 2};
  for (int64_t d = 1; d <= training.getMtpDepth(); ++d)
    registers.push_back(rows * std::max<int64_t>(0, length - d));
  return registers;
}

/// The value of a map (the smallest of its results) at `registers`.
static int64_t valueOf(AffineMap map, ArrayRef<int64_t> registers) {
  Builder b(map.getContext());
  SmallVector<Attribute> values, results;
  for (unsigned i = 0; i < map.getNumSymbols(); ++i)
    values.push_back(b.getIndexAttr(i < registers.size() ? registers[i] : 0));
  if (failed(map.constantFold(values, results)))
    return 0;
  int64_t smallest = std::numeric_limits<int64_t>::max();
  for (Attribute a : results)
    smallest = std::min(smallest, cast<IntegerAttr>(a).getInt());
  return smallest;
}

int64_t hadal::predictPeakBytes(ModuleOp module, job::TrainingAttr training) {
  if (job::ranksOf(module))
    return 0; // ranks differ, and so do their micro-batches' rows: hadal-inspect --verify says what
              // values take at most
  int64_t states = 0, temporaries = 0;
  for (auto state : module.getOps<exec::StateOp>()) {
    int64_t bytes = (state.getElement().getIntOrFloatBitWidth() + 7) / 8;
    for (AffineExpr size : state.getShape().getResults())
      if (auto known = dyn_cast<AffineConstantExpr>(size)) // one that grows is of another program
        bytes *= known.getValue();
    states += bytes;
  }
  SmallVector<int64_t> micro = microBatchRegisters(training);
  for (auto program : module.getOps<exec::ProgramOp>()) {
    bool takesRows = program.getSymName() == "gradients" || program.getSymName() == "evaluate";
    SmallVector<int64_t> registers = takesRows ? micro : SmallVector<int64_t>();
    DenseMap<int64_t, int64_t> slots;
    for (auto temporary : program.getBody().front().getOps<exec::TemporaryOp>()) {
      int64_t &slot = slots[temporary.getSlot().value_or(0)];
      slot = std::max(slot, valueOf(temporary.getBytes(), registers));
    }
    int64_t sum = 0;
    for (auto [slot, bytes] : slots)
      sum += bytes;
    temporaries = std::max(temporaries, sum);
  }
  return states + temporaries + processBytes;
}
