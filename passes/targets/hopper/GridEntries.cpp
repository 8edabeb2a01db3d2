//===- GridEntries.cpp - the entries that a driver starts -------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"
#include "passes/targets/cpu/EntryParts.h"

namespace hadal {
#define GEN_PASS_DEF_HADALGRIDENTRIES
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// Bytes and alignment of a tensor map, CUtensorMap of the driver.
constexpr int64_t kMapBytes = 128, kMapAlignment = 64;

/// What an entry takes, in order, and where the thread is that runs it.
struct Parameters {
  SmallVector<Value> buffers, scalars;
  Value tasks, scratch; ///< `scratch` is null where there is none
  SmallVector<Value> maps;
};

/// One entry, being written.
class Entry {
public:
  Entry(LLVM::LLVMFuncOp body, exec::LaunchAttr launch, bool emulated)
      : body(body), launch(launch), emulated(emulated), b(body.getLoc(), body),
        pointer(LLVM::LLVMPointerType::get(b.getContext())), i64(b.getI64Type()) {
    buffers = launch.getAccess().size();
    scalars = launch.getTasks().getValue().getNumSymbols();
    maps = launch.getTensorMaps() ? launch.getTensorMaps().size() : 0;
  }

  void write() {
    std::string name = body.getSymName().str();
    makeBody(body);
    Parameters p = emulated ? declareEmulated(name) : declarePtx(name);
    if (launch.getTier() == "serial")
      runTasks(p);
    else
      call(p, constant(0), p.tasks, partOfScratch(p, place(Place::Block)));
    LLVM::ReturnOp::create(b, ValueRange{});
  }

private:
  enum class Place { Thread, Block, Blocks };

  Value constant(int64_t v) { return LLVM::ConstantOp::create(b, i64, b.getI64IntegerAttr(v)); }

  /// A kernel of PTX takes each parameter by itself; tensor maps are among the parameters, where
  /// hardware reads them.
  Parameters declarePtx(StringRef name) {
    SmallVector<Type> types(buffers, pointer);
    types.append(scalars + 1, i64);
    types.append(launch.getScratchBytes() ? 1 : 0, pointer);
    unsigned firstMap = types.size();
    types.append(maps, pointer);
    auto entry = LLVM::LLVMFuncOp::create(b, name, functionType(types));
    entry->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
    entry->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                   b.getDenseI32ArrayAttr({int32_t(launch.getThreads()), 1, 1}));
    // Roles of tensor kernels hand registers on (setmaxnreg): of all that a block's threads can
    // have.
    if (launch.getTier() == "tensor")
      entry->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), b.getI32IntegerAttr(1));
    if (launch.getCluster() > 1)
      entry->setAttr(NVVM::NVVMDialect::getClusterDimAttrName(),
                     b.getDenseI32ArrayAttr({int32_t(launch.getCluster()), 1, 1}));
    Type map = LLVM::LLVMArrayType::get(b.getI8Type(), kMapBytes);
    for (unsigned i = firstMap; i < types.size(); ++i) {
      entry.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(), TypeAttr::get(map));
      entry.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                       b.getI64IntegerAttr(kMapAlignment));
      entry.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(), b.getUnitAttr());
    }
    b.setInsertionPointToStart(entry.addEntryBlock(b));
    return parameters([&](unsigned i, Type) -> Value { return entry.getArgument(i); });
  }

  /// The emulated device's driver passes a table of addresses, as cuLaunchKernel takes it.
  Parameters declareEmulated(StringRef name) {
    declareSizes(name);
    auto entry = LLVM::LLVMFuncOp::create(b, name, functionType({pointer}));
    b.setInsertionPointToStart(entry.addEntryBlock(b));
    return parameters([&](unsigned i, Type type) -> Value {
      Value at = LLVM::GEPOp::create(b, pointer, pointer, entry.getArgument(0),
                                     ArrayRef<LLVM::GEPArg>{int32_t(i)});
      Value address = LLVM::LoadOp::create(b, pointer, at);
      return type ? LLVM::LoadOp::create(b, type, address).getResult() : address;
    });
  }

  /// How many parameters, then the bytes of each.
  void declareSizes(StringRef name) {
    SmallVector<int32_t> bytes(buffers + scalars + 1 + (launch.getScratchBytes() ? 1 : 0), 8);
    bytes.append(maps, kMapBytes);
    bytes.insert(bytes.begin(), int32_t(bytes.size()));
    Type type = LLVM::LLVMArrayType::get(b.getI32Type(), bytes.size());
    LLVM::GlobalOp::create(b, type, /*isConstant=*/true, LLVM::Linkage::External,
                           (name + ".params").str(), b.getI32TensorAttr(bytes));
  }

  LLVM::LLVMFunctionType functionType(ArrayRef<Type> types) {
    return LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), types);
  }

  /// `get` gives the parameter of that number; without a type its address.
  Parameters parameters(function_ref<Value(unsigned, Type)> get) {
    Parameters p;
    unsigned next = 0;
    for (unsigned i = 0; i < buffers; ++i)
      p.buffers.push_back(get(next++, pointer));
    for (unsigned i = 0; i < scalars; ++i)
      p.scalars.push_back(get(next++, i64));
    p.tasks = get(next++, i64);
    if (launch.getScratchBytes())
      p.scratch = get(next++, pointer);
    for (unsigned i = 0; i < maps; ++i)
      p.maps.push_back(get(next++, Type()));
    return p;
  }

  Value place(Place what) {
    if (!emulated) {
      Type i32 = b.getI32Type();
      Value index = what == Place::Thread  ? NVVM::ThreadIdXOp::create(b, i32).getResult()
                    : what == Place::Block ? NVVM::BlockIdXOp::create(b, i32).getResult()
                                           : NVVM::GridDimXOp::create(b, i32).getResult();
      return LLVM::ZExtOp::create(b, i64, index);
    }
    StringRef name = what == Place::Thread  ? "hadal_emu_thread_index"
                     : what == Place::Block ? "hadal_emu_block_index"
                                            : "hadal_emu_grid_size";
    Value x = LLVM::ConstantOp::create(b, b.getI32Type(), b.getI32IntegerAttr(0));
    Value index = LLVM::CallOp::create(b, emulatorCall(name), x).getResult();
    return LLVM::ZExtOp::create(b, i64, index);
  }

  /// A function of one dimension of the emulated device, declared where it is not yet.
  LLVM::LLVMFuncOp emulatorCall(StringRef name) {
    auto module = body->getParentOfType<ModuleOp>();
    if (auto known = module.lookupSymbol<LLVM::LLVMFuncOp>(name))
      return known;
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    return LLVM::LLVMFuncOp::create(b, name,
                                    LLVM::LLVMFunctionType::get(b.getI32Type(), {b.getI32Type()}));
  }

  /// The scratch of the thread or block of this number; one that is never touched without any.
  Value partOfScratch(const Parameters &p, Value number) {
    if (!p.scratch)
      return LLVM::ZeroOp::create(b, pointer);
    Value offset = LLVM::MulOp::create(b, number, constant(launch.getScratchBytes()));
    return LLVM::GEPOp::create(b, pointer, b.getI8Type(), p.scratch,
                               ArrayRef<LLVM::GEPArg>{offset});
  }

  void call(const Parameters &p, Value begin, Value end, Value scratch) {
    SmallVector<Value> operands = bufferParts(
        b, body, [&](int64_t i) { return p.buffers[i]; }, [&](int64_t i) { return p.scalars[i]; });
    operands.append({begin, end});
    operands.append(scratchParts(b, scratch));
    operands.append(p.maps);
    LLVM::CallOp::create(b, body, operands);
  }

  /// Thread i of n does the tasks i, i + n, i + 2 n ...: a grid may have fewer threads than tasks.
  void runTasks(const Parameters &p) {
    Value size = constant(launch.getThreads());
    Value thread = LLVM::AddOp::create(b, LLVM::MulOp::create(b, place(Place::Block), size),
                                       place(Place::Thread));
    Value threads = LLVM::MulOp::create(b, place(Place::Blocks), size);
    Value scratch = partOfScratch(p, thread);
    Block *before = b.getInsertionBlock();
    Region *region = before->getParent();
    auto addBlock = [&](bool hasTask) {
      Block *block = &region->emplaceBlock();
      if (hasTask)
        block->addArgument(i64, b.getLoc());
      return block;
    };
    Block *head = addBlock(true), *one = addBlock(false), *after = addBlock(false);
    LLVM::BrOp::create(b, ValueRange{thread}, head);
    b.setInsertionPointToStart(head);
    Value task = head->getArgument(0);
    Value isTask = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::slt, task, p.tasks);
    LLVM::CondBrOp::create(b, isTask, one, after);
    b.setInsertionPointToStart(one);
    call(p, task, LLVM::AddOp::create(b, task, constant(1)), scratch);
    Value next = LLVM::AddOp::create(b, task, threads);
    LLVM::BrOp::create(b, ValueRange{next}, head);
    b.setInsertionPointToStart(after);
  }

  LLVM::LLVMFuncOp body;
  exec::LaunchAttr launch;
  bool emulated;
  ImplicitLocOpBuilder b;
  Type pointer, i64;
  unsigned buffers, scalars, maps;
};

struct GridEntries : public hadal::impl::HadalGridEntriesBase<GridEntries> {
  using HadalGridEntriesBase::HadalGridEntriesBase;

  void runOnOperation() override {
    for (auto f : llvm::make_early_inc_range(getOperation().getOps<LLVM::LLVMFuncOp>()))
      if (auto launch = f->getAttrOfType<exec::LaunchAttr>(kLaunchAttr);
          launch && launch.isGrid() && f->hasAttr(kSignatureAttr))
        Entry(f, launch, emulated).write();
  }
};

} // namespace
