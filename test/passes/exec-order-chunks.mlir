// RUN: rm -rf %t && split-file %s %t
// One order per pipeline rank, of the micro-batches that the rank's pipeline has of the step: those
// of two expert-parallel ranks are four for each.
// RUN: hadal-opt %t/ranks.mlir --exec-order-chunks | FileCheck %s --check-prefix=RANKS
// RANKS: exec.order 0 [F0.0, F0.1, B0.0, F0.2, B0.1, F0.3, B0.2, B0.3]
// RANKS-NEXT: exec.order 1 [F0.0, B0.0, F0.1, B0.1, F0.2, B0.2, F0.3, B0.3]
// RANKS-NOT: exec.order

// Another schedule of the same stages; the job then says so.
// RUN: hadal-opt %t/ranks.mlir --exec-order-chunks=schedule=zb1p | FileCheck %s --check-prefix=ZB1P
// ZB1P: schedule = "zb1p"
// ZB1P: exec.order 0 [F0.0, F0.1, {{.*}}I0.{{.*}}W0.3]
// RUN: not hadal-opt %t/ranks.mlir --exec-order-chunks=schedule=dualpipev 2>&1 | FileCheck %s --check-prefix=CUT
// CUT: error: exec-order-chunks wants a schedule with the stages and directions of 1f1b, for which the model was cut, got dualpipev
// RUN: sed 's/micro_batches = 8/micro_batches = 6, sum_groups = 2/; s/"1f1b"/"dualpipe"/' %t/ranks.mlir | not hadal-opt --exec-order-chunks 2>&1 | FileCheck %s --check-prefix=SMALL
// SMALL: error: dualpipe wants

// Pairs of DualPipe.
// RUN: sed 's/"1f1b"/"dualpipe"/' %t/ranks.mlir | hadal-opt --exec-order-chunks | FileCheck %s --check-prefix=PAIRS
// PAIRS: exec.order 0 [F0.0, {{.*}} + B{{.*}}]

// Orders that stand there stay, whatever they are, as long as the job has such chunks.
// RUN: hadal-opt %t/mine.mlir --exec-order-chunks | FileCheck %s --check-prefix=MINE
// MINE: exec.order 1 [F0.3, F0.2]
// MINE-NEXT: exec.order 0 [B0.0]
// MINE-NOT: exec.order
// RUN: sed 's/F0.3/F0.4/' %t/mine.mlir | not hadal-opt --exec-order-chunks 2>&1 | FileCheck %s --check-prefix=CHUNK
// CHUNK: :2:1: error: 'exec.order' op has #exec.chunk<F0.4>, where the job has 1 directions of 4 micro-batches
// RUN: sed 's/order 1/order 2/' %t/mine.mlir | not hadal-opt --exec-order-chunks 2>&1 | FileCheck %s --check-prefix=RANK
// RANK: error: 'exec.order' op wants one of 2 pipeline ranks, got 2
// RUN: sed '/order 0/d' %t/mine.mlir | not hadal-opt --exec-order-chunks 2>&1 | FileCheck %s --check-prefix=MISSING
// MISSING: error: exec-order-chunks wants an order of each of 2 pipeline ranks, or of none, got 1
// RUN: sed 's/ep = 2/ep = 2, schedule = "1f1c"/' %t/mine.mlir | not hadal-opt --exec-order-chunks 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not hadal-opt %t/ranks.mlir --exec-order-chunks=schedule=1f1c 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: error: exec-order-chunks wants a schedule of 1f1b, zb1p, dualpipe, dualpipev, got 1f1c

// A job on one rank has none.
// RUN: hadal-opt %t/alone.mlir --exec-order-chunks | FileCheck %s --check-prefix=ALONE
// ALONE-NOT: exec.order
// RUN: echo 'exec.order 0 []' | not hadal-opt --exec-order-chunks 2>&1 | FileCheck %s --check-prefix=NORANKS
// NORANKS: error: 'exec.order' op wants a module with job.ranks and job.training

//--- ranks.mlir
module attributes {job.training = #job.training<micro_batch = 2, sequence = 8, micro_batches = 8>, job.ranks = #job.ranks<pp = 2, ep = 2, schedule = "1f1b", stages = [<first_layer = 0, layers = 1>, <first_layer = 1, layers = 1>]>} {
}
//--- mine.mlir
module attributes {job.training = #job.training<micro_batch = 2, sequence = 8, micro_batches = 8>, job.ranks = #job.ranks<pp = 2, ep = 2, stages = [<first_layer = 0, layers = 1>, <first_layer = 1, layers = 1>]>} {
exec.order 1 [F0.3, F0.2]
exec.order 0 [B0.0]
}
//--- alone.mlir
module attributes {job.training = #job.training<micro_batch = 2, sequence = 8>} {
}
