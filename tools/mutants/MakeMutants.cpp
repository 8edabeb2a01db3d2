//===- MakeMutants.cpp - kernels with one synchronization less ------------===//

#include "tools/mutants/MakeMutants.h"
#include "dialects/Dialects.h"
#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/hopper/Hopper.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "passes/targets/Target.h"

using namespace mlir;
using namespace hadal;

/// "hopper.wait full, line 37".
static std::string locationOf(Operation *op) {
  std::string name = op->getName().getStringRef().str();
  if (auto side = op->getAttrOfType<StringAttr>("side"))
    name += " " + side.str();
  if (auto line = dyn_cast<FileLineColLoc>(op->getLoc()))
    name += ", line " + std::to_string(line.getLine());
  return name;
}

/// A copy of each kernel for each of its synchronizations, which says that it is dropped there.
static std::vector<Mutant> dropEach(ModuleOp kernels, ModuleOp mutated) {
  std::vector<Mutant> mutants;
  OpBuilder b = OpBuilder::atBlockEnd(mutated.getBody());
  for (auto kernel : kernels.getOps<func::FuncOp>()) {
    if (!kernel->hasAttr(kLaunchAttr))
      continue;
    SmallVector<Operation *> synchronizations;
    kernel.walk([&](Operation *op) {
      if (!hopper::synchronizationOf(op).empty())
        synchronizations.push_back(op);
    });
    for (Operation *op : synchronizations) {
      mutants.push_back(
          {kernel.getSymName().str(), hopper::synchronizationOf(op).str(), locationOf(op), ""});
      op->setAttr(hopper::kDroppedAttr, b.getUnitAttr());
      auto copy = cast<func::FuncOp>(b.clone(*kernel));
      copy.setSymName("mutant" + std::to_string(mutants.size()));
      op->removeAttr(hopper::kDroppedAttr);
    }
  }
  return mutants;
}

static DialectRegistry makeRegistry() {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerAllToLLVMIRTranslations(registry);
  registerHadalDialects(registry);
  return registry;
}

static std::optional<ElementType> elementOf(Type type) {
  if (type.isF32())
    return ElementType::F32;
  if (type.isBF16())
    return ElementType::BF16;
  if (isa<Float8E4M3FNType>(type))
    return ElementType::F8E4M3;
  if (type.isInteger(32))
    return ElementType::I32;
  if (type.isInteger(64))
    return ElementType::I64;
  return std::nullopt;
}

llvm::Expected<std::vector<FunctionInputs>> hadal::functionsOf(StringRef text, int64_t openSize) {
  MLIRContext context(makeRegistry());
  auto module = parseSourceString<ModuleOp>(text, &context, "functions");
  if (!module)
    return llvm::createStringError("holds no functions that read");
  std::vector<FunctionInputs> functions;
  for (auto function : module->getOps<func::FuncOp>()) {
    if (!function.isPublic())
      continue;
    FunctionInputs &made = functions.emplace_back();
    made.function = function.getSymName().str();
    for (Type type : function.getArgumentTypes()) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      auto element = tensor ? elementOf(tensor.getElementType()) : std::nullopt;
      if (!element)
        return llvm::createStringError("@" + made.function + " takes what cannot be made up; " +
                                       "--function and --input say what is called with what");
      Shape shape;
      for (int64_t size : tensor.getShape())
        shape.push_back(ShapedType::isDynamic(size) ? openSize : size);
      made.inputs.push_back({*element, std::move(shape)});
    }
  }
  return functions;
}

llvm::Expected<std::vector<Mutant>> hadal::makeMutants(StringRef hopper) {
  MLIRContext context(makeRegistry());
  auto kernels = parseSourceString<ModuleOp>(hopper, &context, "kernels.mlir");
  if (!kernels)
    return llvm::createStringError("--emit=hopper gave text that does not read");
  OwningOpRef<ModuleOp> mutated = ModuleOp::create(UnknownLoc::get(&context));
  std::vector<Mutant> mutants = dropEach(*kernels, *mutated);
  if (mutants.empty())
    return mutants;
  auto target = findTarget("sm_90a-emulated");
  if (!target)
    return target.takeError();
  PassManager pm(&context);
  (*target)->addCodePasses(pm);
  if (failed(pm.run(*mutated)))
    return llvm::createStringError("code generation of the mutants stopped");
  auto parts = (*target)->emitParts(*mutated, nullptr);
  if (!parts)
    return parts.takeError();
  for (auto [mutant, part] : llvm::zip_equal(mutants, *parts)) {
    auto code = (*target)->link(NamedPart{mutant.kernel, part, {}, {}});
    if (!code)
      return code.takeError();
    mutant.code = std::move(code->bytes);
  }
  return mutants;
}
