//===- HopperToNvvm.cpp - hopper ops become instructions ------------------===//

#include "dialects/hopper/Hopper.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "passes/Passes.h"
#include "passes/targets/hopper/HopperLowering.h"
#include "llvm/ADT/TypeSwitch.h"

namespace hadal {
#define GEN_PASS_DEF_HOPPERTONVVM
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;
using namespace hadal::hopper;

static constexpr unsigned kShared = 3, kCluster = 7; // address spaces
static constexpr StringLiteral kSharedMemory = "hadal_shared";

namespace {

class ToNvvm : public Lowering {
public:
  using Lowering::Lowering;

private:
  Type pointer(unsigned space = kShared) {
    return LLVM::LLVMPointerType::get(b.getContext(), space);
  }
  Value base() { return LLVM::AddressOfOp::create(b, pointer(), kSharedMemory); }
  Value address(Value offset) {
    return LLVM::GEPOp::create(b, pointer(), b.getI8Type(), base(), ArrayRef<LLVM::GEPArg>{offset});
  }
  Value ofCluster(Value shared) {
    return LLVM::AddrSpaceCastOp::create(b, pointer(kCluster), shared);
  }
  Value threadId() override { return NVVM::ThreadIdXOp::create(b, b.getI32Type()); }
  void setRegisters(RoleOp role) override {
    if (std::optional<uint32_t> registers = role.getRegisters())
      NVVM::SetMaxRegisterOp::create(b, *registers,
                                     role.getFewer() ? NVVM::SetMaxRegisterAction::decrease
                                                     : NVVM::SetMaxRegisterAction::increase);
  }
  Value shuffle(NVVM::ShflKind kind, Value value, Value lane) {
    return NVVM::ShflOp::create(b, value.getType(), i32(-1), value, lane, i32(31), kind,
                                /*return_value_and_is_valid=*/UnitAttr());
  }
  void lower(Operation *op) override;
  Value lowerIndex(Operation *op);
  void initPipeline(InitPipelineOp op);
  void arrive(ArriveOp op);
  void copyTile(Operation *op);
  Value mma(MmaOp op);
  Value tied(const std::string &instruction, Value sums);
  Value await(AwaitOp op);
};

} // namespace

Value ToNvvm::lowerIndex(Operation *op) {
  Type type = b.getI32Type();
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case<ThreadIdOp>([&](auto) { return threadId(); })
      .Case<BlockIdOp>([&](auto) { return NVVM::BlockIdXOp::create(b, type); })
      .Case<BlockCountOp>([&](auto) { return NVVM::GridDimXOp::create(b, type); })
      .Case<BlockRankOp>([&](auto) { return NVVM::ClusterId::create(b, type); })
      // ptxas takes what a shuffle hands to all lanes for one value.
      .Case<WarpIdOp>(
          [&](auto) { return shuffle(NVVM::ShflKind::idx, shiftRight(threadId(), 5), i32(0)); })
      .Case<ElectOp>([&](auto) { return NVVM::ElectSyncOp::create(b, b.getI1Type(), Value()); })
      .Case([&](ShuffleOp s) {
        return shuffle(s.getKind() == "xor" ? NVVM::ShflKind::bfly : NVVM::ShflKind::idx,
                       s.getValue(), s.getLane());
      })
      .Case([&](LoadSharedOp load) {
        return LLVM::LoadOp::create(b, load.getType(), address(load.getOffset()),
                                    sharedBytes(load.getType()));
      })
      .Case([&](MmaOp product) { return mma(product); })
      .Case([&](AwaitOp wait) { return await(wait); })
      .Default(Value());
}

void ToNvvm::initPipeline(InitPipelineOp op) {
  PipelineOp p = pipelineOf(op.getPipeline());
  for (StringRef side : {"full", "empty"})
    for (uint32_t stage = 0; stage < p.getStages(); ++stage)
      NVVM::MBarrierInitOp::create(b, address(barrier(p, side, i32(stage))),
                                   i32(side == "full" ? p.getFull() : p.getEmpty()), Value());
  NVVM::FenceMbarrierInitOp::create(b);
}

void ToNvvm::arrive(ArriveOp op) {
  Value at = address(barrier(op.getPipeline(), op.getSide(), op.getStage()));
  if (!op.getAt()) {
    NVVM::MBarrierArriveOp::create(b, b.getI64Type(), at, Value());
    return;
  }
  Value remote = NVVM::MapaOp::create(b, pointer(kCluster), at, op.getAt());
  NVVM::MBarrierArriveOp::create(b, Type(), remote, Value(), NVVM::MemScopeKind::CLUSTER);
}

void ToNvvm::copyTile(Operation *op) {
  if (auto store = dyn_cast<StoreTileOp>(op)) {
    NVVM::CpAsyncBulkTensorSharedCTAToGlobalOp::create(b, store.getMap(),
                                                       address(store.getOffset()), store.getAt(),
                                                       Value(), NVVM::TMAStoreMode::TILE, Value());
    return;
  }
  auto load = cast<LoadTileOp>(op);
  Value at = address(barrier(load.getPipeline(), "full", load.getStage()));
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      b, ofCluster(address(load.getOffset())), load.getMap(), load.getAt(), at, ValueRange{},
      load.getMulticast(), Value(), NVVM::TMALoadMode::TILE, /*isCTAOnly=*/false,
      NVVM::CTAGroupKindAttr(), Value());
}

/// Fence, the instructions for 32 bytes of K each, commit. The struct stands for the sums'
/// registers until the wait.
Value ToNvvm::mma(MmaOp op) {
  int64_t numbers = op.getN() / 2;
  bool isBf16 = op.getElement().isBF16();
  auto type =
      LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(numbers, b.getF32Type()));
  Value before = op.getSums(); // a vector, or the struct of a product that is pending
  bool isPending = before && before.getType() == type;
  Value sums = isPending ? before : LLVM::UndefOp::create(b, type).getResult();
  if (before && !isPending)
    for (int64_t i = 0; i < numbers; ++i)
      sums = LLVM::InsertValueOp::create(b, sums, LLVM::ExtractElementOp::create(b, before, i32(i)),
                                         i);
  Value start = LLVM::PtrToIntOp::create(b, b.getI32Type(), base());
  Value a = descriptor(add(start, op.getA())), bb = descriptor(add(start, op.getB()));
  auto shape = NVVM::MMAShapeAttr::get(b.getContext(), 64, int(op.getN()), isBf16 ? 16 : 32);
  auto element = isBf16 ? NVVM::WGMMATypes::bf16 : NVVM::WGMMATypes::e4m3;
  int64_t bytes = int64_t(op.getK()) * (isBf16 ? 2 : 1);
  // Nothing is moved into the sums' registers between the fence and the first instruction.
  if (before && !isPending)
    sums = tied("wgmma.fence.sync.aligned;", sums);
  else if (!before)
    NVVM::WgmmaFenceAlignedOp::create(b);
  for (int64_t at = 0; at < bytes; at += 32)
    sums = NVVM::WgmmaMmaAsyncOp::create(
        b, type, sums, further(a, at), further(bb, at), shape, element, element,
        NVVM::WGMMATypes::f32, at || before ? NVVM::WGMMAScaleOut::one : NVVM::WGMMAScaleOut::zero,
        NVVM::WGMMAScaleIn::one, NVVM::WGMMAScaleIn::one, NVVM::MMALayout::row,
        NVVM::MMALayout::col, NVVM::MMAIntOverflowAttr());
  NVVM::WgmmaGroupSyncAlignedOp::create(b);
  return sums;
}

/// An instruction that takes each register of the struct and gives it back: what reads or writes
/// these stays on its side of it.
Value ToNvvm::tied(const std::string &instruction, Value sums) {
  int64_t numbers = cast<LLVM::LLVMStructType>(sums.getType()).getBody().size();
  std::string constraints;
  for (int64_t i = 0; i < numbers; ++i)
    constraints += "=f,";
  SmallVector<Value> registers;
  for (int64_t i = 0; i < numbers; ++i) {
    constraints += std::to_string(i) + (i + 1 < numbers ? "," : "");
    registers.push_back(LLVM::ExtractValueOp::create(b, sums, i));
  }
  return LLVM::InlineAsmOp::create(b, TypeRange{sums.getType()}, registers, instruction,
                                   constraints, /*has_side_effects=*/true,
                                   /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                                   LLVM::AsmDialectAttr(), ArrayAttr())
      .getResult(0);
}

Value ToNvvm::await(AwaitOp op) {
  Value sums = op->getOperand(0); // the struct by now
  if (!op->hasAttr(kDroppedAttr))
    sums = tied("wgmma.wait_group.sync.aligned " + std::to_string(goingOn(op)) + ";", sums);
  Value result = LLVM::UndefOp::create(b, op.getType());
  for (int64_t i = 0, n = cast<VectorType>(op.getType()).getNumElements(); i < n; ++i)
    result =
        LLVM::InsertElementOp::create(b, result, LLVM::ExtractValueOp::create(b, sums, i), i32(i));
  return result;
}

void ToNvvm::lower(Operation *op) {
  if (Value value = lowerIndex(op)) {
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
    return;
  }
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](BarrierOp o) {
        NVVM::BarrierOp::create(b, Type(), i32(o.getId()),
                                o.getThreads() ? i32(*o.getThreads()) : Value(),
                                NVVM::BarrierReductionAttr(), Value());
      })
      .Case<ClusterBarrierOp>([&](auto) {
        NVVM::ClusterArriveOp::create(b, b.getUnitAttr());
        NVVM::ClusterWaitOp::create(b, b.getUnitAttr());
      })
      .Case([&](InitPipelineOp o) { initPipeline(o); })
      .Case([&](WaitOp o) {
        constexpr int64_t ticks = 10000000; // of one try; it tries again
        NVVM::MBarrierTryWaitParityOp::create(
            b, address(barrier(o.getPipeline(), o.getSide(), o.getStage())), o.getPhase(),
            i32(ticks));
      })
      .Case([&](ArriveOp o) { arrive(o); })
      .Case([&](ExpectOp o) {
        NVVM::MBarrierArriveExpectTxOp::create(
            b, Type(), address(barrier(o.getPipeline(), "full", o.getStage())), i32(o.getBytes()),
            NVVM::MemScopeKind::CTA, /*relaxed=*/false, Value());
      })
      .Case<LoadTileOp, StoreTileOp>([&](Operation *o) { copyTile(o); })
      .Case<CommitStoresOp>([&](auto) { NVVM::CpAsyncBulkCommitGroupOp::create(b); })
      .Case([&](WaitStoresOp o) {
        NVVM::CpAsyncBulkWaitGroupOp::create(b, o.getPending(), o.getReadAttr());
      })
      .Case([&](StoreSharedOp o) {
        LLVM::StoreOp::create(b, o.getValue(), address(o.getOffset()),
                              sharedBytes(o.getValue().getType()));
      })
      .Case<FenceAsyncOp>([&](auto) {
        NVVM::FenceProxyOp::create(
            b, NVVM::ProxyKind::async_shared,
            NVVM::SharedSpaceAttr::get(b.getContext(), NVVM::SharedSpace::shared_cta));
      });
  op->erase();
}

namespace {
struct HopperToNvvm : public hadal::impl::HopperToNvvmBase<HopperToNvvm> {
  void runOnOperation() override {
    bool any = false;
    for (auto f : getOperation().getOps<func::FuncOp>())
      any |= ToNvvm(f).run();
    if (!any || getOperation().lookupSymbol(kSharedMemory))
      return;
    // Its size is the launch's to say.
    OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
    LLVM::GlobalOp::create(b, getOperation().getLoc(), LLVM::LLVMArrayType::get(b.getI8Type(), 0),
                           /*isConstant=*/false, LLVM::Linkage::External, kSharedMemory,
                           Attribute(), /*alignment=*/1024, kShared);
  }
};
} // namespace
