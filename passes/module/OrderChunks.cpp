//===- OrderChunks.cpp - in which order pipeline ranks do their chunks ----===//

#include "dialects/exec/Exec.h"
#include "dialects/job/Job.h"
#include "mlir/IR/Builders.h"
#include "passes/Passes.h"
#include "runtime/module/StagePlaces.h"
#include "runtime/schedule/Schedule.h"
#include "llvm/ADT/StringExtras.h"

namespace hadal {
#define GEN_PASS_DEF_EXECORDERCHUNKS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

// A dialect includes nothing of the runtime.
static_assert(int(exec::ChunkKind::Forward) == int(ChunkKind::Forward) &&
              int(exec::ChunkKind::Backward) == int(ChunkKind::Backward) &&
              int(exec::ChunkKind::InputGrad) == int(ChunkKind::InputGrad) &&
              int(exec::ChunkKind::WeightGrad) == int(ChunkKind::WeightGrad));

namespace {

struct OrderChunks : public hadal::impl::ExecOrderChunksBase<OrderChunks> {
  using ExecOrderChunksBase::ExecOrderChunksBase;

  /// Orders that stand there fit the job: one for each pipeline rank, of chunks that it has.
  LogicalResult check(ArrayRef<exec::OrderOp> orders, job::RanksAttr ranks, int64_t microBatches) {
    StagePlaces places = StagePlaces::of(ranks.getSchedule(), ranks.getPp());
    int64_t count = microBatches / places.ownerDirections();
    for (exec::OrderOp order : orders) {
      if (int64_t(order.getRank()) >= ranks.getPp())
        return order.emitOpError()
               << "wants one of " << ranks.getPp() << " pipeline ranks, got " << order.getRank();
      for (auto chunk : order.getChunks().getAsRange<exec::ChunkAttr>())
        if (chunk.getDirection() >= places.directions() || chunk.getMicroBatch() >= count)
          return order.emitOpError()
                 << "has " << chunk << ", where the job has " << places.directions()
                 << " directions of " << count << " micro-batches";
    }
    if (int64_t(orders.size()) != ranks.getPp())
      return getOperation().emitError()
             << "exec-order-chunks wants an order of each of " << ranks.getPp()
             << " pipeline ranks, or of none, got " << orders.size();
    return success();
  }

  /// The job's ranks, with the schedule that the option names.
  FailureOr<job::RanksAttr> chooseSchedule(job::RanksAttr ranks) {
    for (StringRef name : {ranks.getSchedule(), StringRef(schedule)})
      if (!name.empty() && !isSchedule(name))
        return getOperation().emitError()
               << "exec-order-chunks wants a schedule of "
               << llvm::join(ArrayRef(scheduleNames), ", ") << ", got " << name;
    if (schedule.empty() || ranks.getSchedule() == schedule)
      return ranks;
    StagePlaces cut = StagePlaces::of(ranks.getSchedule(), ranks.getPp()),
                wanted = StagePlaces::of(schedule, ranks.getPp());
    if (cut.isDual != wanted.isDual || cut.isV != wanted.isV)
      return getOperation().emitError()
             << "exec-order-chunks wants a schedule with the stages and directions of "
             << ranks.getSchedule() << ", for which the model was cut, got " << schedule;
    job::RankOptions options = ranks.getOptions();
    options.schedule = schedule;
    auto chosen = job::RanksAttr::get(&getContext(), options, ranks.getStages());
    getOperation()->setAttr(job::kRanksAttr, chosen);
    return chosen;
  }

  LogicalResult make(job::RanksAttr ranks, int64_t microBatches) {
    ModuleOp module = getOperation();
    auto made = schedule::makeSchedule(ranks.getSchedule(), ranks.getPp(), microBatches);
    if (!made.ok())
      return module.emitError() << made.error().message;
    OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
    for (auto [rank, order] : llvm::enumerate(made.value().orders)) {
      SmallVector<Attribute> chunks;
      for (const schedule::Chunk &chunk : order)
        chunks.push_back(exec::ChunkAttr::get(&getContext(), exec::ChunkKind(chunk.kind),
                                              chunk.direction, chunk.microBatch, chunk.paired));
      exec::OrderOp::create(b, module.getLoc(), rank, b.getArrayAttr(chunks));
    }
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto orders = llvm::to_vector(module.getOps<exec::OrderOp>());
    job::RanksAttr ranks = job::ranksOf(module);
    job::TrainingAttr training = job::trainingOf(module);
    if (!ranks || !training) {
      if (!orders.empty()) {
        orders.front().emitOpError()
            << "wants a module with " << job::kRanksAttr << " and " << job::kTrainingAttr;
        signalPassFailure();
      }
      return;
    }
    FailureOr<job::RanksAttr> chosen = chooseSchedule(ranks);
    if (failed(chosen))
      return signalPassFailure();
    int64_t microBatches = training.getMicroBatches() / (ranks.getEp() * ranks.getDp());
    if (failed(orders.empty() ? make(*chosen, microBatches) : check(orders, *chosen, microBatches)))
      signalPassFailure();
  }
};

} // namespace
