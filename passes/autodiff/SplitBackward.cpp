//===- SplitBackward.cpp - a gradient function in three -------------------===//
//
// A gradient function in three: what a pipeline's schedule places on its own.
//
//   @loss_gradient  =  @loss_forward  ->  @loss_input_grad  ->  @loss_weight_grad
//
// The backward graph is cut by what its results need, not by rules of its own: whatever an input's
// gradient is made of belongs to the input gradient, and only what is left waits (ZB1P:
// arXiv:2401.10241, section 2; DualPipe: arXiv:2412.19437, section 3.2.1). Exchanges with other
// ranks never wait.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/KernelAttributes.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "passes/Passes.h"
#include "passes/analysis/GraphQueries.h"
#include "runtime/module/ChunkKind.h"
#include "llvm/ADT/EnumeratedArray.h"
#include "llvm/ADT/SetVector.h"

namespace hadal {
#define GEN_PASS_DEF_HADALSPLITBACKWARD
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

using enum StageProgram;
template <typename T> using PerProgram = llvm::EnumeratedArray<T, StageProgram, WeightGrad>;

class Splitter {
public:
  Splitter(func::FuncOp f, StringRef base)
      : f(f), block(f.getBody().front()), base(base), b(f.getContext()) {}

  void run() {
    Operation *terminator = block.getTerminator();
    for (auto [i, value] : llvm::enumerate(terminator->getOperands()))
      results[f.getResultAttr(i, job::kGradientOfArgumentAttr) ? InputGrad
              : f.getResultAttr(i, job::kGradientOfAttr)       ? WeightGrad
                                                               : Forward]
          .push_back(i);
    // A later program needs what an earlier one has made: each op belongs to the first program
    // whose results are made of it.
    for (StageProgram program : stagePrograms) {
      for (unsigned i : results[program])
        assign(terminator->getOperand(i), program);
      // The gradient of an embedding's rows is the input gradient of a first stage.
      if (program == InputGrad)
        for (unsigned i : results[WeightGrad])
          for (auto sum = terminator->getOperand(i).getDefiningOp<moe::ScatterAddOp>(); sum;
               sum = sum.getInit().getDefiningOp<moe::ScatterAddOp>())
            assign(sum.getRows(), InputGrad);
      // Weight gradients wait for no other rank: what rows are exchanged for belongs to the input
      // gradient.
      if (program == InputGrad)
        for (Operation &op : block.without_terminator())
          if (isa<moe::ExchangeOp, moe::ExchangeCountsOp>(op))
            for (Value v : op.getResults())
              assign(v, InputGrad);
      if (program != WeightGrad)
        assignQuantizers(program);
    }
    cutCounts();
    for (Operation &op : block.without_terminator())
      if (programOf.contains(&op) && !isCloned(&op))
        for (Value v : readsOf(&op, block))
          cross(v, programOf[&op]);
    for (StageProgram program : stagePrograms)
      for (unsigned i : results[program])
        cross(terminator->getOperand(i), program);
    // In order of the ops that make them.
    for (Operation &op : block.without_terminator())
      for (Value v : op.getResults())
        if (crossing.contains(v))
          handed[programOf[&op]].push_back(v);
    b.setInsertionPoint(f);
    for (StageProgram program : stagePrograms)
      build(program);
  }

private:
  void assign(Value root, StageProgram program) {
    SmallVector<Value> work{root};
    while (!work.empty()) {
      Operation *op = work.pop_back_val().getDefiningOp();
      if (op && programOf.try_emplace(op, program).second)
        llvm::append_range(work, readsOf(op, block));
    }
  }

  /// What goes on to a later program are codes: a value is quantized where it is made. What is made
  /// of codes alone can wait.
  void assignQuantizers(StageProgram program) {
    for (auto quantize : block.getOps<fp8::QuantizeOp>()) {
      if (programOf.contains(quantize))
        continue;
      Operation *maker = rootOf(quantize.getX()).getDefiningOp();
      bool isHere = maker && !isCloned(maker) && programOf.contains(maker);
      if (program == Forward ? isHere : readsNumbers(quantize.getX()))
        for (Value v : quantize.getResults())
          assign(v, program);
    }
  }

  /// Whether `v` is made of floats that no quantizer has made and that are no parameters, through
  /// ops of no program yet.
  bool readsNumbers(Value v) {
    SmallVector<Value> work{v};
    llvm::DenseSet<Operation *> seen;
    while (!work.empty()) {
      Value read = work.pop_back_val();
      Operation *op = read.getDefiningOp();
      if (isCodes(read) || isa_and_nonnull<tensor::DimOp>(op))
        continue;
      if (!op || (!isCloned(op) && programOf.contains(op))) {
        if (isa<FloatType>(getElementTypeOrSelf(read.getType())))
          return true;
      } else if (seen.insert(op).second) {
        llvm::append_range(work, readsOf(op, block));
      }
    }
    return false;
  }

  /// Whether `v` is codes or their scales, on their way to experts, too.
  static bool isCodes(Value v) {
    while (Operation *op = v.getDefiningOp()) {
      if (isa<fp8::QuantizeOp>(op))
        return true;
      if (!isa<moe::DispatchOp, moe::ExchangeOp>(op))
        return false;
      v = op->getOperand(0);
    }
    return false;
  }

  /// What other programs read of an exchange's counts is in registers, of which each has a name of
  /// its own.
  void cutCounts() {
    for (auto counts : llvm::to_vector(block.getOps<moe::ExchangeCountsOp>()))
      counts.cutCounts([&](OpOperand &use) {
        Operation *reader = block.findAncestorOpInBlock(*use.getOwner());
        return isCloned(reader) || !programOf.contains(reader) ||
               programOf[reader] != programOf[counts];
      });
  }

  /// Notes what `program` reads of an earlier one, looking through what is cloned.
  void cross(Value v, StageProgram program) {
    Operation *op = v.getDefiningOp();
    if (!op)
      return;
    if (isCloned(op)) {
      for (Value read : readsOf(op, block))
        cross(read, program);
    } else if (programOf[op] != program) {
      crossing.insert(v);
    }
  }

  void build(StageProgram program) {
    OpBuilder::InsertionGuard guard(b);
    auto part = func::FuncOp::create(b, f.getLoc(), (base + "_" + identifierOf(program)).str(),
                                     b.getFunctionType({}, {}));
    part->setDiscardableAttrs(f->getDiscardableAttrDictionary());
    Block *body = part.addEntryBlock();
    b.setInsertionPointToEnd(body);
    IRMapping map;
    auto addArgument = [&](Value v, DictionaryAttr attributes) {
      unsigned place = part.getNumArguments();
      (void)part.insertArgument(place, v.getType(), attributes, v.getLoc());
      map.map(v, part.getArgument(place));
    };
    // All arguments first, then what earlier programs hand on; what turns out not to be read goes
    // again.
    for (BlockArgument argument : block.getArguments()) {
      NamedAttrList attributes(f.getArgAttrDict(argument.getArgNumber()));
      attributes.set(job::kArgumentAttr, b.getI64IntegerAttr(argument.getArgNumber()));
      addArgument(argument, attributes.getDictionary(b.getContext()));
    }
    for (StageProgram earlier : {Forward, InputGrad})
      for (auto [i, v] : llvm::enumerate(handed[earlier]))
        if (earlier < program)
          addArgument(v, named(earlier, i));

    SmallVector<Value> returned;
    SmallVector<DictionaryAttr> attributes;
    for (Operation &op : block.without_terminator())
      if (isCloned(&op) ? !isa<ml_program::GlobalStoreOp>(op) && isReady(op, map)
                        : programOf.contains(&op) && programOf[&op] == program)
        b.clone(op, map);
    for (unsigned i : results[program]) {
      returned.push_back(map.lookup(block.getTerminator()->getOperand(i)));
      attributes.push_back(DictionaryAttr::get(b.getContext(), f.getResultAttrs(i)));
    }
    for (auto [i, v] : llvm::enumerate(handed[program])) {
      returned.push_back(map.lookup(v));
      attributes.push_back(named(program, i));
    }
    func::ReturnOp::create(b, f.getLoc(), returned);
    part.setType(b.getFunctionType(part.getArgumentTypes(), ValueRange(returned).getTypes()));
    for (auto [i, attribute] : llvm::enumerate(attributes))
      part.setResultAttrs(i, attribute);

    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*body)))
      if (isOpTriviallyDead(&op))
        op.erase();
    llvm::BitVector unread(part.getNumArguments());
    for (BlockArgument argument : part.getArguments())
      unread[argument.getArgNumber()] = argument.use_empty();
    (void)part.eraseArguments(unread);
  }

  /// A copy is made where all that it reads is at hand; a view of what another program keeps
  /// to itself is not.
  bool isReady(Operation &op, IRMapping &map) {
    return llvm::all_of(readsOf(&op, block), [&](Value v) { return map.contains(v); });
  }

  DictionaryAttr named(StageProgram program, unsigned i) {
    std::string name = (program == Forward ? "saved." : "kept.") + std::to_string(i);
    return b.getDictionaryAttr({b.getNamedAttr(kNameAttr, b.getStringAttr(name))});
  }

  func::FuncOp f;
  Block &block;
  StringRef base;
  OpBuilder b;
  PerProgram<SmallVector<unsigned>> results; ///< of f
  llvm::DenseMap<Operation *, StageProgram> programOf;
  llvm::DenseSet<Value> crossing;
  PerProgram<SmallVector<Value>> handed; ///< what a program makes for later ones
};

struct SplitBackward : public hadal::impl::HadalSplitBackwardBase<SplitBackward> {
  void runOnOperation() override {
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      StringRef base = f.getSymName();
      if (f.isExternal() || !f.getBody().hasOneBlock() || !base.consume_back("_gradient"))
        continue;
      auto stores = f.getOps<ml_program::GlobalStoreOp>();
      if (!stores.empty()) {
        (*stores.begin()).emitOpError() << "wants to run after --hadal-split-backward";
        return signalPassFailure();
      }
      Splitter(f, base).run();
      f.erase();
    }
  }
};
} // namespace
