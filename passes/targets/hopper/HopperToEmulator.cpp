//===- HopperToEmulator.cpp - hopper ops become calls of the emulator -----===//
//
// The calls are those of runtime/emulated/EmulatorCalls.h. The last argument of each names the op
// in reports: the number of a string in the constant NAME.locations of kernel NAME.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/hopper/Hopper.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/Passes.h"
#include "passes/targets/hopper/HopperLowering.h"
#include "runtime/emulated/EmulatorCalls.h"
#include "llvm/ADT/TypeSwitch.h"

namespace hadal {
#define GEN_PASS_DEF_HOPPERTOEMULATOR
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;
using namespace hadal::hopper;

namespace {

class ToEmulator : public Lowering {
public:
  explicit ToEmulator(func::FuncOp kernel);
  /// Reports loads and stores of buffers that the kernel writes.
  void notice();
  void writeLocations();

private:
  Type pointer() { return LLVM::LLVMPointerType::get(b.getContext()); }
  /// The result of the call of hadal_emu_`name`, where `result` is not null.
  Value call(StringRef name, Type result, ValueRange operands);
  Value shared(Value offset);
  Value barrierAt(Value pipeline, StringRef side, Value stage) {
    return shared(barrier(pipeline, side, stage));
  }
  /// Memory of the thread's own.
  Value local(Type type);
  Value at() { return i32(place); }
  /// Calls that take a dimension; blocks and threads have one.
  Value where(StringRef name) { return call(name, b.getI32Type(), i32(0)); }
  Value threadId() override { return where("thread_index"); }
  void setRegisters(RoleOp) override {}
  void lower(Operation *op) override;
  Value lowerValue(Operation *op);
  void initPipeline(InitPipelineOp op);
  void copyTile(Operation *op);
  Value mma(MmaOp op);
  void note(Operation *op, Value memref, ValueRange indices, Type type, bool isWrite);

  DenseMap<Operation *, int32_t> places; // of each op, in NAME.locations
  int32_t place = -1;                    // of the op that is being lowered
  std::string locations;
};

} // namespace

/// What reports call an op: its name, its number among the kernel's hopper ops, its line.
static std::string nameOf(Operation *op, int64_t number) {
  std::string name = op->getName().getStringRef().str();
  if (auto side = op->getAttrOfType<StringAttr>("side"))
    name += " " + side.str();
  name += " #" + std::to_string(number);
  if (auto line = dyn_cast<FileLineColLoc>(op->getLoc()))
    name += " at " + line.getFilename().str() + ":" + std::to_string(line.getLine());
  return name;
}

ToEmulator::ToEmulator(func::FuncOp kernel) : Lowering(kernel) {
  kernel.walk<WalkOrder::PreOrder>([&](Operation *op) {
    bool isOurs = isa<HopperDialect>(op->getDialect());
    if (!isOurs && !isa<memref::LoadOp, memref::StoreOp, vector::LoadOp, vector::StoreOp>(op))
      return;
    places[op] = places.size();
    locations += nameOf(op, places[op]) + std::string(1, '\0');
  });
}

void ToEmulator::writeLocations() {
  if (locations.empty())
    return;
  OpBuilder before(kernel);
  std::string text = locations + std::string(1, '\0');
  auto type = LLVM::LLVMArrayType::get(before.getI8Type(), text.size());
  LLVM::GlobalOp::create(before, kernel.getLoc(), type, /*isConstant=*/true,
                         LLVM::Linkage::External, (kernel.getSymName() + ".locations").str(),
                         before.getStringAttr(text));
}

Value ToEmulator::call(StringRef name, Type result, ValueRange operands) {
  std::string symbol = ("hadal_emu_" + name).str();
  auto module = kernel->getParentOfType<ModuleOp>();
  auto callee = module.lookupSymbol<LLVM::LLVMFuncOp>(symbol);
  if (!callee) {
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    Type none = LLVM::LLVMVoidType::get(b.getContext());
    callee = LLVM::LLVMFuncOp::create(
        top, module.getLoc(), symbol,
        LLVM::LLVMFunctionType::get(result ? result : none,
                                    SmallVector<Type>(operands.getTypes())));
  }
  auto made = LLVM::CallOp::create(b, callee, operands);
  return result ? made.getResult() : Value();
}

Value ToEmulator::shared(Value offset) {
  return LLVM::GEPOp::create(b, pointer(), b.getI8Type(), call("shared", pointer(), {}),
                             ArrayRef<LLVM::GEPArg>{offset});
}

Value ToEmulator::local(Type type) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&kernel.getBody().front());
  return LLVM::AllocaOp::create(b, pointer(), type, i32(1), /*alignment=*/64);
}

Value ToEmulator::lowerValue(Operation *op) {
  Type word = b.getI32Type();
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case<ThreadIdOp>([&](auto) { return threadId(); })
      .Case<BlockIdOp>([&](auto) { return where("block_index"); })
      .Case<BlockCountOp>([&](auto) { return where("grid_size"); })
      .Case<BlockRankOp>([&](auto) { return call("cluster_rank", word, {}); })
      .Case<WarpIdOp>([&](auto) { return shiftRight(threadId(), 5); })
      .Case<ElectOp>([&](auto) {
        Value one = call("elect", word, {});
        return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, one, i32(0));
      })
      .Case([&](ShuffleOp s) {
        bool isFloat = s.getType().isF32();
        Value bits = isFloat ? arith::BitcastOp::create(b, word, s.getValue()) : s.getValue();
        Value mode = i32(s.getKind() == "xor" ? HADAL_EMU_XOR : HADAL_EMU_INDEX);
        Value got = call("shuffle", word, {mode, i32(-1), bits, s.getLane(), i32(32), at()});
        return isFloat ? arith::BitcastOp::create(b, s.getType(), got).getResult() : got;
      })
      .Case([&](LoadSharedOp load) {
        Value from = shared(load.getOffset());
        unsigned bytes = sharedBytes(load.getType());
        call("read", {}, {from, i32(bytes), at()});
        return LLVM::LoadOp::create(b, load.getType(), from, bytes);
      })
      .Case([&](MmaOp product) { return mma(product); })
      .Case([&](AwaitOp wait) {
        if (!wait->hasAttr(kDroppedAttr))
          call("wgmma_wait", {}, {i32(goingOn(wait)), at()});
        return LLVM::LoadOp::create(b, wait.getType(), wait->getOperand(0), 64);
      })
      .Default(Value());
}

void ToEmulator::initPipeline(InitPipelineOp op) {
  PipelineOp p = pipelineOf(op.getPipeline());
  for (StringRef side : {"full", "empty"})
    for (uint32_t stage = 0; stage < p.getStages(); ++stage)
      call(
          "mbarrier_init", {},
          {barrierAt(p, side, i32(stage)), i32(side == "full" ? p.getFull() : p.getEmpty()), at()});
  call("fence_mbarrier_init", {}, at());
}

void ToEmulator::copyTile(Operation *op) {
  auto load = dyn_cast<LoadTileOp>(op);
  ValueRange coordinates = load ? ValueRange(load.getAt()) : cast<StoreTileOp>(op).getAt();
  auto type = LLVM::LLVMArrayType::get(b.getI32Type(), 5);
  Value list = local(type);
  for (auto [i, coordinate] : llvm::enumerate(coordinates)) {
    Value to =
        LLVM::GEPOp::create(b, pointer(), b.getI32Type(), list, ArrayRef<LLVM::GEPArg>{int32_t(i)});
    LLVM::StoreOp::create(b, coordinate, to);
  }
  Value rank = i32(coordinates.size());
  if (!load) {
    auto store = cast<StoreTileOp>(op);
    call("tensor_store", {}, {store.getMap(), rank, list, shared(store.getOffset()), at()});
    return;
  }
  Value mask = load.getMulticast()
                   ? arith::ExtUIOp::create(b, b.getI32Type(), load.getMulticast()).getResult()
                   : i32(0);
  call("tensor_load", {},
       {shared(load.getOffset()), load.getMap(), rank, list,
        barrierAt(load.getPipeline(), "full", load.getStage()), mask, at()});
}

/// The pending value is the memory that the sums arrive in.
Value ToEmulator::mma(MmaOp op) {
  bool isBf16 = op.getElement().isBF16();
  int64_t bytes = int64_t(op.getK()) * (isBf16 ? 2 : 1);
  Value before = op.getSums(); // a vector, or the memory of a product that is pending
  bool isPending = before && isa<LLVM::LLVMPointerType>(before.getType());
  Value sums =
      isPending ? before : local(VectorType::get({int64_t(op.getN()) / 2}, b.getF32Type()));
  if (before && !isPending)
    LLVM::StoreOp::create(b, before, sums, 64);
  Value a = descriptor(op.getA()), bb = descriptor(op.getB());
  Value none = LLVM::ZeroOp::create(b, pointer());
  if (!isPending)
    call("wgmma_fence", {}, at());
  for (int64_t k = 0; k < bytes; k += 32)
    call("wgmma", {},
         {i32(isBf16 ? HADAL_EMU_BF16 : HADAL_EMU_E4M3), further(a, k), none, further(bb, k), sums,
          i32(op.getN()), i32(k || before), i32(0), at()});
  call("wgmma_commit", {}, at());
  return sums;
}

void ToEmulator::lower(Operation *op) {
  auto found = places.find(op);
  place = found == places.end() ? -1 : found->second;
  if (Value value = lowerValue(op)) {
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
    return;
  }
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](BarrierOp o) {
        call("barrier", {}, {i32(o.getId()), i32(o.getThreads().value_or(0)), at()});
      })
      .Case<ClusterBarrierOp>([&](auto) {
        call("cluster_arrive", {}, {i32(0), at()});
        call("cluster_wait", {}, at());
      })
      .Case([&](InitPipelineOp o) { initPipeline(o); })
      .Case([&](WaitOp o) {
        call("mbarrier_wait", {},
             {barrierAt(o.getPipeline(), o.getSide(), o.getStage()), o.getPhase(), at()});
      })
      .Case([&](ArriveOp o) {
        Value to = barrierAt(o.getPipeline(), o.getSide(), o.getStage());
        if (o.getAt())
          to = call("map_shared", pointer(), {to, o.getAt()});
        call("mbarrier_arrive", {}, {to, at()});
      })
      .Case([&](ExpectOp o) {
        call("mbarrier_arrive_expect", {},
             {barrierAt(o.getPipeline(), "full", o.getStage()), i32(o.getBytes()), at()});
      })
      .Case<LoadTileOp, StoreTileOp>([&](Operation *o) { copyTile(o); })
      .Case<CommitStoresOp>([&](auto) { call("bulk_commit", {}, at()); })
      .Case([&](WaitStoresOp o) {
        call("bulk_wait", {}, {i32(o.getPending()), i32(o.getRead()), at()});
      })
      .Case([&](StoreSharedOp o) {
        Value to = shared(o.getOffset());
        unsigned bytes = sharedBytes(o.getValue().getType());
        call("write", {}, {to, i32(bytes), at()});
        LLVM::StoreOp::create(b, o.getValue(), to, bytes);
      })
      .Case<FenceAsyncOp>([&](auto) { call("fence_proxy", {}, at()); });
  op->erase();
}

//===----------------------------------------------------------------------===//
// Notices of plain loads and stores
//===----------------------------------------------------------------------===//

/// The argument that a memref is a view of, or null.
static BlockArgument rootOf(Value memref) {
  while (Operation *op = memref.getDefiningOp()) {
    if (!isa<ViewLikeOpInterface>(op))
      return {};
    memref = op->getOperand(0);
  }
  return cast<BlockArgument>(memref);
}

void ToEmulator::note(Operation *op, Value memref, ValueRange indices, Type type, bool isWrite) {
  b.setLoc(op->getLoc());
  b.setInsertionPoint(op);
  place = places.lookup(op);
  auto parts = memref::ExtractStridedMetadataOp::create(b, memref);
  Value element = parts.getOffset();
  for (auto [index, stride] : llvm::zip(indices, parts.getStrides()))
    element = arith::AddIOp::create(b, element, arith::MulIOp::create(b, index, stride));
  int64_t width = getElementTypeOrSelf(memref.getType()).getIntOrFloatBitWidth() / 8;
  Value bytes = arith::MulIOp::create(b, element, arith::ConstantIndexOp::create(b, width));
  Value base = memref::ExtractAlignedPointerAsIndexOp::create(b, memref);
  Value address = arith::IndexCastOp::create(b, b.getI64Type(), add(base, bytes));
  call(isWrite ? "write" : "read", {},
       {LLVM::IntToPtrOp::create(b, pointer(), address), i32(sharedBytes(type)), at()});
}

void ToEmulator::notice() {
  auto launch = kernel->getAttrOfType<exec::LaunchAttr>(kLaunchAttr);
  SmallVector<Operation *> accesses;
  kernel.walk([&](Operation *op) {
    if (isa<memref::LoadOp, memref::StoreOp, vector::LoadOp, vector::StoreOp>(op))
      accesses.push_back(op);
  });
  auto isWritten = [&](Value memref) {
    BlockArgument argument = rootOf(memref);
    return !launch || !argument || argument.getOwner() != &kernel.getBody().front() ||
           argument.getArgNumber() >= launch.getAccess().size() ||
           launch.getAccess()[argument.getArgNumber()] != 0;
  };
  for (Operation *op : accesses)
    llvm::TypeSwitch<Operation *>(op)
        .Case([&](memref::LoadOp o) {
          if (isWritten(o.getMemRef()))
            note(o, o.getMemRef(), o.getIndices(), o.getType(), false);
        })
        .Case([&](memref::StoreOp o) {
          note(o, o.getMemRef(), o.getIndices(), o.getValue().getType(), true);
        })
        .Case([&](vector::LoadOp o) {
          if (isWritten(o.getBase()))
            note(o, o.getBase(), o.getIndices(), o.getType(), false);
        })
        .Case([&](vector::StoreOp o) {
          note(o, o.getBase(), o.getIndices(), o.getValueToStore().getType(), true);
        });
}

namespace {
struct HopperToEmulator : public hadal::impl::HopperToEmulatorBase<HopperToEmulator> {
  void runOnOperation() override {
    for (auto f : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
      if (f.isExternal())
        continue;
      ToEmulator lowering(f);
      if (!lowering.run())
        continue;
      lowering.notice();
      lowering.writeLocations();
    }
  }
};
} // namespace
