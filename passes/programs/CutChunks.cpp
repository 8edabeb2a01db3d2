//===- CutChunks.cpp - chunks in sections, and what they add to ----------===//
//
//   @stage.0_forward(%x) -> %y              @stage.0.forward(%x) -> %y {            (hadal.chunk)
//     ops                                     %a = call @stage.0.forward.0(%x)
//     moe.exchange                   ->       %b = moe.exchange %a
//     ops                                     %y = call @stage.0.forward.1(%a, %b)
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "passes/Passes.h"
#include "passes/programs/Sections.h"
#include "runtime/module/ChunkKind.h"
#include "llvm/ADT/SetVector.h"

namespace hadal {
#define GEN_PASS_DEF_HADALCUTCHUNKS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

struct CutChunks : public hadal::impl::HadalCutChunksBase<CutChunks> {
  /// The sums that a stage's functions add to.
  SmallVector<job::AccumulatorAttr> accumulatorsOf(ArrayRef<func::FuncOp> functions,
                                                   SymbolTable &symbols) {
    SmallVector<job::AccumulatorAttr> found;
    DenseMap<StringAttr, int64_t> numbers;
    for (auto [i, p] : llvm::enumerate(job::trainablesOf(getOperation())))
      numbers[StringAttr::get(&getContext(), p.getName())] = i;
    DenseSet<Operation *> seen;
    for (func::FuncOp f : functions)
      for (auto store : f.getOps<ml_program::GlobalStoreOp>()) {
        auto global = symbols.lookup<ml_program::GlobalOp>(store.getGlobal().getLeafReference());
        if (!global)
          continue;
        auto state = global->getAttrOfType<StringAttr>(kStateAttr);
        auto of = global->getAttrOfType<FlatSymbolRefAttr>(job::kLayoutOfAttr);
        if (!state || state.empty() || !seen.insert(global).second)
          continue;
        auto use = global->getAttrOfType<IntegerAttr>(job::kUseAttr);
        auto owners = global->getAttrOfType<DenseI64ArrayAttr>(job::kSegmentOwnersAttr);
        found.push_back(job::AccumulatorAttr::get(
            &getContext(), state, of ? numbers.lookup(of.getAttr()) : -1, use ? use.getInt() : 0,
            owners ? owners.asArrayRef() : ArrayRef<int64_t>()));
      }
    return found;
  }

  /// Each public function with an exchange becomes a chunk of its own name, beside the programs
  /// that the job has already.
  LogicalResult cutInference(job::RanksAttr ranks) {
    SmallVector<job::ProgramAttr> programs = llvm::to_vector(ranks.getPrograms());
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (!f.isPublic() || f.isExternal() ||
          llvm::none_of(f.getBody().front(), [](Operation &op) { return isExchange(&op); }))
        continue;
      if (failed(checkCuttable(f)))
        return failure();
      llvm::SetVector<StringAttr> outputs;
      for (unsigned i = 0; i < f.getNumResults(); ++i)
        if (auto name = f.getResultAttrOfType<StringAttr>(i, kNameAttr))
          if (!outputs.insert(name))
            return f.emitError() << "has two results of the name " << name;
      std::string name = f.getSymName().str();
      auto error = [&] { return f.emitError(); };
      auto program =
          job::ProgramAttr::getChecked(function_ref<InFlightDiagnostic()>(error), &getContext(),
                                       StringRef(name), outputs.getArrayRef());
      if (!program)
        return failure();
      programs.push_back(program);
      llvm::StringMap<AffineMap> shapes;
      if (failed(cutFunction(f, name, name, shapes)))
        return failure();
    }
    getOperation()->setAttr(job::kRanksAttr, ranks.withPrograms(programs));
    return success();
  }

  /// The three functions of stage `number` become its chunks.
  FailureOr<job::StageAttr> cutStage(int64_t number, job::StageAttr stage, SymbolTable &symbols) {
    std::string prefix = "stage." + std::to_string(number);
    llvm::StringMap<AffineMap> shapes;
    SmallVector<func::FuncOp> functions;
    for (StageProgram program : stagePrograms) {
      std::string kind = identifierOf(program);
      auto f = symbols.lookup<func::FuncOp>(prefix + "_" + kind);
      if (!f)
        return getOperation().emitError() << "hadal-cut-chunks wants @" << prefix << "_" << kind
                                          << ": run --hadal-split-backward first";
      if (failed(checkCuttable(f)))
        return failure();
      functions.push_back(f);
    }
    SmallVector<job::AccumulatorAttr> accumulators = accumulatorsOf(functions, symbols);
    SmallVector<std::string> names;
    for (auto [f, program] : llvm::zip(functions, stagePrograms)) {
      names.push_back(prefix + "." + identifierOf(program));
      if (failed(cutFunction(f, names.back(), identifierOf(program), shapes)))
        return failure();
    }
    return job::StageAttr::get(&getContext(), stage.getFirstLayer(), stage.getLayers(), names[0],
                               names[1], names[2], accumulators);
  }

  LogicalResult cut(job::RanksAttr ranks) {
    ModuleOp module = getOperation();
    if (ranks.getStages().empty()) {
      if (ranks.getPp() * ranks.getDp() > 1)
        return module.emitError() << job::kRanksAttr << " wants stages";
      return cutInference(ranks);
    }
    SymbolTable symbols(module);
    SmallVector<job::StageAttr> stages;
    for (auto [number, stage] : llvm::enumerate(ranks.getStages())) {
      FailureOr<job::StageAttr> made = cutStage(number, stage, symbols);
      if (failed(made))
        return failure();
      stages.push_back(*made);
    }
    module->setAttr(job::kRanksAttr, ranks.withStages(stages));
    return success();
  }

  void runOnOperation() override {
    if (job::RanksAttr ranks = job::ranksOf(getOperation()); ranks && failed(cut(ranks)))
      signalPassFailure();
  }
};

} // namespace
