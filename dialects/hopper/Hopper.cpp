//===- Hopper.cpp - the hopper dialect --------------------------------------===//

#include "dialects/hopper/Hopper.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::hopper;

#include "dialects/hopper/HopperDialect.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/hopper/HopperTypes.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/hopper/Hopper.cpp.inc"

void HopperDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/hopper/HopperTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/hopper/Hopper.cpp.inc"
      >();
}

StringRef hadal::hopper::synchronizationOf(Operation *op) {
  return llvm::TypeSwitch<Operation *, StringRef>(op)
      .Case<InitPipelineOp>([](Operation *) { return "mbarrier_init"; })
      .Case<WaitOp>([](Operation *) { return "mbarrier_wait"; })
      .Case<ArriveOp, ExpectOp>([](Operation *) { return "mbarrier_arrive"; })
      .Case<BarrierOp>([](Operation *) { return "barrier"; })
      .Case<ClusterBarrierOp>([](Operation *) { return "cluster_barrier"; })
      .Case<AwaitOp>([](Operation *) { return "wgmma_wait"; })
      .Case<WaitStoresOp>([](Operation *) { return "bulk_wait"; })
      .Case<FenceAsyncOp>([](Operation *) { return "proxy_fence"; })
      .Default(StringRef());
}

PipelineOp hadal::hopper::pipelineOf(Value pipeline) {
  return pipeline.getDefiningOp<PipelineOp>();
}
MmaOp hadal::hopper::productOf(Value pending) { return pending.getDefiningOp<MmaOp>(); }

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

LogicalResult ShuffleOp::verify() {
  if (getKind() != "xor" && getKind() != "idx")
    return emitOpError() << "wants kind xor or idx, got " << getKind(); // C1
  return success();
}

LogicalResult RoleOp::verify() {
  int32_t first = getFirst(), count = getCount();
  if (first < 0 || count < 1)
    return emitOpError() << "wants one warpgroup or more, from 0 on, got " << count << " from "
                         << first; // C1
  if (std::optional<uint32_t> registers = getRegisters();
      registers && (*registers < 24 || *registers > 256 || *registers % 8))
    return emitOpError() << "wants registers (" << *registers
                         << ") to be 24 to 256, a multiple of 8"; // C2
  if (getBody().getNumArguments() != 1 || !getBody().getArgument(0).getType().isSignlessInteger(32))
    return emitOpError("wants a body that takes one i32"); // C3
  return success();
}

LogicalResult BarrierOp::verify() {
  if (getId() > 15)
    return emitOpError() << "wants id (" << int32_t(getId()) << ") to be 0 to 15"; // C1
  if (std::optional<uint32_t> threads = getThreads())
    return *threads < 32 || *threads > 1024 || *threads % 32
               ? emitOpError() << "wants threads (" << int32_t(*threads)
                               << ") to be 32 to 1024, a multiple of 32" // C2
               : success();
  if (getId() != 0)
    return emitOpError() << "wants threads of barrier " << getId(); // C3
  return success();
}

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

static constexpr uint32_t kMostArrivals = (1 << 20) - 1; // of an mbarrier; bytes, too

LogicalResult PipelineOp::verify() {
  if (int32_t(getOffset()) < 0 || getOffset() % 8)
    return emitOpError() << "wants offset (" << int32_t(getOffset())
                         << ") to be a multiple of 8, not negative"; // C1
  if (getStages() < 1 || getStages() > 32)
    return emitOpError() << "wants stages (" << int32_t(getStages()) << ") to be 1 to 32"; // C2
  for (uint32_t arrivals : {getFull(), getEmpty()})
    if (arrivals < 1 || arrivals > kMostArrivals)
      return emitOpError() << "wants 1 to " << kMostArrivals << " arrivals, got "
                           << int32_t(arrivals); // C3
  return success();
}

template <typename Op> static LogicalResult verifyPipeline(Op op) {
  if (!pipelineOf(op.getPipeline()))
    return op.emitOpError("wants the result of a hopper.pipeline"); // C1
  return success();
}

template <typename Op> static LogicalResult verifySide(Op op) {
  if (failed(verifyPipeline(op)))
    return failure();
  if (op.getSide() != "full" && op.getSide() != "empty")
    return op.emitOpError() << "wants side full or empty, got " << op.getSide(); // C2
  return success();
}

LogicalResult InitPipelineOp::verify() { return verifyPipeline(*this); }
LogicalResult AdvanceOp::verify() { return verifyPipeline(*this); }
LogicalResult WaitOp::verify() { return verifySide(*this); }
LogicalResult ArriveOp::verify() { return verifySide(*this); }

LogicalResult ExpectOp::verify() {
  if (failed(verifyPipeline(*this)))
    return failure();
  if (getBytes() < 1 || getBytes() > kMostArrivals)
    return emitOpError() << "wants bytes (" << int32_t(getBytes()) << ") to be 1 to "
                         << kMostArrivals; // C2
  return success();
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

static LogicalResult verifyCoordinates(Operation *op, size_t count) {
  if (count < 1 || count > 5)
    return op->emitOpError() << "wants 1 to 5 coordinates, got " << count;
  return success();
}

LogicalResult LoadTileOp::verify() {
  if (failed(verifyPipeline(*this)))
    return failure();
  return verifyCoordinates(*this, getAt().size()); // C2
}

LogicalResult StoreTileOp::verify() { return verifyCoordinates(*this, getAt().size()); } // C1

LogicalResult WaitStoresOp::verify() {
  if (int32_t(getPending()) < 0)
    return emitOpError() << "wants pending (" << int32_t(getPending()) << ") not negative"; // C1
  return success();
}

static LogicalResult verifyShared(Operation *op, Type type) {
  auto vector = dyn_cast<VectorType>(type);
  int64_t bits =
      getElementTypeOrSelf(type).getIntOrFloatBitWidth() * (vector ? vector.getNumElements() : 1);
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64 && bits != 128)
    return op->emitOpError() << "wants 1, 2, 4, 8 or 16 bytes, got " << type; // C1
  return success();
}

LogicalResult LoadSharedOp::verify() { return verifyShared(*this, getResult().getType()); }
LogicalResult StoreSharedOp::verify() { return verifyShared(*this, getValue().getType()); }

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

LogicalResult MmaOp::verify() {
  if (getN() < 8 || getN() > 256 || getN() % 8)
    return emitOpError() << "wants n (" << int32_t(getN())
                         << ") to be 8 to 256, a multiple of 8"; // C1
  if (!getElement().isBF16() && !isa<Float8E4M3FNType>(getElement()))
    return emitOpError() << "wants elements bf16 or f8E4M3FN, got " << getElement(); // C2
  uint32_t bytes = getK() * (getElement().getIntOrFloatBitWidth() / 8);
  if (bytes != 32 && bytes != 64 && bytes != 96 && bytes != 128)
    return emitOpError() << "wants k elements of 32, 64, 96 or 128 bytes, got "
                         << int32_t(bytes); // C3
  if (!getSums())
    return success();
  if (auto vector = dyn_cast<VectorType>(getSums().getType()))
    return vector.getNumElements() == getN() / 2
               ? success()
               : emitOpError() << "wants n/2 (" << getN() / 2 << ") sums, got " << vector; // C4
  MmaOp before = productOf(getSums());
  if (!before || before->getBlock() != (*this)->getBlock() || before.getN() != getN() ||
      !before.getResult().hasOneUse())
    return emitOpError("wants pending sums of a hopper.mma of the same n and block, and to be "
                       "their only reader"); // C5
  return success();
}

LogicalResult AwaitOp::verify() {
  MmaOp mma = productOf(getPending());
  if (!mma || mma->getBlock() != (*this)->getBlock() || !mma.getResult().hasOneUse())
    return emitOpError("wants a hopper.mma of the same block, and to be its only reader"); // C1
  if (cast<VectorType>(getResult().getType()).getNumElements() != mma.getN() / 2)
    return emitOpError() << "wants n/2 (" << mma.getN() / 2 << ") sums, got "
                         << getResult().getType(); // C2
  return success();
}

LogicalResult PromoteOp::verify() {
  if (cast<VectorType>(getPart().getType()).getNumElements() % 4)
    return emitOpError() << "wants a multiple of 4 numbers, got " << getPart().getType(); // C1
  return success();
}
